//! Pad that crops, and Resize whose scales give fractional sizes.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{int, ints, of_int, of_ints, text};
use crate::network::onnx::budget::MAX_LIST;
use crate::network::onnx::{holds_at_most, int64_tensor, values_f32};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

impl Forms<'_> {
    /// Negative padding crops: a Slice before the rest of the Pad. tract takes it for a huge size.
    pub(super) fn pad(&mut self, mut node: NodeProto) -> Result<(), String> {
        self.one_value(&mut node);
        let by_attribute = node.attribute.iter().position(|a| a.name == "pads");
        let pads = match by_attribute {
            Some(at) => Some(node.attribute[at].ints.clone()),
            None => self.ints(input(&node, 1)),
        };
        let cropping = pads.filter(|p| p.iter().any(|&p| p < 0));
        let Some(pads) = cropping else {
            self.nodes.push(node);
            return Ok(());
        };
        let count = pads.len() / 2;
        let axes = match input(&node, 3) {
            "" => (0..count as i64).collect(),
            name => self
                .ints(name)
                .ok_or("crops along axes that are not constant")?,
        };
        if axes.len() != count || pads.len() != 2 * count {
            return Err(format!("pads {} axes by {pads:?}", axes.len()));
        }
        let (before, after) = pads.split_at(count);
        let mut starts: Vec<i64> = before.iter().map(|&p| p.min(0).saturating_neg()).collect();
        let mut ends: Vec<i64> = after
            .iter()
            .map(|&p| if p < 0 { p } else { i64::MAX })
            .collect();
        let mut axes = axes;
        for i in (0..count)
            .rev()
            .filter(|&i| before[i] >= 0 && after[i] >= 0)
        {
            for list in [&mut starts, &mut ends, &mut axes] {
                list.remove(i);
            }
        }
        let out = output(&node).to_owned();
        let rest: Vec<i64> = pads.iter().map(|&p| p.max(0)).collect();
        if rest.iter().all(|&p| p == 0) {
            self.crop(&node, starts, ends, axes, &out);
            return Ok(());
        }
        let cropped = format!("eyelet/{out}.cropped");
        self.crop(&node, starts, ends, axes, &cropped);
        match by_attribute {
            Some(at) => node.attribute[at].ints = rest,
            None => {
                let rest = int64_tensor(&format!("eyelet/{out}.pads"), &[rest.len()], rest);
                node.input[1] = self.constant(rest);
            }
        }
        node.input[0] = cropped;
        self.nodes.push(node);
        Ok(())
    }

    fn crop(
        &mut self,
        node: &NodeProto,
        starts: Vec<i64>,
        ends: Vec<i64>,
        axes: Vec<i64>,
        out: &str,
    ) {
        let x = input(node, 0);
        let lists = [("starts", starts), ("ends", ends), ("axes", axes)];
        if self.opset < 10 {
            let attributes = lists.map(|(name, values)| of_ints(name, &values));
            self.push(node, "Slice", &[x], out, attributes.to_vec());
            return;
        }
        let [starts, ends, axes] = lists.map(|(name, values)| {
            self.constant(int64_tensor(
                &format!("eyelet/{out}.{name}"),
                &[values.len()],
                values,
            ))
        });
        self.push(node, "Slice", &[x, &starts, &ends, &axes], out, vec![]);
    }

    /// The padding value, if it is used: tract also pads with a given value in reflect and edge modes. Also drops its axis, as
    /// the specification has it; ONNX Runtime accepts shape \[1\] too.
    fn one_value(&mut self, node: &mut NodeProto) {
        if node.input.len() > 2 && !matches!(text(node, "mode"), "" | "constant") {
            node.input[2].clear();
        }
        if let Some(value) = self.weight(input(node, 2))
            && value.dims == [1]
        {
            let name = format!("eyelet/{}.value", output(node));
            let scalar = TensorProto {
                name,
                dims: Vec::new(),
                ..value.clone()
            };
            node.input[2] = self.constant(scalar);
        }
    }

    /// Corners are aligned by the integer size of the result, but tract uses `scale * size`: so it gets the size.
    pub(super) fn resize(&mut self, mut node: NodeProto) -> Result<(), String> {
        let how = text(&node, "coordinate_transformation_mode");
        let corners = matches!(how, "align_corners" | "tf_crop_and_resize");
        let scales = self.weight(input(&node, 2));
        let scales = scales.filter(|scales| holds_at_most(scales, MAX_LIST));
        let nearest = matches!(text(&node, "mode"), "" | "nearest");
        if nearest && matches!(how, "tf_crop_and_resize" | "half_pixel_symmetric") {
            return Err(format!(
                "takes the nearest values by '{how}', of which tract takes others: export it with 'half_pixel' or 'asymmetric'"
            ));
        }
        let Some(scales) = scales.filter(|_| corners && input(&node, 3).is_empty()) else {
            self.nodes.push(node);
            return Ok(());
        };
        let values = values_f32(scales)?;
        if values.is_empty() || values.iter().all(|s| s.fract() == 0.0) {
            self.nodes.push(node);
            return Ok(());
        }
        if int(&node, "antialias", 0) != 0 {
            return Err("has antialias and scales to fractional sizes, by which tract filters otherwise: export it with sizes, or without \
                        antialias"
                .into());
        }
        let axes = ints(&node, "axes");
        let out = output(&node).to_owned();
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let x = input(&node, 0).to_owned();
        self.push(&node, "Shape", &[&x], &part("from"), vec![]);
        let mut from = part("from");
        if let Some(axes) = axes {
            let axes = self.constant(int64_tensor(&part("axes"), &[axes.len()], axes));
            self.push(&node, "Gather", &[&from, &axes], &part("picked"), vec![]);
            from = part("picked");
        }
        let cast = |to: DataType| vec![of_int("to", to as i64)];
        let scales = input(&node, 2).to_owned();
        let steps: [(&str, Vec<String>, &str, Vec<AttributeProto>); 4] = [
            ("Cast", vec![from], "real", cast(DataType::Float)),
            ("Mul", vec![part("real"), scales], "scaled", vec![]),
            ("Floor", vec![part("scaled")], "whole", vec![]),
            ("Cast", vec![part("whole")], "sizes", cast(DataType::Int64)),
        ];
        for (op, ins, result, attributes) in steps {
            let ins: Vec<&str> = ins.iter().map(String::as_str).collect();
            self.push(&node, op, &ins, &part(result), attributes);
        }
        node.input.resize(4, String::new());
        node.input[2].clear();
        node.input[3] = part("sizes");
        self.nodes.push(node);
        Ok(())
    }
}
