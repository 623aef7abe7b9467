//! Inlines functions: operators that a file itself defines as nodes. PyTorch 2.1 to 2.4 writes each module as one. A node that
//! calls a function is replaced by the function's nodes.

use super::budget::{self, MAX_NODES};
use super::inner_graphs;
use std::collections::HashMap;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
};

/// Limit on calls of functions by functions; deeper nesting is taken for a cycle.
const MAX_DEPTH: usize = 64;

/// Characters of a function's name that are put before the names inside of it.
const PREFIX_CHARS: usize = 40;

/// Limit on the bytes of all inlined functions.
const MAX_BYTES: usize = 256 << 20;

const INLINE: &str = "export it without functions of its own (PyTorch 2.5 or later does), or write them out with \
                      onnx.inliner.inline_local_functions";

/// Inlines all functions of a file; the error says what is wrong with one.
pub fn write_out(model: &mut ModelProto) -> Result<(), String> {
    let functions = std::mem::take(&mut model.functions);
    let Some(graph) = model.graph.as_mut().filter(|_| !functions.is_empty()) else {
        return Ok(());
    };
    let version = |imports: &[OperatorSetIdProto]| {
        let own = imports.iter().find(|o| domain(&o.domain).is_empty());
        own.map(|o| o.version)
    };
    let of_model = version(&model.opset_import);
    if let Some(other) = functions.iter().find(|f| {
        let of_function = version(&f.opset_import);
        of_function.is_some() && of_function != of_model
    }) {
        return Err(format!(
            "has a function '{}' of another opset than its graph; {INLINE}",
            other.name()
        ));
    }
    let mut known = HashMap::new();
    for function in &functions {
        // Overloads, since ONNX 1.16: which one a node calls is not among the fields that are read.
        let key = (domain(function.domain()), function.name());
        if known.insert(key, function).is_some() {
            return Err(format!(
                "has two functions named '{}'; {INLINE}",
                function.name()
            ));
        }
    }
    let mut writer = Writer {
        functions: known,
        calls: 0,
        nodes: 0,
        bytes: 0,
    };
    writer.graph(graph, 0, 0)
}

/// The domain of the standard operators has two names.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

struct Writer<'a> {
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    calls: usize,
    nodes: usize,
    bytes: usize,
}

impl Writer<'_> {
    /// Writes out a graph inside of `around` others, in a function that is `depth` calls deep.
    fn graph(&mut self, graph: &mut GraphProto, depth: usize, around: usize) -> Result<(), String> {
        if around > budget::MAX_DEPTH {
            return Err(format!(
                "has graphs inside of graphs, deeper than {}; export it without branches",
                budget::MAX_DEPTH
            ));
        }
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.nodes(nodes, depth, around)?;
        Ok(())
    }

    fn nodes(
        &mut self,
        nodes: Vec<NodeProto>,
        depth: usize,
        around: usize,
    ) -> Result<Vec<NodeProto>, String> {
        let mut written = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for attribute in &mut node.attribute {
                for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                    self.graph(inner, depth, around + 1)?;
                }
            }
            let called = (domain(&node.domain), node.op_type.as_str());
            let Some(&function) = self.functions.get(&called) else {
                written.push(node);
                continue;
            };
            // A call takes time even if there is nothing in the function.
            self.nodes += function.node.len().max(1);
            let bytes = function.node.iter().map(prost::Message::encoded_len);
            let given = attributes_given(function, &node);
            self.bytes = bytes.chain(given).fold(self.bytes, usize::saturating_add);
            if self.bytes > MAX_BYTES {
                return Err(format!(
                    "has functions with constants that are written out again and again ('{}'); {INLINE}",
                    function.name()
                ));
            }
            if depth == MAX_DEPTH || self.nodes > MAX_NODES {
                return Err(format!(
                    "has functions that call each other without end, or nearly ('{}'): {MAX_NODES} nodes, {MAX_DEPTH} calls \
                     deep are the limit; export it again",
                    function.name()
                ));
            }
            self.calls += 1;
            let body = body(function, &node, self.calls)?;
            written.extend(self.nodes(body, depth + 1, around)?);
        }
        Ok(written)
    }
}

/// The bytes of the call's attributes that each reference to them in the function is replaced by.
fn attributes_given<'a>(
    function: &'a FunctionProto,
    call: &'a NodeProto,
) -> impl Iterator<Item = usize> + 'a {
    let sizes = call.attribute.iter();
    let sizes = sizes.map(|a| (a.name.as_str(), prost::Message::encoded_len(a)));
    let sizes: HashMap<&str, usize> = sizes.collect();
    let mut open: Vec<&NodeProto> = function.node.iter().collect();
    std::iter::from_fn(move || {
        let node = open.pop()?;
        open.extend(inner_graphs(node).flat_map(|graph| &graph.node));
        let meant = node.attribute.iter().map(|a| a.ref_attr_name.as_str());
        Some(meant.filter_map(|name| sizes.get(name)).sum())
    })
}

/// The nodes of a function, with the values and attributes of the node that calls it.
fn body(
    function: &FunctionProto,
    call: &NodeProto,
    number: usize,
) -> Result<Vec<NodeProto>, String> {
    let prefix: String = call.op_type.chars().take(PREFIX_CHARS).collect();
    let own = |name: &str| format!("{prefix}#{number}/{name}");
    let given = call.attribute.iter().map(|a| (a.name.as_str(), a));
    let given: HashMap<&str, &AttributeProto> = given.collect();
    let mut names: HashMap<&str, String> = HashMap::new();
    for (index, name) in function.input.iter().enumerate() {
        let given = call.input.get(index).cloned().unwrap_or_default();
        names.insert(name, given);
    }
    let mut passed_on = Vec::new();
    for (name, wanted) in function.output.iter().zip(&call.output) {
        if wanted.is_empty() {
            continue;
        }
        // A value that the function passes through unchanged, or returns twice, already has a name.
        match names.get(name.as_str()) {
            Some(known) => passed_on.push(NodeProto {
                op_type: "Identity".to_owned(),
                input: vec![known.clone()],
                output: vec![wanted.clone()],
                ..NodeProto::default()
            }),
            None => {
                names.insert(name, wanted.clone());
            }
        }
    }
    let rename = |name: &mut String| {
        if !name.is_empty() {
            *name = names.get(name.as_str()).cloned().unwrap_or(own(name));
        }
    };
    let mut nodes = function.node.clone();
    for node in &mut nodes {
        node.name = own(&node.name);
        rename_in(node, &rename);
        fill_attributes(node, function, &given)?;
    }
    nodes.extend(passed_on);
    Ok(nodes)
}

fn rename_in(node: &mut NodeProto, rename: &dyn Fn(&mut String)) {
    node.input
        .iter_mut()
        .chain(&mut node.output)
        .for_each(rename);
    for attribute in &mut node.attribute {
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            let values = graph.input.iter_mut().chain(&mut graph.output);
            let values = values.chain(&mut graph.value_info).map(|v| &mut v.name);
            let weights = graph.initializer.iter_mut().map(|t| &mut t.name);
            values.chain(weights).for_each(rename);
            for node in &mut graph.node {
                rename_in(node, rename);
            }
        }
    }
}

/// Replaces references to the call's attributes by those attributes, or drops them if the call omits them.
fn fill_attributes(
    node: &mut NodeProto,
    function: &FunctionProto,
    given: &HashMap<&str, &AttributeProto>,
) -> Result<(), String> {
    for attribute in std::mem::take(&mut node.attribute) {
        let meant = attribute.ref_attr_name.as_str();
        if meant.is_empty() {
            node.attribute.push(attribute);
        } else if let Some(&value) = given.get(meant) {
            node.attribute.push(AttributeProto {
                name: attribute.name,
                ..value.clone()
            });
        } else if !function.attribute.iter().any(|a| a == meant) {
            // The function has a default value for it, which is not read (it is not among the messages known here).
            return Err(format!(
                "has a function '{}' that is called without its attribute '{meant}'; {INLINE}",
                function.name()
            ));
        }
    }
    for inner in &mut node.attribute {
        for graph in inner.g.iter_mut().chain(&mut inner.graphs) {
            for node in &mut graph.node {
                fill_attributes(node, function, given)?;
            }
        }
    }
    Ok(())
}
