//! A network that our kernels support in part: its known layers run as islands in tract's plan, and tract runs everything else.
//!
//! ```text
//! rewrite::outline  the model without its large weights
//! facts             shapes and types of all values, from tract's analysis of the outline as a float graph
//! lower::partial    lowers the known nodes, cut into segments
//! rewrite           the graph with one node per segment in place of the known nodes
//! super::island     that node's operator in tract's plan
//! ```
//! All segments belong to one fused plan: they share its arena, its kernels and its threads. Values between islands that no
//! outside node reads never leave the arena; those at the borders are floats in tract's own tensors. So the integer arithmetic of
//! a quantised network stays exact: quantised values inside an island stay bytes, and the values that cross a border are the real
//! numbers that the bytes stand for.
//!
//! Bytes do not cross: an outside node computes with real numbers in any case, so a border converts where the file itself has its
//! DequantizeLinear and QuantizeLinear. Only nodes that move bytes without computing (a Transpose of rows and columns, say) could
//! use them, and tract's graph would need a second form for those.

mod facts;
mod rewrite;

use super::island::{Ports, Shared};
use crate::network::fused;
use crate::network::lower::{Constants, Facts, Partial, Place, lower_partly};
use crate::network::onnx::name_of;
use crate::network::rewrite::dequantise::{self, Reals};
use crate::network::rewrite::outline;
use crate::network::run::Row;
use crate::spec::Dtype;
use std::sync::{Arc, Mutex};
use tract_onnx::pb::ModelProto;

/// A node that tract runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Its name in the file, or its first result's if it has none.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// The number of islands that run before it.
    pub after: usize,
    /// Why it is not in an island.
    pub why: String,
    /// Multiply-adds, for convolutions and matrix products.
    pub multiply_adds: u64,
}

/// The islands of a network.
#[derive(Debug)]
pub struct Islands {
    /// The plan that runs them.
    pub fused: Shared,
    /// The tensors of each island.
    pub ports: Vec<Ports>,
    /// Whether the picture goes into the fused plan and not into tract's.
    pub takes_picture: bool,
    /// Layers that run inside, in order; a row's segment is its island.
    pub rows: Vec<Row>,
    /// Nodes that run outside, in order.
    pub outside: Vec<Outside>,
    /// Bytes of all activations inside.
    pub arena_bytes: usize,
    /// The kernels' name.
    pub kernels: &'static str,
    /// Threads that work on each island.
    pub threads: usize,
}

impl Islands {
    /// Multiply-adds inside, and in total.
    pub fn multiply_adds(&self) -> (u64, u64) {
        let inside = self.rows.iter().map(|r| r.multiply_adds);
        let inside = inside.fold(0, u64::saturating_add);
        let outside = self.outside.iter().map(|n| n.multiply_adds);
        (inside, outside.fold(inside, u64::saturating_add))
    }

    /// The share of all multiply-adds that runs inside, in per cent, rounded down.
    pub fn percent_inside(&self) -> u64 {
        let (inside, all) = self.multiply_adds();
        (u128::from(inside) * 100 / u128::from(all.max(1))) as u64
    }

    /// The same as text, `99.7 %`: only all of them are `100 %`.
    pub fn share_inside(&self) -> String {
        let (inside, all) = self.multiply_adds();
        if inside == all {
            return "100 %".to_owned();
        }
        let thousandths = u128::from(inside) * 1000 / u128::from(all.max(1));
        format!("{}.{} %", thousandths / 10, thousandths % 10)
    }
}

/// Why a network has no islands.
#[derive(Debug)]
pub struct NoIslands {
    /// The reason.
    pub why: String,
    /// The model, if its weights are not consumed.
    pub model: Option<Box<ModelProto>>,
    /// Why each node is outside, if that is known.
    pub outside: Vec<Outside>,
}

impl NoIslands {
    /// Without a model to continue with.
    pub fn used_up(why: String) -> Self {
        Self {
            why,
            model: None,
            outside: Vec::new(),
        }
    }
}

/// Cuts a repaired model whose input has this type and shape, and consumes it. Returns the islands and the float graph that tract
/// plans.
pub fn make(
    mut model: ModelProto,
    dtype: Dtype,
    input_shape: &[usize],
    threads: usize,
) -> Result<(Islands, ModelProto), NoIslands> {
    let cut = match cut(&mut model, dtype, input_shape) {
        Ok(cut) => cut,
        Err(why) => {
            return Err(NoIslands {
                model: Some(Box::new(model)),
                ..NoIslands::used_up(why)
            });
        }
    };
    if cut.partial.graph.layers.is_empty() {
        let why = "no known convolution or matrix product".to_owned();
        let outside = outside(&model, &cut);
        put_back(&mut model, cut.constants);
        let model = Some(Box::new(model));
        return Err(NoIslands {
            why,
            model,
            outside,
        });
    }
    islands_of(model, cut, threads).map_err(NoIslands::used_up)
}

/// A cut model.
struct Cut {
    /// Its known parts.
    partial: Partial,
    /// The weights of all parts.
    constants: Constants,
    /// Facts about its values.
    facts: Facts,
    /// Which of them are quantised.
    reals: Reals,
}

/// The known parts of a model, whose weights move there unless there is an error.
fn cut(model: &mut ModelProto, dtype: Dtype, input_shape: &[usize]) -> Result<Cut, String> {
    let mut float = outline::outline(model);
    let reals = dequantise::dequantise(&mut float, &Reals::new())?;
    let facts = facts::facts(&mut float, &reals, dtype, input_shape)?;
    let graph = model.graph.as_mut().ok_or("the file has no graph")?;
    let constants = Constants::new(std::mem::take(&mut graph.initializer));
    match lower_partly(model, &constants, &facts) {
        Ok(partial) => Ok(Cut {
            partial,
            constants,
            facts,
            reals,
        }),
        Err(why) => {
            put_back(model, constants);
            Err(why.to_string())
        }
    }
}

/// Restores the weights of a model that is not cut.
fn put_back(model: &mut ModelProto, constants: Constants) {
    if let Some(graph) = &mut model.graph {
        graph.initializer = constants.back(None);
    }
}

/// The nodes that tract runs, in order.
fn outside(model: &ModelProto, cut: &Cut) -> Vec<Outside> {
    let nodes = model.graph.as_ref().map_or(&[][..], |g| &g.node);
    let mut outside: Vec<Outside> = nodes
        .iter()
        .zip(&cut.partial.places)
        .filter_map(|(node, place)| match place {
            Place::Outside { after, why } => Some(Outside {
                name: name_of(node).to_owned(),
                op: node.op_type.clone(),
                after: *after,
                why: why.clone(),
                multiply_adds: rewrite::multiply_adds(node, &cut.facts, &cut.constants),
            }),
            _ => None,
        })
        .collect();
    outside.sort_by_key(|n| n.after);
    outside
}

fn islands_of(
    model: ModelProto,
    cut: Cut,
    threads: usize,
) -> Result<(Islands, ModelProto), String> {
    let outside = outside(&model, &cut);
    let Cut {
        partial,
        constants,
        facts,
        reals,
    } = cut;
    // From here on every part has its own weights.
    let (mut rewritten, ports) = rewrite::rewrite(&model, &partial, constants, &facts)?;
    drop(model);
    dequantise::dequantise(&mut rewritten, &reals)?;
    let plan = fused::Understood::from(partial)
        .plan(threads)
        .map_err(|e| e.to_string())?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx;
    use std::path::Path;

    /// For each border of a fixture: its value's name, and whether it is transposed.
    fn borders(fixture: &str) -> Vec<(String, bool)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut model = onnx::read(&folder.join(fixture)).unwrap();
        let cut = cut(&mut model, Dtype::F32, &[1, 3, 32, 32]).unwrap();
        let partial = cut.partial;
        let borders = partial.graph.exports.iter().chain(&partial.graph.imports);
        borders
            .map(|b| (b.name.clone(), b.channels_first))
            .collect()
    }

    #[test]
    fn only_what_depends_on_the_order_of_values_is_transposed() {
        let found = |fixture, wanted: &[(&str, bool)]| {
            let wanted: Vec<_> = wanted.iter().map(|&(n, c)| (n.to_owned(), c)).collect();
            assert_eq!(borders(fixture), wanted, "{fixture}");
        };
        let softplus = [("conv_9", false), ("output", false), ("softplus_10", false)];
        found("unknown-mish.onnx", &softplus);
        let norms = [
            ("clip_6", true),
            ("output", false),
            ("instancenormalization_9", true),
        ];
        found("unknown-residual.onnx", &norms);
    }
}
