//! Puts the guest together: kernel, modules, BusyBox, the aarch64 programs, models, pictures and the scenario that it runs.

use super::Missing;
use super::guest_packages::GuestPackages;
use super::initramfs::{Initramfs, Modules};
use super::qemu;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Modules that every scenario needs: the PCI devices and the display.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_gpu"];

/// Everything that is fetched or built once and used by every scenario.
pub struct Guest {
    packages: GuestPackages,
    modules: Modules,
    eyelet: Vec<u8>,
    vivid_feed: Vec<u8>,
}

/// What one boot of the guest does.
pub struct Scenario<'a> {
    /// Kernel modules with their parameters, beyond [`MODULES`].
    pub modules: &'a [(&'a str, &'a str)],
    /// A shell script for BusyBox.
    pub script: &'a str,
    /// Files by their path in the guest.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Guest {
    /// Looks for the tools, fetches the packages and builds the aarch64 programs.
    pub fn prepare() -> Result<Self, Missing> {
        tool(qemu::PROGRAM, "apt install qemu-system-arm")?;
        let packages = GuestPackages::get(&target_folder().join("board"))?;
        let modules =
            Modules::under(&packages.modules).map_err(|error| Missing(error.to_string()))?;
        let [eyelet, vivid_feed] = arm_programs()?.map(|program| read(&program));
        Ok(Self {
            packages,
            modules,
            eyelet,
            vivid_feed,
        })
    }

    /// The kernel to boot.
    pub fn kernel(&self) -> &Path {
        &self.packages.kernel
    }

    /// Writes the initramfs for `scenario` to `file`.
    pub fn write_initramfs(&self, scenario: &Scenario<'_>, file: &Path) {
        let mut archive = Initramfs::default();
        for folder in [
            "bin", "dev", "proc", "sys", "tmp", "modules", "boards", "model", "pictures",
        ] {
            archive.folder(folder);
        }
        archive.device("dev/console", 5, 1);
        archive.device("dev/null", 1, 3);
        archive.program("init", include_bytes!("init.sh"));
        archive.program("bin/busybox", &read(&self.packages.busybox));
        for applet in ["sh", "mount", "insmod", "usleep", "poweroff", "kill", "cat"] {
            archive.link(&format!("bin/{applet}"), "busybox");
        }
        archive.program("bin/eyelet", &self.eyelet);
        archive.program("bin/vivid_feed", &self.vivid_feed);

        let names: Vec<&str> = MODULES
            .into_iter()
            .chain(scenario.modules.iter().map(|(name, _)| *name))
            .collect();
        let mut order = String::new();
        for (name, contents) in self.modules.in_load_order(&names).unwrap() {
            archive.file(&format!("modules/{name}.ko"), &contents);
            let parameters = scenario.modules.iter().find(|(module, _)| *module == name);
            order += &format!(
                "{name} {}\n",
                parameters.map_or("", |(_, parameters)| parameters)
            );
        }
        archive.file("modules/order", order.as_bytes());
        archive.file("scenario.sh", scenario.script.as_bytes());
        for (path, contents) in &scenario.files {
            archive.file(path, contents);
        }
        fs::write(file, archive.finish()).unwrap();
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn tool(name: &str, remedy: &str) -> Result<(), Missing> {
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
fn arm_programs() -> Result<[PathBuf; 2], Missing> {
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
