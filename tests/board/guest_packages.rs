//! Debian's arm64 kernel and static BusyBox, downloaded with apt and unpacked under `target/board/`. Nothing is installed.

use super::Missing;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel's meta package: the newest kernel of the release that this machine runs.
const KERNEL: &str = "linux-image-arm64";
const BUSYBOX: &str = "busybox-static";

/// What the guest is made of.
pub struct GuestPackages {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The folder that holds the kernel's modules (`lib/modules/VERSION`).
    pub modules: PathBuf,
    /// A static aarch64 BusyBox.
    pub busybox: PathBuf,
}

impl GuestPackages {
    /// Takes the packages from `cache`, downloading what is not there yet.
    pub fn get(cache: &Path) -> Result<Self, Missing> {
        let kernel_package = first_dependency(KERNEL)?;
        let kernel_root = unpacked(cache, &kernel_package)?;
        let busybox_root = unpacked(cache, BUSYBOX)?;
        Ok(Self {
            kernel: only_entry(&kernel_root.join("boot"), "vmlinuz-")?,
            modules: only_entry(&kernel_root.join("lib/modules"), "")?,
            busybox: busybox_root.join("bin/busybox"),
        })
    }
}

/// The package that a meta package of the arm64 architecture stands for.
fn first_dependency(package: &str) -> Result<String, Missing> {
    let arm64 = format!("{package}:arm64");
    let text = output(Command::new("apt-cache").args(["depends", "--important", &arm64]))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .map(|name| name.trim_end_matches(":arm64").to_string())
        .ok_or_else(|| {
            Missing(format!(
                "apt knows no {arm64} (run `dpkg --add-architecture arm64 && apt-get update` as root)"
            ))
        })
}

/// The folder with the contents of `package`.
fn unpacked(cache: &Path, package: &str) -> Result<PathBuf, Missing> {
    let root = cache.join(package);
    if root.exists() {
        return Ok(root);
    }
    let failed =
        |error: std::io::Error| Missing(format!("cannot write to {}: {error}", cache.display()));
    let scratch = cache.join(format!("{package}.part"));
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).map_err(failed)?;
    output(Command::new("apt-get").current_dir(&scratch).args([
        "download",
        "-q",
        &format!("{package}:arm64"),
    ]))?;
    let archive = only_entry(&scratch, "")?;
    output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(&archive)
            .arg(scratch.join("root")),
    )?;
    // Renamed at the end, so that an interrupted download is not taken for a whole one.
    fs::rename(scratch.join("root"), &root).map_err(failed)?;
    fs::remove_dir_all(&scratch).map_err(failed)?;
    Ok(root)
}

fn only_entry(folder: &Path, prefix: &str) -> Result<PathBuf, Missing> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Missing(format!("cannot read {}: {error}", folder.display())))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        })
        .ok_or_else(|| Missing(format!("no {prefix}* in {}", folder.display())))
}

fn output(command: &mut Command) -> Result<String, Missing> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        Missing(format!(
            "cannot run {name}: {error} (the guest's kernel is a Debian package)"
        ))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().last().unwrap_or("no message").to_string();
    Err(Missing(format!("{command:?} failed: {last}")))
}
