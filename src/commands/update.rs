//! `eyelet update`: puts a new system into the idle slot of a card.

use super::print_line;
use crate::failure::{Cause, Failure};
use crate::named;
use crate::update::{Chooser, Outcome, PublicKey, UpdateError, install, with_image};
use std::io;
use std::path::{Path, PathBuf};

/// What the command says beyond its arguments.
const HELP: &str = "\
A card has two slots. The one that the board boots is not touched; the other one gets the new system, is read back, and \
is booted once at the board's next start. When frames were classified and shown there for a minute (policy.trial_s of its \
board file), it is the one that is booted from then on; otherwise the next start is the old one. Power may go at any \
time.

Where the card's system has a public key (`eyelet image --public-key`), IMAGE must be signed with its secret key: \
`minisign -Sm IMAGE` puts the signature beside it. Nothing is written before it is found to be right.

On a board that has no other system this is done by a USB stick, where its board file allows that: \
update_from_sticks under [firmware], boards/README.md.";

/// Arguments of `eyelet update`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The new image, as `eyelet image` made it; or a FAT volume that has it as eyelet-update.img
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The card, as a whole device (/dev/sdX, /dev/mmcblkN), or the file of one
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// What boots the card's board (otherwise the card says it)
    #[arg(long, hide = true)]
    loader: Option<Chooser>,
    /// The public key of the card's system (otherwise the card says it)
    #[arg(long, hide = true)]
    public_key: Option<PublicKey>,
}

/// Updates the card.
pub fn run(args: &Args) -> Result<(), Failure> {
    named::check_apart(&args.image, &args.card).map_err(|error| {
        let (image, card) = (args.image.display(), args.card.display());
        let message = format!("{card} cannot be updated from {image}: {error}");
        Failure::new(Cause::Device, message)
    })?;
    let mut card = open_card(&args.card)?;
    let fail = |error: UpdateError| failure(&args.image, error);
    let chooser = match args.loader {
        Some(chooser) => chooser,
        None => Chooser::of_card(&mut card).map_err(fail)?,
    };
    let key = args.public_key.as_ref();
    let outcome = with_image(&args.image, |brought| {
        install(&mut card, brought, key, chooser)
    });
    let shown = args.card.display();
    match outcome.map_err(fail)? {
        Outcome::Installed {
            slot,
            label,
            is_signed,
        } => print_line(format_args!(
            "{shown}: {} {} is in slot {} and was read back, sha256 {}; it is tried at the next start",
            if is_signed { "signed system" } else { "system" },
            label.version,
            slot.letter(),
            label.slot(slot).sha256
        )),
        Outcome::Same {
            slot,
            label,
            took_back,
        } => print_line(format_args!(
            "{shown}: slot {} has this very system, {}; {}",
            slot.letter(),
            label.version,
            if took_back {
                "the other slot, which waited for its trial, is not tried any more"
            } else {
                "nothing is written"
            }
        )),
    }
}

/// Opens a card that nobody else has.
pub(super) fn open_card(path: &Path) -> Result<std::fs::File, Failure> {
    named::open_disk_alone(path).map_err(|error| {
        let shown = path.display();
        let remedy = match error.raw_os_error() {
            Some(libc::EBUSY) => "something has it open; unmount it".to_owned(),
            Some(libc::EACCES | libc::EPERM) => {
                "you may not write to it: use sudo, or join the group disk".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::new(
            Cause::Device,
            format!("{shown} cannot be updated: {remedy}"),
        )
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
