//! DynamicQuantizeLinear, ConvInteger and MatMulInteger, as `quantize_dynamic` writes them: the integers are kept as whole
//! numbers in floats, with their zero point subtracted, so that float convolutions sum them. Sums are exact up to 2^24 and
//! rounded beyond it; ONNX rounds them only in the Cast that follows.
//!
//! The Cast, the product with both scales and the bias are fused into the convolution. Any other use of the integers is refused.

use super::conv::Dense;
use crate::network::graph::{Kind, Op, Shape, Tensor, Weights};
use crate::network::lower::folded::unlimited;
use crate::network::lower::value::{Bias, DYNAMIC_ELSEWHERE, Dynamic, Intermediate};
use crate::network::lower::{
    Activation, Deferred, DeferredOp, Lower, Lowered, QuantisedConst, Value, View,
};
use crate::network::onnx::constant::{Const, Data};
use std::cell::RefCell;
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

impl Dynamic {
    fn value(self) -> Value {
        Value::Intermediate(Intermediate::Dynamic(self))
    }

    /// Cast to float.
    pub(crate) fn into_float(self) -> Lowered<Value> {
        match self {
            Self::Sums(sums) => Ok(*sums),
            _ => Err(DYNAMIC_ELSEWHERE.into()),
        }
    }
}

impl Lower {
    pub(crate) fn dynamic_quantize_linear(&mut self, node: &NodeProto) -> Lowered<()> {
        let x = self.input_value(node, 0)?;
        let act = self.materialise(&x)?;
        let act = self.float_of(act)?;
        if matches!(act.view, View::Strided(_)) {
            return Err("whole numbers along such axes are not supported".into());
        }
        let tensor = |shape| Tensor {
            shape,
            kind: Kind::F32,
        };
        // Minimum and maximum; the planner makes a pair per thread.
        let pair = Shape::new(1, 1, 2)?;
        let extremes = self.add_layer(Op::Extremes, vec![act.id], tensor(pair), &node.name);
        let round = tensor(self.shape(act.id));
        let id = self.add_layer(
            Op::DynamicQuantise,
            vec![act.id, extremes],
            round,
            &node.name,
        );
        let results = [
            Dynamic::Integers(Activation { id, ..act }, extremes),
            Dynamic::Scale(extremes),
            Dynamic::Zero(extremes),
        ];
        for (name, value) in node.output.iter().zip(results) {
            self.define(name, value.value());
        }
        Ok(())
    }

    /// The integers at input 0 minus the zero point at input 2, as whole numbers.
    fn whole_numbers(&self, node: &NodeProto) -> Lowered<Activation> {
        let value = self.input_value(node, 0)?;
        let Value::Intermediate(Intermediate::Dynamic(Dynamic::Integers(act, of))) = value else {
            return Err("its input is not a DynamicQuantizeLinear's".into());
        };
        match self.has_input(node, 2).then(|| self.input_value(node, 2)) {
            Some(Ok(Value::Intermediate(Intermediate::Dynamic(Dynamic::Zero(same)))))
                if same == of =>
            {
                Ok(act)
            }
            _ => Err("its zero point is not that of its input".into()),
        }
    }

    /// The weights at input 1 minus the zero points at input 3: one in all, or one per index along `axis`.
    fn whole_weights(&self, node: &NodeProto, axis: usize) -> Lowered<Value> {
        let Value::Const(ints) = self.input_value(node, 1)? else {
            return Err("the weights are not constant".into());
        };
        if !matches!(ints.data, Data::I8(_) | Data::U8(_)) {
            return Err("the weights are not bytes".into());
        }
        let mut zero = vec![0];
        if self.has_input(node, 3) {
            let given = self.const_ints(node, 3)?;
            zero = given.into_iter().map(|z| z as i32).collect();
        }
        if zero.len() != 1 && ints.dims.get(axis) != Some(&zero.len()) {
            return Err(format!("{} zero points along axis {axis}", zero.len()));
        }
        let dims = ints.dims.clone();
        let whole = QuantisedConst {
            ints: (*ints).clone(),
            scale: vec![1.0; zero.len()],
            zero,
            axis,
        };
        let data = Data::F32(Rc::new(whole.floats()));
        Ok(Value::Const(Rc::new(Const { dims, data })))
    }

    pub(crate) fn conv_integer(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = Value::Activation(self.whole_numbers(node)?);
        let w = self.whole_weights(node, 0)?;
        let sums = self.conv_of(node, x, &w, Bias::None)?;
        Ok(Dynamic::Sums(Box::new(sums)).value())
    }

    pub(crate) fn matmul_integer(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = Value::Activation(self.whole_numbers(node)?);
        let w = self.whole_weights(node, 1)?;
        let sums = self.fully_connected_of(node, x, Dense::matrix(&w))?;
        Ok(Dynamic::Sums(Box::new(sums)).value())
    }

    /// A product in which one operand depends on a DynamicQuantizeLinear and the other is input `at`: the product of scales, or
    /// of the sums with it.
    pub(crate) fn by_dynamic(
        &mut self,
        node: &NodeProto,
        scale: &Dynamic,
        other: &Value,
        at: usize,
    ) -> Lowered<Value> {
        if node.op_type != "Mul" {
            return Err(DYNAMIC_ELSEWHERE.into());
        }
        if let (Dynamic::Scale(of), Value::Const(_)) = (scale, other) {
            let (values, dims) = self.const_floats(node, at)?;
            let scales = Dynamic::Scales(*of, Rc::new(values), dims);
            return Ok(scales.value());
        }
        let (of, values, dims) = match scale {
            Dynamic::Scale(of) => (*of, vec![1.0], Vec::new()),
            Dynamic::Scales(of, values, dims) => (*of, values.to_vec(), dims.clone()),
            _ => return Err(DYNAMIC_ELSEWHERE.into()),
        };
        let Value::Deferred(deferred, view) = other else {
            return Err(DYNAMIC_ELSEWHERE.into());
        };
        let DeferredOp::Conv(conv, Bias::None) = &deferred.op else {
            return Err(DYNAMIC_ELSEWHERE.into());
        };
        let plain = matches!(&conv.weights, Weights::F32 { steps, .. } if steps.is_empty());
        let free = deferred.is_pending() && self.only_reader(node, at);
        if !plain || !free || !unlimited(conv) || conv.factors.is_some() {
            return Err(DYNAMIC_ELSEWHERE.into());
        }
        let values = self.per_channel(other, values, &dims)?;
        let mut conv = conv.clone();
        conv.factors = Some(match values[..] {
            [one] => vec![one; conv.cout],
            _ => values,
        });
        let extremes = Activation {
            id: of,
            view: *view,
            real: false,
        };
        let scaled = Deferred {
            op: DeferredOp::Conv(conv, Bias::None),
            inputs: deferred.inputs.iter().copied().chain([extremes]).collect(),
            shape: deferred.shape,
            name: deferred.name.clone(),
            emitted: RefCell::new(None),
        };
        Ok(Value::Deferred(Rc::new(scaled), *view))
    }

    /// The segment that must have run before such a value is available.
    pub(crate) fn segment_of_dynamic(&self, value: &Dynamic) -> usize {
        match value {
            Dynamic::Integers(act, _) => self.segments[act.id.0],
            Dynamic::Scale(of) | Dynamic::Scales(of, ..) | Dynamic::Zero(of) => self.segments[of.0],
            Dynamic::Sums(sums) => self.segment_of(sums),
        }
    }
}
