//! Guesses what a network is if it is not a classifier, so that the refusal says more than a shape. Nothing here refuses a network
//! that gives one score per class, except those whose last operators show that its outputs are not scores.

use super::{behind, meaning, producers, shape_of};
use std::collections::HashMap;
use tract_onnx::pb::{GraphProto, NodeProto};

/// A table with at least this many rows is a detector's: its positions times its scales.
const MIN_PLACES: usize = 500;
/// Shortest side of a picture that a network outputs.
const MIN_SIDE: usize = 48;
/// Widths of features are multiples of this, from [`MIN_FEATURES`] on; 1000 and 1001 classes are not.
const FEATURES_STEP: usize = 32;
/// Backbones for small pictures have this many features.
const MIN_FEATURES: usize = 128;

/// Why a graph is not a classifier even if its output looks like one's.
pub fn no_classifier(graph: &GraphProto) -> Option<String> {
    if has(graph, "NonMaxSuppression") {
        return Some("seems to be a detector (it has NonMaxSuppression)".to_owned());
    }
    if ends_in_unit_length(graph) {
        return Some("seems to be an embedding (its output is normalised to length 1)".to_owned());
    }
    meaning::gives_class_alone(graph, &graph.output.first()?.name)
}

/// Whether the output `name`, of `count` values if known, is unlikely to have the scores.
pub fn is_hardly_scores(graph: &GraphProto, name: &str, count: Option<usize>) -> bool {
    meaning::gives_class_alone(graph, name)
        .or_else(|| hardly_classifier(graph, name, count))
        .is_some()
}

/// Why a graph's output `output` does not look like scores, unless a `model.toml` says that it has them. `count` is their number,
/// if known.
pub fn hardly_classifier(graph: &GraphProto, output: &str, count: Option<usize>) -> Option<String> {
    const MEASURES: [&str; 6] = [
        "embedding",
        "embeddings",
        "landmark",
        "landmarks",
        "keypoint",
        "keypoints",
    ];
    if let Some(word) = words(output)
        .iter()
        .find(|w| MEASURES.contains(&w.as_str()))
    {
        return Some(format!("gives {word}, by its output's name {output:?}"));
    }
    if meaning::probabilities_of(graph, output).is_some() {
        return None;
    }
    let producers = producers(graph);
    // A transformer gives its first token.
    let passed: Vec<&str> = MOVE_OR_CONVERT
        .into_iter()
        .chain(["Gather", "Slice"])
        .collect();
    let last = behind(&producers, output, &passed)?;
    let (is_features, operator) = match last.op_type.as_str() {
        operator @ ("BatchNormalization" | "Gelu" | "HardSwish" | "LayerNormalization") => {
            (true, operator)
        }
        operator @ ("Tanh" | "Softplus") => {
            return Some(format!(
                "seems to measure something (it ends in {operator}, so its outputs are not scores of classes)"
            ));
        }
        operator @ ("AveragePool"
        | "GlobalAveragePool"
        | "GlobalMaxPool"
        | "MaxPool"
        | "QLinearAveragePool"
        | "QLinearGlobalAveragePool"
        | "ReduceMean") => (pools_features(&producers, last, count), operator),
        _ => return None,
    };
    is_features.then(|| {
        format!(
            "seems to be an embedding or a backbone without its classifier (it ends in {operator}, with no product behind it)"
        )
    })
}

/// Whether what a pooling averages are features. A few networks (SqueezeNet, Network in Network) average scores, which a plain
/// convolution makes.
fn pools_features(
    producers: &HashMap<&str, &NodeProto>,
    pool: &NodeProto,
    count: Option<usize>,
) -> bool {
    const KEEPS: [&str; 6] = [
        "BatchNormalization",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "QLinearLeakyRelu",
        "Relu",
    ];
    let passed: Vec<&str> = MOVE_OR_CONVERT.into_iter().chain(KEEPS).collect();
    let made = pool
        .input
        .first()
        .and_then(|input| behind(producers, input, &passed));
    let Some(made) = made else {
        return false;
    };
    let as_wide_as_features =
        count.is_some_and(|n| n >= MIN_FEATURES && n.is_multiple_of(FEATURES_STEP));
    let is_computed = |name: &String| producers.contains_key(name.as_str());
    // The mean of the scores of several heads (CrossViT).
    let is_product = |name: &String| {
        behind(producers, name, &MOVE_OR_CONVERT).is_some_and(|n| is_product(producers, n))
    };
    let of_products = made.input.iter().any(is_product);
    match made.op_type.as_str() {
        _ if of_products => false,
        "Conv" | "QLinearConv" => as_wide_as_features,
        // A residual sum, or an activation by a product; a bias is none.
        "Add" | "Mul" => made.input.iter().all(is_computed),
        "Concat" | "Gelu" | "HardSwish" | "LayerNormalization" | "QLinearAdd" | "QLinearConcat"
        | "Sum" => true,
        _ => false,
    }
}

/// Whether a node is a dense layer, also with its bias apart.
fn is_product(producers: &HashMap<&str, &NodeProto>, node: &NodeProto) -> bool {
    let made = |name: &String| producers.get(name.as_str()).copied();
    match node.op_type.as_str() {
        "Gemm" | "MatMul" | "QGemm" | "QLinearMatMul" => true,
        "Add" => match node.input.as_slice() {
            [a, b] => match (made(a), made(b)) {
                (Some(one), None) | (None, Some(one)) => one.op_type == "MatMul",
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// Operators that only move or convert values.
const MOVE_OR_CONVERT: [&str; 10] = [
    "Cast",
    "DequantizeLinear",
    "Dropout",
    "Flatten",
    "Identity",
    "QuantizeLinear",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The words of a name: `NumDetections_1` has `num` and `detections`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        let begins = !letter.is_alphabetic() || (was_small && letter.is_uppercase());
        if begins {
            words.push(String::new());
        }
        was_small = letter.is_lowercase();
        if let (true, Some(word)) = (letter.is_alphabetic(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// Whether an output is named as one that helps in training alone.
pub fn is_auxiliary(name: &str) -> bool {
    let is_one = |word: &String| ["aux", "auxiliary"].contains(&word.as_str());
    words(name).iter().any(is_one)
}

/// Why a graph whose outputs are all still there is no classifier.
pub fn detector_by_outputs(graph: &GraphProto) -> Option<String> {
    const BOXES: [&str; 6] = ["bbox", "bboxes", "box", "boxes", "detection", "detections"];
    if graph.output.len() < 2 {
        return None;
    }
    let mut names = graph.output.iter().map(|o| &o.name);
    let is_boxes = |word: &String| BOXES.contains(&word.as_str());
    let name = names.find(|name| words(name).iter().any(is_boxes))?;
    Some(format!(
        "seems to be a detector (one of its outputs is {name:?}); if another output gives one score per class, state its name \
         and its number of scores in a model.toml ([output] name = ..., class_count = ...)"
    ))
}

/// What a graph shows of its task besides its output's shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// Whether it processes a sequence.
    is_recurrent: bool,
    /// Whether its last operator is a Softmax.
    ends_in_softmax: bool,
    /// Whether its last operator is a dense layer, which gives no probabilities.
    pub ends_in_product: bool,
    /// The sides of its picture, if known.
    sides: Option<[usize; 2]>,
}

impl Signs {
    /// The signs of `graph`.
    pub fn of(graph: &GraphProto) -> Self {
        let output = graph.output.first().map_or("", |o| o.name.as_str());
        let producers = producers(graph);
        let last = behind(&producers, output, &MOVE_OR_CONVERT);
        let shape = graph.input.first().and_then(shape_of);
        Self {
            is_recurrent: ["LSTM", "GRU", "RNN"].iter().any(|op| has(graph, op)),
            ends_in_softmax: last.is_some_and(|n| n.op_type.ends_with("Softmax")),
            ends_in_product: last.is_some_and(|n| is_product(&producers, n)),
            sides: shape.and_then(|(_, dims)| match dims[..] {
                [_, Some(3), Some(h), Some(w)] | [_, Some(h), Some(w), Some(3)] => Some([h, w]),
                _ => None,
            }),
        }
    }

    /// Whether an output of these sides is a picture like the input, if that is known.
    fn is_picture(&self, a: usize, b: usize) -> Option<bool> {
        let [h, w] = self.sides?;
        let divides = h.is_multiple_of(a) && w.is_multiple_of(b) && h / a == w / b;
        let multiplies = a.is_multiple_of(h) && b.is_multiple_of(w) && a / h == b / w;
        Some(divides && a.min(b) >= 8 || multiplies)
    }

    /// Whether a detector has this many places: one per 8 x 8 pixels, often also per 16 x 16 and 32 x 32.
    fn are_places(&self, count: usize) -> bool {
        let Some([h, w]) = self.sides else {
            return false;
        };
        let places = |pixels: usize| (h / pixels) * (w / pixels);
        let fine = places(8);
        let all = [fine, fine + places(16), fine + places(16) + places(32)];
        let is_one = |of: &usize| [1, 2, 3, 6].iter().any(|boxes| of * boxes == count);
        fine >= 16 && all.iter().any(is_one)
    }
}

/// The kind of network whose output has these sizes (without the batch), if not one score per class.
pub fn of_shape(signs: &Signs, dims: &[usize]) -> &'static str {
    let wide: Vec<usize> = dims.iter().copied().filter(|n| *n > 1).collect();
    if signs.is_recurrent {
        return "it seems to be a text or speech recogniser (it has recurrent layers)";
    }
    let [a, b] = wide[..] else {
        return "it seems to be a segmentation network, or a backbone without its classifier";
    };
    let is_large = || dims.len() > 2 && a.min(b) >= MIN_SIDE;
    let is_long = || a.max(b) >= MIN_PLACES && a.min(b) < MIN_SIDE.max(a.max(b) / 2);
    match b {
        4..=6 => "it seems to be a detector (its output is a table of boxes)",
        _ if signs.ends_in_softmax => {
            "it seems to be a text recogniser (it gives probabilities for each place)"
        }
        _ if signs.are_places(a) || signs.are_places(b) => {
            "it seems to be a detector (its output is a table with a row per place)"
        }
        _ if signs.is_picture(a, b).unwrap_or_else(is_large) => {
            "it seems to be a segmentation or depth network (it outputs a picture)"
        }
        _ if is_long() => "it seems to be a detector (its output is a table with many rows)",
        _ => "it seems to be a text recogniser or a network without its last pooling",
    }
}

fn has(graph: &GraphProto, op_type: &str) -> bool {
    graph.node.iter().any(|node| node.op_type == op_type)
}

/// Whether the output is a vector divided by its Euclidean length.
fn ends_in_unit_length(graph: &GraphProto) -> bool {
    let producers = producers(graph);
    let producer_of = |name: &str| -> Option<&&NodeProto> { producers.get(name) };
    let Some(last) = graph.output.first().and_then(|o| producer_of(&o.name)) else {
        return false;
    };
    if last.op_type == "LpNormalization" {
        return true;
    }
    let mut at = match last.op_type.as_str() {
        "Div" => last.input.get(1),
        _ => None,
    };
    // The length may be clamped above 0, and broadcast to the vector's shape.
    for _ in 0..4 {
        let Some(node) = at.and_then(|name| producer_of(name)) else {
            return false;
        };
        match node.op_type.as_str() {
            "ReduceL2" => return true,
            "Clip" | "Max" | "Expand" | "Add" | "Sqrt" | "ReduceSum" | "Pow" => {}
            _ => return false,
        }
        if node.op_type == "ReduceSum" {
            let squared = node.input.first().and_then(|name| producer_of(name));
            return squared.is_some_and(|n| matches!(n.op_type.as_str(), "Pow" | "Mul"));
        }
        at = node.input.first();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::ValueInfoProto;

    fn graph(nodes: &[(&str, &[&str], &str)], outputs: &[&str]) -> GraphProto {
        GraphProto {
            node: nodes
                .iter()
                .map(|(op_type, input, output)| NodeProto {
                    op_type: (*op_type).into(),
                    input: input.iter().map(|name| (*name).into()).collect(),
                    output: vec![(*output).into()],
                    ..NodeProto::default()
                })
                .collect(),
            output: outputs
                .iter()
                .map(|name| ValueInfoProto {
                    name: (*name).into(),
                    ..ValueInfoProto::default()
                })
                .collect(),
            ..GraphProto::default()
        }
    }

    #[test]
    fn other_networks_than_classifiers_are_named_by_what_they_seem() {
        let why = |nodes, outputs| no_classifier(&graph(nodes, outputs)).unwrap_or_default();
        assert!(why(&[("NonMaxSuppression", &["x"], "y")], &["y"]).contains("detector"));
        let outputs = graph(&[("Conv", &["x"], "y")], &["scores", "Boxes"]);
        let boxes = detector_by_outputs(&outputs).unwrap_or_default();
        assert!(boxes.contains("\"Boxes\""));
        let outputs = graph(&[("Conv", &["x"], "y")], &["scores", "features"]);
        assert_eq!(detector_by_outputs(&outputs), None);
        let length: &[(&str, &[&str], &str)] = &[
            ("ReduceL2", &["x"], "l"),
            ("Clip", &["l"], "c"),
            ("Expand", &["c", "s"], "e"),
            ("Div", &["x", "e"], "y"),
        ];
        assert!(why(length, &["y"]).contains("embedding"));
        // A classifier, one with a second output, one whose scores are divided by a temperature.
        assert_eq!(why(&[("Softmax", &["x"], "y")], &["y"]), "");
        assert_eq!(why(&[("Softmax", &["x"], "y")], &["y", "features"]), "");
        assert_eq!(why(&[("Div", &["x", "t"], "y")], &["y"]), "");
    }

    #[test]
    fn shapes_are_distinguished() {
        let recurrent = Signs {
            is_recurrent: true,
            ..Signs::default()
        };
        let softmax = Signs {
            ends_in_softmax: true,
            ..Signs::default()
        };
        let of_sides = |h: usize, w: usize| Signs {
            sides: Some([h, w]),
            ..Signs::default()
        };
        for (signs, dims, seems) in [
            (recurrent, &[40, 97][..], "recogniser"),
            (softmax, &[40, 662], "text recogniser"),
            (Signs::default(), &[84, 8400], "detector"),
            (Signs::default(), &[10, 4], "detector"),
            (of_sides(160, 160), &[84, 400], "detector"),
            (of_sides(640, 640), &[25200, 85], "detector"),
            (of_sides(48, 192), &[48, 97], "text recogniser"),
            (Signs::default(), &[1, 224, 224], "outputs a picture"),
            (of_sides(224, 224), &[224, 224], "outputs a picture"),
            (of_sides(224, 224), &[56, 56, 1], "outputs a picture"),
            (of_sides(64, 64), &[21, 64, 64], "segmentation"),
            (Signs::default(), &[26, 37], "text"),
        ] {
            let found = of_shape(&signs, dims);
            assert!(found.contains(seems), "{dims:?}: {found}");
        }
    }

    #[test]
    fn an_output_is_a_detectors_by_whole_words() {
        let of = |name: &str| detector_by_outputs(&graph(&[], &["scores", name])).is_some();
        for name in ["boxes", "Boxes", "pred_boxes0", "numDetections", "bbox"] {
            assert!(of(name), "{name}");
        }
        for name in ["mailbox_features", "sandbox", "features"] {
            assert!(!of(name), "{name}");
        }
    }

    #[test]
    fn features_are_no_scores_unless_a_plain_convolution_makes_them() {
        type Nodes<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];
        let is_refused = |nodes: Nodes<'_>, count: usize| {
            hardly_classifier(&graph(nodes, &["y"]), "y", Some(count)).is_some()
        };
        let pooled = |op: &'static str, inputs: &'static [&'static str]| {
            [
                ("Conv", &["x", "v"][..], "a"),
                ("Conv", &["x", "w"], "b"),
                (op, inputs, "c"),
                ("Relu", &["c"], "d"),
                ("GlobalAveragePool", &["d"], "e"),
                ("Flatten", &["e"], "y"),
            ]
        };
        let conv = pooled("Conv", &["a", "k"]);
        // SqueezeNet; a backbone of 1280 features; a residual one of any number.
        assert!(!is_refused(&conv, 1000));
        assert!(!is_refused(&conv, 10));
        assert!(is_refused(&conv, 1280));
        assert!(is_refused(&pooled("Add", &["a", "b"]), 100));
        assert!(!is_refused(&pooled("Add", &["a", "bias"]), 100));
        assert!(is_refused(&pooled("Concat", &["a", "b"]), 1000));
        // The mean of two heads' scores.
        let heads: Nodes<'_> = &[
            ("Gemm", &["x", "v"], "a"),
            ("Gemm", &["x", "w"], "b"),
            ("Unsqueeze", &["a", "axes"], "c"),
            ("Unsqueeze", &["b", "axes"], "d"),
            ("Concat", &["c", "d"], "e"),
            ("ReduceMean", &["e"], "y"),
        ];
        assert!(!is_refused(heads, 1000));
        for op in [
            "BatchNormalization",
            "HardSwish",
            "LayerNormalization",
            "Tanh",
            "Softplus",
        ] {
            assert!(is_refused(&[("Gemm", &["x"], "g"), (op, &["g"], "y")], 10));
        }
        assert!(!is_refused(&[("Gemm", &["x"], "y")], 512));
        let softmax = [("ReduceMean", &["x"][..], "g"), ("Softmax", &["g"], "y")];
        assert!(!is_refused(&softmax, 512));
        let named = graph(&[("Gemm", &["x"], "landmarks")], &["landmarks"]);
        assert!(hardly_classifier(&named, "landmarks", Some(136)).is_some());
    }

    #[test]
    fn the_best_class_alone_is_no_score() {
        let best = graph(&[("ArgMax", &["x"], "a"), ("Cast", &["a"], "y")], &["y"]);
        let why = no_classifier(&best).unwrap_or_default();
        assert!(why.contains("the number of the class (ArgMax)"), "{why}");
        assert!(why.contains("export it without ArgMax"), "{why}");
    }
}
