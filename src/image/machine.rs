//! What each computer needs in its image: device trees, the Raspberry Pi's boot files, drivers, the serial line.

use crate::board::firmware::Machine;

/// One computer's row.
#[derive(Debug)]
pub struct Needs {
    /// The oldest kernel that knows the computer, when Debian's usual one may be too old.
    pub kernel_at_least: Option<&'static str>,
    /// Device trees: their names have one of these beginnings. A kernel of Raspberry Pi OS has other names than Linux's own.
    pub device_trees: &'static [&'static str],
    /// The one that U-Boot loads in emulation; `None`: U-Boot hands on what it was given.
    pub emulated_device_tree: Option<&'static str>,
    /// The Pi firmware's files that go on the boot partition, where the boot ROM looks.
    pub boot_files: &'static [&'static str],
    /// The Pi firmware's files that go into each slot.
    pub slot_files: &'static [&'static str],
    /// The serial line of Linux's own device trees.
    pub console: &'static str,
    /// Modules in load order: the watchdog, so that it covers the others; then what the job needs; the disk last. One that a
    /// kernel has not is left out, because kernels differ in what is built in. No file system: partitions are read and written
    /// by the program itself.
    pub modules: &'static [&'static str],
}

/// Modules for USB sticks: disks on USB, those of the newer protocol too.
pub const STICK_MODULES: [&str; 3] = ["usb_storage", "uas", "sd_mod"];

/// The row of `machine`.
pub fn needs(machine: Machine) -> &'static Needs {
    match machine {
        Machine::Virt => &VIRT,
        Machine::RaspberryPiZero2W => &ZERO_2_W,
        Machine::RaspberryPi3 => &PI_3,
        Machine::RaspberryPi4 => &PI_4,
        Machine::RaspberryPi5 => &PI_5,
    }
}

static VIRT: Needs = Needs {
    kernel_at_least: None,
    device_trees: &[],
    emulated_device_tree: None,
    boot_files: &[],
    slot_files: &[],
    console: "ttyAMA0",
    modules: &[
        "i6300esb",
        "virtio_pci",
        "virtio_gpu",
        "xhci_pci",
        "uvcvideo",
        "virtio_blk",
    ],
};

// The display of a Pi is the framebuffer that its firmware sets up (built into the kernel): there at once, and four megabytes
// of driver less. A panel that needs `vc4` names it in its board file.
// `console`: the small UART on pins 8 and 10; the large one belongs to Bluetooth.
static ZERO_2_W: Needs = Needs {
    device_trees: &["bcm2837-rpi-zero-2", "bcm2710-rpi-zero-2"],
    emulated_device_tree: Some("bcm2837-rpi-zero-2-w.dtb"),
    ..PI_3
};

static PI_3: Needs = Needs {
    kernel_at_least: None,
    device_trees: &[
        "bcm2837-rpi-3",
        "bcm2837-rpi-cm3",
        "bcm2710-rpi-3",
        "bcm2710-rpi-cm3",
    ],
    emulated_device_tree: Some("bcm2837-rpi-3-b.dtb"),
    boot_files: &["bootcode.bin"],
    slot_files: &["start.elf", "fixup.dat"],
    console: "ttyS1,115200",
    modules: &[
        "bcm2835_wdt",
        "phy_generic",
        "dwc2",
        "uvcvideo",
        "bcm2835_thermal",
        "fixed",
        "sdhci_iproc",
        "bcm2835",
        "cpufreq_dt",
        "raspberrypi_cpufreq",
    ],
};

static PI_4: Needs = Needs {
    kernel_at_least: None,
    device_trees: &["bcm2711-rpi-4", "bcm2711-rpi-cm4"],
    emulated_device_tree: None,
    boot_files: &[],
    slot_files: &["start4.elf", "fixup4.dat"],
    console: "ttyS1,115200",
    modules: &[
        "bcm2835_wdt",
        "reset_raspberrypi",
        "xhci_pci",
        "phy_generic",
        "dwc2",
        "uvcvideo",
        "bcm2711_thermal",
        "gpio_regulator",
        "fixed",
        "sdhci_iproc",
        "cpufreq_dt",
        "raspberrypi_cpufreq",
    ],
};

static PI_5: Needs = Needs {
    kernel_at_least: Some("6.12"),
    device_trees: &[
        "bcm2712-rpi-5",
        "bcm2712d0-rpi-5",
        "bcm2712-rpi-cm5",
        "bcm2712-d-rpi-5",
    ],
    emulated_device_tree: None,
    boot_files: &[],
    slot_files: &[],
    console: "ttyAMA10,115200",
    modules: &[
        "bcm2835_wdt",
        "pcie_brcmstb",
        "rp1_pci",
        "dwc3",
        "xhci_plat_hcd",
        "uvcvideo",
        "bcm2711_thermal",
        "sdhci_brcmstb",
        "cpufreq_dt",
        "raspberrypi_cpufreq",
    ],
};
