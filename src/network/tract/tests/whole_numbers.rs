//! Whole numbers: remainders, casts, squares and ranges.

use super::{near, node, run};
use crate::network::onnx::attributes::of_int;
use crate::network::onnx::{int64_tensor, test_node, typed_tensor};
use tract_onnx::pb::AttributeProto;
use tract_onnx::pb::tensor_proto::DataType;

#[test]
fn a_remainder_has_the_divisors_sign_however_large_the_divisor_is() {
    let x = [-128.0, -100.0, -7.0, 0.0, 50.0, 99.0, 100.0, 127.0];
    let run = |kind: DataType, divisor: Vec<u8>, x: &[f32]| {
        let nodes = vec![
            node("Cast", &["x"], "whole", &[of_int("to", kind as i64)]),
            node("Mod", &["whole", "b"], "rest", &[]),
            node("Cast", &["rest"], "y", &[of_int("to", 1)]),
        ];
        let b = typed_tensor("b", &[], kind, divisor);
        run(13, nodes, vec![b], x, &[1, 1, x.len()]).unwrap()
    };
    let byte = |b: i8| run(DataType::Int8, vec![b as u8], &x);
    near(&byte(100), &[72.0, 0.0, 93.0, 0.0, 50.0, 99.0, 0.0, 27.0]);
    near(
        &byte(-100),
        &[-28.0, 0.0, -7.0, 0.0, -50.0, -1.0, 0.0, -73.0],
    );
    let most = 2_000_000_000_i32;
    let word = |b: i32| run(DataType::Int32, b.to_le_bytes().to_vec(), &[-1e9, 1e9]);
    near(&word(most), &[1e9, 1e9]);
    near(&word(-most), &[-1e9, -1e9]);
}

#[test]
fn a_remainder_by_computed_bytes_does_not_overflow() {
    let to_bytes = || vec![of_int("to", DataType::Uint8 as i64)];
    let nodes = vec![
        node("Cast", &["x"], "a", &to_bytes()),
        node("Max", &["a", "least"], "b", &[]),
        node("Mod", &["a", "b"], "rest", &[]),
        node("Cast", &["rest"], "y", &[of_int("to", 1)]),
    ];
    let least = typed_tensor("least", &[], DataType::Uint8, vec![150]);
    let got = run(
        13,
        nodes,
        vec![least],
        &[0.0, 149.0, 150.0, 255.0],
        &[1, 1, 4],
    );
    near(&got.unwrap(), &[0.0, 149.0, 0.0, 0.0]);
}

#[test]
fn whole_numbers_made_of_real_ones_are_numbers_to_each_operator() {
    let x = [-3.7, 2.2, 2.9, -1.0];
    let with = |op: &str, other: &str, attributes: &[AttributeProto]| {
        let results = match op {
            "TopK" => vec!["result", "places"],
            _ => vec!["result"],
        };
        let nodes = vec![
            node("Cast", &["x"], "whole", &[of_int("to", 7)]),
            test_node(op, &["whole", other], &results, attributes),
            node("Cast", &["result"], "y", &[of_int("to", 1)]),
        ];
        let axis = int64_tensor("axis", &[], vec![2]);
        let list = int64_tensor("list", &[1], vec![2]);
        run(17, nodes, vec![axis, list], &x, &[1, 1, 4]).unwrap()
    };
    near(&with("CumSum", "axis", &[]), &[-3.0, -1.0, 1.0, 0.0]);
    near(&with("Sign", "", &[]), &[-1.0, 1.0, 1.0, -1.0]);
    near(&with("TopK", "list", &[of_int("axis", 2)]), &[2.0, 2.0]);
    near(
        &with("ArgMax", "", &[of_int("axis", 2), of_int("keepdims", 0)]),
        &[1.0],
    );
    near(&with("Mul", "whole", &[]), &[9.0, 4.0, 4.0, 1.0]);
    near(&with("Pow", "axis", &[]), &[9.0, 4.0, 4.0, 1.0]);
    near(&with("Mod", "axis", &[]), &[1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_range_may_count_down_or_by_a_fraction() {
    let run = |kind: DataType, values: Vec<Vec<u8>>| {
        let mut nodes = vec![node("Range", &["from", "to", "by"], "range", &[])];
        nodes.push(node("Cast", &["range"], "real", &[of_int("to", 1)]));
        nodes.push(node("Add", &["x", "real"], "y", &[]));
        let weights = ["from", "to", "by"].into_iter().zip(values);
        let weights = weights.map(|(name, value)| typed_tensor(name, &[], kind, value));
        run(17, nodes, weights.collect(), &[0.0; 4], &[1, 1, 4])
    };
    let real = |values: [f32; 3]| {
        run(
            DataType::Float,
            values.map(|v| v.to_le_bytes().to_vec()).to_vec(),
        )
        .unwrap()
    };
    let whole = |values: [i64; 3]| {
        run(
            DataType::Int64,
            values.map(|v| v.to_le_bytes().to_vec()).to_vec(),
        )
        .unwrap()
    };
    near(&real([2.0, 0.0, -0.5]), &[2.0, 1.5, 1.0, 0.5]);
    near(&real([0.0, 0.4, 0.1]), &[0.0, 0.1, 0.2, 0.3]);
    near(&whole([3, -1, -1]), &[3.0, 2.0, 1.0, 0.0]);
    near(&whole([0, 7, 2]), &[0.0, 2.0, 4.0, 6.0]);
}
