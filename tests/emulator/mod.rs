//! What the emulated-board tests share: QEMU, a USB camera whose cable is in our hand, photos, and looking at the display.

#![allow(dead_code, reason = "each of the tests uses a part of it")]

pub mod device_tree;
pub mod guest;
pub mod kernel_modules;
pub mod missing;
mod patience;
pub mod pictures;
pub mod programs;
pub mod qemu;
pub mod screen;
pub mod usb_camera;

pub use missing::{Missing, or_skip};
pub use programs::{arm_programs, target_folder, tool};

use image::RgbImage;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// MobileNet v2 in int8: the same labels as the float32 one, and several times faster to emulate.
pub const MODEL: &str = "models/mobilenetv2-1.0-qdq.onnx";

/// One emulated board at a time: two would take the processor from each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The folder with the reference model and photos.
pub fn shared() -> Result<PathBuf, Missing> {
    let folder = missing::basics::shared_folder();
    if folder.join(MODEL).is_file() {
        Ok(folder)
    } else {
        Err(Missing(format!(
            "there is no {MODEL} in {} ({})",
            folder.display(),
            missing::basics::MODELS_ORIGIN
        )))
    }
}

/// A photo, the label that belongs to it, and what the camera makes of it.
pub struct Photo {
    pub label: String,
    pub picture: RgbImage,
}

impl Photo {
    /// The photos of these names in `photos/` and `reference/expected.json`.
    pub fn load(shared: &Path, names: &[&str]) -> Vec<Self> {
        let expected = fs::read(shared.join("reference/expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        names
            .iter()
            .map(|name| Self {
                label: expected[name]["qdq"][0]["label"]
                    .as_str()
                    .unwrap()
                    .to_string(),
                picture: pictures::as_seen_by_camera(&shared.join(format!("photos/{name}.png"))),
            })
            .collect()
    }

    /// The display shows this photo and its label, and no other photo.
    pub fn is_on(&self, screen: &RgbImage, photos: &[Self]) -> Result<(), String> {
        let others: Vec<_> = photos
            .iter()
            .filter(|photo| photo.label != self.label)
            .map(|photo| &photo.picture)
            .collect();
        screen::shows(screen, &self.label, &self.picture, &others)
    }
}

/// Where downloaded packages are kept.
pub fn package_cache() -> PathBuf {
    target_folder().join("board")
}
