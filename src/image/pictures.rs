//! Puts the pictures that a board file names instead of a camera (`[camera.still]`) on the card.

use super::board_text::{ETC, with_text};
use super::{Files, Recipe, limits};
use crate::camera::CameraConfig;
use crate::failure::{Cause, Failure};
use crate::named;
use std::path::{Component, Path, PathBuf};

/// Where pictures from other folders are stored.
const PICTURES: &str = "pictures";

/// Adds the pictures to the initramfs. Returns the board file's text with their paths there.
pub fn add(recipe: &Recipe<'_>, board_text: &str, files: &mut Files) -> Result<String, Failure> {
    let CameraConfig::Still(still) = &recipe.board.camera else {
        return Ok(board_text.to_owned());
    };
    let mut places = Vec::new();
    for (index, path) in still.files.iter().enumerate() {
        let place = place_of(path, index, recipe.board_folder);
        add_pictures(path, &place, files)?;
        places.push(format!("/{}", place.display()));
    }
    Ok(with_text(board_text, &["camera", "still", "files"], places))
}

/// The place in the initramfs of the picture or folder that the board file names as number `index`: beside the board file if it
/// is below its folder, otherwise in a separate folder, because `/init` may mount something on its original path.
fn place_of(path: &Path, index: usize, board_folder: Option<&Path>) -> PathBuf {
    let below = board_folder.and_then(|folder| path.strip_prefix(folder).ok());
    let is_plain = |below: &&Path| {
        let mut parts = below.components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    match below.filter(is_plain) {
        Some(below) => Path::new(ETC).join(below),
        None => {
            let name = path.file_name().unwrap_or_default();
            Path::new(PICTURES).join(index.to_string()).join(name)
        }
    }
}

fn add_pictures(path: &Path, place: &Path, files: &mut Files) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Cause::Picture,
            format!("cannot read {}: {error}", path.display()),
        )
    };
    if !path.is_dir() {
        let held: u64 = files.values().map(|file| file.len() as u64).sum();
        let left = limits::INITRAMFS_BYTES.saturating_sub(held);
        let contents = named::read_file(path, limits::PICTURE_BYTES.min(left)).map_err(failed)?;
        files.insert(place.to_string_lossy().into_owned(), contents);
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_file() {
            add_pictures(&entry.path(), &place.join(entry.file_name()), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_go_beside_the_board_file_or_into_a_separate_folder() {
        let folder = Some(Path::new("/home/me/boards"));
        let here = Some(Path::new(""));
        for (path, folder, place) in [
            (
                "/home/me/boards/cats/1.jpg",
                folder,
                "etc/eyelet/cats/1.jpg",
            ),
            ("cats/1.jpg", here, "etc/eyelet/cats/1.jpg"),
            ("/tmp/1.jpg", folder, "pictures/7/1.jpg"),
            ("/tmp/1.jpg", here, "pictures/7/1.jpg"),
            ("/home/me/boards/../cats/1.jpg", folder, "pictures/7/1.jpg"),
            ("..", here, "pictures/7"),
            ("/usr/share/eyelet/boards/photos", None, "pictures/7/photos"),
        ] {
            let found = place_of(Path::new(path), 7, folder);
            assert_eq!(found, Path::new(place), "{path}");
        }
    }
}
