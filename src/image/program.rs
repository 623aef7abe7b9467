//! The program that an image runs as `/init`: the static aarch64 `eyelet`.

use super::{limits, package_failure};
use crate::failure::Failure;
use crate::firmware::identity;
use crate::named;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where `cargo static-aarch64` puts it, below the source tree.
const BUILT: &str = "target/aarch64-unknown-linux-gnu/static/eyelet";
/// What to do about an unsuitable file.
const REMEDY: &str = "`cargo static-aarch64` in this tool's source makes one that fits";

/// The program at `named`; otherwise this very program, if it is suitable, or one built below the current folder or beside the
/// running program.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        check(path).map_err(|reason| unsuitable(path, &reason))?;
        return Ok(path.to_owned());
    }
    let running = std::env::current_exe().ok();
    let above = running.iter().flat_map(|path| path.ancestors().skip(1));
    let mut candidates: Vec<PathBuf> = running.iter().cloned().collect();
    candidates.push(BUILT.into());
    candidates.extend(above.map(|folder| folder.join(BUILT)));
    candidates
        .into_iter()
        .find(|path| check(path).is_ok())
        .ok_or_else(|| {
            package_failure(format!(
                "there is no program for the board, {BUILT}: build it with `cargo static-aarch64`, or pass --program FILE"
            ))
        })
}

/// Reads the program at `path` for an image, and returns a note for the user, if any.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Option<String>), Failure> {
    let program = named::read_file(path, limits::PROGRAM_BYTES)
        .map_err(|error| unsuitable(path, &error.to_string()))?;
    check_elf(&program).map_err(|reason| unsuitable(path, &reason))?;
    let version = identity::version_in(&program);
    let note = check_version(version.as_deref(), identity::version())
        .map_err(|reason| unsuitable(path, &reason))?;
    Ok((
        program,
        note.map(|note| format!("{}: {note}", path.display())),
    ))
}

fn unsuitable(path: &Path, reason: &str) -> Failure {
    let shown = path.display();
    package_failure(format!(
        "{shown} cannot be an image's program: {reason} ({REMEDY})"
    ))
}

/// A program older than the tool may not know what the tool puts into the image: above all, keys of the board file.
fn check_version(program: Option<&str>, tool: &str) -> Result<Option<String>, String> {
    let Some(program) = program else {
        return Err("it does not identify itself as an eyelet".to_owned());
    };
    let (theirs, ours) = (identity::numbers(program), identity::numbers(tool));
    if theirs < ours {
        return Err(format!(
            "it is eyelet {program}, older than this tool, {tool}"
        ));
    }
    Ok((theirs > ours)
        .then(|| format!("this program is eyelet {program}, newer than this tool, {tool}")))
}

/// Returns why the file at `path` is not a static 64-bit ARM program.
fn check(path: &Path) -> Result<(), String> {
    let mut head = Vec::new();
    named::open_file(path, limits::PROGRAM_BYTES)
        .and_then(|file| file.take(4096).read_to_end(&mut head))
        .map_err(|error| error.to_string())?;
    check_elf(&head)
}

/// Fields of the ELF header: /usr/include/elf.h, `Elf64_Ehdr` and `Elf64_Phdr`.
pub(super) fn check_elf(head: &[u8]) -> Result<(), String> {
    const LITTLE_64: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    const AARCH64: u64 = 183;
    const INTERPRETER: u64 = 3;
    let field = |at: usize, bytes: usize| {
        let field = head.get(at..at + bytes).unwrap_or_default();
        field
            .iter()
            .rev()
            .fold(0u64, |number, &byte| number << 8 | u64::from(byte))
    };
    if !head.starts_with(&LITTLE_64) || field(18, 2) != AARCH64 {
        return Err("it is not a 64-bit ARM program".to_owned());
    }
    let (table, entry_bytes, entries) = (field(32, 8), field(54, 2), field(56, 2));
    let is_dynamic = (0..entries).any(|entry| {
        let at = table.saturating_add(entry * entry_bytes);
        usize::try_from(at).is_ok_and(|at| at < head.len() && field(at, 4) == INTERPRETER)
    });
    if is_dynamic {
        return Err("it is not static".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_older_than_the_tool_is_refused() {
        let check = |program| check_version(program, "1.10.0");
        assert_eq!(check(Some("1.10.0")), Ok(None));
        let note = check(Some("1.11.0")).unwrap().unwrap();
        assert!(note.contains("newer than this tool, 1.10.0"), "{note}");
        let error = check(Some("1.9.5")).unwrap_err();
        assert!(
            error.contains("eyelet 1.9.5, older than this tool"),
            "{error}"
        );
        assert!(
            check(None)
                .unwrap_err()
                .contains("does not identify itself")
        );
    }

    #[test]
    fn programs_of_another_kind_are_refused() {
        let mut elf = vec![0; 128];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = 62;
        assert!(check_elf(&elf).unwrap_err().contains("not a 64-bit ARM"));
        elf[18] = 183;
        (elf[32], elf[54], elf[56]) = (64, 56, 1);
        assert_eq!(check_elf(&elf), Ok(()));
        elf[64] = 3;
        assert!(check_elf(&elf).unwrap_err().contains("not static"));
        assert!(check_elf(b"#!/bin/sh").is_err());
        assert!(check_elf(&[]).is_err());
        let error = find(Some(Path::new("/none"))).unwrap_err().message;
        assert!(error.contains("/none"), "{error}");
    }
}
