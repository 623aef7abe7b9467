//! A Debian package (`.deb`): an `ar` archive with the description and the files as two compressed tar archives.
//! Format: the manual page deb(5).

use super::limits::{self, AtMost};
use crate::model::find::hex;
use crate::named;
use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("package {} cannot be used: {reason}", path.display())]
pub struct DebError {
    /// The file.
    pub path: PathBuf,
    /// The fault.
    pub reason: String,
}

/// A package, read completely.
pub struct Deb {
    /// Where it was read.
    pub path: PathBuf,
    /// `Package` in its description.
    pub name: String,
    /// `Version` in its description.
    pub version: String,
    /// `Architecture` in its description.
    pub architecture: String,
    /// Digest of the `.deb` file in lower-case hexadecimal.
    pub sha256: String,
    bytes: Vec<u8>,
}

impl Deb {
    /// Reads the package at `path`.
    pub fn open(path: &Path) -> Result<Self, DebError> {
        let failed = |reason: String| DebError {
            path: path.to_owned(),
            reason,
        };
        let bytes = named::read_file(path, limits::PACKAGE_BYTES)
            .map_err(|error| failed(error.to_string()))?;
        let mut control = None;
        let archive = member(&bytes, "control.tar").map_err(failed)?;
        each_file(archive, &mut |name, file| {
            if name == "control" {
                let mut text = String::new();
                file.take(limits::DESCRIPTION_BYTES)
                    .read_to_string(&mut text)?;
                control = Some(text);
            }
            Ok(())
        })
        .map_err(|error| failed(error.to_string()))?;
        let control = control.ok_or_else(|| failed("it has no description".to_owned()))?;
        let field = |name: &str| {
            let found = control.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                (key == name).then(|| value.trim().to_owned())
            });
            found
                .filter(|value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()))
                .ok_or_else(|| failed(format!("its description has no {name}")))
        };
        Ok(Self {
            path: path.to_owned(),
            name: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
            sha256: hex(&Sha256::digest(&bytes)),
            bytes,
        })
    }

    /// Passes every regular file in the package to `visit`: its path without a leading `./` or `/`, and its contents.
    pub fn each_file(
        &self,
        visit: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
    ) -> Result<(), DebError> {
        let failed = |reason: String| DebError {
            path: self.path.clone(),
            reason,
        };
        let archive = member(&self.bytes, "data.tar").map_err(failed)?;
        each_file(archive, visit).map_err(|error| failed(error.to_string()))
    }

    /// The contents of the regular file `path`.
    pub fn file(&self, path: &str) -> Result<Vec<u8>, DebError> {
        let mut contents = None;
        self.each_file(&mut |name, file| {
            if name == path {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                contents = Some(bytes);
            }
            Ok(())
        })?;
        contents.ok_or_else(|| DebError {
            path: self.path.clone(),
            reason: format!("it has no {path}"),
        })
    }
}

/// Packages by name and version, for messages.
pub(super) fn names(packages: &[Deb]) -> String {
    let names = packages
        .iter()
        .map(|deb| format!("{} {}", deb.name, deb.version));
    names.collect::<Vec<_>>().join(", ")
}

/// A member of the `ar` archive: its full name and its bytes.
type Member<'a> = (&'a str, &'a [u8]);

/// The member of the archive whose name begins with `wanted`.
fn member<'a>(archive: &'a [u8], wanted: &str) -> Result<Member<'a>, String> {
    let mut rest = archive
        .strip_prefix(MAGIC)
        .ok_or("it is not a Debian package")?;
    while rest.len() >= HEADER_BYTES {
        let (header, after) = rest.split_at(HEADER_BYTES);
        let text = |range| std::str::from_utf8(&header[range]).map(str::trim_end);
        let name = text(0..16).map_err(|_| "a name in it is not text")?;
        let size = text(48..58).ok().and_then(|size| size.parse().ok());
        let size: usize = size.ok_or("a length in it is not a number")?;
        let contents = after.get(..size).ok_or("it ends too early")?;
        let name = name.trim_end_matches('/');
        if name.starts_with(wanted) {
            return Ok((name, contents));
        }
        // Members start at even offsets.
        rest = after.get(size.next_multiple_of(2)..).unwrap_or_default();
    }
    Err(format!("it has no {wanted}"))
}

fn each_file(
    (name, bytes): Member<'_>,
    visit: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let reader: Box<dyn Read + '_> = match name.split_once(".tar").map_or("", |parts| parts.1) {
        "" => Box::new(bytes),
        ".gz" => Box::new(GzDecoder::new(bytes)),
        ".xz" => Box::new(XzReader::new_mem_limit(bytes, true, limits::XZ_MEMORY_KIB)),
        other => {
            return Err(io::Error::other(format!(
                "{name} is compressed as {other}, which Eyelet cannot read: repack it as .xz (dpkg-deb -R, then dpkg-deb -b -Zxz)"
            )));
        }
    };
    let most_bytes = limits::unpacked_bytes(bytes.len() as u64);
    let mut archive = tar::Archive::new(AtMost::new(reader, most_bytes));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        visit(path, &mut entry)?;
    }
    Ok(())
}
