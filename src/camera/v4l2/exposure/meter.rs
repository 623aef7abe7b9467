//! Measures the brightness of a sensor's picture in linear light, on a sparse grid: a few thousand of its pixels.
//!
//! The driver's memory is often uncached, so every pixel costs a memory access; a grid of [`COLUMNS`] x [`ROWS`] squares of 2 x 2
//! pixels (all colours of a mosaic) still takes well below a millisecond, and its mean is as good as that of all pixels.

/// Grid squares from left to right.
pub(super) const COLUMNS: u32 = 32;
/// Grid squares from top to bottom.
pub(super) const ROWS: u32 = 24;

const SQUARES: u32 = COLUMNS * ROWS;

/// A pixel counts as clipped from this fraction of the range above black: some sensors saturate a little below their largest
/// value.
const CLIPS_AT: f32 = 0.98;

/// The fraction of the picture that counts as highlights: its brightest 4 %.
const HIGHLIGHT_PART: f32 = 0.04;

/// Number of histogram bins for finding the highlights.
const STEPS: usize = 256;

/// A picture's light. 0 is black and 1 the brightest that the sensor can measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    /// The mean, with the middle of the picture weighted three times as much as its corners. Noise may make it negative.
    pub mean: f32,
    /// The mean of the brightest 4 % of the picture; each square counts with its brightest pixel.
    pub highlights: f32,
    /// The fraction of pixels that clip.
    pub clipped: f32,
}

impl Reading {
    /// The fraction of the highlights that clip.
    pub fn blown(&self) -> f32 {
        (self.clipped / HIGHLIGHT_PART).min(1.0)
    }
}

/// Measures a picture of `width_px` x `height_px` (each at least 2) whose pixels `light` returns: 0 at black, 1 at the largest
/// value.
pub(super) fn read(width_px: u32, height_px: u32, light: impl Fn(u32, u32) -> f32) -> Reading {
    let (mut sum, mut weights, mut clipped) = (0.0, 0.0, 0);
    let mut brightest = [0u16; STEPS];
    for row in 0..ROWS {
        let top = first_of(row, ROWS, height_px);
        for column in 0..COLUMNS {
            let left = first_of(column, COLUMNS, width_px);
            let square = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| light(left + x, top + y));
            let most = square.iter().copied().fold(f32::MIN, f32::max);
            let weight = weight(column, COLUMNS) * weight(row, ROWS);
            sum += weight * square.iter().sum::<f32>() / 4.0;
            weights += weight;
            clipped += square.iter().filter(|&&light| light >= CLIPS_AT).count();
            let step = (most.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize;
            brightest[step] += 1;
        }
    }
    Reading {
        mean: sum / weights,
        highlights: mean_of_brightest(&brightest),
        clipped: clipped as f32 / (4 * SQUARES) as f32,
    }
}

/// The first pixel of a square: even, so that all squares of a mosaic start with the same colour, and with another one after it.
fn first_of(square: u32, squares: u32, length_px: u32) -> u32 {
    let pairs = u64::from(length_px / 2);
    let middle = (2 * u64::from(square) + 1) * pairs / (2 * u64::from(squares));
    2 * middle.min(pairs.saturating_sub(1)) as u32
}

/// From 1 at the edge to the square root of 3 in the middle.
fn weight(square: u32, squares: u32) -> f32 {
    let from_middle = ((2 * square + 1) as f32 / squares as f32 - 1.0).abs();
    1.0 + (3f32.sqrt() - 1.0) * (1.0 - from_middle)
}

/// The mean of the brightest squares, from the number in each bin.
fn mean_of_brightest(counts: &[u16; STEPS]) -> f32 {
    let wanted = (HIGHLIGHT_PART * SQUARES as f32).ceil();
    let (mut left, mut sum) = (wanted, 0.0);
    for (step, &count) in counts.iter().enumerate().rev() {
        let taken = f32::from(count).min(left);
        sum += taken * step as f32 / (STEPS - 1) as f32;
        left -= taken;
        if left <= 0.0 {
            break;
        }
    }
    sum / wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_picture_is_measured_at_its_brightness() {
        for (width_px, height_px) in [(2, 2), (3, 5), (64, 48), (1640, 1232), (8192, 16)] {
            let reading = read(width_px, height_px, |x, y| {
                assert!(
                    x < width_px && y < height_px,
                    "{x}, {y} of {width_px}x{height_px}"
                );
                0.25
            });
            assert!((reading.mean - 0.25).abs() < 1e-5, "{reading:?}");
            assert!((reading.highlights - 0.25).abs() < 0.003, "{reading:?}");
            assert_eq!(reading.clipped, 0.0);
        }
    }

    #[test]
    fn all_colours_of_a_mosaic_count_alike() {
        let mosaic = |x: u32, y: u32| [[0.1, 0.2], [0.3, 0.4]][(y % 2) as usize][(x % 2) as usize];
        for (width_px, height_px) in [(641, 481), (1640, 1232)] {
            let reading = read(width_px, height_px, mosaic);
            assert!((reading.mean - 0.25).abs() < 1e-5, "{reading:?}");
            assert!((reading.highlights - 0.4).abs() < 0.003, "{reading:?}");
        }
    }

    #[test]
    fn the_middle_counts_more_and_a_lamp_is_seen() {
        let half = |inside: bool| if inside { 0.5 } else { 0.0 };
        let middle = read(640, 480, |x, _| half((160..480).contains(&x))).mean;
        let sides = read(640, 480, |x, _| half(!(160..480).contains(&x))).mean;
        assert!((middle + sides - 0.5).abs() < 1e-4, "{middle} {sides}");
        assert!(middle > 1.2 * sides, "{middle} {sides}");

        // 1 of 24 squares of the picture.
        let lamp = read(640, 480, |_, y| if y < 20 { 1.0 } else { 0.1 });
        assert!((lamp.clipped - 1.0 / 24.0).abs() < 1e-4, "{lamp:?}");
        assert_eq!((lamp.highlights, lamp.blown()), (1.0, 1.0));
        // A quarter of the highlights.
        let small = read(640, 480, |x, y| if y < 20 && x < 160 { 1.0 } else { 0.1 });
        assert!((0.2..0.3).contains(&small.blown()), "{small:?}");
        assert!((0.3..0.35).contains(&small.highlights), "{small:?}");
    }

    #[test]
    fn noise_about_black_has_the_mean_of_black() {
        let random = std::cell::RefCell::new(fastrand::Rng::with_seed(1));
        let noise = |_, _| 0.03 * (random.borrow_mut().f32() - 0.5);
        assert!(read(640, 480, noise).mean.abs() < 0.002);
    }
}
