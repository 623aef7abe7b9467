//! What a network's file says outside its graph (`metadata_props`), and what the files beside it say: its labels, and how
//! pictures were prepared for it.
//!
//! The sources are the keys that ONNX itself defines (`Image.BitmapPixelFormat`, `Image.NominalPixelRange`), Ultralytics'
//! (`names`, `imgsz`, `task`), lists of labels under the usual names, Hugging Face's `preprocessor_config.json` and
//! `config.json`, timm's `config.json`, and label files. What is not understood is ignored: the rule assumed instead is then
//! reported like any other. A file that cannot be read at all is warned about.

mod config;
mod label_files;

use super::source::Source;
use super::{labels, names};
use crate::spec::ChannelOrder;
use crate::{limits, named};
use config::ConfigFiles;
use label_files::LabelFiles;
use std::cell::OnceCell;
use std::io::ErrorKind;
use std::path::Path;

/// `metadata_props`: keys and values.
pub type Metadata = [(String, String)];

/// Keys of `metadata_props` under which exporters keep labels.
const LABEL_KEYS: [&str; 5] = ["names", "labels", "classes", "class_names", "id2label"];

/// Ultralytics' tasks that are not classification.
const OTHER_TASKS: [&str; 4] = ["detect", "segment", "pose", "obb"];

/// The longest configuration file that is read: one with 100000 labels has 4 MiB.
const CONFIG_BYTES: u64 = 8 << 20;

/// A value, and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint<T> {
    /// The value.
    pub value: T,
    /// Its source.
    pub source: Source,
}

/// How pixels become the network's values: `(pixel * scale - mean[c]) / std[c]`, in the order R, G, B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pixels {
    /// Factor on the 8-bit pixel.
    pub scale: f32,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divisor after that.
    pub std: [f32; 3],
}

impl Pixels {
    /// Pixels times `scale`, and nothing else.
    pub fn scaled(scale: f32) -> Self {
        Self {
            scale,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    /// Whether all colours are treated alike.
    pub fn is_grey(&self) -> bool {
        let same = |values: [f32; 3]| values.iter().all(|v| *v == values[0]);
        same(self.mean) && same(self.std)
    }

    /// The normalisation, if `model.toml` could express it.
    fn checked(self) -> Option<Self> {
        let is_right = limits::FACTOR.check(self.scale).is_some()
            && self.mean.iter().all(|v| limits::MEAN.check(*v).is_some())
            && self.std.iter().all(|v| limits::FACTOR.check(*v).is_some());
        is_right.then_some(self)
    }
}

/// How pictures were prepared for a network, as far as anything says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preparation {
    /// Scale, mean and deviation.
    pub pixels: Option<Hint<Pixels>>,
    /// Which colour is channel 0.
    pub channels: Option<Hint<ChannelOrder>>,
    /// Width and height, for a network that takes any size.
    pub size_px: Option<Hint<[u32; 2]>>,
    /// How pictures were resized to the network's size.
    pub resize: Option<Hint<Resized>>,
}

/// How pictures were resized to a network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resized {
    /// The shorter side to this many pixels; then the centre was cropped.
    Shorter(u32),
    /// The shorter side to the longer side of the network's picture; then the centre was cropped.
    ShorterToSide,
    /// Both sides, whatever their proportions.
    Stretched,
}

/// What is known about a network from outside its graph: its metadata, and the files beside it.
pub struct Hints<'a> {
    path: &'a Path,
    metadata: &'a Metadata,
    files: ConfigFiles<'a>,
}

impl<'a> Hints<'a> {
    /// The hints for the network in the file `path`, which has this `metadata`.
    pub fn of(path: &'a Path, metadata: &'a Metadata) -> Self {
        Self {
            path,
            metadata,
            files: ConfigFiles::beside(path),
        }
    }

    /// How pictures were prepared; the network's own file takes precedence over those beside it.
    pub fn preparation(&self) -> Preparation {
        let file = of_metadata(self.metadata);
        let beside = self.files.preparation();
        Preparation {
            pixels: file.pixels.or(beside.pixels),
            channels: file.channels.or(beside.channels),
            size_px: file.size_px.or(beside.size_px),
            resize: file.resize.or(beside.resize),
        }
    }

    /// The labels: the first whose number is one of `counts`. Files that cannot be read, and apparent labels with another number,
    /// are reported.
    pub fn labels(&self, counts: &[usize]) -> Option<Hint<Labels>> {
        let files = OnceCell::new();
        let beside = |count| {
            let files: &LabelFiles<'_> = files.get_or_init(|| LabelFiles::beside(self.path));
            files.with(count).or_else(|| self.configured(count))
        };
        let found = counts
            .iter()
            .find_map(|&count| of_file(self.metadata, count).or_else(|| beside(count)));
        if let Some(files) = files.get() {
            files.report_faulty(found.as_ref().map(|found| &found.value));
            if let (None, Some(&classes)) = (&found, counts.last()) {
                report_metadata(self.path, self.metadata, classes);
                files.report_others(classes);
                self.report_configured(classes);
            }
        }
        found
    }

    /// Labels in configuration files beside the network.
    fn configured(&self, count: usize) -> Option<Hint<Labels>> {
        let (labels, key) = self.files.labels()?;
        let labels = clean(labels).filter(|labels| labels.len() == count)?;
        Some(Hint {
            value: Labels { labels, file: None },
            source: Source::Beside(format!("{key} in {}", config::CONFIG)),
        })
    }

    /// Warns of the labels in configuration files, which are not taken.
    fn report_configured(&self, classes: usize) {
        if let Some((labels, key)) = self.files.labels() {
            let (file, why) = (self.path.display(), not_taken(&labels, classes));
            log::warn!(
                "{file}: the labels in {} beside it ({key}) are not taken: {why}",
                config::CONFIG
            );
        }
    }
}

/// The names of the files beside the network in the file `path` that say something about it, or could.
pub fn files_beside(path: &Path) -> Vec<String> {
    let configs = [config::PREPROCESSOR, config::CONFIG].map(str::to_owned);
    let names = label_files::names_for(path).chain(configs);
    let is_there = |name: &String| path.with_file_name(name).is_file();
    names.filter(is_there).collect()
}

/// The value of a key, if it is no longer than a configuration file.
fn metadata_value<'m>(metadata: &'m Metadata, key: &str) -> Option<&'m str> {
    let found = metadata.iter().find(|(name, _)| name == key);
    let value = found.map(|(_, value)| value.trim());
    value.filter(|value| value.len() as u64 <= CONFIG_BYTES)
}

fn in_metadata(key: &str) -> Source {
    Source::Graph(format!("{key} in its metadata_props"))
}

/// Why a network is not a classifier, according to its own metadata.
pub fn other_task(metadata: &Metadata) -> Option<String> {
    let task = metadata_value(metadata, "task").filter(|task| OTHER_TASKS.contains(task))?;
    Some(format!(
        "says of itself that its task is {task:?} (task in its metadata_props); Eyelet runs classifiers: one score per class"
    ))
}

fn of_metadata(metadata: &Metadata) -> Preparation {
    const FORMAT: &str = "Image.BitmapPixelFormat";
    const RANGE: &str = "Image.NominalPixelRange";
    let mut found = Preparation::default();
    let channels = match metadata_value(metadata, FORMAT) {
        Some("Bgr8" | "Bgra8") => Some(ChannelOrder::Bgr),
        Some("Rgb8" | "Rgba8") => Some(ChannelOrder::Rgb),
        _ => None,
    };
    found.channels = channels.map(|value| Hint {
        value,
        source: in_metadata(FORMAT),
    });
    let pixels = match metadata_value(metadata, RANGE) {
        Some("NominalRange_0_255") => Some(Pixels::scaled(1.0)),
        Some("Normalized_0_1") => Some(Pixels::scaled(1.0 / 255.0)),
        Some("Normalized_1_1") => Some(Pixels {
            scale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        }),
        _ => None,
    };
    found.pixels = pixels.map(|value| Hint {
        value,
        source: in_metadata(RANGE),
    });
    let is_ultralytics =
        metadata_value(metadata, "author").is_some_and(|a| a.contains("Ultralytics"));
    if is_ultralytics && metadata_value(metadata, "task") == Some("classify") {
        let source = || Source::Graph("author in its metadata_props is Ultralytics".to_owned());
        found.pixels.get_or_insert_with(|| Hint {
            value: Pixels::scaled(1.0 / 255.0),
            source: source(),
        });
        found.resize = Some(Hint {
            value: Resized::ShorterToSide,
            source: source(),
        });
    }
    found.size_px = metadata_value(metadata, "imgsz")
        .and_then(size)
        .map(|value| Hint {
            value,
            source: in_metadata("imgsz"),
        });
    found
}

/// Ultralytics' `[height, width]` as width and height.
fn size(text: &str) -> Option<[u32; 2]> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let (height, width) = inside.split_once(',')?;
    let side = |text: &str| {
        let side = text.trim().parse().ok()?;
        limits::INPUT_SIDE_PX.check(side)
    };
    Some([
        u32::try_from(side(width)?).ok()?,
        u32::try_from(side(height)?).ok()?,
    ])
}

/// Labels that were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// One per class.
    pub labels: Vec<String>,
    /// The bare name of the label file beside the network, if they come from one.
    pub file: Option<String>,
}

/// Labels in `metadata_props`.
fn of_file(metadata: &Metadata, count: usize) -> Option<Hint<Labels>> {
    LABEL_KEYS.iter().find_map(|key| {
        let labels = names::parse(metadata_value(metadata, key)?).and_then(clean)?;
        (labels.len() == count).then(|| Hint {
            value: Labels { labels, file: None },
            source: in_metadata(key),
        })
    })
}

/// Warns of labels in `metadata_props` that are not taken.
fn report_metadata(path: &Path, metadata: &Metadata, classes: usize) {
    let file = path.display();
    for key in LABEL_KEYS {
        let Some(text) = metadata_value(metadata, key) else {
            continue;
        };
        let why = match names::parse(text) {
            Some(labels) => not_taken(&labels, classes),
            None => "they need the form [\"cat\", \"dog\"], {0: \"cat\", 1: \"dog\"} or one label per line".to_owned(),
        };
        log::warn!("{file}: the labels in its metadata_props ({key}) are not taken: {why}");
    }
}

/// Why these labels are not those of this many classes.
fn not_taken(labels: &[String], classes: usize) -> String {
    let count = labels.len();
    labels::fault(labels)
        .unwrap_or_else(|| format!("there are {count} labels for {classes} classes"))
}

/// Labels as in a label file; `None` if one is invalid.
fn clean(labels: Vec<String>) -> Option<Vec<String>> {
    if labels::fault(&labels).is_some() {
        return None;
    }
    labels::parse("", &labels.join("\n"), labels.len()).ok()
}

/// The text of a configuration file beside `path`; none if there is no such file.
fn text_beside(path: &Path, name: &str) -> Result<Option<String>, String> {
    match named::read_file(&path.with_file_name(name), CONFIG_BYTES) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| "it is not UTF-8 text".to_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn onnx_and_ultralytics_say_how_pictures_were_prepared() {
        let of = |pairs: &[(&str, &str)]| of_metadata(&metadata(pairs));
        let found = of(&[
            ("Image.BitmapPixelFormat", "Bgr8"),
            ("Image.NominalPixelRange", "NominalRange_0_255"),
        ]);
        assert_eq!(found.channels.unwrap().value, ChannelOrder::Bgr);
        assert_eq!(found.pixels.unwrap().value, Pixels::scaled(1.0));
        let found = of(&[
            ("author", "Ultralytics"),
            ("task", "classify"),
            ("imgsz", "[160, 224]"),
        ]);
        assert_eq!(found.pixels.unwrap().value, Pixels::scaled(1.0 / 255.0));
        assert_eq!(found.size_px.unwrap().value, [224, 160]);
        assert_eq!(found.resize.unwrap().value, Resized::ShorterToSide);
        // Unknown values, and sizes that no network has.
        let other = of(&[("task", "classify"), ("imgsz", "[0, 99999]")]);
        assert_eq!(other, Preparation::default());
        assert!(other_task(&metadata(&[("task", "detect")])).is_some());
        assert_eq!(other_task(&metadata(&[("task", "classify")])), None);
    }

    #[test]
    fn labels_are_taken_where_they_are_as_many_as_the_classes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.onnx");
        let names = metadata(&[("names", "{0: 'cat', 1: 'dog'}")]);
        let found = |counts: &[usize]| {
            let labels = Hints::of(&path, &names).labels(counts);
            labels.map(|hint| hint.value)
        };
        assert_eq!(found(&[2]).unwrap().labels, ["cat", "dog"]);
        assert_eq!(found(&[3]), None);
        std::fs::write(folder.path().join("labels.txt"), "a\nb\nc\n").unwrap();
        std::fs::write(
            folder.path().join("config.json"),
            r#"{"id2label": {"0": "x", "1": "y", "2": "z", "3": "w"}}"#,
        )
        .unwrap();
        let three = found(&[3]).unwrap();
        assert_eq!(three.file.as_deref(), Some("labels.txt"));
        assert_eq!(found(&[4]).unwrap().labels, ["x", "y", "z", "w"]);
        // The network's own file takes precedence, and of two counts the first.
        std::fs::write(folder.path().join("net.txt"), "1\n2\n3\n").unwrap();
        assert_eq!(found(&[3]).unwrap().file.as_deref(), Some("net.txt"));
        assert_eq!(found(&[2, 3]).unwrap().labels, ["cat", "dog"]);
        // A list as JSON is read after the others.
        std::fs::write(
            folder.path().join("labels.json"),
            r#"{"0": "e", "1": "f", "2": "g", "3": "h", "4": "i"}"#,
        )
        .unwrap();
        let five = found(&[5]).unwrap();
        assert_eq!(
            (five.labels.len(), five.file.as_deref()),
            (5, Some("labels.json"))
        );
        std::fs::remove_file(folder.path().join("labels.json")).unwrap();
        // A pipe is not waited for, and a control character is not a part of a label.
        let pipe = folder.path().join("classes.txt");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(status.unwrap().success());
        assert_eq!(found(&[5]), None);
        let odd = metadata(&[("names", r#"["a", "b\u001b[2J"]"#)]);
        assert_eq!(Hints::of(&pipe, &odd).labels(&[2]), None);
    }
}
