//! How a command ended, overheard on an exec stream that is carried for somebody else. The bytes are a hostile guest's:
//! no more of them is kept than one header, one reply or one exit code.

use super::{
    exec::{ExecReply, HEADER_LENGTH, Packet},
    frame::{self, GUEST_FRAME_MAX},
};

/// The exit code that a shell has for a command that it could not start, where the guest names none.
const NOT_STARTED: u8 = 125;

/// Listens to what the guest sends, in pieces of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overheard {
    awaits: Part,
    /// Of the part, what has come so far.
    heard: Vec<u8>,
    code: Option<u8>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The length of the reply.
    Length,
    /// The reply, so long.
    Reply(usize),
    /// A packet's header.
    Header,
    /// A packet's body that says nothing of the end, so much more of it.
    Other(usize),
    /// The exit code.
    Exit,
    /// Nothing that matters: it has ended, or is no exec stream.
    Nothing,
}

impl Default for Overheard {
    fn default() -> Self {
        Self { awaits: Part::Length, heard: Vec::new(), code: None }
    }
}

impl Overheard {
    /// The exit code, once it was heard. Failed with code 0 is no success.
    #[must_use]
    pub fn code(&self) -> Option<u8> {
        self.code
    }

    /// Hears the next piece.
    pub fn hear(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let whole = match self.awaits {
                Part::Length => 4,
                Part::Reply(length) => length,
                Part::Header => HEADER_LENGTH,
                Part::Exit => 1,
                Part::Other(left) => {
                    let skipped = left.min(piece.len());
                    piece = &piece[skipped..];
                    self.awaits = if skipped == left { Part::Header } else { Part::Other(left - skipped) };
                    continue;
                }
                Part::Nothing => return,
            };
            let taken = (whole - self.heard.len()).min(piece.len());
            self.heard.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            if self.heard.len() == whole {
                self.awaits = self.next();
                self.heard.clear();
            }
        }
    }

    /// What comes after the part that is there now.
    fn next(&mut self) -> Part {
        match (self.awaits, self.heard.as_slice()) {
            (Part::Length, &[a, b, c, d]) => match frame::body_length([a, b, c, d], GUEST_FRAME_MAX) {
                Ok(length @ 1..) => Part::Reply(length),
                _ => Part::Nothing,
            },
            (Part::Reply(_), body) => match frame::decode(body) {
                Ok(ExecReply::Started { .. }) => Part::Header,
                Ok(ExecReply::Failed { code, .. }) => {
                    self.code = Some(if code == 0 { NOT_STARTED } else { code });
                    Part::Nothing
                }
                Err(_) => Part::Nothing,
            },
            (Part::Header, &[a, b, c, d, e]) => match Packet::decode_header([a, b, c, d, e]) {
                Ok((Packet::EXIT, 1)) => Part::Exit,
                Ok((Packet::EXIT, _)) | Err(_) => Part::Nothing,
                Ok((_, 0)) => Part::Header,
                Ok((_, length)) => Part::Other(length),
            },
            (Part::Exit, &[code]) => {
                self.code = Some(code);
                Part::Nothing
            }
            _ => Part::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8], cut: usize) -> Overheard {
        let mut overheard = Overheard::default();
        bytes.chunks(cut).for_each(|piece| overheard.hear(piece));
        overheard
    }

    fn stream(reply: &ExecReply, packets: &[Packet]) -> Vec<u8> {
        let mut bytes = frame::encode(reply, GUEST_FRAME_MAX).unwrap();
        packets.iter().for_each(|packet| bytes.extend(packet.encode()));
        bytes
    }

    #[test]
    fn the_code_is_heard_however_the_stream_is_cut() {
        let started = ExecReply::Started { pid: 7 };
        let talk = [Packet::Stdout(vec![19; 300]), Packet::Stderr(Vec::new()), Packet::Window(9)];
        for (reply, end, code) in [
            (started.clone(), Some(0), Some(0)),
            (started.clone(), Some(143), Some(143)),
            (started, None, None),
            (ExecReply::Failed { code: 127, message: "no such program".into() }, None, Some(127)),
            (ExecReply::Failed { code: 0, message: String::new() }, None, Some(125)),
        ] {
            let packets: Vec<Packet> = talk.iter().cloned().chain(end.map(Packet::Exit)).collect();
            let bytes = stream(&reply, &packets);
            for cut in [1, 2, 3, 7, 64, bytes.len()] {
                assert_eq!(heard(&bytes, cut).code(), code, "{reply:?} {end:?} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn the_first_end_counts_and_nonsense_has_none() {
        let started = ExecReply::Started { pid: 7 };
        let twice = stream(&started, &[Packet::Exit(3), Packet::Exit(0)]);
        assert_eq!(heard(&twice, 5).code(), Some(3));
        let long = [255, 255, 255, 255, 1, 2, 3];
        let wide = [stream(&started, &[]), vec![19, 255, 255, 255, 255, 0]].concat();
        let two = [stream(&started, &[]), vec![19, 2, 0, 0, 0, 0, 0]].concat();
        for nonsense in [&long[..], &wide, &two, &[0, 0, 0, 0], &[2, 0, 0, 0, b'{', b'}']] {
            let overheard = heard(nonsense, 1);
            assert_eq!(overheard.code(), None, "{nonsense:?}");
            assert!(overheard.heard.is_empty());
        }
    }
}
