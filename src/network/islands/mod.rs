//! A network that our kernels know in part: its known layers run as islands in tract's plan, everything else is tract's own.
//!
//! ```text
//! facts     shapes and types of all values, from tract's analysis of the float graph
//! (fused)   lowers the known nodes, cut into segments, see `fused::lower_partly`
//! rewrite   the graph with one node for each segment in place of the known nodes
//! op        that node's operator in tract's plan
//! ```
//! All segments are of one fused plan: they share its arena, its kernels and its threads. Values between islands that no
//! outside node reads never leave the arena; those at the borders are floats in tract's own tensors. So the integer
//! arithmetic of a quantised network stays exact: what is quantised inside an island stays bytes, and what crosses a border
//! is the real numbers that the bytes stand for.

mod facts;
mod op;
mod rewrite;

pub use op::{ISLAND, attach, island_from_onnx};

use super::dequantise::{self, Reals};
use super::fused::{self, Fused, Place, Row};
use crate::model::Dtype;
use std::sync::{Arc, Mutex};
use tract_onnx::pb::{ModelProto, NodeProto};

/// The fused plan that all islands of a network run in, in turn.
pub type Shared = Arc<Mutex<Fused>>;

/// A node that tract runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Its name in the file; its first result's where it has none.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// How many islands run before it.
    pub after: usize,
    /// Why it is not in an island.
    pub why: String,
    /// Multiply-adds, for convolutions and matrix products.
    pub multiply_adds: u64,
}

/// The tensors of one island's node in tract's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Whether the node's first input only says that it is this island's turn.
    pub turn: bool,
    /// How many tensors it reads.
    pub imports: usize,
    /// ONNX shapes of those that it makes, before the one that says that the next island may run.
    pub exports: Vec<Vec<usize>>,
}

/// The islands of a network.
#[derive(Debug)]
pub struct Islands {
    /// The plan that runs them.
    pub fused: Shared,
    /// Each island's tensors.
    pub ports: Vec<Ports>,
    /// Whether the picture goes into the fused plan and not into tract's.
    pub takes_picture: bool,
    /// What runs inside, in order; a row's segment is its island.
    pub rows: Vec<Row>,
    /// What runs outside, in order.
    pub outside: Vec<Outside>,
    /// Bytes of all activations inside.
    pub arena_bytes: usize,
    /// The kernels' name.
    pub kernels: &'static str,
    /// Threads that work on each island.
    pub threads: usize,
}

impl Islands {
    /// Multiply-adds inside, and in all.
    pub fn multiply_adds(&self) -> (u64, u64) {
        let inside: u64 = self.rows.iter().map(|r| r.multiply_adds).sum();
        let outside: u64 = self.outside.iter().map(|n| n.multiply_adds).sum();
        (inside, inside + outside)
    }

    /// The share of all multiply-adds that runs inside, in whole per cent, rounded down.
    pub fn percent_inside(&self) -> u64 {
        let (inside, all) = self.multiply_adds();
        inside * 100 / all.max(1)
    }
}

/// Cuts a repaired model whose input has this type and shape. Gives the islands and the float graph that tract plans; the
/// error says why there are none.
pub fn make(
    model: &ModelProto,
    dtype: Dtype,
    input_shape: &[usize],
    threads: usize,
) -> Result<(Islands, ModelProto), String> {
    let mut float = model.clone();
    let reals = dequantise::dequantise(&mut float, &Reals::new())?;
    let facts = facts::facts(&mut float, &reals, dtype, input_shape)?;
    drop(float);
    let partial = fused::lower_partly(model, &facts).map_err(|e| e.to_string())?;
    let (mut rewritten, ports) = rewrite::rewrite(model, &partial, &facts)?;
    dequantise::dequantise(&mut rewritten, &reals)?;
    let nodes = model.graph.as_ref().map_or(&[][..], |g| &g.node);
    let weights = rewrite::weight_shapes(model);
    let mut outside: Vec<Outside> = nodes
        .iter()
        .zip(&partial.places)
        .filter_map(|(node, place)| match place {
            Place::Outside { after, why } => Some(Outside {
                name: name_of(node),
                op: node.op_type.clone(),
                after: *after,
                why: why.clone(),
                multiply_adds: rewrite::multiply_adds(node, &facts, &weights),
            }),
            _ => None,
        })
        .collect();
    outside.sort_by_key(|n| n.after);
    let plan = fused::Understood::from(partial)
        .plan(threads)
        .map_err(|e| e.to_string())?;
    if plan.kernels() == fused::REFERENCE {
        return Err("this CPU has no instruction set that the fast plan has kernels for".into());
    }
    let islands = Islands {
        ports,
        takes_picture: plan.input_shape().is_some(),
        rows: plan.explain().to_vec(),
        outside,
        arena_bytes: plan.arena_bytes(),
        kernels: plan.kernels(),
        threads: plan.threads(),
        fused: Arc::new(Mutex::new(plan)),
    };
    Ok((islands, rewritten))
}

fn name_of(node: &NodeProto) -> String {
    let first = || node.output.first().cloned().unwrap_or_default();
    if node.name.is_empty() {
        first()
    } else {
        node.name.clone()
    }
}
