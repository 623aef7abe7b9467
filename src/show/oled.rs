//! A small monochrome panel with an SSD1306 or SH1106, on I2C or SPI.
//!
//! Its memory has pages of 8 rows; a byte is a column of a page, with the upper pixel in the lowest bit. Both controllers support
//! page addressing, so one way of writing serves both. Only cells of 8 x 8 pixels that changed are sent. A panel that lost its power
//! for a moment acknowledges what is sent and stays dark, so every 20 s it is set up again and gets everything; in
//! between, an unchanged drawing pushes nothing.

mod config;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod glass;

use super::bus::i2c::insist;
use super::bus::{self, Wire, Wiring, gpio};
use super::draw::Painter;
use super::font::Letters;
use super::pixel::Packing;
use super::shadow::{Grid, Patch, Shadow};
use super::{Display, DisplayError, Scene, State};
use crate::toml_file::Word;
pub(super) use config::KIND;
pub use config::{OledConfig, OledController, OledLink};
use std::io;
use std::time::{Duration, Instant};

/// How often the panel is set up again and gets the whole picture: 1 KiB, a tenth of a second on I2C, on the display's own thread.
const RENEW_PERIOD: Duration = Duration::from_secs(20);

const DISPLAY_OFF: u8 = 0xae;
const DISPLAY_ON: u8 = 0xaf;

/// See the module's documentation.
pub struct OledDisplay {
    config: OledConfig,
    painter: Painter,
    shadow: Shadow,
    wiring: Wiring,
    /// One page, ready to send.
    page: Box<[u8]>,
    left_px: usize,
    name: String,
    /// Whether the panel shows what `shadow` holds.
    is_known: bool,
    /// When it was last set up.
    renewed_at: Instant,
    /// Whether the picture must stay when the program ends: it says why.
    stays: bool,
}

impl OledDisplay {
    /// Opens the bus and sets up the controller. `own` holds the letters of the board's own font file.
    ///
    /// # Errors
    /// There is no such bus or line, it cannot be used, nothing answers, or the panel is too small to draw on.
    pub fn open(config: &OledConfig, own: Option<&'static Letters>) -> Result<Self, DisplayError> {
        let chip = || gpio::Chip::open(config.gpio_chip.as_deref());
        let (wire, mut chip): (Box<dyn Wire>, _) = match &config.link {
            OledLink::I2c { device, address } => {
                let wire = bus::i2c::I2cWire::open(device, *address)?;
                // Most I2C modules need no line at all, and the board may have no GPIO chip.
                let chip = config.reset_gpio.map(|_| chip()).transpose()?;
                (Box::new(wire), chip)
            }
            OledLink::Spi(link) => {
                let port = bus::spi::Port::open(link)?;
                let mut chip = chip()?;
                let dc = chip.output("dc_gpio", link.dc_gpio, false)?;
                (Box::new(port.with_dc(dc)), Some(chip))
            }
        };
        let reset = match &mut chip {
            Some(chip) => chip.optional_output("reset_gpio", config.reset_gpio, true)?,
            None => None,
        };
        let wiring = Wiring {
            wire,
            reset,
            backlight: None,
            delay: Box::new(linux_embedded_hal::Delay),
        };
        Self::wired(config, wiring, own)
    }

    /// The same on an open bus.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn wired(
        config: &OledConfig,
        mut wiring: Wiring,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let orientation = config.orientation;
        let size_px = (config.width_px, config.height_px);
        let painter = Painter::of(config, own)?;
        let name = match config.link {
            OledLink::I2c { address, .. } => format!(" at address {address:#04x}"),
            OledLink::Spi(_) => String::new(),
        };
        let (controller, node) = (config.controller.word(), config.link.bus().node().display());
        let name = format!("{controller} on {node}{name}");
        // The same delay as u8g2: some modules need it.
        let started = wiring.reset(100).and_then(|()| {
            let wire = &mut *wiring.wire;
            insist(|| wire.command(&[DISPLAY_OFF]))?;
            if config.controller == OledController::Sh1106 {
                // Voltage converter on, as after power-on. Only while the panel is off, so not again when it is renewed.
                insist(|| wire.command(&[0xad, 0x8b]))?;
            }
            set_up(config, wire)
        });
        started.map_err(|error| match &config.link {
            OledLink::I2c { .. } if bus::i2c::is_no_answer(&error) => DisplayError::Absent(format!(
                "nothing answers as the display {name}: {error}; check its wiring and power, and set address to what `i2cdetect` finds (mostly 0x3c or 0x3d)"
            )),
            _ => DisplayError::Unusable(bus::cannot_set_up(&name, &error)),
        })?;
        let packing = Packing::Mono {
            left_is_high: false,
            set_is_white: true,
        };
        Ok(Self {
            config: config.clone(),
            painter,
            shadow: Shadow::new(size_px, packing, orientation, Grid { x_px: 8, y_px: 8 }),
            wiring,
            page: vec![0; config.width_px as usize].into_boxed_slice(),
            left_px: config.left_px as usize,
            name,
            is_known: false,
            renewed_at: Instant::now(),
            stays: false,
        })
    }

    fn push(&mut self) -> io::Result<()> {
        let (wire, page, left_px) = (&mut *self.wiring.wire, &mut *self.page, self.left_px);
        let is_renewed = self.renewed_at.elapsed() >= RENEW_PERIOD;
        let whole = !self.is_known || is_renewed;
        self.is_known = false;
        if is_renewed {
            set_up(&self.config, wire)?;
            self.renewed_at = Instant::now();
        }
        let canvas = self.painter.canvas();
        self.shadow
            .push(canvas, whole, |patch| put(wire, page, left_px, patch))?;
        if whole {
            // Off until then: after power-on the memory contains noise.
            insist(|| self.wiring.wire.command(&[DISPLAY_ON]))?;
        }
        self.is_known = true;
        Ok(())
    }
}

/// Sends the commands that set up the controller, except those that switch the panel off and on or that it takes only while it is
/// off. Commands as in the crates ssd1306 0.10 and sh1106 0.5; values as set by those and u8g2.
fn set_up(config: &OledConfig, wire: &mut dyn Wire) -> io::Result<()> {
    let mut send = |command: &[u8]| insist(|| wire.command(command));
    let rows = (config.height_px - 1) as u8;
    // How the rows are wired: sequentially on flat panels, alternating from both sides on others.
    let is_flat = config.height_px <= 32 && config.width_px > 64;
    let common_pins = if is_flat { 0x02 } else { 0x12 };
    // Clock, rows, no offset, first line.
    send(&[0xd5, 0x80])?;
    send(&[0xa8, rows])?;
    send(&[0xd3, 0x00])?;
    send(&[0x40])?;
    if config.controller == OledController::Ssd1306 {
        // Charge pump on, page addressing, no scrolling.
        send(&[0x8d, 0x14])?;
        send(&[0x20, 0x02])?;
        send(&[0x2e])?;
        if (config.width_px, config.height_px) == (72, 40) {
            // The 0.42" panel needs the internal current reference (u8g2, ssd1306 0.10).
            send(&[0xad, 0x30])?;
        }
    }
    // Columns and rows reversed: modules are mounted with their pins at the top.
    send(&[0xa1])?;
    send(&[0xc8])?;
    send(&[0xda, common_pins])?;
    send(&[0x81, config.contrast])?;
    // Precharge for the internal supply, level of unselected rows, not all pixels on, normal or inverted.
    send(&[0xd9, 0xf1])?;
    send(&[0xdb, 0x40])?;
    send(&[0xa4])?;
    send(&[if config.invert { 0xa7 } else { 0xa6 }])
}

/// Writes a changed rectangle, whose sides are multiples of a cell.
fn put(wire: &mut dyn Wire, page: &mut [u8], left_px: usize, patch: Patch<'_>) -> io::Result<()> {
    let page = &mut page[..patch.width_px];
    let column = left_px + patch.left_px;
    for (row, y) in patch.rows().zip(patch.top_px..) {
        if y % 8 == 0 {
            page.fill(0);
        }
        for (x, to) in page.iter_mut().enumerate() {
            *to |= (row[x / 8] >> (x % 8) & 1) << (y % 8);
        }
        if y % 8 == 7 {
            let [low, high] = [column & 0xf, column >> 4].map(|part| part as u8);
            // Both again if one was refused: the panel may have moved on by some of the columns.
            insist(|| {
                wire.command(&[0xb0 | (y / 8) as u8, low, 0x10 | high])?;
                wire.data(page)
            })?;
        }
    }
    Ok(())
}

impl Display for OledDisplay {
    fn describe(&self) -> String {
        let (width_px, height_px) = self.shadow.size_px();
        format!("OLED {}, {width_px} x {height_px} pixels, 1 bit", self.name)
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        self.painter.draw(scene);
        self.stays = matches!(scene.state, State::Failed(_));
        self.push()
            .map_err(|error| bus::cannot_write(&self.name, &error))
    }
}

impl Drop for OledDisplay {
    /// Leaves nothing that might be taken for live, except the reason why the program could not start.
    fn drop(&mut self) {
        if !self.stays {
            // Errors of switching off are ignored: the display is gone, or the program is ending.
            let _ = insist(|| self.wiring.wire.command(&[DISPLAY_OFF]));
        }
    }
}
