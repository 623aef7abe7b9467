//! `[camera.v4l2.media]`: manual setup of a camera's pipeline, in the notation of `media-ctl`.

use crate::camera::v4l2::bus::BusFormat;
use crate::limits;
use crate::toml_file::{Table, did_you_mean};
use std::fmt;

/// The board file's settings for the pipeline. Anything missing is found automatically.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MediaConfig {
    /// `/dev/mediaN`, or the name of its driver or model; `None` means the device that the camera's node belongs to.
    pub device: Option<String>,
    /// Prefix of the sensor's name; `None` means the nearest sensor.
    pub sensor: Option<String>,
    /// Links to set, in the order of the file.
    pub links: Vec<LinkSetting>,
    /// Formats to set, in the order of the file.
    pub formats: Vec<FormatSetting>,
}

/// A pad in the notation of `media-ctl`: `imx219 10-0010:0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PadName {
    /// The entity's name.
    pub entity: String,
    /// The pad's number within the entity.
    pub index: u32,
}

/// One of `links`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSetting {
    /// Where pictures come from.
    pub source: PadName,
    /// Where they go.
    pub sink: PadName,
    /// Whether to enable or disable it.
    pub enabled: bool,
}

/// One line of `[camera.v4l2.media.formats]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatSetting {
    /// The pad.
    pub pad: PadName,
    /// The media bus code.
    pub code: BusFormat,
    /// Pixels per row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
}

impl fmt::Display for PadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entity, self.index)
    }
}

/// A pad's name, quoted as `media-ctl` prints it (`'imx219 10-0010':0`) or unquoted.
fn pad_name(text: &str) -> Option<PadName> {
    let (entity, index) = text.trim().rsplit_once(':')?;
    let entity = entity.trim();
    let entity = ['"', '\'']
        .into_iter()
        .find_map(|quote| entity.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(entity);
    let index = index.trim();
    let plain = index.bytes().all(|digit| digit.is_ascii_digit());
    // The kernel numbers pads with 16 bits.
    let index = index.parse::<u16>().ok().filter(|_| plain)?;
    (!entity.is_empty()).then(|| PadName {
        entity: entity.to_owned(),
        index: index.into(),
    })
}

/// `SOURCE:PAD -> SINK:PAD`, followed by `[0]` for a link to disable.
fn link(text: &str) -> Option<LinkSetting> {
    let (source, sink) = text.split_once("->")?;
    let (sink, enabled) = match sink.trim().strip_suffix(']') {
        None => (sink, true),
        Some(flagged) => {
            let (sink, flag) = flagged.rsplit_once('[')?;
            match flag.trim() {
                "1" => (sink, true),
                "0" => (sink, false),
                _ => return None,
            }
        }
    };
    Some(LinkSetting {
        source: pad_name(source)?,
        sink: pad_name(sink)?,
        enabled,
    })
}

/// `CODE/WIDTHxHEIGHT`, or what is wrong with it.
fn format(text: &str) -> Result<(BusFormat, u32, u32), String> {
    let form = || format!("is {text:?}, needs CODE/WIDTHxHEIGHT, like \"SRGGB10_1X10/1640x1232\"");
    let (code, size) = text.split_once('/').ok_or_else(form)?;
    let (width, height) = size.split_once('x').ok_or_else(form)?;
    let side = |digits: &str| {
        let number = digits.trim().parse().ok();
        let number = number.and_then(|number| limits::SIDE_PX.check(number));
        number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| format!("is {text:?}: a side needs {}", limits::SIDE_PX))
    };
    let code = code.trim();
    let known = code.parse().map_err(|()| {
        let near = did_you_mean(&code.to_ascii_uppercase(), BusFormat::names());
        format!("is {text:?}: {code:?} is not a media bus code{near}")
    })?;
    Ok((known, side(width)?, side(height)?))
}

/// `[camera.v4l2.media]`, if it exists.
pub(in crate::camera::v4l2) fn media(camera: &mut Table<'_, '_>) -> Option<MediaConfig> {
    let mut table = camera.table("media")?;
    let device = table.text("device").filter(|device| device != "auto");
    let sensor = table.text("sensor");
    let mut links = Vec::new();
    for text in table.texts("links").unwrap_or_default() {
        match link(&text) {
            Some(link) => links.push(link),
            None => table.fault(
                "links",
                format_args!(
                    "has {text:?}, needs \"ENTITY:PAD -> ENTITY:PAD\", like \"imx219 10-0010:0 -> csi2:0\" ([0] behind it: off)"
                ),
            ),
        }
    }
    let mut formats = Vec::new();
    if let Some(mut inner) = table.table("formats") {
        for name in inner.names_in_order() {
            let Some(text) = inner.text(&name) else {
                continue;
            };
            match (pad_name(&name), format(&text)) {
                (Some(pad), Ok((code, width_px, height_px))) => formats.push(FormatSetting {
                    pad,
                    code,
                    width_px,
                    height_px,
                }),
                (None, _) => inner.fault(
                    &name,
                    "needs a pad for its key, \"ENTITY:PAD\", like \"imx219 10-0010:0\"",
                ),
                (_, Err(wrong)) => inner.fault(&name, wrong),
            }
        }
    }
    Some(MediaConfig {
        device,
        sensor,
        links,
        formats,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pad(entity: &str, index: u32) -> PadName {
        PadName {
            entity: entity.to_owned(),
            index,
        }
    }

    #[test]
    fn links_are_written_as_media_ctl_prints_them() {
        for text in [
            "imx219 10-0010:0 -> csi2:4",
            "'imx219 10-0010':0->'csi2':4[1]",
            " \"imx219 10-0010\":0 -> \"csi2\" : 4 [1] ",
        ] {
            let read = link(text).unwrap();
            assert_eq!(read.source, pad("imx219 10-0010", 0), "{text}");
            assert_eq!(read.sink, pad("csi2", 4), "{text}");
            assert!(read.enabled, "{text}");
        }
        assert!(!link("a:b:0 -> c:1 [0]").unwrap().enabled);
        assert_eq!(link("a:b:0 -> c:1").unwrap().source, pad("a:b", 0));
        for text in [
            "",
            "->",
            "a -> b",
            "a:0",
            "a:0 -> b:x",
            "a:0 -> b:-1",
            "a:0 -> b:65536",
            ":0 -> b:0",
            "a:0 -> b:0 [2]",
            "a:0 -> b:0]",
            "a:0 -> b:+1",
        ] {
            assert_eq!(link(text), None, "{text:?}");
        }
    }

    #[test]
    fn formats_are_a_code_and_a_size() {
        let read = format("SRGGB10_1X10/1640x1232").unwrap();
        assert_eq!(read, (BusFormat(0x300f), 1640, 1232));
        for (text, expected) in [
            ("SRGGB10_1X10", "needs CODE/WIDTHxHEIGHT"),
            ("SRGGB10_1X10/1640", "needs CODE/WIDTHxHEIGHT"),
            ("SRGGB10/640x480", "did you mean `SRGGB10_1X10`?"),
            ("SRGGB10_1X10/640x0", "a whole number from 16"),
            ("SRGGB10_1X10/-1x480", "a whole number from 16"),
        ] {
            let wrong = format(text).unwrap_err();
            assert!(wrong.contains(expected), "{text}: {wrong}");
        }
    }
}
