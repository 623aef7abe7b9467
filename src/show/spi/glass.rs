//! A simulated colour panel: accepts the bytes of its controller's command set, keeps its memory, and returns what a viewer sees
//! on the glass.

use super::*;
use crate::show::bus::{Output, Wire};
use crate::show::canvas::Canvas;
use crate::show::played::NoDelay;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) const MX: u8 = 0x40;
pub(super) const MY: u8 = 0x80;
pub(super) const BGR: u8 = 0x08;

/// How the module's maker built it: the glass's orientation relative to the memory, and its properties.
#[derive(Clone, Copy)]
pub(super) struct Module {
    /// The MADCTL that shows a picture upright and in the right colours.
    pub madctl: u8,
    pub is_ips: bool,
    pub bits: usize,
}

/// The controller, and what else was wired.
pub(super) struct Played {
    module: Module,
    memory_px: (usize, usize),
    memory: Vec<[u8; 3]>,
    madctl: u8,
    is_inverted: bool,
    pub is_awake: bool,
    pub is_on: bool,
    colmod: u8,
    columns: (usize, usize),
    rows: (usize, usize),
    at: (usize, usize),
    command: u8,
    parameters: Vec<u8>,
    pixel: Vec<u8>,
    pub bytes: usize,
    windows: usize,
    pub is_broken: bool,
    pub is_lit: bool,
}

#[derive(Clone)]
pub(super) struct Glass(Arc<Mutex<Played>>);

impl Glass {
    pub fn of(config: &SpiConfig, module: Module) -> Self {
        let (width, height) = config.controller.memory_px();
        let memory_px = (width as usize, height as usize);
        Self(Arc::new(Mutex::new(Played {
            module,
            memory_px,
            // Whatever the memory holds after power-on.
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

    pub fn played(&self) -> MutexGuard<'_, Played> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wiring(&self) -> Wiring {
        Wiring {
            wire: Box::new(self.clone()),
            reset: None,
            backlight: Some(Box::new(self.clone())),
            delay: Box::new(NoDelay),
        }
    }

    /// What is visible at a place of the panel that `config` describes.
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

    /// The panel shows `canvas`, oriented as `config` says, pixel for pixel.
    pub fn assert_shows(&self, config: &SpiConfig, canvas: &Canvas) {
        let orientation = config.orientation;
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
    /// The memory index of an address.
    fn index(&self, (column, row): (usize, usize), madctl: u8) -> usize {
        let (width, height) = self.memory_px;
        assert!(
            column < width && row < height,
            "{column}, {row} is not an address"
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
