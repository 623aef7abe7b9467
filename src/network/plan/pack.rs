//! Packing the weights of convolutions.

use super::Planner;
use crate::network::graph::{Conv, Layer, TensorId, Weights};
use crate::network::kernels::{
    ConvF16, ConvF32, ConvQ8, DepthwiseF16, DepthwiseF32, DepthwiseQ8, DepthwiseRow, RawF32, RawQ8,
    Runs, half_values,
};
use crate::network::run::steps::{AnyConv, AnyDepthwise};

/// Strides of a convolution's input in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pitches {
    /// From row to row.
    pub(super) row: usize,
    /// From pixel to pixel.
    pub(super) pixel: usize,
    /// Pixels per row.
    pub(super) width: usize,
}

impl Planner<'_> {
    /// Weights of the convolution that makes a tensor: as many as it says.
    fn weights(&self, conv: &Conv, id: TensorId) -> Result<&Weights, String> {
        let weights = self.weights[id.0].as_ref();
        let weights = weights.ok_or("the weights are packed already")?;
        if !are_of(weights, conv) {
            return Err("the weights are of another size".into());
        }
        Ok(weights)
    }

    /// Bias with the zero points folded in, and multipliers, of a quantised convolution.
    fn folded(
        &self,
        conv: &Conv,
        x: TensorId,
        y: TensorId,
    ) -> Result<(Vec<i32>, Vec<f32>), String> {
        let Weights::Q8 {
            w,
            zero,
            scale,
            bias,
        } = self.weights(conv, y)?
        else {
            return Err("float weights on bytes".into());
        };
        let (qx, qy) = (self.quant(x), self.rounded(conv, y));
        let (Some(qx), Some(qy)) = (qx, qy) else {
            return Err("byte weights on floats".into());
        };
        let per = w.len() / conv.cout;
        let zero_x = self.stored_zero(qx);
        let mut folded = Vec::with_capacity(conv.cout);
        let mut multipliers = Vec::with_capacity(conv.cout);
        for n in 0..conv.cout {
            let sum: i32 = w[n * per..][..per]
                .iter()
                .map(|&w| i32::from(w) - zero[n])
                .fold(0, i32::wrapping_add);
            folded.push(bias[n].wrapping_sub(zero_x.wrapping_mul(sum)));
            let m = qx.scale * scale[n] / qy.scale;
            if !m.is_finite() {
                return Err(format!("the scale of channel {n} is not usable"));
            }
            multipliers.push(m);
        }
        Ok((folded, multipliers))
    }

    /// Packs group `g` of a convolution.
    pub(super) fn pack_conv(
        &mut self,
        layer: &Layer,
        conv: &Conv,
        g: usize,
        input: Pitches,
    ) -> Result<AnyConv, String> {
        let win = &conv.window;
        let (x, y) = (layer.inputs[0], layer.output);
        let per_group = conv.cin / conv.groups;
        let n = conv.cout / conv.groups;
        let runs = runs_of(conv, input);
        let per = win.kh * win.kw * per_group;
        let part = g * n..(g + 1) * n;
        let half = self.half(x)?;
        match self.weights(conv, y)? {
            Weights::F32 { w, bias, .. } => {
                let raw = RawF32 {
                    w: &w[part.start * per..part.end * per],
                    bias: &bias[part],
                };
                if let Some(half) = half {
                    fits_half(layer, &raw)?;
                    let packed = ConvF16::new(half, runs, &raw, conv.clamp);
                    return Ok(AnyConv::F16(packed, half));
                }
                let kernels = self.kernels;
                let packed = ConvF32::new(kernels, runs, &raw, conv.sums_clamp());
                Ok(AnyConv::F32(packed, kernels))
            }
            Weights::Q8 { w, zero, .. } => {
                let (bias, multiplier) = self.folded(conv, x, y)?;
                let raw = RawQ8 {
                    w: &w[part.start * per..part.end * per],
                    w_zero: &zero[part.clone()],
                    bias: &bias[part.clone()],
                    multiplier: &multiplier[part.clone()],
                };
                let kernels = self.kernels;
                let end = self.end_of(conv, y)?;
                let packed = ConvQ8::new(kernels, runs, &raw, end);
                let packed = packed.with(self.map_of(conv, part));
                let scratch_bytes = kernels.conv_q8_scratch_bytes(packed.runs());
                self.scratch_bytes = self.scratch_bytes.max(scratch_bytes);
                Ok(AnyConv::Q8(packed, kernels))
            }
        }
    }

    pub(super) fn pack_depthwise(
        &mut self,
        layer: &Layer,
        conv: &Conv,
    ) -> Result<AnyDepthwise, String> {
        let (x, y) = (layer.inputs[0], layer.output);
        let win = &conv.window;
        let row = DepthwiseRow {
            c: conv.cin,
            kh: win.kh,
            kw: win.kw,
            stride: win.sw,
            dilation: win.dw,
            left: win.left,
            w_in: self.tensor(x).shape.w,
            w_out: self.tensor(y).shape.w,
        };
        let half = self.half(x)?;
        match self.weights(conv, y)? {
            Weights::F32 { w, bias, .. } => {
                if let Some(half) = half {
                    let raw = RawF32 { w, bias };
                    fits_half(layer, &raw)?;
                    let packed = DepthwiseF16::new(half, row, &raw, conv.clamp);
                    return Ok(AnyDepthwise::F16(packed, half));
                }
                let (kernels, raw) = (self.kernels, RawF32 { w, bias });
                let packed = DepthwiseF32::new(kernels, row, &raw, conv.sums_clamp());
                Ok(AnyDepthwise::F32(packed, kernels))
            }
            Weights::Q8 { w, zero, .. } => {
                let (bias, multiplier) = self.folded(conv, x, y)?;
                let raw = RawQ8 {
                    w,
                    w_zero: zero,
                    bias: &bias,
                    multiplier: &multiplier,
                };
                let kernels = self.kernels;
                let end = self.end_of(conv, y)?;
                let packed = DepthwiseQ8::new(kernels, row, &raw, self.pad_byte(x), end);
                let packed = packed.with(self.map_of(conv, 0..conv.cout));
                let scratch_bytes = kernels.depthwise_q8_scratch_bytes(packed.row());
                self.scratch_bytes = self.scratch_bytes.max(scratch_bytes);
                Ok(AnyDepthwise::Q8(packed, kernels))
            }
        }
    }
}

/// Whether there are as many as the convolution has channels and values in its window.
fn are_of(weights: &Weights, conv: &Conv) -> bool {
    let win = &conv.window;
    let (n, per) = (conv.cout, win.kh * win.kw * (conv.cin / conv.groups));
    match weights {
        Weights::F32 { w, bias, .. } => (w.len(), bias.len()) == (n * per, n),
        Weights::Q8 {
            w,
            zero,
            scale,
            bias,
        } => (w.len(), [zero.len(), scale.len(), bias.len()]) == (n * per, [n; 3]),
    }
}

/// Whether half precision has these weights.
fn fits_half(layer: &Layer, raw: &RawF32<'_>) -> Result<(), String> {
    let mut all = raw.w.iter().chain(raw.bias);
    if all.all(|w| w.abs() <= half_values::MAX) {
        return Ok(());
    }
    Err(format!(
        "{} has weights beyond {}",
        layer.name,
        half_values::MAX
    ))
}

/// The contiguous runs of memory under one output pixel of a group.
fn runs_of(conv: &Conv, input: Pitches) -> Runs {
    let win = &conv.window;
    let per_group = conv.cin / conv.groups;
    let rows = (0..win.kh).map(|y| y * win.dh * input.row);
    let (offsets, len) = if conv.groups == 1 && win.dw == 1 {
        if win.dh == 1 && win.kw == input.width {
            (vec![0], win.kh * win.kw * per_group)
        } else {
            (rows.collect(), win.kw * per_group)
        }
    } else {
        let columns = |row| (0..win.kw).map(move |x| row + x * win.dw * input.pixel);
        (rows.flat_map(columns).collect(), per_group)
    };
    let n = conv.cout / conv.groups;
    Runs { offsets, len, n }
}
