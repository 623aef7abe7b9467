//! From an ONNX graph to [`Graph`]: a walk over the nodes in which each ONNX value is known by what it stands for.
//!
//! A float result is not emitted when its node is visited, but kept as a [`Deferred`](value::Deferred) layer. If the next node is
//! a normalisation or an activation, it is folded in; if it is a QuantizeLinear and the layer's inputs are dequantised bytes,
//! they become one integer layer; otherwise the float layer is emitted. So a quantised pattern that is not recognised runs on the
//! float path: correct before fast. The QLinear operators are read as dequantise, float operator, quantise.
//!
//! ```text
//! walk          the walk over a whole network
//! partial       the same over a partly known network, with `parts`, `constants`, `worth` and `order`
//! known         the known operators, and the function that lowers each
//! value         what ONNX values stand for; `folded` has layers with what follows them folded in
//! emit          emits the deferred layers, in float or bytes
//! settle        constants that the file computes, before the walk
//! fold          operators on constants; `statistics` has means and normalisations, `growth` how much they make
//! axes          values of any rank; `dims` has sizes and axes as ONNX counts them
//! ops/          a file per family of operators
//! gate          `x * f(x)` as one layer, in the finished graph
//! chains        elementwise layers between bytes as one, in the finished graph
//! ```
//! A new operator is a line in `known` and its code in the file of its family.

mod axes;
mod chains;
mod constants;
mod dims;
mod emit;
mod fold;
mod folded;
pub(crate) mod gate;
mod growth;
mod known;
mod ops;
mod order;
mod partial;
mod parts;
mod settle;
mod statistics;
mod value;
mod walk;
mod worth;

pub(crate) use chains::merge_layers;
pub use constants::Constants;
pub use known::all_known;
pub use partial::lower_partly;
pub use parts::{Fact, Facts, Partial, Place};
pub use settle::settle;

use super::error::NotFused;
use super::graph::{Border, Graph, Quant};
use super::onnx::name_of;
use tract_onnx::pb::ModelProto;
use value::{Activation, Deferred, DeferredOp, QuantisedConst, Value, View};
use walk::Lower;

/// The result of lowering; the error says what is not supported.
type Lowered<T> = Result<T, String>;

/// How the bytes of a picture are interpreted until a file says otherwise.
const PIXELS: Quant = Quant {
    scale: 1.0,
    zero: 0,
};

/// The graph of a model, or why it has none. Consumes the model.
pub fn lower(mut model: ModelProto) -> Result<Graph, NotFused> {
    let whole = |why: String| NotFused::whole(&why);
    let graph = model.graph.take();
    let mut graph = graph.ok_or_else(|| NotFused::whole("the file has no graph"))?;
    let output = graph
        .output
        .first()
        .ok_or_else(|| whole("the graph has no output".into()))?;
    let mut lower = Lower::new(&model, &graph);
    lower.take_picture(&graph).map_err(whole)?;
    let initializers = std::mem::take(&mut graph.initializer).into_iter();
    lower.initializers = initializers.map(|t| (t.name.clone(), t)).collect();
    for node in std::mem::take(&mut graph.node) {
        let lowered = lower.read_constants(&node).and_then(|()| lower.node(&node));
        lower.drop_read(&node);
        lowered.map_err(|why| NotFused {
            node: name_of(&node).to_owned(),
            op: node.op_type,
            why,
        })?;
    }
    let scores = Border {
        name: output.name.clone(),
        tensor: lower.output(&output.name).map_err(whole)?,
        channels_first: false,
        segment: 0,
    };
    Ok(lower.finish(Vec::new(), vec![scores]))
}
