//! Writes a model as a `model.toml`, with the source of each key: for `eyelet model describe` and `import`.

use super::facts::{self, Fact, Source};
use super::file::{Definition, INPUT_KEYS, OUTPUT_KEYS};
use super::{Model, ModelError, find};
use crate::escaped::Escaped;
use crate::spec::{InputSpec, OutputSpec, Precision};
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

/// Minimum column at which comments begin.
const COMMENT_COLUMN: usize = 32;

/// What a user does with a description: the end of a line, and the next one.
pub const WHAT_TO_DO: [&str; 2] = [
    "correct it here where it is wrong, and",
    "take the # off: a line that begins with # has no effect. models/README.md of Eyelet has every key.",
];

/// The part above the tables.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The comment at the top, line by line.
    pub introduction: Vec<String>,
    /// One line for `eyelet list models`.
    pub description: String,
    /// The ONNX file's bare name.
    pub file: String,
    /// Its digest and its length, if they are to be checked.
    pub known_by: Option<(String, u64)>,
    /// The label file, relative to the TOML's folder, if it is not the one in the facts.
    pub labels: Option<String>,
}

/// The text of a `model.toml` with everything that is known about `model`. Assumed keys are written as comments where they may be
/// omitted: a user who did not check them did not state them, and they continue to be reported as assumed.
///
/// # Errors
/// [`Definition`] would refuse it: for example, the ONNX file's name does not end in `.onnx`.
pub fn toml(model: &Model, head: &Head) -> Result<String, ModelError> {
    let mut text = String::new();
    for line in &head.introduction {
        put(&mut text, format_args!("# {}", Escaped(line)));
    }
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let described: String = head.description.chars().map(plain).collect();
    let described = facts::text(&described);
    put(&mut text, format_args!("description = {described}"));
    put(
        &mut text,
        format_args!("file = {}", facts::text(&head.file)),
    );
    if let Some((sha256, size_bytes)) = &head.known_by {
        put(&mut text, format_args!("sha256 = {}", facts::text(sha256)));
        put(&mut text, format_args!("size_bytes = {size_bytes}"));
    }
    if model.precision == Precision::Half {
        put(&mut text, format_args!("precision = \"half\""));
    }
    let labels = model.facts.iter().filter(|fact| fact.key == "labels");
    for fact in labels {
        put_labels(&mut text, fact, head.labels.as_deref());
    }
    let usual = defaults(model);
    for table in ["input", "output"] {
        put(&mut text, format_args!("\n[{table}]"));
        for fact in &model.facts {
            let Some((of, key)) = fact.key.split_once('.') else {
                continue;
            };
            let is_usual = usual
                .iter()
                .any(|u| u.key == fact.key && u.value == fact.value);
            let is_open = fact.is_assumed() && is_usual;
            let key = format!("{}{key}", if is_open { "# " } else { "" });
            if of == table {
                put_key(&mut text, &key, &fact.value, &fact.source);
            }
        }
    }
    // The text is parsed back: a key that the reader does not know fails here and not later for the user.
    Definition::parse(&format!("the description of {}", head.file), &text)?;
    Ok(text)
}

/// The keys that a description may omit, with their default values.
fn defaults(model: &Model) -> Vec<Fact> {
    let InputSpec {
        layout,
        dtype,
        width_px,
        height_px,
        ..
    } = model.input;
    let input = InputSpec::imagenet(layout, dtype, width_px, height_px);
    let output = OutputSpec {
        label_offset: 0,
        ..model.output
    };
    let mut facts = facts::of_input(&input, |_| Source::Asked);
    facts.extend(facts::of_output(&output, |_| Source::Asked));
    facts.retain(|fact| INPUT_KEYS.contains(&fact.key) || OUTPUT_KEYS.contains(&fact.key));
    let name = model.facts.iter().find(|fact| fact.key == "output.name");
    facts.extend(name.cloned());
    facts
}

fn put_labels(text: &mut String, fact: &Fact, other: Option<&str>) {
    match other {
        Some(file) => put_key(text, "labels", &facts::text(file), &fact.source),
        None if fact.value.starts_with('"') => {
            put_key(text, "labels", &fact.value, &fact.source);
        }
        // Not labels from a label file: without the key they are found the same way again.
        None => {
            let (value, source) = (Escaped(&fact.value), Escaped(&fact.source));
            put(text, format_args!("# labels: {value} ({source})"));
        }
    }
}

fn put_key(text: &mut String, key: &str, value: &str, source: &Source) {
    let line = format!("{key} = {value}");
    put(
        text,
        format_args!("{line:COMMENT_COLUMN$} # {}", Escaped(source)),
    );
}

fn put(text: &mut String, line: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

/// One line about `model`: from its `model.toml`, else `name` and the number of classes.
pub fn description(model: &Model, name: &str) -> String {
    let stated = find::beside(&model.file).ok().flatten();
    let stated = stated.map(|named| named.definition.description);
    let usual = || format!("{name}, {} classes", model.output.class_count);
    stated.filter(|text| !text.is_empty()).unwrap_or_else(usual)
}

/// A fact's value as a string, if it is one.
pub fn text_of(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// `file` relative to `folder`, if both exist.
pub fn relative(folder: &Path, file: &Path) -> Option<String> {
    let folder = match folder {
        here if here == Path::new("") => Path::new("."),
        folder => folder,
    };
    let (folder, file) = (folder.canonicalize().ok()?, file.canonicalize().ok()?);
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), file.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to[common..].iter().copied()).collect();
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::data_roots::DataRoots;

    /// The description of the network in the file `path`, parsed back.
    fn read_back(path: &Path, model: &Model) -> Definition {
        let head = Head {
            introduction: vec!["one\ntwo".to_owned()],
            description: "a \"name\"\n\u{7f} of a network".to_owned(),
            file: path.file_name().unwrap().to_str().unwrap().to_owned(),
            ..Head::default()
        };
        let text = toml(model, &head).unwrap();
        let mut read = Definition::parse("t", &text).unwrap();
        assert_eq!(read.description, "a \"name\"   of a network");
        // What is left open is what was assumed, and every fact is written; bytes have no scale.
        let fact = |key: &str| model.facts.iter().find(|fact| fact.key == key);
        for key in &read.left_out {
            let Some(fact) = fact(key) else { continue };
            assert!(fact.is_assumed(), "{fact}");
            let key = key.split_once('.').unwrap().1;
            let open = format!("\n# {key} = {} ", fact.value);
            assert!(text.contains(&open), "{open} in {text}");
        }
        // Without it the network's file decides.
        if read.left_out.contains(&"output.kind") {
            read.output.kind = model.output.kind;
        }
        read
    }

    #[test]
    fn every_fixture_is_described_as_it_is_used() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let roots = DataRoots::new(vec![env!("CARGO_MANIFEST_DIR").into()], None, None);
        let mut described = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "onnx") {
                continue;
            }
            let Ok(model) =
                Model::find_in(&roots, path.to_str().unwrap(), None, find::inspect_file)
            else {
                continue;
            };
            let read = read_back(&path, &model);
            assert_eq!(read.input, model.input, "{}", path.display());
            assert_eq!(read.output, model.output, "{}", path.display());
            described += 1;
        }
        assert!(described > 40, "{described}");
    }

    #[test]
    fn numbers_are_read_back_to_the_last_bit() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let path = folder.join("mobile-v3.onnx");
        let roots = DataRoots::new(vec![], None, None);
        let model =
            Model::find_in(&roots, path.to_str().unwrap(), None, find::inspect_file).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            let mut number = || 10f32.powf(random.f32() * 11.0 - 5.5);
            let input = InputSpec {
                scale: number(),
                mean: [number(), -number(), number()],
                std: [number(), number(), number()],
                ..model.input.clone()
            };
            let mut facts = facts::of_input(&input, |_| Source::Asked);
            facts.extend(facts::of_output(&model.output, |_| Source::Asked));
            let other = Model {
                input: input.clone(),
                facts,
                ..model.clone()
            };
            assert_eq!(read_back(&path, &other).input, input);
        }
    }

    #[test]
    fn a_path_is_written_relative_to_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("words.txt"), "").unwrap();
        std::fs::write(at("a/words.txt"), "").unwrap();
        for (from, file, called) in [
            ("a", "a/words.txt", Some("words.txt")),
            ("a/b", "a/words.txt", Some("../words.txt")),
            ("a/b", "a/../words.txt", Some("../../words.txt")),
            ("a", "none.txt", None),
        ] {
            assert_eq!(relative(&at(from), &at(file)).as_deref(), called, "{file}");
        }
    }
}
