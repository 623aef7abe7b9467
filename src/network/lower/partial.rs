//! Lowers the known parts of a graph that also has operators without a fused form.
//!
//! The walk is that of a whole network, but a refused node stays outside: its inputs are exported, and its results come back as
//! imports. A known node belongs to segment `s` if the longest path to it from the picture crosses from a known node to an
//! outside one `s` times, so the segments run one after another, with outside nodes between them.
//!
//! A border costs copies, so connected known nodes without a convolution or matrix product among them stay outside too. Each such
//! decision restarts the walk; the set of nodes that stay outside only grows.

use super::axes::plain_form;
use super::constants::Constants;
use super::order::keep_order;
use super::parts::{Facts, Partial, Place};
use super::{Activation, Lower, Lowered, Value, View};
use crate::network::error::NotFused;
use crate::network::graph::sizes::volume;
use crate::network::graph::{Border, Kind, Op, Shape, Tensor};
use crate::network::onnx::attributes::ints;
use crate::network::onnx::constant::{Const, Data, Element};
use crate::network::onnx::reads;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

/// Limit on nodes visited by all walks together: a few walks over the largest graph, and many over a usual one.
const MAX_VISITS: usize = 1 << 20;

/// The layers for the known nodes of a graph whose initialisers are in `constants`: none if it has no known convolution or matrix
/// product.
pub fn lower_partly(
    model: &ModelProto,
    constants: &Constants,
    facts: &Facts,
) -> Result<Partial, NotFused> {
    let graph = model.graph.as_ref();
    let graph = graph.ok_or_else(|| NotFused::whole("the file has no graph"))?;
    let whole = |why: &str| NotFused::whole(why);
    let output = graph
        .output
        .first()
        .ok_or_else(|| whole("the graph has no output"))?;
    let walk = Walk {
        model,
        graph,
        facts,
        output: &output.name,
        constants,
        producers: producers(graph),
        readers: readers(graph),
        used: used(graph, &output.name),
    };
    let mut stays: HashMap<usize, String> = HashMap::new();
    let mut picture = true;
    // Each iteration adds a node to `stays` or, once, gives up the picture.
    let turns = (graph.node.len() + 2).min(MAX_VISITS / graph.node.len().max(1));
    for _ in 0..turns {
        match walk.attempt(&stays, picture) {
            Ok(mut partial) => {
                let idle = walk.idle(&partial);
                if idle.is_empty() {
                    keep_order(&mut partial, graph, constants, facts);
                    return Ok(partial);
                }
                let why = "it stands apart from every known convolution and matrix product";
                stays.extend(idle.into_iter().map(|i| (i, why.to_owned())));
            }
            Err(Again::Stays(node, why)) => {
                if stays.insert(node, why.clone()).is_some() {
                    return Err(whole(&why));
                }
            }
            Err(Again::NoPicture) => picture = false,
            Err(Again::Never(why)) => return Err(whole(&why)),
        }
    }
    Err(whole("no cut into known and unknown parts was found"))
}

/// Why a walk has to restart.
enum Again {
    /// This node has to stay outside.
    Stays(usize, String),
    /// An outside node reads the picture.
    NoPicture,
    /// It cannot be done.
    Never(String),
}

pub(super) struct Walk<'a> {
    pub(super) model: &'a ModelProto,
    pub(super) graph: &'a GraphProto,
    pub(super) facts: &'a Facts,
    pub(super) output: &'a str,
    pub(super) constants: &'a Constants,
    pub(super) producers: HashMap<&'a str, usize>,
    pub(super) readers: HashMap<&'a str, Vec<usize>>,
    pub(super) used: Vec<bool>,
}

/// State of one walk.
struct Found {
    lower: Lower,
    /// Values that are made outside, with the number of segments that must have run before.
    outside: HashMap<String, usize>,
    imports: Vec<Border>,
    exports: Vec<Border>,
    /// The names of these.
    exported: BTreeSet<String>,
    constant_nodes: BTreeSet<usize>,
    constants: BTreeMap<String, Const>,
}

fn producers(graph: &GraphProto) -> HashMap<&str, usize> {
    let of = |(i, n): (usize, &'_ NodeProto)| (i, n.output.len());
    let mut all = HashMap::new();
    for (i, count) in graph.node.iter().enumerate().map(of) {
        for o in 0..count {
            all.insert(graph.node[i].output[o].as_str(), i);
        }
    }
    all
}

fn readers(graph: &GraphProto) -> HashMap<&str, Vec<usize>> {
    let mut all: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        for name in reads(node) {
            all.entry(name).or_default().push(i);
        }
    }
    all
}

/// Which nodes the output depends on.
fn used(graph: &GraphProto, output: &str) -> Vec<bool> {
    let mut used = vec![false; graph.node.len()];
    let mut names: BTreeSet<&str> = BTreeSet::from([output]);
    for (i, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|o| names.contains(o.as_str())) {
            used[i] = true;
            names.extend(reads(node));
        }
    }
    used
}

impl Walk<'_> {
    fn attempt(&self, stays: &HashMap<usize, String>, picture: bool) -> Result<Partial, Again> {
        let mut lower = Lower::new(self.model, self.graph);
        lower.outside = self
            .facts
            .iter()
            .map(|(n, f)| (n.clone(), f.dims.clone()))
            .collect();
        let mut found = Found {
            lower,
            outside: HashMap::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            exported: BTreeSet::new(),
            constant_nodes: BTreeSet::new(),
            constants: BTreeMap::new(),
        };
        if !picture || found.lower.take_picture(self.graph).is_err() {
            for input in &self.graph.input {
                self.bring_in(&mut found, &input.name, 0);
            }
        }
        let mut places = Vec::with_capacity(self.graph.node.len());
        for (i, node) in self.graph.node.iter().enumerate() {
            let place = if !self.used[i] {
                Place::Unused
            } else if self.known_value(&mut found, node) {
                Place::Folded
            } else {
                let segment = node.input.iter().filter_map(|n| found.lower.values.get(n));
                let segment = segment
                    .map(|v| found.lower.segment_of(v))
                    .max()
                    .unwrap_or(0);
                let tried = match stays.get(&i) {
                    Some(why) => Err(why.clone()),
                    None => self
                        .read_constants(&mut found, node)
                        .and_then(|()| found.lower.node(node)),
                };
                // Outside nodes read the file's constants unchanged; see `export`.
                for name in &node.input {
                    if self.constants.contains(name) {
                        found.lower.values.remove(name);
                    }
                }
                match tried {
                    Ok(()) if found.folded(node) => Place::Folded,
                    Ok(()) => Place::Inside(segment),
                    Err(why) => {
                        let after = self.leave(&mut found, node)?;
                        Place::Outside { after, why }
                    }
                }
            };
            places.push(place);
        }
        if !found.outside.contains_key(self.output) {
            self.export(&mut found, self.output)?;
        }
        let mut partial = Partial {
            graph: found.lower.finish(found.imports, found.exports),
            places,
            constant_nodes: found.constant_nodes,
            constants: found.constants,
        };
        number(&mut partial);
        Ok(partial)
    }

    /// Makes the file's constants that a node reads known to the walk.
    fn read_constants(&self, found: &mut Found, node: &NodeProto) -> Lowered<()> {
        for name in &node.input {
            if let Some(read) = self.constants.read(name) {
                let read = read.map_err(|why| format!("initialiser {name:?} {why}"))?;
                found.lower.values.insert(name.clone(), Value::Const(read));
            }
        }
        Ok(())
    }

    /// Turns a node's results into constants if their values are known without running anything.
    fn known_value(&self, found: &mut Found, node: &NodeProto) -> bool {
        let outputs = node.output.iter().filter(|o| !o.is_empty());
        let mut known = Vec::new();
        for name in outputs {
            let Some(fact) = self.facts.get(name) else {
                return false;
            };
            let Some(value) = &fact.value else {
                return false;
            };
            known.push((name, fact.dims.clone(), value.clone()));
        }
        for (name, dims, value) in known {
            let data = Data::I64(value);
            let value = Value::Const(Rc::new(Const { dims, data }));
            found.lower.values.insert(name.clone(), value);
        }
        true
    }

    /// A node that stays outside: exports its inputs and imports its results; returns the number of segments that must run before
    /// it.
    fn leave(&self, found: &mut Found, node: &NodeProto) -> Result<usize, Again> {
        let mut after = 0;
        for name in reads(node) {
            after = after.max(match found.outside.get(name) {
                Some(&segments) => segments,
                None => self.export(found, name)?,
            });
        }
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            found.lower.values.remove(name);
            self.bring_in(found, name, after);
        }
        Ok(after)
    }

    /// Makes a value that is known inside known outside too; returns the number of segments that must run before it is available.
    fn export(&self, found: &mut Found, name: &str) -> Result<usize, Again> {
        let stays = |why: &str| match self.producers.get(name) {
            Some(&node) => {
                Again::Stays(node, format!("its result {name:?} is read outside, {why}"))
            }
            None => Again::Never(format!("{name:?}: {why}")),
        };
        match found.lower.values.get(name).cloned() {
            // An initialiser.
            None => Ok(0),
            Some(Value::Const(_) | Value::Quantised(_)) if name == self.output => {
                Err(Again::Never("the output is constant".into()))
            }
            Some(Value::Const(c)) => {
                found.constants.insert(name.to_owned(), (*c).clone());
                Ok(0)
            }
            Some(Value::Quantised(_)) => {
                let node = self.producers.get(name).copied();
                let node = node.ok_or_else(|| stays("and nothing makes it"))?;
                if found.constant_nodes.insert(node) {
                    for input in self.graph.node[node].input.iter().filter(|n| !n.is_empty()) {
                        self.export(found, input)?;
                    }
                }
                Ok(0)
            }
            Some(Value::Absent) => Err(stays("an optional output that is not made inside")),
            Some(value) => {
                let act = found.lower.taken_out(&value).map_err(|why| stays(&why))?;
                if found.lower.picture(act.id).is_some() {
                    return Err(Again::NoPicture);
                }
                let shape = found.lower.shape(act.id);
                let dims = self.facts.get(name).map(|f| volume(&f.dims));
                if dims != Some(Ok(shape.volume())) {
                    return Err(stays("where its shape is not known"));
                }
                let segment = found.lower.segments[act.id.0];
                if found.exported.insert(name.to_owned()) {
                    let chw = matches!(act.view, View::Nchw | View::FlatChw);
                    found.exports.push(Border {
                        name: name.to_owned(),
                        tensor: act.id,
                        channels_first: chw && shape.pixels() > 1 && shape.c > 1,
                        segment,
                    });
                }
                Ok(segment + 1)
            }
        }
    }

    /// Makes a value from outside known inside, if it is a picture of floats.
    fn bring_in(&self, found: &mut Found, name: &str, after: usize) {
        found.outside.insert(name.to_owned(), after);
        let Some(fact) = self.facts.get(name).filter(|f| f.element == Element::F32) else {
            return;
        };
        let pixels_first = |n: &NodeProto| {
            n.op_type == "Transpose" && ints(n, "perm").is_some_and(|p| p == [0, 3, 1, 2])
        };
        let readers = self.readers.get(name).map_or(&[][..], Vec::as_slice);
        let mut readers = readers.iter().map(|&i| &self.graph.node[i]);
        let (shape, view) = match fact.dims[..] {
            [1, h, w, c] if readers.all(pixels_first) => (Shape::new(h, w, c), View::Nhwc),
            [1, c, h, w] => (Shape::new(h, w, c), View::Nchw),
            [1, c] => (Shape::new(1, 1, c), View::Flat),
            [] => return,
            // Bytes are not tracked along other axes.
            _ if fact.quant.is_some() => return,
            ref dims => match plain_form(dims) {
                Ok((shape, view)) => (Ok(shape), view),
                Err(_) => return,
            },
        };
        let Ok(shape) = shape else { return };
        let kind = Kind::F32;
        let mut id = found.lower.add_tensor(Tensor { shape, kind }, after);
        found.imports.push(Border {
            name: name.to_owned(),
            tensor: id,
            channels_first: view == View::Nchw && shape.pixels() > 1 && shape.c > 1,
            segment: after,
        });
        if let Some(quant) = fact.quant {
            let kind = Kind::Q8(quant);
            id = found
                .lower
                .add_layer(Op::Quantise, vec![id], Tensor { shape, kind }, name);
        }
        let real = false;
        found.lower.values.insert(
            name.to_owned(),
            Value::Activation(Activation { id, view, real }),
        );
    }
}

impl Found {
    /// Whether a node's result is constant.
    fn folded(&self, node: &NodeProto) -> bool {
        let value = node.output.first().and_then(|o| self.lower.values.get(o));
        matches!(value, Some(Value::Const(_) | Value::Quantised(_)))
    }
}

/// Renumbers the segments that have layers as 0, 1, 2 and so on.
fn number(partial: &mut Partial) {
    let graph = &mut partial.graph;
    let borders = graph
        .imports
        .iter()
        .chain(&graph.exports)
        .map(|b| b.segment);
    let busy = graph.layers.iter().map(|l| l.segment).chain(borders);
    let busy: BTreeSet<usize> = busy.collect();
    let busy = Vec::from_iter(busy);
    let of = |segment: usize| busy.partition_point(|&b| b < segment);
    graph
        .layers
        .iter_mut()
        .for_each(|l| l.segment = of(l.segment));
    let borders = graph.imports.iter_mut().chain(&mut graph.exports);
    borders.for_each(|b| b.segment = of(b.segment));
    for place in &mut partial.places {
        match place {
            Place::Inside(segment) => *segment = of(*segment),
            Place::Outside { after, .. } => *after = of(*after),
            Place::Folded | Place::Unused => {}
        }
    }
}

impl Lower {
    /// The segment that must have run before a value is available.
    pub(crate) fn segment_of(&self, value: &Value) -> usize {
        match value {
            Value::Activation(act) => self.segments[act.id.0],
            Value::Deferred(deferred, _) => {
                let inputs = deferred.inputs.iter().map(|a| self.segments[a.id.0]);
                inputs.max().unwrap_or(0)
            }
            Value::Padded(inner, _) | Value::Grouped { inner, .. } => self.segment_of(inner),
            Value::Intermediate(value) => self.segment_of_intermediate(value),
            Value::Const(_) | Value::Quantised(_) | Value::Absent => 0,
        }
    }

    /// A value as floats; integers become the real numbers that they stand for.
    fn taken_out(&mut self, value: &Value) -> Lowered<Activation> {
        let settled;
        let mut value = value;
        if matches!(value, Value::Activation(_) | Value::Deferred(..)) {
            settled = self.settled(&NodeProto::default(), value)?;
            value = &settled;
        }
        let act = self.materialise(value)?;
        if self.picture(act.id).is_some() {
            return Ok(act);
        }
        let real = self.quant(act.id).is_some();
        self.float_of(Activation { real, ..act })
    }
}
