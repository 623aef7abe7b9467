//! The SSD1680, controller of e-paper: two memories (what is to be shown, and what is), and waveforms that turn one into the other.
//! Commands and values: data sheet SSD1680 rev. 0.14, command table; what the maker of the module sets is said beside it.
//!
//! A refresh is started here and runs by itself; the busy pin tells when it is over. Nothing here waits for it but [`Ssd1680::settle`].

use crate::board::panel::epaper::EpaperPanel;
use crate::show::bus::{Input, Wiring};
use std::io;
use std::time::Duration;

const DRIVER_OUTPUT: u8 = 0x01;
const GATE_VOLTAGE: u8 = 0x03;
const SOURCE_VOLTAGE: u8 = 0x04;
const DEEP_SLEEP: u8 = 0x10;
const DATA_ENTRY: u8 = 0x11;
const SOFT_RESET: u8 = 0x12;
const TEMPERATURE_SENSOR: u8 = 0x18;
const ACTIVATE: u8 = 0x20;
const UPDATE_CONTROL_1: u8 = 0x21;
const UPDATE_CONTROL_2: u8 = 0x22;
const WRITE_NEW: u8 = 0x24;
const WRITE_OLD: u8 = 0x26;
const VCOM: u8 = 0x2c;
const WRITE_WAVEFORM: u8 = 0x32;
const BORDER: u8 = 0x3c;
const WAVEFORM_END: u8 = 0x3f;
const X_RANGE: u8 = 0x44;
const Y_RANGE: u8 = 0x45;
const X_ADDRESS: u8 = 0x4e;
const Y_ADDRESS: u8 = 0x4f;

/// The parts of a refresh, bits of the parameter of [`UPDATE_CONTROL_2`].
mod step {
    pub const CLOCK_AND_ANALOG_ON: u8 = 0xc0;
    /// Temperature, then the built-in waveform for it.
    pub const LOAD_WAVEFORM: u8 = 0x30;
    /// Mode 2: pixels that stay as they are are left alone.
    pub const MODE_2: u8 = 0x08;
    pub const SHOW: u8 = 0x04;
    pub const CLOCK_AND_ANALOG_OFF: u8 = 0x03;
}

/// How the picture is brought to the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// All pixels, through black and white: some 2 s of flicker, and nothing is left of the old picture.
    Full,
    /// Pixels that change: some 0.3 s, with a shadow of the old picture.
    Partial,
}

/// The controller, and what is wired to it.
pub struct Ssd1680 {
    wiring: Wiring,
    busy: Box<dyn Input>,
    panel: EpaperPanel,
}

impl Ssd1680 {
    /// A controller that is not set up yet.
    pub fn new(wiring: Wiring, busy: Box<dyn Input>, panel: EpaperPanel) -> Self {
        Self {
            wiring,
            busy,
            panel,
        }
    }

    /// Resets it and sets it up.
    ///
    /// # Errors
    /// Those of the bus; it says that it is busy for a second after a reset.
    pub fn set_up(&mut self) -> io::Result<()> {
        self.wiring.reset(20)?;
        self.settle(Duration::from_secs(1))?;
        self.send(SOFT_RESET, &[])?;
        self.wiring.delay.delay_ms(10);
        self.settle(Duration::from_secs(1))?;
        let [low, high] = self.last_row().to_le_bytes();
        self.send(DRIVER_OUTPUT, &[low, high, 0])?;
        // Both addresses count up.
        self.send(DATA_ENTRY, &[0x03])?;
        // Sources S8 to S167, as both glasses are wired.
        self.send(UPDATE_CONTROL_1, &[0x00, 0x80])?;
        // The built-in one.
        self.send(TEMPERATURE_SENSOR, &[0x80])
    }

    fn last_row(&self) -> u16 {
        (self.panel.size_px().1 - 1) as u16
    }

    /// Whether it is at work.
    ///
    /// # Errors
    /// Those of the GPIO chip.
    pub fn is_busy(&mut self) -> io::Result<bool> {
        self.busy.is_high()
    }

    /// Waits until it is not busy.
    ///
    /// # Errors
    /// It is busy for longer than `limit`.
    pub fn settle(&mut self, limit: Duration) -> io::Result<()> {
        const STEP_MS: u32 = 10;
        for _ in 0..=limit.as_millis() / u128::from(STEP_MS) {
            if !self.busy.is_high()? {
                return Ok(());
            }
            self.wiring.delay.delay_ms(STEP_MS);
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it says that it is busy for {} s", limit.as_secs()),
        ))
    }

    /// Starts to bring `new` to the paper, which shows `old`. Rows of whole bytes, the left pixel highest, white is 1.
    ///
    /// Both memories are written each time, so it does not matter whether the controller swaps them after a refresh (0x37, "ping-pong").
    ///
    /// # Errors
    /// Those of the bus; the controller does not say that it is busy then.
    pub fn start(&mut self, old: &[u8], new: &[u8], refresh: Refresh) -> io::Result<()> {
        let mut steps = step::CLOCK_AND_ANALOG_ON
            | step::LOAD_WAVEFORM
            | step::SHOW
            | step::CLOCK_AND_ANALOG_OFF;
        match refresh {
            // The border follows the waveform of white.
            Refresh::Full => self.send(BORDER, &[0x05])?,
            Refresh::Partial => {
                steps |= step::MODE_2;
                // The border is left alone.
                self.send(BORDER, &[0x80])?;
                if self.panel == EpaperPanel::Waveshare2in13V3 {
                    // Its built-in waveform for mode 2 flickers.
                    self.load_partial_waveform()?;
                    steps &= !step::LOAD_WAVEFORM;
                }
            }
        }
        let old = if refresh == Refresh::Full { new } else { old };
        self.write_memory(WRITE_OLD, old)?;
        self.write_memory(WRITE_NEW, new)?;
        self.send(UPDATE_CONTROL_2, &[steps])?;
        self.send(ACTIVATE, &[])?;
        // A refresh takes 100 ms and more: one that is not seen is none.
        for _ in 0..50 {
            if self.busy.is_high()? {
                return Ok(());
            }
            self.wiring.delay.delay_ms(1);
        }
        Err(io::Error::other(
            "it does not say that it is busy after a refresh was started: nothing is connected, or busy_gpio is another line",
        ))
    }

    /// Nothing is heard until the next reset, and nothing but the picture kept.
    ///
    /// # Errors
    /// Those of the bus.
    pub fn sleep(&mut self) -> io::Result<()> {
        self.send(DEEP_SLEEP, &[0x01])
    }

    fn send(&mut self, command: u8, parameters: &[u8]) -> io::Result<()> {
        self.wiring.wire.command(&[command])?;
        if parameters.is_empty() {
            return Ok(());
        }
        self.wiring.wire.data(parameters)
    }

    fn write_memory(&mut self, command: u8, rows: &[u8]) -> io::Result<()> {
        let last_byte = (self.panel.size_px().0.div_ceil(8) - 1) as u8;
        let [low, high] = self.last_row().to_le_bytes();
        self.send(X_RANGE, &[0, last_byte])?;
        self.send(Y_RANGE, &[0, 0, low, high])?;
        self.send(X_ADDRESS, &[0])?;
        self.send(Y_ADDRESS, &[0, 0])?;
        self.send(command, rows)
    }

    /// A waveform by the host, with the voltages that Waveshare sets for it.
    fn load_partial_waveform(&mut self) -> io::Result<()> {
        self.send(WRITE_WAVEFORM, &PARTIAL)?;
        self.send(WAVEFORM_END, &[0x22])?;
        // 20 V; 15 V, none, -15 V.
        self.send(GATE_VOLTAGE, &[0x17])?;
        self.send(SOURCE_VOLTAGE, &[0x41, 0x00, 0x32])?;
        self.send(VCOM, &[0x36])
    }
}

const GROUPS: usize = 12;
const WAVEFORM_BYTES: usize = 153;

/// Voltages of a source, as phase A of a group.
const BLACK: u8 = 0b01 << 6;
const WHITE: u8 = 0b10 << 6;

/// Data sheet, 6.7 ("waveform look up table"): for each change of a pixel 12 groups of 4 phases, 2 bits a phase; then each group's
/// lengths in frames (A, B, -, C, D, -, repeats); then the frame rates and what is shown between.
///
/// A pixel that changes is driven for 20 frames, and each pixel for one frame more, so that none fades.
const PARTIAL: [u8; WAVEFORM_BYTES] = {
    const CHANGE_FRAMES: u8 = 20;
    const HOLD_FRAMES: u8 = 1;
    let mut waveform = [0; WAVEFORM_BYTES];
    // Stays black, to white, to black, stays white; the fifth is the common electrode, at rest.
    let [stays_black, to_white, to_black, stays_white] = [0, GROUPS, 2 * GROUPS, 3 * GROUPS];
    waveform[to_white] = WHITE;
    waveform[to_black] = BLACK;
    waveform[stays_black + 1] = BLACK;
    waveform[to_white + 1] = WHITE;
    waveform[to_black + 1] = BLACK;
    waveform[stays_white + 1] = WHITE;
    let lengths = 5 * GROUPS;
    waveform[lengths] = CHANGE_FRAMES;
    waveform[lengths + 7] = HOLD_FRAMES;
    // At the end all sources are at rest for a frame.
    waveform[lengths + 14] = 1;
    // 50 frames a second, for each pair of groups.
    let rates = lengths + 7 * GROUPS;
    let mut pair = 0;
    while pair < GROUPS / 2 {
        waveform[rates + pair] = 0x22;
        pair += 1;
    }
    waveform
};
