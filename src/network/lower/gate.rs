//! Fuses `x * f(x)` into one layer: SiLU is `x * Sigmoid(x)` in ONNX, HardSwish before opset 14 is `x * HardSigmoid(x)` or, from
//! Keras, four operators around Clip, and GELU before opset 20 is five operators around Erf.
//!
//! For bytes it then becomes one table ([`super::chains`]).

use crate::network::graph::ends::Ends;
use crate::network::graph::{FREE, Graph, Op, TensorId, Unary};

/// Fuses each such group into one layer.
pub(crate) fn merge(graph: &mut Graph) {
    let mut gone = vec![false; graph.layers.len()];
    let mut ends = Ends::of(graph);
    for i in 0..graph.layers.len() {
        let mut new = Vec::new();
        let function = normal_cdf(graph, &ends, i, &mut new)
            .or_else(|| hard_sigmoid(graph, &ends, i, &mut new));
        if let Some(function) = function {
            // They no longer count as readers.
            for &at in &new {
                graph.layers[at].inputs.clear();
                gone[at] = true;
            }
            ends.changed(graph, function);
            ends.changed(graph, i);
        }
        let Some((function, f)) = gate_of(graph, &ends, i) else {
            continue;
        };
        let Op::Mul { clamp } = graph.layers[i].op else {
            continue;
        };
        let layer = &graph.layers[function];
        let inner = graph.tensors[layer.output.0].kind.quant();
        if inner.is_none() && !is_free(clamp) {
            continue;
        }
        graph.layers[i].inputs = layer.inputs.clone();
        graph.layers[i].op = Op::Gate { f, inner, clamp };
        ends.changed(graph, i);
        gone[function] = true;
    }
    let mut gone = gone.into_iter();
    graph.layers.retain(|_| gone.next() != Some(true));
}

/// Whether nothing is limited.
fn is_free(clamp: (f32, f32)) -> bool {
    clamp == FREE
}

/// The function's layer, if layer `i` is the product of a number and its function, and nothing else reads the function's result.
fn gate_of(graph: &Graph, ends: &Ends, i: usize) -> Option<(usize, Unary)> {
    let layer = &graph.layers[i];
    let (Op::Mul { .. }, &[a, b]) = (&layer.op, &layer.inputs[..]) else {
        return None;
    };
    let function_of = |x: TensorId, y: TensorId| {
        let at = maker(graph, ends, y, i)?;
        let function = &graph.layers[at];
        match function.op {
            Op::Unary(f) if function.inputs == [x] => Some((at, f)),
            _ => None,
        }
    };
    function_of(a, b).or_else(|| function_of(b, a))
}

/// The layer that makes a tensor, if it is in the same segment as layer `reader`, which is the tensor's only reader.
fn maker(graph: &Graph, ends: &Ends, tensor: TensorId, reader: usize) -> Option<usize> {
    let at = ends.maker(graph, tensor)?;
    let near = graph.layers[at].segment == graph.layers[reader].segment;
    (near && ends.only_reader(graph, tensor) == Some(reader)).then_some(at)
}

/// `(a, b)`, if a layer is `a * x + b` with one `a` and one `b` for all channels.
fn line(graph: &Graph, at: usize) -> Option<(f32, f32)> {
    let Op::Affine { a, b } = &graph.layers[at].op else {
        return None;
    };
    let one = |v: &[f32]| v.iter().all(|x| x == &v[0]).then(|| v[0]);
    Some((one(a)?, one(b)?))
}

/// If layer `i` is the product in a written-out GELU: fuses `1 + Erf(x / sqrt 2)` and the factor 1/2 before or after it into one
/// function. Returns the function's layer; `gone` then has the removed layers.
fn normal_cdf(graph: &mut Graph, ends: &Ends, i: usize, gone: &mut Vec<usize>) -> Option<usize> {
    let (Op::Mul { clamp }, &[a, b]) = (&graph.layers[i].op, &graph.layers[i].inputs[..]) else {
        return None;
    };
    let free = is_free(*clamp);
    let (sum, erf, scaled, x) = [b, a].into_iter().find_map(|y| {
        let sum = maker(graph, ends, y, i)?;
        let erf = maker(graph, ends, *graph.layers[sum].inputs.first()?, sum)?;
        let scaled = maker(graph, ends, *graph.layers[erf].inputs.first()?, erf)?;
        let x = *graph.layers[scaled].inputs.first()?;
        (graph.layers[erf].op == Op::Unary(Unary::Erf)).then_some((sum, erf, scaled, x))
    })?;
    let (half, same) = line(graph, sum)?;
    let (scale, none) = line(graph, scaled)?;
    let is_cdf = half == same && none == 0.0;
    if !is_cdf || (scale - std::f32::consts::FRAC_1_SQRT_2).abs() > 1e-6 {
        return None;
    }
    let mut times = 2.0 * half;
    let y = graph.layers[sum].output;
    let other = if a == y { b } else { a };
    // The factor 1/2 before.
    if other != x {
        let halved = maker(graph, ends, other, i)?;
        let (half, none) = line(graph, halved)?;
        if none != 0.0 || graph.layers[halved].inputs != [x] {
            return None;
        }
        times *= half;
        gone.push(halved);
    }
    if let Some((after, half)) = factor_after(graph, ends, i).filter(|_| free) {
        times *= half;
        gone.push(after);
        graph.layers[i].output = graph.layers[after].output;
    }
    gone.extend([erf, scaled]);
    graph.layers[sum].op = Op::Unary(Unary::NormalCdf(times));
    graph.layers[sum].inputs = vec![x];
    graph.layers[i].inputs = vec![x, y];
    Some(sum)
}

/// The layer that is the only reader of layer `i`'s result, and its factor, if it only multiplies by one.
fn factor_after(graph: &Graph, ends: &Ends, i: usize) -> Option<(usize, f32)> {
    let after = ends.only_reader(graph, graph.layers[i].output)?;
    let near = graph.layers[after].segment == graph.layers[i].segment;
    match line(graph, after)? {
        (factor, 0.0) if near => Some((after, factor)),
        _ => None,
    }
}

/// If layer `i` is the product in a HardSwish written out as `x * min(max(x + 3, 0), 6) / 6`, with the division before or after
/// the product: fuses the operators around the limits into one HardSigmoid. Returns its layer; `gone` then has the removed
/// layers.
fn hard_sigmoid(graph: &mut Graph, ends: &Ends, i: usize, gone: &mut Vec<usize>) -> Option<usize> {
    let (Op::Mul { clamp }, &[a, b]) = (&graph.layers[i].op, &graph.layers[i].inputs[..]) else {
        return None;
    };
    let free = is_free(*clamp);
    let (x, limits, top, slope, shift, before) =
        [(a, b), (b, a)].into_iter().find_map(|(x, y)| {
            let mut at = maker(graph, ends, y, i)?;
            let before = match line(graph, at) {
                Some((factor, 0.0)) => Some((at, factor)),
                _ => None,
            };
            if before.is_some() {
                at = maker(graph, ends, *graph.layers[at].inputs.first()?, at)?;
            }
            let Op::Unary(Unary::Clamp(0.0, top)) = graph.layers[at].op else {
                return None;
            };
            let moved = maker(graph, ends, *graph.layers[at].inputs.first()?, at)?;
            let (slope, shift) = line(graph, moved)?;
            let of_x = graph.layers[moved].inputs == [x];
            of_x.then_some((x, (at, moved), top, slope, shift, before))
        })?;
    let after = factor_after(graph, ends, i).filter(|_| free && before.is_none());
    let (other, factor) = before.or(after)?;
    if (top * factor - 1.0).abs() > 1e-6 {
        return None;
    }
    let (at, moved) = limits;
    if after.is_some() {
        graph.layers[i].output = graph.layers[other].output;
    }
    gone.extend([other, moved]);
    graph.layers[at].op = Op::Unary(Unary::HardSigmoid(slope * factor, shift * factor));
    graph.layers[at].inputs = vec![x];
    graph.layers[i].inputs = vec![x, graph.layers[at].output];
    Some(at)
}
