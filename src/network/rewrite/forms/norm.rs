//! BatchNormalization in training mode: it normalises by the mean and variance of its input, not by those in the file. For a
//! single picture that is well defined, but seldom what was meant.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{float, int};
use crate::network::onnx::{int64_tensor, name_of};
use tract_onnx::pb::NodeProto;

/// Whether the node uses the statistics of its input: by its attribute or, in older opsets, by having them as outputs.
pub fn in_training(node: &NodeProto, opset: i64) -> bool {
    let asked = node.output.iter().skip(1).any(|o| !o.is_empty());
    int(node, "training_mode", 0) != 0 || (opset < 14 && asked)
}

impl Forms<'_> {
    /// Replaced by operators that compute the statistics. The rank is not known here: the values of a channel are flattened to
    /// one row.
    pub(super) fn batch_norm(&mut self, node: &NodeProto) -> Result<(), String> {
        if let Some(read) = node
            .output
            .iter()
            .skip(1)
            .find(|o| self.read.contains_key(*o))
        {
            return Err(format!(
                "is in training mode and its statistics '{read}' are read: export it after model.eval()"
            ));
        }
        let (x, out) = (input(node, 0), output(node));
        let epsilon = float(node, "epsilon", 1e-5);
        log::warn!(
            "the node '{}' (BatchNormalization) was exported in training mode: it normalises by the statistics of each \
             picture, as ONNX Runtime does; if that is not meant, export it after model.eval()",
            name_of(node)
        );
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let rows = self.constant(int64_tensor(&part("rows"), &[3], vec![0, 0, -1]));
        let channels = self.constant(int64_tensor(&part("channels"), &[3], vec![1, -1, 1]));
        let epsilon = self.float(&part("epsilon"), &[], vec![epsilon]);
        let over = [0, 2];
        self.push(node, "Reshape", &[x, &rows], &part("row"), vec![]);
        self.reduce(node, "ReduceMean", &part("row"), &over, &part("mean"));
        for (op, a, b, result) in [
            ("Sub", part("row"), part("mean"), "off"),
            ("Mul", part("off"), part("off"), "square"),
        ] {
            self.push(node, op, &[&a, &b], &part(result), vec![]);
        }
        self.reduce(
            node,
            "ReduceMean",
            &part("square"),
            &over,
            &part("variance"),
        );
        let (scale, bias) = (input(node, 1).to_owned(), input(node, 2).to_owned());
        for (op, ins, result) in [
            ("Add", vec![part("variance"), epsilon], "raised"),
            ("Sqrt", vec![part("raised")], "deviation"),
            ("Div", vec![part("off"), part("deviation")], "normal"),
            ("Reshape", vec![scale, channels.clone()], "scale"),
            ("Reshape", vec![bias, channels], "bias"),
            ("Mul", vec![part("normal"), part("scale")], "scaled"),
            ("Add", vec![part("scaled"), part("bias")], "moved"),
            ("Shape", vec![x.to_owned()], "shape"),
        ] {
            let ins: Vec<&str> = ins.iter().map(String::as_str).collect();
            self.push(node, op, &ins, &part(result), vec![]);
        }
        let ins = [part("moved"), part("shape")];
        self.push(node, "Reshape", &[&ins[0], &ins[1]], out, vec![]);
        Ok(())
    }
}
