//! A graph of floats as one whose tensors are of half precision, where there are kernels for it.

use crate::network::graph::{Graph, Kind, Layer, Op, Tensor, TensorId, Unary, Weights};

/// In which precision a layer runs.
enum Runs {
    Half,
    /// Rare, or at the end: its tensors are converted.
    Single,
    /// In its input's.
    AsBefore,
}

fn precision(graph: &Graph, layer: &Layer) -> Option<Runs> {
    match &layer.op {
        Op::Conv(conv) => {
            let floats = matches!(conv.weights, Weights::F32 { .. });
            (floats && conv.factors.is_none()).then_some(Runs::Half)
        }
        Op::AveragePool(window, _) => {
            let input = graph.tensors[layer.inputs[0].0].shape;
            let whole = !window.padded() && (window.kh, window.kw) == (input.h, input.w);
            Some(if whole { Runs::Half } else { Runs::Single })
        }
        Op::Add { .. }
        | Op::Mul { .. }
        | Op::MaxPool(..)
        | Op::Pick(_)
        | Op::Concat
        | Op::Unary(_)
        | Op::Gate { .. } => Some(Runs::Half),
        Op::Softmax
        | Op::Affine { .. }
        | Op::Slopes(_)
        | Op::ChannelsFirst
        | Op::Lrn(_)
        | Op::Resize(_) => Some(Runs::Single),
        Op::Reshape => Some(Runs::AsBefore),
        Op::Tables(_)
        | Op::Norm(_)
        | Op::Move(_)
        | Op::Product(_)
        | Op::Constant(_)
        | Op::Quantise
        | Op::Dequantise
        | Op::Extremes
        | Op::DynamicQuantise => None,
    }
}

/// Changes the graph: activations and weights of half precision, the picture and the scores as they were, and conversions between
/// them. The error says which layer has no kernel; the graph is then as it was.
pub(crate) fn halve(graph: &mut Graph) -> Result<(), String> {
    if graph.segments() > 1 || !graph.imports.is_empty() {
        return Err("only a part of the network is known".into());
    }
    if graph.tensors.iter().any(|t| t.kind.quant().is_some()) {
        return Err("it is quantised".into());
    }
    for layer in &graph.layers {
        if precision(graph, layer).is_none() {
            return Err(format!("layer {} has no half kernel", layer.name));
        }
    }
    let layers = std::mem::take(&mut graph.layers);
    // Each tensor in the other precision, once it is needed.
    let mut other = vec![None; graph.tensors.len()];
    for mut layer in layers {
        let kind = match precision(graph, &layer) {
            Some(Runs::Single) => Kind::F32,
            Some(Runs::AsBefore) => graph.tensors[layer.inputs[0].0].kind,
            _ => Kind::F16,
        };
        for input in &mut layer.inputs {
            *input = converted(graph, &mut other, *input, kind, layer.segment);
        }
        graph.tensors[layer.output.0].kind = kind;
        graph.layers.push(layer);
    }
    let mut exports = std::mem::take(&mut graph.exports);
    for export in &mut exports {
        let segment = export.segment;
        export.tensor = converted(graph, &mut other, export.tensor, Kind::F32, segment);
    }
    graph.exports = exports;
    Ok(())
}

/// The tensor itself, or its values as `kind`, for which this adds a layer.
fn converted(
    graph: &mut Graph,
    other: &mut [Option<TensorId>],
    id: TensorId,
    kind: Kind,
    segment: usize,
) -> TensorId {
    let (shape, own) = (graph.tensors[id.0].shape, graph.tensors[id.0].kind);
    if own == kind {
        return id;
    }
    *other[id.0].get_or_insert_with(|| {
        let output = TensorId(graph.tensors.len());
        graph.tensors.push(Tensor { shape, kind });
        graph.layers.push(Layer {
            op: Op::Unary(Unary::NONE),
            inputs: vec![id],
            output,
            name: "precision".into(),
            segment,
        });
        output
    })
}
