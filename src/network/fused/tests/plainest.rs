//! The plainest executor: each layer of a [`Graph`] by its definition. Every tensor is its own list, every value is computed by
//! itself; there are no blocks, no bands, no arena, no threads.
//!
//! The fast plan is tested against it. Bytes are numbers 0..=255; their arithmetic is in `requantise`.

mod bytes;
mod pictures;
mod rows;

pub use rows::product;

use super::near::{Near, dot, exact};
use crate::network::graph::requantise::quantise;
use crate::network::graph::{
    Conv, FREE, Graph, Kind, Layer, Op, Quant, Shape, Unary, Weights, Window,
};
use bytes::{byte, mapped, over_bytes, product_of_bytes, sum_of_bytes, through_bytes, whole_dot};
use rows::{normalised, places, scale_of, softmax, whole_number};

/// All values of a tensor, in NHWC order.
pub type Values = Vec<Near>;

/// Every tensor of a graph after a run on `picture` (in the tensor's order, with the values of the ONNX input) and on the
/// imports. A tensor that no layer makes stays empty.
pub fn run(graph: &Graph, picture: &[f32], imports: &[&[f32]]) -> Vec<Values> {
    let mut all = vec![Values::new(); graph.tensors.len()];
    if let Some(input) = &graph.input {
        let tensor = &graph.tensors[input.tensor.0];
        let stored = |(i, &x): (usize, &f32)| match tensor.kind {
            Kind::Q8(quant) if input.quantised => {
                let c = i % tensor.shape.c;
                let real = input.steps.iter().fold(x, |x, step| step.of(x, c));
                exact(quantise(real, quant) as f32)
            }
            _ => exact(x),
        };
        all[input.tensor.0] = picture.iter().enumerate().map(stored).collect();
    }
    for (import, values) in graph.imports.iter().zip(imports) {
        let shape = graph.tensors[import.tensor.0].shape;
        let from = |i: usize| match import.channels_first {
            true => i % shape.c * shape.pixels() + i / shape.c,
            false => i,
        };
        all[import.tensor.0] = (0..shape.volume())
            .map(|i| exact(values[from(i)]))
            .collect();
    }
    for layer in &graph.layers {
        all[layer.output.0] = computed(graph, layer, &all);
    }
    all
}

/// The output of a layer.
fn computed(graph: &Graph, layer: &Layer, all: &[Values]) -> Values {
    let x: Vec<&Values> = layer.inputs.iter().map(|i| &all[i.0]).collect();
    let tensor = |at: usize| &graph.tensors[layer.inputs[at].0];
    let qx = |at: usize| tensor(at).kind.quant();
    let out = &graph.tensors[layer.output.0];
    let (shape, qy) = (out.shape, out.kind.quant());
    let each = |f: &dyn Fn(Near) -> Near| -> Values { x[0].iter().map(|&x| f(x)).collect() };
    // With the channel of each value.
    let each_of = |f: &dyn Fn(Near, usize) -> Near| -> Values {
        let values = x[0].iter().enumerate();
        values.map(|(i, &x)| f(x, i % shape.c)).collect()
    };
    let rows =
        |f: &dyn Fn(&[Near]) -> Values| -> Values { x[0].chunks(shape.c).flat_map(f).collect() };
    let pair = |f: &dyn Fn(Near, Near) -> Near| -> Values {
        let count = x[1].len();
        let values = x[0].iter().enumerate();
        values.map(|(i, &a)| f(a, x[1][i % count])).collect()
    };
    match &layer.op {
        Op::Conv(conv) => convolution(conv, &x, tensor(0).shape, shape, qx(0).zip(qy)),
        Op::Add { clamp } => match (qx(0), qx(1), qy) {
            (Some(qa), Some(qb), Some(qy)) => {
                pair(&|a, b| sum_of_bytes(a, b, [qa, qb, qy], *clamp))
            }
            _ => pair(&|a, b| limited(a + b, *clamp)),
        },
        Op::Mul { clamp } => match (qx(0), qx(1), qy) {
            (Some(qa), Some(qb), Some(qy)) => {
                pair(&|a, b| product_of_bytes(a, b, [qa, qb, qy], *clamp))
            }
            _ => pair(&|a, b| limited(a * b, *clamp)),
        },
        Op::AveragePool(window, pads) => {
            let all = window.kh * window.kw;
            let count = |inside: usize| if *pads { all } else { inside.max(1) };
            let whole = (window.kh, window.kw) == (tensor(0).shape.h, tensor(0).shape.w);
            let whole = whole && shape.pixels() == 1 && !window.padded();
            pooled(
                x[0],
                window,
                tensor(0).shape,
                shape,
                &|taps, _| match qx(0).zip(qy) {
                    Some((qx, qy)) => {
                        let ratio = f64::from(qx.scale) / f64::from(qy.scale);
                        let m = (ratio / count(taps.len()) as f64) as f32;
                        let total =
                            dot(taps.iter().map(|&x| (x - exact(qx.zero as f32), 1.0)), 0.0);
                        byte(total, m, qy, FREE)
                    }
                    None if whole => in_fours(taps) / exact(taps.len() as f32),
                    None => {
                        let total = taps.iter().fold(exact(0.0), |sum, &x| sum + x);
                        total / exact(count(taps.len()) as f32)
                    }
                },
            )
        }
        Op::MaxPool(window, zeros) => {
            let zero = exact(qx(0).map_or(0.0, |q| q.zero as f32));
            let least = exact(qx(0).map_or(f32::NEG_INFINITY, |_| 0.0));
            pooled(x[0], window, tensor(0).shape, shape, &|taps, all| {
                let first = if *zeros && taps.len() < all {
                    zero
                } else {
                    least
                };
                taps.iter().fold(first, |top, &x| top.max(x))
            })
        }
        Op::Affine { a, b } => each_of(&|x, c| x * exact(a[c]) + exact(b[c])),
        Op::Slopes(slopes) => each_of(&|x, c| function(Unary::LeakyRelu(slopes[c]), x)),
        Op::Pick(from) => {
            let pixels = x[0].chunks(tensor(0).shape.c);
            pixels.flat_map(|x| from.iter().map(|&c| x[c])).collect()
        }
        Op::Unary(f) => match qx(0).zip(qy) {
            Some((from, to)) => each(&|x| through_bytes(*f, x, from, to)),
            None => each(&|x| function(*f, x)),
        },
        Op::Tables(tables) => each_of(&|x, c| mapped(tables.of(c), x)),
        Op::Gate { f, inner, clamp } => match (qx(0), *inner, qy) {
            (Some(from), Some(inner), Some(to)) => each(&|x| {
                let y = |q: f32| {
                    let other = through_bytes(*f, exact(q), from, inner);
                    product_of_bytes(exact(q), other, [from, inner, to], *clamp).is
                };
                over_bytes(x, y)
            }),
            _ => each(&|x| x * function(*f, x)),
        },
        Op::Softmax => rows(&softmax),
        Op::Norm(norm) => rows(&|x| normalised(norm, x)),
        Op::Lrn(of) => rows(&|x| pictures::lrn(of, x)),
        Op::Resize(of) => pictures::resized(of, x[0], tensor(0).shape),
        Op::Reshape => x[0].clone(),
        Op::Move(axes) => places(axes).map(|at| x[0][at]).collect(),
        Op::Product(of) => product(of, x[0], x[1]),
        Op::Constant(values) => values.iter().map(|&v| exact(v)).collect(),
        Op::Quantise => {
            let quant = qy.expect("bytes are made");
            each(&|x| x.map(|x| quantise(x, quant) as f32))
        }
        Op::Dequantise => {
            let quant = qx(0).expect("bytes are read");
            each(&|x| (x - exact(quant.zero as f32)) * exact(quant.scale))
        }
        Op::Extremes => {
            let of = |sign: f32| {
                let all = x[0].iter().map(|&x| x * exact(sign));
                all.fold(exact(0.0), Near::max) * exact(sign)
            };
            vec![of(-1.0), of(1.0)]
        }
        Op::DynamicQuantise => each(&|value| whole_number(value, x[1])),
        Op::Concat => {
            let pixel = |at: usize| {
                let parts = layer.inputs.iter().zip(&x);
                parts.flat_map(move |(id, x)| {
                    let c = graph.tensors[id.0].shape.c;
                    x[at * c..(at + 1) * c].iter().copied()
                })
            };
            (0..shape.pixels()).flat_map(pixel).collect()
        }
        Op::ChannelsFirst => {
            let from = |i: usize| i % shape.pixels() * shape.c + i / shape.pixels();
            (0..shape.volume()).map(|i| x[0][from(i)]).collect()
        }
    }
}

fn limited(x: Near, (low, high): (f32, f32)) -> Near {
    x.map(|x| x.max(low).min(high))
}

/// The value of a float function. Functions based on an exponential are as accurate as `functions` states, with different errors
/// per kernel set.
fn function(f: Unary, x: Near) -> Near {
    let y = x.map(|x| f.of(x));
    match f {
        Unary::Sigmoid | Unary::Erf => y.and_off(2e-6),
        Unary::NormalCdf(times) => y.and_off(2e-6 * times.abs()),
        Unary::Tanh => y.and_off(2e-6 * y.is.abs()),
        // Its minimum is at -1.5, so both ends of an interval may be higher.
        Unary::HardSwish => y.and_off(x.off),
        _ => y,
    }
}

/// For each output pixel, the taps of its window that are inside the picture.
fn taps(window: &Window, input: Shape, output: Shape) -> impl Iterator<Item = Vec<(usize, usize)>> {
    let w = *window;
    (0..output.pixels()).map(move |at| {
        let (oy, ox) = (at / output.w, at % output.w);
        let mut inside = Vec::new();
        for k in 0..w.kh * w.kw {
            let y = (oy * w.sh + k / w.kw * w.dh).checked_sub(w.top);
            let x = (ox * w.sw + k % w.kw * w.dw).checked_sub(w.left);
            if let (Some(y), Some(x)) = (y, x)
                && y < input.h
                && x < input.w
            {
                inside.push((k, (y * input.w + x) * input.c));
            }
        }
        inside
    })
}

fn pooled(
    x: &Values,
    window: &Window,
    input: Shape,
    output: Shape,
    f: &dyn Fn(&[Near], usize) -> Near,
) -> Values {
    let mut y = Values::new();
    for inside in taps(window, input, output) {
        for c in 0..output.c {
            let values: Values = inside.iter().map(|&(_, at)| x[at + c]).collect();
            y.push(f(&values, window.kh * window.kw));
        }
    }
    y
}

/// The sum for an average over a whole picture, in ONNX Runtime's order: four interleaved sums, and what is left over after these
/// are combined.
fn in_fours(values: &[Near]) -> Near {
    let mut sums = [exact(0.0); 4];
    let fours = values.chunks_exact(4);
    let rest = fours.remainder();
    for four in fours {
        for (sum, &x) in sums.iter_mut().zip(four) {
            *sum = *sum + x;
        }
    }
    let all = (sums[0] + sums[2]) + (sums[1] + sums[3]);
    rest.iter().fold(all, |sum, &x| sum + x)
}

fn convolution(
    conv: &Conv,
    x: &[&Values],
    input: Shape,
    output: Shape,
    bytes: Option<(Quant, Quant)>,
) -> Values {
    let per = conv.cin / conv.groups;
    let taps_in_all = conv.window.kh * conv.window.kw;
    // A filter's weights, and its bias.
    let filter = |n: usize| -> (Vec<f32>, f32) {
        let part = n * taps_in_all * per..(n + 1) * taps_in_all * per;
        match &conv.weights {
            Weights::F32 { w, steps, bias } => {
                let of = |&w: &f32| steps.iter().fold(w, |w, step| step.of(w, n));
                (w[part].iter().map(of).collect(), bias[n])
            }
            Weights::Q8 { w, zero, .. } => {
                let of = |&w: &i8| (i32::from(w) - zero[n]) as f32;
                (w[part].iter().map(of).collect(), 0.0)
            }
        }
    };
    let filters: Vec<_> = (0..conv.cout).map(filter).collect();
    let mut y = Values::with_capacity(output.volume());
    for inside in taps(&conv.window, input, output) {
        for (n, (weights, bias)) in filters.iter().enumerate() {
            let first = n / (conv.cout / conv.groups) * per;
            let pairs = inside.iter().flat_map(|&(tap, at)| {
                let x = &x[0][at + first..][..per];
                x.iter()
                    .copied()
                    .zip(weights[tap * per..][..per].iter().copied())
            });
            y.push(match (&conv.weights, bytes) {
                (Weights::Q8 { scale, bias, .. }, Some((qx, qy))) => {
                    let pairs = pairs.map(|(x, w)| (x - exact(qx.zero as f32), w));
                    let total = whole_dot(pairs, bias[n]);
                    let own = conv.then.as_ref().map_or(qy, |then| then.quant);
                    let sum = byte(total, qx.scale * scale[n] / own.scale, own, conv.clamp);
                    let then = conv.then.as_ref();
                    then.map_or(sum, |then| mapped(then.tables.of(n), sum))
                }
                _ => match &conv.factors {
                    Some(factors) => {
                        let scale = scale_of(x[1]);
                        let total = dot(pairs, 0.0);
                        let real = total * (scale * exact(factors[n])) + exact(*bias);
                        limited(real, conv.clamp)
                    }
                    None => limited(dot(pairs, *bias), conv.clamp),
                },
            });
        }
    }
    y
}
