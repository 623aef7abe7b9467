//! Constant folding: Shape, and the small computations on constants that exporters put before a Reshape.

use super::dims::{axis_of, few_axes, flattened, logical, resolve, squeezed};
use super::growth;
use super::statistics::{normalised, reduced};
use super::{Lower, Lowered, Value};
use crate::network::graph::axes::Axes;
use crate::network::graph::sizes::volume;
use crate::network::onnx::attributes::{attribute, float, int, ints, normalised_index};
use crate::network::onnx::constant::{Const, Data};
use crate::network::onnx::is_standard;
use crate::network::rewrite::forms;
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// Operators whose results become constants if they are floats; Clip's also if they are bytes, and Range's if they are whole numbers.
pub(super) const COMPUTES: [&str; 16] = [
    "Abs",
    "Add",
    "BatchNormalization",
    "Clip",
    "Div",
    "Exp",
    "Mul",
    "Neg",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceL2",
    "ReduceMean",
    "ReduceSum",
    "Sqrt",
    "Sub",
];
/// Operators that move or compare values, which those may read.
pub(super) const LEADS: [&str; 18] = [
    "Cast",
    "Concat",
    "ConstantOfShape",
    "Equal",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Identity",
    "Less",
    "Mod",
    "Reshape",
    "Shape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "Where",
];
/// A sum or product of constants with more values than this is computed in each run instead.
const MAX_VALUES: usize = 1 << 24;
/// A value that is computed here takes about as long as this many that are read. Weights were computed before, see `settle`.
const COMPUTED: usize = 16;

impl Lower {
    /// Constant, Shape and arithmetic on constants; `false` when the node is none of these.
    pub(crate) fn fold_constant(&mut self, node: &NodeProto) -> Lowered<bool> {
        let Some(output) = node.output.first() else {
            return Ok(true);
        };
        if !is_standard(node) {
            return Ok(false);
        }
        let result = match node.op_type.as_str() {
            "Constant" => Some(constant(node)?),
            // Weights stay quantised.
            "DequantizeLinear" => None,
            "Shape" => {
                let known = node.input.first().and_then(|name| self.outside.get(name));
                let dims = match known {
                    Some(dims) => dims.clone(),
                    None => match self.input_value(node, 0)? {
                        Value::Const(c) => c.dims.clone(),
                        Value::Quantised(q) => q.ints.dims.clone(),
                        value => {
                            let (shape, view) = self.extent(&value)?;
                            logical(shape, view)
                        }
                    },
                };
                Some(shape_of(node, &dims)?)
            }
            _ => {
                let mut inputs = Vec::with_capacity(node.input.len());
                for name in &node.input {
                    match self.values.get(name) {
                        Some(Value::Const(c)) => inputs.push(c.clone()),
                        _ => return Ok(false),
                    }
                }
                // Whole numbers are copied on the way.
                let whole = inputs.iter().filter(|c| matches!(c.data, Data::I64(_)));
                self.spend(whole.map(|c| c.len()).sum())?;
                if COMPUTES.contains(&node.op_type.as_str()) {
                    let most = inputs.iter().map(|c| c.len()).max().unwrap_or(0);
                    let most = most.max(growth::most(node, &inputs));
                    self.spend(most.saturating_mul(COMPUTED))?;
                }
                fold(node, &inputs, self.opset)?
            }
        };
        let Some(result) = result else {
            return Ok(false);
        };
        // Floats and bytes that only change their shape are shared.
        let shared = matches!(
            node.op_type.as_str(),
            "Identity" | "Reshape" | "Squeeze" | "Unsqueeze"
        ) && !matches!(result.data, Data::I64(_));
        if !shared {
            self.spend(result.len())?;
        }
        self.define(output, Value::Const(Rc::new(result)));
        Ok(true)
    }
}

/// The result of the operator Shape for a value of this shape.
pub(super) fn shape_of(node: &NodeProto, dims: &[usize]) -> Lowered<Const> {
    let rank = dims.len();
    let start = axis_of(int(node, "start", 0), rank)?;
    let end = axis_of(int(node, "end", rank as i64), rank)?;
    let part = dims.get(start..end).unwrap_or_default();
    Ok(list(part.iter().map(|&d| d as i64).collect()))
}

fn list(values: Vec<i64>) -> Const {
    Const {
        dims: vec![values.len()],
        data: Data::I64(values),
    }
}

fn constant(node: &NodeProto) -> Lowered<Const> {
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

/// The few operators on constants that produce shapes, scales and weights.
pub(super) fn fold(node: &NodeProto, inputs: &[Rc<Const>], opset: i64) -> Lowered<Option<Const>> {
    // A long list of axes is not even read.
    let list = match node.op_type.as_str() {
        "ConstantOfShape" => inputs.first(),
        "Expand" | "ReduceL2" | "ReduceMean" | "ReduceSum" | "Reshape" | "Squeeze"
        | "Unsqueeze" => inputs.get(1),
        _ => None,
    };
    few_axes(list.map_or(0, |list| list.len()))?;
    let made = computed(node, inputs, opset)?;
    few_axes(made.as_ref().map_or(0, |made| made.dims.len()))?;
    Ok(made)
}

fn computed(node: &NodeProto, inputs: &[Rc<Const>], opset: i64) -> Lowered<Option<Const>> {
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
        "Unsqueeze" | "Squeeze" => {
            let axes = ints(node, "axes").or_else(|| inputs.get(1).map(|a| a.ints()));
            let dims = match axes {
                Some(axes) => squeezed(&node.op_type, &axes, &first.dims)?,
                None if node.op_type == "Unsqueeze" => return Err("has no axes".into()),
                None => first.dims.iter().copied().filter(|&d| d != 1).collect(),
            };
            let data = first.data.clone();
            Const { dims, data }
        }
        "Abs" | "Exp" | "Floor" | "Neg" | "Reciprocal" | "Sqrt" => {
            let Data::F32(values) = &first.data else {
                return Ok(None);
            };
            let of: fn(f32) -> f32 = match node.op_type.as_str() {
                "Abs" => f32::abs,
                "Exp" => f32::exp,
                "Floor" => f32::floor,
                "Neg" => |v| -v,
                "Reciprocal" => f32::recip,
                _ => f32::sqrt,
            };
            Const {
                dims: first.dims.clone(),
                data: Data::F32(Rc::new(values.iter().map(|&v| of(v)).collect())),
            }
        }
        "Flatten" => Const {
            dims: flattened(node, &first.dims)?.to_vec(),
            data: first.data.clone(),
        },
        "Clip" => return clipped(node, inputs),
        "ReduceL2" | "ReduceMean" | "ReduceSum" => return reduced(node, inputs),
        "BatchNormalization" => return normalised(node, inputs, forms::in_training(node, opset)),
        "Equal" | "Less" | "Where" | "Expand" | "ConstantOfShape" => return spread(node, inputs),
        "Range" => return Ok(counted(inputs)),
        "Gather" if integers && inputs.len() == 2 && first.dims.len() == 1 => {
            picked_numbers(&first.ints(), &inputs[1])?
        }
        "Gather" if inputs.len() == 2 => return gathered(node, first, &inputs[1]),
        "Concat" if integers && inputs.iter().all(|c| c.dims.len() == 1) => {
            list(inputs.iter().flat_map(|c| c.ints()).collect())
        }
        "Slice" if integers && inputs.len() >= 3 && first.dims.len() == 1 => {
            return Ok(sliced_numbers(&first.ints(), inputs));
        }
        "Transpose" | "Reshape" => return moved(node, inputs),
        // A remainder with the divisor's sign is built from these, see `forms`.
        "Mod" if int(node, "fmod", 0) == 0 => return Ok(None),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" if inputs.len() == 2 => {
            return arithmetic(&node.op_type, first, &inputs[1]);
        }
        _ => return Ok(None),
    }))
}

/// Gather of whole numbers in a list.
fn picked_numbers(values: &[i64], at: &Const) -> Lowered<Const> {
    let picked = at.ints().into_iter().map(|i| {
        let at = axis_of(i, values.len())?;
        values.get(at).copied().ok_or("picks past the end".into())
    });
    Ok(Const {
        dims: at.dims.clone(),
        data: Data::I64(picked.collect::<Lowered<_>>()?),
    })
}

/// Slice of whole numbers in a list, with step 1.
fn sliced_numbers(values: &[i64], inputs: &[Rc<Const>]) -> Option<Const> {
    let size = values.len() as i64;
    let bound = |c: &Const| {
        let v = c.ints().first().copied().unwrap_or(0);
        (if v < 0 { v + size } else { v }).clamp(0, size) as usize
    };
    if inputs[1..].iter().any(|c| c.len() != 1) || inputs.get(4).is_some_and(|s| s.ints() != [1]) {
        return None;
    }
    let part = values.get(bound(&inputs[1])..bound(&inputs[2]));
    Some(list(part.unwrap_or_default().to_vec()))
}

/// A sum, difference, product or quotient of constants of one type, with broadcasting.
fn arithmetic(op: &str, a: &Const, b: &Const) -> Lowered<Option<Const>> {
    let real: fn(f32, f32) -> f32 = match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Pow" => f32::powf,
        _ => |a, b| a / b,
    };
    // Most weights, without a list of where each value comes from.
    if let (Data::F32(x), Data::F32(y)) = (&a.data, &b.data)
        && (a.dims == b.dims || (y.len() == 1 && b.dims.len() <= a.dims.len()))
        && op != "Mod"
        && !y.is_empty()
        && x.len() <= MAX_VALUES
    {
        let values = x.iter().zip(y.iter().cycle());
        let values = values.map(|(&x, &y)| real(x, y)).collect();
        return Ok(Some(Const {
            dims: a.dims.clone(),
            data: Data::F32(Rc::new(values)),
        }));
    }
    let Some((dims, from)) = broadcast(&a.dims, &b.dims) else {
        return Ok(None);
    };
    let whole = |x: i64, y: i64| match op {
        "Add" => Some(x.wrapping_add(y)),
        "Sub" => Some(x.wrapping_sub(y)),
        "Mul" => Some(x.wrapping_mul(y)),
        "Pow" => x.checked_pow(u32::try_from(y).ok()?),
        "Mod" => x.checked_rem(y),
        _ => x.checked_div(y),
    };
    if op == "Mod" && matches!(a.data, Data::F32(_)) {
        return Ok(None);
    }
    let data = match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => {
            let values = from.iter().map(|&(i, j)| real(a[i], b[j]));
            Data::F32(Rc::new(values.collect()))
        }
        (Data::I64(a), Data::I64(b)) => {
            let values = from.iter().map(|&(i, j)| whole(a[i], b[j]));
            let values: Option<Vec<i64>> = values.collect();
            // int32 is kept as int64: values that do not fit would wrap in the model.
            match values {
                None => return Err("divides by zero, or is too large".into()),
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

/// For each value of a broadcast result, its index in both operands.
pub(crate) type Sources = Vec<(usize, usize)>;

/// The broadcast of two shapes, and the indices of its values; `None` if the shapes are incompatible or the result is large.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<(Vec<usize>, Sources)> {
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
        if from.len().checked_mul(both)? > MAX_VALUES {
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

/// Range, as ONNX Runtime adds it up.
fn counted(inputs: &[Rc<Const>]) -> Option<Const> {
    let [start, _, step] = inputs else {
        return None;
    };
    let count = growth::count_of_range(inputs).filter(|&n| n <= MAX_VALUES)?;
    let data = match (&start.data, &step.data) {
        (Data::F32(start), Data::F32(step)) => {
            let step = step[0];
            let values = std::iter::successors(Some(start[0]), |value| Some(value + step));
            Data::F32(Rc::new(values.take(count).collect()))
        }
        (Data::I64(start), Data::I64(step)) => {
            let step = step[0];
            let values = std::iter::successors(Some(start[0]), |value| value.checked_add(step));
            Data::I64(values.take(count).collect())
        }
        _ => return None,
    };
    Some(Const {
        dims: vec![count],
        data,
    })
}

/// Clip of floats or bytes.
fn clipped(node: &NodeProto, inputs: &[Rc<Const>]) -> Lowered<Option<Const>> {
    let first = &inputs[0];
    let limit = |at: usize, name: &str, free: f32| match inputs.get(at) {
        Some(c) if c.len() == 1 => Ok(c.floats()[0]),
        Some(_) => Err("a limit is not one value".to_owned()),
        None => Ok(float(node, name, free)),
    };
    let low = limit(1, "min", f32::NEG_INFINITY)?;
    let high = limit(2, "max", f32::INFINITY)?;
    if low.is_nan() || high.is_nan() {
        return Ok(None);
    }
    let within = |v: f32| v.max(low).min(high);
    let data = match &first.data {
        Data::F32(v) => Data::F32(Rc::new(v.iter().map(|&v| within(v)).collect())),
        Data::I8(v) => {
            let byte = |&v: &i8| within(f32::from(v)) as i8;
            Data::I8(Rc::new(v.iter().map(byte).collect()))
        }
        Data::U8(v) => {
            let byte = |&v: &u8| within(f32::from(v)) as u8;
            Data::U8(Rc::new(v.iter().map(byte).collect()))
        }
        Data::I64(_) => return Ok(None),
    };
    let dims = first.dims.clone();
    Ok(Some(Const { dims, data }))
}

/// Transpose and Reshape of a constant.
fn moved(node: &NodeProto, inputs: &[Rc<Const>]) -> Lowered<Option<Const>> {
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
    let rank = first.dims.len();
    let order: Vec<usize> = if perm.is_empty() {
        (0..rank).rev().collect()
    } else {
        let order = perm.iter().map(|&a| axis_of(a, rank));
        order.collect::<Lowered<_>>()?
    };
    let Some(axes) = Axes::plain(&first.dims) else {
        return Ok(None);
    };
    let turned = axes.transposed(&order);
    let turned =
        turned.ok_or_else(|| format!("{perm:?} is not a permutation of {:?}", first.dims))?;
    let from = (0..turned.volume()).map(|i| turned.start(i, rank));
    Ok(Some(Const {
        dims: turned.dims().to_vec(),
        data: picked(&first.data, from),
    }))
}

/// Selects these values.
fn picked(data: &Data, from: impl Iterator<Item = usize>) -> Data {
    match data {
        Data::F32(v) => Data::F32(Rc::new(from.map(|i| v[i]).collect())),
        Data::I64(v) => Data::I64(from.map(|i| v[i]).collect()),
        Data::I8(v) => Data::I8(Rc::new(from.map(|i| v[i]).collect())),
        Data::U8(v) => Data::U8(Rc::new(from.map(|i| v[i]).collect())),
    }
}

/// Gather of constants along an axis.
fn gathered(node: &NodeProto, from: &Const, at: &Const) -> Lowered<Option<Const>> {
    let axis = axis_of(int(node, "axis", 0), from.dims.len())?;
    let Some(&size) = from.dims.get(axis) else {
        return Ok(None);
    };
    let (before, after) = (&from.dims[..axis], &from.dims[axis + 1..]);
    // An empty constant stays unchanged.
    let (Ok(outer), Ok(inner)) = (volume(before), volume(after)) else {
        return Ok(None);
    };
    let all = outer
        .checked_mul(at.len())
        .and_then(|n| n.checked_mul(inner));
    if all.is_none_or(|n| n > MAX_VALUES) {
        return Ok(None);
    }
    let place = |i: i64| normalised_index(i, size);
    let places: Option<Vec<usize>> = at.ints().into_iter().map(place).collect();
    let places = places.filter(|p| p.iter().all(|&i| i < size));
    let places = places.ok_or("picks past the end")?;
    let mut values = Vec::with_capacity(outer * places.len() * inner);
    for o in 0..outer {
        for p in &places {
            let first = (o * size + p) * inner;
            values.extend(first..first + inner);
        }
    }
    Ok(Some(Const {
        dims: [before, &at.dims, after].concat(),
        data: picked(&from.data, values.into_iter()),
    }))
}

/// Operators on constants with broadcasting: comparison, selection, repetition.
fn spread(node: &NodeProto, inputs: &[Rc<Const>]) -> Lowered<Option<Const>> {
    let sizes = |c: &Const| -> Lowered<Vec<usize>> {
        let of = |v| usize::try_from(v).map_err(|_| format!("a size of {v}"));
        c.ints().into_iter().map(of).collect()
    };
    let few = |dims: &[usize]| {
        let all = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        all.is_some_and(|n| n <= MAX_VALUES)
    };
    let first = &inputs[0];
    Ok(match (node.op_type.as_str(), &inputs[1..]) {
        ("ConstantOfShape", []) => {
            let dims = sizes(first)?;
            if !few(&dims) {
                return Ok(None);
            }
            let value = attribute(node, "value").and_then(|a| a.t.clone());
            let value = match value.map(Const::read).transpose()? {
                Some(value) if value.len() == 1 => value.data,
                Some(_) => return Err("its value is not one number".into()),
                None => Data::F32(Rc::new(vec![0.0])),
            };
            let count = dims.iter().product();
            let data = picked(&value, std::iter::repeat_n(0, count));
            Some(Const { dims, data })
        }
        ("Expand", [shape]) => broadcast(&first.dims, &sizes(shape)?).map(|(dims, from)| Const {
            dims,
            data: picked(&first.data, from.into_iter().map(|f| f.0)),
        }),
        (op @ ("Equal" | "Less"), [other]) => {
            let (Data::I64(a), Data::I64(b)) = (&first.data, &other.data) else {
                return Ok(None);
            };
            let holds = match op {
                "Equal" => |a, b| a == b,
                _ => |a, b| a < b,
            };
            broadcast(&first.dims, &other.dims).map(|(dims, from)| Const {
                dims,
                data: Data::U8(Rc::new(
                    from.iter()
                        .map(|&(i, j)| u8::from(holds(a[i], b[j])))
                        .collect(),
                )),
            })
        }
        ("Where", [yes, no]) => {
            let Data::U8(which) = &first.data else {
                return Ok(None);
            };
            let Some((dims, a)) = broadcast(&first.dims, &yes.dims) else {
                return Ok(None);
            };
            let Some((dims, b)) = broadcast(&dims, &no.dims) else {
                return Ok(None);
            };
            let from = b.iter().map(|&(i, no)| (which[a[i].0] != 0, a[i].1, no));
            let data = match (&yes.data, &no.data) {
                (Data::F32(x), Data::F32(y)) => Data::F32(Rc::new(
                    from.map(|(c, i, j)| if c { x[i] } else { y[j] }).collect(),
                )),
                (Data::I64(x), Data::I64(y)) => {
                    Data::I64(from.map(|(c, i, j)| if c { x[i] } else { y[j] }).collect())
                }
                _ => return Ok(None),
            };
            Some(Const { dims, data })
        }
        _ => None,
    })
}
