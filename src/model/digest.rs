//! Whether a model's file is the one that its `model.toml` states: its length and its sha256.

use super::ModelError;
use super::file::NetworkFile;
use crate::built_in;
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::io::Read;
use std::path::Path;

/// Checks the file at `path` against the length and the sha256 that its description, `toml`, states. `remedy` ends the message.
pub fn verify(
    path: &Path,
    stated: &NetworkFile,
    toml: &str,
    remedy: &str,
) -> Result<(), ModelError> {
    if let Some(want) = stated.size_bytes {
        let got = length_of(path).map_err(|error| unreadable(path, &error))?;
        if got != want {
            return Err(ModelError::Size {
                path: path.to_owned(),
                got,
                want,
                toml: toml.to_owned(),
                remedy: remedy.to_owned(),
            });
        }
    }
    if let Some(want) = &stated.sha256 {
        let got = sha256_of(path).map_err(|error| unreadable(path, &error))?;
        if got != *want {
            return Err(ModelError::Sha256 {
                path: path.to_owned(),
                got,
                want: want.clone(),
                toml: toml.to_owned(),
                remedy: remedy.to_owned(),
            });
        }
    }
    Ok(())
}

/// The error for a file that cannot be read.
pub(super) fn unreadable(path: &Path, reason: &dyn Display) -> ModelError {
    ModelError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// The length of a model's file, which may be built in.
pub fn length_of(path: &Path) -> std::io::Result<u64> {
    match built_in::read(path) {
        Some(bytes) => Ok(bytes.len() as u64),
        None => Ok(std::fs::metadata(path)?.len()),
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    if let Some(bytes) = built_in::read(path) {
        return Ok(hex(&Sha256::digest(bytes)));
    }
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
