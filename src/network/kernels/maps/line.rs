//! The line through a staircase: whether a table of 256 whole numbers is a rounded line between two limits, and which one.
//!
//! A value `y` is right where the line is between `y - 1/2` and `y + 1/2`; at a limit only one of these counts. So the line has to
//! pass below some points and above others. For a slope, the room between both (`Room`) is a concave function, largest where two
//! tangents meet.

use std::ops::Range;

/// Slopes tried for a table.
const MAX_TRIES: usize = 48;
/// Steeper lines are a step from limit to limit already.
const MAX_SLOPE: f64 = 1024.0;

/// How far the lines of one slope can be moved.
#[derive(Clone, Copy)]
struct Room {
    slope: f64,
    /// The addends of the lowest and the highest line; the highest may be below the lowest.
    low: f64,
    high: f64,
    /// How the room grows with the slope.
    growth: f64,
}

impl Room {
    fn width(&self) -> f64 {
        self.high - self.low
    }

    /// For `y[i]` at `first + i`.
    fn of(slope: f64, first: i32, y: &[i32], (least, most): (i32, i32)) -> Self {
        let (mut low, mut high) = ((f64::NEG_INFINITY, 0.0), (f64::INFINITY, 0.0));
        for (x, &y) in (first..).zip(y) {
            let x = f64::from(x);
            let rest = f64::from(y) - slope * x;
            if y != least && rest - 0.5 > low.0 {
                low = (rest - 0.5, x);
            }
            if y != most && rest + 0.5 < high.0 {
                high = (rest + 0.5, x);
            }
        }
        Self {
            slope,
            low: low.0,
            high: high.0,
            growth: low.1 - high.1,
        }
    }
}

/// Factor and addend of a line that `is_right` accepts. The table has `y[i]` at `first + i`; the limits are its least and largest
/// value, or further out.
pub(super) fn through(
    first: i32,
    y: &[i32; 256],
    limits: (i32, i32),
    is_right: impl Fn((f32, f32)) -> bool,
) -> Option<(f32, f32)> {
    if y.iter().all(|&v| v == y[0]) {
        return Some((0.0, y[0] as f32)).filter(|&line| is_right(line));
    }
    let steep = steep_part(y, limits);
    let (steep_first, steep) = (first + steep.start as i32, &y[steep]);
    let try_room = |slope: f64| {
        let room = Room::of(slope, steep_first, steep, limits);
        // Near the middle first: the farther from a tie, the less rounding matters.
        let lines = [0.5, 0.25, 0.75].map(|part| {
            let b = room.low + part * room.width();
            (slope as f32, b as f32)
        });
        let right = lines.into_iter().filter(|_| room.width() > 0.0);
        (room, right.into_iter().find(|&line| is_right(line)))
    };
    // Between which slopes the largest room is: around that of the part between the limits, or any.
    let near = slope_between(y, limits)
        .into_iter()
        .flat_map(|(s, by)| [(s - by, s + by)]);
    for (from, to) in near.chain([(-MAX_SLOPE, MAX_SLOPE)]) {
        let ((mut left, found), (mut right, other)) = (try_room(from), try_room(to));
        if let Some(line) = found.or(other) {
            return Some(line);
        }
        if left.growth <= 0.0 || right.growth >= 0.0 {
            continue;
        }
        for _ in 0..MAX_TRIES {
            let risen = right.width() - left.width();
            let run = left.growth * left.slope - right.growth * right.slope;
            let slope = (risen + run) / (left.growth - right.growth);
            let (room, found) = try_room(slope);
            if found.is_some() {
                return found;
            }
            if room.growth > 0.0 && slope > left.slope {
                left = room;
            } else if room.growth < 0.0 && slope < right.slope {
                right = room;
            } else {
                break;
            }
        }
    }
    None
}

/// The part that decides: of a run at a limit, only its last value before the others matters.
fn steep_part(y: &[i32; 256], (least, most): (i32, i32)) -> Range<usize> {
    let is_limit = |v: i32| v == least || v == most;
    let start = (y.iter().position(|&v| v != y[0])).filter(|_| is_limit(y[0]));
    let end = (y.iter().rposition(|&v| v != y[255])).filter(|_| is_limit(y[255]));
    start.map_or(0, |at| at.saturating_sub(1))..end.map_or(256, |at| (at + 2).min(256))
}

/// The slope of the part that is at neither limit, and how much the line's can differ.
fn slope_between(y: &[i32; 256], (least, most): (i32, i32)) -> Option<(f64, f64)> {
    let inside = |v: &i32| *v != least && *v != most;
    let (from, to) = (y.iter().position(inside)?, y.iter().rposition(inside)?);
    let run = (to - from) as f64;
    (run > 0.0).then(|| (f64::from(y[to] - y[from]) / run, 1.01 / run))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rounded line between limits.
    fn rounded_line(a: f64, b: f64, (low, high): (i32, i32)) -> [i32; 256] {
        std::array::from_fn(|x| ((a * x as f64 + b).round_ties_even() as i32).clamp(low, high))
    }

    fn found(y: &[i32; 256], limits: (i32, i32)) -> Option<(f32, f32)> {
        let value = |(a, b): (f32, f32), x: usize| (x as f32 * a + b).round_ties_even() as i32;
        let right = |line| (0..256).all(|x| value(line, x).clamp(limits.0, limits.1) == y[x]);
        through(0, y, limits, right)
    }

    #[test]
    fn a_rounded_line_is_found_whatever_its_slope_and_limits() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..4000 {
            let size = [0.01, 0.3, 1.0, 3.0, 40.0][random.usize(..5)];
            let a = (random.f64() - 0.5) * 2.0 * size;
            let b = 128.0 - a * random.f64() * 255.0;
            let limits = match random.usize(..3) {
                0 => (0, 255),
                1 => (random.i32(0..100), random.i32(150..256)),
                _ => (0, random.i32(1..255)),
            };
            let y = rounded_line(a, b, limits);
            assert!(found(&y, limits).is_some(), "{a} {b} {limits:?}");
        }
        // The identity and constants.
        assert!(found(&rounded_line(1.0, 0.0, (0, 255)), (0, 255)).is_some());
        assert!(found(&[7; 256], (0, 255)).is_some());
    }

    #[test]
    fn curves_and_jumps_are_not_lines() {
        let curve: [i32; 256] = std::array::from_fn(|x| (x * x / 255) as i32);
        assert_eq!(found(&curve, (0, 255)), None);
        let mut jump = rounded_line(0.7, 3.0, (0, 255));
        jump[100] += 1;
        assert_eq!(found(&jump, (0, 255)), None);
        let valley: [i32; 256] = std::array::from_fn(|x| (x as i32 - 128).abs());
        assert_eq!(found(&valley, (0, 255)), None);
    }
}
