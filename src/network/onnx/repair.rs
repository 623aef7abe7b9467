//! Small repairs of a graph that make every later step simpler.

use super::budget::MAX_OUTPUTS;
use super::shapes::{score_count, shape_text};
use super::{
    attributes, each_graph, float_tensor, half, in_order, int64_tensor, local_functions, reads,
    shape_of,
};
use super::{meaning, seems};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    ValueInfoProto, attribute_proto, tensor_shape_proto, type_proto,
};

/// Weights of R, G and B in luma, for a graph made for greyscale pictures.
pub const LUMA: &str = "eyelet/luma";

/// What the file held before the repair.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Before {
    /// Significand bits of the coarsest half-precision type.
    pub half_bits: Option<u32>,
    /// Index of the output that was kept.
    pub output: usize,
    /// How it was chosen, if the file has several.
    pub choice: Option<Choice>,
}

/// The choice of one output among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The name of the output that was kept.
    pub name: String,
    /// The names of those that could be the scores: features on the way to them are none.
    pub possible: Vec<String>,
    /// The names of all.
    pub all: Vec<String>,
}

/// Checks and repairs a file's graph, if the file holds a network. `output` is the name of the output with the scores, if it is
/// stated.
pub fn model(model: &mut ModelProto, output: Option<&str>) -> Result<Before, String> {
    local_functions::write_out(model)?;
    let graph = model.graph.as_mut().ok_or(
        "is not an ONNX file, or is cut short: it holds no graph; export or fetch it again",
    )?;
    if graph.node.is_empty() || graph.output.is_empty() {
        return Err("holds no network: its graph has no nodes or no output".into());
    }
    if graph.output.len() > MAX_OUTPUTS {
        return Err(format!(
            "has {} outputs; {MAX_OUTPUTS} is the limit: a picture classifier has one, its scores",
            graph.output.len()
        ));
    }
    in_order::put(graph);
    let half_bits = half::to_float(graph);
    each_graph(graph, &mut fill_defaults);
    each_graph(graph, &mut drop_omitted);
    each_graph(graph, &mut constants_to_initializers);
    one_input(graph)?;
    grey_of_colours(graph);
    if output.is_none()
        && let Some(why) = seems::detector_by_outputs(graph)
    {
        return Err(why);
    }
    let (output, choice) = one_output(graph, output)?;
    meaning::to_one(graph);
    graph.value_info.clear();
    Ok(Before {
        half_bits,
        output,
        choice,
    })
}

/// Adds a default that a file may omit and tract gets wrong: ConstantOfShape's value is the float 0.
fn fill_defaults(graph: &mut GraphProto) {
    for node in &mut graph.node {
        if node.op_type == "ConstantOfShape" && attributes::attribute(node, "value").is_none() {
            node.attribute.push(AttributeProto {
                name: "value".to_owned(),
                r#type: attribute_proto::AttributeType::Tensor as i32,
                t: Some(float_tensor("", &[1], vec![0.0])),
                ..AttributeProto::default()
            });
        }
    }
}

/// Removes omitted inputs at the end: tract counts them as inputs.
fn drop_omitted(graph: &mut GraphProto) {
    for node in &mut graph.node {
        while node.input.last().is_some_and(String::is_empty) {
            node.input.pop();
        }
    }
}

/// Turns `Constant` nodes into initialisers.
fn constants_to_initializers(graph: &mut GraphProto) {
    let mut constants = Vec::new();
    graph.node.retain_mut(|node| {
        if node.op_type != "Constant" || node.output.len() != 1 {
            return true;
        }
        let Some(tensor) = node.attribute.iter_mut().find_map(constant_value) else {
            return true;
        };
        constants.push(TensorProto {
            name: std::mem::take(&mut node.output[0]),
            ..tensor
        });
        false
    });
    graph.initializer.extend(constants);
}

fn constant_value(attribute: &mut AttributeProto) -> Option<TensorProto> {
    match attribute.name.as_str() {
        "value" => attribute.t.take(),
        "value_float" => Some(float_tensor("", &[], vec![attribute.f])),
        "value_floats" => {
            let values = std::mem::take(&mut attribute.floats);
            Some(float_tensor("", &[values.len()], values))
        }
        "value_int" => Some(int64_tensor("", &[], vec![attribute.i])),
        "value_ints" => {
            let values = std::mem::take(&mut attribute.ints);
            Some(int64_tensor("", &[values.len()], values))
        }
        _ => None,
    }
}

/// Reduces the inputs to the picture alone, with batch 1.
fn one_input(graph: &mut GraphProto) -> Result<(), String> {
    let known: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    graph
        .input
        .retain(|input| !known.contains(input.name.as_str()));
    match graph.input.as_mut_slice() {
        [input] => {
            if fix_batch(input)? == Batch::Added {
                take_batch_off(graph);
            }
            Ok(())
        }
        [] => Err("has no input".into()),
        inputs => {
            let names: Vec<_> = inputs.iter().map(|i| i.name.as_str()).collect();
            let first = &names[..names.len().min(8)];
            let more = if first.len() < names.len() {
                ", ..."
            } else {
                ""
            };
            Err(format!(
                "has {} inputs ({}{more}); a picture classifier has one",
                names.len(),
                first.join(", ")
            ))
        }
    }
}

#[derive(PartialEq)]
enum Batch {
    Fixed,
    Added,
}

/// Sets a symbolic or zero batch to 1, and adds one to a picture without batch.
fn fix_batch(input: &mut ValueInfoProto) -> Result<Batch, String> {
    let shape = shape_of(input).map(|(_, dims)| dims);
    let name = input.name.clone();
    let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|t| t.value.as_mut())
    else {
        return Err(format!("does not state the type of its input '{name}'"));
    };
    let Some(TensorShapeProto { dim }) = tensor.shape.as_mut().filter(|s| !s.dim.is_empty()) else {
        return Err(format!("does not state the shape of its input '{name}'"));
    };
    let one = Some(tensor_shape_proto::dimension::Value::DimValue(1));
    let shape = shape.unwrap_or_default();
    if is_picture_alone(&shape) {
        dim.insert(
            0,
            tensor_shape_proto::Dimension {
                value: one,
                ..Default::default()
            },
        );
        return Ok(Batch::Added);
    }
    match dim[0].value {
        Some(tensor_shape_proto::dimension::Value::DimValue(n)) if n > 1 && dim.len() == 4 => {
            Err(format!(
                "takes {n} pictures at a time (its input is {}); export it with batch 1 or a symbolic batch",
                shape_text(&shape)
            ))
        }
        Some(tensor_shape_proto::dimension::Value::DimValue(n)) if n > 1 => Ok(Batch::Fixed),
        _ => {
            dim[0].value = one;
            Ok(Batch::Fixed)
        }
    }
}

/// Whether a shape is that of a picture without batch: in colours, or grey with both sides fixed or both open.
fn is_picture_alone(shape: &[Option<usize>]) -> bool {
    match *shape {
        [Some(3), _, _] | [_, _, Some(3)] => true,
        [Some(1), a, b] | [a, b, Some(1)] => {
            a.is_some() == b.is_some() && a != Some(1) && b != Some(1)
        }
        _ => false,
    }
}

/// The nodes still see the picture as the file has it, without batch.
fn take_batch_off(graph: &mut GraphProto) {
    let Some(name) = graph.input.first().map(|i| i.name.clone()) else {
        return;
    };
    let inner = format!("{name}/without batch");
    rename_reads(graph, &name, &inner);
    let zero = format!("{name}/batch");
    let node = NodeProto {
        op_type: "Gather".to_owned(),
        name: inner.clone(),
        input: vec![name, zero.clone()],
        output: vec![inner],
        // Its axis defaults to 0.
        ..NodeProto::default()
    };
    graph.node.insert(0, node);
    graph.initializer.push(int64_tensor(&zero, &[], vec![0]));
}

/// Gives a one-channel network three channels: its picture is the luma (BT.601) of R, G and B. The weights of luma add up to 1,
/// so it may be taken after normalisation that is the same for all three.
fn grey_of_colours(graph: &mut GraphProto) {
    let Some((DataType::Float, shape)) = graph.input.first().and_then(shape_of) else {
        return;
    };
    let channels_axis = match shape.as_slice() {
        [_, Some(1), _, _] => 1,
        [_, _, _, Some(1)] => 3,
        _ => return,
    };
    let Some(input) = graph.input.first_mut() else {
        return;
    };
    let name = input.name.clone();
    if let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|t| t.value.as_mut())
        && let Some(shape) = &mut tensor.shape
    {
        shape.dim[channels_axis].value = Some(tensor_shape_proto::dimension::Value::DimValue(3));
    }
    let value = |what: &str| format!("{name}/{what}");
    let grey = value("grey");
    rename_reads(graph, &name, &grey);
    let node = |op: &str, inputs: [&str; 2], output: &str, attribute: Vec<AttributeProto>| {
        let inputs = inputs.iter().filter(|name| !name.is_empty());
        NodeProto {
            op_type: op.to_owned(),
            name: output.to_owned(),
            input: inputs.map(ToString::to_string).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        }
    };
    let perm = |axes: [i64; 4]| attributes::of_ints("perm", &axes);
    let nodes = if channels_axis == 1 {
        vec![node("Conv", [&name, LUMA], &grey, vec![])]
    } else {
        let (colours, luma) = (value("colours"), value("luma"));
        vec![
            node("Transpose", [&name, ""], &colours, vec![perm([0, 3, 1, 2])]),
            node("Conv", [&colours, LUMA], &luma, vec![]),
            node("Transpose", [&luma, ""], &grey, vec![perm([0, 2, 3, 1])]),
        ]
    };
    graph.node.splice(0..0, nodes);
    let weights = float_tensor(LUMA, &[1, 3, 1, 1], vec![0.299, 0.587, 0.114]);
    graph.initializer.push(weights);
}

/// Makes all nodes that read `from` read `to`.
fn rename_reads(graph: &mut GraphProto, from: &str, to: &str) {
    each_graph(graph, &mut |graph| {
        let reads = graph.node.iter_mut().flat_map(|n| &mut n.input);
        reads
            .filter(|r| **r == from)
            .for_each(|r| *r = to.to_owned());
    });
}

/// Of several outputs, keeps the one that is `stated`, or that looks like class scores, and the nodes that lead to it. Returns its
/// index, and how it was chosen.
fn one_output(
    graph: &mut GraphProto,
    stated: Option<&str>,
) -> Result<(usize, Option<Choice>), String> {
    let all: Vec<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let possible = scores_among(graph);
    let chosen = match stated {
        Some(name) => all.iter().position(|o| o == name).ok_or_else(|| {
            format!(
                "has no output {name:?}, which is stated as [output] name; it has: {}",
                all.join(", ")
            )
        })?,
        // Nothing to choose, which spares most networks the look at their operators.
        None if all.len() < 2 => 0,
        None => likeliest(graph, &possible),
    };
    if all.len() < 2 {
        return Ok((0, None));
    }
    let kept = leads_to(graph, &makers(graph), &graph.output[chosen].name);
    let is_on_the_way = |name: &str| kept.iter().any(|n| reads(&graph.node[*n]).contains(&name));
    let possible = possible.into_iter().map(|(at, _)| all[at].clone());
    let possible = possible.filter(|name| !is_on_the_way(name)).collect();
    graph.output.swap(0, chosen);
    graph.output.truncate(1);
    let mut index = 0;
    graph.node.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
    let choice = Choice {
        name: all[chosen].clone(),
        possible,
        all,
    };
    Ok((chosen, Some(choice)))
}

/// The outputs that look like class scores, and how many scores each gives, if known.
fn scores_among(graph: &GraphProto) -> Vec<(usize, Option<usize>)> {
    // A label is an integer; a feature map is not a row of scores.
    let count = |output: &ValueInfoProto| match shape_of(output) {
        Some((DataType::Int64 | DataType::Int32 | DataType::Bool | DataType::String, _)) => None,
        Some((_, dims)) => score_count(&dims).ok(),
        None => Some(None),
    };
    let outputs = graph.output.iter().enumerate();
    let mut scores: Vec<(usize, Option<usize>)> = outputs
        .filter_map(|(index, output)| Some((index, count(output)?)))
        .collect();
    if scores.iter().any(|(_, count)| *count != Some(1)) {
        scores.retain(|(_, count)| *count != Some(1));
    }
    scores
}

/// An output that could have the scores.
#[derive(Clone, Copy)]
struct Candidate {
    index: usize,
    /// How many scores it gives, if known.
    count: Option<usize>,
    is_auxiliary: bool,
    is_hardly: bool,
    /// Whether it ends in a Softmax.
    adds_up: bool,
}

impl Candidate {
    fn rank(&self) -> (bool, bool) {
        (self.is_auxiliary, self.is_hardly)
    }

    /// Whether it ends in a Softmax, the other one does not, and it has no fewer scores: a small head beside the classes (the domain of
    /// a picture, its quality) may end in one, too.
    fn goes_before(&self, other: &Self) -> bool {
        let has_as_many = match (self.count, other.count) {
            (Some(own), Some(other)) => own >= other,
            (own, other) => own == other,
        };
        self.adds_up && !other.adds_up && has_as_many
    }
}

/// The first of these outputs that is not named as an auxiliary one and could be scores; one that ends in a Softmax before others of no
/// more scores. If it (features, say) is on the way to another with a different number of scores, that one.
fn likeliest(graph: &GraphProto, scores: &[(usize, Option<usize>)]) -> usize {
    let candidate = |&(index, count): &(usize, Option<usize>)| {
        let name = graph.output[index].name.as_str();
        Candidate {
            index,
            count,
            is_auxiliary: seems::is_auxiliary(name),
            is_hardly: seems::is_hardly_scores(graph, name, count),
            adds_up: meaning::probabilities_of(graph, name).is_some_and(|p| p.adds_up()),
        }
    };
    let mut ranked: Vec<Candidate> = scores.iter().map(candidate).collect();
    ranked.sort_by_key(Candidate::rank);
    let Some(&first) = ranked.first() else {
        return 0;
    };
    let mut chosen = first;
    for other in ranked.iter().filter(|other| other.rank() == first.rank()) {
        if other.goes_before(&chosen) {
            chosen = *other;
        }
    }
    let makers = makers(graph);
    for other in &ranked {
        let behind = leads_to(graph, &makers, &graph.output[other.index].name);
        let from = graph.output[chosen.index].name.as_str();
        let on_the_way = behind
            .iter()
            .any(|n| reads(&graph.node[*n]).contains(&from));
        let is_likelier = first.is_hardly || !other.is_hardly;
        if other.count != chosen.count && on_the_way && is_likelier {
            chosen = *other;
        }
    }
    chosen.index
}

/// For each value, the node that makes it.
fn makers(graph: &GraphProto) -> HashMap<&str, usize> {
    let nodes = graph.node.iter().enumerate();
    nodes
        .flat_map(|(index, n)| n.output.iter().map(move |o| (o.as_str(), index)))
        .collect()
}

/// The nodes on which a value depends.
fn leads_to(graph: &GraphProto, makers: &HashMap<&str, usize>, value: &str) -> HashSet<usize> {
    let mut found = HashSet::new();
    let mut open = vec![value];
    while let Some(name) = open.pop() {
        if let Some(&index) = makers.get(name)
            && found.insert(index)
        {
            open.extend(reads(&graph.node[index]));
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::{budget, test_model, test_node, value_info};

    #[test]
    fn constants_inside_of_a_branch_are_seen() {
        let branch = GraphProto {
            node: vec![
                test_node(
                    "Constant",
                    &[],
                    &["pads"],
                    &[attributes::of_ints("value_ints", &[0, 5000])],
                ),
                test_node("Pad", &["x", "pads"], &["padded"], &[]),
            ],
            output: vec![value_info("padded", 1, &[])],
            ..GraphProto::default()
        };
        let mut choice = test_node("If", &["bright"], &["y"], &[]);
        choice.attribute.push(AttributeProto {
            name: "then_branch".to_owned(),
            g: Some(branch),
            ..AttributeProto::default()
        });
        let graph = GraphProto {
            node: vec![test_node("Cast", &["x"], &["bright"], &[]), choice],
            input: vec![value_info("x", 1, &[1, 3, 8, 9])],
            output: vec![value_info("y", 1, &[])],
            ..GraphProto::default()
        };
        let mut model = test_model(graph, 17);
        super::model(&mut model, None).unwrap();
        let why = budget::check(&model.graph.unwrap()).unwrap_err();
        assert!(why.contains("pads by 5000"), "{why}");
    }

    #[test]
    fn a_picture_without_batch_gets_one_and_a_grey_one_its_colours() {
        let repaired = |shape: &[i64]| {
            let graph = GraphProto {
                node: vec![test_node("Relu", &["x"], &["y"], &[])],
                input: vec![value_info("x", 1, shape)],
                output: vec![value_info("y", 1, shape)],
                ..GraphProto::default()
            };
            let mut model = test_model(graph, 17);
            super::model(&mut model, None).unwrap();
            let graph = model.graph.unwrap();
            shape_of(&graph.input[0]).unwrap().1
        };
        let known = |sizes: &[usize]| -> Vec<_> { sizes.iter().map(|&d| Some(d)).collect() };
        assert_eq!(repaired(&[3, 8, 9]), known(&[1, 3, 8, 9]));
        assert_eq!(repaired(&[1, 8, 9]), known(&[1, 3, 8, 9]));
        assert_eq!(repaired(&[8, 9, 1]), known(&[1, 8, 9, 3]));
        // Rows of scores or of features are no pictures.
        assert_eq!(repaired(&[1, 1, 9]), known(&[1, 1, 9]));
        assert_eq!(repaired(&[1, 9]), known(&[1, 9]));
    }
}
