//! What is left out of a folder of pictures: files without the extension of a kind that is read here, and links to other folders or
//! to nothing.

use std::collections::BTreeSet;
use std::path::Path;

/// Endings of pictures that no decoder here reads.
const UNREAD_PICTURES: [&str; 14] = [
    "avif", "cr2", "cr3", "dng", "heic", "heif", "hif", "jp2", "jxl", "nef", "orf", "raf", "rw2",
    "svg",
];

/// How many endings a message names.
const NAMED: usize = 6;

/// The files of a folder that are left out.
#[derive(Debug, Default)]
pub(crate) struct Others {
    count: usize,
    /// Their endings in small letters.
    endings: BTreeSet<String>,
    /// Links to folders, or to nothing.
    links: usize,
}

impl Others {
    /// Counts a file, unless it is hidden.
    pub fn add(&mut self, file: &Path) {
        if is_hidden(file) {
            return;
        }
        self.count += 1;
        let ending = file.extension().map(|ending| ending.to_string_lossy());
        self.endings.extend(ending.map(|e| e.to_ascii_lowercase()));
    }

    /// Counts a link that leads to no file, unless it is hidden.
    pub fn add_link(&mut self, link: &Path) {
        self.links += usize::from(!is_hidden(link));
    }

    /// Logs what was left out of `folder`: a warning if there are, or may be, pictures among them.
    pub fn report(&self, folder: &Path) {
        let links = self.links_message().map(|text| (log::Level::Warn, text));
        for (level, message) in self.message().into_iter().chain(links) {
            log::log!(level, "{}: {message}", folder.display());
        }
    }

    fn links_message(&self) -> Option<String> {
        let (links, were) = match self.links {
            0 => return None,
            1 => ("1 link to a folder, or to nothing,".to_owned(), "was"),
            count => (format!("{count} links to folders, or to nothing,"), "were"),
        };
        Some(format!(
            "{links} {were} skipped; name the folders themselves to include their pictures"
        ))
    }

    fn message(&self) -> Option<(log::Level, String)> {
        let (files, are) = match self.count {
            0 => return None,
            1 => ("file", "is"),
            _ => ("files", "are"),
        };
        let unread = |ending: &&String| UNREAD_PICTURES.contains(&ending.as_str());
        let (pictures, others): (Vec<_>, Vec<_>) = self.endings.iter().partition(unread);
        let all = pictures.iter().chain(&others);
        let mut named: Vec<_> = all.take(NAMED).map(|ending| ending.as_str()).collect();
        if self.endings.len() > NAMED {
            named.push("...");
        }
        let of = match named.is_empty() {
            true => String::new(),
            false => format!(" ({})", named.join(", ")),
        };
        let (level, remedy) = match pictures.is_empty() {
            false => (
                log::Level::Warn,
                "; convert the pictures among them to JPEG",
            ),
            true => (log::Level::Info, ""),
        };
        let count = self.count;
        Some((
            level,
            format!("{count} other {files} {are} left out{of}{remedy}"),
        ))
    }
}

/// Whether the name of a file begins with a dot.
pub(crate) fn is_hidden(file: &Path) -> bool {
    let name = file.file_name();
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(files: &[&str]) -> Option<(log::Level, String)> {
        let mut others = Others::default();
        files.iter().for_each(|file| others.add(Path::new(file)));
        others.message()
    }

    #[test]
    fn what_is_left_out_is_counted_and_pictures_among_it_are_a_warning() {
        assert_eq!(message(&["a/.DS_Store"]), None);
        let notes = message(&["a/notes.txt", "README"]).unwrap();
        assert_eq!(
            notes,
            (log::Level::Info, "2 other files are left out (txt)".into())
        );
        let heic = message(&["a.HEIC", "b.heic", "c.md"]).unwrap();
        let words =
            "3 other files are left out (heic, md); convert the pictures among them to JPEG";
        assert_eq!(heic, (log::Level::Warn, words.to_owned()));
        let mut others = Others::default();
        assert_eq!(others.links_message(), None);
        others.add_link(Path::new("a/.link"));
        others.add_link(Path::new("a/link"));
        let what = "skipped; name the folders themselves to include their pictures";
        let words = format!("1 link to a folder, or to nothing, was {what}");
        assert_eq!(others.links_message(), Some(words));
        others.add_link(Path::new("a/b.png"));
        let words = format!("2 links to folders, or to nothing, were {what}");
        assert_eq!(others.links_message(), Some(words));
        let one = message(&["Makefile"]).unwrap();
        assert_eq!(one.1, "1 other file is left out");
        let many = message(&["a.a", "a.b", "a.c", "a.d", "a.e", "a.f", "a.g"]).unwrap();
        assert!(many.1.ends_with("(a, b, c, d, e, f, ...)"), "{}", many.1);
    }
}
