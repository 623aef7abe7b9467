//! Constant folding: Shape, and the small sums on constants that exporters put before a Reshape.

use super::proto::{Const, Data};
use super::shape::{axis_of, logical, resolve};
use super::{Lower, Made, Val};
use crate::network::attributes::{attribute, int, ints};
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// A sum or product of constants with more values than this is left to be computed in each run.
const VALUES_MOST: usize = 1 << 24;

impl Lower {
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
            to @ (6 | 7) => {
                let values = first.ints();
                if to == 6 && values.iter().any(|&v| i32::try_from(v).is_err()) {
                    return Ok(None);
                }
                Const {
                    dims: first.dims.clone(),
                    data: Data::I64(values),
                }
            }
            _ => return Ok(None),
        },
        "Unsqueeze" | "Squeeze" if first.len() == 1 => {
            let axes = match (ints(node, "axes"), inputs.get(1)) {
                (Some(axes), _) => Some(axes.len()),
                (None, axes) => axes.map(|a| a.len()),
            };
            let rank = match (node.op_type.as_str(), axes) {
                ("Unsqueeze", Some(more)) => first.dims.len() + more,
                (_, Some(less)) => first.dims.len().saturating_sub(less),
                (_, None) => 0,
            };
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
        "Add" | "Sub" | "Mul" | "Div" if inputs.len() == 2 => {
            return arithmetic(&node.op_type, first, &inputs[1]);
        }
        _ => return Ok(None),
    }))
}

/// A sum, difference, product or quotient of constants of one type, whose shapes are broadcast.
fn arithmetic(op: &str, a: &Const, b: &Const) -> Made<Option<Const>> {
    let Some((dims, from)) = broadcast(&a.dims, &b.dims) else {
        return Ok(None);
    };
    let whole = |x: i64, y: i64| match op {
        "Add" => Some(x.wrapping_add(y)),
        "Sub" => Some(x.wrapping_sub(y)),
        "Mul" => Some(x.wrapping_mul(y)),
        _ => x.checked_div(y),
    };
    let data = match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => {
            let real = |&(i, j): &(usize, usize)| match op {
                "Add" => a[i] + b[j],
                "Sub" => a[i] - b[j],
                "Mul" => a[i] * b[j],
                _ => a[i] / b[j],
            };
            Data::F32(Rc::new(from.iter().map(real).collect()))
        }
        (Data::I64(a), Data::I64(b)) => {
            let values = from.iter().map(|&(i, j)| whole(a[i], b[j]));
            let values: Option<Vec<i64>> = values.collect();
            // int32 is kept as int64: what does not fit would wrap there.
            match values {
                None => return Err("divides by zero".into()),
                Some(v) if v.iter().any(|&v| i32::try_from(v).is_err()) => return Ok(None),
                Some(v) => Data::I64(v),
            }
        }
        (Data::I8(a), Data::I8(b)) => {
            let values = from.iter().map(|&(i, j)| whole(a[i].into(), b[j].into()));
            let values: Option<Vec<i8>> = values.map(|v| Some(v? as i8)).collect();
            Data::I8(Rc::new(values.ok_or("divides by zero")?))
        }
        (Data::U8(a), Data::U8(b)) => {
            let values = from.iter().map(|&(i, j)| whole(a[i].into(), b[j].into()));
            let values: Option<Vec<u8>> = values.map(|v| Some(v? as u8)).collect();
            Data::U8(Rc::new(values.ok_or("divides by zero")?))
        }
        _ => return Ok(None),
    };
    Ok(Some(Const { dims, data }))
}

/// For each value of a broadcast result, where it comes from in both operands.
type Sources = Vec<(usize, usize)>;

/// The shape that two shapes are broadcast to, and where its values come from; `None` when they do not go together or the
/// result is large.
fn broadcast(a: &[usize], b: &[usize]) -> Option<(Vec<usize>, Sources)> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| {
        let missing = rank - dims.len();
        axis.checked_sub(missing).map_or(1, |i| dims[i])
    };
    let mut dims = Vec::with_capacity(rank);
    let mut from = vec![(0, 0)];
    for axis in 0..rank {
        let (x, y) = (size(a, axis), size(b, axis));
        let both = match (x, y) {
            _ if x == y => x,
            (1, n) | (n, 1) => n,
            _ => return None,
        };
        if from.len().checked_mul(both)? > VALUES_MOST {
            return None;
        }
        let step = |n: usize, at: usize| if n == 1 { 0 } else { at };
        from = from
            .iter()
            .flat_map(|&(i, j)| (0..both).map(move |at| (i * x + step(x, at), j * y + step(y, at))))
            .collect();
        dims.push(both);
    }
    Some((dims, from))
}

/// Transpose and Reshape of a constant.
fn moved(node: &NodeProto, inputs: &[Rc<Const>]) -> Made<Option<Const>> {
    let first = &inputs[0];
    if node.op_type == "Reshape" {
        let Some(target) = inputs.get(1) else {
            return Ok(None);
        };
        return Ok(Some(Const {
            dims: resolve(&target.ints(), &first.dims, int(node, "allowzero", 0) != 0)?,
            data: first.data.clone(),
        }));
    }
    let perm = ints(node, "perm").unwrap_or_default();
    let [rows, columns] = first.dims[..] else {
        return Ok(None);
    };
    match perm[..] {
        [0, 1] => return Ok(Some((**first).clone())),
        [] | [1, 0] => {}
        _ => return Err(format!("the order {perm:?} of two axes")),
    }
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
