//! `eyelet model import`: puts a user's own network, its labels and a description of it where a name finds them.
//!
//! Everything is copied into a folder beside the destination, described there, loaded and run once from there, and then renamed:
//! at the destination a model is complete or absent.

use super::describe::{self, Head};
use super::find::MODEL_TOML;
use super::{Model, Named, find, shipped};
use crate::data_roots::DataRoots;
use crate::failure::{Cause, Failure};
use crate::network::Network;
use crate::network::onnx::peek::peek_at;
use crate::{limits, named};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The longest name of a model.
const MAX_NAME_BYTES: usize = 64;
/// Name of the label file at the destination.
const LABELS: &str = "labels.txt";
const CHUNK_BYTES: usize = 1 << 20;

/// The imported model.
#[derive(Debug)]
pub struct Imported {
    /// The folder `models/NAME`.
    pub folder: PathBuf,
    /// The model as found there.
    pub model: Model,
}

/// Checks a name for a new model.
///
/// # Errors
/// It could not be given to `--model`, or is the name of one of Eyelet's models.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let wrong = |why: &str| {
        Err(Failure::new(
            Cause::Model,
            format!("a model cannot be named {name:?}: {why}; give another --name"),
        ))
    };
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '\\' | '@');
    match name {
        "" => wrong("it is empty"),
        _ if name.len() > MAX_NAME_BYTES => wrong("it has more than 64 bytes"),
        _ if name.starts_with(['.', '-']) => wrong("it begins with a dot or a dash"),
        _ if name.contains(is_odd) => wrong("it has a slash, @ or white space in it"),
        _ if find::is_path(name) => wrong("a name that ends in .onnx is taken for a file"),
        _ if shipped::names().any(|own| own == name) => {
            wrong("Eyelet comes with a model of that name, which boards use")
        }
        _ => Ok(()),
    }
}

/// Puts the network in the file `path`, with the labels of the file `labels` if given, into a data root as `name`. An existing
/// one is replaced if `force` is set.
pub fn import(
    path: &Path,
    labels: Option<&Path>,
    name: &str,
    force: bool,
    roots: &DataRoots,
) -> Result<Imported, Failure> {
    check_name(name)?;
    let source = Model::find_in(roots, &path.to_string_lossy(), labels, find::inspect_file)?;
    let models = roots
        .folder_for_new(Path::new("models"), None)
        .map_err(|faults| {
            not_written(format!(
                "no folder can be written for model `{name}` ({}); set EYELET_HOME to one that can",
                faults.join("; ")
            ))
        })?;
    let place = models.join(name);
    check_place(name, &place, force, roots)?;
    let unwritten = |error: io::Error| {
        not_written(format!(
            "model `{name}` cannot be put into {}: {error}",
            models.display()
        ))
    };
    let folder = tempfile::Builder::new()
        .prefix(".eyelet-import-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(&models)
        .map_err(unwritten)?;
    let head = copy_all(&source, labels, name, folder.path())?;
    let text = describe::toml(&source, &head)?;
    let toml = folder.path().join(MODEL_TOML);
    write_new(&toml, &text).map_err(unwritten)?;
    check(&source, &folder.path().join(&head.file), roots)?;
    put(folder, &place).map_err(unwritten)?;
    let found = Model::find_in(roots, name, None, find::inspect_file)?;
    Ok(Imported {
        folder: place,
        model: found,
    })
}

fn not_written(message: String) -> Failure {
    Failure::new(Cause::Output, message)
}

/// Refuses a destination with something that must stay, or one where the model would not be found.
fn check_place(name: &str, place: &Path, force: bool, roots: &DataRoots) -> Result<(), Failure> {
    let fail = |why: String| Err(Failure::new(Cause::Model, why));
    let found = match Named::find(name, roots) {
        Ok(named) => named.folder,
        // A folder that cannot be read still exists.
        Err(_) => roots
            .find(Path::new("models").join(name).join(MODEL_TOML))
            .and_then(|toml| toml.parent().map(Path::to_owned)),
    };
    match found {
        Some(found) if !is_same(&found, place) => fail(format!(
            "there is a model `{name}` already, in {}, which would be found before {}: give another --name, or remove that one",
            found.display(),
            place.display()
        )),
        Some(_) if !force => fail(format!(
            "there is a model `{name}` already, in {}: give another --name, or --force to replace it",
            place.display()
        )),
        None if fs::symlink_metadata(place).is_ok() && !is_empty(place) => fail(format!(
            "{} already exists and is not a model: give another --name, or remove it",
            place.display()
        )),
        _ => Ok(()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => named::is_same(&one, &other),
        _ => false,
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Copies the network, the files with its weights and its labels into `folder`; returns the start of the description.
fn copy_all(
    source: &Model,
    asked: Option<&Path>,
    name: &str,
    folder: &Path,
) -> Result<Head, Failure> {
    let file = source.file.file_name().and_then(|file| file.to_str());
    let is_fit = |file: &&str| file.to_ascii_lowercase().ends_with(".onnx") && !file.contains('\\');
    let file = file.filter(is_fit).unwrap_or("network.onnx").to_owned();
    let known_by = copy(&source.file, &folder.join(&file))?;
    let mut there = BTreeSet::new();
    for (location, path) in peek_at(&source.file, source.output_name.as_deref())?.side_files {
        let place = find::without_dots(&folder.join(location));
        if there.insert(place.clone()) {
            copy(&path, &place)?;
        }
    }
    let labels = copy_labels(source, asked, &folder.join(LABELS))?;
    Ok(Head {
        introduction: vec![
            format!(
                "Imported from {}. What is \"assumed\" is a guess: {}",
                source.file.display(),
                describe::WHAT_TO_DO[0]
            ),
            describe::WHAT_TO_DO[1].to_owned(),
        ],
        description: describe::description(source, name),
        file,
        known_by: Some(known_by),
        labels: labels.then(|| LABELS.to_owned()),
    })
}

/// Writes the labels to the file `place` as they were given: those of a label file, or those that the network's own file or its
/// configuration names. Assumed labels are not written, so that they stay known as assumed.
fn copy_labels(source: &Model, asked: Option<&Path>, place: &Path) -> Result<bool, Failure> {
    let Some(fact) = source.facts.iter().find(|fact| fact.key == "labels") else {
        return Ok(false);
    };
    if fact.is_assumed() {
        return Ok(false);
    }
    let beside = describe::text_of(&fact.value).map(|file| source.file.with_file_name(file));
    match asked.map(Path::to_owned).or(beside) {
        Some(file) => copy(&file, place).map(|_| true),
        None => {
            let lines = source.labels.iter().map(|label| format!("{label}\n"));
            let text: String = lines.collect();
            write_new(place, &text)
                .map(|()| true)
                .map_err(|error| uncopied(place, place, &error))
        }
    }
}

/// Copies a file to a new path; returns its digest and its length.
fn copy(from: &Path, to: &Path) -> Result<(String, u64), Failure> {
    let most = limits::MODEL_BYTES.most;
    let mut source = named::open_file(from, most).map_err(|error| {
        Failure::new(
            Cause::Model,
            format!("{} cannot be read: {error}", from.display()),
        )
    })?;
    let mut copied = || -> io::Result<(String, u64)> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut target = new_file(to)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut length = 0;
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            length += count as u64;
            if length > most {
                return Err(io::Error::other("it grows while it is copied"));
            }
            hasher.update(&buffer[..count]);
            target.write_all(&buffer[..count])?;
        }
        target.sync_all()?;
        Ok((find::hex(&hasher.finalize()), length))
    };
    copied().map_err(|error| uncopied(from, to, &error))
}

fn new_file(place: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(place)
}

fn write_new(place: &Path, text: &str) -> io::Result<()> {
    let mut file = new_file(place)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn uncopied(from: &Path, to: &Path, error: &io::Error) -> Failure {
    let (from, to) = (from.display(), to.display());
    not_written(match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{from} cannot be imported: its name is that of another file of the model ({to}); rename it, and export the network again"
        ),
        _ => format!("{from} cannot be copied to {to}: {error}"),
    })
}

/// Loads the copy, runs it once, and compares it with the original.
fn check(source: &Model, copy: &Path, roots: &DataRoots) -> Result<(), Failure> {
    let found = Model::find_in(roots, &copy.to_string_lossy(), None, find::inspect_file)?;
    let is_same = found.input == source.input
        && found.output == source.output
        && found.labels == source.labels;
    if !is_same {
        return Err(Failure::new(
            Cause::Model,
            format!(
                "{} and its copy are not the same model: something changes them just now; import it again",
                source.file.display()
            ),
        ));
    }
    Network::load(&found, 1)?.run()?;
    Ok(())
}

/// Renames `folder` to `place`, where there may be an older one.
fn put(folder: TempDir, place: &Path) -> io::Result<()> {
    File::open(folder.path())?.sync_all()?;
    let models = named::folder_of(place);
    let old = match fs::symlink_metadata(place) {
        Ok(_) if !is_empty(place) => {
            let old = tempfile::Builder::new()
                .prefix(".eyelet-replaced-")
                .tempdir_in(models)?;
            fs::rename(place, old.path().join("model"))?;
            Some(old)
        }
        _ => None,
    };
    if let Err(error) = fs::rename(folder.path(), place) {
        if let Some(old) = old
            && fs::rename(old.path().join("model"), place).is_err()
        {
            let kept = old.keep();
            return Err(io::Error::other(format!(
                "{error}; the older one is in {}",
                kept.display()
            )));
        }
        return Err(error);
    }
    // It is at its destination now, and must not be removed.
    let _ = folder.keep();
    File::open(models)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::basics::names_in;
    use crate::model::facts::Source;

    /// A data root that takes new files, and a desk with `net.onnx`, its weights beside it, and `words.txt`.
    struct Place {
        root: TempDir,
        desk: TempDir,
    }

    impl Place {
        fn new() -> Self {
            let place = Self {
                root: tempfile::tempdir().unwrap(),
                desk: tempfile::tempdir().unwrap(),
            };
            let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            let net = place.desk.path().join("net.onnx");
            fs::copy(fixtures.join("two-files.onnx"), net).unwrap();
            let side = place.desk.path().join("two-files.onnx.data");
            fs::copy(fixtures.join("two-files.onnx.data"), side).unwrap();
            let words: String = (0..10).map(|n| format!("thing {n}\n")).collect();
            fs::write(place.desk.path().join("words.txt"), words).unwrap();
            place
        }

        fn roots(&self) -> DataRoots {
            let home = self.root.path().to_owned();
            DataRoots::new(vec![home.clone()], Some(home), None)
        }

        fn import(&self, name: &str, force: bool) -> Result<Imported, Failure> {
            let at = |file: &str| self.desk.path().join(file);
            let words = at("words.txt");
            import(&at("net.onnx"), Some(&words), name, force, &self.roots())
        }

        /// Contents of the data root's `models`.
        fn names(&self) -> Vec<String> {
            names_in(&self.root.path().join("models"))
        }
    }

    #[test]
    fn a_network_is_found_by_its_name() {
        let place = Place::new();
        let Imported { folder, model } = place.import("mine", false).unwrap();
        assert_eq!(folder, place.root.path().join("models/mine"));
        assert_eq!(
            (model.name.as_str(), model.labels[3].as_str()),
            ("mine", "thing 3")
        );
        let stated = |key: &str| {
            let fact = model.facts.iter().find(|fact| fact.key == key);
            matches!(fact.unwrap().source, Source::Stated(_))
        };
        assert!(stated("input.width_px") && stated("labels"));
        // A guess stays a guess.
        assert!(!stated("input.mean") && !stated("input.channels"));
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o500, 0o500);
        // A byte that changes later is noticed.
        let net = folder.join("net.onnx");
        let mut bytes = fs::read(&net).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&net, bytes).unwrap();
        let error = Model::find_in(&place.roots(), "mine", None, find::inspect_file).unwrap_err();
        assert!(
            matches!(error, crate::model::ModelError::Sha256 { .. }),
            "{error}"
        );
    }

    #[test]
    fn an_existing_model_is_replaced_only_on_request() {
        let place = Place::new();
        place.import("mine", false).unwrap();
        let words = place.desk.path().join("words.txt");
        let text = fs::read_to_string(&words).unwrap();
        fs::write(&words, text.replace("thing", "item")).unwrap();
        let error = place.import("mine", false).unwrap_err();
        assert!(error.message.contains("--force"), "{error:?}");
        let labels = || {
            let found = Model::find_in(&place.roots(), "mine", None, find::inspect_file);
            found.unwrap().labels[0].clone()
        };
        assert_eq!(labels(), "thing 0");
        place.import("mine", true).unwrap();
        assert_eq!(labels(), "item 0");
        let error = Model::find_in(&place.roots(), "mime", None, find::inspect_file).unwrap_err();
        assert!(
            error.to_string().contains("did you mean `mine`?"),
            "{error}"
        );
        // Something else with that name stays, and so does a model that is found first.
        fs::create_dir(place.root.path().join("models/notes")).unwrap();
        fs::write(place.root.path().join("models/notes/a.txt"), "").unwrap();
        for force in [false, true] {
            let error = place.import("notes", force).unwrap_err();
            assert!(error.message.contains("is not a model"), "{error:?}");
        }
        let roots = DataRoots::new(
            vec![place.root.path().into(), place.desk.path().into()],
            Some(place.desk.path().into()),
            None,
        );
        let net = place.desk.path().join("net.onnx");
        let error = import(&net, None, "mine", true, &roots).unwrap_err();
        assert!(error.message.contains("would be found before"), "{error:?}");
        assert_eq!(place.names(), ["mine", "notes"]);
    }

    #[test]
    fn a_failed_import_leaves_nothing_behind() {
        let place = Place::new();
        let at = |file: &str| place.desk.path().join(file);
        place.import("first", false).unwrap();
        fs::write(at("words.txt"), "too\nfew\n").unwrap();
        let error = place.import("mine", false).unwrap_err();
        assert!(
            error.message.contains("2 labels for 10 classes"),
            "{error:?}"
        );
        fs::remove_file(at("words.txt")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(at("words.txt"))
            .status();
        assert!(pipe.unwrap().success());
        let error = place.import("mine", false).unwrap_err();
        assert!(error.message.contains("a pipe"), "{error:?}");
        fs::remove_file(at("words.txt")).unwrap();
        // A weights file with the same name as the label file will have.
        fs::write(at("labels.txt"), "x").unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for (fixture, why) in [
            ("bad-missing-side-file.onnx", "not beside it"),
            ("bad-unknown-operator.onnx", "operator"),
            ("bad-truncated.onnx", "cut short"),
        ] {
            fs::copy(fixtures.join(fixture), at("net.onnx")).unwrap();
            let error = import(&at("net.onnx"), None, "mine", false, &place.roots()).unwrap_err();
            assert!(error.message.contains(why), "{fixture}: {error:?}");
            assert_eq!(place.names(), ["first"], "{fixture}");
        }
    }

    #[test]
    fn an_imported_name_must_be_one_that_model_accepts() {
        for name in ["mine", "Größe-2", "a.b", "x"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "x".repeat(65);
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "a/b",
            "a\\b",
            "a@b",
            "a b",
            "a\n",
            "a.onnx",
            &long,
            "mobilenet-v2",
        ] {
            let error = check_name(name).unwrap_err();
            assert!(error.message.contains("--name"), "{name:?}: {error:?}");
        }
    }
}
