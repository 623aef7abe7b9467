//! Picture files: what is announced before one is decoded is what decoding it takes.

use crate::allocations;
use eyelet::camera::read_picture_in;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Tables and rows of the decoder.
const OWN_BYTES: usize = 512 << 10;

#[test]
fn a_picture_takes_no_more_than_it_announces() {
    let folder = tempfile::tempdir().unwrap();
    let (width_px, height_px) = (800, 600);
    for (color, bytes_per_pixel) in [
        (ExtendedColorType::L8, 1),
        (ExtendedColorType::La8, 2),
        (ExtendedColorType::Rgb8, 3),
        (ExtendedColorType::Rgba8, 4),
        (ExtendedColorType::L16, 2),
        (ExtendedColorType::La16, 4),
        (ExtendedColorType::Rgb16, 6),
        (ExtendedColorType::Rgba16, 8),
    ] {
        // EXIF orientations: upright, turned around, turned.
        for orientation in [1, 3, 6] {
            let file = folder.path().join("picture.png");
            let mut png = Vec::new();
            let mut encoder = PngEncoder::new(&mut png);
            let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
            encoder.set_exif_metadata(exif).unwrap();
            let pixels = vec![9; width_px * height_px * bytes_per_pixel];
            encoder
                .write_image(&pixels, width_px as u32, height_px as u32, color)
                .unwrap();
            std::fs::write(&file, &png).unwrap();
            let mut announced = 0;
            let (_, peak) = allocations(|| {
                let picture = read_picture_in(&file, &mut |bytes| announced = bytes).unwrap();
                assert_eq!(picture.width_px == 600, orientation == 6);
            });
            let announced = announced as usize;
            assert!(
                (announced..announced + OWN_BYTES).contains(&peak),
                "{color:?}, orientation {orientation}: {peak} bytes, announced {announced}"
            );
        }
    }
}
