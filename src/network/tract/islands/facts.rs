//! Shapes, types and constant values of all ONNX values, from tract's analysis of the float graph.

use crate::network::graph::sizes::volume;
use crate::network::lower::{Fact, Facts};
use crate::network::onnx::constant::Element;
use crate::network::rewrite::dequantise::Reals;
use crate::network::rewrite::outline::weights_as_inputs;
use crate::network::tract::parse::{one_line, parse};
use crate::panics::catch_unwind;
use crate::spec::Dtype;
use std::panic::AssertUnwindSafe;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::*;

/// Integer results with at most this many values are kept: shapes, axes and the like.
const VALUES_KEPT: usize = 64;

/// The facts of a float graph (or of its outline) whose input has this type and shape; `reals` are the values that were
/// quantised.
pub fn facts(
    float: &mut ModelProto,
    reals: &Reals,
    dtype: Dtype,
    input_shape: &[usize],
) -> Result<Facts, String> {
    // tract panics on some graphs.
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        float.graph.iter_mut().for_each(weights_as_inputs);
        let mut parsed = parse(float, dtype, input_shape)?;
        // If one node cannot be analysed, the facts of the others still hold.
        if let Err(e) = parsed.model.analyse(true) {
            log::debug!("analysis stopped short: {}", one_line(&e));
        }
        TractResult::Ok(parsed)
    }));
    let parsed = parsed
        .map_err(|_| "tract panicked on it".to_owned())?
        .map_err(|e| one_line(&e))?;
    let mut facts = Facts::new();
    for (name, &outlet) in &parsed.outlets_by_name {
        let Ok(fact) = parsed.model.outlet_fact(outlet) else {
            continue;
        };
        if let Some(mut fact) = of(fact) {
            fact.quant = reals.get(name).and_then(|q| q.one_byte());
            // Integers that are not understood are not real numbers either.
            if reals.contains_key(name) && fact.quant.is_none() {
                fact.element = Element::Other;
            }
            facts.insert(name.clone(), fact);
        }
    }
    Ok(facts)
}

fn of(fact: &InferenceFact) -> Option<Fact> {
    let dims = fact.shape.concretize()?;
    let dims: Option<Vec<usize>> = dims.iter().map(|d| d.to_usize().ok()).collect();
    let dims = dims?;
    let whole = [DatumType::I64, DatumType::I32, DatumType::TDim];
    let element = match fact.datum_type.concretize()? {
        DatumType::F32 => Element::F32,
        DatumType::I64 | DatumType::TDim => Element::I64,
        DatumType::I32 => Element::I32,
        DatumType::Bool => Element::Bool,
        _ => Element::Other,
    };
    let small = dims.contains(&0) || volume(&dims).is_ok_and(|n| n <= VALUES_KEPT);
    let value = fact
        .value
        .concretize()
        .filter(|t| small && whole.contains(&t.datum_type()));
    let value = value.and_then(|tensor| {
        let cast = tensor.cast_to::<i64>().ok()?;
        Some(
            cast.try_as_plain_ram()
                .ok()?
                .as_slice::<i64>()
                .ok()?
                .to_vec(),
        )
    });
    Some(Fact {
        dims,
        element,
        quant: None,
        value,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx;
    use crate::network::onnx::inspect::inspect;
    use crate::network::rewrite::dequantise::dequantise;
    use crate::network::rewrite::outline::outline;
    use crate::spec::Layout;
    use prost::Message;
    use std::path::Path;

    #[test]
    fn an_outline_has_the_same_facts_about_every_node_as_the_whole_model() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut compared = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let Some(model) = onnx::read(&path)
                .ok()
                .filter(|_| path.extension().unwrap() == "onnx")
            else {
                continue;
            };
            let Ok(seen) = inspect(model.graph.as_ref().unwrap()) else {
                continue;
            };
            let shape = match seen.layout {
                Layout::Nchw => [1, 3, 32, 32],
                Layout::Nhwc => [1, 32, 32, 3],
            };
            let facts_of = |mut float: ModelProto| {
                let reals = dequantise(&mut float, &Reals::new())?;
                facts(&mut float, &reals, seen.dtype, &shape)
            };
            let (whole, outline) = (facts_of(model.clone()), facts_of(outline(&model)));
            let (Ok(whole), Ok(outline)) = (whole, outline) else {
                continue;
            };
            for name in model
                .graph
                .iter()
                .flat_map(|g| &g.node)
                .flat_map(|n| &n.output)
            {
                let text = |facts: &Facts| format!("{:?}", facts.get(name));
                assert_eq!(text(&outline), text(&whole), "{name} of {}", path.display());
            }
            compared += 1;
        }
        assert!(compared > 40, "{compared} files");
    }

    #[test]
    fn an_outline_has_no_weights() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models/efficientnet-lite0/efficientnet-lite0-int8.onnx");
        let outline = outline(&onnx::read(&path).unwrap());
        let file_bytes = usize::try_from(path.metadata().unwrap().len()).unwrap();
        assert!(outline.encoded_len() < file_bytes / 10, "{file_bytes}");
    }
}
