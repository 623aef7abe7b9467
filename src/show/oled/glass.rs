//! A simulated OLED panel: accepts its controller's commands, keeps its pages, and returns what a viewer sees. The tests that
//! need one are below.

use super::*;
use crate::show::Depth;
use crate::show::canvas::Canvas;
use crate::show::played::{NoDelay, scene, verdict};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The controller.
struct Played {
    columns: usize,
    pages: Vec<Vec<u8>>,
    page: usize,
    column: usize,
    is_on: bool,
    /// Whether it was ever switched off.
    was_off: bool,
    is_inverted: bool,
    /// Other settings: single-byte commands, and commands with a parameter.
    settings: Vec<Vec<u8>>,
    bytes: usize,
    error: Option<i32>,
    /// Refuse each n-th message; data after half of its columns have arrived.
    refuses_each: Option<usize>,
    messages: usize,
}

#[derive(Clone)]
struct Glass(Arc<Mutex<Played>>);

impl Glass {
    fn of(config: &OledConfig) -> Self {
        let (columns, rows) = config.controller.memory_px();
        Self(Arc::new(Mutex::new(Played {
            columns: columns as usize,
            // Whatever the memory holds after power-on.
            pages: vec![vec![0x5a; columns as usize]; rows as usize / 8],
            page: 0,
            column: 0,
            is_on: false,
            was_off: false,
            is_inverted: false,
            settings: Vec::new(),
            bytes: 0,
            error: None,
            refuses_each: None,
            messages: 0,
        })))
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn display(&self, config: &OledConfig) -> Result<OledDisplay, DisplayError> {
        let wiring = Wiring {
            wire: Box::new(self.clone()),
            reset: None,
            backlight: None,
            delay: Box::new(NoDelay),
        };
        OledDisplay::wired(config, wiring, None)
    }

    /// The panel shows `canvas`, oriented as `config` says, pixel for pixel.
    fn assert_shows(&self, config: &OledConfig, canvas: &Canvas) {
        let orientation = config.orientation;
        let played = self.played();
        assert!(played.is_on);
        // The internal current reference.
        let needs_reference = (config.width_px, config.height_px) == (72, 40);
        assert_eq!(played.settings.contains(&vec![0xad, 0x30]), needs_reference);
        // Mounted with the pins at the top, as modules are made.
        assert!(played.settings.contains(&vec![0xa1]) && played.settings.contains(&vec![0xc8]));
        assert!(
            played
                .settings
                .contains(&vec![0xa8, config.height_px as u8 - 1])
        );
        let mut row = vec![0; config.width_px as usize * 3];
        for y in 0..config.height_px {
            canvas.turned_row(orientation, y, &mut row);
            for (x, rgb) in row.chunks_exact(3).enumerate() {
                let byte = played.pages[y as usize / 8][config.left_px as usize + x];
                let is_lit = (byte >> (y % 8) & 1 != 0) != played.is_inverted;
                assert_eq!(
                    is_lit,
                    (rgb[0] >= 128) != config.invert,
                    "{config} at {x}, {y}"
                );
            }
        }
    }
}

impl Played {
    fn fails(&self) -> io::Result<()> {
        self.error
            .map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }

    /// Whether this message is refused.
    fn refuses(&mut self) -> bool {
        self.messages += 1;
        let each = self.refuses_each;
        each.is_some_and(|each| self.messages.is_multiple_of(each))
    }
}

impl Wire for Glass {
    fn command(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut played = self.played();
        played.fails()?;
        if played.refuses() {
            return Err(io::Error::from_raw_os_error(libc::EREMOTEIO));
        }
        played.bytes += bytes.len();
        match *bytes {
            // Page addressing: page, lower and upper half of the column.
            [page @ 0xb0..=0xb7, low @ 0x00..=0x0f, high @ 0x10..=0x1f] => {
                played.page = usize::from(page & 7);
                played.column = usize::from(high & 0xf) << 4 | usize::from(low);
            }
            [DISPLAY_OFF] => (played.is_on, played.was_off) = (false, true),
            [DISPLAY_ON] => played.is_on = true,
            [invert @ 0xa6..=0xa7] => played.is_inverted = invert == 0xa7,
            // The voltage converter of an SH1106.
            [0xad, 0x8a | 0x8b] if played.is_on => panic!("only while the panel is off"),
            _ => played.settings.push(bytes.to_vec()),
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut played = self.played();
        played.fails()?;
        let is_refused = played.refuses();
        let bytes = &bytes[..bytes.len() >> u32::from(is_refused)];
        played.bytes += bytes.len();
        let (page, column) = (played.page, played.column);
        let end = column + bytes.len();
        assert!(end <= played.columns, "past the last column");
        played.pages[page][column..end].copy_from_slice(bytes);
        played.column = end;
        match is_refused {
            true => Err(io::Error::from_raw_os_error(libc::EREMOTEIO)),
            false => Ok(()),
        }
    }
}

/// The keys of a `[display.oled]`.
fn config(keys: &str) -> OledConfig {
    crate::toml_file::read("t.toml", keys, config::config).unwrap()
}

#[test]
fn random_drawings_arrive_pixel_for_pixel() {
    let mut random = fastrand::Rng::with_seed(4);
    for panel in [
        "",
        "controller = 'sh1106'",
        "height_px = 32",
        "width_px = 64\nheight_px = 48\ninvert = true",
        "width_px = 72\nheight_px = 40",
    ] {
        for (rotate_deg, mirror) in [(0, false), (90, true), (180, false), (270, false)] {
            let keys = format!("{panel}\nrotate_deg = {rotate_deg}\nmirror = {mirror}");
            let config = config(&keys);
            let glass = Glass::of(&config);
            let mut display = glass.display(&config).unwrap();
            let (width_px, height_px) = {
                let canvas = display.painter.canvas();
                (canvas.width_px(), canvas.height_px())
            };
            let mut canvas = Canvas::new(width_px, height_px, Depth::Mono);
            for turn in 0..4 {
                for _ in 0..random.u32(1..9) {
                    let (x, y) = (random.u32(0..width_px), random.u32(0..height_px));
                    let light = if random.bool() { 255 } else { 0 };
                    canvas.set(x as i32, y as i32, [light; 3]);
                }
                let (wire, page) = (&mut *display.wiring.wire, &mut *display.page);
                let left_px = display.left_px;
                let pushed = display
                    .shadow
                    .push(&canvas, turn == 0, |patch| put(wire, page, left_px, patch));
                pushed.unwrap();
                wire.command(&[DISPLAY_ON]).unwrap();
                glass.assert_shows(&config, &canvas);
            }
        }
    }
}

#[test]
fn an_unchanged_drawing_sends_no_byte_and_the_panel_is_dark_at_the_end() {
    let config = config("");
    let glass = Glass::of(&config);
    let mut display = glass.display(&config).unwrap();
    let text = display.describe();
    assert_eq!(
        text,
        "OLED ssd1306 on /dev/i2c-1 at address 0x3c, 128 x 64 pixels, 1 bit"
    );
    assert!(!glass.played().is_on, "on before there is a picture");
    let cost = |display: &mut OledDisplay, class| {
        let before = glass.played().bytes;
        let verdict = verdict(class, 0.9);
        display.show(&scene(State::Live, Some(&verdict))).unwrap();
        glass.assert_shows(&config, display.painter.canvas());
        glass.played().bytes - before
    };
    let whole = cost(&mut display, 0);
    // 8 pages of 3 commands and 128 columns, and the display-on command.
    assert_eq!(whole, 8 * (3 + 128) + 1);
    assert_eq!(cost(&mut display, 0), 0);
    let change = cost(&mut display, 2);
    println!("128x64: {whole} bytes whole, {change} for another class, 0 for the same");
    assert!(0 < change && change < whole, "{change}");
    drop(display);
    assert!(!glass.played().is_on, "a class stays on the panel");

    let mut display = glass.display(&config).unwrap();
    let failed = State::Failed(crate::Cause::Model);
    display.show(&scene(failed, None)).unwrap();
    drop(display);
    assert!(glass.played().is_on, "why it failed is gone");
}

#[test]
fn a_panel_that_refuses_a_message_now_and_then_shows_everything() {
    let config = config("");
    for each in [3, 4, 7] {
        let glass = Glass::of(&config);
        glass.played().refuses_each = Some(each);
        let mut display = glass.display(&config).unwrap();
        for class in [0, 2, 1] {
            let verdict = verdict(class, 0.9);
            let live = scene(State::Live, Some(&verdict));
            display.show(&live).unwrap();
            glass.assert_shows(&config, display.painter.canvas());
        }
        // It refuses the next message, which switches it off.
        glass.played().messages = each - 1;
        drop(display);
        assert!(!glass.played().is_on, "a class stays on the panel");
    }
}

/// It acknowledges what is sent to it, dark and with noise in its memory.
#[test]
fn a_panel_that_lost_its_power_for_a_moment_is_set_up_again() {
    let config = config("width_px = 72\nheight_px = 40");
    let glass = Glass::of(&config);
    let mut display = glass.display(&config).unwrap();
    let verdict = verdict(0, 0.9);
    let live = scene(State::Live, Some(&verdict));
    display.show(&live).unwrap();
    let fresh = Arc::into_inner(Glass::of(&config).0).unwrap();
    *glass.played() = fresh.into_inner().unwrap();
    display.show(&live).unwrap();
    assert_eq!(glass.played().bytes, 0, "an unchanged drawing");
    let Some(before) = Instant::now().checked_sub(RENEW_PERIOD) else {
        return;
    };
    display.renewed_at = before;
    display.show(&live).unwrap();
    glass.assert_shows(&config, display.painter.canvas());
    let bytes = glass.played().bytes;
    // 5 pages of 3 commands and 72 columns, the set-up, and the display-on command.
    assert_eq!(bytes, 5 * (3 + 72) + 26 + 1);
    display.show(&live).unwrap();
    assert_eq!(glass.played().bytes, bytes, "for the next while");
    assert!(!glass.played().was_off, "it does not flicker");
}

#[test]
fn an_sh1106_gets_what_it_takes_only_while_dark_at_the_start_alone() {
    let config = config("controller = 'sh1106'");
    let glass = Glass::of(&config);
    let mut display = glass.display(&config).unwrap();
    let converter = vec![0xad, 0x8b];
    assert!(glass.played().settings.contains(&converter));
    let verdict = verdict(0, 0.9);
    let live = scene(State::Live, Some(&verdict));
    display.show(&live).unwrap();
    glass.played().settings.clear();
    let Some(before) = Instant::now().checked_sub(RENEW_PERIOD) else {
        return;
    };
    display.renewed_at = before;
    display.show(&live).unwrap();
    glass.assert_shows(&config, display.painter.canvas());
    assert!(!glass.played().settings.contains(&converter));
}

#[test]
fn a_panel_that_does_not_answer_is_absent_or_has_failed() {
    let config = config("address = 0x3d");
    let glass = Glass::of(&config);
    glass.played().error = Some(libc::EREMOTEIO);
    let error = glass.display(&config).err().unwrap();
    assert!(
        matches!(&error, DisplayError::Absent(why) if why.contains("nothing answers as the display ssd1306 on /dev/i2c-1 at address 0x3d")),
        "{error}"
    );
    glass.played().error = None;
    let mut display = glass.display(&config).unwrap();
    display.show(&scene(State::Starting, None)).unwrap();
    // Unplugged.
    glass.played().error = Some(libc::ENXIO);
    let verdict = verdict(0, 0.8);
    let live = scene(State::Live, Some(&verdict));
    let error = display.show(&live).unwrap_err();
    assert!(matches!(&error, DisplayError::Failed(why) if why.contains("address 0x3d")));
    drop(display);
    // Plugged in again, with different memory contents: the display is reopened.
    let fresh = Arc::into_inner(Glass::of(&config).0).unwrap();
    *glass.played() = fresh.into_inner().unwrap();
    let mut display = glass.display(&config).unwrap();
    display.show(&live).unwrap();
    glass.assert_shows(&config, display.painter.canvas());
}
