//! Where an update comes from: an image file, a disk that an image was written to, or a FAT volume (a USB stick) that contains
//! the image as a file. Its signature is the file beside it whose name ends in [`SUFFIX`].

use super::UpdateError;
use super::read_ahead::ReadAhead;
use super::signature::{LONGEST_BYTES, SUFFIX, SignatureFile};
use crate::{fat_volume, mbr, named};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::Path;

/// The image's name on a stick, in its top folder.
pub const FILE_NAME: &str = "eyelet-update.img";

/// An image with random access.
pub trait Image: Read + Seek {}

impl<T: Read + Seek> Image for T {}

/// An update as provided by the user.
pub struct Update<'a> {
    /// The image.
    pub image: &'a mut dyn Image,
    /// The signature file beside it.
    pub signature: SignatureFile,
}

/// Calls `work` with the image at `path`: an image file or block device, or a FAT volume that contains one.
///
/// Nothing is written.
///
/// # Errors
/// `NotFound` when `path` is none of these; otherwise errors of the system and of `work`.
pub fn with_image<T>(
    path: &Path,
    work: impl FnOnce(&mut Update<'_>) -> Result<T, UpdateError>,
) -> Result<T, UpdateError> {
    let mut file = named::open_disk(path)?;
    let mut sector = Vec::new();
    (&mut file)
        .take(mbr::SECTOR_BYTES)
        .read_to_end(&mut sector)?;
    file.rewind()?;
    if mbr::disk_id(&sector) == Some(mbr::EYELET_DISK_ID) {
        return work(&mut Update {
            image: &mut file,
            signature: beside(path)?,
        });
    }
    let absent = || {
        let what = format!("it is neither an image nor a FAT volume with {FILE_NAME}");
        UpdateError::Io(io::Error::new(ErrorKind::NotFound, what))
    };
    let name = format!("{FILE_NAME}{SUFFIX}");
    let names = [FILE_NAME, &name];
    let volume =
        fat_volume::open(ReadAhead::new(file), &names).map_err(|error| match error.kind() {
            ErrorKind::Unsupported => absent(),
            _ => error.into(),
        })?;
    let root = volume.root_dir();
    let mut image = match root.open_file(FILE_NAME) {
        Ok(image) => image,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(absent()),
        Err(error) => return Err(error.into()),
    };
    let contents = match root.open_file(&name) {
        Ok(file) => Some(beginning(file)?),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    work(&mut Update {
        image: &mut image,
        signature: SignatureFile { name, contents },
    })
}

/// The signature beside the image `path`.
fn beside(path: &Path) -> io::Result<SignatureFile> {
    let mut name = OsString::from(path);
    name.push(SUFFIX);
    let path = Path::new(&name);
    let contents = match named::open_file(path, u64::MAX) {
        Ok(file) => Some(beginning(file)?),
        Err(error) => match error.kind() {
            // The last one: a path through a non-folder means no signature.
            ErrorKind::NotFound | ErrorKind::InvalidFilename | ErrorKind::InvalidInput => None,
            _ => return Err(error),
        },
    };
    Ok(SignatureFile {
        name: path.display().to_string(),
        contents,
    })
}

/// Reads one byte more than allowed, to detect a file that is too long.
fn beginning(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
