//! Where an update comes from: an image's file, a disk that an image was written to, or a FAT volume (a USB stick) with the
//! image as a file in it.

use super::UpdateError;
use crate::{fat_volume, mbr, named};
use std::io::{self, Read, Seek};
use std::path::Path;

/// The image's name on a stick, in its topmost folder.
pub const FILE_NAME: &str = "eyelet-update.img";

/// An image that can be read anywhere.
pub trait Image: Read + Seek {}

impl<T: Read + Seek> Image for T {}

/// Calls `work` with the image at `path`: a file or block device that is one, or that is a FAT volume with one in it.
///
/// Nothing is written.
///
/// # Errors
/// `NotFound` when `path` is neither; otherwise those of the system and of `work`.
pub fn with_image<T>(
    path: &Path,
    work: impl FnOnce(&mut dyn Image) -> Result<T, UpdateError>,
) -> Result<T, UpdateError> {
    let mut file = named::open_disk(path)?;
    let mut sector = Vec::new();
    (&mut file)
        .take(mbr::SECTOR_BYTES)
        .read_to_end(&mut sector)?;
    file.rewind()?;
    if mbr::disk_id(&sector) == Some(mbr::EYELET_DISK_ID) {
        return work(&mut file);
    }
    let absent = || {
        let what = format!("there is no image, and no FAT volume with {FILE_NAME}");
        UpdateError::Io(io::Error::new(io::ErrorKind::NotFound, what))
    };
    let volume = fat_volume::open(file, &[FILE_NAME]).map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => absent(),
        _ => error.into(),
    })?;
    let mut image = match volume.root_dir().open_file(FILE_NAME) {
        Ok(image) => image,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent()),
        Err(error) => return Err(error.into()),
    };
    work(&mut image)
}
