//! The repository's `model.toml`s and labels, compiled in, so that names work without the source tree.

/// A file of the repository, by its path below `models/`.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// With `/` as separator.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($path:literal),* $(,)?) => {
        &[$(Shipped {
            path: $path,
            text: include_str!(concat!("../../models/", $path)),
        }),*]
    };
}

/// Every `NAME/model.toml`. A test compares this with the folder.
pub const MODELS: &[Shipped] = shipped!["efficientnet-lite0/model.toml", "mobilenet-v2/model.toml"];

/// The label files that these name.
pub const LABELS: &[Shipped] = shipped!["efficientnet-lite0/labels.txt"];

/// The labels of ImageNet's 1000 classes: for a network with 1000 classes and no labels of its own.
pub const IMAGENET_LABELS: &str = "efficientnet-lite0/labels.txt";

/// The names of the shipped models.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS
        .iter()
        .filter_map(|model| model.path.strip_suffix("/model.toml"))
}

/// The text of the shipped file `path`.
pub fn text(files: &[Shipped], path: &str) -> Option<&'static str> {
    files.iter().find(|file| file.path == path).map(|f| f.text)
}
