//! The fixed pool: one block of memory, reserved and touched at start, that serves every allocation after it.
//!
//! [`FixedPool`] is the program's global allocator. It has three phases:
//!
//! | phase | who serves | when |
//! |---|---|---|
//! | open | the system | arguments, board file, commands other than `run` |
//! | filling | the pool, which goes on behind its end; what does not fit there, the system | loading: network, camera, display, first frames |
//! | sealed | the pool | the loop |
//!
//! While filling, addresses behind the pool's end belong to it, though no memory stands behind those that nobody writes to. So
//! blocks lie where they would lie in a larger pool, and the highest end of one tells how large the pool must be: a pool that
//! is too small is refused with the number that it needs. A pool of no stated size becomes that large: as far as blocks lay, a
//! tenth and [`FRAME_BYTES`] more. After [`seal`] the system is asked only when the pool is exhausted,
//! which is counted and told ([`Usage::overflow_bytes`]): a board that goes on and says so beats one that stops.
//!
//! Buffers that drivers map into the process (V4L2, DRM) lie outside the pool; they are mapped at start. The program's
//! own code and stacks are mapped in when the pool is sealed.

mod limit;
mod resident;

pub use limit::held_to;

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
/// Whether somebody has begun to reserve the pool. Never taken back: a pool that could not be had ends the program.
static RESERVED: AtomicBool = AtomicBool::new(false);
/// First byte of the pool, 0 while there is none.
static START: AtomicUsize = AtomicUsize::new(0);
static SIZE: AtomicUsize = AtomicUsize::new(0);
/// Whether the pool gets its size when it is sealed.
static IS_GROWING: AtomicBool = AtomicBool::new(false);
/// Where addresses end that belong to the pool: behind its spare.
static END: AtomicUsize = AtomicUsize::new(0);
/// Bytes behind the pool's end that belong to it while it is filled.
static SPARE: AtomicUsize = AtomicUsize::new(0);
/// Where the allocator's own range ends, while there is spare.
static HEAP_END: AtomicUsize = AtomicUsize::new(0);
/// The highest end of a block.
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

// SAFETY: every block comes from `System` or from `TALC` and goes back to the one that it came from, told apart by its
// address: the pool's range is mapped once, never given back, and handed to `TALC` alone.
unsafe impl GlobalAlloc for FixedPool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if START.load(Relaxed) == 0 {
            INSTALLED.store(true, Relaxed);
            // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
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
            // SAFETY: the block is one of the pool's, allocated with this layout.
            unsafe { TALC.dealloc(pointer, layout) }
        } else {
            // Blocks from before the pool were never counted; the counter must not pass below zero for them.
            let _ =
                OVERFLOW.fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(layout.size())));
            // SAFETY: the block is one of the system's, allocated with this layout.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if START.load(Relaxed) == 0 {
            // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`; without a pool all blocks are the system's.
            return limit::served(
                unsafe { System.realloc(pointer, layout, new_size) },
                new_size,
            );
        }
        if is_in_pool(pointer) {
            // SAFETY: as above, the block is one of the pool's.
            let moved = unsafe { TALC.realloc(pointer, layout, new_size) };
            if !moved.is_null() {
                LIVE.fetch_sub(layout.size(), Relaxed);
                count(moved, new_size);
                return moved;
            }
        }
        // SAFETY: the caller gives a valid size for this alignment; the new block holds the smaller of both sizes.
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

/// What is used of the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The pool's size; 0 when there is none.
    pub pool_bytes: usize,
    /// Bytes that are allocated from it now.
    pub live_bytes: usize,
    /// The most that `live_bytes` was since the last [`Ledger::account`] began, or since start.
    pub peak_bytes: usize,
    /// Bytes that did not fit and came from the system.
    pub overflow_bytes: usize,
    /// The most that `overflow_bytes` was since the pool was reserved or sealed.
    pub overflow_peak_bytes: usize,
}

/// What is used of the pool now.
pub fn usage() -> Usage {
    Usage {
        pool_bytes: SIZE.load(Relaxed),
        live_bytes: LIVE.load(Relaxed),
        peak_bytes: PEAK.load(Relaxed),
        overflow_bytes: OVERFLOW.load(Relaxed),
        overflow_peak_bytes: OVERFLOW_PEAK.load(Relaxed),
    }
}

/// What a pool of no stated size has for the frames themselves, beside its tenth: a JPEG decoder's lines, a PNG's rows.
pub const FRAME_BYTES: usize = 2 << 20;

/// The size of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolSize {
    /// So many bytes, touched before anything is loaded. What does not fit is refused.
    Bytes(usize),
    /// What the start needs: known, and touched, when the pool is sealed.
    AsNeeded,
}

/// Reserves the pool, touches every page of it, and serves all allocations from it from now on. Once a process: later calls,
/// or calls at the same time from other threads, do nothing.
///
/// A program whose global allocator is not [`FixedPool`] (a test of the library) gets no pool; that is no fault.
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
        // One that begins small, and mostly in its spare.
        PoolSize::AsNeeded => {
            IS_GROWING.store(true, SeqCst);
            1 << 20
        }
    };
    let mib = bytes >> 20;
    let (range, spare) = with_spare(bytes);
    let fixed = if range.is_null() { 0 } else { libc::MAP_FIXED };
    // SAFETY: a new private mapping; nothing else knows its address, or that of the range that it replaces the start of.
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
    // MAP_POPULATE does not say when it could not; a write to each page settles it.
    for page in (0..bytes).step_by(4096) {
        // SAFETY: `page` is inside the mapping, which is readable and writable and has no other user.
        unsafe { start.cast::<u8>().add(page).write_volatile(0) };
    }
    // Against swapping; refused to ordinary users past a limit, and then not needed for being right.
    // SAFETY: the range is the mapping made above.
    unsafe { libc::mlock(start, bytes) };
    // SAFETY: the mapping lives as long as the process (its spare end until the pool is sealed) and is given to nobody else;
    // `Manual` allows claims.
    let claimed = unsafe { TALC.lock().claim(start.cast(), bytes + spare) };
    let Some(heap_end) = claimed else {
        return Err(Failure::new(
            Cause::Memory,
            "the memory pool is too small to be managed at all",
        ));
    };
    HEAP_END.store(heap_end.as_ptr() as usize, SeqCst);
    END.store(start as usize + bytes + spare, SeqCst);
    SPARE.store(spare, SeqCst);
    SIZE.store(bytes, SeqCst);
    START.store(start as usize, SeqCst);
    Ok(())
}

/// Addresses for a pool of so many bytes and for spare behind it, without memory, and how many bytes are spare; null and 0
/// where there are not so many addresses.
fn with_spare(bytes: usize) -> (*mut libc::c_void, usize) {
    const SPARE_BYTES: u64 = if cfg!(target_pointer_width = "64") {
        4 << 30
    } else {
        512 << 20
    };
    // Never more than there is memory for, in whole MiB.
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

/// Gives the addresses behind the pool's end back. No block may lie there.
fn give_spare_back() {
    let (start, size) = (START.load(SeqCst), SIZE.load(SeqCst));
    let spare = SPARE.load(SeqCst);
    let heap_end = std::ptr::NonNull::new(HEAP_END.load(SeqCst) as *mut u8);
    let (Some(heap_end), true) = (heap_end, spare > 0) else {
        return;
    };
    let end = (start + size) as *mut u8;
    let mut talc = TALC.lock();
    // SAFETY: `heap_end` is what the allocator called the end of its only range, which was not moved since.
    let cut = unsafe { talc.truncate(heap_end, end) };
    HEAP_END.store(cut.map_or(0, |cut| cut.as_ptr() as usize), SeqCst);
    if cut.is_some_and(|cut| cut.as_ptr() <= end) {
        SPARE.store(0, SeqCst);
        END.store(end as usize, SeqCst);
        // SAFETY: the allocator has given these addresses back, and no block lies there.
        unsafe { libc::munmap(end.cast(), spare) };
    }
}

/// Gives a pool of no stated size the size that it needs, out of its spare: once everything is loaded. Where addresses end
/// before, [`seal`] refuses it as one that is too small.
pub fn settle() {
    let (size, spare) = (SIZE.load(SeqCst), SPARE.load(SeqCst));
    let grown = (needed_mib(usage()) << 20) + FRAME_BYTES;
    if IS_GROWING.swap(false, SeqCst) && grown > size && grown - size <= spare {
        SIZE.store(grown, SeqCst);
        SPARE.store(spare - (grown - size), SeqCst);
        // Touches what is not yet, without changing it; where that is refused, `resident` does so.
        // SAFETY: the range is the pool's, mapped since it was reserved.
        unsafe { libc::mlock(START.load(SeqCst) as *const _, grown) };
    }
}

/// Ends the start: settles the pool, refuses one that did not hold everything so far with a tenth to spare, and maps in the
/// program.
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

/// Whether the start has ended well: the network has run once, and the loop goes on or will.
pub fn is_sealed() -> bool {
    SEALED.load(Relaxed)
}

/// The size that would do, in whole MiB: the pool's own when all lay in it with a tenth of the peak to spare. Else as far as
/// blocks lay, and a tenth, since in a smaller pool they may lie a little otherwise.
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

/// The largest peak of all accounts.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// What each part of the start took from the pool; printed at start.
#[derive(Debug, Default)]
pub struct Ledger {
    lines: Vec<(&'static str, usize, usize)>,
}

impl Ledger {
    /// Runs one part of the start and notes what it kept and what it needed on the way.
    pub fn account<T>(&mut self, part: &'static str, run: impl FnOnce() -> T) -> T {
        let before = LIVE.load(Relaxed);
        LARGEST.fetch_max(PEAK.swap(before, Relaxed), Relaxed);
        let result = run();
        let kept = LIVE.load(Relaxed).saturating_sub(before);
        self.lines
            .push((part, kept, PEAK.load(Relaxed).saturating_sub(before)));
        LARGEST.fetch_max(PEAK.load(Relaxed), Relaxed);
        result
    }

    /// The ledger, a line a part.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let usage = usage();
        let kib = |bytes: usize| bytes.div_ceil(1024);
        let head = if usage.pool_bytes == 0 {
            "memory: no fixed pool in this process".to_owned()
        } else {
            format!(
                "memory: pool of {} KiB reserved and touched, {} KiB in use, {} KiB needed at the most",
                kib(usage.pool_bytes),
                kib(usage.live_bytes),
                kib(usage.peak_bytes.max(LARGEST.load(Relaxed)))
            )
        };
        std::iter::once(head).chain(self.lines.iter().map(move |&(part, kept, peak)| {
            format!(
                "memory:   {part:<20} keeps {:>6} KiB, peak {:>6} KiB",
                kib(kept),
                kib(peak)
            )
        }))
    }
}

/// Bytes that this process could still get: of the pool, and of the system's memory that is free or can be made so. All there
/// are where the system does not say.
pub fn free_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse().ok());
    let usage = usage();
    let pool = usage.pool_bytes.saturating_sub(usage.live_bytes) as u64;
    kib.map_or(u64::MAX, |kib: u64| (kib << 10).saturating_add(pool))
}

/// Page faults of this process since it began: (minor, major).
pub fn page_faults() -> (u64, u64) {
    // SAFETY: `getrusage` fills the whole structure, for which all bit patterns are valid.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    (usage.ru_minflt as u64, usage.ru_majflt as u64)
}

/// The most memory that this process had resident, in KiB.
pub fn peak_rss_kib() -> u64 {
    // SAFETY: as in `page_faults`.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_maxrss as u64
}
