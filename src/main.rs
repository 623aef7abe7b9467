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
    start_log(started);
    match Cli::parse().run(started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("eyelet: {failure}");
            ExitCode::from(failure.cause as u8)
        }
    }
}

/// The serial log: `[seconds since start] message` on standard output, what `RUST_LOG` lets through, `info` without it.
fn start_log(started: Instant) {
    env_logger::Builder::from_env(
        env_logger::Env::default()
            .default_filter_or("info,tract=off,tract_core=off,tract_onnx=off,tract_linalg=off"),
    )
    .target(env_logger::Target::Stdout)
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
