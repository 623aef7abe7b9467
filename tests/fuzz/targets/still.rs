//! A picture file, as `eyelet classify` and the still camera read it.

use super::{assert_said, file_of};
use eyelet::camera::read_picture;
use std::io::Cursor;

/// Larger pictures take the same way and more time.
const MAX_FUZZED_PIXELS: u64 = 1 << 20;

pub fn run(data: &[u8]) {
    let reader = image::ImageReader::new(Cursor::new(data)).with_guessed_format();
    if let Ok((width_px, height_px)) = reader.unwrap().into_dimensions() {
        let pixels = u64::from(width_px) * u64::from(height_px);
        if (MAX_FUZZED_PIXELS..eyelet::camera::MAX_PIXELS).contains(&pixels) {
            return;
        }
    }
    let file = file_of(data, ".picture", 0);
    match read_picture(file.path()) {
        Ok(picture) => {
            let pixels = picture.width_px as usize * picture.height_px as usize;
            assert!(pixels > 0);
            assert_eq!(picture.rgb.len(), pixels * 3);
        }
        Err(error) => assert_said(&error.to_string()),
    }
}
