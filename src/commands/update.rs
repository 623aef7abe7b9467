//! `eyelet update`: writes a new system to the idle slot of a card.

use super::print_line;
use crate::failure::{Cause, Failure};
use crate::named;
use crate::slot::Slot;
use crate::update::{Chooser, Options, Outcome, PublicKey, UpdateError, install, with_image};
use std::io;
use std::path::{Path, PathBuf};

/// The help text after the arguments.
const HELP: &str = "\
A card has two slots. The one that the board boots is not touched; the new system is written to the other one, read back, and \
booted once at the board's next start. Once it has classified and shown frames for a minute (policy.trial_s of its \
board file), it boots by default; otherwise the next start boots the old one. Power may fail at any \
time.

Where the card's system has a public key (`eyelet image --public-key`), IMAGE must be signed with its secret key: \
`minisign -Sm IMAGE` puts the signature beside it. Nothing is written before it is found to be right.

On a board that has no other system this is done by a USB stick, where its board file allows that: \
update_from_sticks under [firmware], boards/README.md.";

/// Arguments of `eyelet update`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The new image, made by `eyelet image`; or a FAT volume that contains it as eyelet-update.img
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The card, as a whole device (/dev/sdX, /dev/mmcblkN), or a card image file
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// The card's boot loader (by default as the card says)
    #[arg(long, hide = true)]
    loader: Option<Chooser>,
    /// The public key of the card's system (by default as the card says)
    #[arg(long, hide = true)]
    public_key: Option<PublicKey>,
    /// The running slot, which must not be written
    #[arg(long, hide = true)]
    running: Option<Slot>,
    /// Write the slot and print its system's id first, but leave the trial to `eyelet slots try-once`
    #[arg(long, hide = true)]
    defer_trial: bool,
}

/// Updates the card.
pub fn run(args: &Args) -> Result<(), Failure> {
    named::check_apart(&args.image, &args.card).map_err(|error| {
        let (image, card) = (args.image.display(), args.card.display());
        let message = format!("cannot update {card} from {image}: {error}");
        Failure::new(Cause::Device, message)
    })?;
    let mut card = open_card(&args.card)?;
    let fail = |error: UpdateError| failure(&args.image, error);
    let chooser = match args.loader {
        Some(chooser) => chooser,
        None => Chooser::of_card(&mut card).map_err(fail)?,
    };
    let options = Options {
        key: args.public_key.as_ref(),
        running: args.running,
        defers_trial: args.defer_trial,
    };
    let outcome = with_image(&args.image, |update| {
        install(&mut card, update, options, chooser)
    });
    let outcome = outcome.map_err(fail)?;
    if args.defer_trial {
        print_line(&outcome.label().id)?;
    }
    let shown = args.card.display();
    match outcome {
        Outcome::Installed {
            slot,
            label,
            is_signed,
        } => print_line(format_args!(
            "{shown}: {} {} is in slot {} and was read back, sha256 {}{}",
            if is_signed { "signed system" } else { "system" },
            label.version,
            slot.letter(),
            label.slot(slot).sha256,
            if args.defer_trial {
                ""
            } else {
                "; it will be tried at the next start"
            }
        )),
        Outcome::Same {
            slot,
            label,
            cancelled_trial,
        } => print_line(format_args!(
            "{shown}: slot {} already has this system, {}; {}",
            slot.letter(),
            label.version,
            if cancelled_trial {
                "the pending trial of the other slot is cancelled"
            } else {
                "nothing was written"
            }
        )),
    }
}

/// Opens a card for exclusive use.
pub(super) fn open_card(path: &Path) -> Result<std::fs::File, Failure> {
    named::open_disk_alone(path).map_err(|error| {
        let shown = path.display();
        let remedy = match error.raw_os_error() {
            Some(libc::EBUSY) => "it is in use; unmount it".to_owned(),
            Some(libc::EACCES | libc::EPERM) => {
                "permission denied: use sudo, or join the group disk".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::new(Cause::Device, format!("cannot update {shown}: {remedy}"))
    })
}

fn failure(image: &Path, error: UpdateError) -> Failure {
    let cause = match &error {
        UpdateError::Damaged { .. } | UpdateError::Signature(_) => Cause::Package,
        UpdateError::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
            ) =>
        {
            Cause::Package
        }
        _ => Cause::Device,
    };
    Failure::new(cause, format!("{}: {error}", image.display()))
}
