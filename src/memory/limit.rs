//! Limits the memory that loading a model may take, even in code that cannot handle a failed allocation: `RLIMIT_AS` makes the
//! system refuse more, and then the program ends with one line and the exit code for a model.

use super::{INSTALLED, free_bytes};
use crate::Cause;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// The most that a model may take: its weights twice, as stored in the file and packed.
const MAX_LOADING_BYTES: u64 = 4 << 30;
/// Addresses that are reserved and not used: thread stacks, the system allocator's own.
const UNUSED_BYTES: u64 = 256 << 20;

/// The limit in bytes while one is set; 0 otherwise.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// The model being loaded.
static WHAT: Mutex<Text<256>> = Mutex::new(Text::new());

/// Runs `load`, which reads the model `file`, under the limit: 4 GiB, or what this machine has. Sets no limit in a program whose
/// global allocator is not [`super::FixedPool`] (a test of the library).
pub fn held_to<T>(file: &Path, load: impl FnOnce() -> T) -> T {
    let most = MAX_LOADING_BYTES.min(free_bytes());
    let (Some(taken), true) = (addresses_bytes(), INSTALLED.load(SeqCst)) else {
        return load();
    };
    let Some(before) = address_limit() else {
        return load();
    };
    let wanted = taken.saturating_add(most).saturating_add(UNUSED_BYTES);
    // In a 32-bit address space the limit is its end.
    #[allow(clippy::useless_conversion, reason = "rlim_t has 32 bits elsewhere")]
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
    // Only one load at a time sets and resets the limit.
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
    let loaded = load();
    set_address_limit(&before);
    LIMIT.store(0, SeqCst);
    loaded
}

/// Passes on a block from the system; if the system refused while a limit is set, ends the program.
pub(super) fn served(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        reached(size);
    }
    block
}

/// An allocation of that size failed: ends the program while a limit is set.
pub(super) fn reached(size: usize) {
    let limit = LIMIT.load(Relaxed);
    if limit != 0 {
        end(size, limit);
    }
}

/// Ends the program without allocating.
fn end(size: usize, limit: usize) -> ! {
    let mut line = Text::<1024>::new();
    let what = WHAT.try_lock();
    let name = what.as_ref().map_or("", |w| w.as_str());
    let _ = writeln!(
        line,
        "eyelet: the model {name} needs more memory to load than allowed: it asked for a block of {} KiB, and the limit here is \
         {} MiB in all; use a smaller network or picture",
        size >> 10,
        limit >> 20
    );
    let bytes = line.as_str().as_bytes();
    // SAFETY: `bytes` has that length; `_exit` runs no more code of this program.
    unsafe {
        libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(i32::from(Cause::Model as u8))
    }
}

/// Size of this process's address space, in bytes.
fn addresses_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    // SAFETY: it only reads a number.
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

/// A text buffer of fixed size that truncates what does not fit.
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
