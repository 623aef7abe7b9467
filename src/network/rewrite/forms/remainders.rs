//! Mod, by remainders with the dividend's sign: those are what tract computes right.

use super::{Forms, input, output};
use crate::network::onnx::attributes::of_int;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

const UNSIGNED: [DataType; 4] = [
    DataType::Uint8,
    DataType::Uint16,
    DataType::Uint32,
    DataType::Uint64,
];

impl Forms<'_> {
    /// tract mistakes a constant dividend for the divisor: it becomes a computed one.
    pub(super) fn computed_dividend(&mut self, node: &mut NodeProto) {
        if self.weight(input(node, 0)).is_none() {
            return;
        }
        let (a, b, out) = (input(node, 0), input(node, 1), output(node));
        let (zero, dividend) = (
            format!("eyelet/{out}.none"),
            format!("eyelet/{out}.dividend"),
        );
        self.push(node, "Sub", &[b, b], &zero, vec![]);
        self.push(node, "Add", &[a, &zero], &dividend, vec![]);
        node.input[0] = dividend;
    }

    /// The remainder with the divisor's sign: where the signs differ, the divisor is added. Their sum lies between both, so that it
    /// fits in any type.
    pub(super) fn modulo(&mut self, mut node: NodeProto) {
        let truncated = || vec![of_int("fmod", 1)];
        let divisor = self.kind(input(&node, 1));
        if divisor.is_some_and(|kind| UNSIGNED.contains(&kind)) {
            node.attribute = truncated();
            self.nodes.push(node);
            return;
        }
        let (a, b, out) = (input(&node, 0), input(&node, 1), output(&node));
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let (first, zero) = (part("first"), part("zero"));
        self.push(&node, "Mod", &[a, b], &first, truncated());
        for (op, ins, result) in [
            ("Sub", vec![b, b], part("zero")),
            ("Less", vec![&first, &zero], part("first_below")),
            ("Less", vec![&zero, &first], part("first_above")),
            ("Less", vec![b, &zero], part("below")),
            ("Where", vec![&part("first_above"), b, &zero], part("down")),
            ("Where", vec![&part("first_below"), b, &zero], part("up")),
            (
                "Where",
                vec![&part("below"), &part("down"), &part("up")],
                part("added"),
            ),
            ("Add", vec![&first, &part("added")], out.to_owned()),
        ] {
            self.push(&node, op, &ins, &result, vec![]);
        }
    }
}
