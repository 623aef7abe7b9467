//! The configuration files of Hugging Face and timm beside a network.

use super::{Hint, Pixels, Preparation, Resized, text_beside};
use crate::limits;
use crate::model::source::Source;
use crate::spec::ChannelOrder;
use serde_json::Value;
use std::cell::OnceCell;
use std::path::Path;

/// Hugging Face's file on how pictures were prepared.
pub(super) const PREPROCESSOR: &str = "preprocessor_config.json";
/// Hugging Face's and timm's file on the network.
pub(super) const CONFIG: &str = "config.json";

/// The configuration files beside a network. Each is read when it is first needed, and only once.
pub struct ConfigFiles<'a> {
    network: &'a Path,
    preprocessor: OnceCell<Option<Value>>,
    config: OnceCell<Option<Value>>,
}

impl<'a> ConfigFiles<'a> {
    /// Those beside the network in the file `path`.
    pub fn beside(path: &'a Path) -> Self {
        Self {
            network: path,
            preprocessor: OnceCell::new(),
            config: OnceCell::new(),
        }
    }

    fn preprocessor(&self) -> Option<&Value> {
        let read = || json(self.network, PREPROCESSOR);
        self.preprocessor.get_or_init(read).as_ref()
    }

    fn config(&self) -> Option<&Value> {
        let read = || json(self.network, CONFIG);
        self.config.get_or_init(read).as_ref()
    }

    /// What they say about pictures.
    pub fn preparation(&self) -> Preparation {
        let found = self.preprocessor().map(hugging_face);
        let found = found.or_else(|| self.config().map(timm));
        let mut found = found.unwrap_or_default();
        if found.size_px.is_none() {
            found.size_px = self.config().and_then(|config| {
                Some(Hint {
                    value: sides(config.get("image_size")?)?,
                    source: Source::Beside(format!("image_size in {CONFIG}")),
                })
            });
        }
        found
    }

    /// The labels in `config.json`, and their key.
    pub fn labels(&self) -> Option<(Vec<String>, &'static str)> {
        let config = self.config()?;
        if let Some(labels) = config.get("id2label").and_then(by_class) {
            // The placeholder when nobody gave labels.
            let is_unnamed = |(class, label): (usize, &String)| *label == format!("LABEL_{class}");
            let unnamed = labels.iter().enumerate().all(is_unnamed);
            return (!unnamed).then_some((labels, "id2label"));
        }
        let names = texts(config.get("label_names")?)?;
        // timm names ImageNet's classes by their WordNet ids, and adds descriptions.
        let described = config.get("label_descriptions").and_then(|all| {
            let one = |name: &String| all.get(name)?.as_str().map(str::to_owned);
            names.iter().map(one).collect::<Option<Vec<_>>>()
        });
        Some((described.unwrap_or(names), "label_names"))
    }
}

/// Lists and dictionaries in a configuration file that is read: they take up to 90 times their bytes in memory. Most files have
/// under a hundred.
const MAX_LISTS: usize = 10_000;
/// Their entries; 21,843 classes of ImageNet have three each at most.
const MAX_ENTRIES: usize = 400_000;

fn json(path: &Path, name: &str) -> Option<Value> {
    let read = |text: Option<String>| {
        let Some(text) = text else { return Ok(None) };
        let text = text.trim_start_matches('\u{feff}');
        let count = |of: &[u8]| text.bytes().filter(|byte| of.contains(byte)).count();
        if count(b"{[") > MAX_LISTS || count(b",") > MAX_ENTRIES {
            return Err("it has more lists or entries than a configuration has".to_owned());
        }
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
    };
    text_beside(path, name)
        .and_then(read)
        .unwrap_or_else(|why| {
            log::warn!("{}: {name} beside it is ignored: {why}", path.display());
            None
        })
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    value.as_array()?.iter().map(text).collect()
}

/// `{"0": "cat", "1": "dog"}`.
fn by_class(value: &Value) -> Option<Vec<String>> {
    let all = value.as_object()?;
    let label = |class: usize| all.get(&class.to_string())?.as_str().map(str::to_owned);
    (0..all.len()).map(label).collect()
}

fn three(value: &Value) -> Option<[f32; 3]> {
    let numbers: Vec<f32> = value
        .as_array()?
        .iter()
        .map(|n| n.as_f64().map(|n| n as f32))
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

fn pixels_side(value: &Value) -> Option<u32> {
    let side = limits::RESIZE_SHORTER_PX.check(value.as_u64()?)?;
    u32::try_from(side).ok()
}

/// Width and height: one number for both, `{"height": 256, "width": 256}` or `[256, 256]`, the height first.
fn sides(value: &Value) -> Option<[u32; 2]> {
    let side = |value: &Value| {
        let side = limits::INPUT_SIDE_PX.check(value.as_u64()?)?;
        u32::try_from(side).ok()
    };
    if let Some(both) = side(value) {
        return Some([both; 2]);
    }
    if let Some([height, width]) = value.as_array().map(Vec::as_slice) {
        return Some([side(width)?, side(height)?]);
    }
    Some([side(value.get("width")?)?, side(value.get("height")?)?])
}

fn hugging_face(config: &Value) -> Preparation {
    let source = |keys: &str| Source::Beside(format!("{keys} in {PREPROCESSOR}"));
    let pixels = hugging_face_pixels(config).map(|value| Hint {
        value,
        source: source("image_mean, image_std, rescale_factor"),
    });
    let resize = hugging_face_resize(config).map(|value| Hint {
        value,
        source: source("size"),
    });
    let flips = config.get("do_flip_channel_order").and_then(Value::as_bool);
    let channels = flips.filter(|flips| *flips).map(|_| Hint {
        value: ChannelOrder::Bgr,
        source: source("do_flip_channel_order"),
    });
    let size_px = hugging_face_size(config).map(|(value, key)| Hint {
        value,
        source: source(key),
    });
    Preparation {
        pixels,
        channels,
        size_px,
        resize,
    }
}

fn hugging_face_pixels(config: &Value) -> Option<Pixels> {
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let says_something = ["do_rescale", "do_normalize", "image_mean"]
        .iter()
        .any(|key| config.get(key).is_some());
    // EfficientNet's subtracts 1 between the two.
    if !says_something || flag("rescale_offset") == Some(true) {
        return None;
    }
    let factor = config.get("rescale_factor").and_then(Value::as_f64);
    let scale = match flag("do_rescale") {
        Some(false) => 1.0,
        _ => factor.unwrap_or(1.0 / 255.0) as f32,
    };
    if flag("do_normalize") == Some(false) || config.get("image_mean").is_none() {
        return Pixels::scaled(scale).checked();
    }
    let pixels = Pixels {
        scale,
        mean: three(config.get("image_mean")?)?,
        std: three(config.get("image_std")?)?,
    };
    pixels.checked()
}

/// The size of the picture in the end, and the key that says so: what was cropped, else what it was resized to.
fn hugging_face_size(config: &Value) -> Option<([u32; 2], &'static str)> {
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let crops = flag("do_center_crop");
    if let Some(crop) = config.get("crop_size").filter(|_| crops != Some(false)) {
        return Some((sides(crop)?, "crop_size"));
    }
    let size = config.get("size")?;
    if crops == Some(true) || flag("do_resize") == Some(false) {
        return None;
    }
    // ConvNeXt's size is that of the crop; else only the shorter side is known.
    let crop = size
        .get("shortest_edge")
        .filter(|_| config.get("crop_pct").is_some());
    Some((sides(crop.unwrap_or(size))?, "size"))
}

/// How pictures were resized.
fn hugging_face_resize(config: &Value) -> Option<Resized> {
    let size = config.get("size")?;
    if config.get("do_resize").and_then(Value::as_bool) == Some(false) {
        return None;
    }
    let shorter = size.get("shortest_edge").unwrap_or(size);
    let Some(shorter) = pixels_side(shorter) else {
        let sides = (size.get("height")?, size.get("width")?);
        let are_sides = pixels_side(sides.0).is_some() && pixels_side(sides.1).is_some();
        return are_sides.then_some(Resized::Stretched);
    };
    // ConvNeXt's size is that of the crop.
    match config.get("crop_pct").and_then(Value::as_f64) {
        Some(part) if shorter < 384 => larger(shorter, part).map(Resized::Shorter),
        _ => Some(Resized::Shorter(shorter)),
    }
}

/// The side of a picture of which a crop of `side` is the fraction `part`.
fn larger(side: u32, part: f64) -> Option<u32> {
    let whole = (f64::from(side) / part).floor();
    let is_right = part > 0.0 && whole <= limits::RESIZE_SHORTER_PX.most as f64;
    // In range by the check above.
    is_right.then_some(whole as u32)
}

fn timm(config: &Value) -> Preparation {
    let own = config.get("pretrained_cfg").unwrap_or(config);
    let source = |keys: &str| Source::Beside(format!("{keys} in {CONFIG}"));
    let pixels = || {
        let pixels = Pixels {
            scale: 1.0 / 255.0,
            mean: three(own.get("mean")?)?,
            std: three(own.get("std")?)?,
        };
        pixels.checked()
    };
    let resize = || {
        let size = own.get("input_size")?.as_array()?;
        let side = pixels_side(size.get(1)?)?.max(pixels_side(size.get(2)?)?);
        larger(side, own.get("crop_pct")?.as_f64()?)
    };
    // Channels first.
    let size = || sides(&Value::from(own.get("input_size")?.as_array()?.get(1..)?));
    Preparation {
        pixels: pixels().map(|value| Hint {
            value,
            source: source("mean, std"),
        }),
        resize: resize().map(|side| Hint {
            value: Resized::Shorter(side),
            source: source("input_size, crop_pct"),
        }),
        size_px: size().map(|value| Hint {
            value,
            source: source("input_size"),
        }),
        ..Preparation::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pixels_and_side(found: Preparation) -> (Option<Pixels>, Option<Resized>) {
        let resize = found.resize.map(|hint| hint.value);
        (found.pixels.map(|hint| hint.value), resize)
    }

    #[test]
    fn hugging_faces_configurations_are_understood() {
        let of = |config: Value| pixels_and_side(hugging_face(&config));
        let half = Pixels {
            scale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
        };
        let vit = json!({"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224}});
        assert_eq!(of(vit), (Some(half), Some(Resized::Stretched)));
        // An old one, without a key for rescaling.
        let old = json!({"do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": 256});
        assert_eq!(of(old), (Some(half), Some(Resized::Shorter(256))));
        let convnext = json!({"do_normalize": false, "do_rescale": true, "crop_pct": 0.875, "size": {"shortest_edge": 224}});
        let (pixels, larger_side) = (Pixels::scaled(1.0 / 255.0), Resized::Shorter(256));
        assert_eq!(of(convnext), (Some(pixels), Some(larger_side)));
        let bytes =
            json!({"do_normalize": false, "do_rescale": false, "do_resize": false, "size": 99});
        assert_eq!(of(bytes), (Some(Pixels::scaled(1.0)), None));
        // What `model.toml` cannot express, or nonsense.
        for odd in [
            json!({"do_normalize": true, "rescale_offset": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}),
            json!({"do_normalize": true, "image_mean": [0.5], "image_std": [0.5]}),
            json!({"do_normalize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0, 0.5, 0.5]}),
            json!({"do_rescale": true, "rescale_factor": -1}),
            json!({"size": {"height": -3, "width": 1e300}, "crop_pct": 0}),
            json!([1, 2]),
            json!({}),
        ] {
            assert_eq!(of(odd.clone()), (None, None), "{odd}");
        }
    }

    #[test]
    fn the_size_of_the_picture_stands_in_a_configuration() {
        let of = |config: Value| hugging_face(&config).size_px.map(|hint| hint.value);
        let mobile_vit = json!({"crop_size": {"height": 256, "width": 320}, "do_center_crop": true, "do_rescale": true,
            "do_flip_channel_order": true, "size": {"shortest_edge": 288}});
        let channels = hugging_face(&mobile_vit).channels;
        assert_eq!(channels.unwrap().value, ChannelOrder::Bgr);
        assert_eq!(of(mobile_vit), Some([320, 256]));
        assert_eq!(
            of(json!({"size": {"height": 384, "width": 384}})),
            Some([384; 2])
        );
        assert_eq!(of(json!({"size": 256, "do_resize": true})), Some([256; 2]));
        let convnext = json!({"crop_pct": 0.875, "size": {"shortest_edge": 224}});
        assert_eq!(of(convnext), Some([224; 2]));
        for open in [
            json!({"size": {"shortest_edge": 224}}),
            json!({"size": 256, "do_center_crop": true}),
            json!({"crop_size": {"height": -1, "width": 1e300}}),
            json!({"crop_size": [256]}),
            json!({"crop_size": 100_000}),
            json!({}),
        ] {
            assert_eq!(of(open.clone()), None, "{open}");
        }
        let own = timm(&json!({"pretrained_cfg": {"input_size": [3, 160, 192]}}));
        assert_eq!(own.size_px.unwrap().value, [192, 160]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.onnx");
        let size = || {
            ConfigFiles::beside(&path)
                .preparation()
                .size_px
                .map(|hint| hint.value)
        };
        std::fs::write(folder.path().join(CONFIG), r#"{"image_size": 256}"#).unwrap();
        assert_eq!(size(), Some([256; 2]));
        std::fs::write(folder.path().join(PREPROCESSOR), r#"{"crop_size": 240}"#).unwrap();
        assert_eq!(size(), Some([240; 2]));
    }

    #[test]
    fn timms_configurations_are_understood() {
        let config = json!({"architecture": "mobilenetv3", "pretrained_cfg":
            {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.875, "input_size": [3, 224, 224]}});
        let (pixels, side) = pixels_and_side(timm(&config));
        assert_eq!(
            (pixels.unwrap().mean, side),
            ([0.5; 3], Some(Resized::Shorter(256)))
        );
        assert_eq!(larger(224, 0.0), None);
        assert_eq!(larger(224, f64::NAN), None);
        assert_eq!(
            pixels_and_side(timm(&json!({"model_type": "vit"}))),
            (None, None)
        );
    }

    #[test]
    fn labels_stand_in_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.onnx");
        let of = |config: Value| {
            std::fs::write(folder.path().join(CONFIG), config.to_string()).unwrap();
            let labels = ConfigFiles::beside(&path).labels();
            labels.map(|(labels, _)| labels)
        };
        assert_eq!(
            of(json!({"id2label": {"1": "b", "0": "a"}})).unwrap(),
            ["a", "b"]
        );
        assert_eq!(
            of(json!({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})),
            None
        );
        assert_eq!(of(json!({"id2label": {"0": "a", "2": "b"}})), None);
        let timm = json!({"label_names": ["n1", "n2"], "label_descriptions": {"n1": "tench", "n2": "goldfish"}});
        assert_eq!(of(timm).unwrap(), ["tench", "goldfish"]);
        assert_eq!(of(json!({"label_names": ["x", "y"]})).unwrap(), ["x", "y"]);
        // More lists or entries than a configuration has would take many times their bytes.
        let lists = vec![json!([]); MAX_LISTS];
        assert_eq!(of(json!({"label_names": ["x", "y"], "more": lists})), None);
        let entries = vec![0; MAX_ENTRIES + 1];
        assert_eq!(
            of(json!({"label_names": ["x", "y"], "more": entries})),
            None
        );
    }
}
