//! A model's files as stored in an image, laid out so that the board finds them as a developer's machine does:
//! `/models/NAME/model.toml` and the files that it names, or, for a bare ONNX file, `/models/NAME/FILE.onnx`.

use super::fat::Files;
use super::limits;
use crate::data_roots::DataRoots;
use crate::failure::{Cause, Failure};
use crate::model::facts::Source;
use crate::model::{Fact, Model, Named, find, hints, shipped};
use crate::named;
use crate::network::onnx::peek::peek_at;
use std::path::{Path, PathBuf};

/// A model for an image.
pub struct ModelFiles {
    /// The model's name in the image's board file: a name, or an absolute path.
    pub name_or_path: String,
    /// Files by their path in the initramfs, without a leading `/`.
    pub files: Files,
}

impl ModelFiles {
    /// Collects the files of `name_or_path`, which a user or a board file gave. Checks the model as a board would: lengths,
    /// digests, labels.
    pub fn gather(name_or_path: &str, roots: &DataRoots) -> Result<Self, Failure> {
        let model = Model::find_in(roots, name_or_path, None, find::inspect_file)?;
        let mut gathered = Self::of(&model, name_or_path, roots)?;
        let place = Path::new(gathered.name_or_path.trim_start_matches('/'));
        let folder = match find::is_path(name_or_path) {
            true => place.parent().unwrap_or(place).to_owned(),
            false => {
                Path::new("models").join(place.to_string_lossy().split('@').next().unwrap_or(""))
            }
        };
        // The board has to find what was found here.
        let says_more = |fact: &Fact| matches!(fact.source, Source::Beside(_));
        if model.facts.iter().any(says_more) {
            for name in hints::files_beside(&model.file) {
                let contents = read(&model.file.with_file_name(&name))?;
                gathered.files.insert(text(&folder.join(name)), contents);
            }
        }
        Ok(gathered)
    }

    /// The network's own files, its description, and what that names.
    fn of(model: &Model, name_or_path: &str, roots: &DataRoots) -> Result<Self, Failure> {
        if !find::is_path(name_or_path) {
            let named = Named::find(name_or_path, roots)?;
            let folder = PathBuf::from("models").join(&named.name);
            return Ok(Self {
                name_or_path: name_or_path.to_owned(),
                files: described(&named, &folder, &model.file)?,
            });
        }
        let path = Path::new(name_or_path);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = PathBuf::from("models").join(&*stem);
        let file_name = path.file_name().unwrap_or_default();
        let files = match find::beside(path)? {
            Some(named) => described(&named, &folder, path)?,
            None => {
                let mut files = Files::from([(text(&folder.join(file_name)), read(path)?)]);
                files.append(&mut side_files(path, &folder, None)?);
                files
            }
        };
        Ok(Self {
            name_or_path: format!("/{}", text(&folder.join(file_name))),
            files,
        })
    }
}

/// The files of a model with a description: the description in `folder`, the network, the labels.
fn described(named: &Named, folder: &Path, network: &Path) -> Result<Files, Failure> {
    let mut files = Files::new();
    let toml = match &named.folder {
        Some(folder) => read(&folder.join(&named.toml))?,
        None => shipped::text(shipped::MODELS, &format!("{}/model.toml", named.name))
            .unwrap_or_default()
            .into(),
    };
    files.insert(text(&folder.join(&named.toml)), toml);
    let network_file = folder.join(&named.network_file().file);
    files.insert(text(&network_file), read(network)?);
    let output = named.definition.output_name.as_deref();
    files.append(&mut side_files(network, folder, output)?);
    if let Some(relative) = &named.definition.labels {
        let place = from_root(&folder.join(relative));
        let labels = match &named.folder {
            Some(folder) => read(&folder.join(relative))?,
            None => {
                let below = place.strip_prefix("models").unwrap_or(&place);
                match shipped::text(shipped::LABELS, &text(below)) {
                    Some(text) => text.into(),
                    // If it cannot be read, `Model::find` has already reported that.
                    None => return Ok(files),
                }
            }
        };
        files.insert(text(&place), labels);
    }
    Ok(files)
}

/// The files beside a network that hold its weights, with their paths in `folder`.
fn side_files(network: &Path, folder: &Path, output: Option<&str>) -> Result<Files, Failure> {
    let mut files = Files::new();
    for (location, path) in peek_at(network, output)?.side_files {
        let place = find::without_dots(&folder.join(location));
        files.insert(text(&place), read(&path)?);
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    named::read_file(path, limits::MODEL_FILE_BYTES).map_err(|error| {
        Failure::new(
            Cause::Model,
            format!("cannot read {}: {error}", path.display()),
        )
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A path from the image's root: `..` above the root stays at the root, as in the kernel.
fn from_root(path: &Path) -> PathBuf {
    let plain = find::without_dots(path);
    plain
        .strip_prefix("/")
        .map_or(plain.clone(), Path::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::import::import;

    /// Finds the model in the files, written below some root.
    fn found(gathered: &ModelFiles) -> Model {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in &gathered.files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        let roots = DataRoots::new(vec![root.path().into()], None, None);
        let name = match gathered.name_or_path.strip_prefix('/') {
            Some(path) => root.path().join(path).display().to_string(),
            None => gathered.name_or_path.clone(),
        };
        Model::find_in(&roots, &name, None, |_| Err("not looked into")).unwrap()
    }

    #[test]
    fn a_named_model_is_found_in_the_image() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
        let roots = DataRoots::new(vec![tree.into()], None, None);
        let gathered = ModelFiles::gather("efficientnet-lite0", &roots).unwrap();
        let names: Vec<_> = gathered.files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "models/efficientnet-lite0/efficientnet-lite0-int8.onnx",
                "models/efficientnet-lite0/labels.txt",
                "models/efficientnet-lite0/model.toml"
            ]
        );
        assert_eq!(found(&gathered).labels[281], "tabby, tabby cat");
    }

    #[test]
    fn weights_in_a_second_file_are_included() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/two-files.onnx");
        let roots = DataRoots::new(vec![], None, None);
        let gathered = ModelFiles::gather(&fixture.display().to_string(), &roots).unwrap();
        let names: Vec<_> = gathered.files.keys().map(String::as_str).collect();
        let folder = "models/two-files";
        assert_eq!(
            names,
            [
                format!("{folder}/two-files.onnx"),
                format!("{folder}/two-files.onnx.data")
            ]
        );
        let side = std::fs::read(fixture.with_extension("onnx.data")).unwrap();
        assert!(gathered.files[names[1]] == side);
    }

    #[test]
    fn what_files_beside_a_network_say_is_known_in_the_image() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opset13.onnx");
        let folder = tempfile::tempdir().unwrap();
        let network = folder.path().join("mine.onnx");
        std::fs::copy(&fixture, &network).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("labels.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
        let half = r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
        write("preprocessor_config.json", half);
        write("notes.txt", "no label");
        let roots = DataRoots::new(vec![], None, None);
        let gathered = ModelFiles::gather(&network.display().to_string(), &roots).unwrap();
        let names: Vec<_> = gathered.files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "models/mine/labels.txt",
                "models/mine/mine.onnx",
                "models/mine/preprocessor_config.json"
            ]
        );
    }

    #[test]
    fn an_imported_network_is_found_in_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        let roots = DataRoots::new(vec![home.clone()], Some(home), None);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/two-files.onnx");
        let words = folder.path().join("words.txt");
        std::fs::write(&words, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
        import(&fixture, Some(&words), "mine", false, &roots).unwrap();
        let gathered = ModelFiles::gather("mine", &roots).unwrap();
        let files: Vec<_> = gathered.files.keys().map(String::as_str).collect();
        assert_eq!(
            files,
            [
                "models/mine/labels.txt",
                "models/mine/model.toml",
                "models/mine/two-files.onnx",
                "models/mine/two-files.onnx.data"
            ]
        );
        assert_eq!(found(&gathered).labels[3], "d");
    }

    #[test]
    fn your_own_network_includes_its_description_and_labels() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0");
        let folder = tempfile::tempdir().unwrap();
        let mine = folder.path().join("nets");
        std::fs::create_dir(&mine).unwrap();
        let toml = std::fs::read_to_string(tree.join("model.toml")).unwrap();
        let toml = toml
            .replace("\"efficientnet-lite0-int8.onnx\"", "\"mine.onnx\"")
            .replace("\"labels.txt\"", "\"../words.txt\"");
        std::fs::write(mine.join("mine.toml"), toml).unwrap();
        let network = mine.join("mine.onnx");
        std::fs::copy(tree.join("efficientnet-lite0-int8.onnx"), &network).unwrap();
        std::fs::copy(tree.join("labels.txt"), folder.path().join("words.txt")).unwrap();
        let roots = DataRoots::new(vec![], None, None);
        let gathered = ModelFiles::gather(&network.display().to_string(), &roots).unwrap();
        assert_eq!(gathered.name_or_path, "/models/mine/mine.onnx");
        assert!(gathered.files.contains_key("models/words.txt"));
        assert_eq!(found(&gathered).labels[281], "tabby, tabby cat");
    }
}
