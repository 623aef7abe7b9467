//! Cards for panels on other buses than the usual ones, and drivers that a board leaves out.

use super::cards::{mine, modules};
use super::{Workshop, common, packages};
use std::fs;

const BOARD: i32 = 3;
const PACKAGE: i32 = 12;

#[test]
fn a_panel_on_another_bus_needs_the_overlay_that_enables_it() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    fs::write(workshop.path("pi-os.deb"), packages::kernel_of_pi_os()).unwrap();
    let pi_os = ["--kernel", "pi-os.deb"];
    let with = |table: &str, config: &str| {
        let machine = "machine = \"raspberry-pi-3\"";
        let more = format!("{machine}\nconfig_txt = [{config}]");
        mine(
            &workshop,
            "raspberry-pi-3",
            &[("[display.framebuffer]", table), (machine, &more)],
        )
    };
    let spi = "[display.spi]\ncontroller = \"st7789\"\ndc_gpio = 25\ndevice = \"/dev/spidev1.0\"";
    let board = with(spi, "");
    let output = workshop.image(&[&board[..], &pi_os, &["--output", "sd.img"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let lack = "needs /dev/spidev1.0, which nothing enables: add its overlay to config_txt (\"dtoverlay=spi1-...\"), or connect it to /dev/spidev0.0";
    assert!(output.status.success() && stderr.contains(lack), "{stderr}");
    let board = with(&format!("{spi}\nrequired = true"), "\"dtparam=spi=on\"");
    let (code, text) = workshop.complaint(&[&board[..], &pi_os].concat());
    assert_eq!(code, PACKAGE, "{text}");
    assert!(text.contains(lack), "{text}");

    let board = with(&format!("{spi}\nrequired = true"), "\"dtoverlay=spi1-1cs\"");
    let disk = workshop.disk(&[&board[..], &pi_os].concat());
    let config = disk.text(2, "config.txt");
    assert!(config.contains("\ndtoverlay=spi1-1cs\n"), "{config}");
    assert!(!config.contains("dtparam=spi=on"), "{config}");
    disk.file(2, "overlays/spi1-1cs.dtbo");
    // Buses 1 and 2 have a driver of their own.
    let loaded = modules(&disk);
    let expected = ["spi_bcm2835aux", "spidev"].map(str::to_owned);
    assert!(loaded.ends_with(&expected), "{loaded:?}");

    let board = with(
        "[display.oled]\ndevice = \"/dev/i2c-0\"\nrequired = true",
        "",
    );
    let (code, text) = workshop.complaint(&[&board[..], &pi_os].concat());
    assert_eq!(code, PACKAGE, "{text}");
    assert!(
        text.contains("needs /dev/i2c-0, which nothing enables"),
        "{text}"
    );
}

#[test]
fn a_driver_that_is_left_out_is_one_of_the_machines() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let with = |names: &str| {
        let machine = "machine = \"raspberry-pi-3\"";
        let more = format!("{machine}\nwithout_modules = [{names}]");
        mine(&workshop, "raspberry-pi-3", &[(machine, &more)])
    };
    let (code, text) = workshop.complaint(&with("\"bcm2835_wtd\""));
    assert_eq!(code, BOARD, "{text}");
    let expected = "firmware.without_modules: a raspberry-pi-3 has no driver `bcm2835_wtd` to leave out, did you mean `bcm2835_wdt`?";
    assert!(text.contains(expected), "{text}");
    // Each name that one of the machine's drivers has, also those that this board does not take.
    let names = "\"bcm2835-wdt\", \"dwc-otg\", \"usb_storage\", \"vc4\", \"imx219\", \"bcm2835_unicam\", \"spidev\", \"i2c-bcm2835\"";
    let disk = workshop.disk(&with(names));
    assert!(!modules(&disk).is_empty());
    // `eyelet check` says the same.
    let mut check = common::eyelet(workshop.folder.path());
    with("\"spi-dev\"");
    check.args([
        "check",
        "--board-file",
        "mine.toml",
        "--model",
        super::MODEL,
    ]);
    let run = common::run_promptly(&check);
    assert_eq!(run.code, BOARD, "{}", run.stderr);
    assert!(
        run.stderr.contains("did you mean `spidev`?"),
        "{}",
        run.stderr
    );
}
