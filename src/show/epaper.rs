//! E-paper on SPI: the picture changes with the class, the state or a notice, not with each frame. That is how the painter draws
//! on paper ([`super::Refresh::Standing`]), and an unchanged drawing refreshes nothing.
//!
//! A refresh takes up to several seconds, and a scene counts as shown once its refresh is over. So showing a scene blocks, and
//! runs on its own thread ([`super::threaded`]), which then takes the newest scene and skips those in between. Paper keeps its
//! picture without power, so it is made white at the end of the program, unless it says why the program could not start. If the
//! power fails, the last class stays on it: nothing can change that.

mod config;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod glass;
pub mod ssd1680;

use super::bus::{self, Input, Output, Wiring, gpio};
use super::draw::Painter;
use super::font::Letters;
use super::pixel::Packing;
use super::shadow::{Grid, Shadow};
use super::{Display, DisplayError, Scene, State};
use crate::toml_file::Word;
pub(super) use config::KIND;
pub use config::{EpaperConfig, EpaperPanel};
use ssd1680::{Refresh, Ssd1680};
use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

/// A full refresh takes 2 s (Waveshare's wiki, 2.13") to 4 s (GxEPD2, 2.9" V2); the rest is margin for cold.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// How long the module's supply may take to rise before the controller hears a reset.
const POWER_UP_MS: u32 = 20;
/// Waveshare recommends a refresh once a day, as quoted by a user (wiki of Madelena/esphome-weatherman-dashboard).
const FULL_AFTER: Duration = Duration::from_secs(24 * 3600);

/// See the module's documentation.
pub struct EpaperDisplay {
    painter: Painter,
    shadow: Shadow,
    controller: Ssd1680,
    power: Option<Box<dyn Output>>,
    /// What the paper shows, and what comes next.
    shown: Box<[u8]>,
    next: Box<[u8]>,
    row_bytes: usize,
    name: String,
    partial_count: u32,
    full_every: u32,
    full_at: Option<Instant>,
    end: End,
}

/// What happens to the picture when the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing was shown.
    Nothing,
    /// Made white.
    White,
    /// It stays: it says why the program could not start.
    Stays,
    /// The display has failed; do not wait for it.
    Failed,
}

impl EpaperDisplay {
    /// Opens the bus and the lines and sets up the controller. `own` holds the letters of the board's own font file.
    ///
    /// # Errors
    /// There is no such bus or line, it cannot be used, or the controller stays busy.
    pub fn open(
        config: &EpaperConfig,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let port = bus::spi::Port::open(&config.link)?;
        let mut chip = gpio::Chip::open(config.gpio_chip.as_deref())?;
        let power = chip.optional_output("power_gpio", config.power_gpio, true)?;
        let dc = chip.output("dc_gpio", config.link.dc_gpio, false)?;
        let wiring = Wiring {
            wire: Box::new(port.with_dc(dc)),
            reset: chip.optional_output("reset_gpio", Some(config.reset_gpio), true)?,
            backlight: None,
            delay: Box::new(linux_embedded_hal::Delay),
        };
        let busy = Box::new(chip.input("busy_gpio", config.busy_gpio)?);
        Self::wired(config, wiring, busy, power, own)
    }

    /// The same on an open bus; `power` has just become high, and reset is.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn wired(
        config: &EpaperConfig,
        mut wiring: Wiring,
        busy: Box<dyn Input>,
        power: Option<Box<dyn Output>>,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let orientation = config.orientation;
        let size_px = config.panel.size_px();
        let painter = Painter::of(config, own)?;
        let name = format!(
            "{} on {}",
            config.panel.word(),
            config.link.device.display()
        );
        if power.is_some() {
            wiring.delay.delay_ms(POWER_UP_MS);
        }
        let mut controller = Ssd1680::new(wiring, busy, config.panel);
        controller.set_up().map_err(|error| {
            let why = bus::cannot_set_up(&name, &error) + ", and busy_gpio";
            match error.kind() {
                // A pin that nothing drives may read as busy.
                io::ErrorKind::TimedOut => DisplayError::Absent(why),
                _ => DisplayError::Unusable(why),
            }
        })?;
        let packing = Packing::Mono {
            left_is_high: true,
            set_is_white: !config.invert,
        };
        let row_bytes = packing.row_bytes(size_px.0 as usize);
        let white = vec![0xff; row_bytes * size_px.1 as usize].into_boxed_slice();
        Ok(Self {
            painter,
            shadow: Shadow::new(size_px, packing, orientation, Grid { x_px: 8, y_px: 1 }),
            controller,
            power,
            next: white.clone(),
            shown: white,
            row_bytes,
            name,
            partial_count: 0,
            full_every: config.full_every,
            full_at: None,
            end: End::Nothing,
        })
    }

    /// Draws the scene, and refreshes the paper if anything changed.
    fn refresh(&mut self, scene: &Scene<'_>) -> io::Result<()> {
        self.painter.draw(scene);
        let (next, row_bytes) = (&mut self.next, self.row_bytes);
        let mut changed = false;
        let Ok(()) = self.shadow.push(
            self.painter.canvas(),
            self.full_at.is_none(),
            |patch| -> Result<(), Infallible> {
                changed = true;
                for (row, y) in patch.rows().zip(patch.top_px..) {
                    let at = y * row_bytes + patch.left_px / 8;
                    next[at..at + row.len()].copy_from_slice(row);
                }
                Ok(())
            },
        );
        let is_due = self.full_at.is_none_or(|at| at.elapsed() >= FULL_AFTER);
        if !changed && !is_due {
            return Ok(());
        }
        let refresh = if is_due || self.partial_count >= self.full_every {
            Refresh::Full
        } else {
            Refresh::Partial
        };
        self.controller.start(&self.shown, &self.next, refresh)?;
        self.controller.settle(BUSY_LIMIT)?;
        self.shown.copy_from_slice(&self.next);
        match refresh {
            Refresh::Full => {
                self.full_at = Some(Instant::now());
                self.partial_count = 0;
            }
            Refresh::Partial => self.partial_count += 1,
        }
        Ok(())
    }

    /// Makes the paper white if necessary, and switches the controller off.
    fn finish(&mut self) -> io::Result<()> {
        if self.end == End::White {
            self.next.fill(0xff);
            self.controller
                .start(&self.shown, &self.next, Refresh::Full)?;
            self.controller.settle(BUSY_LIMIT)?;
        }
        self.controller.sleep()
    }
}

impl Display for EpaperDisplay {
    fn describe(&self) -> String {
        let (width_px, height_px) = self.shadow.size_px();
        format!(
            "e-paper {}, {width_px} x {height_px} pixels, 1 bit",
            self.name
        )
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        let shown = self.refresh(scene);
        self.end = match (&shown, scene.state) {
            (Err(_), _) => End::Failed,
            (Ok(()), State::Failed(_)) => End::Stays,
            (Ok(()), _) => End::White,
        };
        shown.map_err(|error| bus::cannot_write(&self.name, &error))
    }
}

impl Drop for EpaperDisplay {
    fn drop(&mut self) {
        // Errors are ignored: the display is gone, or the program is ending.
        if self.end != End::Failed {
            let _ = self.finish();
        }
        if let Some(power) = &mut self.power {
            let _ = power.set(false);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
