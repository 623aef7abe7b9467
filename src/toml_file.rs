//! A TOML file read key by key, so that *every* fault is found and reported with its place.
//!
//! Boards and models are described in TOML. Serde stops at the first fault; a person who edits a file wants all of them.
//! So a [`Table`] is asked for each key by name, type and allowed values; what is wrong is noted and reading goes on; and
//! when the table is dropped, every key that nobody asked for is a fault too. The list of allowed keys in a message is the
//! list of keys that were asked for, so the two cannot differ.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "it is longer than 4 MiB, so it is no text for people",
        ));
    }
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

/// One table of the file. Dropping it reports the keys that were not asked for.
#[derive(Debug)]
pub struct Table<'s, 't> {
    source: &'s Source<'t>,
    /// Dotted name from the outermost table, empty for that one.
    path: String,
    /// Where a fault of the table itself is reported.
    offset: usize,
    /// Keys that were not asked for yet.
    rest: BTreeMap<String, (usize, Spanned<DeValue<'t>>)>,
    /// Where each key stands.
    places: BTreeMap<String, usize>,
    asked: Vec<String>,
}

impl<'s, 't> Table<'s, 't> {
    fn new(source: &'s Source<'t>, path: String, entries: DeTable<'t>, offset: usize) -> Self {
        let rest: BTreeMap<_, _> = entries
            .into_iter()
            .map(|(key, value)| {
                let offset = key.span().start;
                (key.into_inner().into_owned(), (offset, value))
            })
            .collect();
        let places = rest.iter().map(|(k, (at, _))| (k.clone(), *at)).collect();
        Self {
            source,
            path,
            offset,
            rest,
            places,
            asked: Vec::new(),
        }
    }

    fn dotted(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Notes a fault at `key`, or at the table when it has no such key.
    pub fn fault(&self, key: &str, message: impl fmt::Display) {
        let offset = self.places.get(key).copied().unwrap_or(self.offset);
        self.source.note(offset, &self.dotted(key), message);
    }

    /// Whether the file has this key.
    pub fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Each of `keys` that the table lacks is a fault.
    pub fn must_have(&self, keys: &[&str]) {
        for key in keys.iter().filter(|key| !self.has(key)) {
            self.fault(key, "is missing");
        }
    }

    /// The keys of this table, for tables whose keys are names.
    pub fn names(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    fn take(&mut self, key: &str) -> Option<DeValue<'t>> {
        self.asked.push(key.to_owned());
        let (_, value) = self.rest.remove(key)?;
        Some(value.into_inner())
    }

    /// One value of `key`, made by `make`; when `make` cannot, the fault says what is `allowed`.
    fn value<T>(
        &mut self,
        key: &str,
        allowed: impl fmt::Display,
        make: impl FnOnce(&DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let made = make(&value);
        if made.is_none() {
            self.fault(key, format_args!("is {}, needs {allowed}", spelt(&value)));
        }
        made
    }

    /// A list whose members are made by `make`; the first member that cannot be made is the fault.
    fn list<T>(
        &mut self,
        key: &str,
        allowed: impl fmt::Display,
        mut make: impl FnMut(&DeValue<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let DeValue::Array(members) = &value else {
            self.fault(
                key,
                format_args!("is {}, needs a list of {allowed}", spelt(&value)),
            );
            return None;
        };
        let mut made = Vec::with_capacity(members.len());
        for member in members {
            if let Some(one) = make(member.get_ref()) {
                made.push(one);
            } else {
                let got = spelt(member.get_ref());
                self.source.note(
                    member.span().start,
                    &self.dotted(key),
                    format_args!("has {got}, needs a list of {allowed}"),
                );
                return None;
            }
        }
        Some(made)
    }

    /// Text on one line, not empty.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.value(key, "text on one line", one_line)
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        self.list(key, "texts, each on one line", one_line)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.value(key, "true or false", |value| match value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A whole number in `range`.
    pub fn integer(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(key, allowed, |value| match value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix())
                .ok()
                .filter(|number| range.contains(number)),
            _ => None,
        })
    }

    /// A whole number in `range` that fits 32 bits.
    pub fn integer_u32(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.integer(key, range)
            .and_then(|number| u32::try_from(number).ok())
    }

    /// A number in `range`.
    pub fn number(&mut self, key: &str, range: RangeInclusive<f32>) -> Option<f32> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        self.value(key, allowed, |value| number_in(value, &range))
    }

    /// Three numbers in `range`, one a colour.
    pub fn numbers(&mut self, key: &str, range: RangeInclusive<f32>) -> Option<[f32; 3]> {
        let allowed = format!("numbers from {} to {}", range.start(), range.end());
        let numbers = self.list(key, allowed, |value| number_in(value, &range))?;
        let count = numbers.len();
        let three = numbers.try_into().ok();
        if three.is_none() {
            self.fault(
                key,
                format_args!("has {count} numbers, needs 3: red, green, blue"),
            );
        }
        three
    }

    /// One of `words`.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.take(key)?;
        let found = value.as_str().and_then(|word| word_of(word, words));
        if found.is_none() {
            self.fault(key, not_a_word(&value, words));
        }
        found
    }

    /// A list of one or more of `words`, none twice.
    pub fn words<T: Copy + PartialEq>(&mut self, key: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let members = match &value {
            DeValue::Array(members) if !members.is_empty() => members,
            _ => {
                self.fault(
                    key,
                    format_args!(
                        "is {}, needs a list of one or more of {}",
                        spelt(&value),
                        alternatives(words)
                    ),
                );
                return None;
            }
        };
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            let word = member.get_ref();
            match word.as_str().and_then(|text| word_of(text, words)) {
                Some(one) if found.contains(&one) => self.source.note(
                    member.span().start,
                    &self.dotted(key),
                    format_args!("has {} twice", spelt(word)),
                ),
                Some(one) => found.push(one),
                None => self.source.note(
                    member.span().start,
                    &self.dotted(key),
                    not_a_word(word, words),
                ),
            }
        }
        Some(found)
    }

    /// A rotation: 0, 90, 180 or 270 degrees clockwise.
    pub fn quarter_turns(&mut self, key: &str) -> Option<u16> {
        self.value(key, "0, 90, 180 or 270", |value| match value {
            DeValue::Integer(degrees) => match (degrees.as_str(), degrees.radix()) {
                ("0", 10) => Some(0),
                ("90", 10) => Some(90),
                ("180", 10) => Some(180),
                ("270", 10) => Some(270),
                _ => None,
            },
            _ => None,
        })
    }

    /// The table `[key]`.
    pub fn table(&mut self, key: &str) -> Option<Table<'s, 't>> {
        match self.take(key)? {
            DeValue::Table(entries) => {
                let offset = self.places.get(key).copied().unwrap_or(self.offset);
                Some(Table::new(self.source, self.dotted(key), entries, offset))
            }
            other => {
                self.fault(
                    key,
                    format_args!("is {}, needs a table, `[{key}]`", spelt(&other)),
                );
                None
            }
        }
    }

    /// The one table of `[key.KIND]` and which of `kinds` it is.
    pub fn choice(
        &mut self,
        key: &str,
        kinds: &[&'static str],
    ) -> Option<(&'static str, Table<'s, 't>)> {
        let mut outer = self.table(key)?;
        let mut chosen = None;
        for &kind in kinds {
            if outer.has(kind) {
                if let Some((first, _)) = chosen {
                    outer.take(kind);
                    outer.fault(
                        kind,
                        format_args!("`[{key}.{first}]` is there already, and only one is allowed"),
                    );
                } else if let Some(table) = outer.table(kind) {
                    chosen = Some((kind, table));
                }
            } else {
                outer.asked.push(kind.to_owned());
            }
        }
        if outer.places.is_empty() {
            let names: Vec<_> = kinds.iter().map(|kind| format!("[{key}.{kind}]")).collect();
            self.fault(
                key,
                format_args!("says no kind, needs one of {}", names.join(", ")),
            );
        }
        chosen
    }
}

impl Drop for Table<'_, '_> {
    fn drop(&mut self) {
        for (key, (offset, _)) in &self.rest {
            let allowed = self.asked.iter().map(String::as_str);
            let message = if self.asked.is_empty() {
                "is no key here, the table has none".to_owned()
            } else {
                format!(
                    "is no key here{} (allowed: {})",
                    did_you_mean(key, allowed),
                    self.asked.join(", ")
                )
            };
            self.source.note(*offset, &self.dotted(key), message);
        }
    }
}

fn one_line(value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str()?;
    (!text.trim().is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn number_in(value: &DeValue<'_>, range: &RangeInclusive<f32>) -> Option<f32> {
    let number: f32 = match value {
        DeValue::Float(digits) => digits.as_str().parse().ok()?,
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().parse().ok()?,
        _ => return None,
    };
    range.contains(&number).then_some(number)
}

fn word_of<T: Copy>(word: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(name, _)| *name == word).map(|w| w.1)
}

fn alternatives<T>(words: &[(&str, T)]) -> String {
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn not_a_word<T>(value: &DeValue<'_>, words: &[(&str, T)]) -> String {
    let near = value.as_str().map_or_else(String::new, |word| {
        did_you_mean(word, words.iter().map(|(name, _)| *name))
    });
    let mut message = format!("{} is not allowed{near}", spelt(value));
    // Writing to a String cannot fail.
    let _ = write!(message, " (allowed: {})", alternatives(words));
    message
}

/// The value as a person wrote it, shortened.
fn spelt(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            let head: String = text.chars().take(60).collect();
            format!("{head:?}...")
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(digits) => digits.to_string(),
        DeValue::Float(digits) => digits.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
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
