//! Operator by operator: a quantised one becomes its float twin, one that only moves values is kept, any other is refused.

use super::{Quantisation, Rewrite};
use crate::network::onnx::attributes::{attribute, float, int, of_int, text};
use crate::network::onnx::{float_tensor, int64_tensor, reads, values_f32};
use crate::network::rewrite::ISLAND;
use crate::network::rewrite::forms::KEEP_TYPE;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

/// The float operator that a QLinear one is named after.
fn float_name(node: &NodeProto) -> &str {
    node.op_type.strip_prefix("QLinear").unwrap_or_default()
}

impl Rewrite<'_> {
    pub(super) fn node(&mut self, node: NodeProto) -> Result<(), String> {
        let at = |i: usize| node.input.get(i).map_or("", String::as_str);
        let out = node.output.first().cloned().unwrap_or_default();
        match node.op_type.as_str() {
            "QuantizeLinear" => {
                let q = self.quantisation(&node, at(1), at(2))?;
                self.quantise(at(0), &out, q, int(&node, "axis", 1))
            }
            "DequantizeLinear" if self.scales.contains(at(1)) => self.by_computed(&node, &out),
            "DequantizeLinear" => {
                let q = self.quantisation(&node, at(1), at(2))?;
                let real = self.real(at(0), &q, int(&node, "axis", 1))?;
                self.push("Identity", &[&real], &out, vec![]);
                Ok(())
            }
            "QLinearConv" => self.conv(&node, &out),
            "QLinearMatMul" => {
                let inputs = [self.operand(&node, 0, -2)?, self.operand(&node, 3, -1)?];
                self.float_twin("MatMul", &node, &inputs, 6, &out)
            }
            "QGemm" => self.gemm(&node, &out),
            "QLinearAdd" | "QLinearMul" => {
                let inputs = [self.operand(&node, 0, 1)?, self.operand(&node, 3, 1)?];
                self.float_twin(float_name(&node), &node, &inputs, 6, &out)
            }
            "QLinearGlobalAveragePool" | "QLinearAveragePool"
                if int(&node, "channels_last", 0) != 0 =>
            {
                Err("pools with the channels last, which Eyelet does not support".into())
            }
            "QLinearAveragePool"
                if int(&node, "ceil_mode", 0) != 0 && int(&node, "count_include_pad", 0) != 0 =>
            {
                Err("has ceil_mode with count_include_pad, for which ONNX Runtime uses another divisor: export it without one of them".into())
            }
            "QLinearSoftmax" if (int(&node, "opset", self.opset) < 13) != (self.opset < 13) => {
                Err("follows another opset's rule than the file's operators".into())
            }
            "QLinearSoftmax" if self.opset < 13 && attribute(&node, "axis").is_none() => {
                // Its axis defaults to the last; Softmax's defaulted to the second then.
                let mut node = node;
                node.attribute.push(of_int("axis", -1));
                self.node(node)
            }
            "QLinearReduceMean" if self.opset >= 18 => self.mean(&node, &out),
            "QLinearGlobalAveragePool"
            | "QLinearAveragePool"
            | "QLinearSigmoid"
            | "QLinearLeakyRelu"
            | "QLinearReduceMean"
            | "QLinearSoftmax" => {
                let inputs = [self.operand(&node, 0, 1)?];
                self.float_twin(float_name(&node), &node, &inputs, 3, &out)
            }
            "QLinearConcat" => {
                let parts = (2..node.input.len()).step_by(3);
                let inputs = parts
                    .map(|i| self.operand(&node, i, 1))
                    .collect::<Result<Vec<_>, _>>()?;
                self.float_twin("Concat", &node, &inputs, 0, &out)
            }
            op if op.starts_with("QLinear") => Err("Eyelet does not know this operator".into()),
            _ => self.other(node),
        }
    }

    /// DequantizeLinear by the scale of a DynamicQuantizeLinear, as tf2onnx writes a TFLite file of dynamic range.
    fn by_computed(&mut self, node: &NodeProto, out: &str) -> Result<(), String> {
        let at = |i: usize| node.input.get(i).map_or("", String::as_str);
        let rounded = |i: usize| self.reals.contains_key(at(i));
        if rounded(0) || rounded(2) || int(node, "block_size", 0) != 0 {
            return Err("has a computed scale for integers of another quantisation".into());
        }
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let float = || vec![of_int("to", DataType::Float as i64)];
        let mut steps = part("integers");
        self.push("Cast", &[at(0)], &steps, float());
        if !at(2).is_empty() {
            let (zero, moved) = (part("zero"), part("steps"));
            self.push("Cast", &[at(2)], &zero, float());
            self.push("Sub", &[&steps, &zero], &moved, vec![]);
            steps = moved;
        }
        self.push("Mul", &[&steps, at(1)], out, vec![]);
        Ok(())
    }

    fn conv(&mut self, node: &NodeProto, out: &str) -> Result<(), String> {
        let mut inputs = vec![self.operand(node, 0, 1)?, self.operand(node, 3, 0)?];
        inputs.extend(self.bias(node, 8, out)?);
        self.float_twin("Conv", node, &inputs, 6, out)
    }

    fn gemm(&mut self, node: &NodeProto, out: &str) -> Result<(), String> {
        if float(node, "alpha", 1.0) != 1.0 {
            return Err("has an alpha that is not 1, which Eyelet does not support".into());
        }
        let per_column = i64::from(int(node, "transB", 0) == 0);
        let x = self.operand(node, 0, 1)?;
        let mut inputs = vec![x, self.operand(node, 3, per_column)?];
        inputs.extend(self.bias(node, 6, out)?);
        self.float_twin("Gemm", node, &inputs, 7, out)
    }

    /// A non-quantisation operator; it may move quantised values, but not compute with them.
    fn other(&mut self, node: NodeProto) -> Result<(), String> {
        if node.op_type == ISLAND {
            // An island reads and writes real numbers.
            for output in &node.output {
                if let Some(q) = self.known.get(output) {
                    self.reals.insert(output.clone(), q.clone());
                }
            }
            self.nodes.push(node);
            return Ok(());
        }
        // A shape is the same for integers and for the numbers that they stand for.
        let inputs = if node.op_type == "Shape" {
            [].iter()
        } else {
            node.input.iter()
        };
        let captured = &reads(&node)[node.input.iter().filter(|i| !i.is_empty()).count()..];
        if let Some(read) = captured.iter().find(|i| self.reals.contains_key(**i)) {
            return Err(format!(
                "a graph inside of it reads the quantised integers '{read}'"
            ));
        }
        let quantised: Vec<_> = inputs.filter_map(|i| self.reals.get(i)).cloned().collect();
        if quantised.iter().any(|q| !q.is_whole()) {
            return Err("moves weights that have a scale for each slice".into());
        }
        let by_value = matches!(text(&node, "mode"), "" | "constant");
        if let ("Pad", true, [q]) = (node.op_type.as_str(), by_value, &quantised[..]) {
            let q = q.clone();
            return self.pad(node, q);
        }
        if let Some(first) = quantised.first() {
            if node.op_type != "Pad" && !KEEP_TYPE.contains(&node.op_type.as_str()) {
                return Err(
                    "computes with quantised integers in a way that Eyelet does not support".into(),
                );
            }
            if quantised.iter().any(|q| q != first) {
                return Err(
                    "joins values of different scales; export with QLinearConcat or in QDQ form"
                        .into(),
                );
            }
            for output in &node.output {
                self.reals.insert(output.clone(), first.clone());
            }
        }
        self.nodes.push(node);
        Ok(())
    }

    /// QLinearReduceMean has its axes as an attribute; ReduceMean of opset 18 and up as an input.
    fn mean(&mut self, node: &NodeProto, out: &str) -> Result<(), String> {
        let mut inputs = vec![self.operand(node, 0, 1)?];
        let mut node = node.clone();
        if let Some(at) = node.attribute.iter().position(|a| a.name == "axes") {
            let axes = node.attribute.remove(at).ints;
            let name = format!("eyelet/{out}.axes");
            self.new_constants
                .push(int64_tensor(&name, &[axes.len()], axes));
            inputs.push(name);
        }
        self.float_twin("ReduceMean", &node, &inputs, 3, out)
    }

    /// A Pad of quantised integers; its integer padding value becomes the real number that it stands for.
    fn pad(&mut self, mut node: NodeProto, q: Quantisation) -> Result<(), String> {
        let value = match node.input.get(2).map_or("", String::as_str) {
            "" => 0.0,
            name => *values_f32(self.constant(name)?)?
                .first()
                .ok_or("pads with an empty value")?,
        };
        let out = node.output.first().cloned().unwrap_or_default();
        let real = (value - q.zero_point(0)) * q.scale(0);
        if !node.input.is_empty() {
            let name = format!("eyelet/{out}.value");
            self.new_constants
                .push(float_tensor(&name, &[], vec![real]));
            node.input.resize(node.input.len().max(3), String::new());
            node.input[2] = name;
        }
        self.reals.insert(out, q);
        self.nodes.push(node);
        Ok(())
    }
}
