//! Random networks as others compute them: tract, layer by layer, and islands in tract's plan.

use super::compare::{by_pixels, picture};
use super::coverage::Seen;
use super::near::{Near, exact};
use super::random::Network;
use crate::network::rewrite::dequantise::{Reals, dequantise};
use crate::network::tract::islands;
use crate::network::tract::parse::parse;
use crate::network::tract::plan::{Planned, Staging, TractPlan};
use crate::spec::{Dtype, Input, Layout};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

/// For a network that is only partly known: islands must match tract alone.
pub fn in_part(
    network: &Network,
    model: ModelProto,
    seed: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    let picture = picture(network, seed, 0);
    let threads = 1 + (seed % 4) as usize;
    // If tract cannot run it alone, it cannot run it around islands.
    let Ok(want) = by_tract(network, model.clone(), &picture) else {
        seen.tract_fails += 1;
        return Ok(());
    };
    if want.iter().any(|x| !x.is_finite()) {
        return Ok(());
    }
    if let Some(got) = by_islands(network, model, &picture, threads)? {
        let want: Vec<Near> = want.iter().map(|&x| exact(x)).collect();
        alike(&got, &want, network.quantised).map_err(|why| format!("islands: {why}"))?;
        seen.by_islands += 1;
    }
    Ok(())
}

/// Replaces Neg by a product, which is known.
pub fn turn_by_product(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("it was made with one");
    let minus = crate::network::onnx::float_tensor("minus", &[], vec![-1.0]);
    graph.initializer.push(minus);
    for node in graph.node.iter_mut().filter(|n| n.op_type == "Neg") {
        node.op_type = "Mul".into();
        node.input.push("minus".into());
    }
}

/// Runs the network of the file in tract, layer by layer.
pub fn by_tract(
    network: &Network,
    mut model: ModelProto,
    picture: &[f32],
) -> Result<Vec<f32>, String> {
    dequantise(&mut model, &Reals::new())?;
    let tract = |e: TractError| format!("tract fails: {e:#}");
    let parsed = parse(&mut model, dtype(network), &network.input).map_err(tract)?;
    let plan = parsed.model.into_typed().map_err(tract)?;
    let plan = plan.into_runnable().map_err(tract)?;
    let tensor = if network.pixels {
        let bytes: Vec<u8> = picture.iter().map(|&x| x as u8).collect();
        Tensor::from_shape(&network.input, &bytes)
    } else {
        Tensor::from_shape(&network.input, picture)
    };
    let scores = plan
        .run(tvec!(tensor.map_err(tract)?.into_tvalue()))
        .map_err(tract)?;
    let scores = scores[0].cast_to::<f32>().map_err(tract)?;
    let scores = scores.try_as_plain_ram().map_err(tract)?;
    Ok(scores.as_slice::<f32>().map_err(tract)?.to_vec())
}

fn dtype(network: &Network) -> Dtype {
    if network.pixels {
        Dtype::U8
    } else {
        Dtype::F32
    }
}

/// Runs a network with unknown operators, split into islands; `None` if there are none.
pub fn by_islands(
    network: &Network,
    model: ModelProto,
    picture: &[f32],
    threads: usize,
) -> Result<Option<Vec<f32>>, String> {
    let dtype = dtype(network);
    let Ok((found, rest)) = islands::make(model, dtype, &network.input, threads) else {
        return Ok(None);
    };
    let taken = found.takes_picture.then(|| found.fused.clone());
    let tract = |e: TractError| format!("tract fails: {e:#}");
    let planned = Planned::new(rest, dtype, &network.input, Some(found));
    // If tract cannot plan what is around the islands, it runs the network alone.
    let Ok(mut plan) = planned.and_then(TractPlan::new) else {
        return Ok(None);
    };
    let mut first: Option<Vec<f32>> = None;
    for _ in 0..2 {
        plan.input = match &taken {
            Some(fused) => {
                let mut fused = fused.lock().map_err(|e| e.to_string())?;
                if !fused.set_f32(&by_pixels(network, picture), Layout::Nhwc) {
                    return Err("the islands' input has another length".into());
                }
                match fused.input() {
                    Input::F32(values) => Staging::F32(values.to_vec()),
                    Input::U8(values) => Staging::U8(values.to_vec()),
                }
            }
            None if network.pixels => Staging::U8(picture.iter().map(|&x| x as u8).collect()),
            None => Staging::F32(picture.to_vec()),
        };
        plan.run().map_err(tract)?;
        match &first {
            Some(first) if *first != plan.scores => {
                return Err("the second run gives another result".into());
            }
            _ => first = Some(plan.scores.clone()),
        }
    }
    Ok(first)
}

/// Whether a result that was computed in an entirely different way matches the plainest executor. If intermediate values are
/// rounded to bytes, some may be rounded the other way at a half.
pub fn alike(got: &[f32], want: &[Near], rounds: bool) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} values for {}", got.len(), want.len()));
    }
    let size = want.iter().fold(0.05, |most: f32, x| most.max(x.is.abs()));
    let mut all = 0.0;
    for (i, (&got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want.is).abs();
        let allowed = if rounds {
            0.5 * size
        } else {
            2.0 * want.off + 2e-4 * size
        };
        if off.is_nan() || off > allowed {
            return Err(format!(
                "value {i} is {got} instead of {want:?}, of up to {size}"
            ));
        }
        all += off;
    }
    let mean = all / got.len() as f32;
    let allowed = if rounds { 0.05 * size } else { f32::INFINITY };
    if mean > allowed {
        return Err(format!(
            "values are off by {mean} on average, of up to {size}"
        ));
    }
    Ok(())
}
