//! A limit on what a model takes while it is loaded, also by code that cannot go on without the memory that it asks for: the
//! system is told to give no more (`RLIMIT_AS`), and when it refuses, the program ends with one line and the exit code for a
//! model.

use super::{INSTALLED, free_bytes};
use crate::Cause;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// What a model may take: its weights twice, as the file has them and packed.
const LOADING_BYTES_MOST: u64 = 4 << 30;
/// Addresses that are asked for and not used: stacks of threads, the system's allocator's own.
const UNUSED_BYTES: u64 = 256 << 20;

/// The limit in bytes while one holds; 0 while none does.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// Which model is loaded.
static WHAT: Mutex<Text<256>> = Mutex::new(Text::new());

/// Runs `load`, which reads the model `file`, held to the limit: 4 GiB, or what this machine has. A program whose global
/// allocator is not [`super::FixedPool`] (a test of the library) is held to none.
pub fn held_to<T>(file: &Path, load: impl FnOnce() -> T) -> T {
    let most = LOADING_BYTES_MOST.min(free_bytes());
    let (Some(taken), true) = (addresses_bytes(), INSTALLED.load(SeqCst)) else {
        return load();
    };
    let Some(before) = address_limit() else {
        return load();
    };
    let wanted = taken.saturating_add(most).saturating_add(UNUSED_BYTES);
    // In an address space of 32 bits the limit is its end.
    #[allow(clippy::useless_conversion, reason = "rlim_t is of 32 bits elsewhere")]
    let wanted = libc::rlim_t::try_from(wanted).unwrap_or(libc::RLIM_INFINITY);
    let held = libc::rlimit {
        rlim_cur: wanted.min(before.rlim_cur),
        rlim_max: before.rlim_max,
    };
    if let Ok(mut what) = WHAT.lock() {
        *what = Text::new();
        let name = file.display().to_string();
        let _ = write!(what, "{}", name.escape_debug());
    }
    // One load at a time sets a limit and takes it back.
    let first = LIMIT.compare_exchange(
        0,
        usize::try_from(most).unwrap_or(usize::MAX),
        SeqCst,
        SeqCst,
    );
    if first.is_err() {
        return load();
    }
    set_address_limit(&held);
    let made = load();
    set_address_limit(&before);
    LIMIT.store(0, SeqCst);
    made
}

/// A block that the system gave; when it gave none while a limit holds, the program ends.
pub(super) fn served(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        reached(size);
    }
    block
}

/// There is no place for a block of that size: ends the program while a limit holds.
pub(super) fn reached(size: usize) {
    let limit = LIMIT.load(Relaxed);
    if limit != 0 {
        end(size, limit);
    }
}

/// Ends the program without another allocation.
fn end(size: usize, limit: usize) -> ! {
    let mut line = Text::<1024>::new();
    let what = WHAT.try_lock();
    let name = what.as_ref().map_or("", |w| w.as_str());
    let _ = writeln!(
        line,
        "eyelet: the model {name} asks for more memory than it may have while it is loaded: a block of {} KiB more, and {} MiB \
         in all are the limit here; take a smaller network or picture",
        size >> 10,
        limit >> 20
    );
    let bytes = line.as_str().as_bytes();
    // SAFETY: `bytes` is that long; `_exit` runs nothing of this program's any more.
    unsafe {
        libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(i32::from(Cause::Model as u8))
    }
}

/// Addresses that this process has, in bytes.
fn addresses_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    // SAFETY: it only asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(page).ok()?)
}

fn address_limit() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is written.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    (failed == 0).then_some(limit)
}

fn set_address_limit(limit: &libc::rlimit) {
    // SAFETY: `limit` is read.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, limit) };
}

/// Text in a place of its own, cut where it is full.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
    fn as_str(&self) -> &str {
        let whole = &self.bytes[..self.len];
        std::str::from_utf8(whole)
            .unwrap_or_else(|e| std::str::from_utf8(&whole[..e.valid_up_to()]).unwrap_or_default())
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = &mut self.bytes[self.len..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        Ok(())
    }
}
