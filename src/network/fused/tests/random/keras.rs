//! Channels-last layers between two that are channels-first; tokens in windows.

use super::{Maker, Value, real};
use crate::network::onnx::attributes::{of_int, of_ints};

/// One to three layers with the channels last.
pub(super) fn layers(maker: &mut Maker, x: &Value) -> Option<Value> {
    let [_, c, h, w] = x.dims[..] else {
        return None;
    };
    let last = vec![of_ints("perm", &[0, 2, 3, 1])];
    let name = maker.node("Transpose", &[&x.name], last);
    let mut out = real(name, vec![1, h, w, c]);
    for _ in 0..maker.random.usize(1..4) {
        out = layer(maker, &out)?;
    }
    let [_, h, w, c] = out.dims[..] else {
        return None;
    };
    let back = vec![of_ints("perm", &[0, 3, 1, 2])];
    let name = maker.node("Transpose", &[&out.name], back);
    Some(real(name, vec![1, c, h, w]))
}

fn layer(maker: &mut Maker, x: &Value) -> Option<Value> {
    let [_, h, w, c] = x.dims[..] else {
        return None;
    };
    let same = x.dims.clone();
    Some(match maker.random.u8(..11) {
        0 => maker.activation(x),
        1 => {
            let values = maker.some_floats(&[c], 0.5, 1.5);
            let op = ["Add", "Mul", "Div", "Sub"][maker.random.usize(..4)];
            let name = maker.node(op, &[&x.name, &values], vec![]);
            real(name, same)
        }
        2 => {
            let other = maker.with("Relu", x, vec![]);
            let axis = vec![of_int("axis", 3)];
            let name = maker.node("Concat", &[&x.name, &other.name], axis);
            real(name, vec![1, h, w, 2 * c])
        }
        3 => maker.layer_norm(x),
        4 => {
            let to = maker.channels();
            maker.linear(x, to)?
        }
        5 => {
            let end = maker.random.usize(1..=c);
            let lists = [0, end as i64, 3].map(|v| maker.ints(&[v]));
            let inputs = [&x.name[..], &lists[0], &lists[1], &lists[2]];
            let name = maker.node("Slice", &inputs, vec![]);
            real(name, vec![1, h, w, end])
        }
        6 => maker.with("Softmax", x, vec![of_int("axis", -1)]),
        7 => maker.quantise(x),
        8 => {
            let other = maker.activation(x);
            let op = ["Add", "Sub"][maker.random.usize(..2)];
            let name = maker.node(op, &[&other.name, &x.name], vec![]);
            real(name, same)
        }
        9 if h * w > 1 => {
            let name = maker.along("ReduceMean", &x.name, &[1, 2], 18, true);
            let name = maker.node("Mul", &[&x.name, &name], vec![]);
            real(name, same)
        }
        _ => {
            let pads = maker.ints(&[0, 1, 0, 0, 0, 0, 2, 0]);
            let name = maker.node("Pad", &[&x.name, &pads], vec![]);
            real(name, vec![1, h + 1, w + 2, c])
        }
    })
}

/// Tokens grouped into windows of two by two pixels.
pub(super) fn windows(maker: &mut Maker, x: &Value) -> Option<Value> {
    let [_, c, h, w] = x.dims[..] else {
        return None;
    };
    if h % 2 + w % 2 > 0 {
        return None;
    }
    let list = |v: &[usize]| v.iter().map(|&v| v as i64).collect::<Vec<_>>();
    let last = vec![of_ints("perm", &[0, 2, 3, 1])];
    let rows = maker.node("Transpose", &[&x.name], last);
    let apart = maker.ints(&list(&[1, h / 2, 2, w / 2, 2, c]));
    let apart = maker.node("Reshape", &[&rows, &apart], vec![]);
    let order = || vec![of_ints("perm", &[0, 1, 3, 2, 4, 5])];
    let windows = maker.node("Transpose", &[&apart], order());
    let count = h / 2 * (w / 2);
    let tokens = maker.ints(&list(&[count, 4, c]));
    let name = maker.node("Reshape", &[&windows, &tokens], vec![]);
    let mut out = maker.layer_norm(&real(name, vec![count, 4, c]));
    out = maker.linear(&out, c)?;
    if maker.random.bool() {
        out = maker.activation(&out);
    }
    let apart = maker.ints(&list(&[1, h / 2, w / 2, 2, 2, c]));
    let apart = maker.node("Reshape", &[&out.name, &apart], vec![]);
    let beside = maker.node("Transpose", &[&apart], order());
    let rows = maker.ints(&list(&[1, h, w, c]));
    let rows = maker.node("Reshape", &[&beside, &rows], vec![]);
    let back = vec![of_ints("perm", &[0, 3, 1, 2])];
    let name = maker.node("Transpose", &[&rows], back);
    Some(real(name, x.dims.clone()))
}
