//! Where the network's crop lies in the camera's picture.
//!
//! The rule is the model zoo's: the upright picture's shorter side becomes `shorter_px`, the longer one
//! `shorter_px * longer / shorter` rounded, and the crop starts at half of the rest; halves are rounded to even. (The stored
//! reference crops were made so. torchvision drops the fraction of the longer side: at most one pixel less of some hundred.)
//! When such a picture would not cover the crop (a long crop, a small `shorter_px`), the picture is enlarged, with its
//! proportions kept, until it does.
//!
//! Nothing is rotated: an [`Axis`] says for one axis of the *camera's* picture which part of it the crop needs and whether
//! it runs backwards.

use crate::board::Mount;

/// One axis of the camera's picture, and the crop along it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// Pixels of the camera's picture.
    pub source_px: u32,
    /// Pixels of the whole picture after the resize.
    pub resized_px: u64,
    /// First pixel of the crop in the resized, upright picture.
    pub offset_px: u64,
    /// Pixels of the crop.
    pub crop_px: u32,
    /// Whether the upright picture runs against the camera's.
    pub flipped: bool,
}

/// The crop in the camera's own axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// Along the camera's rows.
    pub x: Axis,
    /// Down the camera's columns.
    pub y: Axis,
    /// Whether the camera's rows are the upright picture's columns (rotation by 90 or 270 degrees).
    pub transposed: bool,
}

impl Placement {
    /// Places a crop of `crop_px` (width, height) in a picture of `source_px`. No side is 0.
    pub fn of(source_px: (u32, u32), mount: Mount, shorter_px: u32, crop_px: (u32, u32)) -> Self {
        // Which camera axis runs along the upright picture's rows (u) and columns (v), and which run backwards.
        let (transposed, flip_u, flip_v) = match mount.rotate_deg % 360 {
            90 => (true, true, false),
            180 => (false, true, true),
            270 => (true, false, true),
            _ => (false, false, false),
        };
        let flip_u = flip_u != mount.mirror;
        let (u_px, v_px) = if transposed {
            (source_px.1, source_px.0)
        } else {
            source_px
        };
        let (resized_u, resized_v) = resized_px((u_px, v_px), shorter_px, crop_px);
        let axis = |source_px, resized_px, crop_px, flipped| Axis {
            source_px,
            resized_px,
            offset_px: rounded(resized_px - u64::from(crop_px), 2),
            crop_px,
            flipped,
        };
        let u = axis(u_px, resized_u, crop_px.0, flip_u);
        let v = axis(v_px, resized_v, crop_px.1, flip_v);
        let (x, y) = if transposed { (v, u) } else { (u, v) };
        Self { x, y, transposed }
    }
}

/// The size of the whole upright picture after the resize; it covers the crop.
fn resized_px(upright_px: (u32, u32), shorter_px: u32, crop_px: (u32, u32)) -> (u64, u64) {
    let (w, h) = (u64::from(upright_px.0), u64::from(upright_px.1));
    let (crop_w, crop_h) = (u64::from(crop_px.0), u64::from(crop_px.1));
    let shorter = u64::from(shorter_px);
    let by_rule = if w <= h {
        (shorter, rounded(shorter * h, w))
    } else {
        (rounded(shorter * w, h), shorter)
    };
    if by_rule.0 >= crop_w && by_rule.1 >= crop_h {
        by_rule
    } else if w * crop_h <= h * crop_w {
        (crop_w, rounded(h * crop_w, w).max(crop_h))
    } else {
        (rounded(w * crop_h, h).max(crop_w), crop_h)
    }
}

/// `n / d`, a half rounded to the even neighbour (Python's `round`).
fn rounded(n: u64, d: u64) -> u64 {
    let (quotient, rest) = (n / d, n % d);
    let up = rest > d - rest || (rest == d - rest && quotient % 2 == 1);
    quotient + u64::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_offsets_follow_the_zoo() {
        let upright = Mount::default();
        let place = |w, h| Placement::of((w, h), upright, 256, (224, 224));
        let p = place(512, 384);
        assert_eq!((p.x.resized_px, p.y.resized_px), (341, 256));
        assert_eq!((p.x.offset_px, p.y.offset_px), (58, 16));
        let p = place(512, 340);
        assert_eq!((p.x.resized_px, p.x.offset_px), (386, 81));
        let p = place(512, 381);
        assert_eq!((p.x.resized_px, p.x.offset_px), (344, 60));
        let p = place(512, 929);
        assert_eq!((p.x.resized_px, p.y.resized_px), (256, 464));
        assert_eq!(p.y.offset_px, 120);
    }

    #[test]
    fn a_crop_that_the_rule_does_not_cover_enlarges_the_picture() {
        let p = Placement::of((100, 100), Mount::default(), 256, (320, 240));
        assert_eq!((p.x.resized_px, p.y.resized_px), (320, 320));
        assert_eq!((p.x.offset_px, p.y.offset_px), (0, 40));
        let p = Placement::of((640, 480), Mount::default(), 100, (224, 224));
        assert_eq!((p.x.resized_px, p.y.resized_px), (299, 224));
    }

    #[test]
    fn rotation_turns_the_axes() {
        let mount = |rotate_deg, mirror| Mount { rotate_deg, mirror };
        let p = Placement::of((640, 480), mount(90, false), 256, (200, 224));
        assert!(p.transposed);
        assert_eq!((p.x.crop_px, p.y.crop_px), (224, 200));
        assert_eq!((p.x.flipped, p.y.flipped), (false, true));
        assert_eq!((p.x.resized_px, p.y.resized_px), (341, 256));
        let p = Placement::of((640, 480), mount(270, true), 256, (224, 224));
        assert_eq!((p.x.flipped, p.y.flipped), (true, true));
        let p = Placement::of((640, 480), mount(180, true), 256, (224, 224));
        assert_eq!((p.x.flipped, p.y.flipped), (false, true));
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let p = Placement::of((u32::MAX, 1), Mount::default(), 256, (224, 224));
        assert_eq!(p.x.resized_px, 256 * u64::from(u32::MAX));
    }
}
