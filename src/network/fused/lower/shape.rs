//! Operators that only move or name things, and the small sums on constants that exporters put before a Reshape.

use super::proto::{Const, Data, attribute, float, int, ints, text};
use super::{Act, Lower, Made, Val, View};
use crate::network::fused::graph::Shape;
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

fn logical(shape: Shape, view: View) -> Vec<usize> {
    match view {
        View::Nchw => vec![1, shape.c, shape.h, shape.w],
        View::Nhwc => vec![1, shape.h, shape.w, shape.c],
        View::Flat | View::FlatChw => vec![1, shape.volume()],
    }
}

pub(super) fn axis_of(axis: i64, rank: usize) -> Made<usize> {
    let moved = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(moved)
        .ok()
        .filter(|&a| a <= rank)
        .ok_or_else(|| format!("axis {axis} of {rank}"))
}

impl Lower {
    pub(super) fn reshape(&mut self, node: &NodeProto) -> Made<Val> {
        let x = self.input_value(node, 0)?;
        if let Val::Grouped { inner, groups, .. } = &x {
            let (Shape { h, w, c }, _) = self.extent(inner)?;
            let dims = [1, *groups, c / groups, h, w];
            let target = match ints(node, "shape") {
                Some(shape) => shape,
                None if node.op_type == "Reshape" => self.const_ints(node, 1)?,
                None => return Err("channels seen as groups, not as a shuffle".into()),
            };
            let zero = int(node, "allowzero", 0) != 0;
            let wanted = resolve(&target, &dims, zero)?;
            return self.ungroup(node, x, &wanted);
        }
        let (shape, view) = self.extent(&x)?;
        let dims = logical(shape, view);
        let wanted = match node.op_type.as_str() {
            "Flatten" => {
                let axis = axis_of(int(node, "axis", 1), dims.len())?;
                vec![
                    dims[..axis].iter().product(),
                    dims[axis..].iter().product::<usize>(),
                ]
            }
            "Reshape" => {
                let target = match ints(node, "shape") {
                    Some(shape) => shape,
                    None => self.const_ints(node, 1)?,
                };
                resolve(&target, &dims, int(node, "allowzero", 0) != 0)?
            }
            other => {
                let mut axes = match ints(node, "axes") {
                    Some(axes) => axes,
                    None if self.has_input(node, 1) => self.const_ints(node, 1)?,
                    None => Vec::new(),
                };
                let mut out = dims.clone();
                if other == "Squeeze" {
                    if axes.is_empty() {
                        axes = (1..dims.len() as i64)
                            .filter(|&a| dims[a as usize] == 1)
                            .collect();
                    }
                    let gone = axes
                        .iter()
                        .map(|&a| axis_of(a, dims.len()))
                        .collect::<Made<Vec<_>>>()?;
                    if gone.iter().any(|&a| dims.get(a) != Some(&1)) {
                        return Err(format!("axes {axes:?} of {dims:?} are not 1"));
                    }
                    out = (0..dims.len())
                        .filter(|a| !gone.contains(a))
                        .map(|a| dims[a])
                        .collect();
                } else {
                    let rank = dims.len() + axes.len();
                    let mut at = axes
                        .iter()
                        .map(|&a| axis_of(a, rank))
                        .collect::<Made<Vec<_>>>()?;
                    at.sort_unstable();
                    for a in at {
                        if a > out.len() {
                            return Err(format!("axes {axes:?} of {dims:?}"));
                        }
                        out.insert(a, 1);
                    }
                }
                out
            }
        };
        if let Some(grouped) = Self::grouped(&x, shape, view, &wanted) {
            return Ok(grouped);
        }
        let view = seen_as(&wanted, shape, view)
            .ok_or_else(|| format!("from {dims:?} to {wanted:?} is more than flattening"))?;
        with_view(x, view)
    }

    pub(super) fn transpose(&mut self, node: &NodeProto) -> Made<Val> {
        let x = self.input_value(node, 0)?;
        let perm = ints(node, "perm").unwrap_or_default();
        if matches!(x, Val::Grouped { .. }) {
            return self.turn_groups(x, &perm);
        }
        let (shape, view) = self.extent(&x)?;
        let turned = match (view, &perm[..]) {
            (v, [0, 1, 2, 3] | [0, 1]) => v,
            (View::Nchw, [0, 2, 3, 1]) => View::Nhwc,
            (View::Nhwc, [0, 3, 1, 2]) => View::Nchw,
            _ => {
                return Err(format!(
                    "the order {perm:?} of {:?} is not understood",
                    logical(shape, view)
                ));
            }
        };
        with_view(x, turned)
    }

    pub(super) fn pad(&mut self, node: &NodeProto) -> Made<Val> {
        let x = self.input_value(node, 0)?;
        let pads = match ints(node, "pads") {
            Some(pads) => pads,
            None => self.const_ints(node, 1)?,
        };
        let value = if self.has_input(node, 2) {
            self.const_scalar(node, 2)?
        } else {
            float(node, "value", 0.0)
        };
        if !matches!(text(node, "mode"), "" | "constant") {
            return Err(format!("mode {}", text(node, "mode")));
        }
        if pads.iter().all(|&p| p == 0) {
            return Ok(x);
        }
        let read: Option<Vec<usize>> = pads
            .iter()
            .map(|&p| usize::try_from(p).ok().filter(|&p| p < 1 << 12))
            .collect();
        let (_, view) = self.extent(&x)?;
        match (view, read.as_deref()) {
            (View::Nchw, Some(&[0, 0, top, left, 0, 0, bottom, right]))
            | (View::Nhwc, Some(&[0, top, left, 0, 0, bottom, right, 0]))
                if value == 0.0 =>
            {
                Ok(Val::Padded(Box::new(x), [top, left, bottom, right]))
            }
            _ => Err(format!("pads {pads:?} with {value}")),
        }
    }

    /// Constant, Shape and arithmetic on constants; `false` when the node is none of these.
    pub(super) fn fold_constant(&mut self, node: &NodeProto) -> Made<bool> {
        let Some(output) = node.output.first() else {
            return Ok(true);
        };
        let made = match node.op_type.as_str() {
            "Constant" => Some(constant(node)?),
            // Weights stay quantised.
            "DequantizeLinear" => None,
            "Shape" => {
                let known = node.input.first().and_then(|name| self.outside.get(name));
                let dims = match known {
                    Some(dims) => dims.clone(),
                    None => match self.input_value(node, 0)? {
                        Val::Const(c) => c.dims.clone(),
                        Val::Quantised(q) => q.ints.dims.clone(),
                        value => {
                            let (shape, view) = self.extent(&value)?;
                            logical(shape, view)
                        }
                    },
                };
                let rank = dims.len();
                let start = axis_of(int(node, "start", 0), rank)?;
                let end = axis_of(int(node, "end", rank as i64), rank)?;
                let part = dims.get(start..end).unwrap_or_default();
                Some(list(part.iter().map(|&d| d as i64).collect()))
            }
            _ => {
                let mut inputs = Vec::with_capacity(node.input.len());
                for name in &node.input {
                    match self.values.get(name) {
                        Some(Val::Const(c)) => inputs.push(c.clone()),
                        _ => return Ok(false),
                    }
                }
                fold(node, &inputs)?
            }
        };
        let Some(made) = made else { return Ok(false) };
        self.values
            .insert(output.clone(), Val::Const(Rc::new(made)));
        Ok(true)
    }
}

fn list(values: Vec<i64>) -> Const {
    Const {
        dims: vec![values.len()],
        data: Data::I64(values),
    }
}

fn constant(node: &NodeProto) -> Made<Const> {
    if let Some(t) = attribute(node, "value").and_then(|a| a.t.as_ref()) {
        return Const::read(t.clone());
    }
    let one = |data| Const {
        dims: Vec::new(),
        data,
    };
    if let Some(a) = attribute(node, "value_float") {
        return Ok(one(Data::F32(Rc::new(vec![a.f]))));
    }
    if let Some(a) = attribute(node, "value_int") {
        return Ok(one(Data::I64(vec![a.i])));
    }
    if let Some(a) = attribute(node, "value_ints") {
        return Ok(list(a.ints.clone()));
    }
    if let Some(a) = attribute(node, "value_floats") {
        return Ok(Const {
            dims: vec![a.floats.len()],
            data: Data::F32(Rc::new(a.floats.clone())),
        });
    }
    Err("has no value that is understood".into())
}

/// The few operators on constants that lead to shapes and scales.
fn fold(node: &NodeProto, inputs: &[Rc<Const>]) -> Made<Option<Const>> {
    let Some(first) = inputs.first() else {
        return Ok(None);
    };
    let integers = inputs.iter().all(|c| matches!(c.data, Data::I64(_)));
    Ok(Some(match node.op_type.as_str() {
        "Identity" => (**first).clone(),
        "Cast" => match int(node, "to", 0) {
            1 => Const {
                dims: first.dims.clone(),
                data: Data::F32(Rc::new(first.floats())),
            },
            6 | 7 => Const {
                dims: first.dims.clone(),
                data: Data::I64(first.ints()),
            },
            _ => return Ok(None),
        },
        "Unsqueeze" | "Squeeze" if first.len() == 1 => {
            let rank = usize::from(node.op_type == "Unsqueeze");
            Const {
                dims: vec![1; rank],
                data: first.data.clone(),
            }
        }
        "Gather" if integers && inputs.len() == 2 && first.dims.len() == 1 => {
            let values = first.ints();
            let picked = inputs[1]
                .ints()
                .iter()
                .map(|&i| {
                    let at = axis_of(i, values.len())?;
                    values.get(at).copied().ok_or("picks past the end".into())
                })
                .collect::<Made<Vec<_>>>()?;
            Const {
                dims: inputs[1].dims.clone(),
                data: Data::I64(picked),
            }
        }
        "Concat" if integers && inputs.iter().all(|c| c.dims.len() == 1) => {
            list(inputs.iter().flat_map(|c| c.ints()).collect())
        }
        "Slice" if integers && inputs.len() >= 3 && first.dims.len() == 1 => {
            let bound = |c: &Const| {
                let rank = first.len() as i64;
                let v = c.ints().first().copied().unwrap_or(0);
                (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize
            };
            if inputs.get(4).is_some_and(|s| s.ints() != [1]) {
                return Ok(None);
            }
            let part = first.ints();
            list(
                part.get(bound(&inputs[1])..bound(&inputs[2]))
                    .unwrap_or_default()
                    .to_vec(),
            )
        }
        "Transpose" | "Reshape" => return moved(node, inputs),
        op @ ("Add" | "Sub" | "Mul" | "Div") if inputs.len() == 2 => {
            let second = &inputs[1];
            let wide = if first.len() >= second.len() {
                first
            } else {
                second
            };
            if first.len() != second.len() && first.len() != 1 && second.len() != 1 {
                return Ok(None);
            }
            let (a, b) = (first.floats(), second.floats());
            if integers && op == "Div" && b.contains(&0.0) {
                return Err("divides by zero".into());
            }
            let values = (0..wide.len()).map(|i| {
                let (x, y) = (a[i % a.len()], b[i % b.len()]);
                match op {
                    "Add" => x + y,
                    "Sub" => x - y,
                    "Mul" => x * y,
                    _ => x / y,
                }
            });
            let data = if integers {
                Data::I64(values.map(|v| v as i64).collect())
            } else {
                Data::F32(Rc::new(values.collect()))
            };
            Const {
                dims: wide.dims.clone(),
                data,
            }
        }
        _ => return Ok(None),
    }))
}

/// Transpose and Reshape of a constant.
fn moved(node: &NodeProto, inputs: &[Rc<Const>]) -> Made<Option<Const>> {
    let first = &inputs[0];
    if node.op_type == "Reshape" {
        let Some(target) = inputs.get(1) else {
            return Ok(None);
        };
        return Ok(Some(Const {
            dims: resolve(&target.ints(), &first.dims, false)?,
            data: first.data.clone(),
        }));
    }
    let [rows, columns] = first.dims[..] else {
        return Ok(None);
    };
    let from = (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c));
    let data = match &first.data {
        Data::F32(v) => Data::F32(Rc::new(from.map(|i| v[i]).collect())),
        Data::I64(v) => Data::I64(from.map(|i| v[i]).collect()),
        Data::I8(v) => Data::I8(Rc::new(from.map(|i| v[i]).collect())),
        Data::U8(v) => Data::U8(Rc::new(from.map(|i| v[i]).collect())),
    };
    Ok(Some(Const {
        dims: vec![columns, rows],
        data,
    }))
}

/// A Reshape target with its 0 and -1 filled in.
fn resolve(target: &[i64], dims: &[usize], zero_is_zero: bool) -> Made<Vec<usize>> {
    let total: usize = dims.iter().product();
    let mut out = Vec::new();
    for (i, &t) in target.iter().enumerate() {
        out.push(match t {
            -1 => 0,
            0 if !zero_is_zero => *dims.get(i).unwrap_or(&0),
            t => usize::try_from(t).map_err(|_| format!("a size of {t}"))?,
        });
    }
    if let Some(free) = target.iter().position(|&t| t == -1) {
        out[free] = 1;
        let known: usize = out.iter().product();
        out[free] = total.checked_div(known).unwrap_or(0);
    }
    if out.iter().product::<usize>() != total {
        return Err(format!("{dims:?} cannot become {target:?}"));
    }
    Ok(out)
}

/// How a tensor is seen when its ONNX shape becomes `dims`.
fn seen_as(dims: &[usize], shape: Shape, view: View) -> Option<View> {
    if dims == logical(shape, view) {
        return Some(view);
    }
    let flat = match view {
        View::Nchw if shape.pixels() > 1 && shape.c > 1 => View::FlatChw,
        View::FlatChw => View::FlatChw,
        _ => View::Flat,
    };
    match *dims {
        [n] | [1, n] if n == shape.volume() => Some(flat),
        [1, c, 1, 1] if c == shape.c && shape.pixels() == 1 => Some(View::Nchw),
        [1, 1, 1, c] if c == shape.c && shape.pixels() == 1 => Some(View::Nhwc),
        [1, c, h, w] if (c, h, w) == (shape.c, shape.h, shape.w) && view == View::FlatChw => {
            Some(View::Nchw)
        }
        _ => None,
    }
}

fn with_view(x: Val, view: View) -> Made<Val> {
    match x {
        Val::Act(act) => Ok(Val::Act(Act { view, ..act })),
        Val::Lazy(lazy, _) => Ok(Val::Lazy(lazy, view)),
        _ => Err("a constant where a computed value is needed".into()),
    }
}
