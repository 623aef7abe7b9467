//! The shipped network and photos, inside the program (feature `built-in`), so that a lone program installed by `cargo install`
//! has something for its first run.
//!
//! Their paths lead into the program's own file, where the system has no files, so they cannot be confused with others. They are
//! the last of the data roots; code that opens a file from a data root asks here first. The bytes are part of the program's file,
//! so they take memory only while they are read.

use std::path::{Path, PathBuf};

/// The data root above these files.
const ROOT: &str = "/proc/self/exe";

/// Files by their path below a data root, sorted.
#[cfg(feature = "built-in")]
static FILES: &[(&str, &[u8])] = &[
    (
        "boards/photos/cat.jpg",
        include_bytes!("../boards/photos/cat.jpg"),
    ),
    (
        "boards/photos/espresso.jpg",
        include_bytes!("../boards/photos/espresso.jpg"),
    ),
    (
        "boards/photos/rocket.jpg",
        include_bytes!("../boards/photos/rocket.jpg"),
    ),
    (
        "boards/photos/tripod.jpg",
        include_bytes!("../boards/photos/tripod.jpg"),
    ),
    (
        "models/efficientnet-lite0/efficientnet-lite0-int8.onnx",
        include_bytes!("../models/efficientnet-lite0/efficientnet-lite0-int8.onnx"),
    ),
];

#[cfg(not(feature = "built-in"))]
static FILES: &[(&str, &[u8])] = &[];

/// The path of the built-in file or folder `relative`, if it exists.
pub fn find(relative: &Path) -> Option<PathBuf> {
    let mut paths = FILES.iter().map(|(path, _)| Path::new(path));
    let known = !relative.as_os_str().is_empty() && paths.any(|path| path.starts_with(relative));
    known.then(|| Path::new(ROOT).join(relative))
}

/// A path in readable form: what is built in has no path that a user could open.
pub fn shown(path: &Path) -> String {
    match path.strip_prefix(ROOT) {
        Ok(relative) => format!("{} in the program itself", relative.display()),
        Err(_) => path.display().to_string(),
    }
}

/// The contents of the built-in file at `path`, a path from [`find`] or [`files`].
pub fn read(path: &Path) -> Option<&'static [u8]> {
    let relative = path.strip_prefix(ROOT).ok()?;
    let mut files = FILES.iter();
    let file = files.find(|(path, _)| relative == Path::new(path));
    file.map(|&(_, bytes)| bytes)
}

/// The bytes of every built-in file.
pub fn contents() -> impl Iterator<Item = &'static [u8]> {
    FILES.iter().map(|&(_, bytes)| bytes)
}

/// The files in the built-in folder `path`, in name order; none for anything else.
pub fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = FILES.iter().map(|(path, _)| Path::new(ROOT).join(path));
    paths.filter(move |file| file.parent() == Some(path))
}

#[cfg(all(test, feature = "built-in"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_files_equal_the_source_tree_and_do_not_exist_on_disk() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (relative, bytes) in FILES {
            let path = find(Path::new(relative)).unwrap();
            assert!(read(&path) == Some(*bytes));
            assert!(std::fs::read(tree.join(relative)).unwrap() == *bytes);
            assert!(!path.exists());
        }
    }

    #[test]
    fn every_photo_of_the_folder_is_built_in() {
        let photos = Path::new("boards/photos");
        let tree = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(photos)).unwrap();
        let mut in_tree: Vec<_> = tree.map(|entry| entry.unwrap().file_name()).collect();
        in_tree.retain(|name| name.to_string_lossy().ends_with(".jpg"));
        in_tree.sort();
        let folder = find(photos).unwrap();
        let built_in = files(&folder).map(|path| path.file_name().unwrap().to_owned());
        assert!(built_in.eq(in_tree));
    }

    #[test]
    fn a_user_is_not_shown_the_path() {
        let photos = find(Path::new("boards/photos")).unwrap();
        assert_eq!(shown(&photos), "boards/photos in the program itself");
        assert_eq!(shown(Path::new("/a/b")), "/a/b");
    }

    #[test]
    fn other_files_are_not_found() {
        for name in ["", "boards/photo", "models/mobilenet-v2", "/etc/passwd"] {
            assert_eq!(find(Path::new(name)), None, "{name}");
        }
        for path in [
            "boards/photos/cat.jpg",
            "/proc/self/exe",
            "/proc/self/exe/boards",
        ] {
            assert_eq!(read(Path::new(path)), None, "{path}");
        }
        assert_eq!(files(Path::new("boards/photos")).count(), 0);
    }
}
