//! Which board this is: by flag, by `/etc/eyelet/board.toml`, by the device tree, or else the developer's machine.

use super::{Board, BoardError};
use crate::data_roots::{Base, DataRoots};
use crate::toml_file::did_you_mean;
use std::fmt;
use std::path::{Path, PathBuf};

/// The board when nothing says otherwise.
pub const DEFAULT: &str = "host";

/// A board file of the repository, compiled into the program.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// The file's name without `.toml`.
    pub name: &'static str,
    /// Its path in the repository.
    pub file: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Every board of the repository, then every kit, which only `--board` can choose: `build.rs` lists the files of `boards`.
pub const SHIPPED: &[Shipped] = include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// Where the machine says which board it is.
#[derive(Debug, Clone)]
pub struct Places {
    /// This machine's own board file.
    pub system_file: PathBuf,
    /// The device tree's name for the board, ended by a NUL.
    pub device_tree_model: PathBuf,
    /// Where compiled-in boards look for their files.
    pub roots: DataRoots,
}

impl Places {
    /// `/etc/eyelet/board.toml`, `/proc/device-tree/model` and the data roots of this machine.
    pub fn of_this_machine() -> Self {
        Self {
            system_file: "/etc/eyelet/board.toml".into(),
            device_tree_model: "/proc/device-tree/model".into(),
            roots: DataRoots::of_this_machine(),
        }
    }
}

/// How a board was chosen, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenBy {
    /// By `--board` or `--board-file`.
    Flag,
    /// By this machine's own file.
    SystemFile(PathBuf),
    /// By the device tree's model string.
    DeviceTree(String),
    /// By default: nothing else named a board.
    Default,
}

impl fmt::Display for ChosenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("chosen on the command line"),
            Self::SystemFile(path) => write!(f, "from {}", path.display()),
            Self::DeviceTree(model) => write!(f, "the device tree says {model:?}"),
            Self::Default => f.write_str("the default"),
        }
    }
}

impl Board {
    /// The compiled-in board `name`.
    pub fn named(name: &str, roots: &DataRoots) -> Result<Self, BoardError> {
        let Some(shipped) = SHIPPED.iter().find(|board| board.name == name) else {
            let names = SHIPPED.iter().map(|board| board.name);
            return Err(BoardError::UnknownName {
                name: name.to_owned(),
                hint: did_you_mean(name, names),
            });
        };
        let Shipped { file, text, .. } = shipped;
        Ok(Self::parse(name, file, text, Base::DataRoots(roots))?)
    }

    /// The board by name (`--board`) or file (`--board-file`), or else the one that the machine itself names.
    pub fn choose(
        name: Option<&str>,
        file: Option<&Path>,
        places: &Places,
    ) -> Result<(Self, ChosenBy), BoardError> {
        let roots = &places.roots;
        if let Some(file) = file {
            return Ok((Self::load(file)?, ChosenBy::Flag));
        }
        if let Some(name) = name {
            return Ok((Self::named(name, roots)?, ChosenBy::Flag));
        }
        // A file that exists but cannot be read is an error, not a reason to run as another board.
        match std::fs::symlink_metadata(&places.system_file) {
            Err(error) if is_absent(&error) => {}
            _ => {
                let board = Self::load(&places.system_file)?;
                return Ok((board, ChosenBy::SystemFile(places.system_file.clone())));
            }
        }
        if let Some(model) = device_tree_model(&places.device_tree_model)
            && let Some(board) = Self::of_device_tree(&model, roots)?
        {
            return Ok((board, ChosenBy::DeviceTree(model)));
        }
        Ok((Self::named(DEFAULT, roots)?, ChosenBy::Default))
    }

    /// The compiled-in board with the longest entry in `device_tree_models` that `model` starts with.
    fn of_device_tree(model: &str, roots: &DataRoots) -> Result<Option<Self>, BoardError> {
        let mut best: Option<(usize, Self)> = None;
        for shipped in SHIPPED {
            let board = Self::named(shipped.name, roots)?;
            let length = board
                .device_tree_models
                .iter()
                .filter(|beginning| model.starts_with(beginning.as_str()))
                .map(String::len)
                .max();
            if let Some(length) = length
                && best.as_ref().is_none_or(|(longest, _)| length > *longest)
            {
                best = Some((length, board));
            }
        }
        Ok(best.map(|(_, board)| board))
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// The text of the device tree's `model` up to its NUL; `None` where there is no device tree (a PC).
fn device_tree_model(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let text = bytes.split(|&byte| byte == 0).next()?;
    Some(String::from_utf8_lossy(text).trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A machine with nothing in it.
    fn bare(folder: &Path) -> Places {
        Places {
            system_file: folder.join("etc/board.toml"),
            device_tree_model: folder.join("model"),
            roots: DataRoots::new(vec![folder.into()], None, None),
        }
    }

    fn chosen(places: &Places, name: Option<&str>, file: Option<&Path>) -> (String, ChosenBy) {
        let (board, by) = Board::choose(name, file, places).unwrap();
        (board.name, by)
    }

    #[test]
    fn the_flag_takes_precedence_over_the_file_then_the_device_tree_then_host() {
        let folder = tempfile::tempdir().unwrap();
        let places = bare(folder.path());
        assert_eq!(
            chosen(&places, None, None),
            ("host".to_owned(), ChosenBy::Default)
        );

        let pi = "Raspberry Pi 4 Model B Rev 1.4";
        std::fs::write(&places.device_tree_model, format!("{pi}\0")).unwrap();
        assert_eq!(
            chosen(&places, None, None),
            ("raspberry-pi-4".to_owned(), ChosenBy::DeviceTree(pi.into()))
        );

        std::fs::create_dir(folder.path().join("etc")).unwrap();
        let pi_5 = SHIPPED.iter().find(|board| board.name == "raspberry-pi-5");
        std::fs::write(&places.system_file, pi_5.unwrap().text).unwrap();
        assert_eq!(
            chosen(&places, None, None),
            (
                "board".to_owned(),
                ChosenBy::SystemFile(places.system_file.clone())
            )
        );

        assert_eq!(
            chosen(&places, Some("virt"), None),
            ("virt".to_owned(), ChosenBy::Flag)
        );
        let mine = folder.path().join("mine.toml");
        std::fs::write(&mine, pi_5.unwrap().text).unwrap();
        assert_eq!(
            chosen(&places, None, Some(&mine)),
            ("mine".to_owned(), ChosenBy::Flag)
        );

        std::fs::write(&places.system_file, "tier = 1").unwrap();
        let error = Board::choose(None, None, &places).unwrap_err();
        assert!(matches!(error, BoardError::Faults(_)), "{error}");
    }

    #[test]
    fn boards_are_known_by_their_device_tree() {
        let folder = tempfile::tempdir().unwrap();
        let places = bare(folder.path());
        for (model, board) in [
            ("Raspberry Pi Zero 2 W Rev 1.0", "raspberry-pi-zero-2-w"),
            ("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberry-pi-3"),
            ("Raspberry Pi 400 Rev 1.0", "raspberry-pi-4"),
            ("Raspberry Pi Compute Module 4 Rev 1.0", "raspberry-pi-4"),
            ("Raspberry Pi 5 Model B Rev 1.0", "raspberry-pi-5"),
            ("Raspberry Pi 500 Rev 1.0", "raspberry-pi-5"),
            ("NVIDIA Jetson Nano Developer Kit", "jetson-nano"),
            (
                "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
                "jetson-orin-nano",
            ),
            ("NVIDIA Orin Nano Developer Kit", "jetson-orin-nano"),
            ("NVIDIA Orin NX Developer Kit", "host"),
            ("linux,dummy-virt", "virt"),
            ("Raspberry Pi Model B Rev 2", "host"),
            ("Orange Pi 5", "host"),
            ("", "host"),
        ] {
            std::fs::write(&places.device_tree_model, format!("{model}\0")).unwrap();
            assert_eq!(chosen(&places, None, None).0, board, "{model}");
        }
    }

    #[test]
    fn an_unknown_board_name_gets_a_suggestion() {
        let roots = DataRoots::new(vec![], None, None);
        let error = Board::named("raspbery-pi-4", &roots).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no board `raspbery-pi-4`, did you mean `raspberry-pi-4`? \
             (`eyelet list boards` names them; --board-file takes a file of your own)"
        );
    }
}
