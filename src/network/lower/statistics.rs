//! Means, sums and normalisations of constants: weights that are standardised in the graph (NFNet, BiT), or divided by their
//! length (weight normalisation). Sums are in double precision.

use super::Lowered;
use super::dims::axis_of;
use crate::network::onnx::attributes::{float, int, ints};
use crate::network::onnx::constant::{Const, Data};
use std::rc::Rc;
use tract_onnx::pb::NodeProto;

/// ReduceMean, ReduceSum and ReduceL2; `None` for integers.
pub(super) fn reduced(node: &NodeProto, inputs: &[Rc<Const>]) -> Lowered<Option<Const>> {
    let Some((x, rest)) = inputs.split_first() else {
        return Ok(None);
    };
    let Data::F32(values) = &x.data else {
        return Ok(None);
    };
    let rank = x.dims.len();
    let named = ints(node, "axes").or_else(|| rest.first().map(|axes| axes.ints()));
    let mut goes = vec![false; rank];
    match named.filter(|axes| !axes.is_empty()) {
        Some(axes) => {
            for axis in axes {
                let at = axis_of(axis, rank)?;
                *goes
                    .get_mut(at)
                    .ok_or_else(|| format!("axis {axis} of {rank}"))? = true;
            }
        }
        None if int(node, "noop_with_empty_axes", 0) != 0 => return Ok(None),
        None => goes.fill(true),
    }
    if values.is_empty() {
        return Ok(None);
    }
    let kept: Vec<usize> = x
        .dims
        .iter()
        .zip(&goes)
        .map(|(&size, &goes)| if goes { 1 } else { size })
        .collect();
    // How far the result's index moves with each axis.
    let mut steps = vec![0; rank];
    let mut count = 1;
    for axis in (0..rank).rev().filter(|&axis| !goes[axis]) {
        steps[axis] = count;
        count *= kept[axis];
    }
    let squares = node.op_type == "ReduceL2";
    let mut sums = vec![0f64; count];
    let mut places = vec![0; rank];
    let mut to = 0;
    for &value in values.iter() {
        let value = f64::from(value);
        sums[to] += if squares { value * value } else { value };
        for axis in (0..rank).rev() {
            places[axis] += 1;
            to += steps[axis];
            if places[axis] < x.dims[axis] {
                break;
            }
            to -= steps[axis] * places[axis];
            places[axis] = 0;
        }
    }
    let each = (values.len() / count) as f64;
    let result = sums.into_iter().map(|sum| match node.op_type.as_str() {
        "ReduceL2" => sum.sqrt() as f32,
        "ReduceMean" => (sum / each) as f32,
        _ => sum as f32,
    });
    let data = Data::F32(Rc::new(result.collect()));
    let mut dims = kept;
    if int(node, "keepdims", 1) == 0 {
        dims = dims
            .into_iter()
            .zip(&goes)
            .filter(|(_, goes)| !**goes)
            .map(|(size, _)| size)
            .collect();
    }
    Ok(Some(Const { dims, data }))
}

/// BatchNormalization: by the mean and the variance at inputs 3 and 4 or, in training mode, by those of its input.
pub(super) fn normalised(
    node: &NodeProto,
    inputs: &[Rc<Const>],
    in_training: bool,
) -> Lowered<Option<Const>> {
    let [x, scale, bias, rest @ ..] = inputs else {
        return Ok(None);
    };
    let (Data::F32(values), [_, channels, sides @ ..]) = (&x.data, &x.dims[..]) else {
        return Ok(None);
    };
    let channels = *channels;
    if values.is_empty() {
        return Ok(None);
    }
    let row: usize = sides.iter().product();
    let of_channels = |c: &Const| match c.len() == channels {
        true => Ok(c.floats()),
        false => Err(format!("normalises {channels} channels by {}", c.len())),
    };
    let (scale, bias) = (of_channels(scale)?, of_channels(bias)?);
    let rows = || values.chunks_exact(row).zip((0..channels).cycle());
    let (mut mean, mut variance) = (vec![0f64; channels], vec![0f64; channels]);
    if in_training {
        let count = (values.len() / channels) as f64;
        for (row, c) in rows() {
            mean[c] += row.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        }
        for (row, c) in rows() {
            let square = |&v: &f32| (f64::from(v) - mean[c]).powi(2);
            variance[c] += row.iter().map(square).sum::<f64>() / count;
        }
    } else {
        let [of_file, spread, ..] = rest else {
            return Ok(None);
        };
        mean = of_channels(of_file)?.into_iter().map(f64::from).collect();
        variance = of_channels(spread)?.into_iter().map(f64::from).collect();
    }
    let epsilon = f64::from(float(node, "epsilon", 1e-5));
    let mut result = Vec::with_capacity(values.len());
    for (row, c) in rows() {
        let factor = f64::from(scale[c]) / (variance[c] + epsilon).sqrt();
        let normal = |&v: &f32| ((f64::from(v) - mean[c]) * factor + f64::from(bias[c])) as f32;
        result.extend(row.iter().map(normal));
    }
    Ok(Some(Const {
        dims: x.dims.clone(),
        data: Data::F32(Rc::new(result)),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::attributes::{of_int, of_ints};

    fn constant(dims: &[usize], values: &[f32]) -> Rc<Const> {
        let data = Data::F32(Rc::new(values.to_vec()));
        Rc::new(Const {
            dims: dims.to_vec(),
            data,
        })
    }

    fn reduce(op: &str, axes: &[i64], keep: i64) -> Lowered<Option<Const>> {
        let node = NodeProto {
            op_type: op.to_owned(),
            attribute: vec![of_ints("axes", axes), of_int("keepdims", keep)],
            ..NodeProto::default()
        };
        reduced(
            &node,
            &[constant(
                &[2, 3, 2],
                &[1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.],
            )],
        )
    }

    #[test]
    fn axes_are_reduced_wherever_they_stand() {
        let of = |op, axes: &[i64], keep| {
            let result = reduce(op, axes, keep).unwrap().unwrap();
            (result.dims.clone(), result.floats())
        };
        assert_eq!(
            of("ReduceMean", &[0, -1], 1),
            (vec![1, 3, 1], vec![4.5, 6.5, 8.5])
        );
        assert_eq!(
            of("ReduceSum", &[1], 0),
            (vec![2, 2], vec![9., 12., 27., 30.])
        );
        assert_eq!(of("ReduceSum", &[], 0), (vec![], vec![78.]));
        let (dims, long) = of("ReduceL2", &[2], 0);
        assert_eq!((dims, long[0]), (vec![2, 3], 5f32.sqrt()));
        assert!(reduce("ReduceMean", &[3], 1).is_err());
        assert!(reduce("ReduceMean", &[i64::MIN], 1).is_err());
    }

    #[test]
    fn weights_are_standardised_by_their_own_or_by_given_statistics() {
        let x = constant(&[1, 2, 2], &[1., 3., -4., 4.]);
        let (scale, bias) = (constant(&[2], &[2., 1.]), constant(&[2], &[0., 10.]));
        let node = NodeProto::default();
        let of = |inputs: &[Rc<Const>], training| {
            let result = normalised(&node, inputs, training);
            result.map(|result| result.map(|result| result.floats()))
        };
        let near = |result: Vec<f32>, wanted: [f32; 4]| {
            result.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4)
        };
        let own = [x.clone(), scale.clone(), bias.clone()];
        assert!(near(of(&own, true).unwrap().unwrap(), [-2., 2., 9., 11.]));
        let (mean, variance) = (constant(&[2], &[1., 0.]), constant(&[2], &[4., 1.]));
        let given = [x.clone(), scale.clone(), bias.clone(), mean, variance];
        assert!(near(of(&given, false).unwrap().unwrap(), [0., 2., 6., 14.]));
        // Statistics that are left out, as many as there are not, or of a vector.
        assert_eq!(of(&own, false), Ok(None));
        let few = [x, constant(&[1], &[1.]), bias.clone()];
        assert!(of(&few, true).is_err());
        assert_eq!(of(&[scale.clone(), scale, bias], true), Ok(None));
    }
}
