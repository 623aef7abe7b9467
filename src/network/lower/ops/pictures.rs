//! LocalResponseNormalization and Resize.

use crate::network::graph::resize::{Between, Resize};
use crate::network::graph::{Lrn, Op, Shape};
use crate::network::lower::{Activation, Lower, Lowered, Value, View};
use crate::network::onnx::attributes::{float, int, ints, normalised_index, text};
use tract_onnx::pb::NodeProto;

/// The most channels that a LocalResponseNormalization sums up.
const MAX_LRN: i64 = 1024;

impl Lower {
    pub(crate) fn lrn(&mut self, node: &NodeProto) -> Lowered<Value> {
        let size = int(node, "size", 0);
        if !(1..=MAX_LRN).contains(&size) {
            return Err(format!("sums up {size} channels"));
        }
        let of = Lrn {
            size: size as usize,
            alpha: float(node, "alpha", 1e-4),
            beta: float(node, "beta", 0.75),
            bias: float(node, "bias", 1.0),
        };
        let x = self.input_value(node, 0)?;
        let x = self.channels_second(node, x)?;
        let act = self.materialise(&x)?;
        let act = self.float_of(act)?;
        if act.view != View::Nchw {
            return Err("the input's axes are in another order".into());
        }
        let tensor = self.tensors[act.id.0].clone();
        let id = self.add_layer(Op::Lrn(of), vec![act.id], tensor, &node.name);
        Ok(Value::Activation(Activation { id, ..act }))
    }

    pub(crate) fn resize(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let x = self.settled(node, &x)?;
        let mut act = self.materialise(&x)?;
        let from = self.shape(act.id);
        let (dims, rows_at) = match act.view {
            View::Nchw => ([1, from.c, from.h, from.w], 2),
            View::Nhwc => ([1, from.h, from.w, from.c], 1),
            _ => return Err("the input is not a picture".into()),
        };
        let along = self.resized(node, dims)?;
        let moved = |at: usize| along[at].size != dims[at];
        if (0..4).any(|at| at != rows_at && at != rows_at + 1 && moved(at)) {
            return Err("resizes other axes than rows and columns".into());
        }
        let (rows, columns) = (along[rows_at], along[rows_at + 1]);
        let shape = Shape::new(rows.size, columns.size, from.c)?;
        let how = How::of(node, self.opset)?;
        let of = match how.nearest {
            Some(nearest) => Resize::Nearest {
                rows: how.each(rows, from.h, |x| nearest.of(x, rows.scale, from.h)),
                columns: how.each(columns, from.w, |x| nearest.of(x, columns.scale, from.w)),
            },
            None => {
                act = self.float_of(act)?;
                Resize::Linear {
                    rows: how.each(rows, from.h, |x| between(x, from.h)),
                    columns: how.each(columns, from.w, |x| between(x, from.w)),
                }
            }
        };
        if !of.fits(from, shape) {
            return Err("takes rows or columns that the input does not have".into());
        }
        let tensor = self.same_kind(act, shape);
        let id = self.add_layer(Op::Resize(of), vec![act.id], tensor, &node.name);
        Ok(Value::Activation(Activation { id, ..act }))
    }

    /// The new size of each axis of the input.
    fn resized(&self, node: &NodeProto, dims: [usize; 4]) -> Lowered<[Along; 4]> {
        if !matches!(text(node, "keep_aspect_ratio_policy"), "" | "stretch") {
            return Err("keeps proportions".into());
        }
        let axes = ints(node, "axes").unwrap_or_else(|| vec![0, 1, 2, 3]);
        let mut all = dims.map(|size| Along { size, scale: 1.0 });
        let scales_at = if self.opset < 11 { 1 } else { 2 };
        let by_size = self.opset >= 11 && self.has_input(node, 3);
        let scales = if by_size {
            let sizes = self.const_ints(node, 3)?;
            let sizes = sizes.iter().map(|&size| size as f32);
            sizes.collect::<Vec<f32>>()
        } else {
            self.const_floats(node, scales_at)?.0
        };
        if scales.len() != axes.len() {
            return Err(format!("has {} sizes for {axes:?}", scales.len()));
        }
        for (&axis, &value) in axes.iter().zip(&scales) {
            let axis = normalised_index(axis, 4)
                .filter(|&axis| axis < 4)
                .ok_or("an axis is not there")?;
            // ONNX Runtime's arithmetic.
            let from = dims[axis] as f32;
            let (size, scale) = if by_size {
                (value, value / from)
            } else {
                ((from * value).floor(), value)
            };
            if !(1.0..=1e6).contains(&size) || !scale.is_finite() {
                return Err(format!("resizes {from} to {size}"));
            }
            all[axis] = Along {
                size: size as usize,
                scale,
            };
        }
        Ok(all)
    }
}

/// The new size of an axis, and the scale that places are computed with.
#[derive(Debug, Clone, Copy)]
struct Along {
    size: usize,
    scale: f32,
}

/// How places in the result become places in the input.
#[derive(Debug, Clone, Copy)]
enum Places {
    HalfPixel,
    /// The same, but the place of a single value is 0.
    HalfPixelOfMany,
    /// Half pixels only in the result.
    HalfPixelForNearest,
    Corners,
    Asymmetric,
}

/// Which of the values around a place is taken.
#[derive(Debug, Clone, Copy)]
enum Nearest {
    Floor,
    Ceil,
    /// Halves go down.
    Below,
    /// Halves go up.
    Above,
    /// Downwards, if the picture grows, else upwards: before opset 11.
    Simple,
}

/// The rules of a Resize.
struct How {
    places: Places,
    /// `None` if it is linear.
    nearest: Option<Nearest>,
}

impl How {
    fn of(node: &NodeProto, opset: i64) -> Lowered<Self> {
        let mode = text(node, "mode");
        let nearest = match mode {
            "" | "nearest" => true,
            "linear" if int(node, "antialias", 0) == 0 => false,
            _ => return Err(format!("mode {mode:?} has no fused form")),
        };
        if opset < 11 {
            return Ok(Self {
                places: Places::Asymmetric,
                nearest: nearest.then_some(Nearest::Simple),
            });
        }
        let places = match text(node, "coordinate_transformation_mode") {
            "" | "half_pixel" => Places::HalfPixel,
            "pytorch_half_pixel" => Places::HalfPixelOfMany,
            "tf_half_pixel_for_nn" => Places::HalfPixelForNearest,
            "align_corners" => Places::Corners,
            "asymmetric" => Places::Asymmetric,
            other => return Err(format!("{other:?} has no fused form")),
        };
        let rule = match text(node, "nearest_mode") {
            "" | "round_prefer_floor" => Nearest::Below,
            "round_prefer_ceil" => Nearest::Above,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(format!("{other:?} is not a rule for the nearest value")),
        };
        Ok(Self {
            places,
            nearest: nearest.then_some(rule),
        })
    }

    /// `make` of the place of each value along an axis. All steps are ONNX Runtime's, in binary32.
    fn each<T>(&self, along: Along, from: usize, make: impl Fn(f32) -> T) -> Vec<T> {
        let Along { size, scale } = along;
        let place = |at: usize| {
            let x = at as f32;
            match self.places {
                Places::HalfPixelOfMany if size == 1 => 0.0,
                // Without a change of size, every value is its own.
                _ if scale == 1.0 => x,
                Places::HalfPixel | Places::HalfPixelOfMany => (x + 0.5) / scale - 0.5,
                Places::HalfPixelForNearest => (x + 0.5) / scale,
                Places::Asymmetric => x / scale,
                Places::Corners if size == 1 => 0.0,
                Places::Corners => x * (from - 1) as f32 / (size - 1) as f32,
            }
        };
        (0..size).map(|at| make(place(at))).collect()
    }
}

impl Nearest {
    /// The place of the value taken for place `x` of `size`.
    fn of(self, x: f32, scale: f32, size: usize) -> usize {
        // ONNX Runtime 1.32 takes this for a half: binary32 misses many by one step.
        let is_half = (x - x.floor() - 0.5).abs() < 1e-6;
        let at = match self {
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Below if is_half => x.floor(),
            Self::Above if is_half => x.ceil(),
            Self::Below | Self::Above => x.round(),
            Self::Simple if scale < 1.0 => x.ceil(),
            Self::Simple => x.floor(),
        };
        (at.max(0.0) as usize).min(size - 1)
    }
}

/// The values around place `x` of `size`.
fn between(x: f32, size: usize) -> Between {
    let x = x.clamp(0.0, (size - 1) as f32);
    let first = x as usize;
    Between {
        first,
        second: (first + 1).min(size - 1),
        share: x - first as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ONNX Runtime 1.32 takes for each value of a result.
    #[test]
    fn halves_that_binary32_misses_by_one_step_are_halves() {
        let (half, asymmetric) = (Places::HalfPixel, Places::Asymmetric);
        for (places, rule, from, want) in [
            (
                half,
                Nearest::Below,
                14,
                &[0, 1, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12, 12, 13][..],
            ),
            (
                half,
                Nearest::Below,
                22,
                &[0, 2, 4, 5, 7, 9, 10, 12, 14, 16, 17, 19, 21],
            ),
            (
                half,
                Nearest::Below,
                28,
                &[
                    0, 2, 3, 5, 6, 8, 9, 11, 12, 13, 15, 16, 18, 19, 21, 22, 24, 25, 27,
                ],
            ),
            (asymmetric, Nearest::Above, 7, &[0, 1, 2, 3, 4, 4, 5, 6]),
            (asymmetric, Nearest::Above, 7, &[0, 4]),
            (
                asymmetric,
                Nearest::Above,
                10,
                &[0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9],
            ),
            // From 16 on, one step of binary32 is more than what counts as a half.
            (
                asymmetric,
                Nearest::Above,
                26,
                &[
                    0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 19,
                    20, 21, 22, 23, 24, 25,
                ],
            ),
        ] {
            let how = How {
                places,
                nearest: Some(rule),
            };
            let scale = want.len() as f32 / from as f32;
            let along = Along {
                size: want.len(),
                scale,
            };
            let got = how.each(along, from, |x| rule.of(x, scale, from));
            assert_eq!(got, want, "{from} to {}", want.len());
        }
    }
}
