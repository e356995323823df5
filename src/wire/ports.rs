//! The first bytes of a stream to a port of the guest's loopback, and the guest's one byte of answer. After that the
//! stream is the connection, each direction ending on its own.

/// Bytes of an encoded request.
pub const REQUEST_LENGTH: usize = 6;

/// What the host asks for. The guest never asks: it cannot make the host listen or connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRequest {
    /// Port on `127.0.0.1`, else on `::1`.
    pub port: u16,
    /// How long the guest may try again while nobody listens there, in milliseconds.
    pub patience_ms: u32,
}

impl PortRequest {
    /// The request's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; REQUEST_LENGTH] {
        let mut bytes = [0; REQUEST_LENGTH];
        bytes[..2].copy_from_slice(&self.port.to_le_bytes());
        bytes[2..].copy_from_slice(&self.patience_ms.to_le_bytes());
        bytes
    }

    /// The request in these bytes. Every value has a meaning.
    #[must_use]
    pub fn decode(bytes: [u8; REQUEST_LENGTH]) -> Self {
        let [p0, p1, m0, m1, m2, m3] = bytes;
        Self { port: u16::from_le_bytes([p0, p1]), patience_ms: u32::from_le_bytes([m0, m1, m2, m3]) }
    }
}

/// The guest's answer: connected, the bytes follow.
pub const CONNECTED: u8 = 0;
/// The guest's answer: nobody listens there.
pub const REFUSED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_went() {
        let request = PortRequest { port: 3000, patience_ms: 70_000 };
        assert_eq!(PortRequest::decode(request.encode()), request);
        assert_eq!(request.encode()[..2], [0xb8, 0x0b]);
    }
}
