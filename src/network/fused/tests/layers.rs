//! Layers that move values and products of tensors, each alone, with every kernel set and one to three threads.

use super::near::exact;
use super::plainest::product;
use crate::network::fused::Understood;
use crate::network::graph::axes::{Axes, MAX_RANK};
use crate::network::graph::{Border, Graph, Kind, Layer, Op, Product, Shape, Tensor, TensorId};
use crate::network::kernels::available;

/// What a layer makes of tensors of these sizes, with every kernel set and one to three threads.
fn each_run(op: &Op, inputs: &[&[f32]], count: usize) -> Vec<Vec<f32>> {
    let tensor = |c: usize| Tensor {
        shape: Shape::new(1, 1, c).unwrap(),
        kind: Kind::F32,
    };
    let border = |i: usize| Border {
        name: i.to_string(),
        tensor: TensorId(i),
        channels_first: false,
        segment: 0,
    };
    let result = inputs.len();
    let sizes = inputs.iter().map(|x| x.len()).chain([count]);
    let graph = Graph {
        tensors: sizes.map(tensor).collect(),
        layers: vec![Layer {
            op: op.clone(),
            inputs: (0..result).map(TensorId).collect(),
            output: TensorId(result),
            name: "layer".into(),
            segment: 0,
        }],
        input: None,
        imports: (0..result).map(border).collect(),
        exports: vec![border(result)],
    };
    let mut all = Vec::new();
    for kernels in available() {
        for threads in 1..4 {
            let plan = Understood(graph.clone()).plan_with(threads, kernels);
            let mut y = vec![f32::NAN; count];
            plan.unwrap().run_segment(0, inputs, &mut [&mut y]);
            all.push(y);
        }
    }
    all
}

/// Axes of these sizes in a random order.
fn random_order(random: &mut fastrand::Rng, dims: &[usize]) -> Axes {
    let mut order: Vec<usize> = (0..dims.len()).collect();
    random.shuffle(&mut order);
    let memory: Vec<usize> = order.iter().map(|&i| dims[i]).collect();
    let mut back = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    Axes::plain(&memory).unwrap().transposed(&back).unwrap()
}

#[test]
fn every_value_comes_from_its_place_whatever_the_order_and_the_team() {
    let mut random = fastrand::Rng::with_seed(17);
    for turn in 0..60 {
        let rank = random.usize(1..=MAX_RANK);
        let most = if rank < 4 { 40 } else { 5 };
        let dims: Vec<usize> = (0..rank).map(|_| random.usize(1..=most)).collect();
        let mut axes = random_order(&mut random, &dims);
        let x: Vec<f32> = (0..axes.volume()).map(|i| i as f32).collect();
        if turn % 3 == 0 {
            let axis = random.usize(..rank);
            let first = random.usize(..dims[axis]);
            let step = random.usize(1..3);
            axes = axes
                .sliced(axis, first, (dims[axis] - first).div_ceil(step), step)
                .unwrap();
        }
        let want: Vec<f32> = (0..axes.volume())
            .map(|i| axes.start(i, rank) as f32)
            .collect();
        for y in each_run(&Op::Move(axes), &[&x], axes.volume()) {
            assert_eq!(y, want, "{axes:?}");
        }
    }
}

/// Axes in a random order, but the last one fastest.
fn rows_in_order(random: &mut fastrand::Rng, dims: &[usize]) -> Axes {
    let (&last, outer) = dims.split_last().unwrap();
    let order = random_order(random, outer);
    let mut by: Vec<usize> = (0..outer.len()).collect();
    by.sort_by_key(|&i| std::cmp::Reverse((order.strides()[i], order.dims()[i])));
    let memory: Vec<usize> = by.iter().map(|&i| dims[i]).chain([last]).collect();
    let mut back = vec![0; dims.len()];
    for (to, &from) in by.iter().enumerate() {
        back[from] = to;
    }
    back[outer.len()] = outer.len();
    Axes::plain(&memory).unwrap().transposed(&back).unwrap()
}

#[test]
fn products_are_those_of_the_definition_whatever_the_order_and_the_team() {
    let mut random = fastrand::Rng::with_seed(29);
    for turn in 0..60 {
        let batch: Vec<usize> = (0..random.usize(..3)).map(|_| random.usize(1..4)).collect();
        let (m, k, n) = (
            random.usize(1..40),
            random.usize(1..40),
            random.usize(1..40),
        );
        let sizes = |rows: usize, columns: usize| [&batch[..], &[rows, columns]].concat();
        let mut of = Product {
            a: rows_in_order(&mut random, &sizes(m, k)),
            b: random_order(&mut random, &sizes(k, n)),
            y: rows_in_order(&mut random, &sizes(m, n)),
            scale: random.f32() + 0.5,
        };
        let mut floats =
            |count: usize| -> Vec<f32> { (0..count).map(|_| random.f32() - 0.5).collect() };
        let (a, b) = (floats(of.a.volume()), floats(of.b.volume()));
        if turn % 4 == 0 && !batch.is_empty() {
            of.b = of.b.sliced(0, 0, 1, 1).unwrap();
            of.b = of.b.repeated(0, batch[0]).unwrap();
        }
        let values = |x: &[f32]| x.iter().map(|&x| exact(x)).collect();
        let want = product(&of, &values(&a), &values(&b));
        let all = each_run(&Op::Product(of.clone()), &[&a, &b], want.len());
        for (i, y) in all.iter().enumerate() {
            for (&y, want) in y.iter().zip(&want) {
                assert!(want.takes(y), "{of:?}: {y} {want:?}");
            }
            // Threads do not change a bit.
            assert_eq!(y, &all[i / 3 * 3], "{of:?}");
        }
    }
}
