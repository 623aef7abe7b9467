//! LogSoftmax and ReduceLogSumExp: tract takes the logarithm of a Softmax, which is 0 for all but the largest of distant scores,
//! and of a sum that is infinite from values of 89 on. Both are computed from the distance to the maximum.

use super::{Forms, input, output};
use crate::network::onnx::attributes::{int, ints, normalised_index, of_int};
use tract_onnx::pb::NodeProto;

impl Forms<'_> {
    /// `LogSoftmax(x) = d - ln(sum(exp(d)))` with `d = x - max(x)`. Before opset 13 it is over all axes from its own on: where their
    /// number is not known, over the rows of a Flatten.
    pub(super) fn log_softmax(&mut self, node: &NodeProto) {
        let by_one = self.opset >= 13;
        let axis = int(node, "axis", if by_one { -1 } else { 1 });
        let (x, out) = (input(node, 0), output(node));
        if by_one || axis == -1 {
            return self.log_softmax_over(node, x, &[axis], out);
        }
        let rank = self.rank(x);
        if let Some(rank) = rank
            && let Some(first) = normalised_index(axis, rank).filter(|&a| a < rank)
        {
            let axes: Vec<i64> = (first..rank).map(|a| a as i64).collect();
            return self.log_softmax_over(node, x, &axes, out);
        }
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let rows = vec![of_int("axis", axis)];
        self.push(node, "Flatten", &[x], &part("rows"), rows);
        self.log_softmax_over(node, &part("rows"), &[1], &part("scores"));
        self.push(node, "Shape", &[x], &part("shape"), vec![]);
        let ins = [part("scores"), part("shape")];
        self.push(node, "Reshape", &[&ins[0], &ins[1]], out, vec![]);
    }

    fn log_softmax_over(&mut self, node: &NodeProto, x: &str, axes: &[i64], out: &str) {
        let part = |what: &str| format!("eyelet/{out}.{what}");
        self.reduce(node, "ReduceMax", x, axes, &part("max"));
        self.push(node, "Sub", &[x, &part("max")], &part("below"), vec![]);
        self.push(node, "Exp", &[&part("below")], &part("exp"), vec![]);
        self.reduce(node, "ReduceSum", &part("exp"), axes, &part("sum"));
        self.push(node, "Log", &[&part("sum")], &part("log"), vec![]);
        self.push(node, "Sub", &[&part("below"), &part("log")], out, vec![]);
    }

    /// `max(x) + ln(sum(exp(x - max(x))))`. Returns whether the node was replaced: not if its axes are computed.
    pub(super) fn log_sum_exp(&mut self, node: &NodeProto) -> bool {
        let axes = match (input(node, 1), ints(node, "axes")) {
            ("", axes) => axes,
            (name, _) => match self.ints(name) {
                Some(axes) => Some(axes),
                None => return false,
            },
        };
        // Without axes it is over all of them, or over none.
        if axes.is_none() && int(node, "noop_with_empty_axes", 0) != 0 {
            return false;
        }
        let (x, out) = (input(node, 0), output(node));
        let part = |what: &str| format!("eyelet/{out}.{what}");
        let axes = axes.as_deref();
        self.reduce_to(node, "ReduceMax", x, axes, 1, &part("max"));
        self.push(node, "Sub", &[x, &part("max")], &part("below"), vec![]);
        self.push(node, "Exp", &[&part("below")], &part("exp"), vec![]);
        self.reduce_to(node, "ReduceSum", &part("exp"), axes, 1, &part("sum"));
        self.push(node, "Log", &[&part("sum")], &part("log"), vec![]);
        let ins = [part("max"), part("log")];
        if int(node, "keepdims", 1) != 0 {
            self.push(node, "Add", &[&ins[0], &ins[1]], out, vec![]);
        } else {
            self.push(node, "Add", &[&ins[0], &ins[1]], &part("whole"), vec![]);
            self.reduce_to(node, "ReduceMax", &part("whole"), axes, 0, out);
        }
        true
    }
}
