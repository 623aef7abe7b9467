//! Puts the guest together: kernel, modules, BusyBox, the aarch64 programs, models, pictures and the scenario that it runs.

use super::Missing;
use super::guest_packages::GuestPackages;
use super::initramfs::{Initramfs, Modules};
use super::programs::{arm_programs, target_folder, tool};
use super::qemu;
use std::fs;
use std::path::Path;

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
