//! Making layers: a lazy float layer as float, or, when a QuantizeLinear follows, as bytes.

use super::conv::Bias;
use super::{Act, Lazy, LazyOp, Lower, Made, Val, View};
use crate::network::graph::{InputStep, InputType, Kind, Op, Quant, Tensor, Unary, Weights};

use std::rc::Rc;

impl Lower {
    /// The tensor behind a value; a lazy layer is made in float now.
    pub(super) fn materialise(&mut self, value: &Val) -> Made<Act> {
        match value {
            Val::Act(act) => Ok(*act),
            Val::Lazy(lazy, view) => {
                let known = *lazy.made.borrow();
                let act = match known {
                    Some(act) => act,
                    None => self.emit_float(lazy)?,
                };
                *lazy.made.borrow_mut() = Some(act);
                Ok(Act { view: *view, ..act })
            }
            Val::Padded(..) => Err("padding that is not before a convolution".into()),
            Val::Grouped { .. } => Err("channels seen as groups, not as a shuffle".into()),
            Val::Dynamic(_) => Err(crate::network::lower::dynamic::ELSEWHERE.into()),
            Val::Spelt(_) => Err(crate::network::lower::norm::ELSEWHERE.into()),
            Val::Const(_) | Val::Quantised(_) | Val::Absent => {
                Err("a constant where a computed value is needed".into())
            }
        }
    }

    /// The same values as a float tensor.
    pub(super) fn float_of(&mut self, act: Act) -> Made<Act> {
        if self.quant(act.id).is_none() {
            return Ok(act);
        }
        if !act.real {
            return Err("integers where real values are needed".into());
        }
        let mut readers = self.readers[act.id.0].iter().map(|&at| &self.layers[at]);
        let made = readers.find(|l| matches!(l.op, Op::Dequantise));
        let id = match made {
            Some(layer) => layer.output,
            None => {
                let tensor = Tensor {
                    kind: Kind::F32,
                    ..self.tensors[act.id.0].clone()
                };
                self.add_layer(Op::Dequantise, vec![act.id], tensor, "dequantise")
            }
        };
        Ok(Act {
            id,
            real: false,
            ..act
        })
    }

    fn emit_float(&mut self, lazy: &Lazy) -> Made<Act> {
        let mut inputs = Vec::new();
        for &i in &lazy.inputs {
            inputs.push(self.float_of(i)?.id);
        }
        let op = match &lazy.op {
            LazyOp::Conv(conv, bias) => Op::Conv(conv.to_float(bias)),
            LazyOp::Add(clamp) => Op::Add { clamp: *clamp },
            LazyOp::Mul(clamp) => Op::Mul { clamp: *clamp },
            LazyOp::Average(window, pads) => Op::AveragePool(*window, *pads),
            LazyOp::Unary(f) => Op::Unary(*f),
            LazyOp::Slopes(slopes) => Op::Slopes(slopes.clone()),
            LazyOp::Affine(steps) => {
                self.spend(lazy.shape.c)?;
                let at = |x: f32, c| steps.iter().fold(x, |x, s| s.of(x, c));
                let b: Vec<f32> = (0..lazy.shape.c).map(|c| at(0.0, c)).collect();
                let a = (0..lazy.shape.c)
                    .map(|c| {
                        steps.iter().fold(1.0, |a, s| match s {
                            InputStep::Mul(_) | InputStep::Div(_) => s.of(a, c),
                            _ => a,
                        })
                    })
                    .collect();
                Op::Affine { a, b }
            }
            LazyOp::Product(product) => Op::Product(product.clone()),
            LazyOp::Norm(norm) => Op::Norm(norm.clone()),
            LazyOp::Concat => Op::Concat,
        };
        let tensor = Tensor {
            shape: lazy.shape,
            kind: Kind::F32,
        };
        let id = self.add_layer(op, inputs, tensor, &lazy.name);
        Ok(Act {
            id,
            view: View::Nchw,
            real: false,
        })
    }

    /// QuantizeLinear of a value: an integer tensor with this quantisation.
    pub(super) fn quantise_value(&mut self, value: &Val, quant: Quant) -> Made<Act> {
        if matches!(self.extent(value)?.1, View::Strided(_)) {
            return Err("bytes along such axes are not understood".into());
        }
        if let Val::Lazy(lazy, view) = value
            && lazy.made.borrow().is_none()
            && let Some(mut act) = self.emit_bytes(lazy, quant)?
        {
            act.view = *view;
            return Ok(act);
        }
        if let Val::Act(act) = value
            && self.fold_into_input(*act, &[], quant)
        {
            return Ok(Act {
                real: false,
                ..*act
            });
        }
        let act = self.materialise(value)?;
        let tensor = Tensor {
            shape: self.shape(act.id),
            kind: Kind::Q8(quant),
        };
        let id = match self.quant(act.id) {
            Some(_) if !act.real => return Err("quantises integers".into()),
            Some(own) if own == quant => act.id,
            Some(_) => self.add_layer(Op::Unary(Unary::NONE), vec![act.id], tensor, "requantise"),
            None => self.add_layer(Op::Quantise, vec![act.id], tensor, "quantise"),
        };
        Ok(Act {
            id,
            view: act.view,
            real: false,
        })
    }

    /// The integer form of a lazy layer, when it has one.
    fn emit_bytes(&mut self, lazy: &Lazy, quant: Quant) -> Made<Option<Act>> {
        if let LazyOp::Affine(steps) = &lazy.op {
            let input = lazy.inputs[0];
            if self.fold_into_input(input, steps, quant) {
                return Ok(Some(Act {
                    real: false,
                    ..input
                }));
            }
        }
        let known: Option<Vec<Quant>> = lazy
            .inputs
            .iter()
            .map(|a| self.quant(a.id).filter(|_| a.real))
            .collect();
        let Some(quants) = known else { return Ok(None) };
        let op = match &lazy.op {
            LazyOp::Conv(conv, bias) => match &conv.weights {
                Weights::Q8 { .. } => Op::Conv(conv.to_bytes(bias, quants[0].scale)?),
                Weights::F32 { .. } => return Ok(None),
            },
            LazyOp::Add(clamp) => Op::Add { clamp: *clamp },
            LazyOp::Mul(clamp) => Op::Mul { clamp: *clamp },
            LazyOp::Average(window, pads) => Op::AveragePool(*window, *pads),
            LazyOp::Unary(f) => Op::Unary(*f),
            LazyOp::Affine(_) | LazyOp::Slopes(_) | LazyOp::Product(_) | LazyOp::Norm(_) => {
                return Ok(None);
            }
            LazyOp::Concat => {
                let mut inputs = Vec::new();
                for &i in &lazy.inputs {
                    inputs.push(self.quantise_value(&Val::Act(i), quant)?.id);
                }
                let tensor = Tensor {
                    shape: lazy.shape,
                    kind: Kind::Q8(quant),
                };
                let id = self.add_layer(Op::Concat, inputs, tensor, &lazy.name);
                return Ok(Some(Act {
                    id,
                    view: View::Nchw,
                    real: false,
                }));
            }
        };
        let tensor = Tensor {
            shape: lazy.shape,
            kind: Kind::Q8(quant),
        };
        let inputs = lazy.inputs.iter().map(|a| a.id).collect();
        let id = self.add_layer(op, inputs, tensor, &lazy.name);
        Ok(Some(Act {
            id,
            view: View::Nchw,
            real: false,
        }))
    }

    /// When the value is the network's own input, read once: its quantisation becomes part of putting the picture in.
    fn fold_into_input(&mut self, act: Act, steps: &[InputStep], quant: Quant) -> bool {
        let own = self.quant(act.id);
        let Some(input) = self.input.as_mut().filter(|i| i.tensor == act.id) else {
            return false;
        };
        let plain = match input.dtype {
            InputType::F32 => own.is_none(),
            InputType::U8 => act.real,
        };
        if self.input_uses != 1 || input.quantised || !plain {
            return false;
        }
        if let (InputType::U8, Some(own)) = (input.dtype, own) {
            input.steps = vec![
                InputStep::Sub(vec![own.zero as f32]),
                InputStep::Mul(vec![own.scale]),
            ];
        }
        input.steps.extend_from_slice(steps);
        input.quantised = true;
        self.tensors[act.id.0].kind = Kind::Q8(quant);
        true
    }
}

impl crate::network::graph::Conv {
    /// With float weights and bias.
    fn to_float(&self, bias: &Bias) -> Self {
        let per = self.window.kh * self.window.kw * (self.cin / self.groups);
        let (w, steps) = match &self.weights {
            Weights::F32 { w, steps, .. } => (w.clone(), steps.clone()),
            Weights::Q8 { w, zero, scale, .. } => {
                let real =
                    |(i, &v): (usize, &i8)| (i32::from(v) - zero[i / per]) as f32 * scale[i / per];
                (Rc::new(w.iter().enumerate().map(real).collect()), vec![])
            }
        };
        let bias = bias.floats(self.cout);
        Self {
            weights: Weights::F32 { w, steps, bias },
            ..self.clone()
        }
    }

    /// With the bias in units of `input scale * weight scale`.
    fn to_bytes(&self, bias: &Bias, input_scale: f32) -> Made<Self> {
        let mut made = self.clone();
        if let Weights::Q8 {
            scale, bias: ints, ..
        } = &mut made.weights
        {
            *ints = bias.ints(self.cout, |n| f64::from(input_scale) * f64::from(scale[n]))?;
        }
        Ok(made)
    }
}
