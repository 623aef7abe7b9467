//! A fraction shown as a ring along the edge of a round display: three quarters of a circle, from the lower left over the top to
//! the lower right.
//!
//! Only sums, products and square roots of `f32` are used, so pictures are the same on every machine.

use super::canvas::{Canvas, Rgb};

/// The ring is drawn in this many steps: whole percents.
const STEPS: usize = 100;

/// Cosine and sine of one step, 2.7 degrees.
const STEP: (f64, f64) = (0.998_889_874_961_97, 0.047_106_450_709_642_665);

/// Both components of a direction halfway between two axes.
const DIAGONAL: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The ring of one display.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Both coordinates of the centre: the corner between pixels for an even diameter.
    centre: f32,
    outer: f32,
    inner: f32,
    /// The direction of each percent: a unit vector, y down.
    ways: [(f32, f32); STEPS + 1],
}

impl Ring {
    /// The ring of a round display of this diameter.
    pub fn on(diameter_px: u32) -> Self {
        let diameter = diameter_px as f32;
        let outer = diameter / 2.0 - (diameter_px / 80).max(1) as f32;
        let mut way = (-DIAGONAL, DIAGONAL);
        let mut ways = [(0.0, 0.0); STEPS + 1];
        for to in &mut ways {
            *to = (way.0 as f32, way.1 as f32);
            way = (
                way.0 * STEP.0 - way.1 * STEP.1,
                way.0 * STEP.1 + way.1 * STEP.0,
            );
        }
        Self {
            centre: diameter / 2.0,
            outer,
            inner: outer - (diameter_px / 24).max(4) as f32,
            ways,
        }
    }

    /// From the display's centre to the ring's outer edge.
    pub fn outer_px(&self) -> u32 {
        self.outer as u32
    }

    /// From the display's centre to the ring's inner edge.
    pub fn inner_px(&self) -> u32 {
        self.inner as u32
    }

    /// Whether any part of a pixel may belong to the ring.
    pub fn touches(&self, x: u32, y: u32) -> bool {
        let (x, y) = (x as f32 + 0.5 - self.centre, y as f32 + 0.5 - self.centre);
        let distance = (x * x + y * y).sqrt();
        distance >= self.inner - 1.0 && distance <= self.outer + 1.0
    }

    /// Draws the ring from its start up to `share`, 0 to 1; NaN counts as 0.
    pub fn fill(&self, canvas: &mut Canvas, share: f32, colour: Rgb) {
        let end = step(share);
        if end == 0 {
            return;
        }
        let (from, to) = (self.ways[0], self.ways[end]);
        // 180 degrees are 66.7 steps: above that the half-planes of the two sides are united, below it they are intersected.
        let is_wide = end > STEPS * 2 / 3;
        self.cover(canvas, colour, |at| {
            let (after, before) = (inside(cross(from, at)), inside(cross(at, to)));
            if is_wide {
                after.max(before)
            } else {
                after.min(before)
            }
        });
    }

    /// Draws a mark across the ring at `share`.
    pub fn mark(&self, canvas: &mut Canvas, share: f32, colour: Rgb) {
        let way = self.ways[step(share)];
        let half = ((self.outer - self.inner) / 6.0).max(1.0);
        self.cover(canvas, colour, |at| {
            let is_ahead = way.0 * at.0 + way.1 * at.1 > 0.0;
            let off = cross(way, at).abs();
            if is_ahead { inside(half - off) } else { 0.0 }
        });
    }

    /// Blends `colour` over the ring's pixels; `part` of a place (seen from the centre) is 0 to 1.
    fn cover(&self, canvas: &mut Canvas, colour: Rgb, part: impl Fn((f32, f32)) -> f32) {
        let side = (self.centre * 2.0) as u32;
        for y in 0..side {
            let down = y as f32 + 0.5 - self.centre;
            for x in 0..side {
                let right = x as f32 + 0.5 - self.centre;
                let square = right * right + down * down;
                let (least, most) = ((self.inner - 1.0).max(0.0), self.outer + 1.0);
                if square < least * least || square > most * most {
                    continue;
                }
                let distance = square.sqrt();
                let across = inside(self.outer - distance) * inside(distance - self.inner);
                let coverage = across * part((right, down));
                canvas.blend(x as i32, y as i32, colour, (coverage * 255.0 + 0.5) as u8);
            }
        }
    }
}

/// The whole percent of a share.
fn step(share: f32) -> usize {
    // A cast from float saturates, and turns NaN into 0.
    ((share * STEPS as f32 + 0.5) as usize).min(STEPS)
}

/// How much of a pixel is inside an edge at this distance from its centre.
fn inside(distance: f32) -> f32 {
    (distance + 0.5).clamp(0.0, 1.0)
}

/// Positive if `b` is clockwise of `a` (y down), by up to half a turn.
fn cross(a: (f32, f32), b: (f32, f32)) -> f32 {
    a.0 * b.1 - a.1 * b.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::Depth;

    const SIDE: u32 = 240;

    fn drawn(draw: impl Fn(&Ring, &mut Canvas)) -> (Canvas, f64) {
        let (ring, mut canvas) = (Ring::on(SIDE), Canvas::new(SIDE, SIDE, Depth::Rgb888));
        draw(&ring, &mut canvas);
        let mut sum = 0.0;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let value = canvas.pixel(x, y)[0];
                assert!(value == 0 || ring.touches(x, y), "{x}, {y}");
                sum += f64::from(value) / 255.0;
            }
        }
        (canvas, sum)
    }

    #[test]
    fn the_area_grows_with_the_share() {
        let ring = Ring::on(SIDE);
        let circle = |radius: f32| f64::from(radius) * f64::from(radius) * std::f64::consts::PI;
        let whole = 0.75 * (circle(ring.outer) - circle(ring.inner));
        for percent in [0_u8, 1, 10, 33, 50, 66, 67, 68, 90, 100] {
            let share = f32::from(percent) / 100.0;
            let (_, area) = drawn(|ring, canvas| ring.fill(canvas, share, [255; 3]));
            let wanted = whole * f64::from(share);
            assert!(
                (area - wanted).abs() < whole * 0.005,
                "{percent}: {area}, not {wanted}"
            );
        }
        for share in [f32::NAN, -3.0] {
            let (_, area) = drawn(|ring, canvas| ring.fill(canvas, share, [255; 3]));
            assert!(area < 1.0, "{share}: {area}");
        }
    }

    #[test]
    fn it_begins_at_the_lower_left_and_leaves_the_foot_open() {
        let middle = SIDE / 2;
        let is_drawn = |share: f32, x: u32, y: u32| {
            let (canvas, _) = drawn(|ring, canvas| ring.fill(canvas, share, [255; 3]));
            canvas.pixel(x, y)[0] == 255
        };
        let (left, top, right, foot) = (
            (8, middle),
            (middle, 8),
            (SIDE - 9, middle),
            (middle, SIDE - 9),
        );
        assert!(is_drawn(0.2, left.0, left.1) && !is_drawn(0.1, left.0, left.1));
        assert!(is_drawn(0.6, top.0, top.1) && !is_drawn(0.45, top.0, top.1));
        assert!(is_drawn(0.9, right.0, right.1) && !is_drawn(0.8, right.0, right.1));
        assert!(!is_drawn(1.0, foot.0, foot.1));
        let (canvas, area) = drawn(|ring, canvas| ring.mark(canvas, 0.5, [255; 3]));
        assert_eq!(canvas.pixel(top.0, top.1), [255; 3]);
        assert!(area < 60.0, "{area}");
    }
}
