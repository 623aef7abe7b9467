//! Putting a picture in: pixel tables for the frame path, and plain tensors for tests and tools.

use super::Fused;
use super::graph::{InputType, Kind};
use super::requantise::quantise;
use crate::model::{ChannelOrder, InputSpec, Layout};
use crate::preprocess::{Encoder, Table};

impl Fused {
    /// What was stored for input value `x` of channel `c`, when the input tensor is bytes.
    fn stored(&self, x: f32, c: usize) -> u8 {
        let flip = if self.kernels.signed() { 0x80 } else { 0 };
        let q = match self.input_tensor.kind {
            Kind::Q8(quant) if self.input.quantised => {
                let value = self.input.steps.iter().fold(x, |x, step| step.of(x, c));
                quantise(value, quant)
            }
            // Bytes as they are.
            _ => x.clamp(0.0, 255.0) as i32,
        };
        q as u8 ^ flip
    }

    /// The tables that bring a picture's pixels into [`Fused::input`]: normalised as `spec` says and, for a quantised network,
    /// quantised. Always NHWC, whatever the ONNX file's own layout.
    pub fn input_encoding(&self, spec: &InputSpec) -> Encoder {
        let mut encoder = Encoder::of(spec);
        encoder.layout = Layout::Nhwc;
        if matches!(self.input_tensor.kind, Kind::F32) {
            return encoder;
        }
        let mut bytes = Box::new([[0u8; 256]; 3]);
        // Quantisation can sit exactly between two steps, where the last bit of the float decides: divide as people's scripts do.
        let over = (1.0 / spec.scale).round();
        let divides = over > 1.0 && (spec.scale * over - 1.0).abs() < 1e-6;
        for (colour, values) in bytes.iter_mut().enumerate() {
            let channel = match spec.channels {
                ChannelOrder::Rgb => colour,
                ChannelOrder::Bgr => 2 - colour,
            };
            for (pixel, byte) in values.iter_mut().enumerate() {
                let value = match &encoder.table {
                    Table::F32(_) if divides => {
                        (pixel as f32 / over - spec.mean[colour]) / spec.std[colour]
                    }
                    Table::F32(table) => table[colour][pixel],
                    Table::U8(table) => f32::from(table[colour][pixel]),
                };
                *byte = self.stored(value, channel);
            }
        }
        encoder.table = Table::U8(bytes);
        encoder
    }

    /// Whether the model's own input is uint8 pixels.
    pub fn takes_pixels(&self) -> bool {
        self.input.dtype == InputType::U8
    }

    /// Puts a float tensor in, as the ONNX file's own input takes it, in either layout. `false` when its length is wrong.
    pub fn set_f32(&mut self, values: &[f32], layout: Layout) -> bool {
        let shape = self.input_tensor.shape;
        if values.len() != shape.volume() {
            return false;
        }
        let from = |i: usize| match layout {
            Layout::Nhwc => i,
            Layout::Nchw => i % shape.c * shape.pixels() + i / shape.c,
        };
        if matches!(self.input_tensor.kind, Kind::F32) {
            if let crate::network::Input::F32(input) = self.input() {
                for (i, x) in input.iter_mut().enumerate() {
                    *x = values[from(i)];
                }
            }
            return true;
        }
        let at = self.plan.input_offset;
        for i in 0..values.len() {
            let byte = self.stored(values[from(i)], i % shape.c);
            self.arena.bytes_mut()[at + i] = byte;
        }
        true
    }

    /// Puts a tensor of pixels in, for a model whose own input is uint8. `false` when its length is wrong or the model takes
    /// floats.
    pub fn set_u8(&mut self, values: &[u8], layout: Layout) -> bool {
        let floats = values.iter().map(|&v| f32::from(v)).collect::<Vec<_>>();
        self.takes_pixels() && self.set_f32(&floats, layout)
    }
}
