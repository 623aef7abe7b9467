//! Gets Debian packages through the machine's own apt: it downloads them into a folder, installs nothing, and leaves apt's
//! settings alone. If apt does not know a package, the error names the line missing from its sources.

use crate::failure::{Cause, Failure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel's meta package for 64-bit ARM in Debian and its derivatives.
pub const KERNEL: &str = "linux-image-arm64";

/// The cache of downloaded packages.
#[derive(Debug, Clone)]
pub struct Apt {
    cache: PathBuf,
}

impl Apt {
    /// Caches packages in `cache`, which is created if missing.
    pub fn new(cache: PathBuf) -> Self {
        Self { cache }
    }

    /// Caches packages in the user's own cache folder.
    pub fn of_this_user() -> Self {
        let variable = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let folder = variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        Self::new(folder.join("eyelet/packages"))
    }

    /// The kernel packages that the meta package [`KERNEL`] depends on: those that apt would install, or, for a machine that
    /// needs `at_least` (such as `7.2`), the newest that apt knows. Since Linux 7.2 a kernel consists of several.
    pub fn kernel(&self, at_least: Option<&str>) -> Result<Vec<PathBuf>, Failure> {
        let meta = format!("{KERNEL}:arm64");
        let text = output(Command::new("apt-cache").args(["show", &meta]))
            .map_err(|complaint| complaint.of_package(&meta))?;
        let candidate =
            output(Command::new("apt-cache").args(["policy", &meta])).unwrap_or_default();
        let candidate = candidate
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "))
            .unwrap_or_default();
        let mut known = meta_packages(&text);
        known.sort_by_key(|meta| std::cmp::Reverse(version_numbers(&meta.version)));
        let chosen = match at_least {
            None => known.iter().find(|meta| meta.version == candidate),
            Some(least) => known
                .iter()
                .find(|meta| version_numbers(&meta.version) >= version_numbers(least)),
        };
        match (chosen, at_least) {
            (Some(meta), _) => self.kernel_parts(&meta.kernel),
            (None, Some(least)) => Err(package(format!(
                "this board needs Linux {least} or newer, and apt knows {}: \
                 add a newer suite such as Debian's backports to apt, or pass --kernel FILE.deb (once for each of its packages)",
                known.first().map_or("none", |meta| &meta.version)
            ))),
            (None, None) => Err(unknown(&meta, None)),
        }
    }

    /// The kernel package `name` and the other packages of the same kernel that it needs.
    fn kernel_parts(&self, name: &str) -> Result<Vec<PathBuf>, Failure> {
        let full_name = format!("{name}:arm64");
        let text = output(Command::new("apt-cache").args(["show", &full_name]))
            .map_err(|complaint| complaint.of_package(&full_name))?;
        let mut parts = vec![self.package(&full_name)?];
        for part in parts_of_kernel(&text, name) {
            parts.push(self.package(&format!("{part}:arm64"))?);
        }
        Ok(parts)
    }

    /// The `.deb` that apt would install for `name`, downloaded unless cached. The name of a package for another architecture
    /// ends in `:arm64`; one for all architectures has no suffix.
    pub fn package(&self, name: &str) -> Result<PathBuf, Failure> {
        // Prints the URL, file name and length without downloading.
        let text = output(Command::new("apt-get").args(["download", "-q", "--print-uris", name]))
            .map_err(|complaint| complaint.of_package(name))?;
        let (file_name, size_bytes) =
            uri_line(&text).ok_or_else(|| unknown(name, component(name)))?;
        let path = self.cache.join(&file_name);
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == size_bytes) {
            return Ok(path);
        }
        let failed = |error: std::io::Error| {
            package(format!("cannot write to {}: {error}", self.cache.display()))
        };
        std::fs::create_dir_all(&self.cache).map_err(failed)?;
        // apt checks the digest; the rename keeps a broken download out of the cache.
        let scratch = tempfile::tempdir_in(&self.cache).map_err(failed)?;
        let mut download = Command::new("apt-get");
        download
            .current_dir(scratch.path())
            .args(["download", "-q", name]);
        output(&mut download).map_err(|complaint| {
            package(format!("apt cannot download {name}: {}", complaint.text()))
        })?;
        let downloaded = only_file(scratch.path()).map_err(failed)?;
        std::fs::rename(downloaded, &path).map_err(failed)?;
        Ok(path)
    }
}

/// The Debian component that `name` needs in apt's sources, unless it is the usual one.
fn component(name: &str) -> Option<&'static str> {
    (name == "raspi-firmware").then_some("non-free-firmware")
}

fn package(message: impl std::fmt::Display) -> Failure {
    Failure::new(Cause::Package, message)
}

fn no_apt(name: &str, reason: &str) -> Failure {
    let option = match name {
        "raspi-firmware" => "--firmware",
        _ if name.starts_with("busybox") => "--busybox",
        _ => "--kernel",
    };
    package(format!(
        "there is no apt on this machine ({reason}) to download {name} with: download it yourself and pass it with {option} FILE.deb"
    ))
}

fn unknown(full_name: &str, component: Option<&str>) -> Failure {
    let remedy = match component {
        Some(component) => format!(
            "add the component {component} to the Debian line of apt's sources, run `sudo apt-get update`, or pass the file"
        ),
        None => "run `sudo dpkg --add-architecture arm64 && sudo apt-get update`, or pass the file"
            .to_owned(),
    };
    package(format!(
        "apt does not know the package {full_name}: {remedy}"
    ))
}

/// One version of the meta package.
struct MetaPackage {
    version: String,
    kernel: String,
}

/// Parses `apt-cache show` of the meta package: one paragraph per version.
fn meta_packages(text: &str) -> Vec<MetaPackage> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(": ")
                .map(str::to_owned)
        })
    };
    text.split("\n\n")
        .filter_map(|paragraph| {
            let depends = field(paragraph, "Depends")?;
            let kernel = depends
                .split([',', ' '])
                .find(|name| name.starts_with("linux-image-"))?;
            Some(MetaPackage {
                version: field(paragraph, "Version")?,
                kernel: kernel.split(':').next()?.to_owned(),
            })
        })
        .collect()
}

/// The packages of the same kernel that `linux-image-RELEASE` needs, from `apt-cache show`.
fn parts_of_kernel(text: &str, name: &str) -> Vec<String> {
    let Some(release) = name.strip_prefix("linux-image-") else {
        return Vec::new();
    };
    let depends = text.lines().find_map(|line| line.strip_prefix("Depends: "));
    let names = depends.unwrap_or_default().split([',', '|']);
    names
        .filter_map(|name| name.split_whitespace().next())
        .filter(|name| name.starts_with("linux-") && name.ends_with(&format!("-{release}")))
        .map(str::to_owned)
        .collect()
}

/// The numbers at the beginning of a version, for comparison: `6.12.95-1~bpo12+1` is 6, 12, 95, 1.
fn version_numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok())
        .collect()
}

/// The file name and length in a line `'URL' NAME LENGTH DIGEST`.
fn uri_line(text: &str) -> Option<(String, u64)> {
    text.lines().find_map(|line| {
        let mut words = line.strip_prefix('\'')?.split_whitespace().skip(1);
        let name = words.next().filter(|name| !name.contains('/'))?;
        Some((name.to_owned(), words.next()?.parse().ok()?))
    })
}

fn only_file(folder: &Path) -> std::io::Result<PathBuf> {
    let mut entries = std::fs::read_dir(folder)?;
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry?.path()),
        _ => Err(std::io::Error::other(
            "apt did not leave exactly one file there",
        )),
    }
}

/// Why a program gave no output.
enum Complaint {
    NotStarted(String),
    Failed(String),
}

impl Complaint {
    fn text(self) -> String {
        match self {
            Self::NotStarted(text) | Self::Failed(text) => text,
        }
    }

    /// The failure to find the package `name`.
    fn of_package(self, name: &str) -> Failure {
        match self {
            Self::NotStarted(reason) => no_apt(name, &reason),
            Self::Failed(_) => unknown(name, component(name)),
        }
    }
}

fn output(command: &mut Command) -> Result<String, Complaint> {
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| Complaint::NotStarted(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().last().unwrap_or("no message");
    Err(Complaint::Failed(last.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn apts_output_is_parsed() {
        let line = "'http://host/pool/l/linux-image_6.1-2_arm64.deb' linux-image_6.1-2_arm64.deb 5981 SHA256:12\n";
        let expected = ("linux-image_6.1-2_arm64.deb".to_owned(), 5981);
        assert_eq!(uri_line(line), Some(expected));
        assert_eq!(uri_line("'u' ../x.deb 3"), None);
        assert_eq!(uri_line("W: something"), None);

        let text = "Package: linux-image-arm64\nVersion: 6.1.176-1\n\
                    Depends: linux-image-6.1.0-50-arm64 (= 6.1.176-1)\nDescription: x\n\n\
                    Package: linux-image-arm64\nVersion: 6.12.95-1~bpo12+1\n\
                    Depends: linux-base, linux-image-6.12.95+deb12-arm64:arm64\n";
        let known = meta_packages(text);
        assert_eq!(known[0].version, "6.1.176-1");
        assert_eq!(known[0].kernel, "linux-image-6.1.0-50-arm64");
        assert_eq!(known[1].kernel, "linux-image-6.12.95+deb12-arm64");
        assert!(version_numbers(&known[1].version) > version_numbers(&known[0].version));
        assert!(version_numbers("6.12.1") >= version_numbers("6.12"));
    }

    #[test]
    fn all_parts_of_a_split_kernel_are_fetched() {
        let text = "Package: linux-image-7.3-arm64\n\
                    Depends: dracut | linux-initramfs-tool, linux-base-7.3-arm64 (= 7.3.4-1), linux-binary-7.3-arm64 (= 7.3.4-1)\n";
        assert_eq!(
            parts_of_kernel(text, "linux-image-7.3-arm64"),
            ["linux-base-7.3-arm64", "linux-binary-7.3-arm64"]
        );
        let whole = "Depends: kmod, linux-base (>= 4.3~), initramfs-tools\n";
        assert_eq!(
            parts_of_kernel(whole, "linux-image-6.1-arm64"),
            [] as [&str; 0]
        );
    }

    #[test]
    fn the_error_names_the_line_missing_from_apts_sources() {
        let message = unknown("raspi-firmware", component("raspi-firmware")).message;
        assert!(message.contains("non-free-firmware"), "{message}");
        let message = unknown("linux-image-arm64:arm64", None).message;
        assert!(message.contains("--add-architecture arm64"), "{message}");
    }
}
