//! Cards for the cameras that people attach, kernels in several packages, and what is refused because it could not work.

use super::{Disk, Workshop, common, packages};
use eyelet::board::choose::SHIPPED;
use std::fs;

const BOARD: i32 = 3;
const PACKAGE: i32 = 12;

/// A board file of `boards/`, changed: `mine.toml` of the workshop.
pub fn mine(workshop: &Workshop, name: &str, changes: &[(&str, &str)]) -> [&'static str; 2] {
    let path = format!("{}/boards/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut text = fs::read_to_string(path).unwrap();
    for (from, into) in changes {
        assert!(text.contains(from), "{name}.toml has no {from:?}");
        text = text.replace(from, into);
    }
    fs::write(workshop.path("mine.toml"), text).unwrap();
    ["--board-file", "mine.toml"]
}

fn with_sensor(workshop: &Workshop, name: &str, sensor: &str) -> [&'static str; 2] {
    let device = format!("device = \"auto\"\nsensor = \"{sensor}\"");
    let board = mine(workshop, name, &[("device = \"auto\"", &device)]);
    // The boards' formats are those of webcams.
    let text = fs::read_to_string(workshop.path("mine.toml")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("formats"));
    let text: Vec<_> = lines.collect();
    fs::write(workshop.path("mine.toml"), text.join("\n")).unwrap();
    board
}

fn with_config(workshop: &Workshop, name: &str, lines: &str) -> [&'static str; 2] {
    let machine = format!("machine = \"{name}\"");
    let more = format!("{machine}\nconfig_txt = [{lines}]");
    mine(workshop, name, &[(&machine, &more)])
}

/// The modules of an image in load order, by name.
pub fn modules(disk: &Disk) -> Vec<String> {
    let list = String::from_utf8(disk.in_initramfs("etc/eyelet/modules")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let names = lines.map(|line| line.rsplit('/').next().unwrap().replace(".ko", ""));
    names.collect()
}

#[test]
fn a_kernel_in_parts_is_put_together() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let parts = workshop.kernel_in_parts();
    let pi_5 = ["--board", "raspberry-pi-5"];
    let [_, binary, _, modules_, ..] = parts;
    let disk = workshop.disk(&[&pi_5[..], &parts].concat());
    assert_eq!(disk.file(2, "bcm2712-rpi-5-b.dtb"), b"pi 5");
    assert_eq!(
        modules(&disk),
        [
            "irq_bcm2712_mip",
            "clk_rp1",
            "pinctrl_rp1",
            "rp1_pci",
            "dwc3",
            "xhci_plat_hcd",
            "uvcvideo",
            "gpio_brcmstb",
            "pinctrl_brcmstb_bcm2712",
            "sdhci_brcmstb",
        ]
    );
    for (parts, why) in [
        (
            &["--kernel", modules_][..],
            "no boot/vmlinuz-* and no lib/modules/*/vmlinuz",
        ),
        (&["--kernel", binary], "linux-modules-*"),
        (
            &["--kernel", binary, "--kernel", modules_],
            "linux-base-* has them",
        ),
        (
            &["--kernel", binary, "--kernel", "kernel.deb"],
            "several kernels",
        ),
    ] {
        let (code, text) = workshop.complaint(&[&pi_5[..], parts].concat());
        assert_eq!(code, PACKAGE, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_kernel_that_cannot_do_the_boards_job_is_refused_with_the_one_that_can() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let (code, text) = workshop.complaint(&["--board", "raspberry-pi-5"]);
    assert_eq!(code, PACKAGE, "{text}");
    let expected = "has no module irq_bcm2712_mip, clk_rp1, pinctrl_rp1, rp1_pci, dwc3, xhci_plat_hcd, gpio_brcmstb, \
                pinctrl_brcmstb_bcm2712, sdhci_brcmstb, without which raspberry-pi-5 has no USB and no card: \
                pass --kernel with Linux 7.2 or newer";
    assert!(text.contains(expected), "{text}");
    // A board that says that it needs none of them is believed.
    let left_out = "machine = \"raspberry-pi-5\"\nwithout_modules = [\"irq_bcm2712_mip\", \"clk-rp1\", \"pinctrl-rp1\", \
                    \"rp1_pci\", \"dwc3\", \"xhci-plat-hcd\", \"gpio-brcmstb\", \"pinctrl-brcmstb-bcm2712\", \"sdhci-brcmstb\"]";
    let board = mine(
        &workshop,
        "raspberry-pi-5",
        &[("machine = \"raspberry-pi-5\"", left_out)],
    );
    assert_eq!(modules(&workshop.disk(&board)), ["videodev", "uvcvideo"]);
}

#[test]
fn the_firmwares_own_camera_brings_its_start_files_and_drivers() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let disk = workshop.disk(&with_sensor(&workshop, "raspberry-pi-3", "firmware"));
    let names = disk.names(2);
    assert!(
        names.contains(&"start_x.elf") && names.contains(&"fixup_x.dat"),
        "{names:?}"
    );
    assert!(!names.contains(&"start.elf"), "{names:?}");
    let config: Vec<_> = disk.text(2, "config.txt").lines().collect();
    assert!(
        config.contains(&"start_x=1") && config.contains(&"gpu_mem=128"),
        "{config:?}"
    );
    let loaded = modules(&disk);
    let place = |name: &str| loaded.iter().position(|there| there == name).unwrap();
    assert!(place("vchiq") < place("bcm2835_mmal_vchiq"), "{loaded:?}");
    assert!(
        place("bcm2835_mmal_vchiq") < place("bcm2835_v4l2"),
        "{loaded:?}"
    );

    // Whoever asks for start_x=1 by a line of their own gets the same files.
    let disk = workshop.disk(&with_config(
        &workshop,
        "raspberry-pi-3",
        "\"start_x=1\", \"gpu_mem=128\"",
    ));
    assert_eq!(disk.file(2, "start_x.elf"), b"start with a camera");
    // The made-up firmware has none for a Raspberry Pi 4: that would be a card that does not start.
    let (code, text) =
        workshop.complaint(&with_config(&workshop, "raspberry-pi-4", "\"start_x=1\""));
    assert_eq!(code, PACKAGE, "{text}");
    assert!(
        text.contains("raspi-firmware 1.2022 has no start4x.elf, fixup4x.dat"),
        "{text}"
    );

    let (code, text) = workshop.complaint(&with_sensor(&workshop, "raspberry-pi-5", "firmware"));
    assert_eq!(code, BOARD, "{text}");
    assert!(
        text.contains("does not process frames: name the camera's own sensor"),
        "{text}"
    );
}

#[test]
fn a_sensor_brings_its_overlay_and_drivers_from_raspberry_pi_os() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    let pi_os = ["--kernel", "pi-os.deb"];
    let board = with_sensor(&workshop, "raspberry-pi-3", "imx219");
    let disk = workshop.disk(&[&board[..], &pi_os].concat());
    assert_eq!(disk.file(2, "overlays/imx219.dtbo"), b"the sensor");
    let config: Vec<_> = disk.text(2, "config.txt").lines().collect();
    assert!(config.contains(&"dtoverlay=imx219"), "{config:?}");
    assert!(config.contains(&"camera_auto_detect=0"), "{config:?}");
    let loaded = modules(&disk);
    assert_eq!(
        loaded,
        [
            "videodev",
            "uvcvideo",
            "bcm2835_unicam_legacy",
            "v4l2_cci",
            "imx219"
        ]
    );

    let (code, text) = workshop.complaint(&board);
    assert_eq!(code, PACKAGE, "{text}");
    let expected = "names the overlay `imx219`, which none of the packages has";
    assert!(text.contains(expected), "{text}");
    let board = with_sensor(&workshop, "raspberry-pi-3", "ov5647");
    let (code, text) = workshop.complaint(&[&board[..], &pi_os].concat());
    assert_eq!(code, PACKAGE, "{text}");
    let expected = "has no module ov5647, without which raspberry-pi-3 has no camera: Debian's kernels have no drivers";
    assert!(text.contains(expected), "{text}");
    let board = with_sensor(&workshop, "virt", "imx219");
    let (code, text) = workshop.complaint(&board);
    assert_eq!(code, BOARD, "{text}");
    assert!(
        text.contains("camera: v4l2.sensor = \"imx219\": the machine virt"),
        "{text}"
    );
    let (code, text) = workshop.complaint(&with_sensor(&workshop, "raspberry-pi-3", "imx291"));
    assert_eq!(code, BOARD, "{text}");
    assert!(text.contains("did you mean `imx219`?"), "{text}");
}

#[test]
fn of_two_drivers_of_a_receiver_the_one_that_binds_it_is_taken() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let with = |kernel: Vec<u8>| {
        fs::write(workshop.path("pi-os.deb"), kernel).unwrap();
        let board = with_sensor(&workshop, "raspberry-pi-5", "imx219");
        let board = [&board[..], &["--kernel", "pi-os.deb"]].concat();
        modules(&workshop.disk(&board))
    };
    for (kernel, receiver) in [
        (packages::kernel_of_pi_os(), "rp1_cfe"),
        (packages::newer_kernel_of_pi_os(), "rp1_cfe_downstream"),
    ] {
        let loaded = with(kernel);
        let expected = [receiver, "v4l2_cci", "imx219"].map(str::to_owned);
        assert!(loaded.ends_with(&expected), "{loaded:?}");
        let receivers = loaded.iter().filter(|name| name.starts_with("rp1_cfe"));
        assert_eq!(receivers.count(), 1, "{loaded:?}");
    }
}

#[test]
fn drivers_that_only_a_kernels_configuration_tells_of_count() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let board = ["--board", "raspberry-pi-5", "--kernel", "pi-os.deb"];
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    workshop.disk(&board);
    let without = packages::kernel_of_pi_os_without_pins();
    fs::write(workshop.path("pi-os.deb"), without).unwrap();
    let (code, text) = workshop.complaint(&board);
    assert_eq!(code, PACKAGE, "{text}");
    let expected =
        "has no module pinctrl_brcmstb_bcm2712, without which raspberry-pi-5 has no card";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_drm_display_brings_its_drivers_and_overlay() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    let pi_os = ["--kernel", "pi-os.deb"];
    let with_drm = |name: &str, keys: &str, config: &str| {
        let text = fs::read_to_string(format!("{}/boards/{name}.toml", env!("CARGO_MANIFEST_DIR")));
        let text = text.unwrap();
        let display = text.find("[display.framebuffer]").unwrap();
        let firmware = text.find("[firmware]").unwrap();
        let board = format!(
            "{}[display.drm]\n{keys}\n{}config_txt = [{config}]\n",
            &text[..display],
            &text[firmware..]
        );
        fs::write(workshop.path("mine.toml"), board).unwrap();
        ["--board-file", "mine.toml"]
    };
    let disk = workshop.disk(&[&with_drm("raspberry-pi-3", "", "")[..], &pi_os].concat());
    assert_eq!(disk.file(2, "overlays/vc4-kms-v3d.dtbo"), b"connectors");
    let config: Vec<_> = disk.text(2, "config.txt").lines().collect();
    assert!(config.contains(&"dtoverlay=vc4-kms-v3d"), "{config:?}");
    let loaded = modules(&disk);
    let drivers = ["snd_soc_hdmi_codec", "cec", "vc4"].map(str::to_owned);
    assert!(loaded.ends_with(&drivers), "{loaded:?}");
    // The board's own line for the same overlay is the only one.
    let own = "\"dtoverlay=vc4-kms-v3d,cma-128\"";
    let board = with_drm("raspberry-pi-3", "driver = \"vc4\"", own);
    let disk = workshop.disk(&[&board[..], &pi_os].concat());
    let config = disk.text(2, "config.txt");
    assert_eq!(config.matches("dtoverlay=").count(), 1, "{config}");
    assert!(modules(&disk).contains(&"vc4".to_owned()));
    // A display of another driver needs none of this.
    let board = with_drm("raspberry-pi-3", "driver = \"udl\"", "");
    let disk = workshop.disk(&[&board[..], &pi_os].concat());
    assert!(!modules(&disk).contains(&"vc4".to_owned()));
    assert!(!disk.text(2, "config.txt").contains("dtoverlay="));
    // The made-up Debian kernel has no such driver.
    let (code, text) = workshop.complaint(&with_drm("raspberry-pi-3", "", ""));
    assert_eq!(code, PACKAGE, "{text}");
    let expected = "has no module vc4, without which raspberry-pi-3 has no display: pass --kernel with another kernel";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_panel_on_the_pins_has_its_bus_enabled_or_is_reported() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    let pi_os = ["--kernel", "pi-os.deb"];
    let with = |table: &str| {
        mine(
            &workshop,
            "raspberry-pi-3",
            &[("[display.framebuffer]", table)],
        )
    };
    let spi = "[display.spi]\ncontroller = \"st7789\"\ndc_gpio = 25";
    let board = with(spi);
    let disk = workshop.disk(&[&board[..], &pi_os].concat());
    assert!(disk.text(2, "config.txt").contains("\ndtparam=spi=on\n"));
    let loaded = modules(&disk);
    assert!(
        loaded.ends_with(&["spi_bcm2835".into(), "spidev".into()]),
        "{loaded:?}"
    );
    // Debian's kernel has no SPI device.
    let output = workshop.image(&[&board[..], &["--output", "debian.img"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains(
            "the display (SPI panel st7789, 240x320 on /dev/spidev0.0) needs an SPI device"
        ),
        "{stderr}"
    );
    let (code, text) = workshop.complaint(&with(&format!("{spi}\nrequired = true")));
    assert_eq!(code, PACKAGE, "{text}");
    assert!(
        text.contains("pass --kernel with Raspberry Pi OS's"),
        "{text}"
    );

    let board = with("[display.oled]");
    let disk = workshop.disk(&[&board[..], &pi_os].concat());
    assert!(
        disk.text(2, "config.txt")
            .contains("\ndtparam=i2c_arm=on\n")
    );
    // The bus's own driver is built into this kernel.
    assert_eq!(modules(&disk).last().unwrap(), "i2c_dev");
}

#[test]
fn a_display_that_must_be_there_and_cannot_be_makes_no_card() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let virt = "[display.framebuffer]\ndriver = \"virtio_gpu\"";
    // This kernel has no i2c-dev.
    for (board, from, table, expected) in [
        (
            "raspberry-pi-3",
            "[display.framebuffer]",
            "[display.oled]",
            "has no module i2c_dev, without which raspberry-pi-3 has no display: pass --kernel with another kernel, Debian's or \
             Raspberry Pi OS's; if the board does its job without the panel, set required = false in its table",
        ),
        (
            "raspberry-pi-3",
            "[display.framebuffer]",
            "[display.spi]\ncontroller = \"st7789\"\ndc_gpio = 25",
            "needs an SPI device, but this kernel's device trees have none, and no overlay adds one: pass --kernel with Raspberry Pi \
             OS's",
        ),
        (
            "virt",
            virt,
            "[display.oled]",
            "needs a bus on the board's pins, but this machine has none: take another display",
        ),
    ] {
        for is_required in [true, false] {
            let table = format!("{table}\nrequired = {is_required}");
            let board = mine(&workshop, board, &[(from, &table)]);
            if is_required {
                let (code, text) = workshop.complaint(&board);
                assert_eq!(code, PACKAGE, "{text}");
                assert!(text.contains(expected), "{text}");
            } else {
                let output = workshop.image(&[&board[..], &["--output", "left-out.img"]].concat());
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{text}");
                let module = "has no module i2c_dev: left out";
                assert!(text.contains(expected) || text.contains(module), "{text}");
            }
        }
    }
    // Faults of the file itself are reported before anything is fetched or unpacked.
    let twice = "[display.oled]\nreset_gpio = 2";
    let (code, text) = workshop.complaint(&mine(
        &workshop,
        "raspberry-pi-3",
        &[("[display.framebuffer]", twice)],
    ));
    assert_eq!(code, BOARD, "{text}");
    assert!(
        text.contains("has GPIO line 2 twice, as SDA of /dev/i2c-1 and as reset_gpio"),
        "{text}"
    );
}

#[test]
fn each_kit_is_a_card_with_all_that_its_parts_need() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    fs::write(
        workshop.path("cameras.deb"),
        packages::firmware_for_cameras(),
    )
    .unwrap();
    let pi_os = ["--kernel", "pi-os.deb", "--firmware", "cameras.deb"];
    // What `config.txt` has to say, and what is loaded.
    let wanted = [
        (
            "raspberry-pi-3-oled-0in96",
            "dtparam=i2c_arm=on",
            "i2c_dev uvcvideo",
        ),
        (
            "raspberry-pi-4-adafruit-240x240",
            "dtparam=spi=on",
            "spi_bcm2835 spidev uvcvideo",
        ),
        (
            "raspberry-pi-4-camera-module-2",
            "start_x=1 gpu_mem=128",
            "bcm2835_v4l2",
        ),
        (
            "raspberry-pi-4-camera-module-3",
            "dtoverlay=imx708",
            "bcm2835_unicam_legacy imx708 dw9807_vcm",
        ),
        (
            "raspberry-pi-4-display-7in",
            "dtoverlay=vc4-kms-v3d-pi4 dtoverlay=vc4-kms-dsi-7inch",
            "vc4 rpi_panel_attiny_regulator tc358762 panel_simple uvcvideo",
        ),
        (
            "raspberry-pi-4-webcam-hdmi",
            "dtoverlay=vc4-kms-v3d-pi4",
            "vc4 uvcvideo",
        ),
        (
            "raspberry-pi-5-camera-module-2",
            "dtoverlay=imx219",
            "rp1_cfe imx219",
        ),
        (
            "raspberry-pi-5-camera-module-3",
            "dtoverlay=imx708",
            "rp1_cfe imx708 dw9807_vcm",
        ),
        (
            "raspberry-pi-zero-2-w-display-hat-mini",
            "dtparam=spi=on dtoverlay=spi0-2cs,no_miso dtoverlay=dwc2,dr_mode=host",
            "spi_bcm2835 spidev uvcvideo",
        ),
        (
            "raspberry-pi-zero-2-w-epaper-2in13",
            "dtparam=spi=on",
            "spi_bcm2835 spidev uvcvideo",
        ),
    ];
    let kits = SHIPPED
        .iter()
        .filter(|shipped| shipped.file.starts_with("boards/kits/"));
    let kits: Vec<_> = kits.map(|kit| kit.name).collect();
    assert_eq!(kits[0], "jetson-orin-nano-drm");
    assert_eq!(kits[1..], wanted.map(|(kit, ..)| kit));
    for (kit, config, drivers) in wanted {
        let disk = workshop.disk(&[&["--board", kit], &pi_os[..]].concat());
        let lines: Vec<_> = disk.text(2, "config.txt").lines().collect();
        let loaded = modules(&disk);
        for line in config.split(' ') {
            assert!(lines.contains(&line), "{kit} lacks {line}: {lines:?}");
            if let Some(overlay) = line.strip_prefix("dtoverlay=") {
                let name = overlay.split(',').next().unwrap();
                disk.file(2, &format!("overlays/{name}.dtbo"));
            }
        }
        for driver in drivers.split(' ') {
            assert!(
                loaded.iter().any(|there| there == driver),
                "{kit} lacks {driver}: {loaded:?}"
            );
        }
    }
}

#[test]
fn overlays_that_config_txt_names_are_on_the_card_or_refused() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let disk = workshop.disk(&with_config(
        &workshop,
        "raspberry-pi-4",
        "\"dtoverlay=pi4-spidev\"",
    ));
    assert_eq!(disk.file(2, "overlays/pi4-spidev.dtbo"), b"spi");
    for (line, why) in [
        ("dtoverlay=pi4-spidef,speed=1", "did you mean `pi4-spidev`?"),
        (
            "dtoverlay=vc4-kms-dsi-7inch",
            "Raspberry Pi OS's kernel has the usual ones",
        ),
    ] {
        let board = with_config(&workshop, "raspberry-pi-4", &format!("{line:?}"));
        let (code, text) = workshop.complaint(&board);
        assert_eq!(code, PACKAGE, "{text}");
        assert!(text.contains(why), "{text}");
    }
    // A Zero 2 W with Raspberry Pi OS's kernel is the host at its only USB port.
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    let disk = workshop.disk(&["--board", "raspberry-pi-zero-2-w", "--kernel", "pi-os.deb"]);
    assert!(
        disk.text(2, "config.txt")
            .contains("\ndtoverlay=dwc2,dr_mode=host\n")
    );
    let output = workshop.image(&["--board", "raspberry-pi-zero-2-w", "--output", "sd.img"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("through an OTG adapter"), "{stderr}");
}

#[test]
fn a_boot_code_without_trials_is_reported_and_refused_where_updates_come_by_stick() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(
        workshop.path("old.deb"),
        packages::firmware_without_trials(),
    )
    .unwrap();
    let old = ["--firmware", "old.deb"];
    let why = "does not support trial boots, so no update would ever be accepted: pass --firmware with raspi-firmware 1.20240424";
    let board = ["--board", "raspberry-pi-3", "--output", "sd.img"];
    let output = workshop.image(&[&board[..], &old].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.contains(why), "{stderr}");
    let sticks = "machine = \"raspberry-pi-3\"\nupdate_from_sticks = true";
    let board = mine(
        &workshop,
        "raspberry-pi-3",
        &[("machine = \"raspberry-pi-3\"", sticks)],
    );
    let (code, text) = workshop.complaint(&[&board[..], &old].concat());
    assert_eq!(code, PACKAGE, "{text}");
    assert!(text.contains(why), "{text}");
}

#[test]
fn all_packages_that_apt_lacks_are_reported_together() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let sticks = "machine = \"raspberry-pi-3\"\nshell = true";
    mine(
        &workshop,
        "raspberry-pi-3",
        &[("machine = \"raspberry-pi-3\"", sticks)],
    );
    let output = common::eyelet(workshop.folder.path())
        .args(["image", "--board-file", "mine.toml", "--output", "no.img"])
        .args(["--program", "program", "--model", super::MODEL])
        // A machine without apt: nothing is found.
        .env("PATH", workshop.folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(PACKAGE), "{stderr}");
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{stderr}");
    for (line, package) in lines
        .iter()
        .zip(["linux-image", "raspi-firmware", "busybox-static"])
    {
        assert!(line.contains(package), "{package}: {stderr}");
    }
}
