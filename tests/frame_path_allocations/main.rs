//! What the frame path allocates for each frame after the first ones: nothing, except for the JPEG decoder's working rows; and
//! what a network that is wholly in the fast plan and the decision allocate: nothing; nor does an island of one that is known in part.
//! And what a picture file takes while it is decoded.

#![allow(clippy::unwrap_used)]

#[path = "../common/basics.rs"]
mod basics;
mod displays;
mod frames;
mod networks;
mod pictures;

use eyelet::decide::{Candidate, Verdict};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with counts for each thread (the test harness has threads of its own).
struct Counting;

#[derive(Clone, Copy)]
struct Counts {
    allocations: usize,
    live: isize,
    peak: isize,
}

thread_local! {
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts {
            allocations: 0,
            live: 0,
            peak: 0,
        })
    };
}

/// Counts `bytes` more (or fewer) live bytes.
fn count(allocations: usize, bytes: isize) {
    let mut counts = COUNTS.get();
    counts.allocations += allocations;
    counts.live += bytes;
    counts.peak = counts.peak.max(counts.live);
    COUNTS.set(counts);
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A verdict for `class` that has stood for a while.
fn verdict_for(class: usize) -> Verdict {
    let best = Candidate {
        class,
        probability: 0.9,
    };
    Verdict {
        decided: Some(best),
        top: [best; 5],
        enter: Some(0.5),
        changed: false,
    }
}

/// Allocations of `run`, and how far live bytes rose above those before. What it leaves behind must be nothing.
fn allocations(run: impl FnOnce()) -> (usize, usize) {
    let before = COUNTS.get();
    COUNTS.set(Counts {
        peak: before.live,
        ..before
    });
    run();
    let after = COUNTS.get();
    assert_eq!(after.live, before.live, "live bytes grew");
    (
        after.allocations - before.allocations,
        (after.peak - before.live).unsigned_abs(),
    )
}
