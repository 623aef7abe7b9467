//! The SSD1680, an e-paper controller: two memories (the new picture and the current one), and waveforms that change one into the
//! other. Commands are named as in Zephyr's `ssd16xx_regs.h`. Values are those of Waveshare's examples (`epd2in13_V3.py`,
//! `epd2in13_V4.py`, `EPD_2in9_V2.c` in waveshareteam/e-Paper); differences between modules are noted.
//!
//! A refresh is started here and runs by itself; the busy pin shows when it is over. Nothing here waits for it except
//! [`Ssd1680::settle`].

use crate::show::EpaperPanel;
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

/// The steps of a refresh: bits of the parameter of [`UPDATE_CONTROL_2`] (`SSD16XX_CTRL2_` and `SSD16XX_GEN2_CTRL2_` in Zephyr).
mod step {
    pub const CLOCK_AND_ANALOG_ON: u8 = 0xc0;
    /// Read the temperature, then load the built-in waveform for it.
    pub const LOAD_WAVEFORM: u8 = 0x30;
    /// Mode 2: how a pixel is driven depends on what is on the paper.
    pub const MODE_2: u8 = 0x08;
    pub const SHOW: u8 = 0x04;
    pub const CLOCK_AND_ANALOG_OFF: u8 = 0x03;
}

/// The kinds of refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// All pixels, through black and white: 2 to 4 s of flicker, and no trace of the old picture.
    Full,
    /// Only pixels that change: 0.3 to 0.8 s, with ghosting of the old picture.
    Partial,
}

/// The controller and its wiring.
pub struct Ssd1680 {
    wiring: Wiring,
    busy: Box<dyn Input>,
    panel: EpaperPanel,
}

impl Ssd1680 {
    /// A controller that has not been set up.
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
    /// Those of the bus; it stays busy for more than a second after a reset.
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
        // As in Waveshare's examples for all three modules.
        self.send(UPDATE_CONTROL_1, &[0x00, 0x80])?;
        // The built-in sensor.
        self.send(TEMPERATURE_SENSOR, &[0x80])
    }

    fn last_row(&self) -> u16 {
        (self.panel.size_px().1 - 1) as u16
    }

    /// Whether it is busy.
    ///
    /// # Errors
    /// Those of the GPIO chip.
    pub fn is_busy(&mut self) -> io::Result<bool> {
        self.busy.is_high()
    }

    /// Waits until it is not busy.
    ///
    /// # Errors
    /// It stays busy for longer than `limit`.
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
            format!("it stays busy for {} s", limit.as_secs()),
        ))
    }

    /// Starts changing the paper from `old` to `new`. Rows of whole bytes, the leftmost pixel in the highest bit, white is 1.
    ///
    /// Both memories are written each time, so it does not matter what the controller does with them during a refresh.
    /// Waveshare's example for the V4 module leaves the old one alone, and old pictures shine through (waveshareteam/e-Paper,
    /// pull request 416).
    ///
    /// # Errors
    /// Those of the bus; the controller does not become busy.
    pub fn start(&mut self, old: &[u8], new: &[u8], refresh: Refresh) -> io::Result<()> {
        let mut steps = step::CLOCK_AND_ANALOG_ON | step::SHOW | step::CLOCK_AND_ANALOG_OFF;
        match refresh {
            // The border follows a waveform.
            Refresh::Full => self.send(BORDER, &[0x05])?,
            Refresh::Partial => {
                steps |= step::MODE_2;
                // The border is left alone.
                self.send(BORDER, &[0x80])?;
            }
        }
        match self.waveform(refresh) {
            Some(waveform) => self.load_waveform(waveform)?,
            None => steps |= step::LOAD_WAVEFORM,
        }
        let old = if refresh == Refresh::Full { new } else { old };
        self.write_memory(WRITE_OLD, old)?;
        self.write_memory(WRITE_NEW, new)?;
        self.send(UPDATE_CONTROL_2, &[steps])?;
        self.send(ACTIVATE, &[])?;
        // A refresh takes at least 100 ms: if busy is never seen, there was none.
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

    /// Enters deep sleep: it ignores everything until the next reset, and only the picture is kept.
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

    /// The waveform that must be sent for a refresh; `None` means the controller's built-in one.
    ///
    /// Waveshare sends both to its 2.13" V3, and none to its V4. Its 2.9" V2 has no built-in one for partial refreshes (GxEPD2,
    /// `GxEPD2_290_T94_V2`, which uses the built-in one for full refreshes).
    fn waveform(&self, refresh: Refresh) -> Option<&'static [u8; WAVEFORM_BYTES]> {
        match (self.panel, refresh) {
            (EpaperPanel::Waveshare2in13V3, Refresh::Full) => Some(&FULL_2IN13),
            (EpaperPanel::Waveshare2in13V3, Refresh::Partial) => Some(&PARTIAL_2IN13),
            (EpaperPanel::Waveshare2in9V2, Refresh::Partial) => Some(&PARTIAL_2IN9),
            (EpaperPanel::Waveshare2in9V2, Refresh::Full) | (EpaperPanel::Waveshare2in13V4, _) => {
                None
            }
        }
    }

    /// Sends a waveform with its voltages from Waveshare's examples.
    fn load_waveform(&mut self, waveform: &[u8]) -> io::Result<()> {
        let second_high = match self.panel {
            EpaperPanel::Waveshare2in9V2 => 0xb0,
            _ => 0x00,
        };
        self.send(WRITE_WAVEFORM, waveform)?;
        self.send(WAVEFORM_END, &[0x22])?;
        self.send(GATE_VOLTAGE, &[0x17])?;
        // High, second high, low.
        self.send(SOURCE_VOLTAGE, &[0x41, second_high, 0x32])?;
        self.send(VCOM, &[0x36])
    }
}

const GROUPS: usize = 12;
const WAVEFORM_BYTES: usize = 153;

/// A group's phases, 2 bits each: 01 drives to black, 10 to white.
type Phases = [u8; 3];
/// A group's lengths in frames: phases A and B, -, phases C and D, -, repeats.
type Lengths = [u8; 7];

/// A waveform in the layout of Waveshare's examples: for each pixel transition (stays black, to white, to black, stays white) and
/// for the common electrode, which rests, 12 groups of phases; then each group's lengths; then the frame rates. Only the first
/// groups are used.
const fn waveform(changes: [Phases; 4], lengths: [Lengths; 4]) -> [u8; WAVEFORM_BYTES] {
    const LENGTHS: usize = 5 * GROUPS;
    const RATES: usize = LENGTHS + 7 * GROUPS;
    let mut waveform = [0; WAVEFORM_BYTES];
    let mut at = 0;
    while at < 12 {
        waveform[at / 3 * GROUPS + at % 3] = changes[at / 3][at % 3];
        at += 1;
    }
    at = 0;
    while at < 28 {
        waveform[LENGTHS + at] = lengths[at / 7][at % 7];
        at += 1;
    }
    at = 0;
    // One for each pair of groups.
    while at < GROUPS / 2 {
        waveform[RATES + at] = 0x22;
        at += 1;
    }
    waveform
}

const fn frames(first: u8) -> Lengths {
    [first, 0, 0, 0, 0, 0, 0]
}

/// A changing pixel is driven first, then every pixel for one frame, so that none fades; at the end all rest.
const PARTIAL: [Phases; 4] = [[0, 0x40, 0], [0x80, 0x80, 0], [0x40, 0x40, 0], [0, 0x80, 0]];

/// `lut_partial_update` of `epd2in13_V3.py`.
const PARTIAL_2IN13: [u8; WAVEFORM_BYTES] =
    waveform(PARTIAL, [frames(20), frames(1), frames(1), frames(0)]);

/// `_WF_PARTIAL_2IN9` of `EPD_2in9_V2.c`.
const PARTIAL_2IN9: [u8; WAVEFORM_BYTES] = waveform(
    PARTIAL,
    [[10, 0, 0, 0, 0, 0, 2], frames(1), frames(1), frames(0)],
);

/// `lut_full_update` of `epd2in13_V3.py`.
const FULL_2IN13: [u8; WAVEFORM_BYTES] = waveform(
    [
        [0x80, 0x4a, 0x40],
        [0x40, 0x4a, 0x80],
        [0x80, 0x4a, 0x40],
        [0x40, 0x4a, 0x80],
    ],
    [frames(15), [15, 0, 0, 15, 0, 0, 2], frames(15), frames(1)],
);
