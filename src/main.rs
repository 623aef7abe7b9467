//! The `eyelet` command: arguments, log, exit code. All else is in the library.

use clap::Parser;
use eyelet::commands::Cli;
use eyelet::memory::FixedPool;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static POOL: FixedPool = FixedPool;

fn main() -> ExitCode {
    let started = Instant::now();
    #[cfg(panic = "abort")]
    std::panic::set_hook(Box::new(end_by_panic));
    if eyelet::firmware::is_first_program() {
        eyelet::firmware::run();
    }
    let cli = Cli::parse();
    start_log(started, cli.prints_serial_log());
    match cli.run(started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("eyelet: {failure}");
            ExitCode::from(failure.cause as u8)
        }
    }
}

/// The program of the profile `static` has no unwinding, which would be a fifth of its size: a panic, which the other
/// programs catch where a network is planned and run, ends it, in one line and with the exit code for a model. Once frames pass
/// it is no fault of the model's: then it is Rust's own exit code for a panic, and whoever watches starts the program again.
#[cfg(panic = "abort")]
fn end_by_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("no message");
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = panic
        .location()
        .map_or_else(String::new, |at| format!(" at {at}"));
    let (advice, code) = if eyelet::memory::is_sealed() {
        ("a fault of Eyelet's: please report this line", 101)
    } else {
        (
            "most likely the model cannot be run: try another one",
            i32::from(eyelet::Cause::Model as u8),
        )
    };
    eprintln!("eyelet: a panic{place}: {what}; {advice}");
    std::process::exit(code);
}

/// `[seconds since start] message`, what `RUST_LOG` lets through, `info` without it (and nothing of the libraries).
fn start_log(started: Instant, on_stdout: bool) {
    let target = if on_stdout {
        env_logger::Target::Stdout
    } else {
        env_logger::Target::Stderr
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off,eyelet=info"))
        .target(target)
        .format(move |out, record| {
            let level = match record.level() {
                log::Level::Info => String::new(),
                level => format!("{} ", level.as_str().to_lowercase()),
            };
            writeln!(
                out,
                "[{:9.3}] {level}{}",
                started.elapsed().as_secs_f64(),
                record.args()
            )
        })
        .init();
}
