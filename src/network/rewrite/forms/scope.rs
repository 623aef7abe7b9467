//! What is known of the values of a graph: its own, and those of the graphs around it that it can read.

use super::{Forms, integers};
use crate::network::onnx::budget::MAX_LIST;
use crate::network::onnx::holds_at_most;
use std::collections::HashSet;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, TensorProto};

/// The names of a graph's own values: they hide those around it.
pub(super) fn defined(graph: &GraphProto) -> HashSet<String> {
    let inputs = graph.input.iter().map(|i| &i.name);
    let weights = graph.initializer.iter().map(|t| &t.name);
    let results = graph.node.iter().flat_map(|n| &n.output);
    inputs.chain(weights).chain(results).cloned().collect()
}

impl<'a> Forms<'a> {
    /// What the innermost graph that has a value of this name knows `of` it.
    fn known<T>(&self, name: &str, of: impl Fn(&Self) -> Option<T>) -> Option<T> {
        let mut scope = self;
        loop {
            let found = of(scope);
            if found.is_some() || scope.defined.contains(name) {
                return found;
            }
            scope = scope.around?;
        }
    }

    /// A constant of the file.
    pub(super) fn weight(&self, name: &str) -> Option<&'a TensorProto> {
        self.known(name, |scope| scope.weights.get(name).copied())
    }

    /// The integers of a short constant of the file.
    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        let tensor = self.weight(name)?;
        if !holds_at_most(tensor, MAX_LIST) {
            return None;
        }
        Some(integers::whole_numbers(tensor)?.1)
    }

    /// The integer type of a value.
    pub(super) fn kind(&self, name: &str) -> Option<DataType> {
        self.known(name, |scope| scope.types.get(name).copied())
    }

    /// The number of axes of a value.
    pub(super) fn rank(&self, name: &str) -> Option<usize> {
        self.known(name, |scope| {
            let own = scope.weights.get(name).map(|t| t.dims.len());
            own.or_else(|| scope.ranks.get(name).copied())
        })
    }

    /// Whether a value depends on constants alone.
    pub(super) fn is_fixed(&self, name: &str) -> bool {
        let fixed = self.known(name, |scope| {
            let own = scope.weights.contains_key(name) || scope.fixed.contains(name);
            own.then_some(())
        });
        fixed.is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::rewrite;
    use super::*;
    use crate::network::onnx::{test_model, test_node, typed_tensor, value_info};
    use tract_onnx::pb::{AttributeProto, NodeProto};

    /// What becomes of this graph inside of another one, which says that nothing is in training.
    fn inside(graph: GraphProto) -> Result<Vec<NodeProto>, String> {
        let mut node = test_node("Scan", &["x"], &["y"], &[]);
        node.attribute.push(AttributeProto {
            name: "body".to_owned(),
            g: Some(graph),
            ..AttributeProto::default()
        });
        let around = GraphProto {
            node: vec![node],
            initializer: vec![typed_tensor("training", &[], DataType::Bool, vec![0])],
            ..GraphProto::default()
        };
        let mut model = test_model(around, 17);
        rewrite(&mut model)?;
        let around = model.graph.unwrap();
        Ok(around.node[0].attribute[0].g.clone().unwrap().node)
    }

    #[test]
    fn a_graph_inside_of_another_knows_its_constants() {
        let dropout = || GraphProto {
            node: vec![test_node("Dropout", &["a", "", "training"], &["b"], &[])],
            ..GraphProto::default()
        };
        assert_eq!(inside(dropout()).unwrap()[0].input, ["a"]);
        // Its own names hide those around it.
        let own = typed_tensor("training", &[], DataType::Bool, vec![1]);
        let hidden = [
            GraphProto {
                input: vec![value_info("training", 9, &[])],
                ..dropout()
            },
            GraphProto {
                initializer: vec![own],
                ..dropout()
            },
            GraphProto {
                node: [
                    vec![test_node("Not", &["c"], &["training"], &[])],
                    dropout().node,
                ]
                .concat(),
                ..GraphProto::default()
            },
        ];
        for graph in hidden {
            let why = inside(graph).unwrap_err();
            assert!(why.contains("drops values at random"), "{why}");
        }
    }
}
