//! A TOML file read key by key, so that *every* fault is found and reported with its place.
//!
//! Boards and models are described in TOML. Serde stops at the first fault; a person who edits a file wants all of them.
//! So a [`Table`] is asked for each key by name, type and allowed values; what is wrong is noted and reading goes on; and
//! when the table is dropped, every key that nobody asked for is a fault too. The list of allowed keys in a message is the
//! list of keys that were asked for, so the two cannot differ.

mod table;

pub use table::Table;

use crate::named;
use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use toml::de::DeTable;

/// Files for people are small; anything longer is not one.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Everything that is wrong with one file: one line a fault, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .lines.join("\n"))]
pub struct Faults {
    /// `FILE:LINE:COLUMN: KEY: what is wrong`
    pub lines: Vec<String>,
}

/// The file that is being read: its name, its text, and what was found wrong so far.
#[derive(Debug)]
struct Source<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Vec<(usize, String)>>,
}

impl Source<'_> {
    /// Line and column (in characters) of a byte offset, both from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (line, before[line_start..].chars().count() + 1)
    }

    fn note(&self, offset: usize, key: &str, message: impl fmt::Display) {
        let (line, column) = self.place(offset);
        let file = self.file;
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("{key}: ")
        };
        self.faults
            .borrow_mut()
            .push((offset, format!("{file}:{line}:{column}: {key}{message}")));
    }
}

/// Reads `text` by `read`, which asks the outermost table for its keys. `file` is how messages name it.
///
/// `read` gives `None` where a fault kept it from making its value.
pub fn read<T>(
    file: &str,
    text: &str,
    read: impl FnOnce(&mut Table<'_, '_>) -> Option<T>,
) -> Result<T, Faults> {
    let source = Source {
        file,
        text,
        faults: RefCell::default(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        source.note(offset, "", error.message().replace('\n', " "));
    }
    let value = if errors.is_empty() {
        let mut table = Table::new(&source, String::new(), root.into_inner(), 0);
        read(&mut table)
    } else {
        None
    };
    let mut faults = source.faults.into_inner();
    faults.sort();
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(Faults {
            lines: faults.into_iter().map(|(_, line)| line).collect(),
        }),
    }
}

/// Reads a text file for people (board, model, labels), refusing what is not one: a folder, a device, more than 4 MiB,
/// bytes that are not UTF-8.
pub fn read_text(path: &Path) -> Result<String, std::io::Error> {
    use std::io::{Error, ErrorKind};
    let bytes = named::read_file(path, MAX_FILE_BYTES)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::new(
            ErrorKind::InvalidData,
            format!("line {line} is not UTF-8 text"),
        )
    })
}

/// "did you mean": the nearest of `allowed` to `word`, when one is near.
pub fn nearest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    allowed
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `, did you mean X?` or nothing.
pub fn did_you_mean<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, allowed).map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn faults(text: &str, look: impl FnOnce(&mut Table<'_, '_>)) -> Vec<String> {
        read("f.toml", text, |table| {
            look(table);
            Some(())
        })
        .err()
        .map_or_else(Vec::new, |faults| faults.lines)
    }

    #[test]
    fn every_fault_is_reported_with_its_place_and_in_file_order() {
        let text =
            "name = 3\n\n[camera.v4l3]\nwidth_px = 1\n\n[decide]\nentre = 0.5\nhold_ms = -1\n";
        let lines = faults(text, |top| {
            top.must_have(&["model"]);
            top.text("name");
            top.text("model");
            top.choice("camera", &["v4l2", "still"]);
            let mut decide = top.table("decide").unwrap();
            decide.number("enter", 0.0..=1.0);
            decide.integer("hold_ms", 0..=10);
        });
        assert_eq!(
            lines,
            [
                "f.toml:1:1: model: is missing",
                "f.toml:1:1: name: is 3, needs text on one line",
                "f.toml:3:9: camera.v4l3: is no key here, did you mean `v4l2`? (allowed: v4l2, still)",
                "f.toml:7:1: decide.entre: is no key here, did you mean `enter`? (allowed: enter, hold_ms)",
                "f.toml:8:1: decide.hold_ms: is -1, needs a whole number from 0 to 10",
            ]
        );
    }

    #[test]
    fn a_wrong_word_names_the_nearest_one() {
        let lines = faults(
            "a = \"yuvy\"\nb = [\"grey\", \"grey\", \"gray\"]\nc = []",
            |top| {
                let words = [("yuyv", 1), ("grey", 2)];
                assert_eq!(top.word("a", &words), None);
                assert_eq!(top.words("b", &words), Some(vec![2]));
                assert_eq!(top.words("c", &words), None);
            },
        );
        assert_eq!(
            lines,
            [
                "f.toml:1:1: a: \"yuvy\" is not allowed, did you mean `yuyv`? (allowed: yuyv, grey)",
                "f.toml:2:14: b: has \"grey\" twice",
                "f.toml:2:22: b: \"gray\" is not allowed, did you mean `grey`? (allowed: yuyv, grey)",
                "f.toml:3:1: c: is a list, needs a list of one or more of yuyv, grey",
            ]
        );
    }

    #[test]
    fn a_choice_is_exactly_one() {
        let kinds = ["png", "none"];
        let both = faults("[d.png]\n[d.none]\n", |top| {
            top.choice("d", &kinds);
        });
        assert_eq!(
            both,
            ["f.toml:2:4: d.none: `[d.png]` is there already, and only one is allowed"]
        );
        let neither = faults("[d]\n", |top| {
            top.choice("d", &kinds);
        });
        assert_eq!(
            neither,
            ["f.toml:1:2: d: says no kind, needs one of [d.png], [d.none]"]
        );
        let no_table = faults("d = 1\n", |top| {
            top.choice("d", &kinds);
        });
        assert_eq!(no_table, ["f.toml:1:1: d: is 1, needs a table, `[d]`"]);
    }

    #[test]
    fn numbers_are_finite_in_range_and_three() {
        let lines = faults(
            "a = nan\nb = inf\nc = [1, 2]\nd = [0.5, 1, 2]\ne = 2\nf = 1.5",
            |top| {
                assert_eq!(top.number("a", 0.0..=1.0), None);
                assert_eq!(top.number("b", 0.0..=1.0), None);
                assert_eq!(top.numbers("c", 0.0..=9.0), None);
                assert_eq!(top.numbers("d", 0.0..=9.0), Some([0.5, 1.0, 2.0]));
                assert_eq!(top.number("e", 0.0..=9.0), Some(2.0));
                assert_eq!(top.integer("f", 0..=9), None);
            },
        );
        assert_eq!(
            lines,
            [
                "f.toml:1:1: a: is nan, needs a number from 0 to 1",
                "f.toml:2:1: b: is inf, needs a number from 0 to 1",
                "f.toml:3:1: c: has 2 numbers, needs 3: red, green, blue",
                "f.toml:6:1: f: is 1.5, needs a whole number from 0 to 9",
            ]
        );
    }

    #[test]
    fn broken_toml_is_reported_by_place() {
        let lines = faults("a = 1\nb = \n", |_| panic!("broken TOML is not read"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("f.toml:2:"), "{lines:?}");
        let twice = faults("a = 1\na = 2\n", |_| panic!("broken TOML is not read"));
        assert!(twice[0].starts_with("f.toml:2:1: "), "{twice:?}");
    }

    #[test]
    fn text_is_refused_when_it_is_no_text() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_text(folder.path()).is_err());
        assert!(read_text(Path::new("/dev/zero")).is_err());
        let file = folder.path().join("latin1");
        std::fs::write(&file, b"one\ntw\xf6\n").unwrap();
        let error = read_text(&file).unwrap_err().to_string();
        assert_eq!(error, "line 2 is not UTF-8 text");
    }
}
