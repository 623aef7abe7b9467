//! The `eyelet` command: arguments, log, exit code. Everything else is in the library.

use eyelet::commands::Cli;
use eyelet::escaped::Escaped;
use eyelet::memory::FixedPool;
use eyelet::output::live::Log;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static POOL: FixedPool = FixedPool;

fn main() -> ExitCode {
    let started = Instant::now();
    eyelet::panics::install();
    if eyelet::firmware::is_first_program() {
        eyelet::firmware::run();
    }
    let cli = match Cli::of_arguments() {
        Ok(cli) => cli,
        Err(code) => return ExitCode::from(code),
    };
    start_log(started, cli.prints_serial_log());
    match cli.run(started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report()),
    }
}

/// Logs `[seconds since start] message` as `RUST_LOG` selects, by default `info` (and nothing from libraries). A line that cannot
/// be written is lost ([`Log`]).
fn start_log(started: Instant, on_stdout: bool) {
    let target = env_logger::Target::Pipe(Box::new(Log { on_stdout }));
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
                Escaped(record.args())
            )
        })
        .init();
}
