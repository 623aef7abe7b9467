//! White balance: the gains of red and blue under which the picture's mean colour is grey.
//!
//! The mean is one of logarithms of the ratios red : green and blue : green over a grid of cells. Cells far from the mean count
//! less, so that a coloured object in front of a plain background does not shift it (a robust mean, with Cauchy weights). Clipped
//! and dark cells carry no information and are left out.
//!
//! If the sensor is known, white lies near the line between its warmest and its coolest light: a picture that is green all over
//! is then a green scene, not one under a green lamp.

use crate::frame::{BayerFormat, Frame};

/// Columns and rows of the grid.
const GRID: (usize, usize) = (32, 24);
/// Gains of red and blue relative to green for an unknown sensor: lamps and daylight need gains in this range.
const MIN_GAIN: f32 = 0.5;
const MAX_GAIN: f32 = 4.0;
/// A sample above this fraction of a full one may be clipped.
const CLIPPED: f32 = 0.95;
/// Light below this fraction of a full sample is noise.
const DARK: f32 = 0.01;
/// Ratios this far off, as a logarithm, have half weight.
const HALF_WEIGHT: f32 = 0.25;
/// Iterations in which the mean is recomputed around the last one. It continues from frame to frame.
const FIRST_ROUNDS: u32 = 8;
/// With fewer cells there is no reliable estimate.
const MIN_CELLS: usize = GRID.0 * GRID.1 / 50;
/// How far white may be from the line of a known sensor, as a logarithm: lamps differ that much from black bodies.
const BESIDE_LINE: f32 = 0.06;
/// The weight of a new frame: a change of light is followed within a second or two.
const SMOOTHING: f32 = 0.1;
/// Differences too small to see.
const SAME: f32 = 0.004;

/// Logarithms of red : green and blue : green.
type Ratio = [f32; 2];

/// Measures white.
#[derive(Debug)]
pub(super) struct White {
    fixed: bool,
    /// Of the warmest and the coolest light, if known.
    lights: Option<[Ratio; 2]>,
    /// The current estimate for grey.
    grey: Ratio,
    /// The estimate at the last reported change.
    reported: Ratio,
    measured: bool,
    ratios: Vec<Ratio>,
}

impl White {
    /// With fixed gains of red and blue, or measured ones, for the lights of a known sensor.
    pub fn new(fixed: Option<[f32; 2]>, lights: Option<[[f32; 2]; 2]>) -> Self {
        let lights = lights.map(|lights| lights.map(|ratio| ratio.map(f32::ln)));
        let grey = match (fixed, lights) {
            (Some(gains), _) => gains.map(|gain| -gain.ln()),
            (None, Some([warm, cool])) => [0, 1].map(|c| f32::midpoint(warm[c], cool[c])),
            (None, None) => [0.0; 2],
        };
        Self {
            fixed: fixed.is_some(),
            lights,
            grey,
            reported: grey,
            measured: false,
            ratios: Vec::with_capacity(GRID.0 * GRID.1),
        }
    }

    /// Gains of red, green and blue, of which the smallest is 1: a full sample is white under any gains.
    pub fn gains(&self) -> [f32; 3] {
        let gains = [-self.reported[0], 0.0, -self.reported[1]].map(f32::exp);
        let least = gains.into_iter().fold(f32::INFINITY, f32::min);
        gains.map(|gain| gain / least)
    }

    /// Measures a frame; returns whether the gains have changed. `black` is the black level as a fraction of a full sample.
    pub fn measure(&mut self, format: BayerFormat, black: f32, frame: &Frame<'_>) -> bool {
        if self.fixed {
            return false;
        }
        self.sample(format, black, frame);
        if self.ratios.len() < MIN_CELLS {
            return false;
        }
        if self.measured {
            let now = self.bounded(mean_around(&self.ratios, self.grey));
            for (grey, now) in self.grey.iter_mut().zip(now) {
                *grey += SMOOTHING * (now - *grey);
            }
        } else {
            let mut mean = median(&mut self.ratios);
            for _ in 0..FIRST_ROUNDS {
                mean = mean_around(&self.ratios, mean);
            }
            self.grey = self.bounded(mean);
            self.measured = true;
        }
        let moved = self
            .grey
            .iter()
            .zip(self.reported)
            .map(|(now, reported)| (now - reported).abs());
        let changed = moved.fold(0.0, f32::max) > SAME;
        if changed {
            self.reported = self.grey;
        }
        changed
    }

    /// The possible value nearest to a measured ratio.
    fn bounded(&self, ratio: Ratio) -> Ratio {
        let Some([warm, cool]) = self.lights else {
            return ratio.map(|part| part.clamp(-MAX_GAIN.ln(), -MIN_GAIN.ln()));
        };
        let along = [cool[0] - warm[0], cool[1] - warm[1]];
        let away = [ratio[0] - warm[0], ratio[1] - warm[1]];
        let length = (along[0] * along[0] + along[1] * along[1]).sqrt();
        let forward = (away[0] * along[0] + away[1] * along[1]) / length;
        let aside = (away[0] * along[1] - away[1] * along[0]) / length;
        let (forward, aside) = (
            forward.clamp(0.0, length),
            aside.clamp(-BESIDE_LINE, BESIDE_LINE),
        );
        [
            warm[0] + (forward * along[0] + aside * along[1]) / length,
            warm[1] + (forward * along[1] - aside * along[0]) / length,
        ]
    }

    /// The ratios of the informative cells.
    fn sample(&mut self, format: BayerFormat, black: f32, frame: &Frame<'_>) {
        self.ratios.clear();
        let stride = frame.geometry.stride_bytes as usize;
        let row_bytes = format.depth.row_bytes(frame.geometry.width_px) as usize;
        let (columns, rows) = (
            frame.geometry.width_px as usize / 2,
            frame.geometry.height_px as usize / 2,
        );
        let full = f32::from((1_u16 << format.depth.bits()) - 1);
        for i in 0..GRID.0 * GRID.1 {
            let place = |at: usize, of: usize, cells: usize| (2 * at + 1) * cells / (2 * of) * 2;
            let (x, y) = (
                place(i % GRID.0, GRID.0, columns),
                place(i / GRID.0, GRID.1, rows),
            );
            let mut light = [0.0; 3];
            let mut most = 0.0_f32;
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let row = &frame.data[(y + dy) * stride..][..row_bytes];
                let sample = f32::from(format.row_sample(row, x + dx)) / full;
                most = most.max(sample);
                light[format.order.colour_at(dx, dy)] += (sample - black) / (1.0 - black);
            }
            let [r, g, b] = [light[0], light[1] / 2.0, light[2]];
            if most < CLIPPED && r.min(g).min(b) > DARK {
                self.ratios.push([(r / g).ln(), (b / g).ln()]);
            }
        }
    }
}

/// The median of each logarithm. There must be at least one.
fn median(ratios: &mut [Ratio]) -> Ratio {
    let half = ratios.len() / 2;
    [0, 1].map(|c| {
        let (_, middle, _) = ratios.select_nth_unstable_by(half, |a, b| a[c].total_cmp(&b[c]));
        middle[c]
    })
}

/// The mean, with less weight for values far from `center`.
fn mean_around(ratios: &[Ratio], center: Ratio) -> Ratio {
    let (mut sum, mut weights) = ([0.0; 2], 0.0);
    for ratio in ratios {
        let away: f32 = ratio
            .iter()
            .zip(center)
            .map(|(a, b)| (a - b) * (a - b))
            .sum();
        let weight = 1.0 / (1.0 + away / (HALF_WEIGHT * HALF_WEIGHT));
        weights += weight;
        for (sum, part) in sum.iter_mut().zip(ratio) {
            *sum += weight * part;
        }
    }
    sum.map(|sum| sum / weights)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::{Geometry, PixelFormat};
    use std::time::Duration;

    const BLACK: f32 = 0.0625;
    const SIDE_PX: u32 = 96;

    /// A raw picture of 12 bits whose cells have these colours, in linear light before the sensor's own response.
    fn picture(
        colour: impl Fn(u32, u32) -> [f32; 3],
        response: [f32; 3],
    ) -> (BayerFormat, Vec<u8>) {
        let format = BayerFormat::ALL[10];
        let mut data = Vec::new();
        for y in 0..SIDE_PX {
            for x in 0..SIDE_PX {
                let c = format.order.colour_at(x as usize, y as usize);
                let light = (colour(x / 2, y / 2)[c] * response[c]).min(1.0);
                let sample = (BLACK + (1.0 - BLACK) * light) * 4095.0;
                data.extend((sample.round() as u16).to_le_bytes());
            }
        }
        (format, data)
    }

    fn measure(white: &mut White, (format, data): &(BayerFormat, Vec<u8>)) -> [f32; 3] {
        let geometry = Geometry::packed(PixelFormat::Bayer(*format), SIDE_PX, SIDE_PX);
        let frame = Frame::new(geometry, data, Duration::ZERO, 0).unwrap();
        white.measure(*format, BLACK, &frame);
        white.gains()
    }

    fn assert_near(gains: [f32; 3], want: [f32; 3], tolerance: f32) {
        let near = gains
            .iter()
            .zip(want)
            .all(|(a, b)| (a / b - 1.0).abs() < tolerance);
        assert!(near, "{gains:?}, wanted {want:?}");
    }

    const DAYLIGHT: [f32; 3] = [0.5, 1.0, 0.6];
    const LAMP: [f32; 3] = [0.9, 1.0, 0.35];

    fn grey_noise(x: u32, y: u32) -> [f32; 3] {
        [0.1 + 0.6 * ((x * 7 + y * 13) % 10) as f32 / 10.0; 3]
    }

    #[test]
    fn a_grey_scene_is_grey_at_once_and_white_follows_a_new_light() {
        let mut white = White::new(None, None);
        let gains = measure(&mut white, &picture(grey_noise, DAYLIGHT));
        assert_near(gains, [2.0, 1.0, 1.0 / 0.6], 0.02);
        let lamp = picture(grey_noise, LAMP);
        let first = measure(&mut white, &lamp);
        assert!((first[0] - 2.0).abs() < 0.3, "no jump: {first:?}");
        let mut before = first;
        for _ in 0..60 {
            let now = measure(&mut white, &lamp);
            assert!(now[0] <= before[0] + 1e-6 && now[2] >= before[2] - 1e-6);
            before = now;
        }
        assert_near(before, [1.0 / 0.9, 1.0, 1.0 / 0.35], 0.03);
    }

    #[test]
    fn a_coloured_thing_does_not_make_the_background_coloured() {
        let thing = |x: u32, y: u32| {
            let inside = (10..34).contains(&x) && (10..38).contains(&y);
            if inside {
                [0.7, 0.08, 0.05]
            } else {
                grey_noise(x, y)
            }
        };
        let gains = measure(&mut White::new(None, None), &picture(thing, DAYLIGHT));
        assert_near(gains, [2.0, 1.0, 1.0 / 0.6], 0.06);
    }

    #[test]
    fn darkness_and_glare_leave_white_as_it_was_and_limits_hold() {
        let mut white = White::new(None, None);
        let grey = measure(&mut white, &picture(grey_noise, DAYLIGHT));
        for level in [0.0, 0.001, 5.0] {
            assert_eq!(
                measure(&mut white, &picture(|_, _| [level; 3], DAYLIGHT)),
                grey
            );
        }
        let red = picture(|_, _| [0.9, 0.02, 0.02], [1.0; 3]);
        let gains = measure(&mut White::new(None, None), &red);
        assert_near(gains, [1.0, 2.0, 2.0], 0.01);
        let fixed = measure(&mut White::new(Some([0.5, 2.0]), None), &red);
        assert_near(fixed, [1.0, 2.0, 4.0], 0.001);
    }

    #[test]
    fn a_known_sensors_white_is_that_of_a_light() {
        let lights = [[0.9, 0.4], [0.45, 0.8]];
        // Between both, exactly on the line.
        let response = [(0.9_f32 * 0.45).sqrt(), 1.0, (0.4_f32 * 0.8).sqrt()];
        let mut white = White::new(None, Some(lights));
        let gains = measure(&mut white, &picture(grey_noise, response));
        assert_near(gains, response.map(|part| 1.0 / part), 0.02);
        // A lawn is green, and a fire is redder than any lamp.
        let lawn = picture(|_, _| [0.1, 0.4, 0.1], response);
        let gains = measure(&mut White::new(None, Some(lights)), &lawn);
        assert_near(gains, response.map(|part| 1.0 / part), 0.1);
        let fire = picture(|_, _| [0.6, 0.3, 0.06], response);
        let gains = measure(&mut White::new(None, Some(lights)), &fire);
        assert_near(gains, [1.0 / 0.9, 1.0, 1.0 / 0.4], 0.1);
    }
}
