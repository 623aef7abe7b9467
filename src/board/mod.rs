//! A board: camera, model, display, limits. Once checked, a `boards/NAME.toml` ([`mod@file`]) becomes a [`Board`], and nothing
//! after that validates again. Every key, its unit and default are documented in `boards/README.md`. The settings of cameras,
//! displays and decisions are read by their own modules.

pub mod choose;
pub mod config_txt;
mod conflicts;
pub mod file;
pub mod firmware;
pub mod labelling;
mod mount;
pub mod policy;
mod ribbon;

pub use firmware::Firmware;
pub use mount::Region;

use crate::camera::CameraConfig;
use crate::decide::DecideConfig;
use crate::failure::{Cause, Failure};
use crate::memory::PoolSize;
use crate::preprocess::Mount;
use crate::show::DisplayConfig;
use crate::spec::Precision;
use crate::toml_file::{Faults, Word};
use policy::Policy;
use std::path::PathBuf;

/// Why there is no board.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The file exists but is wrong: one line per fault.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The file cannot be read.
    #[error("board file {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error text.
        reason: String,
    },
    /// No compiled-in board has this name.
    #[error(
        "there is no board `{name}`{hint} (`eyelet list boards` names them; --board-file takes a file of your own)"
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
    },
}

impl From<BoardError> for Failure {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::Faults(faults) => Self::of_lines(Cause::Board, &faults.lines),
            error => Self::new(Cause::Board, error),
        }
    }
}

/// All settings of a board.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// The file's name without `.toml`.
    pub name: String,
    /// One line for `eyelet list boards`.
    pub description: String,
    /// How well it is tested.
    pub tier: Tier,
    /// Prefixes of the device-tree model string (`/proc/device-tree/model`) that identify the board.
    pub device_tree_models: Vec<String>,
    /// The model: a name under `models/`, or a path to an ONNX file.
    pub model: String,
    /// In which precision a float network runs, whatever its `model.toml` says.
    pub precision: Option<Precision>,
    /// Number of threads that run the network.
    pub threads: usize,
    /// Size of the fixed memory pool.
    pub pool: PoolSize,
    /// Where frames come from.
    pub camera: CameraConfig,
    /// How the camera is mounted.
    pub mount: Mount,
    /// The parts of the upright picture to classify, in turn; empty means the whole picture.
    pub regions: Vec<Region>,
    /// How scores become a verdict.
    pub decide: DecideConfig,
    /// Where the verdict is drawn, in the order of the file; if empty, it goes to the serial log only.
    pub displays: Vec<DisplayConfig>,
    /// A font file for letters that the built-in fonts lack (`font` of `[display]`).
    pub font: Option<PathBuf>,
    /// What goes into an image for this board.
    pub firmware: Firmware,
    /// What to do when something is wrong.
    pub policy: Policy,
}

/// How well a board is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// On real hardware.
    Hardware,
    /// In emulation only.
    Emulation,
    /// Not at all.
    Untested,
}

impl Word for Tier {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hardware", Self::Hardware),
        ("emulation", Self::Emulation),
        ("untested", Self::Untested),
    ];
}
