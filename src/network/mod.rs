//! The network: an ONNX file as a runnable plan.

/// The input tensor's values, to be written in place before a run: batch 1, in the model's layout, densely packed.
#[derive(Debug)]
pub enum Input<'a> {
    /// 32-bit float.
    F32(&'a mut [f32]),
    /// Bytes: pixels as they are, or quantised values when the plan takes them (then through the plan's own table).
    U8(&'a mut [u8]),
}
