//! Decodes a JPEG, or says why it cannot be decoded. zune-jpeg does the work; we check that the picture's data is complete.
//!
//! Where data ends early, with or without an end marker, decoders fill up with zeros, and the rest of the picture is grey or
//! smeared. So we hide the end marker from the decoder and feed it ones instead: those are the padding of the last byte, and no
//! Huffman code begins with more than fifteen of them (ITU-T T.81, F.1.2.1.2 and annex C), so an incomplete picture fails at
//! once. Where bits need no code, as in a refinement scan, we count how many of them were read. At most [`READ_AHEAD_BYTES`] may
//! be missing unnoticed.

use super::Outline;
use std::cell::Cell;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZSeekFrom};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The decoder buffers at most 64 unused bits.
const READ_AHEAD_BYTES: usize = 8;

/// A byte of ones, as encoded in picture data.
const ONES: [u8; 2] = [0xff, 0];

/// Bytes of [`ONES`] between the data and the end marker, which progressive pictures need to finish.
const FILL: usize = 8 * READ_AHEAD_BYTES;

/// How much of them the decoder may read ahead.
const READ_AHEAD: usize = READ_AHEAD_BYTES * ONES.len();

/// The end marker (EOI).
const END: [u8; 2] = [0xff, 0xd9];

/// Why a JPEG cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its data ends before the picture is complete.
    Cut,
    /// The fault, in one line.
    Damaged(String),
}

/// Decodes the JPEG in `data`, which ends before the end marker, into `rgb`: RGB24 in the size of `outline`, for which `rgb` must
/// have room. Returns its EXIF data, which may ask for an orientation.
pub fn decode(data: &[u8], outline: &Outline, rgb: &mut [u8]) -> Result<Option<Vec<u8>>, Fault> {
    if !outline.has_every_scan {
        return Err(Fault::Cut);
    }
    let (width, height) = outline.size_px.unwrap_or_default();
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(width.into())
        .set_max_height(height.into())
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let taken = Cell::new(0);
    let reader = Reader {
        data,
        position: 0,
        taken: &taken,
    };
    let mut decoder = JpegDecoder::new_with_options(reader, options);
    match decoder.decode_into(rgb) {
        Ok(()) if taken.get() <= READ_AHEAD => {}
        Err(error) if taken.get() == 0 => return Err(Fault::Damaged(one_line(&error))),
        _ => return Err(Fault::Cut),
    }
    Ok(decoder.exif().cloned())
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The data, then ones, then the end marker.
struct Reader<'a> {
    data: &'a [u8],
    position: usize,
    /// Bytes beyond the data that were read as picture data.
    taken: &'a Cell<usize>,
}

impl Reader<'_> {
    /// The byte at `position`, which is beyond the data.
    fn behind(&self, position: usize) -> u8 {
        let offset = position.saturating_sub(self.data.len());
        match offset.checked_sub(FILL) {
            Some(at) => END.get(at).copied().unwrap_or(0),
            None => ONES[offset % ONES.len()],
        }
    }

    fn rest(&self) -> &[u8] {
        self.data.get(self.position..).unwrap_or_default()
    }
}

impl ZByteReaderTrait for Reader<'_> {
    /// Called for picture data with a marker in it, or at its end.
    #[inline(always)]
    fn read_byte_no_error(&mut self) -> u8 {
        let position = self.position;
        self.position += 1;
        if let Some(&byte) = self.data.get(position) {
            return byte;
        }
        self.taken.set(self.taken.get() + 1);
        self.behind(position)
    }

    /// Called for picture data, four bytes at once; byte by byte for markers.
    #[inline(always)]
    fn read_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        let end = self.position.saturating_add(buf.len());
        if let Some(bytes) = self.data.get(self.position..end) {
            buf.copy_from_slice(bytes);
        } else if let [byte] = buf {
            *byte = self.behind(self.position);
        } else {
            return Err(ZByteIoError::NotEnoughBytes(self.rest().len(), buf.len()));
        }
        self.position = end;
        Ok(())
    }

    fn read_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        let count = self.peek_bytes(buf)?;
        self.position += count;
        Ok(count)
    }

    fn peek_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        let rest = self.rest();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn peek_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        match self.peek_bytes(buf)? {
            count if count == buf.len() => Ok(()),
            count => Err(ZByteIoError::NotEnoughBytes(count, buf.len())),
        }
    }

    #[inline(always)]
    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let (base, offset) = match from {
            ZSeekFrom::Start(position) => (0, i64::try_from(position).unwrap_or(i64::MAX)),
            ZSeekFrom::End(offset) => (self.data.len(), offset),
            ZSeekFrom::Current(offset) => (self.position, offset),
        };
        let moved = isize::try_from(offset).ok();
        self.position = moved
            .and_then(|offset| base.checked_add_signed(offset))
            .ok_or(ZByteIoError::SeekError("out of the picture"))?;
        Ok(self.position as u64)
    }

    #[inline(always)]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        let end = self.data.len() + FILL + END.len();
        Ok(self.taken.get() > READ_AHEAD || self.position >= end)
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        Ok(self.position as u64)
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let rest = self.rest();
        let count = rest.len();
        sink.extend_from_slice(rest);
        self.position += count;
        Ok(count)
    }
}
