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
use emulator::{or_skip, screen};
use eyelet::show::Depth;
use eyelet::show::State;
use eyelet::show::draw::Painter;
use eyelet::show::layout::Layout;
use pi::{BOARD, Pi, Run};
use trace::{Bus, DATA_COMMAND};

/// What the photo on the board is.
const LABEL: &str = "Egyptian cat";

/// The part of its memory that QEMU's SSD0303 shows (hw/display/ssd0303.c): columns 36 to 131, rows 0 to 15, each pixel as a
/// square of 4.
const SEEN_PX: (u32, u32) = (96, 16);
const SEEN_FROM_COLUMN: u32 = 36;
const SQUARE_PX: u32 = 4;

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
fn what_goes_out_on_spi_is_the_picture() {
    const SIDE_PX: u32 = 240;
    let Some(pi) = or_skip(Pi::prepare()) else {
        return;
    };
    let size = format!("width_px = {SIDE_PX}\nheight_px = {SIDE_PX}\n");
    // The tracing prints 64 bytes of a transfer, no more.
    let spi = format!(
        "{BOARD}[display.spi]\ncontroller = \"st7789\"\n{size}dc_gpio = {DATA_COMMAND}\ntransfer_bytes = 64\nrequired = true\n"
    );
    let png = format!("{BOARD}[display.png]\nfolder = \"/tmp/png\"\ndepth = \"rgb565\"\n{size}");
    let mut running = pi.boot(&Run {
        modules: &[("spi_bcm2835", "")],
        change: pi::add_spidev,
        devices: &[],
        boards: &[("spi", &spi), ("png", &png)],
        script: include_str!("spi-scenario.sh"),
    });
    running.wait_for("guest: the PNG");
    let png = pi::decode_base64(&running.lines_before("guest: the trace").concat());
    let png = image::load_from_memory(&png).unwrap().to_rgb8();
    let bus = Bus::read(&running.lines_before("guest: done"));
    let panel = bus.st7789(SIDE_PX, SIDE_PX);
    pi::keep(&panel, "spi");

    // Frames a second, where they have a place, differ from run to run.
    let layout = Layout::of(SIDE_PX, SIDE_PX, Depth::Rgb565);
    let rate = layout.places().find(|(name, _)| *name == "status");
    let is_rate = |x: u32, y: u32| {
        let point = Point::new(x as i32, y as i32);
        rate.is_some_and(|(_, place)| place.bounding_box().contains(point))
    };
    let png = screen::in_16_bits(png);
    let mut pixels = panel.enumerate_pixels();
    let wrong = pixels.find(|(x, y, colour)| !is_rate(*x, *y) && *colour != png.get_pixel(*x, *y));
    assert_eq!(wrong, None, "the panel's picture differs from the PNG");
}
