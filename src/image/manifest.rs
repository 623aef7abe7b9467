//! The bill of materials of an image: every package and file in it, with versions and digests.
//!
//! It lies as `manifest.json` in each slot. The initramfs has one too, `/etc/eyelet/manifest.json`, of what is in the
//! initramfs and of the packages; it cannot hold its own archive's digest.

use super::deb::Deb;
use crate::model::find::hex;
use crate::update::PublicKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What `manifest.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Version of this form.
    pub v: u32,
    /// Digest of everything that makes the system what it is: [`Manifest::set_id`].
    pub id: String,
    /// The version of the image, as a person named it; both slots of a new image have it.
    pub version: String,
    /// The version of the program that made the image.
    pub made_by: String,
    /// The board file's name.
    pub board: String,
    /// The computer.
    pub machine: String,
    /// The model, as the board file in the image says it.
    pub model: String,
    /// The kernel's release.
    pub kernel: String,
    /// Whose updates the system takes; `None`: anyone's.
    pub public_key: Option<PublicKey>,
    /// The packages that files came from.
    pub packages: Vec<Package>,
    /// The files, in the order of their places.
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
    /// Sets the id from the files of slot and initramfs that are known before the initramfs is packed, from the kernel's
    /// command line and from the public key. (The boot partition is no part of a system: updates leave it as it is.)
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

    /// As JSON for people, with a newline at the end.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("it holds nothing but texts");
        text.push('\n');
        text
    }
}
