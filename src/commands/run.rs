//! `eyelet run`: runs the board.

use super::{BoardArgs, stop_signal};
use crate::board::choose::ChosenBy;
use crate::care::Care;
use crate::care::boot::Boot;
use crate::device::reload::Reload;
use crate::device::{Device, Limits, Parts};
use crate::limits;
use crate::output::live;
use crate::show::serial::Serial;
use crate::show::{Display, DisplayConfig, Scene, State};
use crate::{Cause, Failure};
use signal_hook::consts::SIGHUP;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Arguments of `eyelet run`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: BoardArgs,
    /// Stop after this many frames
    #[arg(long, value_name = "N", value_parser = limits::flag::<u64>(limits::FRAMES))]
    frames: Option<u64>,
    /// Print versioned JSON lines instead of log lines
    #[arg(long)]
    pub(super) json: bool,
    /// Print counters, times and memory every N frames (by default every minute)
    #[arg(long, value_name = "N", value_parser = limits::flag::<u64>(limits::STATS_EVERY_FRAMES))]
    stats_every: Option<u64>,
    /// Print every frame's verdict, not only changes (a reader slower than the frames slows them down; one that lets them wait for 2 s ends the run)
    #[arg(long)]
    every_frame: bool,
}

/// Runs the board until it ends.
pub fn run(args: &Args, started: Instant) -> Result<(), Failure> {
    live::begin();
    let (board, chosen_by) = args.board.board()?;
    log::debug!("board {}: {chosen_by}", board.name);
    let mut care = Care::of_environment(board.policy.clone())?;
    let is_supervised = care.is_supervised();
    // At a desk the shipped photos are classified. A service that did so would help nobody.
    if is_supervised && chosen_by == ChosenBy::Default && args.board.camera.is_none() {
        return Err(Failure::new(
            Cause::Board,
            "Eyelet does not recognise this machine's device tree as a known board: put a board file at \
             /etc/eyelet/board.toml (examples are in /usr/share/doc/eyelet/boards)",
        ));
    }
    let displays = board.displays.clone();
    let failed = |failure: Failure| {
        if is_supervised {
            drop(show(&displays, State::Failed(failure.cause)));
        }
        failure
    };
    // After a crash a panel still shows the last class, and loading the model may take seconds. While a board boots there is no
    // such class, and the model loads beside the panels' drivers. A display that is closed goes dark, so these stay open.
    let is_booting = care.boot.as_mut().is_some_and(Boot::may_bring_more);
    let mut earlier = Vec::new();
    if is_supervised && !is_booting {
        let mut left = displays.clone();
        left.retain(|display| display.settings().keeps_picture());
        earlier = show(&left, State::Starting);
    }
    let model = match args.board.model(&board, &chosen_by) {
        Ok(model) => model,
        Err(failure) => {
            // A panel can be open only once.
            drop(earlier);
            return Err(failed(failure));
        }
    };
    let stop = stop_signal()?;
    let reload = Arc::new(AtomicBool::new(false));
    // At a terminal SIGHUP means that the terminal is gone, and ends the program as usual.
    if !std::io::stdin().is_terminal() {
        signal_hook::flag::register(SIGHUP, Arc::clone(&reload)).map_err(|e| {
            let what = "which rereads the board file";
            Failure::new(
                Cause::Board,
                format!("cannot handle the signal {SIGHUP}, {what}: {e}"),
            )
        })?;
    }
    let serial = Serial::new(args.json, started, &board.decide.unknown_label)
        .of_every_frame(args.every_frame);
    care.says("starting");
    let parts = Parts::of_board(board, model, serial, care).map(|parts| Parts { earlier, ..parts });
    let mut device = match parts.and_then(|parts| Device::start(parts, &stop)) {
        Ok(device) => device,
        // Asked to stop while it waited for its camera.
        Err(_) if stop.load(Ordering::Relaxed) => return Ok(()),
        Err(failure) => return Err(failed(failure)),
    };
    device.run(&Limits {
        frames: args.frames,
        stop: &stop,
        stats_every: args.stats_every,
        reload: Some(Reload {
            wanted: &reload,
            read: &|| args.board.board().map(|(board, _)| board),
        }),
    })?;
    Ok(())
}

/// Shows a state on displays before the loop has them: that the board starts, or, before the program ends and is restarted, that
/// it cannot. Returns those that are open.
fn show(displays: &[DisplayConfig], state: State) -> Vec<Box<dyn Display>> {
    let mut shown = Vec::with_capacity(displays.len());
    for display in displays {
        let Ok(mut display) = display.settings().open(None) else {
            continue;
        };
        match display.show(&Scene::in_state(state)) {
            Ok(()) => shown.push(display),
            Err(error) => log::warn!("display: {error}"),
        }
    }
    shown
}
