//! What a piece of work costs, for tests that hold its growth down: a wall clock says how busy the machine is. Only in
//! tests; the program allocates as Rust does.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static METER: Meter = Meter;

/// The system's allocator, with a tally per thread.
struct Meter;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// Notes that a thread holds so many bytes more. A thread that ends has no tally any more, and needs none.
fn note(more: i64) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + more);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + more.max(0).unsigned_abs()));
}

/// A layout's size is at most `isize::MAX`.
fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: each call goes to the system's allocator as it came; the tally allocates nothing, its cells need no drop.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(size(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(size(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-size(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        note(size(new) - size(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, new) }
    }
}

/// What some work cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost {
    /// Bytes that it asked for, given back meanwhile or not.
    pub(crate) asked: u64,
    /// Most bytes that it held at a time.
    pub(crate) peak: u64,
    /// The processor's time of this thread, which others of the machine do not take part in.
    pub(crate) cpu: Duration,
}

/// Runs `work` and tells what this thread spent on it.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (asked, held) = (ASKED.get(), HELD.get());
    PEAK.set(held);
    let begin = cpu();
    let result = work();
    let cpu = cpu().saturating_sub(begin);
    let peak = u64::try_from(PEAK.get() - held).unwrap_or_default();
    (result, Cost { asked: ASKED.get() - asked, peak, cpu })
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_and_what_was_given_back_count() {
        let ((), cost) = measure(|| {
            for _ in 0..10 {
                std::hint::black_box(vec![0_u8; 1_000]);
            }
            std::hint::black_box(vec![0_u8; 5_000]);
        });
        assert_eq!((cost.asked, cost.peak), (15_000, 5_000));
        let (kept, cost) = measure(|| vec![1_u8; 100]);
        assert_eq!((cost.asked, cost.peak, kept.len()), (100, 100, 100));
    }
}
