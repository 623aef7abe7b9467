//! The folders that may hold `boards/` and `models/`.
//!
//! A *data root* is a folder with `models/NAME/model.toml` and the model's files beside it, and with the files that a built-in
//! board names (`boards/photos`). The first root that contains a file wins. The last root is inside the program itself
//! ([`crate::built_in`]).

use crate::built_in;
use std::env;
use std::path::{Path, PathBuf};

/// Where a distribution package installs its files: read, never written.
pub const PACKAGED: &str = "/usr/share/eyelet";

/// The data roots of this machine, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRoots {
    /// Folders, without duplicates; they need not exist.
    pub folders: Vec<PathBuf>,
    /// The folder in `EYELET_HOME`: the first root, and where new files go.
    pub home: Option<PathBuf>,
    /// Whether the program itself is the last root.
    pub built_in: bool,
    /// Where new files go when no root has a writable `models/` folder: the user's own data folder.
    pub user: Option<PathBuf>,
}

impl DataRoots {
    /// In order: `EYELET_HOME`, the current folder, the folders above the running program, `$XDG_DATA_HOME/eyelet` (or
    /// `~/.local/share/eyelet`), `/usr/share/eyelet`, `/var/lib/eyelet`, the program itself.
    pub fn of_this_machine() -> Self {
        let variable = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = variable("EYELET_HOME");
        let user = variable("XDG_DATA_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".local/share")))
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("eyelet"));
        let mut candidates: Vec<PathBuf> = home.iter().cloned().collect();
        candidates.extend(env::current_dir());
        if let Ok(program) = env::current_exe() {
            candidates.extend(program.ancestors().skip(1).map(Path::to_owned));
        }
        candidates.extend(user.clone());
        candidates.push(PACKAGED.into());
        candidates.push("/var/lib/eyelet".into());
        Self {
            built_in: true,
            ..Self::new(candidates, home, user)
        }
    }

    /// Exactly these folders, in this order.
    pub fn new(candidates: Vec<PathBuf>, home: Option<PathBuf>, user: Option<PathBuf>) -> Self {
        let mut folders: Vec<PathBuf> = Vec::with_capacity(candidates.len());
        for folder in candidates {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Self {
            folders,
            home,
            built_in: false,
            user,
        }
    }

    /// The first `ROOT/relative` that exists. Read a path inside the program itself with [`built_in::read`] and
    /// [`built_in::files`].
    pub fn find(&self, relative: impl AsRef<Path>) -> Option<PathBuf> {
        self.folders
            .iter()
            .map(|root| root.join(relative.as_ref()))
            .find(|path| path.exists())
            .or_else(|| built_in::find(relative.as_ref()).filter(|_| self.built_in))
    }

    /// The folder `ROOT/relative`, created if missing, in the first writable root. If `EYELET_HOME` is set, only that one;
    /// otherwise, in order: `first`, the roots that have a `models` folder (except the package manager's, and the current folder,
    /// which may be another one tomorrow), the user's own, the system's.
    ///
    /// # Errors
    /// The error for each of them.
    pub fn folder_for_new(
        &self,
        relative: &Path,
        first: Option<&Path>,
    ) -> Result<PathBuf, Vec<String>> {
        let packaged = Path::new(PACKAGED);
        let first = first.filter(|folder| !folder.starts_with(packaged));
        let lasting = |root: &&PathBuf| root.as_path() != packaged && !is_temporary(root);
        let with_models = self.folders.iter().filter(lasting);
        let with_models = with_models.filter(|root| root.join("models").is_dir());
        let below = |root: &PathBuf| root.join(relative);
        let candidates: Vec<PathBuf> = match &self.home {
            Some(home) => vec![below(home)],
            None => first
                .map(Path::to_owned)
                .into_iter()
                .chain(with_models.map(below))
                .chain(self.user.iter().chain(self.folders.last()).map(below))
                .collect(),
        };
        let mut faults = Vec::new();
        for folder in candidates {
            match make_writable(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) => faults.push(format!("{}: {error}", folder.display())),
            }
        }
        Err(faults)
    }

    /// [`Self::find`], or else the path in the first root where the file would have to be, for a message.
    pub fn find_or_first(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.find(relative.as_ref()).unwrap_or_else(|| {
            self.folders
                .first()
                .map_or_else(PathBuf::new, Clone::clone)
                .join(relative.as_ref())
        })
    }
}

/// What the relative paths of a board file are relative to.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// A file on disk: its own folder.
    Folder(&'a Path),
    /// A compiled-in board: `boards/` of the first data root that has the path; pictures are written below the current folder.
    DataRoots(&'a DataRoots),
}

impl Base<'_> {
    pub(crate) fn input(self, path: &str) -> PathBuf {
        match self {
            _ if Path::new(path).is_absolute() => path.into(),
            Base::Folder(folder) => folder.join(path),
            Base::DataRoots(roots) => roots.find_or_first(Path::new("boards").join(path)),
        }
    }

    pub(crate) fn output(self, path: &str) -> PathBuf {
        match self {
            Base::Folder(folder) => folder.join(path),
            Base::DataRoots(_) => path.into(),
        }
    }
}

/// Whether `root` is a root only as long as it is the current folder: the program is elsewhere.
fn is_temporary(root: &Path) -> bool {
    let is_here = env::current_dir().is_ok_and(|here| here == root);
    is_here && !env::current_exe().is_ok_and(|program| program.starts_with(root))
}

/// Creates `folder` if needed and checks that it is writable, which only creating a file in it can prove.
fn make_writable(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".eyelet-{}", std::process::id()));
    std::fs::File::create(&probe)?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_root_that_has_it_wins() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let roots = DataRoots::new(
            vec![a.path().into(), b.path().into(), a.path().into()],
            None,
            None,
        );
        assert_eq!(roots.folders.len(), 2);
        assert_eq!(roots.find("x"), None);
        assert_eq!(roots.find_or_first("x"), a.path().join("x"));
        std::fs::write(b.path().join("x"), "").unwrap();
        assert_eq!(roots.find("x"), Some(b.path().join("x")));
        std::fs::write(a.path().join("x"), "").unwrap();
        assert_eq!(roots.find("x"), Some(a.path().join("x")));
    }

    #[test]
    fn new_files_go_where_they_are_found_again() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (a.path().to_owned(), b.path().to_owned());
        let relative = Path::new("models");
        let roots = |home: Option<&PathBuf>| {
            let folders = vec![b.clone(), a.clone()];
            DataRoots::new(folders, home.cloned(), Some(a.clone()))
        };
        let new = |home, first| roots(home).folder_for_new(relative, first).unwrap();
        // The user's folder if no other has models; `EYELET_HOME` before all others.
        assert_eq!(new(None, None), a.join("models"));
        assert_eq!(new(Some(&b), None), b.join("models"));
        assert_eq!(new(None, None), b.join("models"));
        let beside = b.join("models/mine");
        assert_eq!(new(None, Some(&beside)), beside);
        assert_eq!(new(Some(&a), Some(&beside)), a.join("models"));
        let packaged = Path::new(PACKAGED).join("models/mine");
        assert_eq!(new(None, Some(&packaged)), b.join("models"));
    }

    #[test]
    #[cfg(feature = "built-in")]
    fn files_that_no_folder_has_are_in_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let folders = vec![folder.path().into()];
        let photos = Path::new("boards/photos");
        let mut roots = DataRoots::new(folders, None, None);
        assert_eq!(roots.find(photos), None);
        roots.built_in = true;
        let found = roots.find(photos).unwrap();
        assert!(built_in::files(&found).all(|photo| built_in::read(&photo).is_some()));
        assert_eq!(roots.find("boards/none"), None);
        std::fs::create_dir_all(folder.path().join(photos)).unwrap();
        assert_eq!(roots.find(photos), Some(folder.path().join(photos)));
    }

    #[test]
    fn this_machine_has_the_current_folder_and_the_system_ones() {
        let roots = DataRoots::of_this_machine().folders;
        assert!(roots.contains(&env::current_dir().unwrap()));
        assert!(roots.contains(&"/usr/share/eyelet".into()));
        assert_eq!(roots.last().unwrap(), Path::new("/var/lib/eyelet"));
    }
}
