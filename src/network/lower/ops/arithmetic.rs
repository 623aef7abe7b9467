//! Activations, sums, products, softmax and concatenation.

use crate::network::graph::{FREE, InputStep, Op, Shape, Tensor, Unary};
use crate::network::lower::axes::is_plain;
use crate::network::lower::dims::logical;
use crate::network::lower::{Activation, DeferredOp, Lower, Lowered, PIXELS, Value, View};
use crate::network::onnx::attributes::{float, int, text};
use tract_onnx::pb::NodeProto;

impl Lower {
    fn unary_function(&self, node: &NodeProto) -> Lowered<Unary> {
        Ok(match node.op_type.as_str() {
            "Relu" => Unary::Clamp(0.0, f32::INFINITY),
            "Clip" => {
                let mut low = float(node, "min", f32::NEG_INFINITY);
                let mut high = float(node, "max", f32::INFINITY);
                if self.opset >= 11 {
                    if self.has_input(node, 1) {
                        low = self.const_scalar(node, 1)?;
                    }
                    if self.has_input(node, 2) {
                        high = self.const_scalar(node, 2)?;
                    }
                }
                if low > high || low.is_nan() || high.is_nan() {
                    return Err(format!("limits {low} to {high} make no sense"));
                }
                Unary::Clamp(low, high)
            }
            "HardSwish" => Unary::HardSwish,
            "HardSigmoid" => {
                Unary::HardSigmoid(float(node, "alpha", 0.2), float(node, "beta", 0.5))
            }
            "Sigmoid" | "QLinearSigmoid" => Unary::Sigmoid,
            "LeakyRelu" | "QLinearLeakyRelu" => Unary::LeakyRelu(float(node, "alpha", 0.01)),
            "Tanh" => Unary::Tanh,
            "Erf" => Unary::Erf,
            other => return Err(format!("{other} is not a function of one value")),
        })
    }

    pub(crate) fn unary(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        self.unary_of(node, x)
    }

    pub(crate) fn unary_of(&mut self, node: &NodeProto, x: Value) -> Lowered<Value> {
        let function = self.unary_function(node)?;
        self.function_of(node, x, function)
    }

    /// A function of the value at input 0: limits are folded into the layer that makes it.
    pub(crate) fn function_of(
        &mut self,
        node: &NodeProto,
        x: Value,
        function: Unary,
    ) -> Lowered<Value> {
        if let (Value::Deferred(deferred, view), Unary::Clamp(low, high)) = (&x, function)
            && self.only_reader(node, 0)
            && deferred.is_pending()
            && let Some(op) = deferred.op.with_limits((low, high))
        {
            return Ok(deferred.with_op(op, *view));
        }
        let (shape, view) = self.extent(&x)?;
        let act = self.materialise(&x)?;
        Ok(self.deferred(node, DeferredOp::Unary(function), vec![act], shape, view))
    }

    /// Gelu: the product of a number and the normal distribution's cumulative function, which `gate` fuses.
    pub(crate) fn gelu(&mut self, node: &NodeProto) -> Lowered<Value> {
        if !matches!(text(node, "approximate"), "" | "none") {
            return Err("is not the exact Gelu".into());
        }
        let x = self.input_value(node, 0)?;
        let (shape, view) = self.extent(&x)?;
        let act = self.materialise(&x)?;
        let cdf = DeferredOp::Unary(Unary::NormalCdf(1.0));
        let cdf = self.deferred(node, cdf, vec![act], shape, view);
        self.binary_of(node, &Value::Activation(act), &cdf, DeferredOp::Mul(FREE))
    }

    /// PRelu: LeakyRelu with a constant slope per channel.
    pub(crate) fn prelu(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        let (slopes, dims) = self.const_floats(node, 1)?;
        let slopes = self.per_channel(&x, slopes, &dims)?;
        let (shape, view) = self.extent(&x)?;
        let act = self.materialise(&x)?;
        let op = match slopes[..] {
            [first, ref rest @ ..] if rest.iter().all(|&s| s == first) => {
                DeferredOp::Unary(Unary::LeakyRelu(first))
            }
            _ => DeferredOp::Slopes(slopes),
        };
        Ok(self.deferred(node, op, vec![act], shape, view))
    }

    pub(crate) fn binary(&mut self, node: &NodeProto) -> Lowered<Value> {
        let (a, b) = (self.input_value(node, 0)?, self.input_value(node, 1)?);
        let constant = |v: &Value| matches!(v, Value::Const(_) | Value::Quantised(_));
        let op = node.op_type.as_str();
        if let (Value::Intermediate(_), _) | (_, Value::Intermediate(_)) = (&a, &b) {
            return self.binary_of_intermediate(node, &a, &b);
        }
        if constant(&b) {
            let (values, dims) = self.const_floats(node, 1)?;
            return self.with_constant(node, a, values, &dims);
        }
        if constant(&a) {
            let mut turned = node.clone();
            turned.input.swap(0, 1);
            match op {
                "Add" | "Mul" => return self.binary(&turned),
                "Sub" => {}
                _ => return Err("the first operand is constant".into()),
            }
            let negative = self.negative_of(node, 1, b)?;
            let (values, dims) = self.const_floats(node, 0)?;
            turned.op_type = "Add".into();
            return self.with_constant(&turned, negative, values, &dims);
        }
        match op {
            "Add" => self.binary_of(node, &a, &b, DeferredOp::Add(FREE)),
            "Mul" => self.binary_of(node, &a, &b, DeferredOp::Mul(FREE)),
            "Sub" => {
                let negative = self.negative_of(node, 1, b)?;
                self.binary_of(node, &a, &negative, DeferredOp::Add(FREE))
            }
            _ => Err("there is no fused form for two computed operands".into()),
        }
    }

    /// The negative of `x`, which is input `at`. A difference is the sum with the negative, to the bit.
    fn negative_of(&mut self, node: &NodeProto, at: usize, x: Value) -> Lowered<Value> {
        let mut only = node.clone();
        only.input.swap(0, at);
        self.affine(&only, x, vec![InputStep::Mul(vec![-1.0])])
    }

    /// A sum, difference, product or quotient with a constant second operand.
    pub(crate) fn with_constant(
        &mut self,
        node: &NodeProto,
        x: Value,
        values: Vec<f32>,
        dims: &[usize],
    ) -> Lowered<Value> {
        let values = match self.per_channel(&x, values.clone(), dims) {
            Ok(values) => values,
            Err(_) if !node.op_type.starts_with("QLinear") => {
                return self.with_many_constants(node, &x, values, dims);
            }
            Err(why) => return Err(why),
        };
        let step = match node.op_type.as_str() {
            "Add" | "QLinearAdd" => InputStep::Add(values),
            "Sub" => InputStep::Sub(values),
            "Mul" | "QLinearMul" => InputStep::Mul(values),
            _ => InputStep::Div(values),
        };
        self.affine(node, x, vec![step])
    }

    /// Steps per channel of a value: folded into the layer that makes it, or a separate layer.
    pub(crate) fn affine(
        &mut self,
        node: &NodeProto,
        x: Value,
        steps: Vec<InputStep>,
    ) -> Lowered<Value> {
        if let Value::Deferred(layer, view) = &x
            && self.only_reader(node, 0)
            && layer.is_pending()
            && let Some(op) = layer.op.with_steps(&steps)
        {
            return Ok(layer.with_op(op, *view));
        }
        let (shape, view) = self.extent(&x)?;
        let act = self.materialise(&x)?;
        Ok(self.deferred(node, DeferredOp::Affine(steps), vec![act], shape, view))
    }

    /// The sum or product (`op`) of two computed values.
    pub(crate) fn binary_of(
        &mut self,
        node: &NodeProto,
        a: &Value,
        b: &Value,
        op: DeferredOp,
    ) -> Lowered<Value> {
        let ((sa, va), (sb, vb)) = (self.extent(a)?, self.extent(b)?);
        let strided = [va, vb].iter().any(|v| matches!(v, View::Strided(_)));
        if strided && (va != vb || sa != sb) {
            return self.binary_rows(node, a, b, op);
        }
        let same_view = va == vb
            || (sa.pixels() == 1
                && sb.pixels() == 1
                && [va, vb]
                    .iter()
                    .all(|v| matches!(v, View::Flat | View::FlatChw)));
        if !same_view {
            return self.binary_rows(node, a, b, op);
        }
        let (first, second, shape) = if sa == sb || (sb.pixels() == 1 && sb.c == sa.c) {
            (a, b, sa)
        } else if sa.pixels() == 1 && sb.c == sa.c {
            (b, a, sb)
        } else {
            return self.binary_rows(node, a, b, op);
        };
        let inputs = vec![self.materialise(first)?, self.materialise(second)?];
        Ok(self.deferred(node, op, inputs, shape, va))
    }

    /// A constant operand with one value, or one per channel of `x`.
    pub(crate) fn per_channel(
        &self,
        x: &Value,
        values: Vec<f32>,
        dims: &[usize],
    ) -> Lowered<Vec<f32>> {
        let (shape, view) = self.extent(x)?;
        let rank = logical(shape, view).len();
        if dims.len() > rank {
            return Err(format!("a constant of shape {dims:?} adds axes"));
        }
        if values.len() == 1 {
            return Ok(values);
        }
        let from_end = match view {
            View::Nchw => 3,
            View::Nhwc | View::Flat => 1,
            View::FlatChw if shape.pixels() == 1 => 1,
            View::Strided(_) if is_plain(shape, view) => 1,
            View::FlatChw | View::Strided(_) => 0,
        };
        let axis = dims.len().checked_sub(from_end);
        let flat_ok = view != View::Flat || shape.pixels() == 1;
        if axis.is_some_and(|a| dims.get(a) == Some(&shape.c)) && values.len() == shape.c && flat_ok
        {
            Ok(values)
        } else {
            Err(format!(
                "a constant of shape {dims:?} is not one value per channel"
            ))
        }
    }

    pub(crate) fn softmax(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        self.softmax_of(node, &x)
    }

    pub(crate) fn softmax_of(&mut self, node: &NodeProto, x: &Value) -> Lowered<Value> {
        let act = self.materialise(x)?;
        let act = self.float_of(act)?;
        let shape = self.shape(act.id);
        // QLinearSoftmax has an attribute for the opset whose rule it follows.
        let quantised = node.op_type == "QLinearSoftmax";
        let old = int(node, "opset", self.opset) < 13;
        let axis = int(node, "axis", if old && !quantised { 1 } else { -1 });
        let channels = match act.view {
            View::Flat | View::FlatChw => shape.pixels() == 1 && matches!(axis, 1 | -1),
            View::Nchw => matches!(axis, 1 | -3) && (!old || shape.pixels() == 1),
            View::Nhwc => matches!(axis, 3 | -1) || (old && axis == 1 && shape.pixels() == 1),
            View::Strided(_) => false,
        };
        let rank = logical(shape, act.view).len() as i64;
        if !channels && (axis == -1 || axis == rank - 1) && self.quant(act.id).is_none() {
            return self.softmax_rows(node, &Value::Activation(act));
        }
        if !channels {
            return Err(format!("axis {axis} is not the channels"));
        }
        let tensor = self.tensors[act.id.0].clone();
        let id = self.add_layer(Op::Softmax, vec![act.id], tensor, &node.name);
        Ok(Value::Activation(Activation { id, ..act }))
    }

    pub(crate) fn concat(&mut self, node: &NodeProto) -> Lowered<Value> {
        let values = (0..node.input.len())
            .map(|i| self.input_value(node, i))
            .collect::<Lowered<Vec<_>>>()?;
        let axis = int(node, "axis", 1);
        match self.concat_of(node, &values, axis) {
            Ok(joined) => Ok(joined),
            Err(why) => self
                .concat_axis(node, &values)
                .map_err(|also| format!("{why}; {also}")),
        }
    }

    pub(crate) fn concat_of(
        &mut self,
        node: &NodeProto,
        values: &[Value],
        axis: i64,
    ) -> Lowered<Value> {
        let mut inputs = Vec::new();
        for value in values {
            inputs.push(self.materialise(value)?);
        }
        let first = *inputs.first().ok_or("has no inputs")?;
        let size = self.shape(first.id);
        let mut c = 0;
        for i in &inputs {
            let shape = self.shape(i.id);
            if i.view != first.view || (shape.h, shape.w) != (size.h, size.w) {
                return Err("the parts differ in more than channels".into());
            }
            c = shape.c.saturating_add(c);
        }
        let channels = match first.view {
            View::Nchw => matches!(axis, 1 | -3),
            View::Nhwc => matches!(axis, 3 | -1),
            View::Flat | View::FlatChw => size.pixels() == 1 && matches!(axis, 1 | -1),
            View::Strided(_) => false,
        };
        if !channels {
            return Err(format!("axis {axis} is not the channels"));
        }
        let shape = size.with_channels(c)?;
        Ok(self.deferred(node, DeferredOp::Concat, inputs, shape, first.view))
    }

    /// Cast: of the byte input to float; of floats to float.
    pub(crate) fn cast(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        if int(node, "to", 0) != 1 {
            return Err("casts a computed value to a type other than float".into());
        }
        match x {
            Value::Intermediate(value) => value.into_float(),
            Value::Activation(act) if self.picture(act.id).is_some() && !act.real => {
                let own = self.quant(act.id);
                if own.is_some_and(|own| own != PIXELS) {
                    return Err("casts pixels that were dequantised before".into());
                }
                let real = own.is_some();
                self.pixels_taken |= real;
                Ok(Value::Activation(Activation { real, ..act }))
            }
            Value::Activation(act) if self.quant(act.id).is_some() && !act.real => {
                Err("casts integers".into())
            }
            other => Ok(other),
        }
    }

    /// A new tensor of the same kind as `like`, for layers that work on floats and bytes alike.
    pub(crate) fn same_kind(&self, like: Activation, shape: Shape) -> Tensor {
        Tensor {
            shape,
            kind: self.tensors[like.id.0].kind,
        }
    }
}
