//! `[firmware]`: what `eyelet image` needs beyond the rest of the board file to build a whole system.

use crate::camera::v4l2::sensor::Sensor;
use crate::toml_file::{Table, Word};

/// `[firmware]`; a board file without this table gets the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The computer; `None`: no image can be built for this board.
    pub machine: Option<Machine>,
    /// Kernel modules beyond those the machine always loads, in load order.
    pub modules: Vec<KernelModule>,
    /// Modules that the machine usually loads but this board must not, by name.
    pub without_modules: Vec<String>,
    /// Extra words for the kernel command line.
    pub kernel_arguments: Option<String>,
    /// Extra lines for the Raspberry Pi's `config.txt`.
    pub config_txt: Vec<String>,
    /// Whether updates are accepted from USB sticks.
    pub update_from_sticks: bool,
    /// Whether a shell runs on the serial line.
    pub shell: bool,
}

impl Firmware {
    /// Whether the module `name`, which the machine usually loads, is left out.
    pub fn leaves_out(&self, name: &str) -> bool {
        let name = name.replace('-', "_");
        self.without_modules
            .iter()
            .any(|left_out| left_out.replace('-', "_") == name)
    }
}

/// A computer whose boot files, device trees and drivers `eyelet image` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// QEMU's `virt` for aarch64, booted by U-Boot.
    Virt,
    /// Raspberry Pi Zero 2 W.
    RaspberryPiZero2W,
    /// Raspberry Pi 3 and its compute modules.
    RaspberryPi3,
    /// Raspberry Pi 4, 400 and Compute Module 4.
    RaspberryPi4,
    /// Raspberry Pi 5, 500 and Compute Module 5.
    RaspberryPi5,
}

impl Word for Machine {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("virt", Self::Virt),
        ("raspberry-pi-zero-2-w", Self::RaspberryPiZero2W),
        ("raspberry-pi-3", Self::RaspberryPi3),
        ("raspberry-pi-4", Self::RaspberryPi4),
        ("raspberry-pi-5", Self::RaspberryPi5),
    ];
}

impl Machine {
    /// Whether it is started by the Raspberry Pi's own firmware.
    pub fn is_raspberry_pi(self) -> bool {
        match self {
            Self::Virt => false,
            Self::RaspberryPiZero2W
            | Self::RaspberryPi3
            | Self::RaspberryPi4
            | Self::RaspberryPi5 => true,
        }
    }

    /// Why this ribbon-cable camera cannot be used on it; `None` if it can.
    pub fn refuses(self, sensor: Sensor) -> Option<String> {
        let name = self.word();
        match (self, sensor) {
            (Self::Virt, _) => Some(format!(
                "the machine {name} has no connector for a ribbon-cable camera"
            )),
            (Self::RaspberryPi5, Sensor::Firmware) => Some(format!(
                "the firmware of a {name} does not process frames: name the camera's own sensor"
            )),
            _ => None,
        }
    }
}

/// One kernel module, with the arguments that `modprobe` would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelModule {
    /// Without `.ko`; `-` and `_` are equivalent.
    pub name: String,
    /// `KEY=VALUE` words, or nothing.
    pub options: String,
}

impl KernelModule {
    /// Parses `NAME` or `NAME OPTIONS`; `None` if the name is not valid.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, options) = text.split_once(' ').unwrap_or((text, ""));
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        (!name.is_empty() && name.bytes().all(sound)).then(|| Self {
            name: name.to_owned(),
            options: options.trim().to_owned(),
        })
    }
}

/// Reads the board file's `[firmware]`.
pub(super) fn firmware(top: &mut Table<'_, '_>) -> Firmware {
    let Some(mut table) = top.table("firmware") else {
        return Firmware::default();
    };
    let machine = table.word("machine", Machine::WORDS);
    let mut modules = Vec::new();
    for text in table.texts("modules").unwrap_or_default() {
        match KernelModule::parse(&text) {
            Some(module) => modules.push(module),
            None => table.fault(
                "modules",
                format_args!("has {text:?}, needs the name of a kernel module, optionally followed by its options"),
            ),
        }
    }
    Firmware {
        machine,
        modules,
        without_modules: table.texts("without_modules").unwrap_or_default(),
        kernel_arguments: table.text("kernel_arguments"),
        config_txt: table.texts("config_txt").unwrap_or_default(),
        update_from_sticks: table.flag("update_from_sticks").unwrap_or(false),
        shell: table.flag("shell").unwrap_or(false),
    }
}
