//! Puts the guest together: kernel, modules, BusyBox, the aarch64 programs, models, pictures and the scenario that it runs.

use super::{Missing, arm_programs, package_cache, qemu, tool};
use eyelet::image::Deb;
use eyelet::image::apt::Apt;
use eyelet::image::initramfs::Initramfs;
use eyelet::image::kernel::Kernel;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that is fetched or built once and used by every scenario.
pub struct Guest {
    /// Its kernel, with the device trees of boards.
    pub kernel: Kernel,
    /// Modules that every scenario needs.
    modules: &'static [&'static str],
    busybox: Vec<u8>,
    eyelet: Vec<u8>,
    vivid_feed: Vec<u8>,
}

/// What one boot of the guest does.
pub struct Scenario<'a> {
    /// Kernel modules with their parameters, beyond those of every scenario.
    pub modules: &'a [(&'a str, &'a str)],
    /// A shell script for BusyBox.
    pub script: &'a str,
    /// Files by their path in the guest.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Guest {
    /// Looks for the tools, fetches the packages and builds the aarch64 programs. `modules` are those that every scenario needs.
    pub fn prepare(modules: &'static [&'static str]) -> Result<Self, Missing> {
        tool(qemu::PROGRAM, "apt install qemu-system-arm")?;
        // Debian's arm64 kernel, downloaded with apt.
        let kernel = Apt::new(package_cache()).kernel(None);
        Self::with_kernel(
            &kernel.map_err(|failure| Missing(failure.message))?,
            modules,
        )
    }

    /// The same with the kernel of these packages.
    pub fn with_kernel(
        kernel: &[PathBuf],
        modules: &'static [&'static str],
    ) -> Result<Self, Missing> {
        tool(qemu::PROGRAM, "apt install qemu-system-arm")?;
        // A static BusyBox, downloaded with apt. Nothing is installed.
        let apt = Apt::new(package_cache());
        let missing = |failure: eyelet::Failure| Missing(failure.message);
        let opened = |path: PathBuf| Deb::open(&path).map_err(|error| Missing(error.to_string()));
        let busybox = opened(apt.package("busybox-static:arm64").map_err(missing)?)?;
        let [eyelet, vivid_feed] = arm_programs()?.map(|program| read(&program));
        Ok(Self {
            modules,
            kernel: Kernel::open(kernel).map_err(|error| Missing(error.to_string()))?,
            busybox: busybox
                .file("bin/busybox")
                .map_err(|error| Missing(error.to_string()))?,
            eyelet,
            vivid_feed,
        })
    }

    /// Writes the kernel to `file`.
    pub fn write_kernel(&self, file: &Path) {
        fs::write(file, &self.kernel.image).unwrap();
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
        archive.program("init", include_bytes!("guest-init.sh"));
        archive.program("bin/busybox", &self.busybox);
        for applet in [
            "sh", "mount", "insmod", "lsmod", "usleep", "poweroff", "kill", "cat", "base64",
            "dmesg", "gzip",
        ] {
            archive.link(&format!("bin/{applet}"), "busybox");
        }
        archive.program("bin/eyelet", &self.eyelet);
        archive.program("bin/vivid_feed", &self.vivid_feed);

        let names =
            (self.modules.iter().copied()).chain(scenario.modules.iter().map(|(name, _)| *name));
        let mut order = String::new();
        for module in self.kernel.modules.in_load_order(names).unwrap() {
            let name = module.name;
            archive.file(&format!("modules/{name}.ko"), &module.contents);
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
