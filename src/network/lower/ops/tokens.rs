//! Token operators of attention networks: matrix products over the last axis and of two computed tensors, Softmax and averages.

use super::conv::{Dense, Source};
use crate::network::graph::axes::Axes;
use crate::network::graph::sizes::volume;
use crate::network::graph::{Conv, FREE, Op, Product, Shape, TensorId, Weights, Window};
use crate::network::lower::axes::plain_form;
use crate::network::lower::fold::broadcast;
use crate::network::lower::folded::one_factor;
use crate::network::lower::{Activation, DeferredOp, Lower, Lowered, Value, View};
use crate::network::onnx::attributes::int;
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// Most values of constants that are stored as a whole tensor.
const MAX_CONSTANT: usize = 1 << 21;

impl Lower {
    /// A dense layer over the last axis: a 1x1 convolution.
    pub(crate) fn by_rows(&mut self, node: &NodeProto, x: &Value, of: Dense<'_>) -> Lowered<Value> {
        let Source::Real(values, size) = self.weights_of(of.w)? else {
            return Err("a matrix of bytes over the last of many axes".into());
        };
        let (k, n) = of.inputs_and_outputs(&size)?;
        let mut dims = self.dims_of(x)?;
        if dims.last() != Some(&k) || n == 0 || dims.len() < 2 {
            return Err(format!("a matrix {size:?} does not fit {dims:?}"));
        }
        let (id, _) = self.rows(node, x)?;
        let w = if of.transposed {
            values
        } else {
            let turned = (0..n).flat_map(|o| (0..k).map(move |i| i * n + o));
            Rc::new(turned.map(|i| values[i]).collect())
        };
        let conv = Conv {
            window: Window::POINT,
            groups: 1,
            cin: k,
            cout: n,
            weights: Weights::F32 {
                w,
                steps: Vec::new(),
                bias: Vec::new(),
            },
            clamp: FREE,
            factors: None,
            then: None,
        };
        dims.pop();
        dims.push(n);
        let (shape, view) = plain_form(&dims)?;
        let input = shape.with_channels(k)?;
        let id = self.reshaped_tensor(id, input);
        let x = Activation {
            id,
            view,
            real: false,
        };
        Ok(self.deferred(node, DeferredOp::Conv(conv, of.bias), vec![x], shape, view))
    }

    /// MatMul of two computed tensors, matrix by matrix.
    pub(crate) fn product(&mut self, node: &NodeProto, a: &Value, b: &Value) -> Lowered<Value> {
        let (a, mut x, sa) = self.factor(node, 0, a)?;
        let (b, w, sb) = self.factor(node, 1, b)?;
        let rank = x.dims().len().max(w.dims().len());
        if x.dims().len().min(w.dims().len()) < 2 {
            return Err("a product with a vector".into());
        }
        let (m, k) = (x.dims()[x.dims().len() - 2], x.dims()[x.dims().len() - 1]);
        let (same, n) = (w.dims()[w.dims().len() - 2], w.dims()[w.dims().len() - 1]);
        if same != k {
            return Err(format!(
                "shapes {:?} and {:?} do not match",
                x.dims(),
                w.dims()
            ));
        }
        let mut a = a;
        if k > 1 && x.strides().last() != Some(&1) {
            a = self.in_order(node, a, x)?;
            x = Axes::plain(x.dims()).ok_or("too many axes")?;
        }
        let many = "too many axes or values";
        let (mut x, mut w) = (x.raised(rank).ok_or(many)?, w.raised(rank).ok_or(many)?);
        let mut dims = Vec::new();
        for axis in 0..rank - 2 {
            let (p, q) = (x.dims()[axis], w.dims()[axis]);
            match (p, q) {
                _ if p == q => {}
                (1, _) => x = x.repeated(axis, q).ok_or(many)?,
                (_, 1) => w = w.repeated(axis, p).ok_or(many)?,
                _ => return Err(format!("batches of {p} and {q} matrices")),
            }
            dims.push(p.max(q));
        }
        dims.extend([m, n]);
        // Heads are adjacent in the result if they were in the second operand: the next nodes concatenate them.
        let heads = rank > 2 && dims[rank - 3] > 1 && n > 1 && w.strides()[rank - 1] == 1;
        let (shape, view, y) = if heads {
            let mut order: Vec<usize> = (0..rank).collect();
            order.swap(rank - 3, rank - 2);
            let memory: Vec<usize> = order.iter().map(|&i| dims[i]).collect();
            let axes = Axes::plain(&memory).and_then(|a| a.transposed(&order));
            let axes = axes.ok_or(many)?;
            let shape = Shape::new(1, axes.volume() / n, n)?;
            (shape, View::Strided(axes), axes)
        } else {
            let (shape, view) = plain_form(&dims)?;
            (shape, view, Axes::plain(&dims).ok_or(many)?)
        };
        let product = Product {
            a: x,
            b: w,
            y,
            scale: sa * sb,
        };
        let act = |id| Activation {
            id,
            view: View::Flat,
            real: false,
        };
        let inputs = vec![act(a), act(b)];
        Ok(self.deferred(node, DeferredOp::Product(product), inputs, shape, view))
    }

    /// An operand of a product: its tensor, its axes, and a factor that is still to be folded in.
    fn factor(
        &mut self,
        node: &NodeProto,
        at: usize,
        value: &Value,
    ) -> Lowered<(TensorId, Axes, f32)> {
        if let Value::Deferred(deferred, view) = value
            && let DeferredOp::Affine(steps) = &deferred.op
            && let Some(scale) = one_factor(steps)
            && deferred.is_pending()
            && self.only_reader(node, at)
        {
            let x = Activation {
                view: *view,
                ..deferred.inputs[0]
            };
            let (id, axes) = self.strided(&Value::Activation(x))?;
            return Ok((id, axes, scale));
        }
        let (id, axes) = self.strided(value)?;
        Ok((id, axes, 1.0))
    }

    /// Softmax over the last axis.
    pub(crate) fn softmax_rows(&mut self, node: &NodeProto, x: &Value) -> Lowered<Value> {
        let (id, dims) = self.rows(node, x)?;
        let tensor = self.tensors[id.0].clone();
        let id = self.add_layer(Op::Softmax, vec![id], tensor, &node.name);
        let axes = Axes::plain(&dims).ok_or("too many axes")?;
        Ok(Value::Activation(self.seen(id, axes)?))
    }

    /// The average over all axes but the first and the last.
    pub(crate) fn mean_of_tokens(&mut self, node: &NodeProto, x: &Value) -> Lowered<Value> {
        let dims = self.dims_of(x)?;
        let axes = self.reduced(node, dims.len())?;
        let all_between = axes.iter().copied().eq(1..dims.len().saturating_sub(1));
        let (Some(1), Some(&c), true) = (dims.first().copied(), dims.last(), all_between) else {
            return Err(format!("the average over axes {axes:?} of {dims:?}"));
        };
        let (id, _) = self.rows(node, x)?;
        let input = self.shape(id);
        let whole = Window {
            kh: input.h,
            kw: input.w,
            ..Window::POINT
        };
        let act = Activation {
            id,
            view: View::Flat,
            real: false,
        };
        let one = Shape::new(1, 1, c)?;
        let mut kept = vec![1; dims.len() - 1];
        kept.push(c);
        let view = if int(node, "keepdims", 1) == 0 || dims.len() == 2 {
            View::Flat
        } else {
            plain_form(&kept)?.1
        };
        Ok(self.deferred(
            node,
            DeferredOp::Average(whole, false),
            vec![act],
            one,
            view,
        ))
    }

    /// A sum or product of two computed values whose axes are in different orders, or one of which is broadcast.
    pub(crate) fn binary_rows(
        &mut self,
        node: &NodeProto,
        a: &Value,
        b: &Value,
        op: DeferredOp,
    ) -> Lowered<Value> {
        let (da, db) = (self.dims_of(a)?, self.dims_of(b)?);
        let (a, b, dims, other) = if volume(&db)? > volume(&da)? {
            (b, a, db, da)
        } else {
            (a, b, da, db)
        };
        if other.len() > dims.len() || !dims.ends_with(trimmed(&other)) {
            return Err(format!("shapes {dims:?} and {other:?} do not match"));
        }
        let (x, _) = self.rows(node, a)?;
        let (y, _) = self.rows(node, b)?;
        let (shape, view) = plain_form(&dims)?;
        let act = |id| Activation {
            id,
            view,
            real: false,
        };
        let x = self.reshaped_tensor(x, shape);
        let inputs = vec![act(x), act(y)];
        Ok(self.deferred(node, op, inputs, shape, view))
    }

    /// A sum or product with constants that are not one per channel.
    pub(crate) fn with_many_constants(
        &mut self,
        node: &NodeProto,
        x: &Value,
        values: Vec<f32>,
        dims: &[usize],
    ) -> Lowered<Value> {
        let (op, values) = match node.op_type.as_str() {
            "Add" => (DeferredOp::Add(FREE), values),
            "Sub" => (DeferredOp::Add(FREE), values.iter().map(|v| -v).collect()),
            "Mul" => (DeferredOp::Mul(FREE), values),
            _ => return Err("divides by more constants than one per channel".into()),
        };
        let size = self.dims_of(x)?;
        if volume(&size)? > MAX_CONSTANT {
            return Err("too many constants to keep".into());
        }
        let wanted = broadcast(&size, dims).filter(|(all, _)| *all == size);
        let (_, from) = wanted.ok_or_else(|| format!("{dims:?} is more than {size:?}"))?;
        let (mut id, mut axes) = self.strided(x)?;
        if axes.offset() > 0 || axes.volume() != self.shape(id).volume() {
            id = self.in_order(node, id, axes)?;
            axes = Axes::plain(&size).ok_or("too many axes")?;
        }
        let mut placed = vec![0.0; from.len()];
        for (i, &(_, from)) in from.iter().enumerate() {
            let place = placed.get_mut(axes.start(i, size.len()));
            *place.ok_or("values that lie apart")? = values[from];
        }
        // Repeated values are stored once.
        let part = volume(dims)?;
        if axes.is_plain() && size.ends_with(trimmed(dims)) {
            placed.truncate(part);
        }
        let act = self.seen(id, axes)?;
        let shape = self.shape(act.id);
        let len = placed.len();
        let one = Shape::new(1, 1, len)?;
        let id = self.constant_tensor(placed, one, act.id)?;
        let constant = Activation { id, ..act };
        Ok(self.deferred(node, op, vec![act, constant], shape, act.view))
    }
}

/// Sizes from the first one that is not 1.
fn trimmed(dims: &[usize]) -> &[usize] {
    let first = dims.iter().position(|&d| d != 1).unwrap_or(dims.len());
    &dims[first..]
}
