//! The window, through the X server.
//!
//! It polls the X server for events whenever a scene is shown, about ten times per second. Closing the window asks the program to
//! end, as Ctrl-C does. If the X server ends, its library ends the program.

use super::WindowConfig;
use crate::show::canvas::Canvas;
use crate::show::draw::Painter;
use crate::show::font::Letters;
use crate::show::png::imitated;
use crate::show::{Display, DisplayError, Scene};
use crate::toml_file::Word;
use minifb::{Scale, Window, WindowOptions};
use std::env;

/// See the module's documentation.
pub struct WindowDisplay {
    painter: Painter,
    window: Window,
    /// The window's pixels as `0RGB`, the X server's format.
    pixels: Box<[u32]>,
    scale: u32,
    is_closed: bool,
}

impl WindowDisplay {
    /// Opens the window.
    /// `own` holds the letters of the board's own font file.
    ///
    /// # Errors
    /// [`DisplayError::Unusable`]: there is no desktop, or its libraries are missing.
    pub fn open(
        config: &WindowConfig,
        own: Option<&'static Letters>,
    ) -> Result<Self, DisplayError> {
        let WindowConfig {
            width_px,
            height_px,
            scale,
            depth,
        } = *config;
        if env::var_os("DISPLAY").is_none_or(|display| display.is_empty()) {
            return Err(DisplayError::Unusable(
                "cannot open a window: DISPLAY is not set; start eyelet on a desktop (over ssh: ssh -X), or use [display.png]"
                    .to_owned(),
            ));
        }
        let painter = Painter::with_letters(width_px, height_px, depth, own)?;
        let options = WindowOptions {
            scale: match scale {
                8 => Scale::X8,
                4 => Scale::X4,
                2 => Scale::X2,
                _ => Scale::X1,
            },
            ..WindowOptions::default()
        };
        let (width, height) = (width_px as usize, height_px as usize);
        let window = Window::new("Eyelet", width, height, options).map_err(|error| {
            DisplayError::Unusable(format!(
                "cannot open a window of {width_px} x {height_px} pixels, {scale} times as large: {error}; check that DISPLAY names a running X server and that libX11 and libXcursor are installed"
            ))
        })?;
        Ok(Self {
            painter,
            window,
            pixels: vec![0; width * height].into_boxed_slice(),
            scale,
            is_closed: false,
        })
    }
}

impl Display for WindowDisplay {
    fn describe(&self) -> String {
        let canvas = self.painter.canvas();
        format!(
            "window, {} x {} pixels, {}, {} times as large",
            canvas.width_px(),
            canvas.height_px(),
            canvas.depth().word(),
            self.scale
        )
    }

    fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        self.painter.divide(regions)
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        if self.is_closed {
            return Ok(());
        }
        if !self.window.is_open() {
            self.is_closed = true;
            log::info!("the window was closed");
            return signal_hook::low_level::raise(signal_hook::consts::SIGTERM)
                .map_err(|error| DisplayError::Failed(format!("cannot end the program: {error}")));
        }
        let canvas = self.painter.draw(scene);
        fill(&mut self.pixels, canvas);
        let (width, height) = (canvas.width_px() as usize, canvas.height_px() as usize);
        // An unchanged picture too: an X server may forget what is under other windows.
        self.window
            .update_with_buffer(&self.pixels, width, height)
            .map_err(|error| DisplayError::Failed(format!("cannot draw in the window: {error}")))
    }
}

/// The canvas as `0RGB`, in the colours of its depth.
fn fill(pixels: &mut [u32], canvas: &Canvas) {
    let rows = pixels.chunks_exact_mut(canvas.width_px() as usize);
    for (row, y) in rows.zip(0..) {
        for (to, from) in row.iter_mut().zip(canvas.row(y).chunks_exact(3)) {
            let [r, g, b] = imitated([from[0], from[1], from[2]], canvas.depth());
            *to = u32::from_be_bytes([0, r, g, b]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::Depth;

    #[test]
    fn pixels_are_in_the_order_and_colours_of_the_depth() {
        for (depth, pixel) in [(Depth::Rgb888, 0x0012_9afe), (Depth::Rgb565, 0x0010_9aff)] {
            let mut canvas = Canvas::new(3, 2, depth);
            canvas.set(2, 1, [0x12, 0x9a, 0xfe]);
            let mut pixels = [7; 6];
            fill(&mut pixels, &canvas);
            assert_eq!(pixels, [0, 0, 0, 0, 0, pixel]);
        }
    }
}
