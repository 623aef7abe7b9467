//! A played colour panel: takes the bytes of its controller's command set, keeps its memory, and says what a viewer sees on the
//! glass. The tests that need one stand below.

use super::*;
use crate::board::panel;
use crate::show::bus::{Output, Wire};
use crate::show::canvas::Canvas;
use crate::show::played::{NoDelay, scene, verdict};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MX: u8 = 0x40;
const MY: u8 = 0x80;
const BGR: u8 = 0x08;

/// What the module's maker built: how the glass lies on the memory, and what it is made of.
#[derive(Clone, Copy)]
struct Module {
    /// The MADCTL with which its maker's example shows a picture upright and in the right colours.
    madctl: u8,
    is_ips: bool,
    bits: usize,
}

/// The controller, and what was wired beside it.
struct Played {
    module: Module,
    memory_px: (usize, usize),
    memory: Vec<[u8; 3]>,
    madctl: u8,
    is_inverted: bool,
    is_awake: bool,
    is_on: bool,
    colmod: u8,
    columns: (usize, usize),
    rows: (usize, usize),
    at: (usize, usize),
    command: u8,
    parameters: Vec<u8>,
    pixel: Vec<u8>,
    bytes: usize,
    windows: usize,
    is_broken: bool,
    is_lit: bool,
}

#[derive(Clone)]
struct Glass(Arc<Mutex<Played>>);

impl Glass {
    fn of(config: &SpiConfig, module: Module) -> Self {
        let (width, height) = config.controller.memory_px();
        let memory_px = (width as usize, height as usize);
        Self(Arc::new(Mutex::new(Played {
            module,
            memory_px,
            // Whatever the memory has after power came on.
            memory: vec![[0x5a; 3]; memory_px.0 * memory_px.1],
            madctl: 0xff,
            is_inverted: false,
            is_awake: false,
            is_on: false,
            colmod: 0,
            columns: (0, 0),
            rows: (0, 0),
            at: (0, 0),
            command: 0,
            parameters: Vec::new(),
            pixel: Vec::new(),
            bytes: 0,
            windows: 0,
            is_broken: false,
            is_lit: false,
        })))
    }

    fn played(&self) -> MutexGuard<'_, Played> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wiring(&self) -> Wiring {
        Wiring {
            wire: Box::new(self.clone()),
            reset: None,
            backlight: Some(Box::new(self.clone())),
            delay: Box::new(NoDelay),
        }
    }

    /// What is seen at a place of the panel that `config` describes.
    fn seen(&self, config: &SpiConfig, x: usize, y: usize) -> [u8; 3] {
        let played = self.played();
        let place = (config.left_px as usize + x, config.top_px as usize + y);
        let [mut r, mut g, mut b] = played.memory[played.index(place, played.module.madctl)];
        if (played.madctl ^ played.module.madctl) & BGR != 0 {
            (r, b) = (b, r);
        }
        if played.is_inverted != played.module.is_ips {
            [r, g, b] = [r, g, b].map(|value| !value);
        }
        // As many bits as the pixel has.
        let (five, six) = (0xf8, 0xfc);
        let masks = if played.module.bits == 18 {
            [six; 3]
        } else {
            [five, six, five]
        };
        [r & masks[0], g & masks[1], b & masks[2]]
    }

    /// The panel shows `canvas`, turned as `config` says, pixel for pixel.
    fn assert_shows(&self, config: &SpiConfig, canvas: &Canvas) {
        let orientation = Orientation {
            rotation: Rotation::from_degrees(config.rotate_deg).unwrap(),
            mirror: config.mirror,
        };
        let mut row = vec![0; config.width_px as usize * 3];
        for y in 0..config.height_px {
            canvas.turned_row(orientation, y, &mut row);
            for (x, rgb) in row.chunks_exact(3).enumerate() {
                let bits = self.played().module.bits;
                let (five, six) = (0xf8, 0xfc);
                let masks = if bits == 18 {
                    [six; 3]
                } else {
                    [five, six, five]
                };
                let wanted = [rgb[0] & masks[0], rgb[1] & masks[1], rgb[2] & masks[2]];
                assert_eq!(
                    self.seen(config, x, y as usize),
                    wanted,
                    "{config} at {x}, {y}"
                );
            }
        }
        let played = self.played();
        assert!(played.is_awake && played.is_on);
    }
}

impl Played {
    /// Where an address lies in the memory.
    fn index(&self, (column, row): (usize, usize), madctl: u8) -> usize {
        let (width, height) = self.memory_px;
        assert!(
            column < width && row < height,
            "{column}, {row} is no address"
        );
        let column = if madctl & MX != 0 {
            width - 1 - column
        } else {
            column
        };
        let row = if madctl & MY != 0 {
            height - 1 - row
        } else {
            row
        };
        row * width + column
    }

    fn take(&mut self, byte: u8) {
        if self.command == 0x2c {
            self.pixel.push(byte);
            if self.pixel.len() * 8 >= self.module.bits {
                self.write_pixel();
            }
            return;
        }
        self.parameters.push(byte);
        let pair = |at: usize| {
            let [a, b] = [self.parameters[at], self.parameters[at + 1]];
            usize::from(u16::from_be_bytes([a, b]))
        };
        match (self.command, self.parameters.len()) {
            (0x2a, 4) => self.columns = (pair(0), pair(2)),
            (0x2b, 4) => self.rows = (pair(0), pair(2)),
            (0x36, 1) => {
                assert_eq!(
                    byte & 0x37,
                    0,
                    "rows and columns swapped, or scanned backwards"
                );
                self.madctl = byte;
            }
            (0x3a, 1) => self.colmod = byte,
            _ => {}
        }
    }

    fn write_pixel(&mut self) {
        let colour = match self.pixel[..] {
            [high, low] => {
                assert_eq!(self.colmod & 7, 5);
                [high & 0xf8, high << 5 | (low >> 3 & 0x1c), low << 3]
            }
            [r, g, b] => {
                assert_eq!(self.colmod & 7, 6);
                [r, g, b]
            }
            _ => unreachable!(),
        };
        self.pixel.clear();
        let (column, row) = self.at;
        assert!(row <= self.rows.1, "more pixels than the window has");
        let index = self.index(self.at, self.madctl);
        self.memory[index] = colour;
        self.at = if column == self.columns.1 {
            (self.columns.0, row + 1)
        } else {
            (column + 1, row)
        };
    }
}

impl Wire for Glass {
    fn command(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut played = self.played();
        if played.is_broken {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let [command] = bytes else {
            panic!("a command is one byte, not {bytes:?}")
        };
        assert!(played.pixel.is_empty(), "half a pixel");
        played.bytes += 1;
        played.command = *command;
        played.parameters.clear();
        match command {
            0x01 => (played.madctl, played.is_awake, played.is_on) = (0, false, false),
            0x10 => played.is_awake = false,
            0x11 => played.is_awake = true,
            0x20 => played.is_inverted = false,
            0x21 => played.is_inverted = true,
            0x29 => played.is_on = true,
            0x2c => {
                played.at = (played.columns.0, played.rows.0);
                played.windows += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut played = self.played();
        if played.is_broken {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        assert!(
            !bytes.is_empty() && bytes.len() <= 4096,
            "{} bytes",
            bytes.len()
        );
        played.bytes += bytes.len();
        bytes.iter().for_each(|byte| played.take(*byte));
        Ok(())
    }
}

impl Output for Glass {
    fn set(&mut self, high: bool) -> io::Result<()> {
        self.played().is_lit = high;
        Ok(())
    }
}

/// The keys of a `[display.spi]`.
fn config(keys: &str) -> SpiConfig {
    let text = format!("dc_gpio = 25\n{keys}");
    crate::toml_file::read("t.toml", &text, panel::spi).unwrap()
}

/// Usual modules: board file keys, and what their makers' examples set.
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
fn what_did_not_change_costs_no_byte_and_a_bus_error_is_told() {
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
    assert!(matches!(&error, DisplayError::Failed(told) if told.contains("/dev/spidev0.0")));
    // What arrived is not known: all of it goes out again.
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
            .contains("cannot set the display ili9341 on /dev/spidev0.0 up")
    );
}
