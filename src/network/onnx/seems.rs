//! Guesses what a network is if it is no classifier, so that the refusal says more than a shape. Nothing here refuses a network
//! that gives one score per class, except those whose last operators show that its outputs are no scores.

use super::producers;
use tract_onnx::pb::{GraphProto, NodeProto};

/// A table with at least this many rows is a detector's: its positions times its scales.
const MIN_PLACES: usize = 500;
/// Shortest side of a picture that a network outputs.
const MIN_SIDE: usize = 48;

/// Why a graph is no classifier even if its output looks like one's.
pub fn no_classifier(graph: &GraphProto) -> Option<String> {
    if has(graph, "NonMaxSuppression") {
        return Some("seems to be a detector (it has NonMaxSuppression)".to_owned());
    }
    ends_in_unit_length(graph)
        .then(|| "seems to be an embedding (its output is normalised to length 1)".to_owned())
}

/// Why a graph whose outputs are all still there is no classifier.
pub fn detector_by_outputs(graph: &GraphProto) -> Option<String> {
    let named = |word: &str| {
        let mut outputs = graph.output.iter().map(|o| &o.name);
        outputs.find(|name| name.to_ascii_lowercase().contains(word))
    };
    if graph.output.len() < 2 {
        return None;
    }
    let name = named("box").or_else(|| named("detection"))?;
    Some(format!(
        "seems to be a detector (one of its outputs is {name:?})"
    ))
}

/// Whether a graph processes a sequence.
pub fn is_recurrent(graph: &GraphProto) -> bool {
    ["LSTM", "GRU", "RNN"].iter().any(|op| has(graph, op))
}

/// The kind of network whose output has these sizes (without the batch), if not one score per class.
pub fn of_shape(is_recurrent: bool, dims: &[usize]) -> &'static str {
    let wide: Vec<usize> = dims.iter().copied().filter(|n| *n > 1).collect();
    if is_recurrent {
        return "it seems to be a text or speech recogniser (it has recurrent layers)";
    }
    match wide[..] {
        [a, b] if a.max(b) >= MIN_PLACES && a.min(b) < MIN_SIDE.max(a.max(b) / 2) => {
            "it seems to be a detector (its output is a table with many rows)"
        }
        [a, b] if a.min(b) >= MIN_SIDE => {
            "it seems to be a segmentation or depth network (it outputs a picture)"
        }
        [_, _] => "it seems to be a text recogniser or a network without its last pooling",
        _ => "it seems to be a segmentation network, or a backbone without its classifier",
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
        assert!(of_shape(true, &[40, 97]).contains("recogniser"));
        assert!(of_shape(false, &[84, 8400]).contains("detector"));
        assert!(of_shape(false, &[1, 224, 224]).contains("segmentation"));
        assert!(of_shape(false, &[21, 64, 64]).contains("segmentation"));
        assert!(of_shape(false, &[26, 37]).contains("text"));
    }
}
