//! RNN, GRU and LSTM that run from the end of their sequence: tract ignores their direction. The sequence is reversed before such a
//! layer, and its result after it.

use super::{Forms, output};
use crate::network::onnx::attributes::{int, text};
use crate::network::onnx::{int64_tensor, name_of};
use tract_onnx::pb::NodeProto;

impl Forms<'_> {
    /// Whether a layer runs backwards in a form that can be rewritten: a Slice with steps needs opset 10.
    pub(super) fn is_backwards(&self, node: &NodeProto) -> bool {
        let by_time = int(node, "layout", 0) == 0;
        self.opset >= 10 && by_time && text(node, "direction") == "reverse"
    }

    pub(super) fn backwards(&mut self, mut node: NodeProto) {
        let named = node.output.iter().find(|o| !o.is_empty());
        let (Some(x), Some(named)) = (node.input.first().cloned(), named.cloned()) else {
            return;
        };
        let part = |what: &str| format!("eyelet/{named}.{what}");
        let starts = self.constant(int64_tensor(&part("last"), &[1], vec![-1]));
        let ends = self.constant(int64_tensor(&part("first"), &[1], vec![-i64::MAX]));
        let time = self.constant(int64_tensor(&part("time"), &[1], vec![0]));
        let reversed = [&x[..], &starts, &ends, &time, &starts];
        self.push(&node, "Slice", &reversed, &part("reversed"), vec![]);
        // A refusal of it names what the file has.
        node.name = name_of(&node).to_owned();
        node.input[0] = part("reversed");
        node.attribute.retain(|a| a.name != "direction");
        // Only `Y` has all steps; the other results are of the last step, which is now the first place in time.
        let out = output(&node).to_owned();
        if out.is_empty() {
            return self.nodes.push(node);
        }
        node.output[0] = part("results");
        self.nodes.push(node.clone());
        let results = [&part("results")[..], &starts, &ends, &time, &starts];
        self.push(&node, "Slice", &results, &out, vec![]);
    }
}
