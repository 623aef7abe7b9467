//! What a new user does in the first hour, from the package to an own network on a stream of pictures.

use super::boot;
use super::guest::Guest;
use eyelet::show::Depth;
use eyelet::show::layout::Layout;
use image::RgbImage;

/// A file of the guest.
fn read(guest: &Guest, path: &str) -> Vec<u8> {
    let digits = guest.run_well(&format!("od -An -v -tx1 '{path}'"));
    let bytes = digits.split_whitespace();
    bytes.map(|b| u8::from_str_radix(b, 16).unwrap()).collect()
}

/// Shares of the pixels in the label's place that are the text's, and the ground's.
fn label_shares(shown: &RgbImage) -> (f32, f32) {
    let place = Layout::of(shown.width(), shown.height(), Depth::Rgb888).label;
    let (left, top) = (place.top_left.x as u32, place.top_left.y as u32);
    let (mut bright, mut dark) = (0, 0);
    for y in top..top + place.size.height {
        for x in left..left + place.size.width {
            let pixel = shown.get_pixel(x, y).0;
            bright += u32::from(pixel.iter().all(|&part| part > 200));
            dark += u32::from(pixel.iter().all(|&part| part < 40));
        }
    }
    let pixels = (place.size.width * place.size.height) as f32;
    (bright as f32 / pixels, dark as f32 / pixels)
}

#[test]
#[ignore = "boots a Debian container: `cargo test --test deb -- --ignored`"]
fn the_first_hour() {
    let Some((_alone, guest)) = boot() else {
        return;
    };
    let printed = guest.run_well("sh /mnt/first-hour.sh /mnt");
    println!("{printed}");
    let shown = printed.lines().find_map(|line| line.strip_prefix("PNG "));
    let png = read(&guest, shown.expect("the script names a picture"));
    let shown = image::load_from_memory(&png).unwrap().to_rgb8();
    assert_eq!(shown.dimensions(), (320, 240));
    // A word in its place, and the camera's picture, which has many colours.
    let (text, ground) = label_shares(&shown);
    assert!(text > 0.03 && ground > 0.5, "text {text}, ground {ground}");
    let colours: std::collections::HashSet<_> = shown.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 1000, "{} colours", colours.len());
}
