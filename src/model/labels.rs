//! Label files: one label a line, in the order of the classes. A leading WordNet id (`n01440764 `) is taken off, so the
//! `synset.txt` that comes with ImageNet models works as it is. Empty lines at the end do not count.

use super::ModelError;
use crate::toml_file::read_text;
use std::path::Path;

/// The longest file that is read: the most classes, with 40 bytes each.
const FILE_BYTES: u64 = 4 << 20;

/// Reads the label file at `path`, which has to have `class_count` labels.
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
    lines(&source_name, &text)
}

/// The labels in `text`, which messages call `source_name`.
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
            "there are {count} labels for {class_count} classes; one label a line, in the order of the classes"
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
        // A control character could rewrite the serial log's line.
        if label.contains(char::is_control) {
            let number = index + 1;
            return Err(fault(format!("line {number} has a control character")));
        }
        labels.push(label.to_owned());
    }
    Ok(labels)
}

/// `class 0`, `class 1`, ...: for a network whose classes have no names.
pub fn numbered(class_count: usize) -> Vec<String> {
    (0..class_count)
        .map(|class| format!("class {class}"))
        .collect()
}

/// Takes off `nXXXXXXXX` and the white space after it.
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
                "labels l: there are 2 labels for 3 classes; one label a line, in the order of the classes",
            ),
            (
                "",
                1,
                "labels l: there are 0 labels for 1 classes; one label a line, in the order of the classes",
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
