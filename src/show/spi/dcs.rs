//! Controllers with the MIPI display command set, all set up by `mipidsi`.
//!
//! The controller's memory is used in its own orientation; the shadow handles rotation and mirroring. Modules differ in the
//! orientation of the glass relative to the memory: some appear mirrored or upside down unless the addresses run the other way
//! (MADCTL's MX, MY).

use super::{Controller, SpiConfig};
use crate::show::bus::{Output, Wire, Wiring};
use crate::show::pixel::{Field, Packing};
use crate::show::shadow::Patch;
use embedded_graphics::pixelcolor::raw::RawU16;
use embedded_graphics::pixelcolor::{Rgb565, Rgb666, RgbColor};
use embedded_hal::delay::DelayNs;
use mipidsi::interface::{Interface, InterfaceKind, InterfacePixelFormat};
use mipidsi::models::{self, Model};
use mipidsi::options::{ColorInversion, ColorOrder, Orientation, Rotation};
use mipidsi::{Builder, InitError, NoResetPin};
use std::io;

/// Pixels are collected into chunks of this many bytes: whole pixels of 2 and of 3 bytes, and within spidev's 4096.
const GATHERED_BYTES: usize = 4092;

/// A controller that has been set up.
pub trait Panel: Send {
    /// Writes a changed rectangle.
    fn put(&mut self, patch: Patch<'_>) -> io::Result<()>;

    /// Turns the panel off; takes 120 ms.
    fn sleep(&mut self, delay: &mut dyn DelayNs) -> io::Result<()>;

    /// Bits per pixel.
    fn bits(&self) -> u32;
}

/// The wiring besides the bus.
pub struct Rest {
    pub backlight: Option<Box<dyn Output>>,
    pub delay: Box<dyn DelayNs + Send>,
    /// Held, so that the line stays high.
    _reset: Option<Box<dyn Output>>,
}

/// Sets up the controller and turns the panel on. Also returns the shadow's pixel format.
pub fn start(config: &SpiConfig, wiring: Wiring) -> io::Result<(Box<dyn Panel>, Packing, Rest)> {
    let Wiring {
        wire,
        reset,
        backlight,
        mut delay,
    } = wiring;
    let interface = Dcs {
        wire,
        gathered: vec![0; GATHERED_BYTES].into_boxed_slice(),
    };
    let delay_now = &mut *delay;
    let (panel, packing) = match config.controller {
        Controller::St7789 => set_up(models::ST7789, interface, config, delay_now),
        Controller::St7735 => set_up(models::ST7735s, interface, config, delay_now),
        Controller::Ili9341 => set_up(models::ILI9341Rgb565, interface, config, delay_now),
        // On SPI it takes 18 bits (TFT_eSPI, `ILI9488_Init.h`; 16 are for its parallel bus).
        Controller::Ili9488 => set_up(models::ILI9488Rgb666, interface, config, delay_now),
        Controller::Gc9a01 => set_up(models::GC9A01, interface, config, delay_now),
    }?;
    let rest = Rest {
        backlight,
        delay,
        _reset: reset,
    };
    Ok((panel, packing, rest))
}

/// The address directions on a controller's usual modules that put the first pixel at the upper left of the glass in portrait
/// orientation: as TFT_eSPI sets MADCTL for its rotation 0 (0x48 for the Ilitek ones, 0xc0 for the ST7735, no flip for the
/// others). Linux's `fb_ili9341`, `st7735r` and `fb_st7789v` do the same. Adafruit's library has the ST7789 the other way up.
fn flips(controller: Controller) -> Orientation {
    match controller {
        Controller::St7789 | Controller::Gc9a01 => Orientation::new(),
        Controller::Ili9341 | Controller::Ili9488 => Orientation::new().flip_horizontal(),
        Controller::St7735 => Orientation::new().rotate(Rotation::Deg180),
    }
}

fn set_up<M>(
    model: M,
    interface: Dcs,
    config: &SpiConfig,
    mut delay: &mut (dyn DelayNs + Send),
) -> io::Result<(Box<dyn Panel>, Packing)>
where
    M: Model + Send + 'static,
    M::ColorFormat: Colour,
{
    let orientation = flips(config.controller);
    let (columns, rows) = M::FRAMEBUFFER_SIZE;
    // The board file has been checked against the controller's memory.
    let px = |px: u32| u16::try_from(px).unwrap_or(u16::MAX);
    let (width_px, height_px) = (px(config.width_px), px(config.height_px));
    let (mut left_px, mut top_px) = (px(config.left_px), px(config.top_px));
    // mipidsi counts the offset from the memory's first pixel; the board file gives the address that is sent.
    let flips_rows = config.controller == Controller::St7735;
    if orientation != Orientation::new() {
        left_px = columns.saturating_sub(width_px.saturating_add(left_px));
    }
    if flips_rows {
        top_px = rows.saturating_sub(height_px.saturating_add(top_px));
    }
    let display = Builder::new(model, interface)
        .display_size(width_px, height_px)
        .display_offset(left_px, top_px)
        .orientation(orientation)
        .invert_colors(if config.invert {
            ColorInversion::Inverted
        } else {
            ColorInversion::Normal
        })
        .color_order(if config.bgr {
            ColorOrder::Bgr
        } else {
            ColorOrder::Rgb
        })
        .init(&mut delay)
        .map_err(|error| match error {
            InitError::Interface(error) => error,
            InitError::InvalidConfiguration(error) => io::Error::other(format!(
                "size and offset do not lie in its memory ({error:?})"
            )),
            InitError::ResetPin(never) => match never {},
        })?;
    Ok((Box::new(display), M::ColorFormat::PACKING))
}

/// A pixel's colour, in the shadow's format and in mipidsi's.
trait Colour: RgbColor + InterfacePixelFormat<u8> + Send {
    /// Bytes and bits in the shadow.
    const PACKING: Packing;
    const BYTES: usize;
    const BITS: u32;

    /// A pixel from its bytes in the shadow.
    fn from_shadow(bytes: &[u8]) -> Self;
}

const fn field(offset: u32, length: u32) -> Field {
    Field { offset, length }
}

impl Colour for Rgb565 {
    const PACKING: Packing = Packing::Fields {
        bytes: 2,
        red: field(11, 5),
        green: field(5, 6),
        blue: field(0, 5),
        opacity: field(0, 0),
    };
    const BYTES: usize = 2;
    const BITS: u32 = 16;

    fn from_shadow(bytes: &[u8]) -> Self {
        RawU16::new(u16::from_le_bytes([bytes[0], bytes[1]])).into()
    }
}

impl Colour for Rgb666 {
    const PACKING: Packing = Packing::Fields {
        bytes: 3,
        red: field(12, 6),
        green: field(6, 6),
        blue: field(0, 6),
        opacity: field(0, 0),
    };
    const BYTES: usize = 3;
    const BITS: u32 = 18;

    fn from_shadow(bytes: &[u8]) -> Self {
        let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
        let [r, g, b] = [word >> 12, word >> 6, word].map(|bits| (bits & 0x3f) as u8);
        Self::new(r, g, b)
    }
}

impl<M> Panel for mipidsi::Display<Dcs, M, NoResetPin>
where
    M: Model + Send,
    M::ColorFormat: Colour,
{
    fn put(&mut self, patch: Patch<'_>) -> io::Result<()> {
        // Within the panel, whose sides fit 16 bits.
        let [left, top, right, bottom] = [
            patch.left_px,
            patch.top_px,
            patch.left_px + patch.width_px - 1,
            patch.top_px + patch.height_px - 1,
        ]
        .map(|px| px as u16);
        let pixels = patch
            .rows()
            .flat_map(|row| row.chunks_exact(M::ColorFormat::BYTES));
        self.set_pixels(
            left,
            top,
            right,
            bottom,
            pixels.map(M::ColorFormat::from_shadow),
        )
    }

    fn sleep(&mut self, mut delay: &mut dyn DelayNs) -> io::Result<()> {
        mipidsi::Display::sleep(self, &mut delay)
    }

    fn bits(&self) -> u32 {
        M::ColorFormat::BITS
    }
}

/// Commands and pixels on a wire.
struct Dcs {
    wire: Box<dyn Wire>,
    gathered: Box<[u8]>,
}

impl Interface for Dcs {
    type Word = u8;
    type Error = io::Error;

    const KIND: InterfaceKind = InterfaceKind::Serial4Line;

    fn send_command(&mut self, command: u8, parameters: &[u8]) -> io::Result<()> {
        self.wire.command(&[command])?;
        if parameters.is_empty() {
            return Ok(());
        }
        self.wire.data(parameters)
    }

    fn send_pixels<const N: usize>(
        &mut self,
        pixels: impl IntoIterator<Item = [u8; N]>,
    ) -> io::Result<()> {
        let mut count = 0;
        for pixel in pixels {
            if count + N > self.gathered.len() {
                self.wire.data(&self.gathered[..count])?;
                count = 0;
            }
            self.gathered[count..count + N].copy_from_slice(&pixel);
            count += N;
        }
        if count == 0 {
            return Ok(());
        }
        self.wire.data(&self.gathered[..count])
    }

    fn send_repeated_pixel<const N: usize>(
        &mut self,
        pixel: [u8; N],
        count: u32,
    ) -> io::Result<()> {
        self.send_pixels((0..count).map(|_| pixel))
    }
}
