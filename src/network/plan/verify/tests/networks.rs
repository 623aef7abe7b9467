//! Networks for the tests: random ones with every kind of layer, and those of the fixtures.

use crate::network::fused::understand;
use crate::network::graph::axes::Axes;
use crate::network::graph::resize::{Between, Resize};
use crate::network::graph::*;
use crate::network::lower::merge_layers;
use crate::spec::Dtype;
use fastrand::Rng;
use prost::Message;
use std::rc::Rc;
use tract_onnx::pb::ModelProto;

pub(super) fn shape(h: usize, w: usize, c: usize) -> Shape {
    Shape::new(h, w, c).unwrap()
}

/// The shape of a convolution's weights.
struct Filters {
    cout: usize,
    window: Window,
    groups: usize,
}

/// A network under construction.
struct Maker {
    random: Rng,
    graph: Graph,
    segment: usize,
}

impl Maker {
    fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            graph: Graph {
                tensors: Vec::new(),
                layers: Vec::new(),
                input: None,
                imports: Vec::new(),
                exports: Vec::new(),
            },
            segment: 0,
        }
    }

    /// The network as it is planned.
    fn done(mut self) -> Graph {
        merge_layers(&mut self.graph);
        self.graph
    }

    fn tensor(&mut self, shape: Shape, kind: Kind) -> TensorId {
        self.graph.tensors.push(Tensor { shape, kind });
        TensorId(self.graph.tensors.len() - 1)
    }

    fn of(&self, id: TensorId) -> (Shape, Kind) {
        let tensor = &self.graph.tensors[id.0];
        (tensor.shape, tensor.kind)
    }

    fn layer(&mut self, op: Op, inputs: &[TensorId], shape: Shape, kind: Kind) -> TensorId {
        let output = self.tensor(shape, kind);
        let name = format!("layer {}", self.graph.layers.len());
        self.graph.layers.push(Layer {
            op,
            inputs: inputs.to_vec(),
            output,
            name,
            segment: self.segment,
        });
        output
    }

    fn border(&self, tensor: TensorId) -> Border {
        Border {
            name: format!("border {}", tensor.0),
            tensor,
            channels_first: tensor.0.is_multiple_of(2),
            segment: self.segment,
        }
    }

    fn import(&mut self, shape: Shape) -> TensorId {
        let tensor = self.tensor(shape, Kind::F32);
        let border = self.border(tensor);
        self.graph.imports.push(border);
        tensor
    }

    fn picture(&mut self, shape: Shape, kind: Kind) -> TensorId {
        let tensor = self.tensor(shape, kind);
        self.graph.input = Some(GraphInput {
            tensor,
            dtype: Dtype::F32,
            steps: Vec::new(),
            quantised: false,
        });
        tensor
    }

    fn export(&mut self, tensor: TensorId) {
        let float = match self.of(tensor) {
            (_, Kind::F32) => tensor,
            (shape, _) => self.layer(Op::Dequantise, &[tensor], shape, Kind::F32),
        };
        let border = self.border(float);
        self.graph.exports.push(border);
    }

    fn quant(&mut self) -> Kind {
        Kind::Q8(Quant {
            scale: self.random.f32() * 0.1 + 0.01,
            zero: self.random.i32(0..256),
        })
    }

    /// The element type of a result: floats from floats, bytes with another scale from bytes.
    fn like(&mut self, kind: Kind) -> Kind {
        match kind {
            Kind::F32 | Kind::F16 => kind,
            Kind::Q8(_) => self.quant(),
        }
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.random.f32() - 0.5).collect()
    }

    fn window(&mut self, input: Shape) -> Window {
        let side = |random: &mut Rng, most: usize| random.usize(1..=most.clamp(1, 5));
        let (kh, kw) = (
            side(&mut self.random, input.h),
            side(&mut self.random, input.w),
        );
        let mut up_to = |n: usize| self.random.usize(..=n);
        let dilation = |k: usize, size: usize, twice: usize| {
            if twice == 0 && 2 * k <= size { 2 } else { 1 }
        };
        Window {
            kh,
            kw,
            sh: 1 + up_to(1),
            sw: 1 + up_to(1),
            dh: dilation(kh, input.h, up_to(3)),
            dw: dilation(kw, input.w, up_to(3)),
            top: up_to(kh - 1),
            left: up_to(kw - 1),
            bottom: up_to(kh - 1),
            right: up_to(kw - 1),
        }
    }

    fn conv(&mut self, x: TensorId, cout: usize, window: Window, groups: usize) -> TensorId {
        let (input, kind) = self.of(x);
        let kind = self.like(kind);
        let filters = Filters {
            cout,
            window,
            groups,
        };
        self.conv_as(&[x], input, kind, filters, None)
    }

    fn conv_as(
        &mut self,
        inputs: &[TensorId],
        input: Shape,
        kind: Kind,
        filters: Filters,
        factors: Option<Vec<f32>>,
    ) -> TensorId {
        let Filters {
            cout,
            window,
            groups,
        } = filters;
        let count = cout * window.kh * window.kw * (input.c / groups);
        let weights = match kind {
            Kind::F32 | Kind::F16 => Weights::F32 {
                w: Rc::new(self.floats(count)),
                steps: Vec::new(),
                bias: self.floats(cout),
            },
            Kind::Q8(_) => Weights::Q8 {
                w: Rc::new((0..count).map(|_| self.random.i8(..)).collect()),
                // Sometimes zero points that kernels handle only as sums of bytes, or by themselves if few channels have any.
                zero: {
                    let every = [0, 0, 1, 9][self.random.usize(..4)];
                    let has = |n: &usize| every > 0 && n.is_multiple_of(every);
                    let mut zero = vec![0; cout];
                    for n in (0..cout).filter(has) {
                        zero[n] = self.random.i32(-128..128);
                    }
                    zero
                },
                scale: vec![0.01; cout],
                bias: (0..cout).map(|_| self.random.i32(-999..999)).collect(),
            },
        };
        let (h, w) = window.output(input.h, input.w).unwrap();
        let conv = Conv {
            window,
            groups,
            cin: input.c,
            cout,
            weights,
            clamp: (0.0, 6.0),
            factors,
            then: None,
        };
        self.layer(Op::Conv(conv), inputs, shape(h, w, cout), kind)
    }

    fn pointwise(&mut self, x: TensorId, cout: usize) -> TensorId {
        self.conv(x, cout, Window::POINT, 1)
    }

    fn depthwise(&mut self, x: TensorId, window: Window) -> TensorId {
        let c = self.of(x).0.c;
        self.conv(x, c, window, c)
    }

    /// `x` as whole numbers and a convolution over them; `x` may be read again.
    fn dynamic(&mut self, x: TensorId) -> TensorId {
        let (input, _) = self.of(x);
        let of = self.layer(Op::Extremes, &[x], shape(1, 1, 2), Kind::F32);
        let whole = self.layer(Op::DynamicQuantise, &[x, of], input, Kind::F32);
        let depthwise = input.c > 1 && self.random.bool();
        let filters = if depthwise {
            Filters {
                cout: input.c,
                window: self.window(input),
                groups: input.c,
            }
        } else {
            Filters {
                cout: self.random.usize(1..40),
                window: Window::POINT,
                groups: 1,
            }
        };
        let factors = Some(self.floats(filters.cout));
        self.conv_as(&[whole, of], input, Kind::F32, filters, factors)
    }

    fn reshape(&mut self, x: TensorId) -> TensorId {
        let (input, kind) = self.of(x);
        let to = [
            shape(1, 1, input.volume()),
            shape(1, input.pixels(), input.c),
            shape(input.c, input.h, input.w),
        ];
        let to = to[self.random.usize(..3)];
        self.layer(Op::Reshape, &[x], to, kind)
    }

    /// `x` with other rows and columns.
    fn resized(&mut self, x: TensorId) -> TensorId {
        let (input, kind) = self.of(x);
        let (h, w) = (self.random.usize(1..12), self.random.usize(1..12));
        let random = &mut self.random;
        let of = if kind == Kind::F32 && random.bool() {
            let mut all = |count: usize, size: usize| -> Vec<Between> {
                let mut one = || Between {
                    first: random.usize(..size),
                    second: random.usize(..size),
                    share: random.f32(),
                };
                (0..count).map(|_| one()).collect()
            };
            Resize::Linear {
                rows: all(h, input.h),
                columns: all(w, input.w),
            }
        } else {
            let mut all = |count: usize, size: usize| -> Vec<usize> {
                (0..count).map(|_| random.usize(..size)).collect()
            };
            Resize::Nearest {
                rows: all(h, input.h),
                columns: all(w, input.w),
            }
        };
        self.layer(Op::Resize(of), &[x], shape(h, w, input.c), kind)
    }

    /// A layer of a random kind after `x`; it may read `others`, too.
    fn any(&mut self, x: TensorId, others: &[TensorId]) -> TensorId {
        let (input, kind) = self.of(x);
        let float = kind == Kind::F32;
        let to = self.like(kind);
        let c = input.c;
        let other = others[self.random.usize(..others.len())];
        match self.random.u8(..29) {
            26 if float => {
                let of = Lrn {
                    size: self.random.usize(1..8),
                    alpha: 0.5,
                    beta: [0.5, 0.75, 0.6][self.random.usize(..3)],
                    bias: 1.0,
                };
                self.layer(Op::Lrn(of), &[x], input, kind)
            }
            27 | 28 => self.resized(x),
            0 => {
                let window = self.window(input);
                let cout = self.random.usize(1..50);
                self.conv(x, cout, window, 1)
            }
            1 if c.is_multiple_of(2) => {
                let window = self.window(input);
                let cout = 2 * self.random.usize(1..20);
                self.conv(x, cout, window, 2)
            }
            2 | 3 if c > 1 => {
                let window = self.window(input);
                self.depthwise(x, window)
            }
            4 | 5 => {
                let cout = self.random.usize(1..90);
                self.pointwise(x, cout)
            }
            6 => {
                let f = Unary::LeakyRelu(0.1);
                self.layer(Op::Unary(f), &[x], input, to)
            }
            7 => {
                let inner = self.like(kind).quant();
                let f = Unary::Sigmoid;
                let clamp = FREE;
                self.layer(Op::Gate { f, inner, clamp }, &[x], input, to)
            }
            8 if float => {
                let (a, b) = (self.floats(c), self.floats(c));
                self.layer(Op::Affine { a, b }, &[x], input, kind)
            }
            9 if float => {
                let slopes = self.floats(c);
                self.layer(Op::Slopes(slopes), &[x], input, kind)
            }
            10 if float => self.layer(Op::Softmax, &[x], input, kind),
            11 if float => {
                let norm = Norm {
                    scale: self.floats(c),
                    bias: self.floats(c),
                    epsilon: 1e-5,
                };
                self.layer(Op::Norm(norm), &[x], input, kind)
            }
            12 => {
                let picked: Vec<usize> = (0..self.random.usize(1..2 * c + 1))
                    .map(|_| self.random.usize(..c))
                    .collect();
                let to = shape(input.h, input.w, picked.len());
                self.layer(Op::Pick(picked), &[x], to, kind)
            }
            13 => {
                let window = self.window(input);
                let (h, w) = window.output(input.h, input.w).unwrap();
                let zeros = self.random.bool();
                self.layer(Op::MaxPool(window, zeros), &[x], shape(h, w, c), kind)
            }
            14 => {
                let mut window = Window::POINT;
                if self.random.bool() {
                    window = self.window(input);
                } else {
                    (window.kh, window.kw) = (input.h, input.w);
                }
                let (h, w) = window.output(input.h, input.w).unwrap();
                let pads = self.random.bool();
                self.layer(Op::AveragePool(window, pads), &[x], shape(h, w, c), to)
            }
            15 if float => {
                let to = self.quant();
                self.layer(Op::Quantise, &[x], input, to)
            }
            16 if !float => self.layer(Op::Dequantise, &[x], input, Kind::F32),
            17 if float => {
                let values = Rc::new(self.floats(c));
                let constant = self.layer(Op::Constant(values), &[], shape(1, 1, c), kind);
                let clamp = (-1.0, 1.0);
                self.layer(Op::Mul { clamp }, &[x, constant], input, kind)
            }
            18 | 19 => {
                let again = self.layer(Op::Unary(Unary::NONE), &[x], input, to);
                let to = self.like(kind);
                let clamp = (0.0, 6.0);
                let inputs = [again, x];
                if self.random.bool() {
                    self.layer(Op::Add { clamp }, &inputs, input, to)
                } else {
                    self.layer(Op::Mul { clamp }, &inputs, input, to)
                }
            }
            20 => {
                let (size, _) = self.of(other);
                let alike = (size.h, size.w) == (input.h, input.w) && self.of(other).1 == kind;
                let parts = if alike { [x, other] } else { [x, x] };
                let c = parts.iter().map(|&p| self.of(p).0.c).sum();
                self.layer(Op::Concat, &parts, shape(input.h, input.w, c), kind)
            }
            21 => self.reshape(x),
            22 if float => {
                let sizes = [1, input.h, input.w, c];
                let mut order = [0, 1, 2, 3];
                self.random.shuffle(&mut order);
                let from = Axes::plain(&sizes).unwrap().transposed(&order).unwrap();
                let to = shape(1, 1, input.volume());
                self.layer(Op::Move(from), &[x], to, kind)
            }
            23 if float => {
                // x times its own transpose, one row of the picture at a time.
                let a = Axes::plain(&[input.h, input.w, c]).unwrap();
                let product = Product {
                    a,
                    b: a.transposed(&[0, 2, 1]).unwrap(),
                    y: Axes::plain(&[input.h, input.w, input.w]).unwrap(),
                    scale: 0.5,
                };
                let to = shape(input.h, input.w, input.w);
                self.layer(Op::Product(product), &[x, x], to, kind)
            }
            24 if float => self.dynamic(x),
            _ if float => self.layer(Op::ChannelsFirst, &[x], input, kind),
            _ => x,
        }
    }
}

/// A network of random layers, in one segment or several, that sometimes reads much older results.
pub(super) fn random(seed: u64) -> Graph {
    let mut maker = Maker::new(seed);
    let size = shape(
        maker.random.usize(1..12),
        maker.random.usize(1..12),
        maker.random.usize(1..24),
    );
    let mut x = match maker.random.u8(..4) {
        0 => maker.import(size),
        1 => {
            let kind = maker.quant();
            maker.picture(size, kind)
        }
        _ => maker.picture(size, Kind::F32),
    };
    let mut values = vec![x];
    for turn in 0..maker.random.usize(1..9) {
        if maker.of(x).0.volume() > 60_000 {
            break;
        }
        if turn > 2 && maker.random.u8(..5) == 0 {
            maker.export(x);
            maker.segment += 1;
            let size = maker.of(x).0;
            x = maker.import(size);
        }
        x = maker.any(x, &values);
        values.push(x);
        // Sometimes two layers read the same tensor.
        if maker.random.u8(..4) == 0 {
            x = values[maker.random.usize(..values.len())];
        }
    }
    // Makes sure that every segment has a layer.
    let (size, kind) = maker.of(x);
    let to = maker.like(kind);
    let last = maker.layer(Op::Unary(Unary::Clamp(-2.0, 3.0)), &[x], size, to);
    maker.export(last);
    maker.done()
}

/// A block over bands of rows: with or without expansion, depthwise, with or without projection.
pub(super) fn block(seed: u64) -> Graph {
    let mut maker = Maker::new(seed);
    let quantised = maker.random.bool();
    let (h, w) = (maker.random.usize(20..34), maker.random.usize(20..34));
    let wide = (96 << 10) / (h * w * if quantised { 1 } else { 4 }) + 8;
    let (expands, projects) = [(true, true), (true, false), (false, true)][maker.random.usize(..3)];
    let c = if expands {
        maker.random.usize(3..9)
    } else {
        wide
    };
    let mut x = maker.picture(shape(h, w, c), Kind::F32);
    if quantised {
        let to = maker.quant();
        x = maker.layer(Op::Quantise, &[x], shape(h, w, c), to);
    }
    if expands {
        let window = if maker.random.bool() {
            Window::POINT
        } else {
            Window {
                kh: 3,
                kw: 3,
                top: 1,
                left: 1,
                bottom: 1,
                right: 1,
                ..Window::POINT
            }
        };
        let wide = wide + maker.random.usize(..20);
        x = maker.conv(x, wide, window, 1);
    }
    let mut window = maker.window(shape(h, w, c));
    (window.dh, window.sh, window.sw) = (1, 1, 1);
    (window.top, window.bottom) = (window.kh - 1, window.kh - 1);
    (window.left, window.right) = (window.kw - 1, window.kw - 1);
    x = maker.depthwise(x, window);
    if projects {
        let cout = maker.random.usize(1..40);
        x = maker.pointwise(x, cout);
    }
    maker.export(x);
    maker.done()
}

/// A tensor as whole numbers, while the tensor itself is read again, also reshaped.
pub(super) fn forked(seed: u64) -> Graph {
    let mut maker = Maker::new(seed);
    let x = maker.picture(shape(5, 6, 7), Kind::F32);
    let first = maker.layer(
        Op::Unary(Unary::LeakyRelu(0.2)),
        &[x],
        shape(5, 6, 7),
        Kind::F32,
    );
    let seen = maker.reshape(first);
    let whole = maker.dynamic(first);
    let second = maker.dynamic(whole);
    let clamp = FREE;
    let size = maker.of(seen).0;
    let beside = maker.layer(Op::Add { clamp }, &[seen, first], size, Kind::F32);
    maker.export(second);
    maker.export(beside);
    maker.done()
}

/// A chain of `count` layers; every second result is read once more at the end.
pub(super) fn many_layers(count: usize) -> Graph {
    let mut maker = Maker::new(1);
    let size = shape(1, 1, 8);
    let mut x = maker.picture(size, Kind::F32);
    let mut kept = Vec::new();
    let f = Op::Unary(Unary::Tanh);
    for i in 0..count / 2 {
        x = maker.layer(f.clone(), &[x], size, Kind::F32);
        if i % 2 == 0 {
            kept.push(x);
        }
    }
    for kept in kept {
        let clamp = FREE;
        x = maker.layer(Op::Add { clamp }, &[x, kept], size, Kind::F32);
        x = maker.layer(f.clone(), &[x], size, Kind::F32);
    }
    maker.export(x);
    maker.done()
}

/// The fixtures' networks that consist of known layers only.
fn fixtures() -> Vec<(String, Graph)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
        .collect();
    names.sort();
    let mut networks = Vec::new();
    for path in names {
        let Ok(model) = ModelProto::decode(&std::fs::read(&path).unwrap()[..]) else {
            continue;
        };
        let Ok(understood) = understand(model) else {
            continue;
        };
        let mut graph = understood.0;
        merge_layers(&mut graph);
        networks.push((path.file_stem().unwrap().display().to_string(), graph));
    }
    assert!(networks.len() > 10, "the fixtures are not understood");
    networks
}

/// Several networks of each kind.
pub(super) fn all() -> Vec<(String, Graph)> {
    let mut networks = fixtures();
    networks.extend((0..150).map(|seed| (format!("random {seed}"), random(seed))));
    networks.extend((0..8).map(|seed| (format!("block {seed}"), block(seed))));
    networks.extend((0..3).map(|seed| (format!("forked {seed}"), forked(seed))));
    networks
}
