//! Memory that a display driver scans out: a "dumb buffer", mapped into the process.
//!
//! When a driver goes away, the memory behind its mapping may go too, and touching it would kill the program with SIGBUS. So
//! bytes are copied through a pipe: the kernel writes them when we read, and returns EFAULT instead. That costs a second copy.

use super::super::pixel::{Field, Packing};
use super::card::Card;
use ::drm::buffer::{Buffer as _, DrmFourcc};
use ::drm::control::Device as _;
use ::drm::control::dumbbuffer::{DumbBuffer, DumbMapping};
use ::drm::control::framebuffer;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem;

/// A pipe always accepts this much at once, however little pipe memory its user may have left (pipe(7): one page).
const CHUNK_BYTES: usize = 4096;

/// 5-6-5 bits, red highest: `DRM_FORMAT_RGB565`.
pub const RGB565: Packing = fields(2, [(11, 5), (5, 6), (0, 5)]);
/// 8 bits each in a 32-bit word, red highest: `DRM_FORMAT_XRGB8888`.
pub const XRGB8888: Packing = fields(4, [(16, 8), (8, 8), (0, 8)]);

const fn fields(bytes: usize, colours: [(u32, u32); 3]) -> Packing {
    const fn field((offset, length): (u32, u32)) -> Field {
        Field { offset, length }
    }
    Packing::Fields {
        bytes,
        red: field(colours[0]),
        green: field(colours[1]),
        blue: field(colours[2]),
        opacity: field((0, 0)),
    }
}

/// A buffer's pixel format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 32 bits per pixel. Every driver is expected to support it.
    Xrgb8888,
    /// 16 bits per pixel, for drivers of small displays.
    Rgb565,
}

impl Format {
    /// In the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Xrgb8888, Self::Rgb565];

    /// The format as a [`Packing`].
    pub fn packing(self) -> Packing {
        match self {
            Self::Xrgb8888 => XRGB8888,
            Self::Rgb565 => RGB565,
        }
    }

    /// Bits per pixel.
    pub fn bits(self) -> u32 {
        match self {
            Self::Xrgb8888 => 32,
            Self::Rgb565 => 16,
        }
    }

    /// Bits per pixel that hold colour.
    fn depth_bits(self) -> u32 {
        match self {
            Self::Xrgb8888 => 24,
            Self::Rgb565 => 16,
        }
    }

    fn code(self) -> DrmFourcc {
        match self {
            Self::Xrgb8888 => DrmFourcc::Xrgb8888,
            Self::Rgb565 => DrmFourcc::Rgb565,
        }
    }
}

/// One buffer. [`Self::destroy`] frees it; so does closing the card's file.
pub struct Buffer {
    /// The handle by which a CRTC shows it.
    pub framebuffer: framebuffer::Handle,
    /// Bytes from one row to the next.
    pub stride_bytes: usize,
    mapping: DumbMapping<'static>,
    dumb: DumbBuffer,
}

impl Buffer {
    /// Allocates a black one.
    pub fn new(card: &Card, size_px: (u32, u32), format: Format) -> io::Result<Self> {
        let mut dumb = card.create_dumb_buffer(size_px, format.code(), format.bits())?;
        let mapped = card.map_dumb_buffer(&mut dumb).map(|mapping| {
            // SAFETY: the lifetime is that of a `PhantomData`; the mapping points to its own pages until it is dropped, not into
            // the `DumbBuffer`, which is a handle that gets copied.
            unsafe { mem::transmute::<DumbMapping<'_>, DumbMapping<'static>>(mapping) }
        });
        let added = mapped.and_then(|mapping| {
            let framebuffer = card.add_framebuffer(&dumb, format.depth_bits(), format.bits())?;
            Ok((mapping, framebuffer))
        });
        match added {
            Ok((mapping, framebuffer)) => Ok(Self {
                framebuffer,
                stride_bytes: dumb.pitch() as usize,
                mapping,
                dumb,
            }),
            Err(error) => {
                // Nothing else uses it; if even this fails, the first error is the one to report.
                let _ = card.destroy_dumb_buffer(dumb);
                Err(error)
            }
        }
    }

    /// Its memory, starting at byte `at`.
    pub fn memory(&mut self, at: usize) -> io::Result<&mut [u8]> {
        self.mapping.get_mut(at..).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the driver's buffer is too small",
            )
        })
    }

    /// Frees it. If the card is gone, it already has been.
    pub fn destroy(self, card: &Card) {
        let Self {
            framebuffer,
            mapping,
            dumb,
            ..
        } = self;
        let _ = card.destroy_framebuffer(framebuffer);
        drop(mapping);
        let _ = card.destroy_dumb_buffer(dumb);
    }
}

/// Copies bytes to memory that may vanish.
#[derive(Debug)]
pub struct Feed {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Feed {
    /// Opens the pipe.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer })
    }

    /// Copies `from` to the beginning of `to`, which must be at least as long.
    ///
    /// # Errors
    /// EFAULT if the memory is gone. The pipe then holds the rest, so it must not be used any more.
    pub fn copy(&mut self, from: &[u8], to: &mut [u8]) -> io::Result<()> {
        let to = to.get_mut(..from.len()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the driver's buffer is too small",
            )
        })?;
        for (from, to) in from.chunks(CHUNK_BYTES).zip(to.chunks_mut(CHUNK_BYTES)) {
            self.writer.write_all(from)?;
            self.reader.read_exact(to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_through_the_pipe_and_a_short_place_is_refused() {
        let mut feed = Feed::new().unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let from: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            let mut to = vec![0; length + 7];
            feed.copy(&from, &mut to).unwrap();
            assert_eq!(to[..length], from);
            assert_eq!(to[length..], [0; 7]);
            assert!(length == 0 || feed.copy(&from, &mut to[..length - 1]).is_err());
        }
    }
}
