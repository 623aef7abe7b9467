//! From what the user names (`mobilenet-v2`, `mobilenet-v2@12-int8`, `./mine.onnx`) to a checked [`Model`].
//!
//! A name is looked up in the data roots (`ROOT/models/NAME/model.toml`), then among the models that are compiled in. Its ONNX
//! file must have the length and the sha256 that the `model.toml` states. A path needs no `model.toml`: what the file says about
//! itself is enough, together with the rules of the published ImageNet models.

use super::digest::unreadable;
pub use super::digest::{hex, length_of, verify};
use super::facts;
use super::file::{Definition, NetworkFile};
use super::hints::Hints;
pub(crate) use super::inspected::{inspect_described, inspect_file};
use super::left_out::LeftOut;
use super::usual_labels::{shipped_labels, usual_labels, usual_labels_name};
use super::{Model, ModelError, labels, shipped, stated};
use crate::data_roots::DataRoots;
use crate::network::onnx::inspect::Inspected;
use crate::toml_file::{did_you_mean, read_text};
use crate::{limits, named};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

/// The name of a description that holds for a folder.
pub const MODEL_TOML: &str = "model.toml";
/// The name of a file whose own description has that name too.
const MODEL_ONNX: &str = "model.onnx";

/// Where models are downloaded: the board's program has no network code.
const WHERE: &str = if cfg!(feature = "tools") {
    ""
} else {
    "on a developer's machine "
};

/// Whether `text` is a path to an ONNX file rather than the name of a model.
pub fn is_path(text: &str) -> bool {
    text.contains('/') || text.to_ascii_lowercase().ends_with(".onnx")
}

/// A named model: its definition, and where its files are or would be.
#[derive(Debug, Clone)]
pub struct Named {
    /// The folder's name below `models/`.
    pub name: String,
    /// The word after `@`.
    pub variant: Option<String>,
    /// The contents of the `model.toml`.
    pub definition: Definition,
    /// The folder of the `model.toml`; `None` if it is compiled in.
    pub folder: Option<PathBuf>,
    /// The name of the `model.toml`, which is another one for a file that is given by its path.
    pub toml: String,
}

impl Named {
    /// The names that [`Self::find`] knows: the compiled-in models, and the folders with a `model.toml` in the data roots.
    pub fn names(roots: &DataRoots) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = shipped::names().map(str::to_owned).collect();
        for root in &roots.folders {
            let entries = std::fs::read_dir(root.join("models"));
            for entry in entries.into_iter().flatten().flatten() {
                if entry.path().join(MODEL_TOML).is_file() {
                    names.extend(entry.file_name().into_string());
                }
            }
        }
        names
    }

    /// Looks `name` up, `NAME` or `NAME@VARIANT`.
    pub fn find(name: &str, roots: &DataRoots) -> Result<Self, ModelError> {
        let (model, variant) = match name.split_once('@') {
            Some((model, variant)) => (model, Some(variant.to_owned())),
            None => (name, None),
        };
        let unknown = || ModelError::UnknownName {
            name: model.to_owned(),
            hint: did_you_mean(model, Self::names(roots).iter().map(String::as_str)),
        };
        if model.is_empty() || model.starts_with('.') || model.contains(['/', '\\']) {
            return Err(unknown());
        }
        let toml = format!("{model}/{MODEL_TOML}");
        let (definition, folder) = if let Some(path) = roots.find(Path::new("models").join(&toml)) {
            (
                read_definition(&path, None)?,
                path.parent().map(Path::to_owned),
            )
        } else {
            let text = shipped::text(shipped::MODELS, &toml).ok_or_else(unknown)?;
            (Definition::parse(&format!("models/{toml}"), text)?, None)
        };
        let named = Self {
            name: model.to_owned(),
            variant,
            definition,
            folder,
            toml: MODEL_TOML.to_owned(),
        };
        match &named.variant {
            Some(variant) if !named.definition.variants.contains_key(variant) => {
                let known = named.definition.variants.keys().map(String::as_str);
                Err(ModelError::UnknownVariant {
                    model: named.name.clone(),
                    variant: variant.clone(),
                    hint: did_you_mean(variant, known.clone()),
                    known: match known.collect::<Vec<_>>().join(", ") {
                        none if none.is_empty() => "none".to_owned(),
                        some => some,
                    },
                })
            }
            _ => Ok(named),
        }
    }

    /// `NAME` or `NAME@VARIANT`.
    pub fn full_name(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{}@{variant}", self.name),
            None => self.name.clone(),
        }
    }

    /// The selected ONNX file.
    pub fn network_file(&self) -> &NetworkFile {
        let file = self.definition.network_file(self.variant.as_deref());
        file.unwrap_or(&self.definition.main)
    }

    /// Where the ONNX file is: beside the `model.toml`, or in another data root's folder of this model.
    pub fn path(&self, roots: &DataRoots) -> Result<PathBuf, ModelError> {
        let file = &self.network_file().file;
        let relative = Path::new("models").join(&self.name).join(file);
        let beside = self.folder.as_ref().map(|folder| folder.join(file));
        let found = beside.clone().filter(|path| path.exists());
        found.or_else(|| roots.find(&relative)).ok_or_else(|| {
            let name = self.full_name();
            let remedy = if self.network_file().urls.is_empty() {
                self.comes_from()
            } else {
                format!("{WHERE}`eyelet model pull {name}` fetches it")
            };
            ModelError::Missing {
                name,
                expected_at: beside.unwrap_or_else(|| roots.find_or_first(&relative)),
                remedy,
            }
        })
    }

    /// Where to get a file that has no URL.
    fn comes_from(&self) -> String {
        if shipped::names().any(|name| name == self.name) {
            return "it comes with the source tree: set EYELET_HOME to the folder that holds models/"
                .to_owned();
        }
        format!(
            "put it there, or import it again: `eyelet model import FILE.onnx --name {} --force`",
            self.name
        )
    }

    /// The labels: those of `override_file`, otherwise those that the `model.toml` names.
    fn labels(
        &self,
        override_file: Option<&Path>,
        roots: &DataRoots,
    ) -> Result<Vec<String>, ModelError> {
        let count = self.definition.output.class_count;
        if let Some(file) = override_file {
            return labels::load(file, count);
        }
        let Some(relative) = &self.definition.labels else {
            return usual_labels(count, roots);
        };
        match &self.folder {
            Some(folder) => labels::load(&folder.join(relative), count),
            None => {
                let path = without_dots(&Path::new(&self.name).join(relative));
                shipped_labels(&path, count, roots)
            }
        }
    }
}

impl Model {
    /// The model that `name_or_path` selects, with the labels of the file `labels` if given.
    pub fn find(name_or_path: &str, labels: Option<&Path>) -> Result<Self, ModelError> {
        Self::find_in(
            &DataRoots::of_this_machine(),
            name_or_path,
            labels,
            inspect_file,
        )
    }

    /// Like [`Self::find`], with these data roots. `inspect` reads an ONNX file that has no `model.toml` beside it.
    pub fn find_in<E: Display>(
        roots: &DataRoots,
        name_or_path: &str,
        labels: Option<&Path>,
        inspect: impl FnOnce(&Path) -> Result<Inspected, E>,
    ) -> Result<Self, ModelError> {
        if !is_path(name_or_path) {
            let named = Named::find(name_or_path, roots)?;
            let path = named.path(roots)?;
            return Self::of_named(&named, path, labels, roots);
        }
        let path = Path::new(name_or_path);
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if !metadata.is_file() {
            return Err(unreadable(path, &"it is not a file"));
        }
        if let Some(named) = beside(path)? {
            return Self::of_named(&named, path.to_owned(), labels, roots);
        }
        let inspected = inspect(path).map_err(|error| ModelError::Network(error.to_string()))?;
        Self::of_onnx(path, &inspected, labels, roots)
    }

    fn of_named(
        named: &Named,
        path: PathBuf,
        labels: Option<&Path>,
        roots: &DataRoots,
    ) -> Result<Self, ModelError> {
        let remedy = if named.network_file().urls.is_empty() {
            String::new()
        } else {
            format!(
                "; {WHERE}`eyelet model pull {}` fetches it again",
                named.full_name()
            )
        };
        verify(&path, named.network_file(), &named.toml, &remedy)?;
        let output_name = named.definition.output_name.clone();
        let inspected = inspect_described(&path, output_name.as_deref());
        // That it cannot be inspected is otherwise reported when it is loaded.
        let metadata = inspected.as_ref().map_or(&[][..], |file| &file.metadata);
        let hints = Hints::of(&path, metadata);
        let left_out = LeftOut::of(named, &hints, &inspected)?;
        let input = left_out.input()?;
        let inspected = inspected.as_ref().ok();
        if let Some(file) = inspected {
            for line in stated::contradictions(&input, &named.toml, &hints, file) {
                log::warn!("{}: {line}", named.full_name());
            }
        }
        let output = left_out.output(named.definition.output);
        let source = |key| left_out.source(key);
        let mut all_facts = facts::of_input(&input, source);
        if let Some(choice) = inspected.and_then(|file| file.choice.as_ref()) {
            let stated = output_name.as_ref().map(|_| left_out.stated());
            all_facts.push(facts::of_choice(choice, stated));
        }
        all_facts.extend(facts::of_output(&output, source));
        let definition = &named.definition;
        let stated = definition.labels.as_deref();
        let found = match (labels, stated) {
            (None, None) => hints.labels(&[output.class_count]),
            _ => None,
        };
        let usual = usual_labels_name(output.class_count);
        let precision = definition.precision;
        let stated_precision = precision.map(|precision| (precision, left_out.stated()));
        let stated_labels = stated.map(|file| (file, left_out.stated()));
        all_facts.push(facts::of_precision(stated_precision));
        all_facts.push(facts::of_labels(
            labels,
            stated_labels,
            found.as_ref(),
            usual,
        ));
        Ok(Self {
            name: named.full_name(),
            file: path.clone(),
            input,
            output,
            output_name,
            precision: precision.unwrap_or_default(),
            labels: match found {
                Some(found) => found.value.labels,
                None => named.labels(labels, roots)?,
            },
            facts: all_facts,
        })
    }
}

/// The ONNX file that `name_or_path` leads to, which is neither read nor checked.
///
/// # Errors
/// No model has this name, or its file is not on this machine.
pub fn locate(name_or_path: &str) -> Result<PathBuf, ModelError> {
    if !is_path(name_or_path) {
        let roots = DataRoots::of_this_machine();
        return Named::find(name_or_path, &roots)?.path(&roots);
    }
    let path = PathBuf::from(name_or_path);
    std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
    Ok(path)
}

/// The definition beside `path`: `FILE.toml` for `FILE.onnx`, or a `model.toml` that names the file. In a folder with a `model.onnx` the
/// `model.toml` is that file's own, unless it names another one.
pub fn beside(path: &Path) -> Result<Option<Named>, ModelError> {
    let file_name = path.file_name().map(|name| name.to_string_lossy());
    let file_name = file_name.unwrap_or_default();
    let own = path.with_extension("toml");
    let shared = path.with_file_name(MODEL_TOML);
    let is_apart = own != shared;
    let shared_network = path.with_file_name(MODEL_ONNX);
    let shared_network = shared_network.is_file().then_some(MODEL_ONNX);
    let all = [(&own, Some(&*file_name)), (&shared, shared_network)];
    let all = if is_apart { &all[..] } else { &all[..1] };
    for &(toml, network) in all {
        if !toml.is_file() {
            continue;
        }
        if is_standard_output(toml) {
            log::warn!(
                "{} is where this program's output goes, so it is not read as a description of {}",
                toml.display(),
                path.display()
            );
            continue;
        }
        let is_own = *toml == own && is_apart;
        let definition = read_definition(toml, network)?;
        let variant = match definition.variant_of_file(&file_name) {
            Some(variant) => variant.map(str::to_owned),
            None if is_own => {
                return Err(unreadable(
                    path,
                    &format!(
                        "{} beside it describes the file {:?}; correct `file` there, or rename it",
                        own.display(),
                        definition.main.file
                    ),
                ));
            }
            None => continue,
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = if is_own {
            path.file_stem()
        } else {
            folder.file_name().or(path.file_stem())
        };
        return Ok(Some(Named {
            name: name.unwrap_or_default().to_string_lossy().into_owned(),
            variant,
            definition,
            folder: Some(folder.to_owned()),
            toml: toml
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }));
    }
    Ok(None)
}

/// Whether standard output goes to the file `path`: a shell has truncated it before the program began (`describe X.onnx >
/// X.toml`).
fn is_standard_output(path: &Path) -> bool {
    let stdout = std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from);
    let known = stdout.and_then(|file| Ok((file.metadata()?, std::fs::metadata(path)?)));
    known.is_ok_and(|(stdout, file)| stdout.is_file() && named::is_same(&stdout, &file))
}

/// Reads the description at `path`, which may be that of the file `network` alone.
fn read_definition(path: &Path, network: Option<&str>) -> Result<Definition, ModelError> {
    if is_standard_output(path) {
        let why = "this program's output goes there, and the shell has emptied it: restore it, and let the output go elsewhere";
        return Err(unreadable(path, &why));
    }
    let text =
        read_text(path, limits::TOML_FILE_BYTES).map_err(|error| unreadable(path, &error))?;
    let shown = path.display().to_string();
    Ok(match network {
        Some(network) => Definition::parse_own(&shown, &text, network)?,
        None => Definition::parse(&shown, &text)?,
    })
}

/// `a/../b` as `b`, by text only, without the file system.
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}
