//! Reads a kernel's Debian packages: the kernel itself, its device trees and its modules.

use super::deb::{Deb, DebError};
use super::modules::{Modules, is_of_a_name};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `ARM\x64` at this place marks a kernel for 64-bit ARM.
const ARM64_MAGIC: std::ops::Range<usize> = 0x38..0x3c;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The contents of a kernel's packages.
pub struct Kernel {
    /// Its release, such as `6.1.0-56-arm64`: the name of its module folder.
    pub release: String,
    /// The kernel in the form that boot loaders load: `Image`, possibly compressed with gzip.
    pub image: Vec<u8>,
    /// Device trees for machines with Broadcom chips, by file name.
    pub device_trees: BTreeMap<String, Vec<u8>>,
    /// Device-tree overlays, which only Raspberry Pi's own kernels have, by file name.
    pub overlays: BTreeMap<String, Vec<u8>>,
    /// Its modules.
    pub modules: Modules,
}

impl Kernel {
    /// Reads a kernel from the packages in these files.
    pub fn open(files: &[PathBuf]) -> Result<Self, DebError> {
        let packages: Vec<Deb> = files
            .iter()
            .map(|file| Deb::open(file))
            .collect::<Result<_, _>>()?;
        Self::of(&packages)
    }

    /// Reads a kernel from its packages: one (Debian's up to Linux 6.12, Raspberry Pi OS's), or the parts of Debian's since Linux
    /// 7.2 (`linux-binary-*`, `linux-modules-*`, `linux-base-*` with the device trees).
    pub fn of(packages: &[Deb]) -> Result<Self, DebError> {
        let mut images: Vec<(String, Vec<u8>)> = Vec::new();
        let mut device_trees = BTreeMap::new();
        let mut overlays = BTreeMap::new();
        let mut modules = Modules::default();
        for package in packages {
            package.each_file(&mut |path, file| {
                let name = path.rsplit('/').next().unwrap_or_default();
                let mut read = || {
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes).map(|_| bytes)
                };
                if let Some(release) = release_of(path) {
                    images.push((release.to_owned(), read()?));
                } else if path.contains("/broadcom/") && name.ends_with(".dtb") {
                    device_trees.insert(name.to_owned(), read()?);
                } else if path.contains("/overlays/") {
                    overlays.insert(name.to_owned(), read()?);
                } else if path.starts_with("boot/config-") {
                    modules.add_config(file)?;
                } else {
                    modules.add_file(path, file)?;
                }
                Ok(())
            })?;
        }
        let wrong = |reason: &str| DebError {
            path: packages
                .first()
                .map(|deb| deb.path.clone())
                .unwrap_or_default(),
            reason: reason.to_owned(),
        };
        if images.len() > 1 {
            let releases: Vec<_> = images.iter().map(|(release, _)| release.as_str()).collect();
            return Err(wrong(&format!(
                "with the others this makes several kernels, but only one can boot: {}",
                releases.join(", ")
            )));
        }
        let (release, image) = images.pop().ok_or_else(|| {
            wrong(
                "it has no boot/vmlinuz-* and no lib/modules/*/vmlinuz: for a kernel in several packages, repeat --kernel \
                 (Debian: linux-binary-*, linux-modules-*, linux-base-*)",
            )
        })?;
        // It becomes a folder's name and part of a list.
        if release.is_empty() || !release.bytes().all(is_of_a_name) {
            return Err(wrong("its kernel's release is not a valid name"));
        }
        let is_kernel =
            image.get(ARM64_MAGIC) == Some(b"ARM\x64") || image.starts_with(&GZIP_MAGIC);
        if !is_kernel {
            return Err(wrong("its kernel is not for 64-bit ARM"));
        }
        if modules.is_empty() {
            return Err(wrong(
                "it has no modules (lib/modules/*/*.ko, plain or .xz): for a kernel in several packages, pass linux-modules-* with --kernel too",
            ));
        }
        Ok(Self {
            release,
            image,
            device_trees,
            overlays,
            modules,
        })
    }
}

/// The release of the kernel at `path`, if there is a kernel.
fn release_of(path: &str) -> Option<&str> {
    path.strip_prefix("boot/vmlinuz-").or_else(|| {
        let below = path.strip_prefix("usr/").unwrap_or(path);
        let release = below.strip_prefix("lib/modules/")?;
        release.strip_suffix("/vmlinuz")
    })
}
