//! Attention (opset 23), which exporters write for vision networks: replaced by the products and the softmax that define it. Its
//! features for language models (a cache, causal masks, grouped heads) are refused.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{float, int, of_int, of_ints};
use crate::network::onnx::int64_tensor;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

/// The attributes that are followed, or whose values do not matter here. A later opset may add others.
const KNOWN: [&str; 9] = [
    "is_causal",
    "kv_num_heads",
    "left_window_size",
    "q_num_heads",
    "qk_matmul_output_mode",
    "right_window_size",
    "scale",
    "softcap",
    "softmax_precision",
];

/// Why a node is refused, if it is.
fn unusual(node: &NodeProto) -> Option<&'static str> {
    let windows = ["left_window_size", "right_window_size"];
    let heads = (int(node, "q_num_heads", 0), int(node, "kv_num_heads", 0));
    let has_more_inputs = (4..node.input.len()).any(|at| !input(node, at).is_empty());
    match () {
        () if int(node, "is_causal", 0) != 0 => Some("has a causal mask"),
        () if windows.iter().any(|name| int(node, name, -1) != -1) => {
            Some("attends to a window of its sequence")
        }
        () if float(node, "softcap", 0.0) != 0.0 => Some("caps its scores (softcap)"),
        () if heads.0 != heads.1 => Some("has other heads for keys than for queries"),
        () if has_more_inputs => Some("has a cache of keys and values"),
        () => None,
    }
}

impl Forms<'_> {
    /// `softmax(Q Kᵀ / sqrt(head) + mask) V`, with Q, K and V as [batch, heads, sequence, head], or of `q_num_heads` heads as
    /// [batch, sequence, heads * head].
    pub(super) fn attention(&mut self, node: &NodeProto) -> Result<(), String> {
        let more = node
            .output
            .iter()
            .skip(1)
            .any(|o| self.read.contains_key(o));
        if let Some(what) =
            unusual(node).or(more.then_some("has results beside the first that are read"))
        {
            return Err(format!(
                "{what}, as language models do; that is not supported"
            ));
        }
        if let Some(other) = node
            .attribute
            .iter()
            .find(|a| !KNOWN.contains(&a.name.as_str()))
        {
            return Err(format!(
                "has the attribute {}, which is not supported: export it in opset 23",
                other.name
            ));
        }
        let out = output(node);
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let heads = self.heads_side_by_side(node)?;
        let [q, k, v] = if let Some(heads) = heads {
            self.split_by_heads(node, heads)
        } else {
            let keys = part("keys");
            let turned = vec![of_ints("perm", &[0, 1, 3, 2])];
            self.push(node, "Transpose", &[input(node, 1)], &keys, turned);
            [input(node, 0).to_owned(), keys, input(node, 2).to_owned()]
        };
        let k = self.scaled(node, &q, k);
        let mut scores = part("scores");
        self.push(node, "MatMul", &[&q, &k], &scores, vec![]);
        if let Some(mask) = self.mask(node)? {
            let masked = part("masked");
            self.push(node, "Add", &[&scores, &mask], &masked, vec![]);
            scores = masked;
        }
        self.push(
            node,
            "Softmax",
            &[&scores],
            &part("weights"),
            vec![of_int("axis", -1)],
        );
        let mixed = [&part("weights")[..], &v];
        if heads.is_some() {
            self.push(node, "MatMul", &mixed, &part("mixed"), vec![]);
            self.join_heads(node, &part("mixed"));
        } else {
            self.push(node, "MatMul", &mixed, out, vec![]);
        }
        Ok(())
    }

    /// The number of heads that lie side by side in three axes. In four axes the second one counts the heads, whatever
    /// `q_num_heads` says.
    fn heads_side_by_side(&self, node: &NodeProto) -> Result<Option<i64>, String> {
        let stated = int(node, "q_num_heads", 0);
        match self.rank(input(node, 0)) {
            Some(4) => Ok(None),
            Some(3) if stated < 1 => Err(
                "has three axes and no q_num_heads: its file is damaged, export it again".into(),
            ),
            None if stated < 1 => Ok(None),
            Some(3) | None => Ok(Some(stated)),
            Some(rank) => Err(format!(
                "has queries of {rank} axes, where it needs 3 or 4: its file is damaged, export it again"
            )),
        }
    }

    /// Queries, keys (transposed for the product with them) and values head by head.
    fn split_by_heads(&mut self, node: &NodeProto, heads: i64) -> [String; 3] {
        let out = output(node);
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let split = self.constant(int64_tensor(&part("split"), &[4], vec![0, 0, heads, -1]));
        let inputs = [
            ("q", "queries", [0, 2, 1, 3]),
            ("k", "keys", [0, 2, 3, 1]),
            ("v", "values", [0, 2, 1, 3]),
        ];
        for (at, (split_up, _, _)) in inputs.iter().enumerate() {
            let mut from = input(node, at).to_owned();
            if self.rank(&from) != Some(3) {
                // Whoever plans this refuses a tensor of four axes, which the Reshape would mix up.
                let three = part(&format!("{split_up}3"));
                let same = vec![of_ints("perm", &[0, 1, 2])];
                self.push(node, "Transpose", &[&from], &three, same);
                from = three;
            }
            self.push(node, "Reshape", &[&from, &split], &part(split_up), vec![]);
        }
        for (split_up, name, order) in [inputs[0], inputs[2], inputs[1]] {
            let order = vec![of_ints("perm", &order)];
            self.push(node, "Transpose", &[&part(split_up)], &part(name), order);
        }
        inputs.map(|(_, name, _)| part(name))
    }

    /// Concatenates the heads, which is the node's result.
    fn join_heads(&mut self, node: &NodeProto, mixed: &str) {
        let out = output(node);
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let join = self.constant(int64_tensor(&part("join"), &[3], vec![0, 0, -1]));
        let by_place = vec![of_ints("perm", &[0, 2, 1, 3])];
        self.push(node, "Transpose", &[mixed], &part("places"), by_place);
        self.push(node, "Reshape", &[&part("places"), &join], out, vec![]);
    }

    /// The keys times `scale`, which defaults to 1 / sqrt(head).
    fn scaled(&mut self, node: &NodeProto, queries: &str, keys: String) -> String {
        let out = output(node);
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let scaled = part("scaled");
        let stated = float(node, "scale", 0.0);
        if stated != 0.0 {
            let scale = self.float(&part("scale"), &[], vec![stated]);
            self.push(node, "Mul", &[&keys, &scale], &scaled, vec![]);
            return scaled;
        }
        let last = self.constant(int64_tensor(&part("last"), &[], vec![3]));
        self.push(node, "Shape", &[queries], &part("shape"), vec![]);
        self.push(
            node,
            "Gather",
            &[&part("shape"), &last],
            &part("head"),
            vec![of_int("axis", 0)],
        );
        let to_float = vec![of_int("to", DataType::Float as i64)];
        self.push(node, "Cast", &[&part("head")], &part("size"), to_float);
        self.push(node, "Sqrt", &[&part("size")], &part("root"), vec![]);
        self.push(node, "Div", &[&keys, &part("root")], &scaled, vec![]);
        scaled
    }

    /// The addend of the scores: a boolean mask keeps (0) or drops (the lowest number) each.
    fn mask(&mut self, node: &NodeProto) -> Result<Option<String>, String> {
        let mask = input(node, 3);
        if mask.is_empty() {
            return Ok(None);
        }
        let stated = self.weight(mask);
        // From opset 24 on, what a mask is too short for is masked out; a sum would repeat a mask of one place.
        if self.opset >= 24 && stated.is_some_and(|t| t.dims.last() == Some(&1)) {
            return Err(format!(
                "has a mask '{mask}' for one key, which is not supported: export it with a mask for all keys"
            ));
        }
        let Some(truth) = stated.filter(|t| t.data_type == DataType::Bool as i32) else {
            return Ok(Some(mask.to_owned()));
        };
        if drops_a_row(truth) {
            return Err(format!(
                "has a mask '{mask}' that masks out a whole row, which leaves its softmax undefined: keep at least one place per row"
            ));
        }
        let out = output(node);
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let keep = self.float(&part("keep"), &[], vec![0.0]);
        let drop = self.float(&part("drop"), &[], vec![f32::MIN]);
        self.push(node, "Where", &[mask, &keep, &drop], &part("mask"), vec![]);
        Ok(Some(part("mask")))
    }
}

/// Whether a boolean mask keeps nothing of a row.
fn drops_a_row(mask: &TensorProto) -> bool {
    let row = mask.dims.last().map_or(1, |&d| d.max(1) as usize);
    if mask.raw_data.is_empty() {
        let mut rows = mask.int32_data.chunks(row);
        return rows.any(|row| row.iter().all(|&kept| kept == 0));
    }
    let mut rows = mask.raw_data.chunks(row);
    rows.any(|row| row.iter().all(|&kept| kept == 0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::rewrite;
    use super::*;
    use crate::network::onnx::{float_tensor, test_model, test_node, typed_tensor, value_info};
    use tract_onnx::pb::{AttributeProto, GraphProto};

    /// An Attention with a mask of two rows.
    fn rewritten(mask: [u8; 4], attributes: &[AttributeProto]) -> Result<(), String> {
        let inputs = ["q", "k", "v", "mask"];
        let graph = GraphProto {
            node: vec![test_node("Attention", &inputs, &["y"], attributes)],
            initializer: vec![typed_tensor("mask", &[2, 2], DataType::Bool, mask.to_vec())],
            ..GraphProto::default()
        };
        rewrite(&mut test_model(graph, 25))
    }

    #[test]
    fn attributes_that_are_not_followed_are_refused() {
        let mask = [1, 0, 1, 1];
        for (name, is_default) in [("left_window_size", -1), ("is_causal", 0), ("scale", 0)] {
            rewritten(mask, &[of_int(name, is_default)]).unwrap();
        }
        for (name, says) in [
            ("left_window_size", "a window"),
            ("right_window_size", "a window"),
            ("later", "the attribute later"),
        ] {
            let why = rewritten(mask, &[of_int(name, 1)]).unwrap_err();
            assert!(why.contains("the node 'y' (Attention)"), "{why}");
            assert!(why.contains(says), "{why}");
        }
    }

    /// The operators of an Attention with `q_num_heads` whose inputs have this shape, if it is known.
    fn by_heads(shape: Option<&[i64]>, heads: i64) -> Result<Vec<String>, String> {
        let attributes = [of_int("q_num_heads", heads), of_int("kv_num_heads", heads)];
        let graph = GraphProto {
            node: vec![test_node(
                "Attention",
                &["x", "x", "x"],
                &["y"],
                &attributes,
            )],
            input: shape.iter().map(|s| value_info("x", 1, s)).collect(),
            ..GraphProto::default()
        };
        let mut model = test_model(graph, 23);
        rewrite(&mut model)?;
        let nodes = model.graph.unwrap().node.into_iter();
        Ok(nodes.map(|n| n.op_type).collect())
    }

    #[test]
    fn four_axes_have_their_heads_apart_whatever_the_attribute_says() {
        let reshapes = |shape: Option<&[i64]>, heads| {
            let made = by_heads(shape, heads).unwrap();
            made.iter().filter(|op| *op == "Reshape").count()
        };
        assert_eq!(reshapes(Some(&[1, 2, 12, 8]), 2), 0);
        assert_eq!(reshapes(Some(&[1, 12, 16]), 2), 4);
        assert_eq!(reshapes(None, 2), 4);
        let without_a_check = by_heads(Some(&[1, 12, 16]), 2).unwrap().len();
        // Whoever knows the axes refuses four of them.
        assert_eq!(by_heads(None, 2).unwrap().len(), without_a_check + 3);
        for (shape, heads, says) in [
            (&[1, 12, 16][..], 0, "three axes and no q_num_heads"),
            (&[12, 16], 2, "queries of 2 axes"),
        ] {
            let why = by_heads(Some(shape), heads).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn a_mask_for_one_key_is_not_repeated() {
        let masked = |opset| {
            let graph = GraphProto {
                node: vec![test_node(
                    "Attention",
                    &["x", "x", "x", "mask"],
                    &["y"],
                    &[],
                )],
                initializer: vec![float_tensor("mask", &[2, 1], vec![0.0; 2])],
                ..GraphProto::default()
            };
            rewrite(&mut test_model(graph, opset))
        };
        masked(23).unwrap();
        let why = masked(24).unwrap_err();
        assert!(why.contains("a mask 'mask' for one key"), "{why}");
    }

    #[test]
    fn a_mask_keeps_something_of_each_row() {
        rewritten([0, 1, 1, 0], &[]).unwrap();
        let why = rewritten([1, 1, 0, 0], &[]).unwrap_err();
        assert!(
            why.contains("a mask 'mask' that masks out a whole row"),
            "{why}"
        );
    }
}
