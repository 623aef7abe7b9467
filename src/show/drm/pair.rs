//! Two buffers, one shown while the other is drawn on: a half-drawn picture is never visible.
//!
//! The canvas is kept as last pushed, with, for each row, the number of buffers that still lack it. So one copy serves both
//! buffers, and a changed row is written once to each of them.

use super::super::canvas::{Canvas, Orientation};
use super::super::pixel::Packing;
use super::super::shadow::{Grid, Shadow};
use std::io;

/// A screen that shows one of two buffers.
pub trait Screen {
    /// Writes `bytes` into buffer `buffer` (0 or 1), starting at its byte `at`.
    ///
    /// # Errors
    /// Those of the device; what the buffer holds is then unknown.
    fn put(&mut self, buffer: usize, bytes: &[u8], at: usize) -> io::Result<()>;

    /// Waits until the buffer that was shown before the last [`Self::flip`] may be drawn on.
    ///
    /// # Errors
    /// Those of the device; one of kind `TimedOut` if it does not become free.
    fn wait(&mut self) -> io::Result<()>;

    /// Shows `buffer` from the next refresh on.
    ///
    /// # Errors
    /// Those of the device.
    fn flip(&mut self, buffer: usize) -> io::Result<()>;
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Pair {
    shadow: Shadow,
    stride_bytes: usize,
    /// The buffer being shown.
    front: usize,
    /// For each row, the number of buffers in which it is stale.
    stale: Box<[u8]>,
    /// Whether the shadow is known to match the buffers.
    is_known: bool,
}

impl Pair {
    /// For two buffers of this size, of which buffer 0 is shown. Their contents are unknown.
    pub fn new(
        size_px: (u32, u32),
        stride_bytes: usize,
        packing: Packing,
        orientation: Orientation,
    ) -> Self {
        let grid = Grid {
            x_px: size_px.0 as usize,
            y_px: 1,
        };
        Self {
            shadow: Shadow::new(size_px, packing, orientation, grid),
            stride_bytes,
            front: 0,
            stale: vec![0; size_px.1 as usize].into_boxed_slice(),
            is_known: false,
        }
    }

    /// Shows `canvas`. If it equals the previous one, nothing is written or flipped.
    ///
    /// # Errors
    /// The first one from `screen`. The next push then writes everything.
    pub fn push(&mut self, canvas: &Canvas, screen: &mut impl Screen) -> io::Result<()> {
        let whole = !self.is_known;
        let mut is_changed = false;
        let stale = &mut self.stale;
        self.shadow.push(canvas, whole, |patch| {
            is_changed = true;
            stale[patch.top_px..][..patch.height_px].fill(2);
            Ok::<_, io::Error>(())
        })?;
        if !is_changed {
            return Ok(());
        }
        self.is_known = false;
        let back = 1 - self.front;
        screen.wait()?;
        self.write(back, screen)?;
        screen.flip(back)?;
        self.front = back;
        self.is_known = true;
        Ok(())
    }

    /// Writes the rows that are stale in `buffer`, merging neighbours.
    fn write(&mut self, buffer: usize, screen: &mut impl Screen) -> io::Result<()> {
        let mut top = 0;
        while let Some(skipped) = self.stale[top..].iter().position(|count| *count > 0) {
            let start = top + skipped;
            let length = self.stale[start..].iter().position(|count| *count == 0);
            let end = length.map_or(self.stale.len(), |length| start + length);
            let bytes = self.shadow.rows(start..end);
            let row_bytes = bytes.len() / (end - start);
            let at = start * self.stride_bytes;
            if row_bytes == self.stride_bytes {
                screen.put(buffer, bytes, at)?;
            } else {
                for (y, row) in bytes.chunks_exact(row_bytes).enumerate() {
                    screen.put(buffer, row, at + y * self.stride_bytes)?;
                }
            }
            for count in &mut self.stale[start..end] {
                *count -= 1;
            }
            top = end;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::super::canvas::Rotation;
    use super::super::buffer::{RGB565, XRGB8888};
    use super::*;
    use crate::show::Depth;

    /// Two buffers, and a record of their use.
    struct Fake {
        buffers: [Vec<u8>; 2],
        shown: usize,
        /// A flip that has not been waited for.
        is_flipping: bool,
        put_bytes: usize,
        flips: usize,
        is_gone: bool,
    }

    impl Fake {
        fn new(bytes: usize) -> Self {
            Self {
                buffers: [vec![0x55; bytes], vec![0xaa; bytes]],
                shown: 0,
                is_flipping: false,
                put_bytes: 0,
                flips: 0,
                is_gone: false,
            }
        }
    }

    impl Screen for Fake {
        fn put(&mut self, buffer: usize, bytes: &[u8], at: usize) -> io::Result<()> {
            assert!(
                buffer != self.shown && !self.is_flipping,
                "drawn on what is shown"
            );
            if self.is_gone {
                return Err(io::Error::from_raw_os_error(libc::EFAULT));
            }
            self.buffers[buffer][at..at + bytes.len()].copy_from_slice(bytes);
            self.put_bytes += bytes.len();
            Ok(())
        }

        fn wait(&mut self) -> io::Result<()> {
            self.is_flipping = false;
            Ok(())
        }

        fn flip(&mut self, buffer: usize) -> io::Result<()> {
            assert!(!self.is_flipping, "two flips at once");
            self.shown = buffer;
            self.is_flipping = true;
            self.flips += 1;
            Ok(())
        }
    }

    /// What the shown buffer must hold: the whole canvas, with `padding` after each row unchanged.
    fn assert_shows(fake: &Fake, canvas: &Canvas, packing: Packing, orientation: Orientation) {
        let (width_px, height_px) = orientation
            .rotation
            .turn((canvas.width_px(), canvas.height_px()));
        let row_bytes = packing.row_bytes(width_px as usize);
        let shown = &fake.buffers[fake.shown];
        let stride_bytes = shown.len() / height_px as usize;
        let mut rgb = vec![0; width_px as usize * 3];
        let mut row = vec![0; row_bytes];
        for (y, line) in shown.chunks_exact(stride_bytes).enumerate() {
            canvas.turned_row(orientation, y as u32, &mut rgb);
            packing.pack(&rgb, &mut row);
            assert_eq!(line[..row_bytes], row, "row {y}");
            let padding = [0x55, 0xaa][fake.shown];
            assert!(line[row_bytes..].iter().all(|byte| *byte == padding));
        }
    }

    #[test]
    fn random_drawings_are_shown_whole_in_every_orientation() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..150 {
            let size_px = (random.u32(1..60), random.u32(1..60));
            let orientation = Orientation {
                rotation: Rotation::from_degrees(90 * random.u16(0..4)).unwrap(),
                mirror: random.bool(),
            };
            let packing = if random.bool() { RGB565 } else { XRGB8888 };
            let stride_bytes =
                packing.row_bytes(size_px.0 as usize) + random.usize(0..2) * random.usize(1..40);
            let mut fake = Fake::new(stride_bytes * size_px.1 as usize);
            let mut pair = Pair::new(size_px, stride_bytes, packing, orientation);
            let (width_px, height_px) = orientation.rotation.turn(size_px);
            let mut canvas = Canvas::new(width_px, height_px, Depth::Rgb888);
            for _ in 0..8 {
                pair.push(&canvas, &mut fake).unwrap();
                assert_shows(&fake, &canvas, packing, orientation);
                for _ in 0..random.u32(0..4) {
                    let (x, y) = (random.u32(0..width_px), random.u32(0..height_px));
                    canvas.set(x as i32, y as i32, [random.u8(..); 3]);
                }
            }
        }
    }

    #[test]
    fn a_row_is_written_to_each_buffer_once_and_an_unchanged_canvas_to_none() {
        let packing = XRGB8888;
        let mut fake = Fake::new(64 * 4 * 40);
        let mut pair = Pair::new((64, 40), 64 * 4, packing, Orientation::UPRIGHT);
        let mut canvas = Canvas::new(64, 40, Depth::Rgb888);
        let mut rows = |canvas: &Canvas, fake: &mut Fake| {
            let before = (fake.put_bytes, fake.flips);
            pair.push(canvas, fake).unwrap();
            (
                (fake.put_bytes - before.0) / (64 * 4),
                fake.flips - before.1,
            )
        };
        assert_eq!(rows(&canvas, &mut fake), (40, 1));
        assert_eq!(rows(&canvas, &mut fake), (0, 0));
        canvas.set(5, 7, [255; 3]);
        assert_eq!(
            rows(&canvas, &mut fake),
            (40, 1),
            "the second buffer has nothing yet"
        );
        assert_eq!(rows(&canvas, &mut fake), (0, 0));
        canvas.set(5, 30, [255; 3]);
        assert_eq!(rows(&canvas, &mut fake), (2, 1), "row 7 too");
        canvas.set(6, 30, [255; 3]);
        canvas.set(6, 31, [255; 3]);
        assert_eq!(rows(&canvas, &mut fake), (2, 1));
        canvas.set(0, 0, [255; 3]);
        assert_eq!(rows(&canvas, &mut fake), (3, 1));
        assert_shows(&fake, &canvas, packing, Orientation::UPRIGHT);
    }

    #[test]
    fn after_an_error_everything_is_written_again() {
        let mut fake = Fake::new(16 * 2 * 16);
        let mut pair = Pair::new((16, 16), 16 * 2, RGB565, Orientation::UPRIGHT);
        let mut canvas = Canvas::new(16, 16, Depth::Rgb888);
        pair.push(&canvas, &mut fake).unwrap();
        fake.is_gone = true;
        canvas.set(3, 3, [255; 3]);
        assert!(pair.push(&canvas, &mut fake).is_err());
        fake.is_gone = false;
        fake.put_bytes = 0;
        pair.push(&canvas, &mut fake).unwrap();
        assert_eq!(fake.put_bytes, 16 * 2 * 16);
        assert_shows(&fake, &canvas, RGB565, Orientation::UPRIGHT);
    }
}
