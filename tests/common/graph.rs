//! Small ONNX models, made in tests: nodes behind each other over a picture `x` of 1x3x32x32 floats, with scores `out`.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

/// A model that grows node by node.
#[derive(Clone)]
pub struct Net {
    pub graph: GraphProto,
    pub functions: Vec<FunctionProto>,
    opset: i64,
}

impl Net {
    /// Without nodes yet; its scores are 1x10.
    pub fn new() -> Self {
        Self::of_side(32).scores(10)
    }

    /// The same for square pictures of so many pixels a side.
    pub fn of_side(side: i64) -> Self {
        let graph = GraphProto {
            name: "g".to_owned(),
            input: vec![value("x", &[1, 3, side, side])],
            ..GraphProto::default()
        };
        let net = Self {
            graph,
            functions: Vec::new(),
            opset: 17,
        };
        net.scores(10)
    }

    /// Another version of the standard operators.
    pub fn opset(mut self, version: i64) -> Self {
        self.opset = version;
        self
    }

    /// What the file says of its scores.
    pub fn scores(mut self, count: i64) -> Self {
        self.graph.output = vec![value("out", &[1, count])];
        self
    }

    /// One more node.
    pub fn node(
        self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[AttributeProto],
    ) -> Self {
        self.own_node("", op, inputs, output, attributes)
    }

    /// One more node of another domain.
    pub fn own_node(
        mut self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[AttributeProto],
    ) -> Self {
        self.graph
            .node
            .push(node(domain, op, inputs, output, attributes));
        self
    }

    /// Float weights, small and different.
    pub fn weights(self, name: &str, dims: &[i64]) -> Self {
        let count: i64 = dims.iter().product();
        let values = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 200.0);
        let raw = values.flat_map(f32::to_le_bytes).collect();
        self.tensor(name, dims, DataType::Float, raw)
    }

    /// One float.
    pub fn float(self, name: &str, dims: &[i64], value: f32) -> Self {
        self.tensor(name, dims, DataType::Float, value.to_le_bytes().to_vec())
    }

    /// A list of whole numbers.
    pub fn list(self, name: &str, values: &[i64]) -> Self {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, &[values.len() as i64], DataType::Int64, raw)
    }

    /// A constant.
    pub fn tensor(mut self, name: &str, dims: &[i64], kind: DataType, raw_data: Vec<u8>) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: kind as i32,
            raw_data,
            ..TensorProto::default()
        });
        self
    }

    /// Ten scores of the average of each of `channels` channels of `from`.
    pub fn head(self, from: &str, channels: i64) -> Self {
        self.node("GlobalAveragePool", &[from], "pooled", &[])
            .node("Flatten", &["pooled"], "flat", &[])
            .node("Gemm", &["flat", "fc"], "out", &[])
            .weights("fc", &[channels, 10])
    }

    /// A classifier of ten classes with this operator behind its scores.
    pub fn ending_in(operator: &str) -> Self {
        Self::new()
            .stem()
            .node("GlobalAveragePool", &["c"], "pooled", &[])
            .node("Flatten", &["pooled"], "flat", &[])
            .node("Gemm", &["flat", "fc"], "logits", &[])
            .weights("fc", &[8, 10])
            .node(operator, &["logits"], "out", &[])
    }

    /// A convolution of the picture to eight channels, `c`.
    pub fn stem(self) -> Self {
        self.node("Conv", &["x", "w"], "c", &[])
            .weights("w", &[8, 3, 3, 3])
    }

    /// The whole model.
    pub fn model(self) -> ModelProto {
        let version = |domain: &str, version| OperatorSetIdProto {
            domain: domain.to_owned(),
            version,
        };
        ModelProto {
            ir_version: 9,
            graph: Some(self.graph),
            opset_import: vec![version("", self.opset), version("own", 1)],
            functions: self.functions,
            ..ModelProto::default()
        }
    }

    /// The file.
    pub fn bytes(self) -> Vec<u8> {
        self.model().encode_to_vec()
    }
}

/// A node, named as its result.
pub fn node(
    domain: &str,
    op: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[AttributeProto],
) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        name: format!("the {output}"),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.to_owned()],
        attribute: attributes.to_vec(),
        ..NodeProto::default()
    }
}

/// What a graph says of a float value.
pub fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&size| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
        ..Default::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// An attribute of whole numbers.
pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..AttributeProto::default()
    }
}

/// An attribute of one whole number.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i,
        ..AttributeProto::default()
    }
}

/// An attribute of text.
pub fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String as i32,
        s: s.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}
