//! Types shared by the model, the network and the preprocessing: a network's input and output.

use std::path::PathBuf;

/// Everything needed to load a network: its file, and its input and output.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSpec {
    /// The network's name in messages.
    pub name: String,
    /// The ONNX file.
    pub file: PathBuf,
    /// The input.
    pub input: InputSpec,
    /// The output.
    pub output: OutputSpec,
    /// Nobody has stated the picture's size: it is a guess.
    pub is_size_assumed: bool,
    /// Nobody has stated its scale, mean and deviation: one of them is a guess.
    pub is_scale_assumed: bool,
    /// The name of the output with the scores, if it is stated.
    pub output_name: Option<String>,
    /// The name of the file that describes the network, or would.
    pub toml: String,
    /// In which precision a float network runs, if it can.
    pub precision: Precision,
}

/// Precision of a float network's weights and activations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    #[default]
    Single,
    /// 16 bits, where the CPU computes in them and all layers have kernels for them.
    Half,
}

/// The input tensor, batch 1, and how pixels become its values: `(pixel * scale - mean[c]) / std[c]`, pixel in 0..=255.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSpec {
    /// Order of the axes.
    pub layout: Layout,
    /// Element type.
    pub dtype: Dtype,
    /// Width of the network's picture.
    pub width_px: u32,
    /// Height of the network's picture.
    pub height_px: u32,
    /// Colour order of the channels.
    pub channels: ChannelOrder,
    /// Factor on the 8-bit pixel (1/255 brings it to 0..=1).
    pub scale: f32,
    /// Subtracted after scaling, in the order R, G, B (whatever `channels` says).
    pub mean: [f32; 3],
    /// Divisor after that, R, G, B.
    pub std: [f32; 3],
    /// How the upright picture is resized to the network's size.
    pub resize: Resize,
    /// With [`Resize::Crop`] the shorter side of the upright picture is resized to this before the centre crop.
    pub resize_shorter_px: u32,
    /// With [`Resize::Fit`] the colour of the borders, R, G, B.
    pub fill: [u8; 3],
}

/// The mean by which pixels are normalised for the published ImageNet models (R, G, B, for pixels in 0..=1).
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// The standard deviation, see [`IMAGENET_MEAN`].
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The default borders of [`Resize::Fit`] are black, as in training with the tools that pad.
const BLACK: [u8; 3] = [0; 3];

impl InputSpec {
    /// The rule of the published ImageNet models: RGB, normalised by mean and standard deviation, the shorter side resized to 8/7
    /// of the crop (256 for 224). Bytes go in unchanged.
    pub fn imagenet(layout: Layout, dtype: Dtype, width_px: u32, height_px: u32) -> Self {
        let (scale, mean, std) = match dtype {
            Dtype::F32 => (1.0 / 255.0, IMAGENET_MEAN, IMAGENET_STD),
            Dtype::U8 => (1.0, [0.0; 3], [1.0; 3]),
        };
        Self {
            layout,
            dtype,
            width_px,
            height_px,
            channels: ChannelOrder::Rgb,
            scale,
            mean,
            std,
            resize: Resize::Crop,
            resize_shorter_px: (width_px.max(height_px) * 8).div_ceil(7),
            fill: BLACK,
        }
    }
}

/// How a picture is resized to the network's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The centre of the picture, keeping proportions: the edges are cut off.
    Crop,
    /// The whole picture, keeping proportions, centred; the borders are filled with one colour.
    Fit,
    /// The whole picture, with each axis resized separately.
    Stretch,
}

/// Order of the input's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// Element type of the input tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// Unsigned byte: pixels go in unchanged (scale, mean and std are 1, 0, 1).
    U8,
}

/// Colour order of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSpec {
    /// Whether softmax still has to be applied.
    pub kind: OutputKind,
    /// Classes that have a label.
    pub class_count: usize,
    /// Scores before the first class (1 when score 0 is "background").
    pub label_offset: usize,
}

impl OutputSpec {
    /// The scores of both classes of a network with one score, that of class 1: its probability, or a logit whose sigmoid is the
    /// probability. (The softmax of 0 and x is the sigmoid of x.)
    pub fn of_one_score(&self, score: f32) -> [f32; 2] {
        match self.kind {
            OutputKind::Logits => [0.0, score],
            OutputKind::Probabilities => [1.0 - score, score],
        }
    }
}

/// What the scores mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Raw scores; softmax turns them into probabilities.
    Logits,
    /// Probabilities already.
    Probabilities,
}

/// The words for `layout`.
pub const LAYOUTS: [(&str, Layout); 2] = [("NCHW", Layout::Nchw), ("NHWC", Layout::Nhwc)];
/// The words for `dtype`.
pub const DTYPES: [(&str, Dtype); 2] = [("f32", Dtype::F32), ("u8", Dtype::U8)];
/// The words for `channels`.
pub const CHANNELS: [(&str, ChannelOrder); 2] =
    [("rgb", ChannelOrder::Rgb), ("bgr", ChannelOrder::Bgr)];
/// The words for `resize`, here and in a board file.
pub const RESIZES: [(&str, Resize); 3] = [
    ("crop", Resize::Crop),
    ("fit", Resize::Fit),
    ("stretch", Resize::Stretch),
];
/// The words for `precision`, here and in a board file.
pub const PRECISIONS: [(&str, Precision); 2] =
    [("single", Precision::Single), ("half", Precision::Half)];
/// The words for `kind`.
pub const KINDS: [(&str, OutputKind); 2] = [
    ("logits", OutputKind::Logits),
    ("probabilities", OutputKind::Probabilities),
];

/// The word for `value` among these words, as TOML writes it: in quotes.
pub fn quoted<T: Copy + PartialEq>(words: &[(&str, T)], value: T) -> String {
    let known = words.iter().find(|(_, of)| *of == value);
    format!("{:?}", known.map_or("", |(word, _)| *word))
}

/// The input tensor's values, to be written in place before a run: batch 1, in the model's layout, densely packed.
#[derive(Debug)]
pub enum Input<'a> {
    /// 32-bit float.
    F32(&'a mut [f32]),
    /// Bytes: unchanged pixels, or quantised values if the plan takes them (then through the plan's own table).
    U8(&'a mut [u8]),
}

/// How an 8-bit pixel value becomes a value of the input tensor: one table per colour, in the order R, G, B.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// Order of the tensor's axes.
    pub layout: Layout,
    /// Colour order of the tensor's channels.
    pub channels: ChannelOrder,
    /// The values.
    pub table: Table,
}

/// The 256 values of each colour (R, G, B).
#[derive(Debug, Clone, PartialEq)]
pub enum Table {
    /// For an `Input::F32`.
    F32(Box<[[f32; 256]; 3]>),
    /// For an `Input::U8`: unchanged pixels, or quantised values (an i8 value by its bits).
    U8(Box<[[u8; 256]; 3]>),
}

impl Encoder {
    /// The encoder for a model's input: `(pixel * scale - mean[c]) / std[c]`, or the pixel itself for bytes.
    pub fn of(input: &InputSpec) -> Self {
        let table = match input.dtype {
            Dtype::F32 => {
                let mut table = Box::new([[0.0; 256]; 3]);
                for (c, values) in table.iter_mut().enumerate() {
                    for (pixel, value) in values.iter_mut().enumerate() {
                        *value = (pixel as f32 * input.scale - input.mean[c]) / input.std[c];
                    }
                }
                Table::F32(table)
            }
            Dtype::U8 => Table::U8(Box::new([std::array::from_fn(|pixel| pixel as u8); 3])),
        };
        Self {
            layout: input.layout,
            channels: input.channels,
            table,
        }
    }
}
