//! `x * f(x)` as one layer: SiLU is `x * Sigmoid(x)` in ONNX, HardSwish before opset 14 is `x * HardSigmoid(x)`.
//!
//! For bytes all of it is one table, made of what the two layers would do with each of the 256 bytes, so the result is the same
//! to the bit.

use super::graph::{Graph, Kind, Op, TensorId, Unary};
use super::plan::only_reader;

/// Makes one layer of each such pair.
pub(super) fn take_together(graph: &mut Graph) {
    let mut gone = Vec::new();
    for i in 0..graph.layers.len() {
        let Some((function, f)) = gate_of(graph, i) else {
            continue;
        };
        let Op::Mul { clamp } = graph.layers[i].op else {
            continue;
        };
        let layer = &graph.layers[function];
        let inner = match graph.tensors[layer.output.0].kind {
            Kind::Q8(quant) => Some(quant),
            Kind::F32 => None,
        };
        graph.layers[i].inputs = layer.inputs.clone();
        graph.layers[i].op = Op::Gate { f, inner, clamp };
        gone.push(function);
    }
    let mut i = 0;
    graph.layers.retain(|_| {
        i += 1;
        !gone.contains(&(i - 1))
    });
}

/// The function's layer, if layer `i` is the product of a number and its function, and nobody else reads the latter.
fn gate_of(graph: &Graph, i: usize) -> Option<(usize, Unary)> {
    let layer = &graph.layers[i];
    let (Op::Mul { .. }, &[a, b]) = (&layer.op, &layer.inputs[..]) else {
        return None;
    };
    let function_of = |x: TensorId, y: TensorId| {
        let at = graph.layers.iter().position(|l| l.output == y)?;
        let function = &graph.layers[at];
        match function.op {
            Op::Unary(f) if function.inputs == [x] && only_reader(graph, y) == Some(i) => {
                Some((at, f))
            }
            _ => None,
        }
    };
    function_of(a, b).or_else(|| function_of(b, a))
}
