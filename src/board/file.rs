//! Reads a board's TOML and checks it into a [`Board`]. Every key is documented in `boards/README.md`.
//!
//! Faults are reported with file, line, column and key, all faults of the file at once. Only the board file itself is read here:
//! whether a camera, picture or model exists is checked by the code that opens it.

use super::conflicts::{self, Header};
use super::firmware::firmware;
use super::mount::mount;
use super::policy::Policy;
use super::{Board, BoardError, Tier, ribbon};
use crate::camera::CameraConfig;
use crate::data_roots::Base;
use crate::decide::DecideConfig;
use crate::limits;
use crate::memory::PoolSize;
use crate::show::DisplayConfig;
use crate::spec::PRECISIONS;
use crate::toml_file::{Faults, Table, Word, read, read_text};
use std::path::Path;

impl Board {
    /// Reads the board file at `path`; the board's name is the file's stem.
    pub fn load(path: &Path) -> Result<Self, BoardError> {
        let unreadable = |reason: String| BoardError::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let text = read_text(path, limits::TOML_FILE_BYTES)
            .map_err(|error| unreadable(error.to_string()))?;
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .ok_or_else(|| unreadable("its name is not UTF-8 text".to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = path.display().to_string();
        Ok(Self::parse(name, &file, &text, Base::Folder(folder))?)
    }

    /// Checks `text`, which messages call `file`.
    pub fn parse(name: &str, file: &str, text: &str, base: Base<'_>) -> Result<Self, Faults> {
        read(file, text, |top| {
            top.must_have(&[
                "description",
                "tier",
                "model",
                "threads",
                "camera",
                "display",
            ]);
            let description = top.text("description");
            let tier = top.word("tier", Tier::WORDS);
            let device_tree_models = top.texts("device_tree_models").unwrap_or_default();
            let model = top.text("model").map(|model| model_of(model, base));
            let precision = top.word("precision", &PRECISIONS);
            let threads = top.integer_u32("threads", limits::THREADS);
            let pool_mib = top.integer_u32("pool_mib", limits::POOL_MIB);
            let camera = CameraConfig::read(top, base);
            let (mount, regions) = mount(top);
            let decide = DecideConfig::read(top);
            let (displays, font) = DisplayConfig::read_all(top, base);
            let firmware = firmware(top);
            let policy = Policy::read(top);
            let header = Header::of(&firmware, &device_tree_models);
            conflicts::check(top, &displays, &regions, header.as_ref());
            if let Some(camera) = &camera {
                check_timeout(top, camera, &policy);
                ribbon::check(top, camera, &firmware);
            }
            Some(Self {
                name: name.to_owned(),
                description: description?,
                tier: tier?,
                device_tree_models,
                model: model?,
                precision,
                threads: threads? as usize,
                pool: pool_mib.map_or(PoolSize::AsNeeded, |mib| {
                    PoolSize::Bytes((mib as usize) << 20)
                }),
                camera: camera?,
                mount,
                regions,
                decide,
                displays,
                font,
                firmware,
                policy,
            })
        })
    }
}

/// The watchdog must not mistake waiting for a camera for a hung program.
fn check_timeout(top: &Table<'_, '_>, camera: &CameraConfig, policy: &Policy) {
    let Some(timeout) = camera.settings().timeout() else {
        return;
    };
    if !policy.watchdog.is_zero() && timeout >= policy.watchdog {
        let watchdog_s = policy.watchdog.as_secs();
        top.fault(
            "camera",
            format_args!(
                "its timeout_ms is {}, needs less than policy.watchdog_s, which is {watchdog_s} (0 disables the watchdog)",
                timeout.as_millis()
            ),
        );
    }
}

/// A model's name is kept; a path is resolved relative to the board file.
fn model_of(model: String, base: Base<'_>) -> String {
    if crate::model::is_path(&model) {
        base.input(&model).to_string_lossy().into_owned()
    } else {
        model
    }
}
