//! Finds the pictures to classify: files, folders, patterns that no shell has expanded, a list of names, standard input.
//!
//! They come in the order in which they are named. A folder stands for its pictures and those in its subfolders, sorted by name;
//! hidden ones are skipped, others are counted in the log, as are links to folders, which are not followed. A name that does not exist
//! or gives no picture becomes a fault in the list, reported in its turn.

use crate::camera::{ENDINGS, Others, is_hidden, is_picture};
use crate::named;
use crate::{Cause, Failure};
use glob::MatchOptions;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The longest list we read: a million names of usual length.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// One picture to classify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// A file.
    File(PathBuf),
    /// The data on standard input.
    StandardInput,
    /// A name that gives no picture, and why.
    Fault(PathBuf, String),
}

impl Picture {
    /// Its name in results.
    pub fn name(&self) -> &Path {
        match self {
            Self::File(path) | Self::Fault(path, _) => path,
            Self::StandardInput => Path::new("-"),
        }
    }
}

/// All pictures, in order.
///
/// # Errors
/// The list of names cannot be read, or is empty.
pub fn list(named: &[PathBuf], files_from: Option<&Path>) -> Result<Vec<Picture>, Failure> {
    let mut pictures = Vec::new();
    let mut input_is_taken = files_from.is_some_and(|file| file == Path::new("-"));
    for name in named {
        if name != Path::new("-") {
            add(name, &mut pictures);
        } else if std::mem::replace(&mut input_is_taken, true) {
            let why = "standard input is read once, and it was named before";
            pictures.push(Picture::Fault(name.clone(), why.to_owned()));
        } else {
            pictures.push(Picture::StandardInput);
        }
    }
    if let Some(file) = files_from {
        let text = read_list(file)?;
        let lines = text.split(|&byte| byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        // Names in a list are taken literally: whoever wrote it has seen the files.
        for line in lines.filter(|line| !line.is_empty()) {
            add_path(Path::new(OsStr::from_bytes(line)), &mut pictures);
        }
    }
    if pictures.is_empty() {
        let file = files_from.unwrap_or(Path::new("")).display();
        let message = format!("the list {file} names no picture: write one name a line");
        return Err(Failure::new(Cause::Picture, message));
    }
    Ok(pictures)
}

fn read_list(file: &Path) -> Result<Vec<u8>, Failure> {
    let text = if file == Path::new("-") {
        let mut text = Vec::new();
        let input = std::io::stdin().lock().take(MAX_LIST_BYTES + 1);
        let read = { input }.read_to_end(&mut text);
        read.and_then(|bytes| match bytes as u64 > MAX_LIST_BYTES {
            true => Err(std::io::ErrorKind::FileTooLarge.into()),
            false => Ok(text),
        })
    } else {
        named::read_file(file, MAX_LIST_BYTES)
    };
    text.map_err(|error| {
        let message = format!(
            "cannot read the list of pictures {}: {error}",
            file.display()
        );
        Failure::new(Cause::Picture, message)
    })
}

/// A name on the command line: an existing path, or else a pattern.
fn add(name: &Path, pictures: &mut Vec<Picture>) {
    let pattern = name.to_str().filter(|text| text.contains(['*', '?', '[']));
    let Some(pattern) = pattern.filter(|_| name.symlink_metadata().is_err()) else {
        return add_path(name, pictures);
    };
    // As a shell does. Hidden names, and the folder itself for `.*`, are filtered below: `glob` (0.3.4), if it has to, panics on a name
    // that is not UTF-8.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: false,
    };
    // Neither a file nor a valid pattern: report a missing file.
    let Ok(found) = glob::glob_with(pattern, options) else {
        return add_path(name, pictures);
    };
    let before = pictures.len();
    for path in found {
        match path {
            Ok(path) if !is_asked_for(name, &path) => {}
            Ok(path) => add_path(&path, pictures),
            Err(error) => {
                let why = format!("cannot read it: {}", error.error());
                pictures.push(Picture::Fault(error.path().to_owned(), why));
            }
        }
    }
    if pictures.len() == before {
        let why = format!("no file has the name {pattern}, and none matches it as a pattern");
        pictures.push(Picture::Fault(name.to_owned(), why));
    }
}

/// Whether a shell's pattern matches `path`: hidden parts, and `..`, only where the same part of the pattern asks for them. `**` stands
/// for any parts that are not hidden.
fn is_asked_for(pattern: &Path, path: &Path) -> bool {
    let (pattern, path) = (parts(pattern), parts(path));
    let asks = |(pattern, part): (&&OsStr, &&OsStr)| match *part == ".." {
        true => *pattern == "..",
        false => !is_hidden(Path::new(part)) || is_hidden(Path::new(pattern)),
    };
    let deep = OsStr::new("**");
    let Some(first) = pattern.iter().position(|part| *part == deep) else {
        return pattern.len() == path.len() && pattern.iter().zip(&path).all(asks);
    };
    let behind = pattern
        .iter()
        .rev()
        .take_while(|part| **part != deep)
        .count();
    let Some(last) = path.len().checked_sub(behind).filter(|last| *last >= first) else {
        return false;
    };
    pattern[..first].iter().zip(&path).all(asks)
        && pattern[pattern.len() - behind..]
            .iter()
            .zip(&path[last..])
            .all(asks)
        && path[first..last].iter().all(|part| asks((&deep, part)))
}

/// The parts of a path. `glob` leaves out a `.` at the beginning.
fn parts(path: &Path) -> Vec<&OsStr> {
    path.iter().skip_while(|part| *part == ".").collect()
}

/// Adds a file, even a missing one (reported in its turn), or a folder's pictures.
fn add_path(path: &Path, pictures: &mut Vec<Picture>) {
    if !path.is_dir() {
        pictures.push(Picture::File(path.to_owned()));
        return;
    }
    let before = pictures.len();
    let mut others = Others::default();
    let entries = WalkDir::new(path).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(is_shown) {
        match entry {
            Ok(entry) if is_picture(entry.path()) && is_file(&entry) => {
                pictures.push(Picture::File(entry.into_path()));
            }
            Ok(entry) if is_file(&entry) => others.add(entry.path()),
            Ok(entry) if is_link_inside(&entry) => others.add_link(entry.path()),
            Ok(_) => {}
            Err(error) => {
                let folder = error.path().unwrap_or(path);
                let cause = error.io_error().map(ToString::to_string);
                let why = cause.unwrap_or_else(|| "it is a link loop".to_owned());
                let why = format!("cannot list the folder {}: {why}", folder.display());
                pictures.push(Picture::Fault(folder.to_owned(), why));
            }
        }
    }
    others.report(path);
    if pictures.len() == before {
        let why = format!(
            "the folder {} has no pictures (files that end in {})",
            path.display(),
            ENDINGS.join(", ")
        );
        pictures.push(Picture::Fault(path.to_owned(), why));
    }
}

/// Hidden files and folders are skipped, unless named explicitly.
fn is_shown(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !is_hidden(entry.path())
}

/// The folder itself may be named by a link.
fn is_link_inside(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_type().is_symlink()
}

fn is_file(entry: &DirEntry) -> bool {
    let kind = entry.file_type();
    kind.is_file() || (kind.is_symlink() && entry.path().is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree of files that need not be pictures: nothing is opened here.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "b.jpg",
            "a.PNG",
            "notes.txt",
            ".hidden.jpg",
            "odd[1].jpg",
            "sub/c.webp",
            "sub/deep/d.gif",
            ".cache/e.jpg",
            "texts/readme.md",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        symlink("../b.jpg", root.path().join("sub/link.jpg")).unwrap();
        symlink("..", root.path().join("sub/deep/circle")).unwrap();
        root
    }

    /// The names found, relative to `root`; a fault is its message after `!`.
    fn found(root: &Path, named: &[&str], files_from: Option<&Path>) -> Vec<String> {
        let named: Vec<PathBuf> = named.iter().map(|name| root.join(name)).collect();
        let shown = |picture: &Picture| match picture {
            Picture::File(path) => path.strip_prefix(root).unwrap().display().to_string(),
            Picture::StandardInput => "-".to_owned(),
            Picture::Fault(_, why) => {
                format!("!{}", why.replace(&format!("{}/", root.display()), ""))
            }
        };
        let pictures = list(&named, files_from).unwrap();
        pictures.iter().map(shown).collect()
    }

    #[test]
    fn folders_patterns_and_files_become_pictures_in_order() {
        let tree = tree();
        let root = tree.path();
        let no_pictures = "!the folder texts has no pictures (files that end in bmp, gif, jfif, jpe, jpeg, jpg, png, tif, tiff, webp)";
        let nothing = "!no file has the name *.tif, and none matches it as a pattern";
        for (named, wanted) in [
            (
                &["b.jpg", "a.PNG", "b.jpg"][..],
                &["b.jpg", "a.PNG", "b.jpg"][..],
            ),
            (&["gone.jpg"], &["gone.jpg"]),
            (
                &[""],
                &[
                    "a.PNG",
                    "b.jpg",
                    "odd[1].jpg",
                    "sub/c.webp",
                    "sub/deep/d.gif",
                    "sub/link.jpg",
                ],
            ),
            (&["sub/deep", "b.jpg"], &["sub/deep/d.gif", "b.jpg"]),
            // A hidden folder that is named explicitly counts.
            (&[".cache"], &[".cache/e.jpg"]),
            (&["texts", "b.jpg"], &[no_pictures, "b.jpg"]),
            // A pattern matches as in a shell: files with any ending, but no hidden ones.
            (&["*.jpg"], &["b.jpg", "odd[1].jpg"]),
            (&["?*.[jt][px][gt]"], &["b.jpg", "notes.txt", "odd[1].jpg"]),
            (&["su?"], &["sub/c.webp", "sub/deep/d.gif", "sub/link.jpg"]),
            (&["*/*/*.gif"], &["sub/deep/d.gif"]),
            (&["*.tif", "b.jpg"], &[nothing, "b.jpg"]),
            (
                &["*/e.jpg", ".c*/e.jpg"],
                &[
                    "!no file has the name */e.jpg, and none matches it as a pattern",
                    ".cache/e.jpg",
                ],
            ),
            // Part by part: what one part says of hidden names is not said of the next.
            (&[".*/*.jpg"], &[".cache/e.jpg"]),
            (
                &["**/e.jpg", ".c*/**/e.jpg"],
                &[
                    "!no file has the name **/e.jpg, and none matches it as a pattern",
                    ".cache/e.jpg",
                ],
            ),
            // The file with that name, though the pattern would match another one.
            (&["odd[1].jpg"], &["odd[1].jpg"]),
            // Neither a pattern nor a file.
            (&["odd[1.jpg"], &["odd[1.jpg"]),
        ] {
            assert_eq!(found(root, named, None), wanted, "{named:?}");
        }
    }

    #[test]
    fn a_pattern_passes_over_names_that_are_not_utf_8() {
        let tree = tree();
        let odd = tree.path().join(OsStr::from_bytes(b"odd\xff.jpg"));
        fs::write(&odd, "").unwrap();
        assert_eq!(
            found(tree.path(), &["*.jpg"], None),
            ["b.jpg", "odd[1].jpg"]
        );
        assert_eq!(
            found(tree.path(), &[""], None).len(),
            found(tree.path(), &["*.jpg", "a.PNG", "sub"], None).len() + 1
        );
    }

    #[test]
    fn a_list_names_files_and_folders_as_they_are() {
        let tree = tree();
        let root = tree.path();
        let names = root.join("names");
        let at = |name: &str| root.join(name).display().to_string();
        let text = [at("b.jpg"), String::new(), at("*.jpg"), at("sub/deep")].join("\r\n");
        fs::write(&names, text).unwrap();
        let list = found(root, &["a.PNG"], Some(&names));
        assert_eq!(list, ["a.PNG", "b.jpg", "*.jpg", "sub/deep/d.gif"]);
    }

    #[test]
    fn standard_input_is_one_picture() {
        let named = ["-", "x.jpg", "-"].map(PathBuf::from);
        let pictures = list(&named, None).unwrap();
        assert_eq!(pictures[0], Picture::StandardInput);
        assert!(matches!(&pictures[2], Picture::Fault(_, why) if why.contains("named before")));
    }

    #[test]
    fn a_list_without_names_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let names = folder.path().join("names");
        let error = || list(&[], Some(&names)).unwrap_err().to_string();
        assert!(error().contains("names: No such file"), "{}", error());
        fs::write(&names, "\n\n").unwrap();
        assert!(error().contains("names no picture"), "{}", error());
    }
}
