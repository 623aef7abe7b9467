//! Sizes and axes as ONNX counts them.

use super::{Lowered, View};
use crate::network::graph::Shape;
use crate::network::graph::sizes::volume;
use crate::network::onnx::attributes::{int, normalised_index};
use crate::network::onnx::budget::MAX_AXES;
use tract_onnx::pb::NodeProto;

pub(crate) fn logical(shape: Shape, view: View) -> Vec<usize> {
    match view {
        View::Nchw => vec![1, shape.c, shape.h, shape.w],
        View::Nhwc => vec![1, shape.h, shape.w, shape.c],
        View::Flat | View::FlatChw => vec![1, shape.volume()],
        View::Strided(axes) => axes.dims().to_vec(),
    }
}

pub(crate) fn axis_of(axis: i64, rank: usize) -> Lowered<usize> {
    normalised_index(axis, rank)
        .filter(|&a| a <= rank)
        .ok_or_else(|| format!("axis {axis} of {rank}"))
}

/// Refuses a list of sizes or axes that is longer than a tensor may have axes.
pub(crate) fn few_axes(count: usize) -> Lowered<()> {
    if count <= MAX_AXES {
        return Ok(());
    }
    Err(format!("asks for {count} axes; {MAX_AXES} is the limit"))
}

/// Sizes after Squeeze or Unsqueeze of these axes.
pub(crate) fn squeezed(op: &str, axes: &[i64], dims: &[usize]) -> Lowered<Vec<usize>> {
    let more = op == "Unsqueeze";
    few_axes(axes.len())?;
    let rank = dims.len() + if more { axes.len() } else { 0 };
    let places = axes.iter().map(|&a| axis_of(a, rank));
    let mut places = places.collect::<Lowered<Vec<_>>>()?;
    places.sort_unstable();
    let twice = places.windows(2).any(|pair| pair[0] == pair[1]);
    if twice || places.last().is_some_and(|&a| a >= rank) {
        return Err(format!("axes {axes:?} of {dims:?}"));
    }
    let mut out = dims.to_vec();
    if more {
        places.into_iter().for_each(|a| out.insert(a, 1));
        return Ok(out);
    }
    for a in places.into_iter().rev() {
        if out.remove(a) != 1 {
            return Err(format!("axes {axes:?} of {dims:?} are not 1"));
        }
    }
    Ok(out)
}

/// The two sizes after Flatten.
pub(crate) fn flattened(node: &NodeProto, dims: &[usize]) -> Lowered<[usize; 2]> {
    let axis = axis_of(int(node, "axis", 1), dims.len())?;
    let (rows, columns) = dims.split_at(axis);
    Ok([volume(rows)?, volume(columns)?])
}

/// A Reshape target with its 0 and -1 replaced by sizes.
pub(crate) fn resolve(target: &[i64], dims: &[usize], zero_is_zero: bool) -> Lowered<Vec<usize>> {
    few_axes(target.len())?;
    let total = volume(dims)?;
    let mut out = Vec::with_capacity(target.len());
    for (i, &t) in target.iter().enumerate() {
        out.push(match t {
            -1 => 0,
            0 if !zero_is_zero => *dims.get(i).unwrap_or(&0),
            t => usize::try_from(t).map_err(|_| format!("a size of {t}"))?,
        });
    }
    if let Some(free) = target.iter().position(|&t| t == -1) {
        out[free] = 1;
        out[free] = total / volume(&out)?;
    }
    if volume(&out) != Ok(total) {
        return Err(format!("{dims:?} cannot become {target:?}"));
    }
    Ok(out)
}
