//! Convolutions: their weights packed, their padding laid out, and blocks of three of them by bands of rows.

use super::{BAND_PIXELS, Planner, conv_of};
use crate::network::graph::{Conv, Layer, Shape, Tensor, TensorId, Weights, Window};
use crate::network::kernels::split::Split;
use crate::network::kernels::{
    ConvF32, ConvQ8, DepthwiseF32, DepthwiseQ8, DepthwiseRow, RawF32, RawQ8, Runs,
};
use crate::network::run::steps::{
    AnyConv, AnyDepthwise, Block, ConvStep, DepthwiseStep, Front, Pad, Slots, Step, Work,
};

impl Planner<'_> {
    /// Weights of the convolution that makes a tensor.
    fn weights(&self, id: TensorId) -> Result<&Weights, String> {
        let weights = self.weights[id.0].as_ref();
        weights.ok_or_else(|| "the weights are packed already".into())
    }

    /// Folded bias and multipliers of a quantised convolution.
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
        } = self.weights(y)?
        else {
            return Err("float weights on bytes".into());
        };
        let (qx, qy) = (self.quant(x), self.quant(y));
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
                return Err(format!("the scale of channel {n} makes no sense"));
            }
            multipliers.push(m);
        }
        Ok((folded, multipliers))
    }

    /// Packs group `g` of a convolution whose input has these pitches in bytes.
    fn pack_conv(
        &mut self,
        layer: &Layer,
        conv: &Conv,
        g: usize,
        row_pitch: usize,
        pixel_pitch: usize,
        w_in: usize,
    ) -> Result<AnyConv, String> {
        let win = &conv.window;
        let (x, y) = (layer.inputs[0], layer.output);
        let per_group = conv.cin / conv.groups;
        let n = conv.cout / conv.groups;
        let (offsets, len): (Vec<usize>, usize) = if conv.groups == 1 && win.dw == 1 {
            if win.dh == 1 && win.kw == w_in {
                (vec![0], win.kh * win.kw * per_group)
            } else {
                let rows = (0..win.kh).map(|y| y * win.dh * row_pitch);
                (rows.collect(), win.kw * per_group)
            }
        } else {
            let taps = (0..win.kh).flat_map(|y| {
                (0..win.kw).map(move |x| y * win.dh * row_pitch + x * win.dw * pixel_pitch)
            });
            (taps.collect(), per_group)
        };
        let mut runs = Runs { offsets, len, n };
        let per = win.kh * win.kw * per_group;
        let part = g * n..(g + 1) * n;
        match self.weights(y)? {
            Weights::F32 { w, bias, .. } => {
                let raw = RawF32 {
                    w: &w[part.start * per..part.end * per],
                    bias: &bias[part],
                };
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
                    multiplier: &multiplier[part],
                };
                let kernels = self.kernels;
                let split = Split::of(kernels, &raw);
                let raw = split.instead(&raw);
                runs.offsets = runs.offsets.repeat(split.parts);
                let scratch_bytes = kernels.conv_q8_scratch_bytes(&runs);
                let packed = ConvQ8::new(kernels, runs, &raw, self.requantise(y, conv.clamp)?);
                self.scratch_bytes = self.scratch_bytes.max(scratch_bytes);
                Ok(AnyConv::Q8(packed, kernels))
            }
        }
    }

    fn pack_depthwise(&mut self, layer: &Layer, conv: &Conv) -> Result<AnyDepthwise, String> {
        let (x, y) = (layer.inputs[0], layer.output);
        let win = &conv.window;
        let mut row = DepthwiseRow {
            c: conv.cin,
            kh: win.kh,
            kw: win.kw,
            stride: win.sw,
            dilation: win.dw,
            left: win.left,
            w_in: self.tensor(x).shape.w,
            w_out: self.tensor(y).shape.w,
        };
        match self.weights(y)? {
            Weights::F32 { w, bias, .. } => {
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
                let split = Split::of(kernels, &raw);
                let raw = split.instead(&raw);
                row.kh *= split.parts;
                let scratch_bytes = kernels.depthwise_q8_scratch_bytes(&row);
                let end = self.requantise(y, conv.clamp)?;
                let packed = DepthwiseQ8::new(kernels, row, &raw, self.pad_byte(x), end);
                self.scratch_bytes = self.scratch_bytes.max(scratch_bytes);
                Ok(AnyDepthwise::Q8(packed, kernels))
            }
        }
    }

    /// A row of padding as wide as `bytes`, shared by all that pad with `value`; a need that lives for ever.
    fn padding_row(&mut self, bytes: usize, value: u8) -> usize {
        if let Some(fill) = self.fills.iter_mut().find(|f| f.2 == value) {
            fill.1 = fill.1.max(bytes);
            let need = fill.0;
            self.needs[need].bytes = self.needs[need].bytes.max(bytes);
            return need;
        }
        let need = self.need(bytes, 0, usize::MAX);
        self.fills.push((need, bytes, value));
        need
    }

    /// How a convolution reads its input: packed weights of every group, and where rows begin. Adds a step that lays out
    /// padding when there is any. Returns the need that it reads and the byte pitches.
    fn front(&mut self, index: usize, conv: &Conv) -> Result<(Front, Vec<AnyConv>), String> {
        let layer = &self.graph.layers[index];
        let x = layer.inputs[0];
        let input = self.tensor(x).clone();
        let elem = input.kind.bytes();
        let win = conv.window;
        let pixel_pitch = input.shape.c * elem;
        let mut width = input.shape.w;
        let mut source = self.read(x, self.steps.len());
        if win.padded() {
            let rows = input.shape.h + win.top + win.bottom;
            width += win.left + win.right;
            let padded = Shape::new(rows, width, input.shape.c)?;
            let step = self.steps.len();
            let scratch = self.need(padded.volume() * elem, step, step + 1);
            self.steps.push(Step {
                work: Work::Pad(Pad {
                    x: source,
                    y: scratch,
                    shape: input.shape,
                    elem,
                    window: win,
                    value: self.pad_byte(x),
                }),
                layers: (index, index),
            });
            source = scratch;
        }
        let row_pitch = width * pixel_pitch;
        let convs = (0..conv.groups)
            .map(|g| self.pack_conv(layer, conv, g, row_pitch, pixel_pitch, width))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((
            Front {
                x: source,
                row_pitch: row_pitch * win.sh,
                pixel_pitch: pixel_pitch * win.sw,
                group_pitch: conv.cin / conv.groups * elem,
            },
            convs,
        ))
    }

    /// Memory of so many bytes for each thread, in one step.
    fn slots(&mut self, bytes: usize, step: usize) -> Slots {
        let pitch = Slots::pitch_of(bytes);
        let at = self.need((self.threads - 1) * pitch + bytes, step, step);
        Slots { at, pitch }
    }

    pub(super) fn conv(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let layer = &self.graph.layers[index];
        let bias = self.bias_after(layer, conv);
        let (front, convs) = self.front(index, conv)?;
        let step = self.steps.len();
        let y = self.define(layer.output, step);
        let sums = self.sums(layer, conv, bias);
        let Tensor { shape, kind } = *self.tensor(layer.output);
        let name = convs[0].kernels().name();
        // A pointwise convolution (or a whole-window one) sees all pixels as one row.
        let flat = conv.window == Window::POINT;
        let (rows, columns) = if flat {
            (1, shape.pixels())
        } else {
            (shape.h, shape.w)
        };
        self.steps.push(Step {
            work: Work::Conv(ConvStep {
                front,
                convs,
                y,
                rows,
                columns,
                y_pixel: shape.c * kind.bytes(),
                y_group: shape.c / conv.groups * kind.bytes(),
                sums,
            }),
            layers: (index, index),
        });
        let op = match (conv.groups, flat, shape.pixels()) {
            (1, _, 1) => "fully connected",
            (1, true, _) => "pointwise",
            (1, false, _) => "convolution",
            _ => "grouped convolution",
        };
        self.row(index, op, name, true);
        Ok(())
    }

    pub(super) fn depthwise(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        let x = self.read(layer.inputs[0], step);
        let input = self.tensor(layer.inputs[0]).clone();
        let row_bytes = input.shape.w * input.shape.c * input.kind.bytes();
        let padding = self.padding_row(row_bytes, self.pad_byte(layer.inputs[0]));
        let bias = self.bias_after(layer, conv);
        let conv_packed = self.pack_depthwise(layer, conv)?;
        let name = conv_packed.kernels().name();
        let y = self.define(layer.output, step);
        let sums = self.sums(layer, conv, bias);
        let Tensor { shape, kind } = *self.tensor(layer.output);
        self.steps.push(Step {
            work: Work::Depthwise(DepthwiseStep {
                x,
                y,
                padding,
                conv: conv_packed,
                window: conv.window,
                h_in: input.shape.h,
                row_bytes,
                rows: shape.h,
                y_row: shape.w * shape.c * kind.bytes(),
                channels: shape.c,
                sums,
            }),
            layers: (index, index),
        });
        self.row(index, "depthwise", name, true);
        Ok(())
    }

    pub(super) fn block(
        &mut self,
        expand: Option<usize>,
        depthwise: usize,
        project: Option<usize>,
    ) -> Result<(), String> {
        let graph = self.graph;
        let dw_layer = &graph.layers[depthwise];
        let dw_conv = conv_of(dw_layer).ok_or("not a convolution")?;
        let mid = self.tensor(dw_layer.inputs[0]).clone();
        let dw_out = self.tensor(dw_layer.output).clone();
        let win = dw_conv.window;
        let row_bytes = mid.shape.w * mid.shape.c * mid.kind.bytes();
        let mut front = None;
        if let Some(e) = expand {
            let conv = conv_of(&graph.layers[e]).ok_or("not a convolution")?;
            let (place, mut convs) = self.front(e, conv)?;
            let packed = convs.pop().ok_or("no groups")?;
            front = Some((place, packed));
        }
        let step = self.steps.len();
        let x = match &front {
            Some((place, _)) => place.x,
            None => self.read(dw_layer.inputs[0], step),
        };
        let padding = self.padding_row(row_bytes, self.pad_byte(dw_layer.inputs[0]));
        let packed = self.pack_depthwise(dw_layer, dw_conv)?;
        let dw_name = packed.kernels().name();
        let dw_row = dw_out.shape.w * dw_out.shape.c * dw_out.kind.bytes();
        let band_rows = if project.is_some() {
            BAND_PIXELS.div_ceil(dw_out.shape.w).min(dw_out.shape.h)
        } else {
            1
        };
        // What all threads hold is no larger than a tensor may be.
        Shape::new(win.kh * self.threads, mid.shape.w, mid.shape.c)?;
        Shape::new(band_rows * self.threads, dw_out.shape.w, dw_out.shape.c)?;
        let mut last = None;
        if let Some(p) = project {
            let layer = &graph.layers[p];
            let conv = conv_of(layer).ok_or("not a convolution")?;
            let pitch = dw_out.shape.c * dw_out.kind.bytes();
            last = Some(self.pack_conv(
                layer,
                conv,
                0,
                pitch * dw_out.shape.w,
                pitch,
                dw_out.shape.w,
            )?);
        }
        let ring = expand.map(|_| self.slots(row_bytes * win.kh, step));
        let band = project.map(|_| self.slots(dw_row * band_rows, step));
        let out = &graph.layers[project.unwrap_or(depthwise)];
        let y = self.define(out.output, step);
        let Tensor { shape, kind } = *self.tensor(out.output);
        let names = (
            front.as_ref().map(|(_, c)| c.kernels().name()),
            last.as_ref().map(|c| c.kernels().name()),
        );
        self.steps.push(Step {
            work: Work::Block(Box::new(Block {
                x,
                front,
                ring,
                padding,
                depthwise: packed,
                window: win,
                h_in: mid.shape.h,
                w_in: mid.shape.w,
                row_bytes,
                rows: dw_out.shape.h,
                dw_row,
                dw_pixel: dw_out.shape.c * dw_out.kind.bytes(),
                band,
                band_rows,
                channels: dw_out.shape.c,
                project: last,
                y,
                y_row: shape.w * shape.c * kind.bytes(),
                y_pixel: shape.c * kind.bytes(),
                columns: dw_out.shape.w,
            })),
            layers: (expand.unwrap_or(depthwise), project.unwrap_or(depthwise)),
        });
        if let (Some(e), Some(name)) = (expand, names.0) {
            self.row(e, "convolution, by bands", name, false);
        }
        self.row(depthwise, "depthwise, by bands", dw_name, project.is_none());
        if let (Some(p), Some(name)) = (project, names.1) {
            self.row(p, "pointwise, by bands", name, true);
        }
        Ok(())
    }
}
