//! Label files: one label per line, in the order of the classes. A leading WordNet id (`n01440764 `) is removed, so the
//! `synset.txt` that comes with ImageNet models works unchanged, and so does Teachable Machine's `labels.txt`, in which each line
//! begins with its class number (`0 cat`, `0: cat`, `0,cat`). Empty lines at the end do not count. A `.json` file holds a list of
//! labels or a dictionary by class number.

use super::{ModelError, names, shipped};
use crate::toml_file::read_text;
use std::collections::HashMap;
use std::path::Path;
use unicode_normalization::UnicodeNormalization;

/// The longest file that is read: the maximum number of classes, with 40 bytes each.
const FILE_BYTES: u64 = 4 << 20;

/// Reads the label file at `path`, which must have `class_count` labels.
pub fn load(path: &Path, class_count: usize) -> Result<Vec<String>, ModelError> {
    let labels = load_all(path)?;
    counted(&path.display().to_string(), labels, class_count)
}

/// Reads the label file at `path`, however many labels it has.
pub fn load_all(path: &Path) -> Result<Vec<String>, ModelError> {
    let source_name = path.display().to_string();
    let text = read_text(path, FILE_BYTES).map_err(|error| ModelError::Labels {
        source_name: source_name.clone(),
        reason: format!("cannot be read: {error}"),
    })?;
    let is_json = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let labels = match is_json {
        true => of_json(&source_name, &text)?,
        false => lines(&source_name, &text)?,
    };
    if let Some(doubt) = doubt(&labels) {
        log::warn!("labels {source_name}: {doubt}");
    }
    Ok(labels)
}

fn of_json(source_name: &str, text: &str) -> Result<Vec<String>, ModelError> {
    let text = text.trim_start_matches('\u{feff}');
    let is_json = text.trim_start().starts_with(['[', '{']);
    let labels = names::parse(text).filter(|_| is_json);
    let labels = labels.ok_or_else(|| ModelError::Labels {
        source_name: source_name.to_owned(),
        reason: "it is neither a list of labels nor a dictionary by class number".to_owned(),
    })?;
    match fault(&labels) {
        Some(reason) => Err(ModelError::Labels {
            source_name: source_name.to_owned(),
            reason,
        }),
        None => lines(source_name, &labels.join("\n")),
    }
}

/// What is wrong with the first invalid one of these labels.
pub(super) fn fault(labels: &[String]) -> Option<String> {
    let count = labels.len();
    labels.iter().zip(1..).find_map(|(label, number)| {
        if label.trim().is_empty() {
            Some(format!("label {number} of {count} is empty"))
        } else if label.contains(char::is_control) {
            Some(format!("label {number} of {count} has a control character"))
        } else {
            None
        }
    })
}

/// The labels in `text`; messages call it `source_name`.
pub fn parse(source_name: &str, text: &str, class_count: usize) -> Result<Vec<String>, ModelError> {
    counted(source_name, lines(source_name, text)?, class_count)
}

fn counted(
    source_name: &str,
    labels: Vec<String>,
    class_count: usize,
) -> Result<Vec<String>, ModelError> {
    if labels.len() == class_count {
        return Ok(labels);
    }
    let count = labels.len();
    Err(ModelError::Labels {
        source_name: source_name.to_owned(),
        reason: format!(
            "there are {count} labels for {class_count} classes; one label per line, in the order of the classes"
        ),
    })
}

fn lines(source_name: &str, text: &str) -> Result<Vec<String>, ModelError> {
    let fault = |reason: String| ModelError::Labels {
        source_name: source_name.to_owned(),
        reason,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
    let mut labels = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let label = without_synset_id(line.trim());
        if label.is_empty() {
            return Err(fault(format!("line {} is empty", index + 1)));
        }
        // A control character could overwrite the line in the serial log.
        if label.contains(char::is_control) {
            let number = index + 1;
            return Err(fault(format!("line {number} has a control character")));
        }
        labels.push(label.to_owned());
    }
    Ok(without_numbers(labels))
}

/// Removes the numbers from Teachable Machine's labels (`0 cat`, `1 dog`), if every label begins with its class number. Numbers from
/// 1 on are removed if a mark follows (`1: cat`); otherwise they could be a part of the label (`1 cent`, `2 cents`).
fn without_numbers(labels: Vec<String>) -> Vec<String> {
    let named = |first: usize, is_marked: bool| -> Option<Vec<String>> {
        let numbered = labels.iter().zip(first..);
        let named = numbered.map(|(label, number)| {
            let rest = after_number(label, number)?;
            let name = rest.trim_start_matches(MARKS).trim_start();
            let has_mark = rest != name;
            let is_right = !name.is_empty() && (has_mark || !is_marked);
            is_right.then(|| name.to_owned())
        });
        named.collect()
    };
    named(0, false).or_else(|| named(1, true)).unwrap_or(labels)
}

/// What stands between a number and a label, besides white space.
const MARKS: [char; 3] = [':', ',', ';'];

/// What follows `number` at the beginning of a label, without white space: nothing, or something that a mark or white space
/// separates. (`0,5 mm` and `0:30` begin with another number.)
fn after_number(label: &str, number: usize) -> Option<&str> {
    let rest = label.strip_prefix(&number.to_string())?;
    let mut next = rest.chars();
    let is_apart = match next.next() {
        None => true,
        Some(c) if MARKS.contains(&c) => !next.next().is_some_and(|c| c.is_ascii_digit()),
        Some(c) => c.is_whitespace(),
    };
    is_apart.then(|| rest.trim_start())
}

/// What is to be said about labels that begin with numbers.
fn doubt(labels: &[String]) -> Option<String> {
    let all_begin = |first: usize| {
        let mut numbered = labels.iter().zip(first..);
        labels.len() > 1 && numbered.all(|(label, number)| after_number(label, number).is_some())
    };
    if all_begin(0) {
        let is_bare = |(class, label): (usize, &String)| {
            let rest = after_number(label, class);
            rest.is_some_and(|rest| rest.trim_start_matches(MARKS).is_empty())
        };
        let class = labels.iter().enumerate().position(is_bare)?;
        return Some(format!(
            "every line begins with its class number, and line {} has nothing after it, so the numbers stay: write its label there",
            class + 1
        ));
    }
    if all_begin(1) {
        return Some(
            "every line begins with its number, from 1 on, which counts as part of the label: remove the numbers if they are not"
                .to_owned(),
        );
    }
    let mut numbers = labels
        .iter()
        .map(|label| number_of(label))
        .collect::<Option<Vec<_>>>()?;
    let first = *numbers.first()?;
    numbers.sort_unstable();
    let are_each_once = [0, 1]
        .iter()
        .any(|&least| numbers.iter().copied().eq(least..least + numbers.len()));
    are_each_once.then(|| {
        format!(
            "every line begins with a number, but they are not in order: line 1 is taken for class 0 and begins with {first}; if they are \
             class numbers, sort the lines by them"
        )
    })
}

/// The number that a label begins with.
fn number_of(label: &str) -> Option<usize> {
    let digits = label
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(label.len());
    let number: usize = label[..digits].parse().ok()?;
    after_number(label, number).map(|_| number)
}

/// What a display shows of each label, in composed characters (NFC: `é`, not `e` and an accent): all of it, except that
/// ImageNet's labels are lists of synonyms (`tabby, tabby cat`), of which it shows the first unless another class has the same
/// (`maillot` and `maillot, tank suit` are two).
pub fn shown(labels: &[String]) -> Vec<String> {
    if !are_imagenets(labels) {
        return labels.iter().map(|label| composed(label)).collect();
    }
    let first = |label: &str| label.split(',').next().unwrap_or(label).trim().to_owned();
    let mut counts = HashMap::new();
    for label in labels {
        *counts.entry(first(label).to_lowercase()).or_insert(0) += 1;
    }
    let short = |label: &String| {
        let first = first(label);
        let is_alone = counts.get(&first.to_lowercase()) == Some(&1);
        if is_alone { first } else { label.clone() }
    };
    labels.iter().map(short).collect()
}

/// The text with each letter and its accents composed to one character, if there is one. Fonts have those; files from macOS often
/// do not.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Whether these are ImageNet's labels, except for a few that somebody corrected.
fn are_imagenets(labels: &[String]) -> bool {
    const MAX_CORRECTED: usize = 20;
    let text = shipped::text(shipped::LABELS, shipped::IMAGENET_LABELS).unwrap_or_default();
    let own = text.lines().map(|line| without_synset_id(line.trim()));
    let other = own.clone().zip(labels).filter(|(own, label)| own != label);
    own.count() == labels.len() && other.count() <= MAX_CORRECTED
}

/// `class 0`, `class 1`, ...: for a network whose classes have no names.
pub fn numbered(class_count: usize) -> Vec<String> {
    (0..class_count)
        .map(|class| format!("class {class}"))
        .collect()
}

/// Removes `nXXXXXXXX` and the white space after it.
fn without_synset_id(line: &str) -> &str {
    let Some((id, label)) = line.split_once(char::is_whitespace) else {
        return line;
    };
    match id.strip_prefix('n') {
        Some(digits) if digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            label.trim_start()
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn synset_ids_and_empty_lines_at_the_end_are_no_labels() {
        let text = "\u{feff}n01440764 tench, Tinca tinca\r\nn1 is kept\nnematode\nn01443537\tgoldfish\n\n \n";
        assert_eq!(
            parse("l", text, 4).unwrap(),
            ["tench, Tinca tinca", "n1 is kept", "nematode", "goldfish"]
        );
    }

    #[test]
    fn teachable_machines_numbers_are_no_part_of_a_label() {
        assert_eq!(
            parse("l", "0 cat\n1 sea dog\n", 2).unwrap(),
            ["cat", "sea dog"]
        );
        for text in [
            "0: cat\n1: dog",
            "0,cat\n1, dog",
            "0 : cat\n1;dog",
            "1: cat\n2: dog",
            "1,cat\n2,dog",
        ] {
            assert_eq!(parse("l", text, 2).unwrap(), ["cat", "dog"], "{text}");
        }
        // Numbers with another meaning stay.
        for (text, doubt_is) in [
            ("1 cent\n2 cents\n", Some("from 1 on")),
            ("0 cat\n1\n", Some("line 2 has nothing after it")),
            ("0: cat\n1:\n", Some("line 2 has nothing after it")),
            ("0 cat\n2 dog\n", None),
            (
                "1 cat\n0 dog\n",
                Some("line 1 is taken for class 0 and begins with 1"),
            ),
            ("2: cat\n1: dog\n", Some("not in order")),
            ("3 cat\n3 dog\n", None),
            ("0,5 mm\n1,5 mm\n", None),
            ("1:30\n2:30\n", None),
        ] {
            let as_it_is: Vec<&str> = text.lines().collect();
            let labels = parse("l", text, 2).unwrap();
            assert_eq!(labels, as_it_is);
            let doubt = doubt(&labels);
            assert!(
                doubt_is.is_none_or(|words| doubt.as_ref().is_some_and(|d| d.contains(words))),
                "{doubt:?}"
            );
            assert_eq!(doubt.is_some(), doubt_is.is_some(), "{text}");
        }
    }

    #[test]
    fn only_imagenets_labels_are_shortened_and_all_stay_distinct() {
        let text = shipped::text(shipped::LABELS, shipped::IMAGENET_LABELS).unwrap();
        let imagenets = parse("l", text, 1000).unwrap();
        let short = shown(&imagenets);
        let class = |label: &str| imagenets.iter().position(|l| l.starts_with(label)).unwrap();
        assert_eq!(short[class("tench")], "tench");
        assert_eq!(short[class("maillot, tank suit")], "maillot, tank suit");
        let mut different: Vec<_> = short.iter().map(|l| l.to_lowercase()).collect();
        different.sort();
        different.dedup();
        let mut before: Vec<_> = imagenets.iter().map(|l| l.to_lowercase()).collect();
        before.sort();
        before.dedup();
        assert_eq!(different.len(), before.len());
        let screws = ["Schraube, M3", "Schraube, M4"].map(str::to_owned);
        assert_eq!(shown(&screws), screws);
        let from_a_mac = ["Ka\u{308}se".to_owned(), "Łódz\u{301}".to_owned()];
        assert_eq!(shown(&from_a_mac), ["Käse", "Łódź"]);
    }

    #[test]
    fn faults_name_the_line_and_the_counts() {
        for (text, count, message) in [
            ("a\n\nb", 3, "labels l: line 2 is empty"),
            (
                "a\nb\u{1b}[2J",
                2,
                "labels l: line 2 has a control character",
            ),
            (
                "a\nb\n",
                3,
                "labels l: there are 2 labels for 3 classes; one label per line, in the order of the classes",
            ),
            (
                "",
                1,
                "labels l: there are 0 labels for 1 classes; one label per line, in the order of the classes",
            ),
        ] {
            assert_eq!(parse("l", text, count).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_label_file_that_is_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("l.txt");
        let missing = load(&file, 1).unwrap_err().to_string();
        assert!(missing.contains("l.txt: cannot be read: "), "{missing}");
        std::fs::write(&file, b"cat\nd\xffg\n").unwrap();
        let latin = load(&file, 2).unwrap_err().to_string();
        assert!(latin.ends_with("line 2 is not UTF-8 text"), "{latin}");
    }
}
