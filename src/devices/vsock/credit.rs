//! Credit: how many bytes each side of one connection may still send (virtio 1.2, 5.10.6.3).
//!
//! Each side counts the bytes that it sent, and tells the other how large its buffer is (`buf_alloc`) and how many
//! bytes have left that buffer (`fwd_cnt`). All counters wrap. We own our half; the guest's half is only believed
//! as far as it can do no harm: a lie makes its own stream stall, never lets us send more than it once allowed.

/// The guest sent more than we had granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// The window of one connection, both ways.
#[derive(Clone, Debug)]
pub struct Credit {
    buf_alloc: u32,
    /// Bytes of the guest that we hold now.
    held: u32,
    fwd_cnt: u32,
    /// The `fwd_cnt` that the guest was told last.
    told_fwd_cnt: u32,
    peer_buf_alloc: u32,
    /// Bytes that we sent and of which the guest has not said that they left its buffer.
    in_flight: u32,
    peer_fwd_cnt: u32,
}

impl Credit {
    /// A fresh window; we are ready to hold `buf_alloc` bytes.
    #[must_use]
    pub fn new(buf_alloc: u32) -> Self {
        Self {
            buf_alloc,
            held: 0,
            fwd_cnt: 0,
            told_fwd_cnt: 0,
            peer_buf_alloc: 0,
            in_flight: 0,
            peer_fwd_cnt: 0,
        }
    }

    /// Takes the guest's word from any packet's header.
    ///
    /// `fwd_cnt` only moves forward, and never past what we sent: packets built on two processors may arrive in the
    /// wrong order, and an impossible count is ignored.
    pub fn peer_said(&mut self, buf_alloc: u32, fwd_cnt: u32) {
        self.peer_buf_alloc = buf_alloc;
        let advance = fwd_cnt.wrapping_sub(self.peer_fwd_cnt);
        if advance <= self.in_flight {
            self.in_flight -= advance;
            self.peer_fwd_cnt = fwd_cnt;
        }
    }

    /// Bytes that we may send now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.peer_buf_alloc.saturating_sub(self.in_flight) as usize
    }

    /// We sent `len` bytes; `len` is at most [`available`](Self::available).
    pub fn sent(&mut self, len: usize) {
        debug_assert!(len <= self.available(), "sent beyond the guest's credit");
        self.in_flight += len as u32;
    }

    /// The guest sent `len` bytes, which we hold from now on.
    ///
    /// # Errors
    /// [`Overrun`] when they do not fit into the window.
    pub fn receive(&mut self, len: usize) -> Result<(), Overrun> {
        let room = self.buf_alloc - self.held;
        if len > room as usize {
            return Err(Overrun);
        }
        self.held += len as u32;
        Ok(())
    }

    /// `len` of the held bytes are out of our hands.
    pub fn forwarded(&mut self, len: usize) {
        debug_assert!(len <= self.held as usize, "forwarded more than was held");
        self.held -= len as u32;
        self.fwd_cnt = self.fwd_cnt.wrapping_add(len as u32);
    }

    /// Whether the guest should hear of the room that has become free: it knows of less than half of the window.
    #[must_use]
    pub fn update_due(&self) -> bool {
        self.fwd_cnt.wrapping_sub(self.told_fwd_cnt) >= (self.buf_alloc / 2).max(1)
    }

    /// `(buf_alloc, fwd_cnt)` for the header of the packet that is going out now.
    pub fn tell(&mut self) -> (u32, u32) {
        self.told_fwd_cnt = self.fwd_cnt;
        (self.buf_alloc, self.fwd_cnt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What can happen to a window; an honest guest is simulated beside it.
    #[derive(Clone, Debug)]
    enum Step {
        Send(u32),
        GuestReads(u32),
        GuestTells,
        GuestLies(u32, u32),
        GuestSends(u32),
        Forward(u32),
        Tell,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5000u32).prop_map(Step::Send),
            (0..5000u32).prop_map(Step::GuestReads),
            Just(Step::GuestTells),
            (0..5000u32).prop_map(Step::GuestSends),
            (0..5000u32).prop_map(Step::Forward),
            Just(Step::Tell),
        ]
    }

    fn hostile_step() -> impl Strategy<Value = Step> {
        prop_oneof![step(), (any::<u32>(), any::<u32>()).prop_map(|(a, f)| Step::GuestLies(a, f))]
    }

    /// Starts the counters just below the wrap, so that every run crosses it.
    fn near_the_wrap(buf_alloc: u32) -> Credit {
        let near = u32::MAX - 3000;
        Credit { fwd_cnt: near, told_fwd_cnt: near, peer_fwd_cnt: near, ..Credit::new(buf_alloc) }
    }

    /// A guest that keeps the rules, with a buffer of 4096 bytes.
    struct Guest {
        holds: u32,
        read: u32,
        sent_beyond_told: u32,
    }

    proptest! {
        #[test]
        fn an_honest_guest_never_overflows_nor_is_refused(steps in proptest::collection::vec(step(), 1..200)) {
            let mut ours = near_the_wrap(8192);
            let mut guest = Guest { holds: 0, read: ours.peer_fwd_cnt, sent_beyond_told: 0 };
            let mut held = 0u32;
            ours.peer_said(4096, guest.read);
            for step in steps {
                match step {
                    Step::Send(n) => {
                        let n = n.min(ours.available() as u32);
                        ours.sent(n as usize);
                        guest.holds += n;
                    }
                    Step::GuestReads(n) => {
                        let n = n.min(guest.holds);
                        guest.holds -= n;
                        guest.read = guest.read.wrapping_add(n);
                    }
                    Step::GuestTells | Step::GuestLies(..) => ours.peer_said(4096, guest.read),
                    Step::GuestSends(n) => {
                        let n = n.min(8192 - guest.sent_beyond_told);
                        guest.sent_beyond_told += n;
                        held += n;
                        prop_assert_eq!(ours.receive(n as usize), Ok(()));
                    }
                    Step::Forward(n) => {
                        let n = n.min(held);
                        held -= n;
                        ours.forwarded(n as usize);
                    }
                    Step::Tell => {
                        ours.tell();
                        guest.sent_beyond_told = held;
                    }
                }
                prop_assert!(guest.holds <= 4096, "the guest's buffer overflowed");
                // Nobody waits for ever: when all is forwarded and the window looks shut to the guest, it is told.
                prop_assert!(held > 0 || guest.sent_beyond_told < 8192 || ours.update_due());
            }
        }

        #[test]
        fn no_lie_lets_anyone_hold_more_than_was_granted(steps in proptest::collection::vec(hostile_step(), 1..200)) {
            let mut ours = near_the_wrap(8192);
            let (mut held, mut allowed) = (0u32, 0u32);
            for step in steps {
                match step {
                    Step::Send(n) => {
                        let n = n.min(ours.available() as u32);
                        prop_assert!(n <= allowed);
                        ours.sent(n as usize);
                    }
                    Step::GuestLies(buf_alloc, fwd_cnt) => {
                        allowed = buf_alloc;
                        ours.peer_said(buf_alloc, fwd_cnt);
                    }
                    Step::GuestSends(n) => {
                        if ours.receive(n as usize).is_ok() {
                            held += n;
                        }
                    }
                    Step::Forward(n) => {
                        let n = n.min(held);
                        held -= n;
                        ours.forwarded(n as usize);
                    }
                    Step::Tell => drop(ours.tell()),
                    Step::GuestReads(_) | Step::GuestTells => {}
                }
                prop_assert!(held <= 8192);
                prop_assert!(ours.available() <= allowed as usize);
            }
        }
    }

    #[test]
    fn one_byte_beyond_the_window_is_an_overrun() {
        let mut credit = Credit::new(10);
        assert_eq!(credit.receive(10), Ok(()));
        assert_eq!(credit.receive(1), Err(Overrun));
        credit.forwarded(1);
        assert_eq!(credit.receive(1), Ok(()));
    }

    #[test]
    fn a_late_packet_does_not_take_credit_back() {
        let mut credit = Credit::new(10);
        credit.peer_said(100, 0);
        credit.sent(100);
        credit.peer_said(100, 60);
        credit.peer_said(100, 40);
        assert_eq!(credit.available(), 60);
    }

    #[test]
    fn a_count_of_bytes_never_sent_is_ignored() {
        let mut credit = Credit::new(10);
        credit.peer_said(100, 0);
        credit.sent(100);
        credit.peer_said(100, 101);
        assert_eq!(credit.available(), 0);
    }
}
