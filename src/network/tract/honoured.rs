//! The attributes that tract 0.23.9 honours. It silently drops any that it does not read, and so computes another operator's
//! result: attributes that are not in these tables, and the forms that it misreads, are refused by name.

use crate::network::onnx::attributes::{int, text};
use crate::network::onnx::name_of;
use crate::network::rewrite::{ISLAND, STEP};
use tract_onnx::pb::{AttributeProto, NodeProto};

const WINDOW: [&str; 6] = [
    "auto_pad",
    "dilations",
    "group",
    "kernel_shape",
    "pads",
    "strides",
];

/// The attributes that tract reads, operator by operator; those that are missing here have none.
const HONOURED: &[(&str, &[&str])] = &[
    (ISLAND, &["segment"]),
    (STEP, &["scale", "low", "high"]),
    ("ArgMax", &["axis", "keepdims", "select_last_index"]),
    ("ArgMin", &["axis", "keepdims", "select_last_index"]),
    (
        "AveragePool",
        &[
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "strides",
        ],
    ),
    ("BatchNormalization", &["epsilon", "spatial"]),
    ("BitShift", &["direction"]),
    ("BlackmanWindow", &["output_datatype", "periodic"]),
    ("Cast", &["to"]),
    (
        "CategoryMapper",
        &[
            "cats_int64s",
            "cats_strings",
            "default_int64",
            "default_string",
        ],
    ),
    ("Celu", &["alpha"]),
    ("Clip", &["max", "min"]),
    ("Compress", &["axis"]),
    ("Concat", &["axis"]),
    (
        "Constant",
        &[
            "value",
            "value_float",
            "value_floats",
            "value_int",
            "value_ints",
            "value_string",
            "value_strings",
        ],
    ),
    ("ConstantLike", &["dtype", "shape", "value"]),
    ("ConstantOfShape", &["value"]),
    ("Conv", &WINDOW),
    ("ConvInteger", &WINDOW),
    (
        "ConvTranspose",
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "output_padding",
            "output_shape",
            "pads",
            "strides",
        ],
    ),
    ("CumSum", &["exclusive", "reverse"]),
    ("DFT", &["axis", "inverse", "onesided"]),
    ("DepthToSpace", &["blocksize", "mode"]),
    ("DequantizeLinear", &["axis", "block_size"]),
    ("Einsum", &["equation"]),
    ("Elu", &["alpha"]),
    ("EyeLike", &["dtype", "k"]),
    ("Flatten", &["axis"]),
    ("GRU", &["layout", "linear_before_reset"]),
    ("Gather", &["axis"]),
    (
        "GatherBlockQuantized",
        &["bits", "block_size", "gather_axis", "quantize_axis"],
    ),
    ("GatherElements", &["axis"]),
    ("GatherND", &["batch_dims"]),
    ("Gelu", &["approximate"]),
    ("Gemm", &["alpha", "beta", "transA", "transB"]),
    ("GlobalLpPool", &["p"]),
    ("GridSample", &["align_corners", "mode", "padding_mode"]),
    ("GroupNormalization", &["epsilon", "num_groups"]),
    ("HammingWindow", &["output_datatype", "periodic"]),
    ("HannWindow", &["output_datatype", "periodic"]),
    ("HardSigmoid", &["alpha", "beta"]),
    ("Hardmax", &["axis"]),
    ("If", &["else_branch", "then_branch"]),
    ("InstanceNormalization", &["epsilon"]),
    ("IsInf", &["detect_negative", "detect_positive"]),
    ("LRN", &["alpha", "beta", "bias", "size"]),
    ("LSTM", &["layout"]),
    ("LayerNormalization", &["axis", "epsilon"]),
    ("LeakyRelu", &["alpha"]),
    (
        "LinearClassifier",
        &[
            "classlabels_ints",
            "classlabels_strings",
            "coefficients",
            "intercepts",
            "multi_class",
            "post_transform",
        ],
    ),
    (
        "LinearRegressor",
        &["coefficients", "intercepts", "post_transform", "targets"],
    ),
    ("LogSoftmax", &["axis"]),
    ("LpNormalization", &["axis", "p"]),
    ("MatMulNBits", &["K", "N", "bits", "block_size"]),
    (
        "MaxPool",
        &[
            "auto_pad",
            "ceil_mode",
            "dilations",
            "kernel_shape",
            "pads",
            "storage_order",
            "strides",
        ],
    ),
    ("MeanVarianceNormalization", &["axes"]),
    ("MelWeightMatrix", &["output_datatype"]),
    ("Mod", &["fmod"]),
    ("NonMaxSuppression", &["center_point_box"]),
    ("Normalizer", &["norm"]),
    ("OneHot", &["axis"]),
    ("Pad", &["mode", "pads", "value"]),
    ("ParametricSoftplus", &["alpha", "beta"]),
    ("QLinearConv", &WINDOW),
    ("QuantizeLinear", &["axis", "block_size"]),
    ("QuickGelu", &["alpha"]),
    ("RMSNormalization", &["axis", "epsilon"]),
    ("RNN", &["layout"]),
    // All of them.
    ("Reduce", &["axes", "keepdims", "noop_with_empty_axes"]),
    ("Reshape", &["allowzero"]),
    (
        "Resize",
        &[
            "antialias",
            "axes",
            "coordinate_transformation_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "keep_aspect_ratio_policy",
            "mode",
            "nearest_mode",
        ],
    ),
    (
        "RotaryEmbedding",
        &[
            "interleaved",
            "is_packed_batching",
            "num_heads",
            "rotary_embedding_dim",
            "scale",
        ],
    ),
    ("STFT", &["onesided"]),
    ("ScaledTanh", &["alpha", "beta"]),
    (
        "Scan",
        &[
            "body",
            "num_scan_inputs",
            "scan_input_axes",
            "scan_input_directions",
            "scan_output_axes",
            "scan_output_directions",
        ],
    ),
    ("Scatter", &["axis"]),
    ("ScatterElements", &["axis", "reduction"]),
    ("ScatterND", &["reduction"]),
    ("Selu", &["alpha", "gamma"]),
    ("Shape", &["end", "start"]),
    ("Shrink", &["bias", "lambd"]),
    ("SimplifiedLayerNormalization", &["axis", "epsilon"]),
    ("SkipLayerNormalization", &["epsilon"]),
    ("SkipSimplifiedLayerNormalization", &["epsilon"]),
    ("Slice", &["axes", "ends", "starts"]),
    ("Softmax", &["axis"]),
    ("SpaceToDepth", &["blocksize"]),
    ("Split", &["axis", "split"]),
    ("Squeeze", &["axes"]),
    ("ThresholdedRelu", &["alpha"]),
    ("TopK", &["axis", "largest"]),
    ("Transpose", &["perm"]),
    (
        "TreeEnsembleClassifier",
        &[
            "base_values",
            "class_ids",
            "class_nodeids",
            "class_treeids",
            "class_weights",
            "classlabels_int64s",
            "classlabels_strings",
            "nodes_falsenodeids",
            "nodes_featureids",
            "nodes_missing_value_tracks_true",
            "nodes_modes",
            "nodes_nodeids",
            "nodes_treeids",
            "nodes_truenodeids",
            "nodes_values",
            "post_transform",
        ],
    ),
    ("Trilu", &["upper"]),
    ("Unsqueeze", &["axes"]),
];

/// Attributes of any operator that change nothing: hints, what follows from the weights, what matters only in training or for other
/// types.
const HARMLESS: [&str; 12] = [
    "accuracy_level",
    // Of activations that are refused.
    "activation_alpha",
    "activation_beta",
    // Before opset 7: the rewrite has followed it.
    "broadcast",
    "consumed_inputs",
    "hidden_size",
    "is_test",
    "momentum",
    "nodes_hitrates",
    "num_outputs",
    "ratio",
    "stash_type",
];

/// What else may be stated, because tract computes just that.
enum Same {
    Any,
    Int(&'static [i64]),
    Float(f32),
    Text(&'static [&'static str]),
    /// Each of these activations, which are repeated for the second direction.
    Activations(&'static [&'static str]),
    Zeros,
}

/// Attributes that tract does not read, and their values for which that is right.
const UNREAD: &[(&str, &str, Same)] = &[
    ("Add", "axis", Same::Any),
    ("BatchNormalization", "training_mode", Same::Int(&[0])),
    ("Cast", "round_mode", Same::Any),
    ("Cast", "saturate", Same::Any),
    ("CastLike", "round_mode", Same::Any),
    ("CastLike", "saturate", Same::Any),
    ("DequantizeLinear", "output_dtype", Same::Int(&[0, 1])),
    ("Div", "axis", Same::Any),
    ("Dropout", "seed", Same::Any),
    (
        "GRU",
        "activations",
        Same::Activations(&["sigmoid", "tanh"]),
    ),
    (
        "GRU",
        "direction",
        Same::Text(&["forward", "bidirectional"]),
    ),
    ("GRU", "output_sequence", Same::Any),
    (
        "LSTM",
        "activations",
        Same::Activations(&["sigmoid", "tanh", "tanh"]),
    ),
    (
        "LSTM",
        "direction",
        Same::Text(&["forward", "bidirectional"]),
    ),
    ("LSTM", "input_forget", Same::Int(&[0])),
    ("LSTM", "output_sequence", Same::Any),
    ("Mul", "axis", Same::Any),
    ("Pow", "axis", Same::Any),
    ("QuantizeLinear", "output_dtype", Same::Int(&[0])),
    ("QuantizeLinear", "precision", Same::Int(&[0, 1])),
    ("QuantizeLinear", "saturate", Same::Any),
    ("RNN", "activations", Same::Activations(&["tanh"])),
    (
        "RNN",
        "direction",
        Same::Text(&["forward", "bidirectional"]),
    ),
    ("RNN", "output_sequence", Same::Any),
    ("Scan", "directions", Same::Zeros),
    ("SpaceToDepth", "mode", Same::Text(&["DCR"])),
    ("Sub", "axis", Same::Any),
    ("Swish", "alpha", Same::Float(1.0)),
    ("TopK", "sorted", Same::Int(&[1])),
];

impl Same {
    fn holds(&self, attribute: &AttributeProto) -> bool {
        let own = std::str::from_utf8(&attribute.s).unwrap_or("?");
        match self {
            Self::Any => true,
            Self::Int(values) => values.contains(&attribute.i),
            Self::Float(value) => attribute.f == *value,
            Self::Text(texts) => texts.contains(&own),
            Self::Activations(names) => attribute
                .strings
                .iter()
                .zip(names.iter().cycle())
                .all(|(own, name)| own.eq_ignore_ascii_case(name.as_bytes())),
            Self::Zeros => attribute.ints.iter().all(|&i| i == 0),
        }
    }
}

/// What tract would compute differently in a node, and what to do about it; `None` if nothing.
pub fn not_honoured(node: &NodeProto, opset: i64) -> Option<String> {
    let operator = node.op_type.as_str();
    let (what, instead) = misread(node, opset).or_else(|| {
        let dropped = node.attribute.iter().find(|a| !is_honoured(operator, a))?;
        let what = format!("has {}, which is not supported", stated(dropped));
        Some((what, instead(operator, dropped, opset)))
    })?;
    let name = Some(name_of(node)).filter(|name| !name.is_empty())?;
    Some(format!("the node {name:?} ({operator}) {what}: {instead}"))
}

fn is_honoured(operator: &str, attribute: &AttributeProto) -> bool {
    let row = if operator.starts_with("Reduce") {
        "Reduce"
    } else {
        operator
    };
    let name = attribute.name.as_str();
    let mut honoured = HONOURED.iter();
    let mut unread = UNREAD.iter();
    honoured.any(|(op, names)| *op == row && names.contains(&name))
        || HARMLESS.contains(&name)
        || unread.any(|(op, own, same)| *op == operator && *own == name && same.holds(attribute))
}

/// An attribute as a refusal says it, on one line.
fn stated(attribute: &AttributeProto) -> String {
    const MOST_BYTES: usize = 200;
    let texts = || {
        let texts = attribute.strings.iter().map(|s| String::from_utf8_lossy(s));
        texts.collect::<Vec<_>>().join(", ")
    };
    let name = &attribute.name;
    let mut stated = match () {
        () if !attribute.s.is_empty() => {
            format!("{name} = {:?}", String::from_utf8_lossy(&attribute.s))
        }
        () if !attribute.strings.is_empty() => format!("{name} = {}", texts()),
        () if attribute.f != 0.0 => format!("{name} = {}", attribute.f),
        () if attribute.i != 0 => format!("{name} = {}", attribute.i),
        () if !attribute.ints.is_empty() => format!("{name} = {:?}", attribute.ints),
        () => format!("the attribute {name}"),
    };
    // A file may hold millions of values.
    stated.truncate(stated.floor_char_boundary(MOST_BYTES));
    stated
}

fn instead(operator: &str, attribute: &AttributeProto, opset: i64) -> &'static str {
    match (operator, attribute.name.as_str()) {
        // The rewrite needs a Slice with steps.
        ("RNN" | "GRU" | "LSTM", "direction") if opset < 10 && attribute.s == b"reverse" => {
            "export it with opset 10 or later"
        }
        ("RNN" | "GRU" | "LSTM", "direction") => {
            "export it as \"forward\", with its sequence reversed before and after it"
        }
        ("RNN" | "GRU" | "LSTM", "activations") => {
            "export it with the default ones, or with its steps written out"
        }
        ("RNN" | "GRU" | "LSTM", _) => "export it without, or with its steps written out",
        ("TopK", "k") => "export it with opset 10 or later",
        ("TopK", "sorted") => "export it with sorted = 1",
        _ => "export it without, or with that part in other operators",
    }
}

/// Forms whose attributes tract reads, but that it computes differently.
fn misread(node: &NodeProto, opset: i64) -> Option<(String, &'static str)> {
    let has = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
    let mode = text(node, "mode");
    let (what, instead) = match node.op_type.as_str() {
        "Resize" if opset == 10 && matches!(mode, "" | "nearest") => (
            "takes nearest values by opset 10's rule, which tract does not follow",
            "export it with opset 11 or later",
        ),
        "Resize"
            if keeps_proportions(node)
                && text(node, "coordinate_transformation_mode") == "align_corners" =>
        {
            (
                "keeps proportions (keep_aspect_ratio_policy) and aligns corners, which tract computes otherwise than ONNX Runtime",
                "export it with the size that follows, or with coordinate_transformation_mode = \"half_pixel\"",
            )
        }
        "GridSample"
            if matches!(mode, "bicubic" | "cubic") && text(node, "padding_mode") == "border" =>
        {
            (
                "interpolates by cubes with padding_mode = \"border\", which is not supported",
                "export it with linear interpolation or with zeros around it",
            )
        }
        "MatMulNBits" if !matches!(int(node, "bits", 4), 2 | 4) => (
            "has weights of other than 2 or 4 bits, which is not supported",
            BLOCKS,
        ),
        "MatMulNBits" if rounds_scales(node) => (
            "has blocks of weights whose scales would be rounded to 16 bits",
            BLOCKS,
        ),
        "SkipSimplifiedLayerNormalization" if has(3) => (
            "has a bias, which is not supported",
            "take the file from before ONNX Runtime optimised it",
        ),
        "SkipLayerNormalization" if has(4) && !has(3) => (
            "has a bias and no beta, which is not supported",
            "take the file from before ONNX Runtime optimised it",
        ),
        _ => return None,
    };
    Some((what.to_owned(), instead))
}

const BLOCKS: &str = "quantise to 4 bits in blocks of 16, 64 or 128";

fn keeps_proportions(node: &NodeProto) -> bool {
    !matches!(text(node, "keep_aspect_ratio_policy"), "" | "stretch")
}

/// Whether tract keeps a MatMulNBits in its own form of blocks, with scales of 16 bits.
fn rounds_scales(node: &NodeProto) -> bool {
    let (block, bits) = (int(node, "block_size", 0), int(node, "bits", 4));
    block % 32 == 0 && int(node, "K", 0) % 32 == 0 && (bits == 2 || block == 32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::attributes::{of_float, of_int, of_ints, of_text};
    use crate::network::onnx::test_node;
    use tract_onnx::pb::attribute_proto::AttributeType;

    fn of_texts(name: &str, texts: &[&str]) -> AttributeProto {
        AttributeProto {
            name: name.to_owned(),
            r#type: AttributeType::Strings as i32,
            strings: texts.iter().map(|t| t.as_bytes().to_vec()).collect(),
            ..AttributeProto::default()
        }
    }

    fn refusal(op: &str, inputs: &[&str], attributes: &[AttributeProto]) -> Option<String> {
        not_honoured(&test_node(op, inputs, &["", "out"], attributes), 17)
    }

    #[test]
    fn a_refusal_is_one_line_however_many_values_the_file_holds() {
        let why = refusal("Relu", &["x"], &[of_ints("places", &[7; 100_000])]).unwrap();
        assert!(why.contains("places = [7, 7, "), "{why}");
        assert!(why.len() < 500, "{} bytes", why.len());
    }

    #[test]
    fn tract_has_each_operator_of_the_tables() {
        let known = tract_onnx::onnx().op_register.0;
        let listed = HONOURED.iter().map(|(op, _)| *op);
        for op in listed.chain(UNREAD.iter().map(|(op, _, _)| *op)) {
            let own = [ISLAND, STEP, "Reduce"].contains(&op);
            assert!(own || known.contains_key(op), "{op}");
        }
        let names: Vec<&str> = HONOURED.iter().map(|(op, _)| *op).collect();
        assert!(names[2..].is_sorted(), "{names:?}");
    }

    #[test]
    fn an_attribute_that_tract_drops_is_refused_by_name() {
        let says = |op, attribute: AttributeProto, says: &str| {
            let why = refusal(op, &["x", "w", "r"], &[attribute]).unwrap();
            assert!(why.contains(says), "{why}");
            assert!(
                why.starts_with(&format!("the node \"out\" ({op}) has ")),
                "{why}"
            );
            assert!(why.len() < 250 && why.contains(": export it "), "{why}");
        };
        for op in ["RNN", "GRU", "LSTM"] {
            says(
                op,
                of_text("direction", "reverse"),
                "direction = \"reverse\"",
            );
            says(op, of_float("clip", 0.5), "clip = 0.5");
            says(op, of_texts("activations", &["Relu"]), "activations = Relu");
        }
        says(
            "GRU",
            of_texts("activations", &["Sigmoid", "Relu"]),
            "Sigmoid, Relu",
        );
        says("LSTM", of_int("input_forget", 1), "input_forget = 1");
        says("Sin", of_int("later", 0), "the attribute later");
        says(
            "Scan",
            of_ints("directions", &[0, 1]),
            "directions = [0, 1]",
        );
        says("Swish", of_float("alpha", 2.0), "alpha = 2");
    }

    #[test]
    fn an_attribute_at_the_value_that_tract_computes_by_is_not_refused() {
        for (op, attribute) in [
            ("RNN", of_text("direction", "bidirectional")),
            ("RNN", of_texts("activations", &["Tanh", "tanh"])),
            ("GRU", of_texts("activations", &["Sigmoid", "Tanh"])),
            (
                "LSTM",
                of_texts("activations", &["sigmoid", "Tanh", "Tanh"]),
            ),
            ("LSTM", of_int("hidden_size", 4)),
            ("LSTM", of_int("input_forget", 0)),
            ("BatchNormalization", of_float("momentum", 0.9)),
            ("ReduceProd", of_int("keepdims", 0)),
            ("Relu", of_ints("consumed_inputs", &[0])),
            ("Split", of_int("num_outputs", 2)),
            ("Swish", of_float("alpha", 1.0)),
        ] {
            let why = refusal(op, &["x", "w", "r"], std::slice::from_ref(&attribute));
            assert_eq!(why, None, "{op} {attribute:?}");
        }
    }

    #[test]
    fn forms_that_tract_misreads_are_refused() {
        let border = of_text("padding_mode", "border");
        let cubic = [of_text("mode", "cubic"), border.clone()];
        let linear = [of_text("mode", "linear"), border];
        assert!(refusal("GridSample", &["x", "g"], &cubic).is_some());
        assert!(refusal("GridSample", &["x", "g"], &linear).is_none());
        let blocks = |size| [of_int("K", 64), of_int("N", 8), of_int("block_size", size)];
        assert!(refusal("MatMulNBits", &["x", "w", "s"], &blocks(32)).is_some());
        // What a refusal advises is not refused.
        for size in [16, 64, 128] {
            assert!(refusal("MatMulNBits", &["x", "w", "s"], &blocks(size)).is_none());
        }
        let eight = [&blocks(64)[..], &[of_int("bits", 8)]].concat();
        let why = refusal("MatMulNBits", &["x", "w", "s"], &eight).unwrap();
        assert!(why.contains("other than 2 or 4 bits"), "{why}");
        let (skip, simple) = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization");
        assert!(refusal(skip, &["x", "s", "g", "", "b"], &[]).is_some());
        assert!(refusal(skip, &["x", "s", "g", "t", "b"], &[]).is_none());
        assert!(refusal(simple, &["x", "s", "g", "b"], &[]).is_some());
        assert!(refusal(simple, &["x", "s", "g"], &[]).is_none());
    }
}
