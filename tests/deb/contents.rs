//! What goes into the package, as Cargo.toml says it: no container is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

const DOCUMENTS: &str = "usr/share/doc/eyelet";

/// The files of the source tree that are installed, by their path below the documents' folder.
fn installed() -> BTreeSet<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(tree.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let assets = &manifest["package"]["metadata"]["deb"]["assets"];
    let mut installed = BTreeSet::new();
    for asset in assets.as_array().unwrap() {
        let [from, to] = [0, 1].map(|at| asset[at].as_str().unwrap());
        let Ok(folder) = Path::new(to).strip_prefix(DOCUMENTS) else {
            continue;
        };
        for file in glob::glob(tree.join(from).to_str().unwrap()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().unwrap();
            installed.insert(match to.ends_with('/') {
                true => folder.join(name),
                false => folder.to_owned(),
            });
        }
    }
    installed
}

/// The files that a document links to, below the documents' folder; of the source itself none is installed.
fn linked(document: &Path) -> BTreeSet<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(tree.join(document)).unwrap();
    let links = text.split("](").skip(1);
    let links = links.map(|rest| rest.split([')', '#']).next().unwrap());
    let files = links.filter(|link| !link.is_empty() && !link.starts_with("http"));
    let mut linked = BTreeSet::new();
    for file in files {
        let mut path = PathBuf::new();
        for part in document.with_file_name(file).components() {
            match part {
                Component::ParentDir => assert!(path.pop(), "{file}"),
                other => path.push(other),
            }
        }
        linked.insert(path);
    }
    linked.retain(|path| !path.starts_with("src"));
    linked
}

#[test]
fn links_between_installed_documents_lead_to_installed_files() {
    let installed = installed();
    let is_document = |path: &&PathBuf| path.extension().is_some_and(|e| e == "md");
    let mut count = 0;
    // The notes on the photos have another name there.
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in installed.iter().filter(is_document) {
        if !tree.join(document).is_file() {
            continue;
        }
        for file in linked(document) {
            let from = document.display();
            assert!(
                installed.contains(&file),
                "{from} links to {}",
                file.display()
            );
            count += 1;
        }
    }
    assert!(count > 12, "{count}");
    // What the program's own messages name.
    for named in [
        "models/README.md",
        "boards/README.md",
        "boards/TROUBLESHOOTING.md",
    ] {
        assert!(installed.contains(Path::new(named)), "{named}");
    }
}
