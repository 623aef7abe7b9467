//! The bill of materials of an image: every package and file in it, with versions and digests.
//!
//! It is `manifest.json` in each slot. The initramfs also has one, `/etc/eyelet/manifest.json`, for the initramfs's contents and
//! the packages; it cannot contain the digest of its own archive.

use super::deb::Deb;
use crate::model::find::hex;
use crate::update::PublicKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The contents of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Version of this format.
    pub v: u32,
    /// Digest that identifies the system: [`Manifest::set_id`].
    pub id: String,
    /// The image's version, as given by the user; both slots of a new image have it.
    pub version: String,
    /// The version of the program that made the image.
    pub made_by: String,
    /// The board file's name.
    pub board: String,
    /// The machine.
    pub machine: String,
    /// The model, as the board file in the image names it.
    pub model: String,
    /// The kernel's release.
    pub kernel: String,
    /// The key that updates must be signed with; `None` if any update is accepted.
    pub public_key: Option<PublicKey>,
    /// The packages that files came from.
    pub packages: Vec<Package>,
    /// The files, sorted by place.
    pub files: Vec<File>,
}

/// A Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// Digest of the `.deb`.
    pub sha256: String,
}

impl From<&Deb> for Package {
    fn from(deb: &Deb) -> Self {
        Self {
            name: deb.name.clone(),
            version: deb.version.clone(),
            architecture: deb.architecture.clone(),
            sha256: deb.sha256.clone(),
        }
    }
}

/// A file of the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct File {
    /// `boot` (the boot partition), `slot` (each of the slots) or `initramfs`.
    pub place: &'static str,
    /// Its path there.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
}

impl File {
    /// A file with these contents.
    pub fn new(place: &'static str, path: &str, contents: &[u8]) -> Self {
        Self {
            place,
            path: path.to_owned(),
            bytes: contents.len() as u64,
            sha256: hex(&Sha256::digest(contents)),
        }
    }
}

impl Manifest {
    /// Sets the id from the files of slot and initramfs that are known before the initramfs is packed, from the kernel's command
    /// line and from the public key. (The boot partition is not part of a system: updates do not touch it.)
    pub fn set_id(&mut self, files: &[File], command_line: &str) {
        let mut hasher = Sha256::new();
        hasher.update(format!("{}\n{command_line}\n", self.version));
        if let Some(key) = &self.public_key {
            hasher.update(format!("public-key {key}\n"));
        }
        for file in files {
            hasher.update(format!("{} {} {}\n", file.place, file.path, file.sha256));
        }
        self.id = hex(&hasher.finalize());
    }

    /// Pretty-printed JSON, with a newline at the end.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("it holds nothing but texts");
        text.push('\n');
        text
    }
}
