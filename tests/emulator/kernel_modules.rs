//! Modules that Debian's arm64 kernels are built without, built by `tests/kernel/build-modules` from Debian's source of the same
//! kernel, in a package of their own beside the kernel's.

use super::{Missing, package_cache, tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel's package and a second one, with `modules` and more files: by their name in `usr/lib/linux-image-RELEASE`, where
/// device trees and overlays lie. Both are kept in the folder `name` of the package cache.
pub fn kernel_with(
    name: &str,
    modules: &[&str],
    files: &[(&str, &[u8])],
) -> Result<[PathBuf; 2], Missing> {
    let folder = package_cache().join(name);
    let is_built = |module: &&str| folder.join(format!("{module}.ko")).is_file();
    if !modules.iter().all(is_built) {
        build(&folder, modules)?;
    }
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("linux-image-")
    };
    let kernel = entries(&folder).find(is_kernel);
    let kernel = kernel.expect("build-modules leaves the kernel's package");
    Ok([kernel, package(&folder, name, files)])
}

fn build(folder: &Path, modules: &[&str]) -> Result<(), Missing> {
    tool("aarch64-linux-gnu-gcc", "apt install gcc-aarch64-linux-gnu")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/build-modules");
    let output = Command::new(script).arg(folder).args(modules).output();
    let output = output.map_err(|error| Missing(format!("cannot run {script}: {error}")))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(Missing(complaint.trim().to_owned())),
        _ => panic!("{script} failed:\n{complaint}"),
    }
}

/// A package with the modules of `folder`, those included that the wanted ones need, where a kernel's package has them.
fn package(folder: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let release = fs::read_to_string(folder.join("release")).unwrap();
    let release = release.trim();
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("lib/modules").join(release);
    fs::create_dir_all(&place).unwrap();
    for module in entries(folder).filter(|path| path.extension().is_some_and(|end| end == "ko")) {
        fs::copy(&module, place.join(module.file_name().unwrap())).unwrap();
    }
    let library = root.path().join(format!("usr/lib/linux-image-{release}"));
    for (path, contents) in files {
        let file = library.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, contents).unwrap();
    }
    let control = root.path().join("DEBIAN");
    fs::create_dir(&control).unwrap();
    let text = format!(
        "Package: {name}\nVersion: 1\nArchitecture: arm64\nMaintainer: nobody\nDescription: a test's modules\n"
    );
    fs::write(control.join("control"), text).unwrap();
    let package = folder.join(format!("{name}.deb"));
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", "--build"])
        .args([root.path(), &package])
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    package
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path())
}
