//! `eyelet run`: the product.

use super::BoardArgs;
use crate::device::{Device, Limits};
use crate::show::serial::Serial;
use crate::{Cause, Failure};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Arguments of `eyelet run`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: BoardArgs,
    /// Stop after this many frames
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Print versioned JSON lines instead of log lines
    #[arg(long)]
    pub(super) json: bool,
    /// Tell counters, times and memory every N frames (without it, every minute)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    stats_every: Option<u64>,
}

/// Runs the board until its end.
pub fn run(args: &Args, started: Instant) -> Result<(), Failure> {
    let (board, chosen_by) = args.board.board()?;
    log::debug!("board {}: {chosen_by}", board.name);
    let model = args.board.model(&board)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second signal ends the program at once, should the first one not get through.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| {
                Failure::new(
                    Cause::Board,
                    format!("cannot take the stop signal {signal}: {e}"),
                )
            })?;
    }
    let serial = Serial::new(args.json, started, &board.decide.unknown_label);
    let mut device = Device::start(board, model, serial)?;
    device.run(&Limits {
        frames: args.frames,
        stop: &stop,
        stats_every: args.stats_every,
    })?;
    Ok(())
}
