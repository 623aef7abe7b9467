//! LocalResponseNormalization and resized pictures.

use super::Values;
use crate::network::fused::tests::near::{Near, exact, sum};
use crate::network::graph::resize::Resize;
use crate::network::graph::{Lrn, Shape};

/// One pixel.
pub(super) fn lrn(of: &Lrn, x: &[Near]) -> Values {
    let one = |c: usize| {
        let around = (0..of.size).filter_map(|tap| x.get((c + tap).checked_sub(of.before())?));
        let total = sum(around.map(|&x| x * x));
        let scale = total * exact(of.alpha / of.size as f32) + exact(of.bias);
        let factor = scale.map(|s| f64::from(s).powf(f64::from(-of.beta)) as f32);
        // Powers are taken as roots, and sums may be fused, whatever the number of terms.
        x[c] * factor.and_off(8.0 * f32::EPSILON * factor.is)
    };
    (0..x.len()).map(one).collect()
}

pub(super) fn resized(of: &Resize, x: &Values, from: Shape) -> Values {
    let pixel = |row: usize, column: usize| &x[(row * from.w + column) * from.c..][..from.c];
    let mut y = Values::new();
    match of {
        Resize::Nearest { rows, columns } => {
            for &row in rows {
                for &column in columns {
                    y.extend(pixel(row, column));
                }
            }
        }
        Resize::Linear { rows, columns } => {
            for row in rows {
                for column in columns {
                    for c in 0..from.c {
                        let term = |first_row: bool, first_column: bool| {
                            let at = |first: bool, one, other| if first { one } else { other };
                            let x = pixel(
                                at(first_row, row.first, row.second),
                                at(first_column, column.first, column.second),
                            )[c];
                            let share =
                                |first: bool, share: f32| if first { 1.0 - share } else { share };
                            x * exact(
                                share(first_row, row.share) * share(first_column, column.share),
                            )
                        };
                        let places = [(true, true), (true, false), (false, true), (false, false)];
                        y.push(sum(places
                            .into_iter()
                            .map(|(row, column)| term(row, column))));
                    }
                }
            }
        }
    }
    y
}
