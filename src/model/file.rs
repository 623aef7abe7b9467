//! Reads a model's TOML and checks it into a [`Definition`]. `models/README.md` documents every key.

use crate::limits;
use crate::spec::{
    CHANNELS, ChannelOrder, DTYPES, Dtype, InputSpec, KINDS, LAYOUTS, Layout, OutputKind,
    OutputSpec, PRECISIONS, Precision, RESIZES, Resize,
};
use crate::toml_file::{Faults, Table, read};
use std::collections::BTreeMap;
use std::path::Path;

/// Keys that may be omitted from `[input]`, by their full names.
pub(super) const INPUT_KEYS: [&str; 9] = [
    "input.dtype",
    "input.layout",
    "input.channels",
    "input.scale",
    "input.mean",
    "input.std",
    "input.resize",
    "input.resize_shorter_px",
    "input.fill",
];
/// The same in a description that belongs to one file beside it.
const SIZE_KEYS: [&str; 2] = ["input.width_px", "input.height_px"];
/// Side of the input if nothing states it.
pub(super) const USUAL_SIDE_PX: u32 = 224;
/// The same for `[output]`.
pub(super) const OUTPUT_KEYS: [&str; 2] = ["output.kind", "output.label_offset"];

/// The `keys` that are missing from the table.
fn left_out(table: &Table<'_, '_>, keys: &[&'static str]) -> Vec<&'static str> {
    let bare = |key: &'static str| key.split_once('.').map_or(key, |(_, bare)| bare);
    let mut keys = keys.to_vec();
    keys.retain(|key| !table.has(bare(key)));
    keys
}

/// A `model.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// One line for `eyelet list models`.
    pub description: String,
    /// The default file and its network.
    pub main: NetworkFile,
    /// Other files of the same model, by the word after `@`.
    pub variants: BTreeMap<String, NetworkFile>,
    /// In which precision a float network runs, if stated.
    pub precision: Option<Precision>,
    /// The label file, relative to the folder of the `model.toml`.
    pub labels: Option<String>,
    /// The input of each of the files.
    pub input: InputSpec,
    /// The output.
    pub output: OutputSpec,
    /// The name of the network's output with the scores, if stated.
    pub output_name: Option<String>,
    /// Keys of input and output that are omitted (`input.mean`, say): `input` and `output` have a default there, and what the ONNX file
    /// and the files beside it say comes first.
    pub left_out: Vec<&'static str>,
}

/// One ONNX file of a model: its name, how to verify it, where to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFile {
    /// One line for `eyelet list models` about a variant, if it has its own.
    pub description: Option<String>,
    /// The file's bare name, beside the `model.toml`.
    pub file: String,
    /// Its digest as 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Its length.
    pub size_bytes: Option<u64>,
    /// URLs where it can be downloaded, tried in this order.
    pub urls: Vec<String>,
    /// The name of the network's input, if stated.
    pub input_name: Option<String>,
}

impl Definition {
    /// Parses and checks `text`; messages call it `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        Self::parse_for(file, text, None)
    }

    /// The same for a description that belongs to the ONNX file `network` alone, beside it: it need not say what the file says of
    /// itself.
    pub fn parse_own(file: &str, text: &str, network: &str) -> Result<Self, Faults> {
        Self::parse_for(file, text, Some(network))
    }

    fn parse_for(file: &str, text: &str, network: Option<&str>) -> Result<Self, Faults> {
        read(file, text, |top| {
            let required = ["output", "description", "file", "input"];
            top.must_have(if network.is_some() {
                &required[..1]
            } else {
                &required
            });
            let description = top.text("description");
            let description = description.or(network.map(|_| String::new()));
            let main = network_file(top, network);
            let variants = variants(top);
            let precision = top.word("precision", &PRECISIONS);
            let labels = top.text("labels");
            if labels
                .as_ref()
                .is_some_and(|path| Path::new(path).is_absolute())
            {
                top.fault("labels", "needs a path relative to this file");
            }
            let mut left_out_keys = Vec::new();
            let is_own = network.is_some();
            let input = match top.table("input") {
                Some(mut table) => {
                    left_out_keys.extend(left_out(&table, &INPUT_KEYS));
                    match is_own {
                        true => left_out_keys.extend(left_out(&table, &SIZE_KEYS)),
                        false => table.must_have(&["width_px", "height_px"]),
                    }
                    let name = table.text("name");
                    input(&mut table).map(|spec| (name, spec))
                }
                None if is_own => {
                    left_out_keys.extend(INPUT_KEYS.into_iter().chain(SIZE_KEYS));
                    Some((None, open_input()))
                }
                None => None,
            };
            let output = top.table("output").and_then(|mut table| {
                left_out_keys.extend(left_out(&table, &OUTPUT_KEYS));
                let name = table.text("name");
                output(&mut table).map(|spec| (name, spec))
            });
            let (input_name, input) = input?;
            let (output_name, output) = output?;
            Some(Self {
                description: description?,
                main: NetworkFile {
                    input_name,
                    ..main?
                },
                variants,
                precision,
                labels,
                input,
                output,
                output_name,
                left_out: left_out_keys,
            })
        })
    }

    /// The file that `variant` names, or the default one.
    pub fn network_file(&self, variant: Option<&str>) -> Option<&NetworkFile> {
        match variant {
            None => Some(&self.main),
            Some(name) => self.variants.get(name),
        }
    }

    /// The variant (`Some(None)` is the default) that has the file `name`.
    pub fn variant_of_file(&self, name: &str) -> Option<Option<&str>> {
        if self.main.file == name {
            return Some(None);
        }
        self.variants
            .iter()
            .find(|(_, file)| file.file == name)
            .map(|(variant, _)| Some(variant.as_str()))
    }
}

/// `file` (`usual` if it may be omitted), `sha256`, `size_bytes` and `urls` of the top-level table or of a variant.
fn network_file(table: &mut Table<'_, '_>, usual: Option<&str>) -> Option<NetworkFile> {
    let file = table.text("file").or(usual.map(str::to_owned));
    if let Some(name) = &file
        && (name.contains(['/', '\\']) || !name.to_ascii_lowercase().ends_with(".onnx"))
    {
        let message = format!("is {name:?}, needs the bare name of an .onnx file beside this one");
        table.fault("file", message);
    }
    let sha256 = table.text("sha256");
    if let Some(digits) = &sha256
        && (digits.len() != 64
            || !digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    {
        table.fault(
            "sha256",
            "needs 64 hexadecimal digits, a to f in small letters",
        );
    }
    let size_bytes = table.integer("size_bytes", limits::MODEL_BYTES);
    let urls = table.texts("urls").unwrap_or_default();
    for url in &urls {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            let message =
                format!("has {url:?}, needs addresses that begin with https:// or http://");
            table.fault("urls", message);
        }
    }
    if !urls.is_empty() {
        // A file from elsewhere needs a digest.
        table.must_have(&["sha256", "size_bytes"]);
    }
    Some(NetworkFile {
        description: None,
        file: file?,
        sha256,
        size_bytes,
        urls,
        input_name: None,
    })
}

fn variants(top: &mut Table<'_, '_>) -> BTreeMap<String, NetworkFile> {
    let mut variants = BTreeMap::new();
    let Some(mut table) = top.table("variants") else {
        return variants;
    };
    for name in table.names() {
        let Some(mut variant) = table.table(&name) else {
            continue;
        };
        variant.must_have(&["file"]);
        let description = variant.text("description");
        let input_name = variant
            .table("input")
            .and_then(|mut input| input.text("name"));
        if let Some(file) = network_file(&mut variant, None) {
            let file = NetworkFile {
                description,
                input_name,
                ..file
            };
            variants.insert(name, file);
        }
    }
    variants
}

/// An input of which nothing is stated.
fn open_input() -> InputSpec {
    InputSpec::imagenet(Layout::Nchw, Dtype::F32, USUAL_SIDE_PX, USUAL_SIDE_PX)
}

fn input(table: &mut Table<'_, '_>) -> Option<InputSpec> {
    let layout = table.word("layout", &LAYOUTS);
    let dtype = table.word("dtype", &DTYPES).unwrap_or(Dtype::F32);
    let width_px = table.integer_u32("width_px", limits::INPUT_SIDE_PX);
    let height_px = table.integer_u32("height_px", limits::INPUT_SIDE_PX);
    let channels = table
        .word("channels", &CHANNELS)
        .unwrap_or(ChannelOrder::Rgb);
    let scale = table.number("scale", limits::FACTOR);
    let mean = table.numbers("mean", limits::MEAN);
    let std = table.numbers("std", limits::FACTOR);
    let resize = table.word("resize", &RESIZES).unwrap_or(Resize::Crop);
    let shorter_px = table.integer_u32("resize_shorter_px", limits::RESIZE_SHORTER_PX);
    let fill = fill(table);
    check_resize(table, resize);
    if dtype == Dtype::U8 {
        for key in ["scale", "mean", "std"] {
            if table.has(key) {
                table.fault(key, "is for dtype \"f32\"; bytes go in as they are");
            }
        }
    }
    // A wrong number is a fault; a missing one may be allowed.
    let or_open = |key: &str, side: Option<u32>| match table.has(key) {
        true => side,
        false => Some(USUAL_SIDE_PX),
    };
    let is_size_stated = table.has("width_px") && table.has("height_px");
    let (width_px, height_px) = (
        or_open("width_px", width_px)?,
        or_open("height_px", height_px)?,
    );
    let longer_px = width_px.max(height_px);
    if let Some(shorter_px) = shorter_px
        && shorter_px < longer_px
        && resize == Resize::Crop
        && is_size_stated
    {
        let message = format!(
            "is {shorter_px}, needs at least {longer_px}: the crop of {width_px}x{height_px} is cut out of the resized picture"
        );
        table.fault("resize_shorter_px", message);
    }
    let usual = InputSpec::imagenet(layout.unwrap_or(Layout::Nchw), dtype, width_px, height_px);
    let spec = InputSpec {
        channels,
        resize,
        resize_shorter_px: shorter_px.unwrap_or(usual.resize_shorter_px),
        fill: fill.unwrap_or(usual.fill),
        ..usual
    };
    Some(match dtype {
        Dtype::U8 => spec,
        Dtype::F32 => InputSpec {
            scale: scale.unwrap_or(spec.scale),
            mean: mean.unwrap_or(spec.mean),
            std: std.unwrap_or(spec.std),
            ..spec
        },
    })
}

/// `fill`: three integers.
fn fill(table: &mut Table<'_, '_>) -> Option<[u8; 3]> {
    let colour = table.numbers("fill", limits::COLOUR)?;
    if colour.iter().any(|value| value.fract() != 0.0) {
        table.fault("fill", "needs whole numbers from 0 to 255");
        return None;
    }
    Some(colour.map(|value| value as u8))
}

/// Keys that have no effect with this way of resizing are faults: whoever wrote them meant another way.
fn check_resize(table: &Table<'_, '_>, resize: Resize) {
    let word = match resize {
        Resize::Crop => "crop",
        Resize::Fit => "fit",
        Resize::Stretch => "stretch",
    };
    if resize != Resize::Crop && table.has("resize_shorter_px") {
        let message = format!(
            "is for resize = \"crop\" alone, and resize is {word:?}, which shows the network the whole picture: take one of the two out"
        );
        table.fault("resize_shorter_px", message);
    }
    if resize != Resize::Fit && table.has("fill") {
        let message = format!(
            "is for resize = \"fit\" alone, and resize is {word:?}, which leaves nothing free: take one of the two out"
        );
        table.fault("fill", message);
    }
}

fn output(table: &mut Table<'_, '_>) -> Option<OutputSpec> {
    table.must_have(&["class_count"]);
    // Without it the network's file decides.
    let kind = table.word("kind", &KINDS).unwrap_or(OutputKind::Logits);
    let class_count = table.integer_u32("class_count", limits::CLASS_COUNT);
    let label_offset = table
        .integer_u32("label_offset", limits::LABEL_OFFSET)
        .unwrap_or(0);
    Some(OutputSpec {
        kind,
        class_count: class_count? as usize,
        label_offset: label_offset as usize,
    })
}
