//! Copying a picture in: pixel tables for the frame path, plain tensors for tests and tools.

use super::{Fused, Picture};
use crate::network::graph::Kind;
use crate::network::graph::requantise::quantise;
use crate::spec::{ChannelOrder, Encoder, Input, InputSpec, Layout, Table};

impl Picture {
    /// The byte stored for input value `x` of channel `c` if the input tensor is bytes; `flip` is the kernels' top bit.
    fn stored(&self, x: f32, c: usize, flip: u8) -> u8 {
        let q = match self.tensor.kind {
            Kind::Q8(quant) if self.input.quantised => {
                let value = self.input.steps.iter().fold(x, |x, step| step.of(x, c));
                quantise(value, quant)
            }
            // Bytes unchanged.
            _ => x.clamp(0.0, 255.0) as i32,
        };
        q as u8 ^ flip
    }
}

impl Fused {
    /// The tables that map a picture's pixels to [`Fused::input`]: normalised as `spec` says and, for a quantised network, quantised.
    /// NHWC whatever the ONNX file's layout, except when the picture does not go in here: then the file's layout.
    pub fn input_encoding(&self, spec: &InputSpec) -> Encoder {
        let mut encoder = Encoder::of(spec);
        let Some(picture) = &self.picture else {
            return encoder;
        };
        encoder.layout = Layout::Nhwc;
        if matches!(picture.tensor.kind, Kind::F32) {
            return encoder;
        }
        let mut bytes = Box::new([[0u8; 256]; 3]);
        // A value can be exactly between two quantisation steps, where the float's last bit decides: divide, as people's scripts do.
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
                *byte = picture.stored(value, channel, self.kernels.flip());
            }
        }
        encoder.table = Table::U8(bytes);
        encoder
    }

    /// Copies in a float tensor as the ONNX file's input takes it, in either layout. `false` if its length is wrong.
    pub fn set_f32(&mut self, values: &[f32], layout: Layout) -> bool {
        let flip = self.kernels.flip();
        let Some(picture) = &self.picture else {
            return false;
        };
        let shape = picture.tensor.shape;
        if values.len() != shape.volume() {
            return false;
        }
        let from = |i: usize| match layout {
            Layout::Nhwc => i,
            Layout::Nchw => i % shape.c * shape.pixels() + i / shape.c,
        };
        if matches!(picture.tensor.kind, Kind::F32) {
            if let Input::F32(input) = self.input() {
                for (i, x) in input.iter_mut().enumerate() {
                    *x = values[from(i)];
                }
            }
            return true;
        }
        let bytes = &mut self.arena.bytes_mut()[picture.offset.byte()..][..values.len()];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = picture.stored(values[from(i)], i % shape.c, flip);
        }
        true
    }
}
