//! Converts the 8-bit crop to the tensor's values, by table.

use super::pipeline::PreprocessError;
use crate::spec::{ChannelOrder, Encoder, Input, Layout, Table};

impl Encoder {
    /// Fills `input` from a packed RGB picture with as many pixels; another count or element type is an error.
    pub fn encode(&self, rgb: &[u8], input: Input<'_>) -> Result<(), PreprocessError> {
        self.check(&input, rgb.len())?;
        match (&self.table, input) {
            (Table::F32(table), Input::F32(tensor)) => fill(self, table, rgb, tensor),
            (Table::U8(table), Input::U8(tensor)) => fill(self, table, rgb, tensor),
            _ => {}
        }
        Ok(())
    }

    /// Whether `input` has this encoder's type and `values` values.
    pub(super) fn check(&self, input: &Input<'_>, values: usize) -> Result<(), PreprocessError> {
        let expected = match self.table {
            Table::F32(_) => "f32",
            Table::U8(_) => "u8",
        };
        let (got, len) = match input {
            Input::F32(tensor) => ("f32", tensor.len()),
            Input::U8(tensor) => ("u8", tensor.len()),
        };
        if expected == got && len == values {
            return Ok(());
        }
        Err(PreprocessError::Tensor {
            expected: format!("{values} {expected} values"),
            got: format!("{len} {got} values"),
        })
    }
}

fn fill<T: Copy>(encoder: &Encoder, table: &[[T; 256]; 3], rgb: &[u8], tensor: &mut [T]) {
    let [r, g, b] = table;
    let pixels = rgb.chunks_exact(3);
    match encoder.layout {
        Layout::Nchw => {
            let plane = tensor.len() / 3;
            let (first, rest) = tensor.split_at_mut(plane);
            let (second, third) = rest.split_at_mut(plane);
            let (red, blue) = match encoder.channels {
                ChannelOrder::Rgb => (first, third),
                ChannelOrder::Bgr => (third, first),
            };
            let values = red.iter_mut().zip(second).zip(blue);
            for (((red, green), blue), pixel) in values.zip(pixels) {
                *red = r[usize::from(pixel[0])];
                *green = g[usize::from(pixel[1])];
                *blue = b[usize::from(pixel[2])];
            }
        }
        Layout::Nhwc => {
            let (red, blue) = match encoder.channels {
                ChannelOrder::Rgb => (0, 2),
                ChannelOrder::Bgr => (2, 0),
            };
            for (value, pixel) in tensor.chunks_exact_mut(3).zip(pixels) {
                value[red] = r[usize::from(pixel[0])];
                value[1] = g[usize::from(pixel[1])];
                value[blue] = b[usize::from(pixel[2])];
            }
        }
    }
}
