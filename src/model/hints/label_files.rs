//! Label files beside a network: one label per line, or `labels.json`, a list or a dictionary.

use super::{Hint, Labels};
use crate::model::source::Source;
use crate::model::{ModelError, labels};
use std::path::Path;

/// Their names; in the first four `{}` is the network's own name.
const NAMES: [&str; 9] = [
    "{}.txt",
    "{}.labels.txt",
    "{}-labels.txt",
    "{}_labels.txt",
    "labels.txt",
    "classes.txt",
    "class_names.txt",
    "synset.txt",
    "labels.json",
];

/// The label files that are there, with their labels or why those cannot be taken.
pub(super) struct LabelFiles<'a> {
    network: &'a Path,
    read: Vec<(String, Result<Vec<String>, String>)>,
}

/// The names of label files for the network in the file `path`.
pub(super) fn names_for(path: &Path) -> impl Iterator<Item = String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let own = path.file_name().unwrap_or_default();
    let names = NAMES.iter().map(move |name| name.replace("{}", &stem));
    names.filter(move |name| **name != *own)
}

impl<'a> LabelFiles<'a> {
    /// Reads those beside the network in the file `path`.
    pub fn beside(path: &'a Path) -> Self {
        let read = names_for(path).filter_map(|name| Some((read(path, &name)?, name)));
        Self {
            network: path,
            read: read.map(|(labels, name)| (name, labels)).collect(),
        }
    }

    /// The labels of the first file that has as many as there are classes.
    pub fn with(&self, count: usize) -> Option<Hint<Labels>> {
        let right = |labels: &&Vec<String>| labels.len() == count;
        let (name, labels) = self
            .read
            .iter()
            .find_map(|(name, labels)| Some((name, labels.as_ref().ok().filter(right)?)))?;
        Some(Hint {
            value: Labels {
                labels: labels.clone(),
                file: Some(name.clone()),
            },
            source: Source::Beside(format!("{name} has {count} labels")),
        })
    }

    /// Warns of the files that cannot be taken: all, or those that come before the one that is `taken`.
    pub fn report_faulty(&self, taken: Option<&Labels>) {
        let taken = taken.and_then(|labels| labels.file.as_deref());
        let earlier = self
            .read
            .iter()
            .take_while(|(name, _)| Some(&**name) != taken);
        for (name, labels) in earlier {
            if let Err(why) = labels {
                let file = self.network.display();
                log::warn!("{file}: the labels in {name} beside it are not taken: {why}");
            }
        }
    }

    /// Warns of the files with another number of labels.
    pub fn report_others(&self, classes: usize) {
        for (name, labels) in &self.read {
            if let Ok(labels) = labels {
                let (file, count) = (self.network.display(), labels.len());
                log::warn!(
                    "{file}: {name} beside it has {count} labels for {classes} classes, so they are not taken"
                );
            }
        }
    }
}

/// The labels in the file `name` beside `path`; `None` if it does not exist.
fn read(path: &Path, name: &str) -> Option<Result<Vec<String>, String>> {
    let file = path.with_file_name(name);
    file.symlink_metadata().ok()?;
    Some(labels::load_all(&file).map_err(|error| match error {
        ModelError::Labels { reason, .. } => reason,
        other => other.to_string(),
    }))
}
