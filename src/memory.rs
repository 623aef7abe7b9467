//! The fixed pool: one block of memory, reserved and touched at start, that serves every later allocation.
//!
//! [`FixedPool`] is the program's global allocator. It has three phases:
//!
//! | phase | allocator | when |
//! |---|---|---|
//! | open | the system | arguments, board file, commands other than `run` and `check` |
//! | filling | the pool, extended beyond its end; the system for what does not fit there | loading: network, camera, display, first frames |
//! | sealed | the pool | the loop |
//!
//! While filling, the addresses beyond the pool's end belong to it, though those that nobody writes to are not backed by memory.
//! So blocks lie where they would lie in a larger pool, and the highest end of a block tells how large the pool must be: a pool
//! that is too small is refused with the size that it needs. A pool without a stated size becomes that large: up to the highest
//! block, plus a tenth and [`FRAME_BYTES`]. After [`seal`] the system serves allocations only when the pool is exhausted, which
//! is counted and reported ([`Usage::overflow_bytes`]): better a board that continues and says so than one that stops.
//!
//! Buffers that drivers map into the process (V4L2, DRM) are outside the pool; they are mapped at start. The program's own code
//! and stacks are mapped in when the pool is sealed.

mod ledger;
mod limit;
mod process;
mod resident;

pub use ledger::Ledger;
pub use limit::held_to;
pub use process::{free_bytes, page_faults, peak_rss_kib};

use crate::{Cause, Failure};
use spinning_top::RawSpinlock;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use talc::{TalcLock, source::Manual};

/// The global allocator of the program: `#[global_allocator] static POOL: FixedPool = FixedPool;`.
#[derive(Debug, Clone, Copy)]
pub struct FixedPool;

static TALC: TalcLock<RawSpinlock, Manual> = TalcLock::new(Manual);
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether reserving the pool has begun. Never reset: a pool that cannot be had ends the program.
static RESERVED: AtomicBool = AtomicBool::new(false);
/// The pool's first byte, 0 while there is none.
static START: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// Whether the pool gets its size when it is sealed.
static IS_GROWING: AtomicBool = AtomicBool::new(false);
/// End of the pool's addresses, spare included.
static END: AtomicUsize = AtomicUsize::new(0);
/// Bytes beyond the pool's end that belong to it while it is filled.
static SPARE: AtomicUsize = AtomicUsize::new(0);
/// End of the allocator's own range, while there is spare.
static HEAP_END: AtomicUsize = AtomicUsize::new(0);
/// The highest end of any block.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);
static SEALED: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static OVERFLOW: AtomicUsize = AtomicUsize::new(0);
static OVERFLOW_PEAK: AtomicUsize = AtomicUsize::new(0);

fn is_in_pool(pointer: *mut u8) -> bool {
    let start = START.load(Relaxed);
    start != 0 && (start..END.load(Relaxed)).contains(&(pointer as usize))
}

fn count(pointer: *mut u8, size: usize) {
    HIGHEST.fetch_max(pointer as usize + size, Relaxed);
    PEAK.fetch_max(LIVE.fetch_add(size, Relaxed) + size, Relaxed);
}

// SAFETY: every block comes from `System` or from `TALC` and is returned to its origin, which its address identifies: the pool's
// range is mapped once, never unmapped, and given only to `TALC`.
unsafe impl GlobalAlloc for FixedPool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if START.load(Relaxed) == 0 {
            INSTALLED.store(true, Relaxed);
            // SAFETY: the caller upholds the contract of `GlobalAlloc::alloc`.
            return limit::served(unsafe { System.alloc(layout) }, layout.size());
        }
        // SAFETY: as above.
        let pointer = unsafe { TALC.alloc(layout) };
        if !pointer.is_null() {
            count(pointer, layout.size());
            return pointer;
        }
        if SPARE.load(Relaxed) > 0 {
            limit::reached(layout.size());
        }
        let overflow = OVERFLOW.fetch_add(layout.size(), Relaxed) + layout.size();
        OVERFLOW_PEAK.fetch_max(overflow, Relaxed);
        // SAFETY: as above.
        limit::served(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_in_pool(pointer) {
            LIVE.fetch_sub(layout.size(), Relaxed);
            // SAFETY: the block came from the pool with this layout.
            unsafe { TALC.dealloc(pointer, layout) }
        } else {
            // Blocks allocated before the pool existed were not counted; freeing them must not take the counter below zero.
            let _ =
                OVERFLOW.fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(layout.size())));
            // SAFETY: the block came from the system with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if START.load(Relaxed) == 0 {
            // SAFETY: the caller upholds the contract of `GlobalAlloc::realloc`; without a pool all blocks are the system's.
            return limit::served(
                unsafe { System.realloc(pointer, layout, new_size) },
                new_size,
            );
        }
        if is_in_pool(pointer) {
            // SAFETY: as above, the block is the pool's.
            let moved = unsafe { TALC.realloc(pointer, layout, new_size) };
            if !moved.is_null() {
                LIVE.fetch_sub(layout.size(), Relaxed);
                count(moved, new_size);
                return moved;
            }
        }
        // SAFETY: the caller gives a valid size for this alignment; the new block is as large as the smaller of both sizes.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(pointer, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

/// The pool's usage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The pool's size; 0 when there is none.
    pub pool_bytes: usize,
    /// Bytes allocated from it now.
    pub live_bytes: usize,
    /// The maximum of `live_bytes` since the last [`Ledger::account`] began, or since start.
    pub peak_bytes: usize,
    /// Bytes that did not fit and came from the system.
    pub overflow_bytes: usize,
    /// The maximum of `overflow_bytes` since the pool was reserved or sealed.
    pub overflow_peak_bytes: usize,
}

/// The pool's usage now.
pub fn usage() -> Usage {
    Usage {
        pool_bytes: SIZE.load(Relaxed),
        live_bytes: LIVE.load(Relaxed),
        peak_bytes: PEAK.load(Relaxed),
        overflow_bytes: OVERFLOW.load(Relaxed),
        overflow_peak_bytes: OVERFLOW_PEAK.load(Relaxed),
    }
}

/// Room for the frames themselves in a pool without a stated size, beside its tenth: a JPEG decoder's lines, a PNG's rows.
pub const FRAME_BYTES: usize = 2 << 20;

/// The size of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolSize {
    /// This many bytes, touched before anything is loaded. What does not fit is refused.
    Bytes(usize),
    /// What the start needs, which is known, and touched, when the pool is sealed.
    AsNeeded,
}

/// Reserves the pool, touches every page of it, and serves all allocations from it from now on. Works once per process: later or
/// concurrent calls do nothing.
///
/// A program whose global allocator is not [`FixedPool`] (a test of the library) gets no pool; that is not an error.
pub fn reserve(size: PoolSize) -> Result<(), Failure> {
    if !INSTALLED.load(SeqCst)
        || RESERVED
            .compare_exchange(false, true, SeqCst, SeqCst)
            .is_err()
    {
        return Ok(());
    }
    let bytes = match size {
        PoolSize::Bytes(bytes) => bytes,
        // It starts small, with most of its addresses in the spare.
        PoolSize::AsNeeded => {
            IS_GROWING.store(true, SeqCst);
            1 << 20
        }
    };
    let mib = bytes >> 20;
    let (range, spare) = with_spare(bytes);
    let fixed = if range.is_null() { 0 } else { libc::MAP_FIXED };
    // SAFETY: a new private mapping; nothing else knows its address, or the address of the range whose start it replaces.
    let start = unsafe {
        libc::mmap(
            range,
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE | fixed,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        let why = std::io::Error::last_os_error();
        return Err(Failure::new(
            Cause::Memory,
            format!(
                "cannot reserve the memory pool of {mib} MiB: {why}; lower pool_mib in the board file"
            ),
        ));
    }
    // MAP_POPULATE does not report failure; a write to each page makes sure.
    for page in (0..bytes).step_by(4096) {
        // SAFETY: `page` is inside the mapping, which is readable and writable and has no other user.
        unsafe { start.cast::<u8>().add(page).write_volatile(0) };
    }
    // Prevents swapping. Refused to ordinary users above a limit; correctness does not need it.
    // SAFETY: the range is the mapping made above.
    unsafe { libc::mlock(start, bytes) };
    // SAFETY: the mapping lives as long as the process (its spare until the pool is sealed) and is given to nobody else; `Manual`
    // allows claims.
    let claimed = unsafe { TALC.lock().claim(start.cast(), bytes + spare) };
    let Some(heap_end) = claimed else {
        return Err(Failure::new(
            Cause::Memory,
            "the memory pool is too small to be managed",
        ));
    };
    HEAP_END.store(heap_end.as_ptr() as usize, SeqCst);
    END.store(start as usize + bytes + spare, SeqCst);
    SPARE.store(spare, SeqCst);
    SIZE.store(bytes, SeqCst);
    START.store(start as usize, SeqCst);
    Ok(())
}

/// Reserves addresses, without memory, for a pool of `bytes` and for spare beyond it. Returns their start and the number of spare
/// bytes; null and 0 when there are not enough addresses.
fn with_spare(bytes: usize) -> (*mut libc::c_void, usize) {
    const SPARE_BYTES: u64 = if cfg!(target_pointer_width = "64") {
        4 << 30
    } else {
        512 << 20
    };
    // Never more than the free memory, in whole MiB.
    let spare = SPARE_BYTES.min(free_bytes().saturating_sub(bytes as u64)) >> 20 << 20;
    let spare = usize::try_from(spare).unwrap_or(0);
    let Some(all) = bytes.checked_add(spare) else {
        return (std::ptr::null_mut(), 0);
    };
    // SAFETY: a new private mapping; nothing else knows its address.
    let range = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            all,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if range == libc::MAP_FAILED {
        (std::ptr::null_mut(), 0)
    } else {
        (range, spare)
    }
}

/// Returns the addresses beyond the pool's end to the system. No block may be there.
fn give_spare_back() {
    let (start, size) = (START.load(SeqCst), SIZE.load(SeqCst));
    let spare = SPARE.load(SeqCst);
    let heap_end = std::ptr::NonNull::new(HEAP_END.load(SeqCst) as *mut u8);
    let (Some(heap_end), true) = (heap_end, spare > 0) else {
        return;
    };
    let end = (start + size) as *mut u8;
    let mut talc = TALC.lock();
    // SAFETY: `heap_end` is the end of the allocator's only range, as the allocator returned it; it has not moved since.
    let cut = unsafe { talc.truncate(heap_end, end) };
    HEAP_END.store(cut.map_or(0, |cut| cut.as_ptr() as usize), SeqCst);
    if cut.is_some_and(|cut| cut.as_ptr() <= end) {
        SPARE.store(0, SeqCst);
        END.store(end as usize, SeqCst);
        // SAFETY: the allocator has given up these addresses, and no block is there.
        unsafe { libc::munmap(end.cast(), spare) };
    }
}

/// Once everything is loaded: gives a pool without a stated size the size that it needs, out of its spare. If the spare is too
/// small, [`seal`] refuses the pool as too small.
pub fn settle() {
    let (size, spare) = (SIZE.load(SeqCst), SPARE.load(SeqCst));
    let grown = (needed_mib(usage()) << 20) + FRAME_BYTES;
    if IS_GROWING.swap(false, SeqCst) && grown > size && grown - size <= spare {
        SIZE.store(grown, SeqCst);
        SPARE.store(spare - (grown - size), SeqCst);
        // Touches untouched pages without changing them; if that is refused, `resident` does it.
        // SAFETY: the range is the pool's, mapped since it was reserved.
        unsafe { libc::mlock(START.load(SeqCst) as *const _, grown) };
    }
}

/// Ends the start: settles the pool, refuses it unless it held everything so far with a tenth to spare, and maps in the program.
pub fn seal() -> Result<Usage, Failure> {
    settle();
    let usage = usage();
    if usage.pool_bytes != 0 {
        let needed = needed_mib(usage);
        if needed > usage.pool_bytes >> 20 {
            return Err(Failure::new(
                Cause::Memory,
                format!(
                    "the memory pool of {} MiB is too small: this board and model need {needed} MiB; set pool_mib = \
                     {needed} in the board file, above its tables",
                    usage.pool_bytes >> 20
                ),
            ));
        }
    }
    if usage.pool_bytes != 0 {
        give_spare_back();
        resident::map_in();
    }
    OVERFLOW_PEAK.store(OVERFLOW.load(Relaxed), Relaxed);
    SEALED.store(true, Relaxed);
    Ok(usage)
}

/// Whether the start has succeeded: the network has run once, and the loop runs or will.
pub fn is_sealed() -> bool {
    SEALED.load(Relaxed)
}

/// The largest peak of any account.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The size that would do, in whole MiB: the pool's own if everything fitted with a tenth of the peak to spare. Otherwise up to
/// the highest block plus a tenth, since blocks may lie somewhat differently in a smaller pool.
fn needed_mib(usage: Usage) -> usize {
    let with_losses = |bytes: usize| (bytes + bytes / 10).div_ceil(1 << 20);
    let peak = usage.peak_bytes.max(LARGEST.load(Relaxed));
    let overflow = usage.overflow_peak_bytes;
    let reach = HIGHEST.load(Relaxed).saturating_sub(START.load(Relaxed));
    let mib = usage.pool_bytes >> 20;
    if overflow == 0 && reach <= usage.pool_bytes && with_losses(peak) <= mib {
        return mib;
    }
    with_losses(reach.max(peak) + overflow).max(mib + 1)
}
