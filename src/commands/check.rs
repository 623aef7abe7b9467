//! `eyelet check`: everything about a board, its picture files and its model, without opening hardware.

use super::{BoardArgs, print_facts, print_line};
use crate::Failure;
use crate::board::firmware::Machine;
use crate::board::labelling::Labelling;
use crate::device::views;
use crate::memory::{self, PoolSize};
use crate::network::Network;

/// Arguments of `eyelet check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: BoardArgs,
}

/// Checks the board file, loads and runs the model in the board's pool, and prints what the board would do.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (board, chosen_by) = args.board.board()?;
    #[cfg(feature = "tools")]
    crate::image::check_left_out(&board)?;
    print_line(format_args!(
        "board    {} ({}), {chosen_by}",
        board.name, board.description
    ))?;
    print_line(format_args!("camera   {}", board.camera))?;
    board.camera.settings().check()?;
    if board.displays.is_empty() {
        print_line("display  none: only the serial log")?;
    }
    for display in &board.displays {
        print_line(format_args!("display  {display}"))?;
    }
    if !board.regions.is_empty() {
        let regions = views::describe(&board.regions);
        print_line(format_args!("regions  {regions}"))?;
    }
    let model = args.board.model(&board, &chosen_by)?;
    let lettering = Labelling::of(&board, &model)?.lettering;
    if let (Some(path), Some(own)) = (&board.font, lettering.own) {
        let (path, count) = (path.display(), own.count());
        print_line(format_args!(
            "font     {path}, with {count} characters of the labels that the built-in font lacks"
        ))?;
    }
    if board.firmware.machine.is_some_and(Machine::is_raspberry_pi) {
        print_line(
            "power    Raspberry Pi OS's kernel reports low voltage; Debian's does not, and policy.power_low never acts",
        )?;
    }
    memory::reserve(board.pool)?;
    let mut ledger = memory::Ledger::default();
    let mut network = ledger.account("network", || Network::load(&model, board.threads))?;
    ledger.account("network, one run", || network.run().map(|_| ()))?;
    print_line(format_args!(
        "model    {}, {}",
        model.name,
        network.describe()
    ))?;
    print_facts(&model)?;
    memory::settle();
    for line in ledger.lines() {
        print_line(line)?;
    }
    if let PoolSize::AsNeeded = board.pool {
        print_line("memory: `eyelet run` needs more: its camera and its display come on top")?;
    }
    memory::seal()?;
    let assumed = match model.facts.iter().filter(|fact| fact.is_assumed()).count() {
        0 => String::new(),
        1 => "; 1 value is assumed".to_owned(),
        count => format!("; {count} values are assumed"),
    };
    match lettering.warning() {
        None => print_line(format_args!("all is well{assumed}")),
        Some(warning) => {
            print_line(format_args!("warning  {warning}"))?;
            print_line(format_args!("all else is well{assumed}"))
        }
    }
}
