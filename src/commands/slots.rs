//! `eyelet slots`: operations on the card and on sticks for a board's first program (see `firmware::slots`). Each is a separate
//! process, because reading a damaged volume may never end. Not in the list of commands.

use super::print_line;
use super::update::open_card;
use crate::failure::{Cause, Failure};
use crate::named;
use crate::slot::Slot;
use crate::update::{Chooser, Label, System, UpdateError, with_image};
use std::io;
use std::path::PathBuf;

/// Arguments of `eyelet slots`.
#[derive(Debug, clap::Args)]
pub struct Args {
    what: What,
    /// The whole device
    device: PathBuf,
    #[arg(long)]
    slot: Option<Slot>,
    #[arg(long)]
    loader: Option<Chooser>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Print the id of the system in SLOT
    Id,
    /// Print the slot that LOADER boots by default, then the one that waits for its trial
    Current,
    /// Make SLOT the one that LOADER boots by default
    Confirm,
    /// Boot SLOT once, at the next start
    TryOnce,
    /// Cancel a pending trial
    TryNothing,
    /// Print id and version of the update on a stick; nothing if there is none
    Find,
}

/// Performs one operation.
pub fn run(args: &Args) -> Result<(), Failure> {
    let fail = |error: UpdateError| {
        Failure::new(Cause::Device, format!("{}: {error}", args.device.display()))
    };
    let lacks = || Failure::new(Cause::Device, "an argument is missing");
    let read = || named::open_disk(&args.device).map_err(|error| fail(error.into()));
    match args.what {
        What::Id => {
            let slot = args.slot.ok_or_else(lacks)?;
            let system = System::in_slot(&mut read()?, slot).map_err(fail)?;
            print_line(system.id)
        }
        What::Current => {
            let loader = args.loader.ok_or_else(lacks)?;
            let mut card = read()?;
            let current = loader.current(&mut card).map_err(fail)?;
            print_line(current.letter())?;
            match Chooser::waiting(&mut card).map_err(fail)? {
                Some(slot) => print_line(slot.letter()),
                None => Ok(()),
            }
        }
        What::Confirm => {
            let (slot, loader) = (args.slot.ok_or_else(lacks)?, args.loader.ok_or_else(lacks)?);
            let mut card = open_card(&args.device)?;
            loader.confirm(&mut card, slot).map_err(fail)
        }
        What::TryOnce => {
            let (slot, loader) = (args.slot.ok_or_else(lacks)?, args.loader.ok_or_else(lacks)?);
            let mut card = open_card(&args.device)?;
            loader.try_once(&mut card, slot).map_err(fail)
        }
        What::TryNothing => {
            let loader = args.loader.ok_or_else(lacks)?;
            let mut card = open_card(&args.device)?;
            loader.try_nothing(&mut card).map_err(fail)
        }
        What::Find => match with_image(&args.device, |update| {
            Label::read(update.image, "the update")
        }) {
            Ok(label) => print_line(format_args!("{} {}", label.id, label.version)),
            Err(UpdateError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(fail(error)),
        },
    }
}
