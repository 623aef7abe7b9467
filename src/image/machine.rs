//! What each machine needs in its image: device trees, the Raspberry Pi's boot files, drivers, the serial line.

use super::config::StartFiles;
use crate::board::firmware::Machine;

/// One machine's row.
#[derive(Debug)]
pub struct Needs {
    /// The oldest kernel that can do the machine's job, if Debian's usual one may be too old.
    pub kernel_at_least: Option<&'static str>,
    /// Device trees whose names start with one of these. Raspberry Pi OS's kernels use other names than mainline Linux.
    pub device_trees: &'static [&'static str],
    /// The one that U-Boot loads in emulation; with `None` U-Boot passes on the one it was given.
    pub emulated_device_tree: Option<&'static str>,
    /// Files of the Pi's firmware that go on the boot partition, where the boot ROM looks.
    pub boot_files: &'static [&'static str],
    /// Which start files go into each slot; `None` if the firmware is not on the card.
    pub start_files: Option<StartFiles>,
    /// The serial line in mainline Linux's device trees.
    pub console: &'static str,
    /// Drivers in load order: the watchdog first, so that it covers the others; then what the job needs; the disk last. No file
    /// systems: the program itself reads and writes partitions.
    pub drivers: &'static [Driver],
    /// Drivers of its display connectors, for boards with `[display.drm]`, in load order.
    pub drm: &'static [Driver],
    /// The overlay of Raspberry Pi OS's kernel that enables these connectors; mainline's device trees enable them.
    pub drm_overlay: Option<&'static str>,
    /// If its only USB port is a device's unless told otherwise: the overlay of Raspberry Pi OS's kernel that makes it the host, for a
    /// camera. With mainline's device trees an OTG adapter does that.
    pub usb_host_overlay: Option<&'static str>,
    /// Its connector for a ribbon-cable camera, if it has one.
    pub ribbon: Option<&'static Ribbon>,
    /// Its pins for panels, if it has some.
    pub pins: Option<&'static Pins>,
}

impl Needs {
    /// Whether the device tree of this name is for the machine.
    pub fn has_tree(&self, name: &str) -> bool {
        self.device_trees
            .iter()
            .any(|start| name.starts_with(start))
    }
}

/// A connector for ribbon-cable cameras.
#[derive(Debug)]
pub struct Ribbon {
    /// Drivers of the receiver and of the bus that the sensor is set by, in load order.
    pub receiver: &'static [Driver],
    /// The driver of the frames that the machine's firmware processes; `None` if it does not.
    pub firmware: Option<Driver>,
}

/// The drivers of the buses at a machine's pins.
#[derive(Debug)]
pub struct Pins {
    /// Of SPI.
    pub spi: Driver,
    /// Of the buses 1 and 2 of SPI, which may be of another kind.
    pub spi_1_and_2: Driver,
    /// Of I2C.
    pub i2c: Driver,
}

impl Pins {
    /// All of them.
    pub fn all(&self) -> [Driver; 3] {
        [self.spi, self.spi_1_and_2, self.i2c]
    }
}

/// A driver of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// What the machine lacks without it.
    pub job: Job,
    /// Its module, first by mainline Linux's name, then by Raspberry Pi OS's. One is enough, built in or loadable; if a kernel has
    /// several, the one that binds a device of the machine's device trees is taken.
    pub names: &'static [&'static str],
    /// The device it drives, by the `compatible` of mainline's device trees; empty if the device is found in another way.
    pub compatible: &'static str,
}

/// What a driver is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// The USB port.
    Usb,
    /// Any camera on USB.
    UsbCamera,
    /// The camera that the board file names.
    Camera,
    /// The card that holds the system.
    Card,
    /// The machine's display, unless the board file names another.
    Display,
    /// The display that the board file names.
    Drm,
    /// A panel on the board's pins that its file requires; the drivers of other panels are [`Self::Care`].
    Panel,
    /// The watchdog, the thermometer, the CPU clock: the board can do its job without them.
    Care,
}

impl Job {
    /// The word in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usb => "USB",
            Self::UsbCamera | Self::Camera => "camera",
            Self::Card => "card",
            Self::Display | Self::Drm | Self::Panel => "display",
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

/// Modules for USB sticks: USB disks, including those with the newer protocol.
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
    usb_host_overlay: None,
    ribbon: None,
    pins: None,
};

// A Pi's framebuffer is the one that its firmware sets up (built into the kernel): available at once, and without four megabytes
// of driver. `vc4` is for boards with `[display.drm]`. It queries the display over its own I2C bus, and does not start its HDMI
// before HDMI's sound driver is loaded, if the kernel is built with sound.
// `console`: the mini UART on pins 8 and 10; Bluetooth uses the full one.
static ZERO_2_W: Needs = Needs {
    device_trees: &["bcm2837-rpi-zero-2", "bcm2710-rpi-zero-2"],
    emulated_device_tree: Some("bcm2837-rpi-zero-2-w.dtb"),
    usb_host_overlay: Some("dwc2,dr_mode=host"),
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
        // The supply of a compute module's base board; the boards themselves, including the Zero 2 W, have none.
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
    usb_host_overlay: None,
    ribbon: Some(&RIBBON_OF_BCM),
    pins: Some(&PINS_OF_BCM),
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
        // The USB-C port, which also supplies power.
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
    usb_host_overlay: None,
    ribbon: Some(&RIBBON_OF_BCM),
    pins: Some(&PINS_OF_BCM),
};

// USB and the GPIO pins are on a separate chip, RP1, behind PCIe, whose interrupts arrive through the MIP.
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
    usb_host_overlay: None,
    ribbon: Some(&RIBBON_OF_RP1),
    pins: Some(&PINS_OF_RP1),
};

// Raspberry Pi OS's kernels have both drivers of a receiver. Mainline's binds only `...-upstream` there, which their device trees
// do not use: `bcm2835_unicam` since Linux 6.6, `rp1_cfe` since the one after 6.12, which has Raspberry Pi OS's by that name.
static RIBBON_OF_BCM: Ribbon = Ribbon {
    receiver: &[
        driver(Job::Camera, &["i2c_bcm2835"], ""),
        driver(Job::Camera, &["i2c_mux_pinctrl"], ""),
        driver(
            Job::Camera,
            &["bcm2835_unicam", "bcm2835_unicam_legacy"],
            "",
        ),
    ],
    firmware: Some(driver(Job::Camera, &["bcm2835_v4l2"], "")),
};

static RIBBON_OF_RP1: Ribbon = Ribbon {
    receiver: &[
        driver(Job::Camera, &["i2c_designware_platform"], ""),
        driver(Job::Camera, &["rp1_cfe", "rp1_cfe_downstream"], ""),
    ],
    firmware: None,
};

static PINS_OF_BCM: Pins = Pins {
    spi: driver(Job::Display, &["spi_bcm2835"], ""),
    spi_1_and_2: driver(Job::Display, &["spi_bcm2835aux"], ""),
    i2c: driver(Job::Display, &["i2c_bcm2835"], ""),
};

static PINS_OF_RP1: Pins = Pins {
    spi: driver(Job::Display, &["spi_dw_mmio"], ""),
    spi_1_and_2: driver(Job::Display, &["spi_dw_mmio"], ""),
    i2c: driver(Job::Display, &["i2c_designware_platform"], ""),
};
