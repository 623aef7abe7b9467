//! Panics. A caught panic prints nothing: the code that catches it makes an error of it. An uncaught one ends the program with
//! one line.
//!
//! The profile `static` aborts instead of unwinding, which saves a fifth of its size: there every panic ends the program, with
//! the exit code for a model while one may still be planned, and with Rust's own code for a panic once frames run. The supervisor
//! then restarts the program.

use crate::output;
use std::cell::Cell;
use std::panic::{self, PanicHookInfo, UnwindSafe};

thread_local! {
    /// How many [`catch_unwind`] are on the stack.
    static CAUGHT: Cell<u32> = const { Cell::new(0) };
}

/// Installs the hook that reports panics in one line, for the whole process.
pub fn install() {
    panic::set_hook(Box::new(report));
}

/// [`std::panic::catch_unwind`] without a report of the panic.
///
/// # Errors
/// The panic's payload.
pub fn catch_unwind<T>(run: impl FnOnce() -> T + UnwindSafe) -> std::thread::Result<T> {
    CAUGHT.set(CAUGHT.get() + 1);
    let result = panic::catch_unwind(run);
    CAUGHT.set(CAUGHT.get() - 1);
    result
}

fn report(panic: &PanicHookInfo<'_>) {
    let is_caught = cfg!(panic = "unwind") && CAUGHT.get() > 0;
    if is_caught {
        log::debug!("{}", line(panic));
        return;
    }
    let is_planning = cfg!(panic = "abort") && !crate::memory::is_sealed();
    let advice = if is_planning {
        "most likely the model cannot be run: try another one"
    } else {
        "a bug in Eyelet: please report this line"
    };
    output::eprint_line(format_args!("eyelet: {}; {advice}", line(panic)));
    if is_planning {
        std::process::exit(i32::from(crate::Cause::Model as u8));
    }
    if cfg!(panic = "abort") {
        // Rust's own exit code for a panic; `abort` would end with a signal.
        std::process::exit(101);
    }
}

fn line(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no message");
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = panic
        .location()
        .map_or_else(String::new, |at| format!(" at {at}"));
    format!("a panic{place}: {what}")
}
