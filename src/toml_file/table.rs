//! One table of a TOML file, which is asked for its keys one by one.

use super::{MAX_SHOWN_CHARS, Source, did_you_mean, shortened};
use crate::limits::{Real, Whole};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value whose type the caller decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A whole number.
    Whole(i64),
    /// `true` or `false`.
    Flag(bool),
    /// Text on one line.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Whether `auto` may stand in the place of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto {
    /// It may.
    Allowed,
    /// It is a path like any other, and none that starts at the root.
    Refused,
}

/// What a file says in one word of several, such as which chip a panel has.
pub trait Word: Copy + PartialEq + 'static {
    /// All of them, by their words.
    const WORDS: &'static [(&'static str, Self)];

    /// Its word.
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, one)| *one == self);
        found.map_or("?", |(word, _)| word)
    }
}

/// One table of the file. Dropping it reports the keys that were not asked for.
#[derive(Debug)]
pub struct Table<'s, 't> {
    source: &'s Source<'t>,
    /// Dotted name from the root table; empty for the root itself.
    path: String,
    /// Where a fault of the table itself is reported.
    offset: usize,
    /// Keys that were not asked for yet.
    rest: BTreeMap<String, (usize, Spanned<DeValue<'t>>)>,
    /// Where each key is in the file.
    places: BTreeMap<String, usize>,
    asked: Vec<String>,
}

impl<'s, 't> Table<'s, 't> {
    pub(super) fn new(
        source: &'s Source<'t>,
        path: String,
        entries: DeTable<'t>,
        offset: usize,
    ) -> Self {
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

    /// Records a fault at `key`, or at the table if it has no such key.
    pub fn fault(&self, key: &str, message: impl fmt::Display) {
        let offset = self.places.get(key).copied().unwrap_or(self.offset);
        self.source.note(offset, &self.dotted(key), message);
    }

    /// Notes a fault of the table as a whole.
    pub fn fault_of_all(&self, message: impl fmt::Display) {
        self.source.note(self.offset, &self.path, message);
    }

    /// Whether the file has this key.
    pub fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Records a fault for each of `keys` that is missing.
    pub fn must_have(&self, keys: &[&str]) {
        for key in keys.iter().filter(|key| !self.has(key)) {
            self.fault(key, "is missing");
        }
    }

    /// The keys of this table, for tables whose keys are names.
    pub fn names(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    /// The same, in file order.
    pub fn names_in_order(&self) -> Vec<String> {
        let mut names: Vec<_> = self.places.iter().collect();
        names.sort_by_key(|(_, at)| **at);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }

    fn take(&mut self, key: &str) -> Option<DeValue<'t>> {
        self.asked.push(key.to_owned());
        let (_, value) = self.rest.remove(key)?;
        Some(value.into_inner())
    }

    /// The value of `key`, parsed by `parse`; if that fails, the fault states what is `allowed`.
    fn value<T>(
        &mut self,
        key: &str,
        allowed: impl fmt::Display,
        parse: impl FnOnce(&DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.fault(
                key,
                format_args!("is {}, needs {allowed}", as_written(&value)),
            );
        }
        parsed
    }

    /// A list whose members are parsed by `parse`; the first member that fails is the fault.
    fn list<T>(
        &mut self,
        key: &str,
        allowed: impl fmt::Display,
        mut parse: impl FnMut(&DeValue<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let DeValue::Array(members) = &value else {
            self.fault(
                key,
                format_args!("is {}, needs a list of {allowed}", as_written(&value)),
            );
            return None;
        };
        let mut parsed = Vec::with_capacity(members.len());
        for member in members {
            if let Some(one) = parse(member.get_ref()) {
                parsed.push(one);
            } else {
                let got = as_written(member.get_ref());
                self.source.note(
                    member.span().start,
                    &self.dotted(key),
                    format_args!("has {got}, needs a list of {allowed}"),
                );
                return None;
            }
        }
        Some(parsed)
    }

    /// Non-empty text on one line.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.value(key, "text on one line", one_line)
    }

    /// A path that starts at the root, like `like` (in quotes), or nothing where it is `auto` and that is allowed.
    pub fn whole_path(&mut self, key: &str, auto: Auto, like: &str) -> Option<PathBuf> {
        let may_be_auto = auto == Auto::Allowed;
        let text = self.text(key)?;
        if may_be_auto && text == "auto" {
            return None;
        }
        if !text.starts_with('/') {
            let auto = if may_be_auto { "\"auto\" or " } else { "" };
            self.fault(
                key,
                format_args!("needs {auto}an absolute path like {like}"),
            );
        }
        Some(text.into())
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
    pub fn integer(&mut self, key: &str, range: Whole) -> Option<u64> {
        self.value(key, range, |value| match value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix())
                .ok()
                .and_then(|number| range.check(number)),
            _ => None,
        })
    }

    /// A whole number in `range` that fits 32 bits.
    pub fn integer_u32(&mut self, key: &str, range: Whole) -> Option<u32> {
        self.integer(key, range)
            .and_then(|number| u32::try_from(number).ok())
    }

    /// A time: a whole number of milliseconds in `range`.
    pub fn millis(&mut self, key: &str, range: Whole) -> Option<Duration> {
        self.integer(key, range).map(Duration::from_millis)
    }

    /// A time: a whole number of seconds in `range`.
    pub fn seconds(&mut self, key: &str, range: Whole) -> Option<Duration> {
        self.integer(key, range).map(Duration::from_secs)
    }

    /// A number in `range`.
    pub fn number(&mut self, key: &str, range: Real) -> Option<f32> {
        self.value(key, range, |value| number_in(value, range))
    }

    /// Three numbers in `range`, one per colour.
    pub fn numbers(&mut self, key: &str, range: Real) -> Option<[f32; 3]> {
        self.numbers_of(key, range, "red, green, blue")
    }

    /// `N` numbers in `range`; `which` names them in order.
    pub fn numbers_of<const N: usize>(
        &mut self,
        key: &str,
        range: Real,
        which: &str,
    ) -> Option<[f32; N]> {
        let allowed = format!("numbers from {} to {}", range.least, range.most);
        let numbers = self.list(key, allowed, |value| number_in(value, range))?;
        let count = numbers.len();
        let all = numbers.try_into().ok();
        if all.is_none() {
            self.fault(key, format_args!("has {count} numbers, needs {N}: {which}"));
        }
        all
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

    /// A list of one or more of `words`, without duplicates.
    pub fn words<T: Copy + PartialEq>(&mut self, key: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let members = match &value {
            DeValue::Array(members) if !members.is_empty() => members,
            _ => {
                self.fault(
                    key,
                    format_args!(
                        "is {}, needs a list of one or more of {}",
                        as_written(&value),
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
                    format_args!("has {} twice", as_written(word)),
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
        self.one_of(key, [0, 90, 180, 270])
    }

    /// One of these whole numbers, in decimal.
    pub fn one_of<T: Copy + fmt::Display, const N: usize>(
        &mut self,
        key: &str,
        allowed: [T; N],
    ) -> Option<T> {
        let names = allowed.map(|number| number.to_string());
        let shown = match &names[..] {
            [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            names => names.concat(),
        };
        self.value(key, shown, |value| match value {
            DeValue::Integer(digits) if digits.radix() == 10 => {
                let at = names.iter().position(|name| name == digits.as_str())?;
                Some(allowed[at])
            }
            _ => None,
        })
    }

    /// A value whose type the caller decides: a whole number, a flag or text.
    pub fn scalar(&mut self, key: &str) -> Option<Scalar> {
        let allowed = "a whole number of 64 bits, true or false, or text on one line";
        self.value(key, allowed, |value| match value {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .ok()
                .map(Scalar::Whole),
            DeValue::Boolean(flag) => Some(Scalar::Flag(*flag)),
            text => one_line(text).map(Scalar::Text),
        })
    }

    /// The table `[key]`.
    pub fn table(&mut self, key: &str) -> Option<Table<'s, 't>> {
        let value = self.take(key)?;
        self.as_table(key, value)
    }

    /// The tables at `key`: one, or several if it is a list of tables, `[[key]]`.
    pub fn tables(&mut self, key: &str) -> Vec<Table<'s, 't>> {
        match self.take(key) {
            None => Vec::new(),
            Some(DeValue::Array(members)) if is_list_of_tables(&members) => {
                let table = |member: Spanned<DeValue<'t>>| {
                    let offset = member.span().start;
                    match member.into_inner() {
                        DeValue::Table(entries) => Some((entries, offset)),
                        _ => None,
                    }
                };
                let tables = members.into_iter().filter_map(table);
                tables
                    .map(|(entries, at)| Table::new(self.source, self.dotted(key), entries, at))
                    .collect()
            }
            Some(value) => self.as_table(key, value).into_iter().collect(),
        }
    }

    fn as_table(&mut self, key: &str, value: DeValue<'t>) -> Option<Table<'s, 't>> {
        match value {
            DeValue::Table(entries) => {
                let offset = self.places.get(key).copied().unwrap_or(self.offset);
                Some(Table::new(self.source, self.dotted(key), entries, offset))
            }
            other => {
                self.fault(
                    key,
                    format_args!("is {}, needs a table, `[{key}]`", as_written(&other)),
                );
                None
            }
        }
    }

    /// The single table `[key.KIND]`, and which of `kinds` it is.
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
                        format_args!("`[{key}.{first}]` is already there, and only one is allowed"),
                    );
                } else if let Some(table) = outer.table(kind) {
                    chosen = Some((kind, table));
                }
            } else {
                outer.asked.push(kind.to_owned());
            }
        }
        self.needs_kind(key, kinds, &outer);
        chosen
    }

    /// All tables `[key.KIND]`, each with its kind from `kinds`, in file order; `[[key.KIND]]` gives several of one kind.
    /// `others` reads the keys beside the kinds.
    pub fn choices(
        &mut self,
        key: &str,
        kinds: &[&'static str],
        others: impl FnOnce(&mut Table<'s, 't>),
    ) -> Vec<(&'static str, Table<'s, 't>)> {
        let Some(mut outer) = self.table(key) else {
            return Vec::new();
        };
        let mut chosen = Vec::new();
        for &kind in kinds {
            chosen.extend(outer.tables(kind).into_iter().map(|table| (kind, table)));
        }
        others(&mut outer);
        self.needs_kind(key, kinds, &outer);
        chosen.sort_by_key(|(_, table)| table.offset);
        chosen
    }

    /// Records a fault if `outer`, the table `key`, has none of `kinds` and no unknown key, which is already a fault.
    fn needs_kind(&self, key: &str, kinds: &[&'static str], outer: &Table<'_, '_>) {
        let has_kind = kinds.iter().any(|kind| outer.has(kind));
        if !has_kind && outer.rest.is_empty() {
            let names: Vec<_> = kinds.iter().map(|kind| format!("[{key}.{kind}]")).collect();
            self.fault(
                key,
                format_args!("names no kind, needs one of {}", names.join(", ")),
            );
        }
    }
}

impl Drop for Table<'_, '_> {
    fn drop(&mut self) {
        let mut rest: Vec<_> = self.rest.iter().collect();
        // In file order: faults beyond the reported ones are not even formatted.
        rest.sort_by_key(|(_, (offset, _))| *offset);
        for (key, (offset, _)) in rest {
            let asked = &self.asked;
            let message = NoKey { key, asked };
            self.source.note(*offset, &self.dotted(key), message);
        }
    }
}

/// The message for a key that nobody asked for.
struct NoKey<'a> {
    key: &'a str,
    asked: &'a [String],
}

impl fmt::Display for NoKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.asked.is_empty() {
            return f.write_str("unknown key; this table has no keys");
        }
        let near = did_you_mean(self.key, self.asked.iter().map(String::as_str));
        let allowed = self.asked.join(", ");
        write!(f, "unknown key{near} (allowed: {allowed})")
    }
}

fn is_list_of_tables(members: &[Spanned<DeValue<'_>>]) -> bool {
    let is_table = |member: &Spanned<DeValue<'_>>| matches!(member.get_ref(), DeValue::Table(_));
    !members.is_empty() && members.iter().all(is_table)
}

fn one_line(value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str()?;
    (!text.trim().is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn number_in(value: &DeValue<'_>, range: Real) -> Option<f32> {
    let number: f32 = match value {
        DeValue::Float(digits) => digits.as_str().parse().ok()?,
        DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().parse().ok()?,
        _ => return None,
    };
    range.check(number)
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
    let mut message = format!("{} is not allowed{near}", as_written(value));
    // Writing to a String cannot fail.
    let _ = write!(message, " (allowed: {})", alternatives(words));
    message
}

/// The value as written in the file, shortened.
fn as_written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().nth(MAX_SHOWN_CHARS).is_some() => {
            let head: String = text.chars().take(MAX_SHOWN_CHARS).collect();
            format!("{head:?}...")
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(digits) => shortened(digits.as_str()).into_owned(),
        DeValue::Float(digits) => shortened(digits.as_str()).into_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
