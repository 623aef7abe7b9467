//! The labels of a model that has none of its own.

use super::{ModelError, labels, shipped};
use crate::data_roots::DataRoots;
use std::path::Path;

/// Networks with this many classes are assumed to use ImageNet's.
pub(super) const IMAGENET_CLASSES: usize = 1000;

/// What a model without labels gets, in readable form.
pub(super) fn usual_labels_name(class_count: usize) -> &'static str {
    if class_count == IMAGENET_CLASSES {
        "ImageNet's"
    } else {
        "numbers"
    }
}

/// ImageNet's labels for 1000 classes, numbers for any other count.
pub(super) fn usual_labels(
    class_count: usize,
    roots: &DataRoots,
) -> Result<Vec<String>, ModelError> {
    if class_count == IMAGENET_CLASSES {
        shipped_labels(Path::new(shipped::IMAGENET_LABELS), class_count, roots)
    } else {
        Ok(labels::numbered(class_count))
    }
}

/// The labels at `path` below `models/`: compiled in, or in a data root.
pub(super) fn shipped_labels(
    path: &Path,
    class_count: usize,
    roots: &DataRoots,
) -> Result<Vec<String>, ModelError> {
    let name = path.to_string_lossy();
    match shipped::text(shipped::LABELS, &name) {
        Some(text) => labels::parse(&format!("models/{name}"), text, class_count),
        None => labels::load(
            &roots.find_or_first(Path::new("models").join(path)),
            class_count,
        ),
    }
}
