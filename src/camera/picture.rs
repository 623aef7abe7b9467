//! Reads one picture file as packed RGB, for the still camera and for `eyelet classify`.
//!
//! The kind is recognised by the first bytes, not by the name: BMP, GIF (first picture), JPEG, PNG, TIFF, WebP. Everything
//! becomes 8-bit RGB: grey and palette images are expanded, 16 bits are rounded to 8, CMYK is converted by the JPEG decoder,
//! transparent parts are composited on white. EXIF orientation is applied; colour profiles are not. The size is checked before
//! anything is decoded. A JPEG must have its end marker and every block except what fits in the last eight bytes (see
//! `jpeg::decode`).

use crate::clock;
use crate::frame::{Frame, FrameError, Geometry, PixelFormat};
use crate::jpeg::{self, Fault, Progress, Walker};
use crate::named;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

/// The most pixels a picture may have: a phone's 50-megapixel photo still fits.
pub const MAX_PIXELS: u64 = 64_000_000;

/// The largest file that is accepted.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// The kinds that are read.
const READ: [ImageFormat; 6] = [
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Tiff,
    ImageFormat::WebP,
];

/// An upright picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// `width_px * height_px * 3` bytes, R G B.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Makes it a frame, captured just now.
    ///
    /// # Errors
    /// Those of [`Frame::new`]; a picture that was read here causes none.
    pub fn frame(&self) -> Result<Frame<'_>, FrameError> {
        let geometry = Geometry::packed(PixelFormat::Rgb24, self.width_px, self.height_px);
        Frame::new(geometry, &self.rgb, clock::now(), 0)
    }
}

/// Why a file is not a usable picture; one line that names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the picture {}: {reason}", .path.display())]
pub struct PictureError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what to do unless that is obvious.
    pub reason: String,
}

/// Called with a number of bytes before a picture allocates them; it may block until there is room.
pub type Room<'a> = &'a mut dyn FnMut(u64);

/// Reads and decodes a picture file.
///
/// # Errors
/// The file cannot be read, or is not a supported picture.
pub fn read_picture(path: &Path) -> Result<Picture, PictureError> {
    read_picture_in(path, &mut |_| {})
}

/// The same, for several pictures that share the available memory.
///
/// # Errors
/// As for [`read_picture`].
pub fn read_picture_in(path: &Path, room: Room<'_>) -> Result<Picture, PictureError> {
    read(path, room).map_err(|reason| PictureError {
        path: path.to_owned(),
        reason: in_one_line(&reason),
    })
}

/// Reads a stream to its end and decodes the one picture in it.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn decode_stream(stream: impl Read, room: Room<'_>) -> Result<Picture, String> {
    let mut bytes = Vec::new();
    stream
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let most_mib = MAX_FILE_BYTES >> 20;
        return Err(format!(
            "it is longer than {most_mib} MiB, the most that is read here"
        ));
    }
    room(bytes.len() as u64);
    decode_in(&bytes, room).map_err(|reason| in_one_line(&reason))
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read(path: &Path, room: Room<'_>) -> Result<Picture, String> {
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.len() <= MAX_FILE_BYTES
    {
        room(metadata.len());
    }
    let bytes = named::read_file(path, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    decode_in(&bytes, room)
}

/// A kind of picture that phones and browsers save and no decoder here reads, by its first bytes.
fn unread_kind(bytes: &[u8]) -> Option<&'static str> {
    const JPEG_XL: &[u8] = b"\0\0\0\x0cJXL ";
    let brand = bytes.get(4..12).and_then(|head| head.strip_prefix(b"ftyp"));
    match brand {
        Some(b"avif" | b"avis") => Some("an AVIF picture"),
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
            Some("a HEIC picture")
        }
        _ if bytes.starts_with(JPEG_XL) || bytes.starts_with(b"\xff\x0a") => {
            Some("a JPEG XL picture")
        }
        _ => None,
    }
}

fn decode_in(bytes: &[u8], room: Room<'_>) -> Result<Picture, String> {
    if let Some(kind) = unread_kind(bytes) {
        return Err(format!(
            "it is {kind}, which is not supported: convert it to JPEG"
        ));
    }
    let format = image::guess_format(bytes)
        .map_err(|_| "it is not a BMP, GIF, JPEG, PNG, TIFF or WebP file".to_string())?;
    if !READ.contains(&format) {
        let kind = format!("{format:?}").to_uppercase();
        return Err(format!(
            "it is a {kind} picture, which is not supported: convert it to JPEG or PNG"
        ));
    }
    let name = format.extensions_str().first().copied().unwrap_or("?");
    let damaged = |error: image::ImageError| {
        format!("the {name} data is damaged or of an unknown kind: {error}")
    };
    if format == ImageFormat::Jpeg {
        return decode_jpeg(bytes, room);
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format)
        .into_decoder()
        .map_err(damaged)?;
    let (width_px, height_px) = decoder.dimensions();
    let pixels = check_size(width_px, height_px)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let decoded = (decoder.total_bytes(), decoder.color_type());
    let needed = peak_bytes(decoded, orientation, pixels) + bytes.len() as u64;
    room(needed);
    check_memory(width_px, height_px, needed)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(4 * MAX_PIXELS + needed);
    decoder.set_limits(limits).map_err(damaged)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    Ok(upright(picture, orientation))
}

/// The number of pixels, unless it is zero or too many.
fn check_size(width_px: u32, height_px: u32) -> Result<u64, String> {
    match u64::from(width_px) * u64::from(height_px) {
        0 => Err("the picture has no pixels".into()),
        pixels if pixels > MAX_PIXELS => Err(format!(
            "it has {width_px}x{height_px} pixels, at most {} million are taken; scale it down first",
            MAX_PIXELS / 1_000_000
        )),
        pixels => Ok(pixels),
    }
}

/// The most memory that pictures take at once while [`upright`] makes RGB of a decoded one.
fn peak_bytes((decoded, color): (u64, ColorType), orientation: Orientation, pixels: u64) -> u64 {
    use Orientation::{FlipHorizontal, FlipVertical, NoTransforms, Rotate180};
    let turned = match orientation {
        NoTransforms | Rotate180 | FlipHorizontal | FlipVertical => 0,
        // To another picture.
        _ => decoded,
    };
    let (rgba, rgb) = (pixels * 4, pixels * 3);
    // From the decoded picture to RGB, or to RGBA and from that to RGB.
    let (first, second) = match color {
        ColorType::Rgb8 => (0, 0),
        ColorType::Rgba8 => (rgb, 0),
        color if color.has_alpha() => (rgba, rgba + rgb),
        _ => (rgb, 0),
    };
    (decoded + turned.max(first)).max(second)
}

/// Reserves the memory before the decoders do: they abort the program if there is none.
fn check_memory(width_px: u32, height_px: u32, needed: u64) -> Result<(), String> {
    let needed_bytes = usize::try_from(needed).unwrap_or(usize::MAX);
    if Vec::<u8>::new().try_reserve_exact(needed_bytes).is_ok() {
        return Ok(());
    }
    Err(format!(
        "its {width_px}x{height_px} pixels need {} MiB to decode, more than is free; enlarge the memory pool or scale it down",
        needed.div_ceil(1 << 20)
    ))
}

fn decode_jpeg(bytes: &[u8], room: Room<'_>) -> Result<Picture, String> {
    let cut_short = || "the jpg data is cut short".to_owned();
    let mut walker = Walker::default();
    match walker.advance(bytes) {
        Progress::Complete(_) => {}
        Progress::More => return Err(cut_short()),
        Progress::Damaged(at) => {
            return Err(format!("the jpg data is damaged: no marker at byte {at}"));
        }
    }
    let outline = walker.outline();
    let (width_px, height_px) = outline.size_px.unwrap_or_default();
    let (width_px, height_px) = (u32::from(width_px), u32::from(height_px));
    let pixels = check_size(width_px, height_px)?;
    // Pictures of several scans are kept as coefficients until the last one has arrived: 16 bits for each of four colours.
    let is_simple = outline.is_sequential && outline.scans == 1;
    let bytes_per_pixel = if is_simple { 6 } else { 6 + 8 };
    room(pixels * bytes_per_pixel);
    check_memory(width_px, height_px, pixels * bytes_per_pixel)?;
    let mut rgb = image::RgbImage::new(width_px, height_px);
    let data = &bytes[..outline.data_end];
    let exif = jpeg::decode(data, outline, &mut rgb).map_err(|fault| match fault {
        Fault::Cut => cut_short(),
        Fault::Damaged(what) => format!("the jpg data is damaged or of an unknown kind: {what}"),
    })?;
    let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(&exif));
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(upright(DynamicImage::ImageRgb8(rgb), orientation))
}

fn upright(mut picture: DynamicImage, orientation: Orientation) -> Picture {
    picture.apply_orientation(orientation);
    let rgb = if picture.color().has_alpha() {
        on_white(&picture.into_rgba8())
    } else {
        picture.into_rgb8()
    };
    Picture {
        width_px: rgb.width(),
        height_px: rgb.height(),
        rgb: rgb.into_raw(),
    }
}

fn on_white(picture: &image::RgbaImage) -> image::RgbImage {
    let mut rgb = image::RgbImage::new(picture.width(), picture.height());
    for (to, from) in rgb.pixels_mut().zip(picture.pixels()) {
        let [colours @ .., alpha] = from.0;
        let alpha = u32::from(alpha);
        // Below 256 by construction.
        to.0 = colours.map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    fn decode(bytes: &[u8]) -> Result<Picture, String> {
        decode_in(bytes, &mut |_| {})
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// Red, green / blue, white.
    fn four() -> DynamicImage {
        let rgb = vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
        DynamicImage::ImageRgb8(image::RgbImage::from_raw(2, 2, rgb).unwrap())
    }

    #[test]
    fn every_lossless_kind_gives_the_same_pixels() {
        for format in READ.into_iter().filter(|kind| *kind != ImageFormat::Jpeg) {
            let picture = decode(&encoded(&four(), format)).unwrap();
            assert_eq!((picture.width_px, picture.height_px), (2, 2));
            assert_eq!(picture.rgb, four().into_rgb8().into_raw(), "{format:?}");
        }
    }

    #[test]
    fn grey_deep_and_transparent_pictures_become_rgb() {
        let grey = DynamicImage::ImageLuma8(image::GrayImage::from_raw(1, 1, vec![77]).unwrap());
        assert_eq!(
            decode(&encoded(&grey, ImageFormat::Png)).unwrap().rgb,
            [77; 3]
        );
        let deep = image::ImageBuffer::from_raw(1, 1, vec![0u16, 0x8080, 0xffff]).unwrap();
        let deep = DynamicImage::ImageRgb16(deep);
        assert_eq!(
            decode(&encoded(&deep, ImageFormat::Png)).unwrap().rgb,
            [0, 128, 255]
        );
        let clear = image::RgbaImage::from_raw(2, 1, vec![9, 9, 9, 0, 0, 100, 200, 128]).unwrap();
        let clear = DynamicImage::ImageRgba8(clear);
        assert_eq!(
            decode(&encoded(&clear, ImageFormat::Png)).unwrap().rgb,
            [255, 255, 255, 127, 177, 227]
        );
    }

    #[test]
    fn cmyk_and_grey_jpegs_become_rgb() {
        let mut bytes = Vec::new();
        JpegEncoder::new(&mut bytes)
            .write_image(&[60; 64], 8, 8, ExtendedColorType::L8)
            .unwrap();
        let picture = decode(&bytes).unwrap();
        assert_eq!(picture.rgb.len(), 8 * 8 * 3);
        assert!(picture.rgb.iter().all(|v| v.abs_diff(60) < 3));
        let picture = decode(&cmyk_jpeg()).unwrap();
        assert_eq!((picture.width_px, picture.height_px), (8, 8));
        // Inverted CMYK without a transform (Adobe): all-zero coefficients are 128 in each ink.
        assert!(
            picture.rgb.iter().all(|v| v.abs_diff(64) < 3),
            "{:?}",
            &picture.rgb[..3]
        );
    }

    /// A flat 8x8 CMYK JPEG, every ink 128, written by hand: one DC table with the codes "0" (no change) and one AC table
    /// with "0" (end of block), so that the four blocks are eight zero bits.
    fn cmyk_jpeg() -> Vec<u8> {
        let mut jpeg = vec![0xff, 0xd8];
        jpeg.extend([0xff, 0xee, 0, 14]);
        jpeg.extend(b"Adobe\x00\x64\x00\x00\x00\x00\x00");
        jpeg.extend([0xff, 0xdb, 0, 67, 0]);
        jpeg.extend([1; 64]);
        jpeg.extend([0xff, 0xc0, 0, 20, 8, 0, 8, 0, 8, 4]);
        jpeg.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]);
        for class in [0x00, 0x10] {
            jpeg.extend([0xff, 0xc4, 0, 20, class, 1]);
            jpeg.extend([0; 15]);
            jpeg.push(0);
        }
        jpeg.extend([0xff, 0xda, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
        jpeg.extend([0x00, 0xff, 0xd9]);
        jpeg
    }

    #[test]
    fn exif_orientation_is_applied() {
        // Left half black, right half white; orientation 6 means "turn clockwise to see it upright".
        let mut rgb = vec![0; 16 * 8 * 3];
        for row in rgb.chunks_mut(16 * 3) {
            row[8 * 3..].fill(255);
        }
        let mut tiff =
            b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
        encoder
            .set_exif_metadata(std::mem::take(&mut tiff))
            .unwrap();
        encoder
            .write_image(&rgb, 16, 8, ExtendedColorType::Rgb8)
            .unwrap();
        let picture = decode(&jpeg).unwrap();
        assert_eq!((picture.width_px, picture.height_px), (8, 16));
        assert!(picture.rgb[0] < 20); // above black
        assert!(picture.rgb[15 * 8 * 3] > 235); // below white
    }

    #[test]
    fn bad_files_are_refused_in_one_line_with_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let refuse = |name: &str, bytes: &[u8], words: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = read_picture(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(name), "{error}");
            assert!(!error.contains('\n'), "{error}");
        };
        refuse("empty.png", b"", "the file is empty");
        refuse("text.jpg", b"hello, this is text", "not a BMP");
        for (name, head, kind) in [
            (
                "a.avif",
                &b"\0\0\0\x20ftypavif\0\0\0\0"[..],
                "an AVIF picture",
            ),
            ("a.heic", b"\0\0\0\x24ftypheic\0\0\0\0", "a HEIC picture"),
            ("a.jpg", b"\xff\x0a\xfa\x1f", "a JPEG XL picture"),
        ] {
            let words = format!("it is {kind}, which is not supported: convert it to JPEG");
            refuse(name, head, &words);
        }
        for (name, head, kind) in [
            ("a.ppm", &b"P6 1 1 255\n\x01\x02\x03"[..], "PNM"),
            ("a.ico", b"\0\0\x01\0\x01\0", "ICO"),
        ] {
            let words = format!("it is a {kind} picture, which is not supported");
            refuse(name, head, &words);
        }
        let mut png = encoded(&four(), ImageFormat::Png);
        refuse("cut.png", &png[..png.len() - 20], "damaged");
        // 20,000 x 20,000 in the header alone, with its checksum.
        png[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
        let checksum = crc32(&png[12..29]).to_be_bytes();
        png[29..33].copy_from_slice(&checksum);
        refuse("huge.png", &png, "20000x20000 pixels, at most 64 million");
        let jpeg = encoded(&four(), ImageFormat::Jpeg);
        refuse("cut.jpg", &jpeg[..jpeg.len() - 5], "cut short");
        let missing = read_picture(&folder.path().join("none.png")).unwrap_err();
        assert!(missing.to_string().contains("No such file"), "{missing}");
        let folder_error = read_picture(folder.path()).unwrap_err();
        assert!(folder_error.to_string().contains("not a file but a folder"));
    }

    #[test]
    fn a_stream_is_one_picture_and_memory_is_announced_before_it_is_allocated() {
        let png = encoded(&four(), ImageFormat::Png);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("four.png");
        std::fs::write(&path, &png).unwrap();
        let (mut from_file, mut from_stream) = (Vec::new(), Vec::new());
        let file = read_picture_in(&path, &mut |bytes| from_file.push(bytes)).unwrap();
        let stream = decode_stream(&png[..], &mut |bytes| from_stream.push(bytes)).unwrap();
        assert_eq!((&file, file.rgb.len()), (&stream, 12));
        // The file, then what its 2x2 pixels take while being decoded.
        let decoding = 12 + png.len() as u64;
        assert_eq!(from_file, [png.len() as u64, decoding]);
        assert_eq!(from_stream, from_file);
        for (bytes, words) in [(&b""[..], "it is empty"), (b"words", "not a BMP")] {
            let error = decode_stream(bytes, &mut |_| {}).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[test]
    fn jpegs_that_are_cut_are_refused_with_an_end_marker_or_without() {
        let fixture = |name: &str| {
            let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
            std::fs::read(tree.join("tests/fixtures").join(name)).unwrap()
        };
        let rgb: Vec<u8> = (0..40 * 30 * 3).map(|n| (n * 31 % 251) as u8).collect();
        let mut noisy = Vec::new();
        JpegEncoder::new_with_quality(&mut noisy, 95)
            .write_image(&rgb, 40, 30, ExtendedColorType::Rgb8)
            .unwrap();
        for jpeg in [
            fixture("halved-chroma.jpg"),
            fixture("progressive.jpg"),
            encoded(&four(), ImageFormat::Jpeg),
            noisy,
            cmyk_jpeg(),
        ] {
            let whole = decode(&jpeg).unwrap();
            let data_end = jpeg.len() - 2;
            for end in (2..data_end).filter(|end| end % 7 == 0 || data_end - end < 40) {
                let with_end = [&jpeg[..end], &[0xff, 0xd9]].concat();
                match decode(&with_end) {
                    // So little that the decoder has read it all before needing it.
                    Ok(picture) => {
                        assert!(data_end - end <= 8, "{end} of {data_end} bytes");
                        assert_eq!(picture.rgb.len(), whole.rgb.len());
                    }
                    Err(error) => assert!(error.contains("jpg data") || end < 200, "{error}"),
                }
                assert!(decode(&jpeg[..end]).is_err(), "{end}");
            }
            // Data after the picture is ignored.
            let followed = [&jpeg[..], &[0xff, 0xd8, 0xff, 0]].concat();
            assert_eq!(decode(&followed).unwrap(), whole);
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let mut random = fastrand::Rng::with_seed(6);
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::Gif,
            ImageFormat::Tiff,
            ImageFormat::WebP,
            ImageFormat::Bmp,
        ] {
            let bytes = encoded(&four(), format);
            for _ in 0..300 {
                let mut damaged = bytes.clone();
                for _ in 0..random.usize(1..4) {
                    let at = random.usize(..damaged.len());
                    damaged[at] = random.u8(..);
                }
                let _ = decode(&damaged);
            }
        }
    }
}
