//! A colour panel on SPI, driven from user space: the only kernel driver needed is spidev.
//!
//! Nothing else draws on such a panel, so only changes are pushed, and an unchanged drawing pushes nothing. SPI has no
//! acknowledgement: a panel that was unplugged and plugged in again stays blank until the program restarts.

mod config;
mod dcs;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod glass;

use super::bus::{self, Wiring, gpio};
use super::draw::Painter;
use super::font::Letters;
use super::shadow::{Grid, Shadow};
use super::{Display, DisplayError, Scene, State};
use crate::toml_file::Word;
pub(super) use config::KIND;
pub use config::{Controller, SpiConfig};
use dcs::Panel;
use std::io;

/// See the module's documentation.
pub struct SpiDisplay {
    painter: Painter,
    shadow: Shadow,
    panel: Box<dyn Panel>,
    wiring: dcs::Rest,
    name: String,
    /// Whether the panel shows what `shadow` holds.
    is_known: bool,
    /// Whether the picture must stay when the program ends: it says why.
    stays: bool,
}

impl SpiDisplay {
    /// Opens the bus and the lines, resets the controller and sets it up. `own` holds the letters of the board's own font file.
    ///
    /// # Errors
    /// There is no such bus or line, it cannot be used, or the panel is too small to draw on.
    pub fn open(config: &SpiConfig, own: Option<&'static Letters>) -> Result<Self, DisplayError> {
        let port = bus::spi::Port::open(&config.link)?;
        let mut chip = gpio::Chip::open(config.gpio_chip.as_deref())?;
        let dc = chip.output("dc_gpio", config.link.dc_gpio, false)?;
        let wiring = Wiring {
            wire: Box::new(port.with_dc(dc)),
            reset: chip.optional_output("reset_gpio", config.reset_gpio, true)?,
            backlight: chip.optional_output("backlight_gpio", config.backlight_gpio, false)?,
            delay: Box::new(linux_embedded_hal::Delay),
        };
        Self::wired(config, wiring, own)
    }

    /// The same on an open bus.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn wired(
        config: &SpiConfig,
        mut wiring: Wiring,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let orientation = config.orientation;
        let size_px = (config.width_px, config.height_px);
        let painter = Painter::of(config, own)?;
        let name = format!(
            "{} on {}",
            config.controller.word(),
            config.link.device.display()
        );
        // 120 ms: what an ILI9341 needs before it may be woken (mipidsi 0.10, `ili934x.rs`).
        let started = wiring.reset(120).and_then(|()| dcs::start(config, wiring));
        let (panel, packing, wiring) =
            started.map_err(|error| DisplayError::Unusable(bus::cannot_set_up(&name, &error)))?;
        Ok(Self {
            painter,
            shadow: Shadow::new(size_px, packing, orientation, Grid { x_px: 1, y_px: 1 }),
            panel,
            wiring,
            name,
            is_known: false,
            stays: false,
        })
    }

    fn push(&mut self) -> io::Result<()> {
        let (panel, whole) = (&mut self.panel, !self.is_known);
        self.is_known = false;
        let canvas = self.painter.canvas();
        self.shadow.push(canvas, whole, |patch| panel.put(patch))?;
        self.is_known = true;
        match &mut self.wiring.backlight {
            Some(backlight) if whole => backlight.set(true),
            _ => Ok(()),
        }
    }
}

impl Display for SpiDisplay {
    fn describe(&self) -> String {
        let (width_px, height_px) = self.shadow.size_px();
        let bits = self.panel.bits();
        format!(
            "SPI panel {}, {width_px} x {height_px} pixels, {bits} bits",
            self.name
        )
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

impl Drop for SpiDisplay {
    /// Leaves nothing that might be taken for live, except the reason why the program could not start.
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Some(backlight) = &mut self.wiring.backlight {
            // Errors of switching off are ignored: the display is gone, or the program is ending.
            let _ = backlight.set(false);
        }
        let _ = self.panel.sleep(&mut *self.wiring.delay);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
