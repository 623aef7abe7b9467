//! Operators that select channels: Split, Slice and Gather along them, and the channel shuffle, which files write as Reshape to
//! groups, Transpose of groups and members, Reshape back.

use crate::network::graph::{Op, Shape, Sides};
use crate::network::lower::dims::axis_of;
use crate::network::lower::{Activation, Lower, Lowered, Value, View};
use crate::network::onnx::attributes::{int, ints, normalised_index};
use tract_onnx::pb::NodeProto;

impl Lower {
    /// The channel axis of a view with this many axes.
    fn channel_axis(view: View, shape: Shape) -> Option<usize> {
        match view {
            View::Nchw => Some(1),
            View::Nhwc => Some(3),
            View::Flat | View::FlatChw if shape.pixels() == 1 => Some(1),
            View::Flat | View::FlatChw | View::Strided(_) => None,
        }
    }

    /// The value at input 0, whose channels must be on `axis`.
    fn by_channels(&mut self, node: &NodeProto, axis: i64) -> Lowered<(Activation, Shape)> {
        let x = self.input_value(node, 0)?;
        let (shape, view) = self.extent(&x)?;
        let rank = if matches!(view, View::Nchw | View::Nhwc) {
            4
        } else {
            2
        };
        let channels = Self::channel_axis(view, shape);
        if channels.is_none() || channels != axis_of(axis, rank).ok() {
            return Err(format!("axis {axis} is not the channels"));
        }
        Ok((self.materialise(&x)?, shape))
    }

    /// Selects these channels of a tensor, in this order; bytes stay bytes.
    fn pick(
        &mut self,
        node: &NodeProto,
        mut act: Activation,
        mut from: Vec<usize>,
    ) -> Lowered<Value> {
        // If the channels were selected already, use the first source: a shuffle and the Split after it become one step.
        if let Some(layer) = self.makers[act.id.0].map(|at| &self.layers[at])
            && let Op::Pick(before) = &layer.op
        {
            from = from.into_iter().map(|i| before[i]).collect();
            act.id = layer.inputs[0];
        }
        self.spend(from.len())?;
        let shape = self.shape(act.id);
        if from.iter().copied().eq(0..shape.c) {
            return Ok(Value::Activation(act));
        }
        let shape = shape.with_channels(from.len())?;
        let tensor = self.same_kind(act, shape);
        let id = self.add_layer(Op::Pick(from), vec![act.id], tensor, &node.name);
        Ok(Value::Activation(Activation { id, ..act }))
    }

    /// Split: registers its outputs itself.
    pub(crate) fn split(&mut self, node: &NodeProto) -> Lowered<()> {
        let Ok((act, shape)) = self.by_channels(node, int(node, "axis", 0)) else {
            return self.split_axis(node);
        };
        let sizes = self.split_sizes(node, shape.c)?;
        let mut first = 0;
        for (name, size) in node.output.iter().zip(sizes) {
            let end = first + size;
            let value = self.pick(node, act, (first..end).collect())?;
            self.define(name, value);
            first = end;
        }
        Ok(())
    }

    /// Sizes of the parts of an axis with `size` elements.
    pub(crate) fn split_sizes(&self, node: &NodeProto, size: usize) -> Lowered<Vec<usize>> {
        let parts = node.output.len();
        let sizes = match ints(node, "split") {
            Some(sizes) => sizes,
            None if self.has_input(node, 1) => self.const_ints(node, 1)?,
            // Equal parts; the last one is smaller if the division leaves a remainder.
            None => {
                let part = size.div_ceil(parts.max(1));
                let of = |i: usize| size.saturating_sub(i * part).min(part) as i64;
                (0..parts).map(of).collect()
            }
        };
        if sizes.len() != parts
            || sizes.iter().any(|&s| s < 1 || s > size as i64)
            || sizes.iter().sum::<i64>() != size as i64
        {
            return Err(format!("splits {size} elements into {sizes:?}"));
        }
        Ok(sizes.into_iter().map(|s| s as usize).collect())
    }

    pub(crate) fn slice(&mut self, node: &NodeProto) -> Lowered<Value> {
        let list = |lower: &Self, name: &str, at: usize| match ints(node, name) {
            Some(values) => Ok(Some(values)),
            None if lower.has_input(node, at) => lower.const_ints(node, at).map(Some),
            None => Ok(None),
        };
        let starts = list(self, "starts", 1)?.unwrap_or_default();
        let ends = list(self, "ends", 2)?.unwrap_or_default();
        let axes = list(self, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(self, "steps", 4)?.unwrap_or_else(|| vec![1]);
        let x = self.input_value(node, 0)?;
        let any = [&starts[..], &ends, &axes, &steps];
        let ([start], [end], [axis], [1]) = (&starts[..], &ends[..], &axes[..], &steps[..]) else {
            return self.slice_axes(&x, any);
        };
        let Ok((act, shape)) = self.by_channels(node, *axis) else {
            return self.slice_axes(&x, any);
        };
        let c = shape.c as i64;
        let bound = |v: i64| (if v < 0 { v.saturating_add(c) } else { v }).clamp(0, c) as usize;
        let (start, end) = (bound(*start), bound(*end));
        if start >= end {
            return Err(format!("slices channels {start} to {end}"));
        }
        self.pick(node, act, (start..end).collect())
    }

    pub(crate) fn gather(&mut self, node: &NodeProto) -> Lowered<Value> {
        let Ok((act, shape)) = self.by_channels(node, int(node, "axis", 0)) else {
            return self.gather_axis(node);
        };
        let Value::Const(indices) = self.input_value(node, 1)? else {
            return Err("its indices are not constant".into());
        };
        if indices.dims.is_empty() {
            return self.gather_axis(node);
        }
        if indices.dims.len() != 1 || indices.len() == 0 {
            return Err(format!("its indices are of shape {:?}", indices.dims));
        }
        let from: Option<Vec<usize>> = indices
            .ints()
            .into_iter()
            .map(|i| normalised_index(i, shape.c).filter(|&i| i < shape.c))
            .collect();
        let from = from.ok_or("picks a channel that is not there")?;
        self.pick(node, act, from)
    }

    /// A Reshape from 1xCxHxW to 1xGx(C/G)xHxW: groups of channels, which a Transpose may exchange with their members.
    pub(crate) fn grouped(x: &Value, shape: Shape, view: View, dims: &[usize]) -> Option<Value> {
        let Sides { h, w, c } = *shape;
        match *dims {
            [1, groups, members, dh, dw]
                if view == View::Nchw
                    && (dh, dw) == (h, w)
                    && groups.checked_mul(members) == Some(c) =>
            {
                Some(Value::Grouped {
                    inner: Box::new(x.clone()),
                    groups,
                    turned: false,
                })
            }
            _ => None,
        }
    }

    /// A Transpose of groups: only an exchange of groups and members is supported.
    pub(crate) fn turn_groups(&self, x: Value, perm: &[i64]) -> Lowered<Value> {
        match x {
            Value::Grouped {
                inner,
                groups,
                turned,
            } if *perm == [0, 2, 1, 3, 4] => {
                let (shape, _) = self.extent(&inner)?;
                Ok(Value::Grouped {
                    inner,
                    groups: shape.c / groups,
                    turned: !turned,
                })
            }
            _ => Err(format!("the order {perm:?} of groups is not supported")),
        }
    }

    /// The Reshape from groups back to channels.
    pub(crate) fn ungroup(&mut self, node: &NodeProto, x: Value, dims: &[usize]) -> Lowered<Value> {
        let Value::Grouped {
            inner,
            groups,
            turned,
        } = x
        else {
            return Err("not groups".into());
        };
        let (shape, view) = self.extent(&inner)?;
        if dims != [1, shape.c, shape.h, shape.w] {
            return Err(format!("from {groups} groups of channels to {dims:?}"));
        }
        if !turned {
            return Ok(*inner);
        }
        let act = self.materialise(&inner)?;
        // `groups` is the count in the new order; in the old order it is the number of members per group.
        let members = shape.c / groups;
        let from = (0..shape.c).map(|to| to % members * groups + to / members);
        self.pick(node, Activation { view, ..act }, from.collect())
    }
}
