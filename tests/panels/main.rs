//! Panels on an emulated Raspberry Pi 3B: the program drives them through the kernel's I2C, SPI and GPIO as it does on a board, and
//! what they show is compared with what the library draws, pixel for pixel.
//!
//! `cargo test --test panels -- --ignored`
//!
//! Needs what `tests/board` needs, of QEMU version 10 or newer, and nothing of `../shared`.

#![allow(clippy::unwrap_used)]

#[path = "../emulator/mod.rs"]
mod emulator;
mod pi;
mod trace;

use embedded_graphics::geometry::{Dimensions, Point};
use emulator::device_tree::DeviceTree;
use emulator::{or_skip, screen};
use eyelet::show::Depth;
use eyelet::show::State;
use eyelet::show::draw::Painter;
use eyelet::show::layout::Layout;
use flate2::read::GzDecoder;
use image::{Rgb, RgbImage};
use pi::{BOARD, Pi, Run};
use std::io::{BufRead, BufReader};
use trace::{Bus, DATA_COMMAND, Panel, TRACED_BYTES};

/// What the photo on the board is.
const LABEL: &str = "Egyptian cat";

/// The part of its memory that QEMU's SSD0303 shows (hw/display/ssd0303.c): columns 36 to 131, rows 0 to 15, each pixel as a
/// square of 4.
const SEEN_PX: (u32, u32) = (96, 16);
const SEEN_FROM_COLUMN: u32 = 36;
const SQUARE_PX: u32 = 4;

/// The bus's driver.
const SPI: (&str, &str) = ("spi_bcm2835", "");

/// An OLED on I2C. QEMU's controller is a relative of the SSD1306, with the 132 columns of an SH1106. It shows the upper half of a
/// panel of 96 x 32, where the label is.
#[test]
#[ignore = "boots an emulated board: `cargo test --test panels -- --ignored`"]
fn an_oled_on_i2c_shows_the_label() {
    let Some(pi) = or_skip(Pi::prepare()) else {
        return;
    };
    let board = format!(
        "{BOARD}[display.oled]\ncontroller = \"sh1106\"\naddress = 0x3d\nwidth_px = 96\nheight_px = 32\nleft_px = {SEEN_FROM_COLUMN}\nrequired = true\n"
    );
    let mut running = pi.boot(&Run {
        modules: &[("i2c_bcm2835", ""), ("i2c_dev", "")],
        change: |_| {},
        devices: &["-device", "ssd0303,id=oled,bus=i2c-bus.1,address=0x3d"],
        boards: &[("oled", &board)],
        script: "wait_for /dev/i2c-1\neyelet run --board-file /boards/oled.toml\n",
    });
    running.wait_for("display: OLED sh1106 on /dev/i2c-1 at address 0x3d");
    running.wait_for(&format!(": {LABEL} "));
    let mut painter = Painter::new(SEEN_PX.0, 32, Depth::Mono).unwrap();
    let drawn = screen::drawing(&mut painter, State::Live, Some(&screen::certain()), LABEL);
    running.board.display = Some("oled");
    let seen = running.board.screen(|seen| {
        if seen.dimensions() != (SEEN_PX.0 * SQUARE_PX, SEEN_PX.1 * SQUARE_PX) {
            return Err(format!("it is {:?} large", seen.dimensions()));
        }
        let wrong = seen.enumerate_pixels().find(|(x, y, colour)| {
            let is_lit = drawn.get_pixel(x / SQUARE_PX, y / SQUARE_PX).0 != [0; 3];
            (colour.0 != [0; 3]) != is_lit
        });
        wrong.map_or(Ok(()), |(x, y, colour)| {
            Err(format!("it has {colour:?} at {x}, {y}"))
        })
    });
    pi::keep(&seen, "oled");
}

/// A colour panel on SPI. The kernel's tracing tells what goes over the bus and when the data/command pin turns; an ST7789 that is
/// played on that has the picture that the PNG display has of the same scene.
#[test]
#[ignore = "boots an emulated board: `cargo test --test panels -- --ignored`"]
fn the_bytes_sent_on_spi_are_the_picture() {
    let Some(pi) = or_skip(Pi::prepare()) else {
        return;
    };
    let panel = Panel {
        width_px: 240,
        height_px: 240,
        orders: 0,
        inverts: true,
    };
    let display = format!(
        "[display.spi]\ncontroller = \"st7789\"\n{}dc_gpio = {DATA_COMMAND}\ntransfer_bytes = {TRACED_BYTES}\nrequired = true\n",
        size(&panel)
    );
    let traced = Traced {
        modules: &[SPI],
        change: pi::add_spidev,
        begin: "wait_for /dev/spidev0.0",
        display: &display,
    };
    let (png, bus) = traced.run(&pi, &panel);
    let shown = bus.pictures(&panel).last().unwrap();
    pi::keep(&shown, "spi");
    let wrong = difference(&shown, &png);
    assert_eq!(wrong, None, "the panel's picture differs from the PNG");
}

/// A panel that the kernel drives and that is a framebuffer to the program, as Raspberry Pi OS has them. Debian's kernel is built without
/// its driver, so `tests/kernel/build-modules` builds it. What an ILI9341 is sent is the picture, and an empty one at the end.
#[test]
#[ignore = "boots an emulated board: `cargo test --test panels -- --ignored`"]
fn what_the_kernels_driver_of_a_panel_sends_is_the_picture() {
    /// Columns from right to left, blue first (ILI9341 data sheet V1.11, 8.2.29).
    const AS_MOUNTED: u8 = 0x48;
    const DRIVER: &str = "fb_ili9341";
    /// The text cursor of the console, which is back when the program has ended: at most a letter of the kernel's usual font.
    const CURSOR_PX: usize = 8 * 16;
    let Some(pi) = or_skip(Pi::prepare_with(&[DRIVER])) else {
        return;
    };
    let panel = Panel {
        width_px: 240,
        height_px: 320,
        orders: AS_MOUNTED,
        inverts: false,
    };
    // The panel is set up again, for the tracing to see.
    let begin = format!(
        "cd /sys/bus/spi/drivers/{DRIVER}\necho spi0.0 > unbind\necho spi0.0 > bind\ncd /sys/kernel/tracing\nwait_for /dev/fb0"
    );
    let traced = Traced {
        modules: &[SPI, (DRIVER, "")],
        change: pi::add_ili9341,
        begin: &begin,
        display: &format!("[display.framebuffer]\ndriver = {DRIVER:?}\nrequired = true\n"),
    };
    let (png, bus) = traced.run(&pi, &panel);
    // The driver sends all of its memory now and then, which may be in the middle of a picture.
    let pictures: Vec<_> = bus.pictures(&panel).collect();
    let empty = pictures.last().unwrap();
    let lit = empty.pixels().filter(|pixel| pixel.0 != [0; 3]).count();
    assert!(
        lit <= CURSOR_PX,
        "{lit} pixels are lit when the program has ended: they might be taken for live"
    );
    let wrong = |shown: &RgbImage| difference(shown, &png);
    let Some(shown) = pictures.iter().find(|shown| wrong(shown).is_none()) else {
        let last = pictures.iter().rev().nth(1);
        last.inspect(|shown| pi::keep(shown, "framebuffer"));
        panic!(
            "none of {} pictures is the PNG; the last but the empty one differs at {:?}",
            pictures.len(),
            last.and_then(wrong)
        );
    };
    pi::keep(shown, "framebuffer");
}

/// A scene on a panel on SPI, and the same as a PNG.
struct Traced<'a> {
    /// Kernel modules with their parameters.
    modules: &'a [(&'a str, &'a str)],
    change: fn(&mut DeviceTree),
    /// What the script does before the program runs, with the tracing on.
    begin: &'a str,
    /// The display in the board file.
    display: &'a str,
}

impl Traced<'_> {
    /// The PNG, and what went over the bus.
    fn run(&self, pi: &Pi, panel: &Panel) -> (RgbImage, Bus) {
        let shown = format!("{BOARD}{}", self.display);
        let png = format!(
            "{BOARD}[display.png]\nfolder = \"/tmp/png\"\ndepth = \"rgb565\"\n{}",
            size(panel)
        );
        let mut running = pi.boot(&Run {
            modules: self.modules,
            change: self.change,
            devices: &[],
            boards: &[("panel", &shown), ("png", &png)],
            script: &format!(
                "begin() {{\n{}\n}}\n{}",
                self.begin,
                include_str!("traced-scenario.sh")
            ),
        });
        running.wait_for("guest: the PNG");
        let png = pi::decode_base64(&running.lines_before("guest: the trace").concat());
        let png = image::load_from_memory(&png).unwrap().to_rgb8();
        let trace = pi::decode_base64(&running.lines_before("guest: done").concat());
        let trace: Result<Vec<String>, _> = BufReader::new(GzDecoder::new(trace.as_slice()))
            .lines()
            .collect();
        (screen::in_16_bits(png), Bus::read(&trace.unwrap()))
    }
}

fn size(panel: &Panel) -> String {
    format!(
        "width_px = {}\nheight_px = {}\n",
        panel.width_px, panel.height_px
    )
}

/// A place where two pictures differ, and its colour in the first. Frames per second, where they have a place, differ from run to run.
fn difference(shown: &RgbImage, png: &RgbImage) -> Option<(u32, u32, Rgb<u8>)> {
    let layout = Layout::of(png.width(), png.height(), Depth::Rgb565);
    let rate = layout.places().find(|(name, _)| *name == "status");
    let is_rate = |x: u32, y: u32| {
        let point = Point::new(x as i32, y as i32);
        rate.is_some_and(|(_, place)| place.bounding_box().contains(point))
    };
    let mut pixels = shown.enumerate_pixels();
    let wrong = pixels.find(|(x, y, colour)| !is_rate(*x, *y) && *colour != png.get_pixel(*x, *y));
    wrong.map(|(x, y, colour)| (x, y, *colour))
}
