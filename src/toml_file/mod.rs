//! Reads a TOML file key by key, so that *every* fault is found and reported with its place.
//!
//! Boards and models are described in TOML. Serde stops at the first fault, but someone editing a file wants to see all of them.
//! So code asks a [`Table`] for each key by name, type and allowed values; a fault is recorded and reading continues; and when
//! the table is dropped, every key that nobody asked for is reported too. The list of allowed keys in a message is the list of
//! keys that were asked for, so the two cannot differ.

mod table;

pub use table::{Auto, Scalar, Table, Word};

use crate::named;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use toml::de::DeTable;

/// At most this many faults of a file are reported, in file order; a file with more was not written by a person.
const MAX_FAULTS: usize = 20;

/// At most this many characters of a key or a value are shown.
const MAX_SHOWN_CHARS: usize = 60;

/// All faults of one file, one line each, in file order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .lines.join("\n"))]
pub struct Faults {
    /// `FILE:LINE:COLUMN: KEY: fault`
    pub lines: Vec<String>,
}

/// The file being read: its name, its text, and the faults found so far.
#[derive(Debug)]
struct Source<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Found>,
}

/// The first faults by their byte offset, and the number of further ones, which cost nothing.
#[derive(Debug, Default)]
struct Found {
    first: BTreeSet<(usize, String)>,
    more: usize,
}

impl Source<'_> {
    /// Line and column (in characters) of a byte offset, both counted from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (line, before[line_start..].chars().count() + 1)
    }

    fn note(&self, offset: usize, key: &str, message: impl fmt::Display) {
        let mut found = self.faults.borrow_mut();
        let is_full = found.first.len() == MAX_FAULTS;
        if is_full && found.first.last().is_some_and(|last| last.0 < offset) {
            found.more += 1;
            return;
        }
        let key = match key {
            "" => String::new(),
            key => format!("{}: ", shortened(key)),
        };
        found.first.insert((offset, format!("{key}{message}")));
        if found.first.len() > MAX_FAULTS {
            found.first.pop_last();
            found.more += 1;
        }
    }

    /// `FILE:LINE:COLUMN: KEY: fault`, in file order.
    fn lines(&self) -> Vec<String> {
        let found = self.faults.borrow();
        let file = self.file;
        let line = |(offset, what): &(usize, String)| {
            let (line, column) = self.place(*offset);
            format!("{file}:{line}:{column}: {what}")
        };
        let mut lines: Vec<_> = found.first.iter().map(line).collect();
        if found.more > 0 {
            lines.push(format!("{file}: and {} more faults", found.more));
        }
        lines
    }
}

/// The beginning of a text from the file.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((at, _)) => format!("{}...", &text[..at]).into(),
        None => text.into(),
    }
}

/// Parses `text` and passes the root table to `read`, which asks it for its keys. `file` names the file in messages.
///
/// `read` returns `None` if a fault kept it from producing its value.
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
    let lines = source.lines();
    match value {
        Some(value) if lines.is_empty() => Ok(value),
        _ => Err(Faults { lines }),
    }
}

/// Reads a text file (board, model, labels). Refuses a folder, a device, a file of more than `most_bytes`, and bytes that are not
/// UTF-8.
pub fn read_text(path: &Path, most_bytes: u64) -> Result<String, std::io::Error> {
    use std::io::{Error, ErrorKind};
    let bytes = named::read_file(path, most_bytes)?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::new(
            ErrorKind::InvalidData,
            format!("line {line} is not UTF-8 text"),
        )
    })
}

/// "did you mean": the word in `allowed` nearest to `word`, if one is close enough.
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
    use crate::clock::ThreadClock;
    use crate::limits::{EMA_WEIGHT, HOLD_MS, PROBABILITY, THREADS};

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
            decide.number("enter", PROBABILITY);
            decide.integer("hold_ms", HOLD_MS);
        });
        assert_eq!(
            lines,
            [
                "f.toml:1:1: model: is missing",
                "f.toml:1:1: name: is 3, needs text on one line",
                "f.toml:3:9: camera.v4l3: unknown key, did you mean `v4l2`? (allowed: v4l2, still)",
                "f.toml:7:1: decide.entre: unknown key, did you mean `enter`? (allowed: enter, hold_ms)",
                "f.toml:8:1: decide.hold_ms: is -1, needs a whole number from 0 to 3600000",
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
            ["f.toml:2:4: d.none: `[d.png]` is already there, and only one is allowed"]
        );
        let neither = faults("[d]\n", |top| {
            top.choice("d", &kinds);
        });
        assert_eq!(
            neither,
            ["f.toml:1:2: d: names no kind, needs one of [d.png], [d.none]"]
        );
        let no_table = faults("d = 1\n", |top| {
            top.choice("d", &kinds);
        });
        assert_eq!(no_table, ["f.toml:1:1: d: is 1, needs a table, `[d]`"]);
    }

    #[test]
    fn choices_come_in_the_order_of_the_file() {
        let text = "[[d.spi]]\na = 1\n[d.png]\na = 2\n[[d.spi]]\na = 3\n[d]\nb = 4\n";
        let mut seen = Vec::new();
        let lines = faults(text, |top| {
            let others = |outer: &mut Table<'_, '_>| {
                assert_eq!(outer.integer("b", THREADS), Some(4));
            };
            for (kind, mut table) in top.choices("d", &["png", "spi"], others) {
                seen.push((kind, table.integer("a", THREADS)));
            }
        });
        assert_eq!(lines, [""; 0]);
        assert_eq!(seen, [("spi", Some(1)), ("png", Some(2)), ("spi", Some(3))]);
        let lines = faults("[d]\npng = []\nspi = [{a = 1, c = 2}, 3]\n", |top| {
            assert!(top.choices("d", &["png", "spi"], |_| {}).is_empty());
        });
        assert_eq!(
            lines,
            [
                "f.toml:2:1: d.png: is a list, needs a table, `[png]`",
                "f.toml:3:1: d.spi: is a list, needs a table, `[spi]`",
            ]
        );
        let lines = faults("[[d.spi]]\na = 1\n[[d.spi]]\nc = 2\n", |top| {
            for (_, mut table) in top.choices("d", &["spi"], |_| {}) {
                table.must_have(&["a"]);
                table.integer("a", THREADS);
            }
        });
        assert_eq!(
            lines,
            [
                "f.toml:3:1: d.spi.a: is missing",
                "f.toml:4:1: d.spi.c: unknown key (allowed: a)",
            ]
        );
    }

    #[test]
    fn numbers_are_finite_in_range_and_three() {
        let lines = faults(
            "a = nan\nb = inf\nc = [1, 0.2]\nd = [0.5, 1, 0.02]\ne = 1\nf = 1.5",
            |top| {
                assert_eq!(top.number("a", PROBABILITY), None);
                assert_eq!(top.number("b", PROBABILITY), None);
                assert_eq!(top.numbers("c", EMA_WEIGHT), None);
                assert_eq!(top.numbers("d", EMA_WEIGHT), Some([0.5, 1.0, 0.02]));
                assert_eq!(top.number("e", PROBABILITY), Some(1.0));
                assert_eq!(top.integer("f", THREADS), None);
            },
        );
        assert_eq!(
            lines,
            [
                "f.toml:1:1: a: is nan, needs a number from 0 to 1",
                "f.toml:2:1: b: is inf, needs a number from 0 to 1",
                "f.toml:3:1: c: has 2 numbers, needs 3: red, green, blue",
                "f.toml:6:1: f: is 1.5, needs a whole number from 1 to 64",
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
    fn many_faults_are_counted_at_little_cost() {
        let keys: Vec<String> = (0..100_000).rev().map(|n| format!("k{n} = 1")).collect();
        let table = format!("t = {{{}}}", keys.join(", "));
        let clock = ThreadClock::of_this_thread().unwrap();
        let began = clock.time();
        for (text, first) in [
            (keys.join("\n"), "f.toml:1:1: k99999: unknown key"),
            (table, "f.toml:1:6: t.k99999: unknown key"),
            ("= 1\n".repeat(20_000), "f.toml:1:1: "),
            ("[[".repeat(20_000), "f.toml:1:"),
            (
                format!("\"{}\" = 1", "k".repeat(100_000)),
                "f.toml:1:1: kkk",
            ),
        ] {
            let lines = faults(&text, |top| {
                top.table("t");
            });
            assert!(lines[0].starts_with(first), "{}", lines[0]);
            assert!(lines.len() <= MAX_FAULTS + 1);
            assert!(lines.iter().all(|line| line.len() < 400), "{lines:?}");
        }
        // CPU time, not wall-clock time; an emulated CPU is many times slower.
        let took = clock.time() - began;
        assert!(
            took.as_secs() < 5 || cfg!(not(target_arch = "x86_64")),
            "{took:?}"
        );
        let lines = faults("b = 1\n".repeat(2).as_str(), |_| {});
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn files_that_are_not_text_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_text(folder.path(), 100).is_err());
        assert!(read_text(Path::new("/dev/zero"), 100).is_err());
        let file = folder.path().join("latin1");
        std::fs::write(&file, b"one\ntw\xf6\n").unwrap();
        let error = read_text(&file, 100).unwrap_err().to_string();
        assert_eq!(error, "line 2 is not UTF-8 text");
        let error = read_text(&file, 6).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }
}
