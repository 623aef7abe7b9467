//! Simulated e-paper: accepts the SSD1680's commands, keeps both of its memories, and changes the paper as its waveforms would.

use super::*;
use crate::show::EpaperPanel;
use crate::show::bus::{Output, Wire};
use crate::show::canvas::Canvas;
use crate::show::played::NoDelay;
use embedded_hal::delay::DelayNs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Played {
    width_bytes: usize,
    rows: usize,
    /// The new picture and the current one (0x24, 0x26).
    memories: [Vec<u8>; 2],
    /// After a partial refresh the controller swaps them, as some are configured to.
    pub swaps: bool,
    pub paper: Vec<u8>,
    /// Whether the controller has built-in waveforms for full and for partial refreshes.
    built_in: [bool; 2],
    command: u8,
    parameters: Vec<u8>,
    x_range: (usize, usize),
    y_range: (usize, usize),
    at: (usize, usize),
    pub waveform: Vec<u8>,
    /// The steps of the last refresh, and the number of refreshes of each kind.
    steps: u8,
    pub full_count: usize,
    pub partial_count: usize,
    pub is_busy: bool,
    pub is_absent: bool,
    pub is_stuck: bool,
    pub is_asleep: bool,
    pub has_power: bool,
    pub bytes: usize,
    /// How long it has been waited for, and for how long when the first reset came.
    pub waited: Duration,
    pub reset_after: Option<Duration>,
}

/// Waits for no time, and notes how long that would have been.
pub(super) struct Noted(pub Paper);

impl DelayNs for Noted {
    fn delay_ns(&mut self, ns: u32) {
        self.0.played().waited += Duration::from_nanos(ns.into());
    }
}

#[derive(Clone)]
pub(super) struct Paper(Arc<Mutex<Played>>);

impl Paper {
    pub fn of(config: &EpaperConfig) -> Self {
        let (width, height) = config.panel.size_px();
        let (width_bytes, rows) = (width.div_ceil(8) as usize, height as usize);
        let noise = |byte| vec![byte; width_bytes * rows];
        Self(Arc::new(Mutex::new(Played {
            width_bytes,
            rows,
            memories: [noise(0x12), noise(0x34)],
            swaps: false,
            // What it showed before, perhaps a year ago.
            paper: noise(0x56),
            built_in: match config.panel {
                EpaperPanel::Waveshare2in13V3 => [false, false],
                EpaperPanel::Waveshare2in9V2 => [true, false],
                EpaperPanel::Waveshare2in13V4 => [true, true],
            },
            command: 0,
            parameters: Vec::new(),
            x_range: (0, 0),
            y_range: (0, 0),
            at: (0, 0),
            waveform: Vec::new(),
            steps: 0,
            full_count: 0,
            partial_count: 0,
            is_busy: false,
            is_absent: false,
            is_stuck: false,
            is_asleep: false,
            has_power: true,
            bytes: 0,
            waited: Duration::ZERO,
            reset_after: None,
        })))
    }

    pub fn played(&self) -> MutexGuard<'_, Played> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn display(&self, config: &EpaperConfig) -> Result<EpaperDisplay, DisplayError> {
        self.display_with(config, Box::new(NoDelay))
    }

    /// The same, waiting with `delay`.
    pub fn display_with(
        &self,
        config: &EpaperConfig,
        delay: Box<dyn DelayNs + Send>,
    ) -> Result<EpaperDisplay, DisplayError> {
        let wiring = Wiring {
            wire: Box::new(self.clone()),
            reset: Some(Box::new(Reset(self.clone()))),
            backlight: None,
            delay,
        };
        let power = Some(Box::new(Power(self.clone())) as Box<dyn Output>);
        EpaperDisplay::wired(config, wiring, Box::new(self.clone()), power, None)
    }

    /// The paper shows `canvas`, oriented as `config` says, pixel for pixel.
    pub fn assert_shows(&self, config: &EpaperConfig, canvas: &Canvas) {
        let orientation = config.orientation;
        let played = self.played();
        let (width_px, height_px) = config.panel.size_px();
        let mut row = vec![0; width_px as usize * 3];
        for y in 0..height_px {
            canvas.turned_row(orientation, y, &mut row);
            for (x, rgb) in row.chunks_exact(3).enumerate() {
                let byte = played.paper[y as usize * played.width_bytes + x / 8];
                let is_white = byte >> (7 - x % 8) & 1 != 0;
                assert_eq!(is_white, (rgb[0] >= 128) != config.invert, "{x}, {y}");
            }
        }
    }
}

impl Played {
    fn take(&mut self, byte: u8) {
        if let 0x24 | 0x26 = self.command {
            let (x, y) = self.at;
            assert!(
                y <= self.y_range.1 && y < self.rows,
                "more bytes than the window has"
            );
            let memory = usize::from(self.command == 0x26);
            self.memories[memory][y * self.width_bytes + x] = byte;
            self.at = if x == self.x_range.1 {
                (self.x_range.0, y + 1)
            } else {
                (x + 1, y)
            };
            return;
        }
        self.parameters.push(byte);
        let word = |at: usize| {
            let [low, high] = [self.parameters[at], self.parameters[at + 1]];
            usize::from(u16::from_le_bytes([low, high]))
        };
        match (self.command, self.parameters.len()) {
            (0x01, 2) => assert_eq!(word(0), self.rows - 1),
            (0x11, 1) => assert_eq!(byte, 0x03, "both addresses count up"),
            (0x22, 1) => self.steps = byte,
            (0x32, 153) => self.waveform = self.parameters.clone(),
            (0x44, 2) => self.x_range = (self.parameters[0].into(), byte.into()),
            (0x45, 4) => self.y_range = (word(0), word(2)),
            (0x4e, 1) => self.at.0 = byte.into(),
            (0x4f, 2) => self.at.1 = word(0),
            _ => {}
        }
    }

    /// Simulates the steps of 0x22.
    fn refresh(&mut self) {
        if self.is_absent {
            return;
        }
        assert_eq!(self.steps & 0xc7, 0xc7, "on, show, off: {:#x}", self.steps);
        self.is_busy = true;
        let is_partial = self.steps & 0x08 != 0;
        if self.steps & 0x30 == 0x30 {
            assert!(self.built_in[usize::from(is_partial)], "none built in");
            self.waveform.clear();
        } else {
            assert_eq!(self.waveform.len(), 153);
            // A full one drives even a pixel that stays black, from the beginning.
            assert_eq!(self.waveform[0] == 0, is_partial, "the other waveform");
        }
        if !is_partial {
            self.full_count += 1;
            self.paper.clone_from(&self.memories[0]);
            return;
        }
        self.partial_count += 1;
        let [new, old] = &self.memories;
        for ((paper, new), old) in self.paper.iter_mut().zip(new).zip(old) {
            let changes = new ^ old;
            *paper = (*paper & !changes) | (new & changes);
        }
        if self.swaps {
            self.memories.swap(0, 1);
        }
    }
}

impl Wire for Paper {
    fn command(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut played = self.played();
        assert!(
            !played.is_busy && !played.is_asleep,
            "{bytes:x?} is not heard"
        );
        assert!(played.has_power);
        let [command] = bytes else {
            panic!("{bytes:?}")
        };
        played.bytes += 1;
        played.command = *command;
        played.parameters.clear();
        match command {
            0x20 => played.refresh(),
            0x10 => played.is_asleep = true,
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut played = self.played();
        played.bytes += bytes.len();
        bytes.iter().for_each(|byte| played.take(*byte));
        Ok(())
    }
}

impl Input for Paper {
    /// Busy when first polled, then not, unless it is stuck.
    fn is_high(&mut self) -> io::Result<bool> {
        let mut played = self.played();
        let was_busy = played.is_busy;
        played.is_busy = played.is_stuck;
        Ok(was_busy)
    }
}

struct Reset(Paper);

impl Output for Reset {
    fn set(&mut self, high: bool) -> io::Result<()> {
        if !high {
            let mut played = self.0.played();
            (played.is_asleep, played.is_busy) = (false, played.is_stuck);
            let waited = played.waited;
            played.reset_after.get_or_insert(waited);
        }
        Ok(())
    }
}

struct Power(Paper);

impl Output for Power {
    fn set(&mut self, high: bool) -> io::Result<()> {
        self.0.played().has_power = high;
        Ok(())
    }
}
