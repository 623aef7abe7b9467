//! What each computer needs in its image: device trees, the Raspberry Pi's boot files, drivers, the serial line.

use super::config::StartFiles;
use crate::board::firmware::Machine;

/// One computer's row.
#[derive(Debug)]
pub struct Needs {
    /// The oldest kernel that can do the computer's job, when Debian's usual one may be too old.
    pub kernel_at_least: Option<&'static str>,
    /// Device trees: their names have one of these beginnings. A kernel of Raspberry Pi OS has other names than Linux's own.
    pub device_trees: &'static [&'static str],
    /// The one that U-Boot loads in emulation; `None`: U-Boot hands on what it was given.
    pub emulated_device_tree: Option<&'static str>,
    /// The Pi firmware's files that go on the boot partition, where the boot ROM looks.
    pub boot_files: &'static [&'static str],
    /// Whose start files go into each slot; `None`: the firmware is not on the card.
    pub start_files: Option<StartFiles>,
    /// The serial line of Linux's own device trees.
    pub console: &'static str,
    /// Drivers in load order: the watchdog, so that it covers the others; then what the job needs; the disk last. No file
    /// system: partitions are read and written by the program itself.
    pub drivers: &'static [Driver],
    /// Drivers of its display connectors, for boards with `[display.drm]`, in load order.
    pub drm: &'static [Driver],
    /// The overlay of Raspberry Pi OS's kernel that switches these connectors on; Linux's own device trees have them on.
    pub drm_overlay: Option<&'static str>,
}

/// A driver of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// What the machine has not without it.
    pub job: Job,
    /// Its module, by the name that Linux itself has for it, then by those of Raspberry Pi OS's kernel. One is enough, built in or
    /// loadable.
    pub names: &'static [&'static str],
    /// What it drives, as a device tree of Linux calls it (`compatible`); empty where the device is found otherwise.
    pub compatible: &'static str,
}

/// What a driver is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// The USB port.
    Usb,
    /// A camera on USB, whichever it is.
    UsbCamera,
    /// The camera that the board file names.
    Camera,
    /// The card that the system lies on.
    Card,
    /// The display that the machine has unless the board file says another.
    Display,
    /// The display that the board file names.
    Drm,
    /// The watchdog, the thermometer, the processor's clock: a board does its job without.
    Care,
}

impl Job {
    /// As a sentence calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usb => "USB",
            Self::UsbCamera | Self::Camera => "camera",
            Self::Card => "card",
            Self::Display | Self::Drm => "display",
            Self::Care => "care",
        }
    }
}

/// A driver with this job.
pub(super) const fn driver(
    job: Job,
    names: &'static [&'static str],
    compatible: &'static str,
) -> Driver {
    Driver {
        job,
        names,
        compatible,
    }
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
    start_files: None,
    console: "ttyAMA0",
    drivers: &[
        driver(Job::Care, &["i6300esb"], ""),
        driver(Job::Usb, &["virtio_pci"], ""),
        driver(Job::Display, &["virtio_gpu"], ""),
        driver(Job::Usb, &["xhci_pci"], ""),
        driver(Job::UsbCamera, &["uvcvideo"], ""),
        driver(Job::Card, &["virtio_blk"], ""),
    ],
    drm: &[driver(Job::Drm, &["virtio_gpu"], "")],
    drm_overlay: None,
};

// The framebuffer of a Pi is the one that its firmware sets up (built into the kernel): there at once, and four megabytes of driver
// less. `vc4` is for boards with `[display.drm]`. It asks the display by an I2C bus of its own, and does not begin its HDMI before the
// sound driver of HDMI is there, where sound is built.
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
    start_files: Some(StartFiles::Pi3),
    console: "ttyS1,115200",
    drivers: &[
        driver(Job::Care, &["bcm2835_wdt"], ""),
        driver(Job::Usb, &["phy_generic", "dwc_otg"], "usb-nop-xceiv"),
        driver(Job::Usb, &["dwc2", "dwc_otg"], "brcm,bcm2835-usb"),
        driver(Job::UsbCamera, &["uvcvideo"], ""),
        driver(Job::Care, &["bcm2835_thermal"], "brcm,bcm2837-thermal"),
        // The supply of a compute module's base board; the boards themselves, a Zero 2 W among them, have none.
        driver(Job::Care, &["fixed"], ""),
        driver(
            Job::Card,
            &["sdhci_iproc", "bcm2835_mmc"],
            "brcm,bcm2835-sdhci",
        ),
        driver(
            Job::Card,
            &["bcm2835", "bcm2835_sdhost"],
            "brcm,bcm2835-sdhost",
        ),
        driver(Job::Care, &["cpufreq_dt"], ""),
        driver(Job::Care, &["raspberrypi_cpufreq"], ""),
    ],
    drm: &[
        driver(Job::Drm, &["i2c_bcm2835"], "brcm,bcm2835-i2c"),
        driver(Job::Care, &["snd_soc_hdmi_codec"], ""),
        driver(Job::Drm, &["vc4"], "brcm,bcm2835-vc4"),
    ],
    drm_overlay: Some("vc4-kms-v3d"),
};

static PI_4: Needs = Needs {
    kernel_at_least: None,
    device_trees: &["bcm2711-rpi-4", "bcm2711-rpi-cm4"],
    emulated_device_tree: None,
    boot_files: &[],
    start_files: Some(StartFiles::Pi4),
    console: "ttyS1,115200",
    drivers: &[
        driver(Job::Care, &["bcm2835_wdt"], ""),
        driver(
            Job::Usb,
            &["reset_raspberrypi"],
            "raspberrypi,firmware-reset",
        ),
        driver(Job::Usb, &["pcie_brcmstb"], "brcm,bcm2711-pcie"),
        driver(Job::Usb, &["xhci_pci"], ""),
        // The USB-C port, which power comes in by.
        driver(Job::Care, &["phy_generic", "dwc_otg"], "usb-nop-xceiv"),
        driver(Job::Care, &["dwc2", "dwc_otg"], "brcm,bcm2835-usb"),
        driver(Job::UsbCamera, &["uvcvideo"], ""),
        driver(Job::Care, &["bcm2711_thermal"], "brcm,bcm2711-thermal"),
        driver(Job::Card, &["gpio_regulator"], "regulator-gpio"),
        driver(Job::Card, &["fixed"], "regulator-fixed"),
        driver(Job::Card, &["sdhci_iproc"], "brcm,bcm2711-emmc2"),
        driver(Job::Care, &["cpufreq_dt"], ""),
        driver(Job::Care, &["raspberrypi_cpufreq"], ""),
    ],
    drm: &[
        driver(Job::Drm, &["i2c_brcmstb"], "brcm,bcm2711-hdmi-i2c"),
        driver(Job::Care, &["snd_soc_hdmi_codec"], ""),
        driver(Job::Drm, &["vc4"], "brcm,bcm2711-vc5"),
    ],
    drm_overlay: Some("vc4-kms-v3d-pi4"),
};

// USB and the GPIO pins hang on a chip of their own, RP1, behind PCIe, whose interrupts come by the MIP.
static PI_5: Needs = Needs {
    kernel_at_least: Some("7.2"),
    device_trees: &[
        "bcm2712-rpi-5",
        "bcm2712-d-rpi-5",
        "bcm2712d0-rpi-5",
        "bcm2712-rpi-cm5",
    ],
    emulated_device_tree: None,
    boot_files: &[],
    start_files: None,
    console: "ttyAMA10,115200",
    drivers: &[
        driver(Job::Care, &["bcm2835_wdt"], ""),
        driver(Job::Usb, &["irq_bcm2712_mip"], "brcm,bcm2712-mip"),
        driver(Job::Usb, &["pcie_brcmstb"], "brcm,bcm2712-pcie"),
        driver(Job::Usb, &["clk_rp1"], "raspberrypi,rp1-clocks"),
        driver(Job::Usb, &["pinctrl_rp1"], "raspberrypi,rp1-gpio"),
        driver(Job::Usb, &["rp1_pci", "rp1"], ""),
        driver(Job::Usb, &["dwc3"], "snps,dwc3"),
        driver(Job::Usb, &["xhci_plat_hcd"], ""),
        driver(Job::UsbCamera, &["uvcvideo"], ""),
        driver(Job::Care, &["bcm2711_thermal"], ""),
        driver(Job::Card, &["gpio_brcmstb"], "brcm,brcmstb-gpio"),
        driver(
            Job::Card,
            &["pinctrl_brcmstb_bcm2712", "pinctrl_bcm2712"],
            "brcm,bcm2712c0-pinctrl",
        ),
        driver(Job::Card, &["gpio_regulator"], "regulator-gpio"),
        driver(Job::Card, &["fixed"], "regulator-fixed"),
        driver(Job::Card, &["sdhci_brcmstb"], "brcm,bcm2712-sdhci"),
        driver(Job::Care, &["cpufreq_dt"], ""),
        driver(Job::Care, &["raspberrypi_cpufreq"], ""),
    ],
    drm: &[
        driver(Job::Drm, &["i2c_brcmstb"], "brcm,brcmstb-i2c"),
        driver(Job::Care, &["snd_soc_hdmi_codec"], ""),
        driver(Job::Drm, &["vc4"], "brcm,bcm2712-vc6"),
    ],
    drm_overlay: Some("vc4-kms-v3d-pi5"),
};
