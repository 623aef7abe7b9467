//! Emits layers: a deferred float layer as float or, if a QuantizeLinear follows, as bytes.

use super::value::Bias;
use super::{Activation, Deferred, DeferredOp, Lower, Lowered, Value, View};
use crate::network::graph::{Conv, InputStep, Kind, Op, Quant, Tensor, Unary, Weights};
use crate::spec::Dtype;

use std::rc::Rc;

impl Lower {
    /// The tensor behind a value; a deferred layer is emitted in float now.
    pub(crate) fn materialise(&mut self, value: &Value) -> Lowered<Activation> {
        match value {
            Value::Activation(act) => Ok(*act),
            Value::Deferred(deferred, view) => {
                let known = *deferred.emitted.borrow();
                let act = match known {
                    Some(act) => act,
                    None => self.emit_float(deferred)?,
                };
                *deferred.emitted.borrow_mut() = Some(act);
                Ok(Activation { view: *view, ..act })
            }
            Value::Padded(..) => Err("padding that is not before a convolution".into()),
            Value::Grouped { .. } => Err("channels in groups that are not a shuffle".into()),
            Value::Intermediate(value) => Err(value.elsewhere().into()),
            Value::Const(_) | Value::Quantised(_) | Value::Absent => {
                Err("a constant where a computed value is needed".into())
            }
        }
    }

    /// The same values as a float tensor.
    pub(crate) fn float_of(&mut self, act: Activation) -> Lowered<Activation> {
        if self.quant(act.id).is_none() {
            return Ok(act);
        }
        if !act.real {
            return Err("integers where real values are needed".into());
        }
        let mut readers = self.readers[act.id.0].iter().map(|&at| &self.layers[at]);
        let existing = readers.find(|l| matches!(l.op, Op::Dequantise));
        let id = match existing {
            Some(layer) => layer.output,
            None => {
                let tensor = Tensor {
                    kind: Kind::F32,
                    ..self.tensors[act.id.0].clone()
                };
                self.add_layer(Op::Dequantise, vec![act.id], tensor, "dequantise")
            }
        };
        Ok(Activation {
            id,
            real: false,
            ..act
        })
    }

    fn emit_float(&mut self, deferred: &Deferred) -> Lowered<Activation> {
        let mut inputs = Vec::new();
        for &i in &deferred.inputs {
            inputs.push(self.float_of(i)?.id);
        }
        let op = match &deferred.op {
            DeferredOp::Conv(conv, bias) => Op::Conv(with_floats(conv, bias)),
            DeferredOp::Add(clamp) => Op::Add { clamp: *clamp },
            DeferredOp::Mul(clamp) => Op::Mul { clamp: *clamp },
            DeferredOp::Average(window, pads) => Op::AveragePool(*window, *pads),
            DeferredOp::Unary(f) => Op::Unary(*f),
            DeferredOp::Slopes(slopes) => Op::Slopes(slopes.clone()),
            DeferredOp::Affine(steps) => {
                // What is done with bytes has to round as often as the file does.
                let parts = match deferred.inputs[0].real {
                    true => rounded_apart(steps),
                    false => vec![&steps[..]],
                };
                self.spend(deferred.shape.c * parts.len())?;
                let (last, before) = parts.split_last().ok_or("no steps")?;
                for part in before {
                    let tensor = Tensor {
                        shape: deferred.shape,
                        kind: Kind::F32,
                    };
                    let op = affine(part, deferred.shape.c);
                    inputs = vec![self.add_layer(op, inputs, tensor, &deferred.name)];
                }
                affine(last, deferred.shape.c)
            }
            DeferredOp::Product(product) => Op::Product(product.clone()),
            DeferredOp::Norm(norm) => Op::Norm(norm.clone()),
            DeferredOp::Concat => Op::Concat,
        };
        let tensor = Tensor {
            shape: deferred.shape,
            kind: Kind::F32,
        };
        let id = self.add_layer(op, inputs, tensor, &deferred.name);
        Ok(Activation {
            id,
            view: View::Nchw,
            real: false,
        })
    }

    /// QuantizeLinear of a value: an integer tensor with this quantisation.
    pub(crate) fn quantise_value(&mut self, value: &Value, quant: Quant) -> Lowered<Activation> {
        if matches!(self.extent(value)?.1, View::Strided(_)) {
            return Err("bytes along such axes are not supported".into());
        }
        if let Value::Deferred(deferred, view) = value
            && deferred.is_pending()
            && let Some(mut act) = self.emit_bytes(deferred, quant)?
        {
            act.view = *view;
            return Ok(act);
        }
        if let Value::Activation(act) = value
            && self.fold_into_input(*act, &[], quant)
        {
            return Ok(Activation {
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
        Ok(Activation {
            id,
            view: act.view,
            real: false,
        })
    }

    /// The integer form of a deferred layer, if it has one.
    fn emit_bytes(&mut self, deferred: &Deferred, quant: Quant) -> Lowered<Option<Activation>> {
        if let DeferredOp::Affine(steps) = &deferred.op {
            let input = deferred.inputs[0];
            if self.fold_into_input(input, steps, quant) {
                return Ok(Some(Activation {
                    real: false,
                    ..input
                }));
            }
        }
        let known: Option<Vec<Quant>> = deferred
            .inputs
            .iter()
            .map(|a| self.quant(a.id).filter(|_| a.real))
            .collect();
        let Some(quants) = known else { return Ok(None) };
        let op = match &deferred.op {
            DeferredOp::Conv(conv, bias) => match &conv.weights {
                Weights::Q8 { .. } => Op::Conv(with_bytes(conv, bias, quants[0].scale)?),
                Weights::F32 { .. } => return Ok(None),
            },
            DeferredOp::Add(clamp) => Op::Add { clamp: *clamp },
            DeferredOp::Mul(clamp) => Op::Mul { clamp: *clamp },
            DeferredOp::Average(window, pads) => Op::AveragePool(*window, *pads),
            DeferredOp::Unary(f) => Op::Unary(*f),
            DeferredOp::Affine(_)
            | DeferredOp::Slopes(_)
            | DeferredOp::Product(_)
            | DeferredOp::Norm(_) => {
                return Ok(None);
            }
            DeferredOp::Concat => {
                let mut inputs = Vec::new();
                for &i in &deferred.inputs {
                    inputs.push(self.quantise_value(&Value::Activation(i), quant)?.id);
                }
                let tensor = Tensor {
                    shape: deferred.shape,
                    kind: Kind::Q8(quant),
                };
                let id = self.add_layer(Op::Concat, inputs, tensor, &deferred.name);
                return Ok(Some(Activation {
                    id,
                    view: View::Nchw,
                    real: false,
                }));
            }
        };
        let tensor = Tensor {
            shape: deferred.shape,
            kind: Kind::Q8(quant),
        };
        let inputs = deferred.inputs.iter().map(|a| a.id).collect();
        let id = self.add_layer(op, inputs, tensor, &deferred.name);
        Ok(Some(Activation {
            id,
            view: View::Nchw,
            real: false,
        }))
    }

    /// If the value is the network's own input and is read once, its quantisation becomes part of encoding the picture.
    fn fold_into_input(&mut self, act: Activation, steps: &[InputStep], quant: Quant) -> bool {
        let own = self.quant(act.id);
        let Some(input) = self.input.as_mut().filter(|i| i.tensor == act.id) else {
            return false;
        };
        let plain = match input.dtype {
            Dtype::F32 => own.is_none(),
            Dtype::U8 => act.real,
        };
        if self.input_uses != 1 || input.quantised || !plain {
            return false;
        }
        if let (Dtype::U8, Some(own)) = (input.dtype, own) {
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

/// Steps in groups that one multiplication and one addition compute with the same roundings.
fn rounded_apart(steps: &[InputStep]) -> Vec<&[InputStep]> {
    let factor = |step: &InputStep| matches!(step, InputStep::Mul(_) | InputStep::Div(_));
    steps.chunk_by(|a, b| factor(a) && !factor(b)).collect()
}

/// Steps as one factor and one addend per channel.
fn affine(steps: &[InputStep], channels: usize) -> Op {
    let at = |x: f32, c| steps.iter().fold(x, |x, s| s.of(x, c));
    let b: Vec<f32> = (0..channels).map(|c| at(0.0, c)).collect();
    let a = (0..channels)
        .map(|c| {
            steps.iter().fold(1.0, |a, s| match s {
                InputStep::Mul(_) | InputStep::Div(_) => s.of(a, c),
                _ => a,
            })
        })
        .collect();
    Op::Affine { a, b }
}

/// This convolution with float weights and bias.
fn with_floats(conv: &Conv, bias: &Bias) -> Conv {
    let per = conv.window.kh * conv.window.kw * (conv.cin / conv.groups);
    let (w, steps) = match &conv.weights {
        Weights::F32 { w, steps, .. } => (w.clone(), steps.clone()),
        Weights::Q8 { w, zero, scale, .. } => {
            let real =
                |(i, &v): (usize, &i8)| (i32::from(v) - zero[i / per]) as f32 * scale[i / per];
            (Rc::new(w.iter().enumerate().map(real).collect()), vec![])
        }
    };
    let bias = bias.floats(conv.cout);
    Conv {
        weights: Weights::F32 { w, steps, bias },
        ..conv.clone()
    }
}

/// This convolution with the bias in units of `input scale * weight scale`.
fn with_bytes(conv: &Conv, bias: &Bias, input_scale: f32) -> Lowered<Conv> {
    let mut conv = conv.clone();
    if let Weights::Q8 {
        scale, bias: ints, ..
    } = &mut conv.weights
    {
        *ints = bias.ints(conv.cout, |n| f64::from(input_scale) * f64::from(scale[n]))?;
    }
    Ok(conv)
}
