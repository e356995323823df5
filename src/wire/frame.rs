//! Length-prefixed JSON: `u32` little-endian length, then that many bytes of UTF-8 JSON.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Longest frame that the host accepts from a guest, in bytes.
pub const GUEST_FRAME_MAX: usize = 64 * 1024;
/// Longest frame that the guest accepts from the host, in bytes. Larger, because environments are.
pub const HOST_FRAME_MAX: usize = 1024 * 1024;

/// Serialises `value` as one frame.
///
/// # Errors
/// When it does not serialise or is longer than `max` bytes.
pub fn encode<T: Serialize>(value: &T, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value).map_err(io::Error::other)?;
    let length = bytes.len() - 4;
    if length > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("frame of {length} bytes, limit {max}"),
        ));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The body length that a frame's four header bytes announce, refused above `max`.
///
/// # Errors
/// When the announced length is above `max`.
pub fn body_length(header: [u8; 4], max: usize) -> io::Result<usize> {
    let length = u32::from_le_bytes(header) as usize;
    if length > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("frame of {length} bytes, limit {max}"),
        ));
    }
    Ok(length)
}

/// Parses a frame's body.
///
/// # Errors
/// When the body is not the JSON of a `T`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads one frame from a blocking stream.
///
/// # Errors
/// When the stream ends, the frame is longer than `max`, or it is not the JSON of a `T`.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read, max: usize) -> io::Result<T> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; body_length(header, max)?];
    stream.read_exact(&mut body)?;
    decode(&body)
}

/// Writes one frame to a blocking stream.
///
/// # Errors
/// When it does not serialise, is longer than `max`, or the stream refuses it.
pub fn write<T: Serialize>(stream: &mut impl Write, value: &T, max: usize) -> io::Result<()> {
    stream.write_all(&encode(value, max)?)
}
