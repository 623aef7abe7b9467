//! The programs that an emulated board runs, and those that emulate it.

use super::Missing;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Fails with `remedy` when there is no program `name`.
pub fn tool(name: &str, remedy: &str) -> Result<(), Missing> {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    if found {
        Ok(())
    } else {
        Err(Missing(format!("there is no {name} ({remedy})")))
    }
}

/// Cargo's target folder of this run.
pub fn target_folder() -> PathBuf {
    // Cargo gives integration tests target/tmp.
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .map(Path::to_path_buf)
        .expect("target/tmp has a parent")
}

/// The static ARM programs `eyelet` and `vivid_feed`: those in the folder that `EYELET_AARCH64` names, or freshly built ones.
pub fn arm_programs() -> Result<[PathBuf; 2], Missing> {
    if let Some(folder) = std::env::var_os("EYELET_AARCH64") {
        return Ok(["eyelet", "vivid_feed"].map(|name| Path::new(&folder).join(name)));
    }
    let target = target_folder();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    compile(
        Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["static-aarch64", "--bin", "eyelet", "--target-dir"])
            .arg(&target),
    )?;
    let folder = target.join(TARGET).join("static");
    let vivid_feed = folder.join("vivid_feed");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    compile(
        Command::new(rustc)
            .args(["--edition", "2024", "-O", "--target", TARGET])
            .args([
                "-C",
                "target-feature=+crt-static",
                "-C",
                "linker=aarch64-linux-gnu-gcc",
                "-o",
            ])
            .arg(&vivid_feed)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/board/vivid_feed.rs"
            )),
    )?;
    Ok([folder.join("eyelet"), vivid_feed])
}

/// Runs a compiler for the ARM target.
fn compile(command: &mut Command) -> Result<(), Missing> {
    tool("aarch64-linux-gnu-gcc", "apt install gcc-aarch64-linux-gnu")?;
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| Missing(format!("cannot run {name}: {error}")))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("can't find crate for `std`")
        || complaint.contains("can't find crate for `core`")
    {
        return Err(Missing(format!(
            "{name} has no standard library for {TARGET} (rustup target add {TARGET}, or name another compiler in RUSTC)"
        )));
    }
    assert!(output.status.success(), "{command:?} failed:\n{complaint}");
    Ok(())
}
