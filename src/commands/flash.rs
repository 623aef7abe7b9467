//! `eyelet flash`: writes an image to a card and reads it back.

use super::print_line;
use crate::failure::{Cause, Failure};
use crate::flash::device::{Described, Places, examine};
use crate::flash::{FlashError, Image, Progress};
use crate::image::{OutputFile, replaceable};
use crate::named;
use crate::output;
use crate::update::Disk;
use clap::ArgAction;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Arguments of `eyelet flash`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as `eyelet image` made it
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The card, as a whole device: /dev/sdX, /dev/mmcblkN or a link to one in /dev/disk/by-id
    #[arg(
        value_name = "DEVICE",
        required_unless_present = "to",
        conflicts_with = "to"
    )]
    device: Option<PathBuf>,
    /// Write to this file instead of a card; an existing file is replaced only if it is empty or an image of `eyelet image`
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write despite objections; must be given twice, because it may destroy a disk that is in use
    #[arg(long, action = ArgAction::Count)]
    force: u8,
}

/// Writes and verifies.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut image = Image::open(&args.image)?;
    let (path, sha256) = match (&args.to, &args.device) {
        (Some(file), _) => (file, write_file(&mut image, file)?),
        (None, Some(device)) => {
            let mut card = open_device(device, &image, args.force)?;
            (device, write_to(&mut image, &mut card)?)
        }
        // clap requires one of the two.
        (None, None) => return Err(refused("no device was given".to_owned())),
    };
    print_line(format_args!(
        "{}: {} bytes written and read back, sha256 {sha256}",
        path.display(),
        image.size_bytes
    ))
}

/// Writes and reads back, with a progress bar.
fn write_to(image: &mut Image, card: &mut dyn Disk) -> Result<String, FlashError> {
    let mut bar = Bar(ProgressBar::no_length());
    let result = image.write_to(card, &mut bar);
    bar.0.finish_and_clear();
    result
}

fn refused(message: String) -> Failure {
    Failure::new(Cause::Device, message)
}

/// Writes a file, which replaces only an empty file or an Eyelet image, and appears when it is complete.
fn write_file(image: &mut Image, path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::InvalidInput => refused(format!(
            "cannot write --to {shown}: {error}; to write a card, pass it without --to"
        )),
        _ => Failure::new(Cause::Output, format!("cannot write {shown}: {error}")),
    };
    // Before the rule for files of another kind: what is wrong is that it is the input.
    if std::fs::metadata(path).is_ok_and(|there| named::is_same(&there, &image.metadata)) {
        return Err(refused(format!(
            "--to {shown} is the image itself: choose another file"
        )));
    }
    let place = replaceable(path).map_err(failed)?;
    let mut file = OutputFile::beside(&place).map_err(failed)?;
    let sha256 = write_to(image, &mut file).map_err(|error| match error {
        FlashError::Image { .. } => error.into(),
        FlashError::Write { error, .. } | FlashError::Read { error, .. } => failed(error),
        FlashError::Differs { got, want } => failed(io::Error::other(format!(
            "its disk returns other bytes than were written (sha256 {got}, not {want}): use another disk"
        ))),
    })?;
    file.finish(&place).map_err(failed)?;
    Ok(sha256)
}

fn open_device(path: &Path, image: &Image, force: u8) -> Result<File, Failure> {
    let shown = path.display();
    let no_device = |reason: &dyn std::fmt::Display| {
        refused(format!(
            "cannot write {shown}: {reason} (`lsblk` lists the devices)"
        ))
    };
    let real = path.canonicalize().map_err(|error| no_device(&error))?;
    let metadata = std::fs::metadata(&real).map_err(|error| no_device(&error))?;
    if !metadata.file_type().is_block_device() {
        return Err(no_device(
            &"it is not a block device; --to FILE writes a file",
        ));
    }
    // By device number, because a device file may have any name.
    let number = metadata.rdev();
    let number = format!("{}:{}", libc::major(number), libc::minor(number));
    let name = Path::new("/sys/dev/block")
        .join(number)
        .canonicalize()
        .ok()
        .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .ok_or_else(|| no_device(&"the kernel does not know it"))?;
    let described = examine(&name, &image.metadata, &image.path, &Places::default())
        .map_err(|error| no_device(&error))?;
    object(&shown.to_string(), &described, force)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if force < 2 {
        // The kernel then guarantees that nobody else has it open.
        options.custom_flags(libc::O_EXCL);
    }
    let card = options
        .open(&real)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                no_device(&"permission denied: use sudo, or join the group disk")
            }
            Some(libc::EBUSY) => no_device(&"it is in use; unmount it"),
            _ => no_device(&error),
        })?;
    match card.metadata() {
        Ok(now) if now.rdev() == metadata.rdev() => Ok(card),
        _ => Err(no_device(&"it was replaced by another device")),
    }
}

/// Refuses if there are objections that `force` does not overrule.
fn object(shown: &str, described: &Described, force: u8) -> Result<(), Failure> {
    let overruled = force >= 2;
    let standing: Vec<_> = described
        .objections
        .iter()
        .filter(|objection| !(overruled && objection.may_be_overruled()))
        .collect();
    if standing.is_empty() {
        for objection in &described.objections {
            log::warn!("{shown}: {objection}; overwriting it anyway");
        }
        return Ok(());
    }
    let reasons: Vec<_> = standing.iter().map(ToString::to_string).collect();
    let name = match described.model.as_str() {
        "" => shown.to_owned(),
        model => format!("{shown} ({model})"),
    };
    let can_be_forced = standing
        .iter()
        .all(|objection| objection.may_be_overruled());
    let remedy = match (can_be_forced, force) {
        (false, _) => "",
        (true, 0) => "; --force --force writes it anyway",
        (true, _) => "; one --force is not enough, give it twice",
    };
    Err(refused(format!(
        "not writing {name}: {}{remedy}",
        reasons.join("; ")
    )))
}

/// A progress bar on a terminal; otherwise one line when a stage begins.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn begin(&mut self, what: &'static str, bytes: u64) {
        if self.0.is_hidden() {
            output::eprint_line(format_args!("{what} {bytes} bytes"));
            return;
        }
        let style = ProgressStyle::with_template(
            "{msg:12} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        );
        if let Ok(style) = style {
            self.0.set_style(style.progress_chars("=> "));
        }
        self.0.set_message(what);
        self.0.set_length(bytes);
        self.0.set_position(0);
        self.0.reset_eta();
    }

    fn reached(&mut self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::flash::device::Objection;

    fn refusal(objections: Vec<Objection>, force: u8) -> String {
        let described = Described {
            size_bytes: 1,
            model: "Stick".to_owned(),
            objections,
        };
        object("/dev/sdb", &described, force)
            .map_or_else(|failure| failure.message, |()| "written".to_owned())
    }

    #[test]
    fn one_force_is_not_enough() {
        let objection = || vec![Objection::RunsTheSystem];
        assert_eq!(
            refusal(objection(), 0),
            "not writing /dev/sdb (Stick): this machine's system runs from it; --force --force writes it anyway"
        );
        assert!(refusal(objection(), 1).ends_with("give it twice"));
        assert_eq!(refusal(objection(), 2), "written");
        assert_eq!(refusal(vec![], 0), "written");
    }

    #[test]
    fn a_device_that_cannot_work_cannot_be_forced() {
        let objections = vec![
            Objection::NotRemovable,
            Objection::TooSmall {
                device_bytes: 1,
                image_bytes: 2,
            },
        ];
        assert_eq!(
            refusal(objections, 2),
            "not writing /dev/sdb (Stick): it has 1 bytes, and the image has 2: take a larger card"
        );
    }
}
