//! Values of any rank: viewed along other axes in place if possible, otherwise moved by a separate layer. Floats only.

use super::dims::{axis_of, logical};
use super::{Activation, Lower, Lowered, Value, View};
use crate::network::graph::axes::Axes;
use crate::network::graph::sizes::volume;
use crate::network::graph::{Kind, Op, Shape, Sides, Tensor, TensorId};
use crate::network::onnx::attributes::{int, ints, normalised_index};
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

const TOO_MANY: &str = "more axes or values than are followed";

const NOT_THERE: &str = "picks a place that is not there";

/// Height, width and channels of a tensor stored in the order of `dims`, and the view of it.
pub(crate) fn plain_form(dims: &[usize]) -> Lowered<(Shape, View)> {
    Ok(match *dims {
        [1, c] => (Shape::new(1, 1, c)?, View::Flat),
        [1, h, w, c] => (Shape::new(h, w, c)?, View::Nhwc),
        _ => {
            let axes = Axes::plain(dims).ok_or(TOO_MANY)?;
            (rows_of(&axes)?, View::Strided(axes))
        }
    })
}

/// Size of a tensor of rows along the last axis.
fn rows_of(axes: &Axes) -> Lowered<Shape> {
    let c = axes.dims().last().copied().unwrap_or(1);
    Ok(Shape::new(1, axes.volume() / c, c)?)
}

/// Whether a tensor's values are in the order of the ONNX value, whose last axis is the channels.
pub(crate) fn is_plain(shape: Shape, view: View) -> bool {
    match view {
        View::Nhwc => true,
        View::Flat => shape.pixels() == 1,
        View::Strided(axes) => {
            let whole = axes.offset() == 0 && axes.volume() == shape.volume();
            whole && axes.is_plain() && axes.dims().last() == Some(&shape.c)
        }
        View::Nchw | View::FlatChw => false,
    }
}

impl Lower {
    /// Size of each axis of a computed value.
    pub(crate) fn dims_of(&self, value: &Value) -> Lowered<Vec<usize>> {
        if let Value::Grouped { inner, groups, .. } = value {
            let Sides { h, w, c } = *self.extent(inner)?.0;
            return Ok(vec![1, *groups, c / groups, h, w]);
        }
        let (shape, view) = self.extent(value)?;
        Ok(logical(shape, view))
    }

    /// A float value's tensor and the order of its axes in it.
    pub(crate) fn strided(&mut self, value: &Value) -> Lowered<(TensorId, Axes)> {
        if let Value::Grouped {
            inner,
            groups,
            turned,
        } = value
        {
            let Sides { h, w, c } = *self.extent(inner)?.0;
            let (id, axes) = self.strided(inner)?;
            let other = c / groups;
            let dims = if *turned {
                [1, other, *groups, h, w]
            } else {
                [1, *groups, other, h, w]
            };
            let split = axes.reshaped(&dims).ok_or("channels that lie apart")?;
            let turned = turned.then(|| split.transposed(&[0, 2, 1, 3, 4])).flatten();
            return Ok((id, turned.unwrap_or(split)));
        }
        let act = self.materialise(value)?;
        if self.quant(act.id).is_some() {
            return Err("moves of bytes along such axes are not supported".into());
        }
        let Sides { h, w, c } = *self.shape(act.id);
        let axes = match act.view {
            View::Strided(axes) => Some(axes),
            View::Nhwc => Axes::plain(&[1, h, w, c]),
            View::Nchw => Axes::plain(&[1, h, w, c]).and_then(|a| a.transposed(&[0, 3, 1, 2])),
            View::FlatChw if h * w > 1 && c > 1 => {
                return Err("channels before rows and columns, seen as one axis".into());
            }
            View::Flat | View::FlatChw => Axes::plain(&[1, h * w * c]),
        };
        Ok((act.id, axes.ok_or(TOO_MANY)?))
    }

    /// The result of a layer with one input; an identical existing layer is reused.
    fn once(&mut self, op: Op, x: TensorId, shape: Shape, name: &str) -> TensorId {
        let readers = self.readers[x.0].iter().map(|&at| &self.layers[at]);
        let mut same = readers.filter(|l| l.inputs == [x] && l.op == op);
        let there = same.find(|l| self.tensors[l.output.0].shape == shape);
        if let Some(layer) = there {
            return layer.output;
        }
        let kind = Kind::F32;
        self.add_layer(op, vec![x], Tensor { shape, kind }, name)
    }

    /// The same memory as a tensor of another size.
    pub(crate) fn reshaped_tensor(&mut self, id: TensorId, shape: Shape) -> TensorId {
        if self.shape(id) == shape {
            return id;
        }
        self.once(Op::Reshape, id, shape, "reshape")
    }

    /// These axes of a tensor as a value, in the view that most layers support.
    pub(crate) fn seen(&mut self, id: TensorId, axes: Axes) -> Lowered<Activation> {
        let real = false;
        let dims = axes.dims().to_vec();
        let whole = axes.offset() == 0 && axes.volume() == self.shape(id).volume();
        let plain = axes.is_plain();
        if let [1, c, h, w] = dims[..]
            && whole
            && (!plain || h * w == 1)
            && Axes::plain(&[1, h, w, c]).and_then(|a| a.transposed(&[0, 3, 1, 2])) == Some(axes)
        {
            let id = self.reshaped_tensor(id, Shape::new(h, w, c)?);
            let view = View::Nchw;
            return Ok(Activation { id, view, real });
        }
        if !whole || !plain {
            let view = View::Strided(axes);
            return Ok(Activation { id, view, real });
        }
        let (shape, view) = plain_form(&dims)?;
        let id = self.reshaped_tensor(id, shape);
        Ok(Activation { id, view, real })
    }

    /// A value's floats as a tensor of rows along its last axis, in row-major order; moved only if they are stored otherwise.
    pub(crate) fn rows(
        &mut self,
        node: &NodeProto,
        value: &Value,
    ) -> Lowered<(TensorId, Vec<usize>)> {
        let (id, axes) = self.strided(value)?;
        let id = self.in_order(node, id, axes)?;
        Ok((id, axes.dims().to_vec()))
    }

    /// These axes of a tensor in row-major order.
    pub(crate) fn in_order(
        &mut self,
        node: &NodeProto,
        id: TensorId,
        axes: Axes,
    ) -> Lowered<TensorId> {
        let shape = rows_of(&axes)?;
        let whole = axes.offset() == 0 && axes.volume() == self.shape(id).volume();
        if whole && axes.is_plain() {
            return Ok(self.reshaped_tensor(id, shape));
        }
        Ok(self.once(Op::Move(axes), id, shape, &node.name))
    }

    /// A value whose floats fill a tensor; copied unless they already do.
    pub(crate) fn settled(&mut self, node: &NodeProto, value: &Value) -> Lowered<Value> {
        let (shape, view) = self.extent(value)?;
        if !matches!(view, View::Strided(_)) || is_plain(shape, view) {
            return Ok(value.clone());
        }
        let (id, dims) = self.rows(node, value)?;
        let axes = Axes::plain(&dims).ok_or(TOO_MANY)?;
        Ok(Value::Activation(self.seen(id, axes)?))
    }

    /// A value with four axes as batch, channels, rows, columns.
    pub(crate) fn channels_second(&mut self, node: &NodeProto, value: Value) -> Lowered<Value> {
        let (_, view) = self.extent(&value)?;
        if !matches!(view, View::Nhwc | View::Strided(_)) {
            return Ok(value);
        }
        let (id, axes) = self.strided(&value)?;
        let [1, c, h, w] = *axes.dims() else {
            return Ok(value);
        };
        let last = axes.transposed(&[0, 2, 3, 1]).ok_or(TOO_MANY)?;
        let id = self.in_order(node, id, last)?;
        let id = self.reshaped_tensor(id, Shape::new(h, w, c)?);
        let view = View::Nchw;
        Ok(Value::Activation(Activation {
            id,
            view,
            real: false,
        }))
    }

    /// Reshape to `dims`, with the same number of values.
    pub(crate) fn reshaped(
        &mut self,
        node: &NodeProto,
        x: &Value,
        dims: &[usize],
    ) -> Lowered<Value> {
        // A layer that is not yet emitted keeps what is folded into it.
        if let Value::Deferred(deferred, view) = x
            && is_plain(deferred.shape, *view)
            && dims.last() == Some(&deferred.shape.c)
        {
            let (shape, view) = plain_form(dims)?;
            let view = match view {
                View::Strided(_) => view,
                _ if shape == deferred.shape => view,
                _ => View::Strided(Axes::plain(dims).ok_or(TOO_MANY)?),
            };
            return Ok(Value::Deferred(Rc::clone(deferred), view));
        }
        let (id, axes) = self.strided(x)?;
        let (id, axes) = match axes.reshaped(dims) {
            Some(seen) => (id, seen),
            None => {
                let id = self.in_order(node, id, axes)?;
                (id, Axes::plain(dims).ok_or(TOO_MANY)?)
            }
        };
        Ok(Value::Activation(self.seen(id, axes)?))
    }

    /// Transpose to any order.
    pub(crate) fn reordered(&mut self, x: &Value, order: &[i64]) -> Lowered<Value> {
        let (id, axes) = self.strided(x)?;
        let order: Vec<usize> = if order.is_empty() {
            (0..axes.dims().len()).rev().collect()
        } else {
            let order = order
                .iter()
                .map(|&a| usize::try_from(a).unwrap_or(usize::MAX));
            order.collect()
        };
        let turned = axes.transposed(&order);
        let turned =
            turned.ok_or_else(|| format!("{order:?} is not a permutation of {:?}", axes.dims()))?;
        Ok(Value::Activation(self.seen(id, turned)?))
    }

    /// Split along any axis.
    pub(crate) fn split_axis(&mut self, node: &NodeProto) -> Lowered<()> {
        let x = self.input_value(node, 0)?;
        let (id, axes) = self.strided(&x)?;
        let axis = self.axis(node, 0, &axes)?;
        let size = axes.dims()[axis];
        let sizes = self.split_sizes(node, size)?;
        let mut first = 0;
        for (name, count) in node.output.iter().zip(sizes) {
            let part = axes.sliced(axis, first, count, 1).ok_or(NOT_THERE)?;
            let part = self.seen(id, part)?;
            self.define(name, Value::Activation(part));
            first += count;
        }
        Ok(())
    }

    fn axis(&self, node: &NodeProto, default: i64, axes: &Axes) -> Lowered<usize> {
        let axis = axis_of(int(node, "axis", default), axes.dims().len())?;
        let there = (axis < axes.dims().len()).then_some(axis);
        there.ok_or_else(|| format!("axis {axis} of {:?}", axes.dims()))
    }

    /// Slice along any axes.
    pub(crate) fn slice_axes(&mut self, x: &Value, lists: [&[i64]; 4]) -> Lowered<Value> {
        let (id, mut axes) = self.strided(x)?;
        let [starts, ends, along, steps] = lists;
        for (i, &axis) in along.iter().enumerate() {
            let axis = axis_of(axis, axes.dims().len())?;
            let size = axes.dims().get(axis).copied().unwrap_or(0) as i64;
            let (Some(&start), Some(&end), step) = (starts.get(i), ends.get(i), steps.get(i))
            else {
                return Err("slices more axes than it has limits for".into());
            };
            let step = step.copied().unwrap_or(1);
            let bound = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(0, size);
            let (start, end) = (bound(start), bound(end));
            if step < 1 || start >= end {
                return Err(format!("slices {start} to {end} by {step}"));
            }
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            let count = ((end - start) as usize).div_ceil(step);
            let part = axes.sliced(axis, start as usize, count, step);
            axes = part.ok_or(NOT_THERE)?;
        }
        Ok(Value::Activation(self.seen(id, axes)?))
    }

    /// Gather of one index, or of consecutive indices, along any axis.
    pub(crate) fn gather_axis(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let (id, axes) = self.strided(&x)?;
        let axis = self.axis(node, 0, &axes)?;
        let Value::Const(indices) = self.input_value(node, 1)? else {
            return Err("its indices are not constant".into());
        };
        let size = axes.dims()[axis];
        let at = |i: i64| normalised_index(i, size);
        let from: Option<Vec<usize>> = indices.ints().into_iter().map(at).collect();
        let from = from.filter(|f| f.iter().all(|&i| i < size) && !f.is_empty());
        let from = from.ok_or(NOT_THERE)?;
        if from.windows(2).any(|w| w[1] != w[0] + 1) || indices.dims.len() > 1 {
            return Err("selects indices in another order".into());
        }
        let mut part = axes.sliced(axis, from[0], from.len(), 1);
        if indices.dims.is_empty() {
            part = part.and_then(|part| part.without(axis));
        }
        Ok(Value::Activation(self.seen(id, part.ok_or(NOT_THERE)?)?))
    }

    /// Concat along any axis, also of constants.
    pub(crate) fn concat_axis(&mut self, node: &NodeProto, values: &[Value]) -> Lowered<Value> {
        let mut parts: Vec<Option<(TensorId, Vec<usize>)>> = Vec::new();
        for value in values {
            parts.push(match value {
                Value::Const(_) => None,
                computed => Some(self.rows(node, computed)?),
            });
        }
        let computed = parts.iter().flatten().next();
        let (like, mut dims) = computed.cloned().ok_or("all its inputs are constant")?;
        let axis = axis_of(int(node, "axis", 1), dims.len())?;
        let outer = volume(&dims[..axis])?;
        let mut inputs = Vec::new();
        let mut along = 0;
        let mut row = 0;
        for (value, part) in values.iter().zip(parts) {
            let (id, size) = match (part, value) {
                (Some(part), _) => part,
                (None, Value::Const(c)) => {
                    let shape = Shape::new(1, 1, c.len())?;
                    (
                        self.constant_tensor(c.floats(), shape, like)?,
                        c.dims.clone(),
                    )
                }
                _ => return Err("a part that is neither constant nor computed".into()),
            };
            let fits = size.len() == dims.len()
                && (0..dims.len()).all(|i| i == axis || size[i] == dims[i]);
            if axis >= dims.len() || !fits {
                return Err(format!(
                    "concatenates {size:?} and {dims:?} along axis {axis}"
                ));
            }
            along = size[axis].saturating_add(along);
            let c = volume(&size[axis..])?;
            row = c.saturating_add(row);
            let shape = Shape::new(1, outer, c)?;
            inputs.push(self.reshaped_tensor(id, shape));
        }
        dims[axis] = along;
        let tensor = Tensor {
            shape: Shape::new(1, outer, row)?,
            kind: Kind::F32,
        };
        let id = self.add_layer(Op::Concat, inputs, tensor, &node.name);
        Ok(Value::Activation(
            self.seen(id, Axes::plain(&dims).ok_or(TOO_MANY)?)?,
        ))
    }

    /// A constant tensor, in the segment of `like`.
    pub(crate) fn constant_tensor(
        &mut self,
        values: Vec<f32>,
        shape: Shape,
        like: TensorId,
    ) -> Lowered<TensorId> {
        self.spend(values.len())?;
        let kind = Kind::F32;
        let id = self.add_layer(
            Op::Constant(Rc::new(values)),
            Vec::new(),
            Tensor { shape, kind },
            "constant",
        );
        let segment = self.segments[like.0];
        self.segments[id.0] = segment;
        if let Some(layer) = self.layers.last_mut() {
            layer.segment = segment;
        }
        Ok(id)
    }

    /// Axes of a Reduce, counted from the first.
    pub(crate) fn reduced(&self, node: &NodeProto, rank: usize) -> Lowered<Vec<usize>> {
        let axes = match ints(node, "axes") {
            Some(axes) => axes,
            None if self.has_input(node, 1) => self.const_ints(node, 1)?,
            None => return Err("is over all axes".into()),
        };
        if axes.is_empty() {
            return Err("is over an empty list of axes".into());
        }
        let axes = axes.into_iter().map(|a| axis_of(a, rank));
        let mut axes = axes.collect::<Lowered<Vec<_>>>()?;
        axes.sort_unstable();
        Ok(axes)
    }
}
