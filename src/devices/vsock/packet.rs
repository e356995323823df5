//! The vsock packet header (virtio 1.2, 5.10.6), read once into plain integers.
//!
//! A packet is copied out of guest memory before it is looked at, so nothing here can change under our feet, and
//! how the driver cut it into descriptors does not matter (virtio 1.2, 2.7.4).

/// Bytes of the header in front of every packet.
pub const HEADER_LEN: usize = 44;
/// Most payload bytes of one packet, in either direction. Linux sends no more.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// The one socket type that we speak: `VIRTIO_VSOCK_TYPE_STREAM`.
pub const TYPE_STREAM: u16 = 1;

/// Operations (virtio 1.2, 5.10.6).
pub mod op {
    /// Asks for a connection.
    pub const REQUEST: u16 = 1;
    /// Grants it.
    pub const RESPONSE: u16 = 2;
    /// Refuses it, or ends it at once.
    pub const RST: u16 = 3;
    /// Ends one direction or both; see [`super::shutdown`].
    pub const SHUTDOWN: u16 = 4;
    /// Carries bytes.
    pub const RW: u16 = 5;
    /// Only carries the sender's credit, as every packet does.
    pub const CREDIT_UPDATE: u16 = 6;
    /// Asks for the receiver's credit.
    pub const CREDIT_REQUEST: u16 = 7;
}

/// Flags of a `SHUTDOWN`, from its sender's side.
pub mod shutdown {
    /// The sender will receive no more.
    pub const RECEIVE: u32 = 1;
    /// The sender will send no more.
    pub const SEND: u32 = 2;
    /// Both.
    pub const BOTH: u32 = RECEIVE | SEND;
}

/// One header in host byte order. Every value of every field can occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Context id of the sender.
    pub src_cid: u64,
    /// Context id of the receiver.
    pub dst_cid: u64,
    /// Port of the sender.
    pub src_port: u32,
    /// Port of the receiver.
    pub dst_port: u32,
    /// Payload bytes that follow.
    pub len: u32,
    /// Socket type.
    pub kind: u16,
    /// Operation.
    pub op: u16,
    /// Flags of the operation.
    pub flags: u32,
    /// Bytes that the sender is ready to hold.
    pub buf_alloc: u32,
    /// Bytes that the sender has passed on so far, modulo 2³².
    pub fwd_cnt: u32,
}

impl Header {
    /// Reads a header.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let mut fields = Fields(bytes);
        Self {
            src_cid: u64::from_le_bytes(fields.take()),
            dst_cid: u64::from_le_bytes(fields.take()),
            src_port: u32::from_le_bytes(fields.take()),
            dst_port: u32::from_le_bytes(fields.take()),
            len: u32::from_le_bytes(fields.take()),
            kind: u16::from_le_bytes(fields.take()),
            op: u16::from_le_bytes(fields.take()),
            flags: u32::from_le_bytes(fields.take()),
            buf_alloc: u32::from_le_bytes(fields.take()),
            fwd_cnt: u32::from_le_bytes(fields.take()),
        }
    }

    /// Writes a header.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.src_port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.dst_port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.op.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buf_alloc.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.fwd_cnt.to_le_bytes());
        bytes
    }

    /// The refusal of this packet, sent back the way it came and in its own socket type.
    #[must_use]
    pub fn refusal(&self) -> Self {
        Self {
            src_cid: self.dst_cid,
            dst_cid: self.src_cid,
            src_port: self.dst_port,
            dst_port: self.src_port,
            kind: self.kind,
            op: op::RST,
            ..Self::default()
        }
    }
}

/// Header and payload of a packet as the guest sent it; no payload where it promised more than it sent, or more
/// than [`MAX_PAYLOAD`]. `None` when not even the header is there.
#[must_use]
pub fn split(packet: &[u8]) -> Option<(Header, Option<&[u8]>)> {
    let (header, rest) = packet.split_first_chunk()?;
    let header = Header::decode(header);
    let len = usize::try_from(header.len).ok().filter(|&len| len <= MAX_PAYLOAD);
    Some((header, len.and_then(|len| rest.get(..len))))
}

/// The header's fields in order; the array bounds are known when this is compiled.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the fields add up to HEADER_LEN");
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_header_survives_the_round_trip(bytes: [u8; 32], rest: [u8; 12]) {
            let raw: [u8; HEADER_LEN] = [&bytes[..], &rest[..]].concat().try_into().unwrap();
            prop_assert_eq!(Header::decode(&raw).encode(), raw);
        }

        #[test]
        fn splitting_any_bytes_is_safe(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some((header, Some(payload))) = split(&bytes) {
                prop_assert_eq!(payload.len(), header.len as usize);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_buffer_has_no_payload() {
        let header = Header { len: 5, op: op::RW, ..Header::default() };
        let mut packet = header.encode().to_vec();
        packet.extend_from_slice(b"four");
        assert_eq!(split(&packet), Some((header, None)));
        packet.push(b'!');
        assert_eq!(split(&packet), Some((header, Some(&b"four!"[..]))));
        assert_eq!(split(&packet[..43]), None);
    }

    #[test]
    fn a_length_beyond_the_limit_has_no_payload() {
        let header = Header { len: MAX_PAYLOAD as u32 + 1, ..Header::default() };
        let mut packet = header.encode().to_vec();
        packet.resize(HEADER_LEN + MAX_PAYLOAD + 1, 0);
        assert_eq!(split(&packet).unwrap().1, None);
    }
}
