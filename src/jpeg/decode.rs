//! A JPEG's pixels, or why it has none. zune-jpeg does the work; whether the picture's data goes to its end is found here.
//!
//! Where data ends early, behind an end marker or without one, every decoder goes on with zeros, and the rest of the picture is
//! grey or smeared. So the decoder does not get to see the end marker. It reads zeros instead, and it is noted when it takes
//! more of them than one reads ahead: then the picture is cut. What is missing and goes unnoticed is at most
//! [`READ_AHEAD_BYTES`], less than one 8x8 block with the usual Huffman tables.

use super::Outline;
use image::metadata::Orientation;
use std::cell::Cell;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::{ZByteIoError, ZByteReaderTrait, ZCursor, ZSeekFrom};
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The decoder has 64 bits at the most that it has not used yet.
const READ_AHEAD_BYTES: usize = 8;

/// Zeros between the data and the end marker, which progressive pictures need to come to their end: more than the decoder
/// takes before it is told that nothing follows.
const ZEROS: usize = 64;

/// The end marker (EOI).
const END: [u8; 2] = [0xff, 0xd9];

/// Why a JPEG has no pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its data ends before the picture does.
    Cut,
    /// What is wrong with it, in one line.
    Damaged(String),
}

/// Decodes the JPEG in `data`, which ends before the end marker, into RGB24 of the size that `outline` tells; `rgb` has room for
/// it. Gives the orientation that its EXIF data asks for.
pub fn decode(data: &[u8], outline: &Outline, rgb: &mut [u8]) -> Result<Orientation, Fault> {
    if !outline.has_every_scan {
        return Err(Fault::Cut);
    }
    let (width, height) = outline.size_px.unwrap_or_default();
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(width.into())
        .set_max_height(height.into())
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let took_too_much = Cell::new(false);
    let reader = Reader {
        data: ZCursor::new(data),
        length: data.len(),
        took_too_much: &took_too_much,
    };
    let mut decoder = JpegDecoder::new_with_options(reader, options);
    let decoded = decoder.decode_into(rgb);
    if took_too_much.get() {
        return Err(Fault::Cut);
    }
    decoded.map_err(|error| Fault::Damaged(one_line(&error)))?;
    let exif = decoder.exif();
    let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(exif));
    Ok(orientation.unwrap_or(Orientation::NoTransforms))
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The data, then zeros, then the end marker.
struct Reader<'a> {
    data: ZCursor<&'a [u8]>,
    length: usize,
    /// Whether more zeros were taken as picture data than a decoder reads ahead.
    took_too_much: &'a Cell<bool>,
}

impl Reader<'_> {
    fn position(&mut self) -> usize {
        // A cursor over memory knows where it is, and no position there is larger than a `usize`.
        self.data.z_position().unwrap_or(u64::MAX) as usize
    }

    /// The byte this far behind the data.
    fn behind(offset: usize) -> u8 {
        match offset.checked_sub(ZEROS) {
            Some(at) => END.get(at).copied().unwrap_or(0),
            None => 0,
        }
    }
}

impl ZByteReaderTrait for Reader<'_> {
    /// Picture data is read by this where it has a marker, or ends.
    #[inline]
    fn read_byte_no_error(&mut self) -> u8 {
        let position = self.position();
        let byte = self.data.read_byte_no_error();
        if position < self.length {
            return byte;
        }
        let offset = position - self.length;
        if offset >= READ_AHEAD_BYTES {
            self.took_too_much.set(true);
        }
        Self::behind(offset)
    }

    /// Picture data is read by this, four bytes at once; markers byte by byte.
    #[inline(always)]
    fn read_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        let read = self.data.read_exact_bytes(buf);
        if read.is_err()
            && let [byte] = buf
        {
            let position = self.position();
            *byte = Self::behind(position - self.length.min(position));
            self.data.skip(1);
            return Ok(());
        }
        read
    }

    fn read_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        self.data.read_bytes(buf)
    }

    fn peek_bytes(&mut self, buf: &mut [u8]) -> Result<usize, ZByteIoError> {
        self.data.peek_bytes(buf)
    }

    fn peek_exact_bytes(&mut self, buf: &mut [u8]) -> Result<(), ZByteIoError> {
        self.data.peek_exact_bytes(buf)
    }

    #[inline]
    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        self.data.z_seek(from)
    }

    #[inline]
    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        let end = self.length + ZEROS + END.len();
        Ok(self.took_too_much.get() || self.position() >= end)
    }

    #[inline]
    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        self.data.z_position()
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        self.data.read_remaining(sink)
    }
}
