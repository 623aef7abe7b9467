//! Where the camera's picture, or a region of it, is placed in the network's picture.
//!
//! `crop` is the model zoo's rule: the upright picture's shorter side becomes `shorter_px`, the longer one `shorter_px * longer /
//! shorter` rounded, and the crop starts at half of the rest; halves are rounded to even. (The stored reference crops were made
//! that way. torchvision truncates the longer side: at most one pixel less out of some hundred.) If such a picture would not
//! cover the crop (a long crop, a small `shorter_px`), the picture is enlarged, keeping its proportions, until it does.
//!
//! `fit` shrinks or enlarges the picture, keeping its proportions, until one side equals the network's and the other is not
//! longer; the rest is halved, as in PIL's `ImageOps.pad`. `stretch` resizes each side separately.
//!
//! A region is an independent picture: nothing around it is read.
//!
//! Nothing is rotated: an [`Axis`] says for one axis of the *camera's* picture which part of it is needed, where it goes, and
//! whether it runs backwards.

use crate::limits;
use crate::spec::{InputSpec, Resize};

/// How the camera is mounted: rotating the picture clockwise by `rotate_deg` and then mirroring it left-right gives the upright
/// picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mount {
    /// 0, 90, 180 or 270.
    pub rotate_deg: u16,
    /// Swap left and right (after the rotation).
    pub mirror: bool,
    /// How the picture is resized to the network's size; `None` is the model's own way.
    pub resize: Option<Resize>,
}

/// A rectangle in fractions of the upright picture: 0 is its left or upper edge, 1 the right or lower one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left side.
    pub left: f32,
    /// Upper side.
    pub top: f32,
    /// Width, above 0; `left + width` is at most 1, except for rounding.
    pub width: f32,
    /// Height, likewise.
    pub height: f32,
}

impl Area {
    /// The whole picture.
    pub const WHOLE: Self = Self {
        left: 0.0,
        top: 0.0,
        width: 1.0,
        height: 1.0,
    };
}

/// One axis of the camera's picture, and the network's picture along it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// First pixel of the region in the camera's picture.
    pub first_px: u32,
    /// Pixels of the region.
    pub source_px: u32,
    /// Pixels of the whole region after the resize.
    pub resized_px: u64,
    /// First pixel of the crop in the resized, upright region.
    pub offset_px: u64,
    /// Pixels of the crop.
    pub crop_px: u32,
    /// Where in the network's upright picture the crop starts: not at 0 if the region is fitted in.
    pub at_px: u32,
    /// Pixels of the network's picture.
    pub input_px: u32,
    /// Whether the upright picture runs against the camera's direction.
    pub flipped: bool,
}

/// The network's picture in the camera's own axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// Along the camera's rows.
    pub x: Axis,
    /// Down the camera's columns.
    pub y: Axis,
    /// Whether the camera's rows are the upright picture's columns (rotation by 90 or 270 degrees).
    pub transposed: bool,
}

/// The part that does not change with the camera's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    pub mount: Mount,
    pub resize: Resize,
    pub shorter_px: u32,
    /// Width and height of the network's picture.
    pub input_px: (u32, u32),
}

impl Rule {
    /// The board's way of resizing takes precedence over the model's.
    pub fn of(input: &InputSpec, mount: Mount) -> Self {
        Self {
            mount,
            resize: mount.resize.unwrap_or(input.resize),
            shorter_px: input.resize_shorter_px,
            input_px: (input.width_px, input.height_px),
        }
    }
}

impl Placement {
    /// Places `area` of a picture of `source_px` (width, height, neither 0) in the network's picture. If the region is too small,
    /// the error is its width and height in pixels.
    pub fn of(rule: &Rule, source_px: (u32, u32), area: Area) -> Result<Self, (u32, u32)> {
        // Which camera axis runs along the upright picture's rows (u) and columns (v), and which run backwards.
        let (transposed, flip_u, flip_v) = match rule.mount.rotate_deg % 360 {
            90 => (true, true, false),
            180 => (false, true, true),
            270 => (true, false, true),
            _ => (false, false, false),
        };
        let flip_u = flip_u != rule.mount.mirror;
        let (whole_u, whole_v) = if transposed {
            (source_px.1, source_px.0)
        } else {
            source_px
        };
        let (first_u, u_px) = part_px(whole_u, area.left, area.width);
        let (first_v, v_px) = part_px(whole_v, area.top, area.height);
        let least = limits::REGION_SIDE_PX.least;
        if area != Area::WHOLE && u64::from(u_px.min(v_px)) < least {
            return Err((u_px, v_px));
        }
        let (resized, crop) = sizes(rule, (u_px, v_px));
        let (input_u, input_v) = rule.input_px;
        let u = Axis {
            first_px: first_in_camera(whole_u, first_u, u_px, flip_u),
            ..axis(u_px, resized.0, crop.0, input_u, flip_u)
        };
        let v = Axis {
            first_px: first_in_camera(whole_v, first_v, v_px, flip_v),
            ..axis(v_px, resized.1, crop.1, input_v, flip_v)
        };
        let (x, y) = if transposed { (v, u) } else { (u, v) };
        Ok(Self { x, y, transposed })
    }

    /// Whether the camera's picture fills the whole network's picture.
    pub fn fills_input(&self) -> bool {
        [self.x, self.y].iter().all(|a| a.crop_px == a.input_px)
    }
}

/// First pixel and pixel count of a part of `whole_px`, at least one.
fn part_px(whole_px: u32, start: f32, length: f32) -> (u32, u32) {
    let edge = |part: f64| (part * f64::from(whole_px)).round() as u32;
    let first = edge(f64::from(start)).min(whole_px - 1);
    let end = edge(f64::from(start) + f64::from(length)).clamp(first + 1, whole_px);
    (first, end - first)
}

fn first_in_camera(whole_px: u32, first_px: u32, part_px: u32, flipped: bool) -> u32 {
    if flipped {
        whole_px - first_px - part_px
    } else {
        first_px
    }
}

fn axis(source_px: u32, resized_px: u64, crop_px: u32, input_px: u32, flipped: bool) -> Axis {
    Axis {
        first_px: 0,
        source_px,
        resized_px,
        offset_px: rounded(resized_px - u64::from(crop_px), 2),
        crop_px,
        at_px: rounded(u64::from(input_px - crop_px), 2) as u32,
        input_px,
        flipped,
    }
}

/// The size of the whole upright picture after the resize, and of the part of it that the network sees.
fn sizes(rule: &Rule, upright_px: (u32, u32)) -> ((u64, u64), (u32, u32)) {
    let input_px = rule.input_px;
    let both = |px: (u32, u32)| ((u64::from(px.0), u64::from(px.1)), px);
    match rule.resize {
        Resize::Crop => (
            cropped_px(upright_px, rule.shorter_px, input_px),
            rule.input_px,
        ),
        Resize::Fit => both(fitted_px(upright_px, input_px)),
        Resize::Stretch => both(input_px),
    }
}

/// The size of the whole upright picture after the resize; it covers the crop.
fn cropped_px(upright_px: (u32, u32), shorter_px: u32, crop_px: (u32, u32)) -> (u64, u64) {
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

/// The largest size with the picture's proportions that fits in the input; no side is below 1.
fn fitted_px(upright_px: (u32, u32), input_px: (u32, u32)) -> (u32, u32) {
    let (w, h) = (u64::from(upright_px.0), u64::from(upright_px.1));
    let (input_w, input_h) = (u64::from(input_px.0), u64::from(input_px.1));
    // A rounded side is at most as long as the input's, so it fits in 32 bits again.
    if w * input_h >= h * input_w {
        let high = rounded(h * input_w, w).clamp(1, input_h);
        (input_px.0, high as u32)
    } else {
        let wide = rounded(w * input_h, h).clamp(1, input_w);
        (wide as u32, input_px.1)
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(mount: Mount, resize: Resize, shorter_px: u32, input_px: (u32, u32)) -> Rule {
        Rule {
            mount,
            resize,
            shorter_px,
            input_px,
        }
    }

    fn cropped(
        source_px: (u32, u32),
        mount: Mount,
        shorter_px: u32,
        crop: (u32, u32),
    ) -> Placement {
        let rule = rule(mount, Resize::Crop, shorter_px, crop);
        Placement::of(&rule, source_px, Area::WHOLE).unwrap()
    }

    #[test]
    fn sizes_and_offsets_follow_the_zoo() {
        let place = |w, h| cropped((w, h), Mount::default(), 256, (224, 224));
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
        assert!(p.fills_input());
    }

    #[test]
    fn a_crop_that_the_rule_does_not_cover_enlarges_the_picture() {
        let p = cropped((100, 100), Mount::default(), 256, (320, 240));
        assert_eq!((p.x.resized_px, p.y.resized_px), (320, 320));
        assert_eq!((p.x.offset_px, p.y.offset_px), (0, 40));
        let p = cropped((640, 480), Mount::default(), 100, (224, 224));
        assert_eq!((p.x.resized_px, p.y.resized_px), (299, 224));
    }

    #[test]
    fn a_fitted_picture_is_whole_and_in_the_middle() {
        let fit = |source_px, input_px| {
            let rule = rule(Mount::default(), Resize::Fit, 256, input_px);
            let p = Placement::of(&rule, source_px, Area::WHOLE).unwrap();
            assert_eq!((p.x.offset_px, p.y.offset_px), (0, 0));
            assert_eq!(p.x.resized_px, u64::from(p.x.crop_px));
            [p.x.at_px, p.y.at_px, p.x.crop_px, p.y.crop_px]
        };
        assert_eq!(fit((640, 480), (224, 224)), [0, 28, 224, 168]);
        assert_eq!(fit((640, 480), (192, 48)), [64, 0, 64, 48]);
        assert_eq!(fit((480, 640), (224, 224)), [28, 0, 168, 224]);
        assert_eq!(fit((100, 100), (224, 224)), [0, 0, 224, 224]);
        assert_eq!(fit((10_000, 1), (224, 224)), [0, 112, 224, 1]);
        // 12 rows of 17 leave 5, and half of that is 2.5: the even half is 2.
        assert_eq!(fit((17, 12), (17, 17)), [0, 2, 17, 12]);
    }

    #[test]
    fn a_stretched_picture_is_the_whole_input() {
        let rule = rule(Mount::default(), Resize::Stretch, 256, (192, 48));
        let p = Placement::of(&rule, (640, 480), Area::WHOLE).unwrap();
        assert!(p.fills_input());
        assert_eq!((p.x.resized_px, p.y.resized_px), (192, 48));
        assert_eq!((p.x.offset_px, p.y.offset_px), (0, 0));
    }

    #[test]
    fn rotation_turns_the_axes() {
        let mount = |rotate_deg, mirror| Mount {
            rotate_deg,
            mirror,
            resize: None,
        };
        let p = cropped((640, 480), mount(90, false), 256, (200, 224));
        assert!(p.transposed);
        assert_eq!((p.x.crop_px, p.y.crop_px), (224, 200));
        assert_eq!((p.x.flipped, p.y.flipped), (false, true));
        assert_eq!((p.x.resized_px, p.y.resized_px), (341, 256));
        let p = cropped((640, 480), mount(270, true), 256, (224, 224));
        assert_eq!((p.x.flipped, p.y.flipped), (true, true));
        let p = cropped((640, 480), mount(180, true), 256, (224, 224));
        assert_eq!((p.x.flipped, p.y.flipped), (false, true));
    }

    #[test]
    fn a_region_is_of_the_upright_picture() {
        let area = Area {
            left: 0.0,
            top: 0.25,
            width: 0.5,
            height: 0.75,
        };
        let place = |rotate_deg, mirror| {
            let mount = Mount {
                rotate_deg,
                mirror,
                resize: None,
            };
            let rule = rule(mount, Resize::Stretch, 256, (224, 224));
            let p = Placement::of(&rule, (640, 480), area).unwrap();
            [p.x.first_px, p.y.first_px, p.x.source_px, p.y.source_px]
        };
        assert_eq!(place(0, false), [0, 120, 320, 360]);
        assert_eq!(place(0, true), [320, 120, 320, 360]);
        assert_eq!(place(180, false), [320, 0, 320, 360]);
        // Upright it is 480 wide and 640 high: the left half is the camera's lower one.
        assert_eq!(place(90, false), [160, 240, 480, 240]);
        assert_eq!(place(270, false), [0, 0, 480, 240]);
    }

    #[test]
    fn a_region_of_a_few_pixels_is_refused() {
        let area = Area {
            left: 0.9,
            top: 0.0,
            width: 0.1,
            height: 1.0,
        };
        let rule = rule(Mount::default(), Resize::Crop, 256, (224, 224));
        assert!(Placement::of(&rule, (80, 60), area).is_ok());
        assert_eq!(Placement::of(&rule, (70, 60), area), Err((7, 60)));
        assert!(Placement::of(&rule, (1, 1), Area::WHOLE).is_ok());
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let p = cropped((u32::MAX, 1), Mount::default(), 256, (224, 224));
        assert_eq!(p.x.resized_px, 256 * u64::from(u32::MAX));
    }
}
