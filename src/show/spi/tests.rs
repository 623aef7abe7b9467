//! Colour panels on simulated glass.

use super::glass::{BGR, Glass, MX, MY, Module};
use super::*;
use crate::show::Depth;
use crate::show::canvas::{Canvas, Orientation, Rotation};
use crate::show::played::{scene, verdict};

/// The keys of a `[display.spi]`.
fn config(keys: &str) -> SpiConfig {
    let text = format!("dc_gpio = 25\n{keys}");
    crate::toml_file::read("t.toml", &text, config::config).unwrap()
}

/// Usual modules: board file keys, and what TFT_eSPI sets for its rotation 0, with the colours of `Controller::is_bgr`'s sources.
const MODULES: [(&str, u8, bool, usize); 8] = [
    (
        "controller='st7789'\nwidth_px=240\nheight_px=240",
        0x00,
        true,
        16,
    ),
    ("controller='st7789'", 0x00, true, 16),
    (
        "controller='st7789'\nwidth_px=135\nheight_px=240",
        0x00,
        true,
        16,
    ),
    ("controller='st7735'", MX | MY, false, 16),
    (
        "controller='st7735'\nwidth_px=80\nheight_px=160",
        MX | MY | BGR,
        true,
        16,
    ),
    ("controller='ili9341'", MX | BGR, false, 16),
    ("controller='ili9488'", MX | BGR, false, 18),
    ("controller='gc9a01'", BGR, true, 16),
];

#[test]
fn every_module_shows_random_drawings_pixel_for_pixel() {
    let mut random = fastrand::Rng::with_seed(8);
    for (keys, madctl, is_ips, bits) in MODULES {
        for (rotate_deg, mirror) in [
            (0, false),
            (90, true),
            (180, false),
            (270, true),
            (270, false),
        ] {
            let config = config(&format!("{keys}\nrotate_deg={rotate_deg}\nmirror={mirror}"));
            let glass = Glass::of(
                &config,
                Module {
                    madctl,
                    is_ips,
                    bits,
                },
            );
            let (mut panel, packing, _rest) = dcs::start(&config, glass.wiring()).unwrap();
            let orientation = Orientation {
                rotation: Rotation::from_degrees(rotate_deg).unwrap(),
                mirror,
            };
            let size_px = (config.width_px, config.height_px);
            let grid = Grid { x_px: 1, y_px: 1 };
            let mut shadow = Shadow::new(size_px, packing, orientation, grid);
            let (width_px, height_px) = orientation.rotation.turn(size_px);
            let mut canvas = Canvas::new(width_px, height_px, Depth::Rgb888);
            for turn in 0..3 {
                for _ in 0..random.u32(1..6) {
                    let (x, y) = (random.u32(0..width_px), random.u32(0..height_px));
                    canvas.set(x as i32, y as i32, [0; 3].map(|_: u8| random.u8(..)));
                }
                shadow
                    .push(&canvas, turn == 0, |patch| panel.put(patch))
                    .unwrap();
            }
            glass.assert_shows(&config, &canvas);
        }
    }
}

#[test]
fn invert_and_bgr_are_for_glass_of_the_other_kind() {
    let config = config("controller='st7789'\nheight_px=240\ninvert=false\nbgr=true");
    let module = Module {
        madctl: BGR,
        is_ips: false,
        bits: 16,
    };
    let glass = Glass::of(&config, module);
    let mut display = SpiDisplay::wired(&config, glass.wiring(), None).unwrap();
    display.show(&scene(State::Starting, None)).unwrap();
    glass.assert_shows(&config, display.painter.canvas());
}

#[test]
fn an_unchanged_drawing_sends_no_byte_and_a_bus_error_is_reported() {
    let config = config("controller='st7789'\nwidth_px=240\nheight_px=240\nbacklight_gpio=26");
    let module = Module {
        madctl: 0,
        is_ips: true,
        bits: 16,
    };
    let glass = Glass::of(&config, module);
    let mut display = SpiDisplay::wired(&config, glass.wiring(), None).unwrap();
    let text = display.describe();
    assert_eq!(
        text,
        "SPI panel st7789 on /dev/spidev0.0, 240 x 240 pixels, 16 bits"
    );
    assert!(!glass.played().is_lit, "lit before there is a picture");
    let cost = |display: &mut SpiDisplay, class| {
        let before = glass.played().bytes;
        let verdict = verdict(class, 0.9);
        display.show(&scene(State::Live, Some(&verdict))).unwrap();
        glass.assert_shows(&config, display.painter.canvas());
        glass.played().bytes - before
    };
    let whole = cost(&mut display, 0);
    // One window: two addresses of 5 bytes, the command, and all pixels.
    assert_eq!(whole, 240 * 240 * 2 + 11);
    assert!(glass.played().is_lit);
    assert_eq!(cost(&mut display, 0), 0);
    let change = cost(&mut display, 1);
    println!("240x240: {whole} bytes whole, {change} for another class, 0 for the same");
    assert!(0 < change && change < whole / 2, "{change}");

    glass.played().is_broken = true;
    let verdict = verdict(2, 0.9);
    let scene = scene(State::Live, Some(&verdict));
    let error = display.show(&scene).unwrap_err();
    assert!(matches!(&error, DisplayError::Failed(why) if why.contains("/dev/spidev0.0")));
    // What arrived is unknown: all of it is sent again.
    glass.played().is_broken = false;
    let before = glass.played().bytes;
    display.show(&scene).unwrap();
    assert_eq!(glass.played().bytes - before, whole);
    glass.assert_shows(&config, display.painter.canvas());

    drop(display);
    let played = glass.played();
    assert!(
        !played.is_lit && !played.is_awake,
        "a class stays on the panel"
    );
}

#[test]
fn why_the_program_could_not_start_stays_on_the_panel() {
    let config = config("controller='gc9a01'");
    let module = Module {
        madctl: BGR,
        is_ips: true,
        bits: 16,
    };
    let glass = Glass::of(&config, module);
    let mut display = SpiDisplay::wired(&config, glass.wiring(), None).unwrap();
    let failed = State::Failed(crate::Cause::Camera);
    display.show(&scene(failed, None)).unwrap();
    drop(display);
    let played = glass.played();
    assert!(played.is_lit && played.is_awake && played.is_on);
}

#[test]
fn a_panel_that_cannot_be_set_up_says_so() {
    let config = config("controller='ili9341'");
    let module = Module {
        madctl: MX | BGR,
        is_ips: false,
        bits: 16,
    };
    let glass = Glass::of(&config, module);
    glass.played().is_broken = true;
    let error = SpiDisplay::wired(&config, glass.wiring(), None)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("cannot set up the display ili9341 on /dev/spidev0.0")
    );
}
