//! Deferred layers with what follows them folded in: factors, addends and limits.

use super::value::{Bias, DeferredOp};
use crate::network::graph::{Conv, FREE, InputStep, Norm, Product, Unary, Weights, both_limits};

/// Most steps in a row that are folded into one layer: each addition recomputes all of them.
pub(super) const MAX_STEPS: usize = 64;

impl DeferredOp {
    /// The same operator with steps per channel folded in, if it can absorb them.
    pub(super) fn with_steps(&self, steps: &[InputStep]) -> Option<Self> {
        match self {
            Self::Conv(conv, bias) => conv_with_steps(conv, bias, steps),
            Self::Product(product) => product_with_steps(product, steps),
            Self::Norm(norm) => Some(norm_with_steps(norm, steps)),
            Self::Affine(before) if before.len() < MAX_STEPS => {
                Some(Self::Affine([before, steps].concat()))
            }
            _ => None,
        }
    }

    /// The same operator with limits of its result, if it has any.
    pub(super) fn with_limits(&self, limits: (f32, f32)) -> Option<Self> {
        Some(match self {
            Self::Conv(conv, bias) => {
                let mut conv = conv.clone();
                conv.clamp = both_limits(conv.clamp, limits);
                Self::Conv(conv, bias.clone())
            }
            Self::Add(clamp) => Self::Add(both_limits(*clamp, limits)),
            Self::Mul(clamp) => Self::Mul(both_limits(*clamp, limits)),
            Self::Unary(Unary::Clamp(low, high)) => {
                let (low, high) = both_limits((*low, *high), limits);
                Self::Unary(Unary::Clamp(low, high))
            }
            _ => return None,
        })
    }
}

pub(crate) fn unlimited(conv: &Conv) -> bool {
    conv.clamp == FREE
}

/// A convolution with these steps folded in, if it has no limits yet. The scales of byte weights take the factors.
fn conv_with_steps(conv: &Conv, bias: &Bias, steps: &[InputStep]) -> Option<DeferredOp> {
    let adds = steps
        .iter()
        .all(|s| matches!(s, InputStep::Add(_) | InputStep::Sub(_)));
    if !unlimited(conv) {
        return None;
    }
    // Sums of whole numbers stay bit-exact: only one bias is added, as in ONNX.
    if conv.factors.is_some() && !(adds && steps.len() == 1 && matches!(bias, Bias::None)) {
        return None;
    }
    if let Weights::F32 { steps, .. } = &conv.weights
        && steps.len() >= MAX_STEPS
    {
        return None;
    }
    let mut conv = conv.clone();
    let mut b = bias.floats(conv.cout);
    for step in steps {
        for (n, b) in b.iter_mut().enumerate() {
            *b = step.of(*b, n);
        }
        match (&mut conv.weights, step) {
            (Weights::F32 { steps, .. }, InputStep::Mul(_) | InputStep::Div(_)) => {
                steps.push(step.clone());
            }
            (Weights::Q8 { scale, .. }, InputStep::Mul(_) | InputStep::Div(_)) => {
                for (n, scale) in scale.iter_mut().enumerate() {
                    *scale = step.of(*scale, n);
                    // The bias is in its units.
                    if !scale.is_normal() {
                        return None;
                    }
                }
            }
            _ => {}
        }
    }
    Some(DeferredOp::Conv(conv, Bias::Real(b)))
}

/// A normalisation with factors and addends folded in, one in all or one per channel.
fn norm_with_steps(norm: &Norm, steps: &[InputStep]) -> DeferredOp {
    let mut norm = norm.clone();
    for (c, (scale, bias)) in norm.scale.iter_mut().zip(&mut norm.bias).enumerate() {
        for step in steps {
            if matches!(step, InputStep::Mul(_) | InputStep::Div(_)) {
                *scale = step.of(*scale, c);
            }
            *bias = step.of(*bias, c);
        }
    }
    DeferredOp::Norm(norm)
}

/// Folds steps into a product if each only multiplies or divides by one number.
fn product_with_steps(product: &Product, steps: &[InputStep]) -> Option<DeferredOp> {
    let mut product = product.clone();
    product.scale *= one_factor(steps)?;
    Some(DeferredOp::Product(product))
}

/// The factor of steps that each only multiply or divide by one number.
pub(super) fn one_factor(steps: &[InputStep]) -> Option<f32> {
    let mut factor = 1.0;
    for step in steps {
        match step {
            InputStep::Mul(v) if v.len() == 1 => factor *= v[0],
            InputStep::Div(v) if v.len() == 1 => factor /= v[0],
            _ => return None,
        }
    }
    Some(factor)
}
