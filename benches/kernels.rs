//! Our kernels, one layer of MobileNet v2 each, in float and int8, on one core: multiply-adds per second. For comparison, the
//! peak rate of the int8 instructions when they wait for nothing else: AVX-512 VNNI's, AVX2's. Also the time to verify a plan.
//!
//! `cargo bench --bench kernels` (`EYELET_KERNELS=avx2` and so on chooses kernels other than the best)

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eyelet::network::fused::{self, Fused};
use std::path::{Path, PathBuf};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};

/// One convolution.
#[derive(Clone, Copy)]
struct Layer {
    name: &'static str,
    /// Rows and columns of the input.
    side: usize,
    cin: usize,
    cout: usize,
    kernel: usize,
    stride: usize,
    depthwise: bool,
}

impl Layer {
    fn multiply_adds(&self) -> u64 {
        let out = self.side.div_ceil(self.stride);
        let per = if self.depthwise { 1 } else { self.cin };
        (out * out * self.cout * self.kernel * self.kernel * per) as u64
    }
}

const fn pointwise(name: &'static str, side: usize, cin: usize, cout: usize) -> Layer {
    Layer {
        name,
        side,
        cin,
        cout,
        kernel: 1,
        stride: 1,
        depthwise: false,
    }
}

const fn depthwise(
    name: &'static str,
    side: usize,
    c: usize,
    kernel: usize,
    stride: usize,
) -> Layer {
    Layer {
        name,
        side,
        cin: c,
        cout: c,
        kernel,
        stride,
        depthwise: true,
    }
}

const LAYERS: [Layer; 9] = [
    Layer {
        name: "first 3x3/2",
        side: 224,
        cin: 3,
        cout: 32,
        kernel: 3,
        stride: 2,
        depthwise: false,
    },
    pointwise("expand 24-144", 56, 24, 144),
    pointwise("project 144-24", 56, 144, 24),
    pointwise("expand 96-576", 14, 96, 576),
    pointwise("project 960-160", 7, 960, 160),
    depthwise("depthwise 3x3", 56, 144, 3, 1),
    depthwise("depthwise 3x3/2", 56, 144, 3, 2),
    depthwise("depthwise 3x3", 14, 576, 3, 1),
    depthwise("depthwise 5x5", 14, 576, 5, 1),
];

/// A network with one layer. A network's input is a picture, so a first convolution turns it into the layer's input, and a
/// pooling over one pixel keeps the planner from fusing the two.
struct Graph {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    random: fastrand::Rng,
    quantised: bool,
}

impl Graph {
    fn floats(&mut self, name: &str, dims: &[usize], values: Vec<f32>) -> String {
        self.initializers.push(TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: DataType::Float as i32,
            float_data: values,
            ..Default::default()
        });
        name.into()
    }

    fn bytes(&mut self, name: &str, dims: &[usize], values: Vec<u8>, kind: DataType) -> String {
        self.initializers.push(TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            raw_data: values,
            ..Default::default()
        });
        name.into()
    }

    fn node(&mut self, op: &str, inputs: &[&str], ints: &[(&str, Vec<i64>)]) -> String {
        let output = format!("{op} {}", self.nodes.len());
        self.nodes.push(NodeProto {
            op_type: op.into(),
            name: output.clone(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.clone()],
            attribute: ints
                .iter()
                .map(|(name, values)| AttributeProto {
                    name: (*name).into(),
                    r#type: if values.len() == 1 && *name == "group" {
                        AttributeType::Int as i32
                    } else {
                        AttributeType::Ints as i32
                    },
                    i: values[0],
                    ints: values.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        output
    }

    /// To int8 and back, in a quantised network.
    fn through_bytes(&mut self, x: &str) -> String {
        if !self.quantised {
            return x.into();
        }
        let n = self.nodes.len();
        let scale = self.floats(&format!("scale {n}"), &[], vec![0.05]);
        let zero = self.bytes(&format!("zero {n}"), &[], vec![120], DataType::Uint8);
        let q = self.node("QuantizeLinear", &[x, &scale, &zero], &[]);
        self.node("DequantizeLinear", &[&q, &scale, &zero], &[])
    }

    fn conv(&mut self, x: &str, layer: &Layer) -> String {
        let n = self.nodes.len();
        let groups = if layer.depthwise { layer.cin } else { 1 };
        let dims = [layer.cout, layer.cin / groups, layer.kernel, layer.kernel];
        let count = dims.iter().product();
        let w = if self.quantised {
            let values = (0..count).map(|_| self.random.u8(..)).collect();
            let w = self.bytes(&format!("w {n}"), &dims, values, DataType::Int8);
            let scale = self.floats(&format!("w scale {n}"), &[], vec![0.01]);
            let zero = self.bytes(&format!("w zero {n}"), &[], vec![0], DataType::Int8);
            self.node("DequantizeLinear", &[&w, &scale, &zero], &[])
        } else {
            let values = (0..count).map(|_| self.random.f32() - 0.5).collect();
            self.floats(&format!("w {n}"), &dims, values)
        };
        let pad = (layer.kernel / 2) as i64;
        let y = self.node(
            "Conv",
            &[x, &w],
            &[
                ("group", vec![groups as i64]),
                ("strides", vec![layer.stride as i64; 2]),
                ("pads", vec![pad; 4]),
            ],
        );
        self.through_bytes(&y)
    }
}

fn network(layer: &Layer, quantised: bool) -> Fused {
    let mut graph = Graph {
        nodes: Vec::new(),
        initializers: Vec::new(),
        random: fastrand::Rng::with_seed(3),
        quantised,
    };
    let mut x = graph.through_bytes("picture");
    if layer.cin != 3 {
        x = graph.conv(&x, &pointwise("input", layer.side, 3, layer.cin));
        x = graph.node("MaxPool", &[&x], &[("kernel_shape", vec![1, 1])]);
        x = graph.through_bytes(&x);
    }
    let y = graph.conv(&x, layer);
    let value = |name: &str, dims: &[usize]| {
        let dim = dims
            .iter()
            .map(|&d| Dimension {
                value: Some(dimension::Value::DimValue(d as i64)),
                ..Default::default()
            })
            .collect();
        ValueInfoProto {
            name: name.into(),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                    elem_type: DataType::Float as i32,
                    shape: Some(TensorShapeProto { dim }),
                })),
                ..Default::default()
            }),
            ..Default::default()
        }
    };
    let model = ModelProto {
        opset_import: vec![OperatorSetIdProto {
            version: 13,
            ..Default::default()
        }],
        graph: Some(GraphProto {
            input: vec![value("picture", &[1, 3, layer.side, layer.side])],
            output: vec![value(&y, &[])],
            node: graph.nodes,
            initializer: graph.initializers,
            ..Default::default()
        }),
        ..Default::default()
    };
    fused::understand(model).unwrap().plan(1).unwrap()
}

fn layers(c: &mut Criterion) {
    for (form, quantised) in [("float", false), ("int8", true)] {
        let mut group = c.benchmark_group(form);
        for layer in LAYERS {
            let mut network = network(&layer, quantised);
            let pixels: Vec<f32> = (0..layer.side * layer.side * 3)
                .map(|i| (i % 255) as f32 / 32.0 - 4.0)
                .collect();
            assert!(network.set_f32(&pixels, eyelet::spec::Layout::Nhwc));
            let wanted = if layer.depthwise {
                "depthwise"
            } else {
                "convolution"
            };
            group.throughput(Throughput::Elements(layer.multiply_adds()));
            let id = format!("{} {}x{}x{}", layer.name, layer.side, layer.side, layer.cin);
            group.bench_function(BenchmarkId::new(network.kernels(), id), |b| {
                b.iter_custom(|rounds| {
                    let times = network.profile(rounds as usize);
                    let last = times.iter().rfind(|step| step.op == wanted);
                    last.unwrap().wall * rounds as u32
                });
            });
        }
        group.finish();
    }
}

/// Twelve independent sums, as in a convolution's tile, and no loads.
#[cfg(target_arch = "x86_64")]
fn limit(c: &mut Criterion) {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dot_products(rounds: u64) -> i32 {
        let (a, b) = std::hint::black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(5)));
        let mut sums = [_mm512_setzero_si512(); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        let all = sums.into_iter().reduce(|a, b| _mm512_add_epi32(a, b));
        all.map_or(0, |v| _mm512_reduce_add_epi32(v))
    }

    #[target_feature(enable = "avx2")]
    fn multiply_add_pairs(rounds: u64) -> i32 {
        let (a, b) = std::hint::black_box((_mm256_set1_epi16(3), _mm256_set1_epi16(5)));
        let mut sums = [_mm256_setzero_si256(); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                // Inline assembly, because the compiler would hoist the product out of the loop.
                // SAFETY: the CPU has these instructions, and they change no memory.
                unsafe {
                    std::arch::asm!(
                        "vpmaddwd {product}, {a}, {b}",
                        "vpaddd {sum}, {sum}, {product}",
                        sum = inout(ymm_reg) *sum,
                        product = out(ymm_reg) _,
                        a = in(ymm_reg) a,
                        b = in(ymm_reg) b,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            }
        }
        let all = sums.into_iter().reduce(|a, b| _mm256_add_epi32(a, b));
        all.map_or(0, |v| _mm256_extract_epi32::<0>(v))
    }

    const ROUNDS: u64 = 10_000;
    let mut group = c.benchmark_group("limit");
    if is_x86_feature_detected!("avx512vnni") {
        group.throughput(Throughput::Elements(ROUNDS * 12 * 64));
        group.bench_function("vpdpbusd alone", |b| {
            // SAFETY: the CPU has the instructions.
            b.iter(|| unsafe { dot_products(std::hint::black_box(ROUNDS)) });
        });
    }
    if is_x86_feature_detected!("avx2") {
        group.throughput(Throughput::Elements(ROUNDS * 12 * 16));
        group.bench_function("vpmaddwd and vpaddd alone", |b| {
            // SAFETY: the CPU has the instructions.
            b.iter(|| unsafe { multiply_add_pairs(std::hint::black_box(ROUNDS)) });
        });
    }
    group.finish();
}

#[cfg(not(target_arch = "x86_64"))]
fn limit(_: &mut Criterion) {}

/// The verification of a plan, which every start of the program waits for: MobileNet v2 on one, two and four threads.
fn proofs(c: &mut Criterion) {
    let shared = std::env::var_os("EYELET_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let mut group = c.benchmark_group("proof");
    for name in ["mobilenetv2-1.0", "mobilenetv2-1.0-int8"] {
        let file = shared.join(format!("models/{name}.onnx"));
        if !file.exists() {
            println!("skipped: {} is missing", file.display());
            continue;
        }
        let model = eyelet::network::onnx::read(&file).unwrap();
        for threads in [1, 2, 4] {
            group.bench_function(BenchmarkId::new(name, threads), |b| {
                b.iter_custom(|rounds| {
                    let understood = fused::understand(model.clone()).unwrap();
                    understood.time_proof(threads, rounds).unwrap().iter().sum()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, layers, limit, proofs);
criterion_main!(benches);
