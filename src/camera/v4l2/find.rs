//! The video nodes of this machine, and which of them are cameras.
//!
//! One piece of hardware provides several nodes: pictures, metadata, outputs, codecs, parts of an image processor. The capability
//! flags distinguish most of them; a few drivers that only convert pictures are recognised by name.

use super::controls::Control;
use super::faults;
use super::media;
use super::negotiate::{Driver, FourCc, Sizes};
use super::node::{Identity, Node};
use crate::frame::PixelFormat;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use v4l::v4l_sys as sys;

/// Drivers whose capture nodes only return pictures that a program fed in.
const CONVERTERS: [&str; 5] = [
    "bcm2835-isp",
    "bcm2835-codec",
    "pispbe",
    "rpi-hevc-dec",
    "rpivid",
];

/// Where nodes and their links are.
const DEV: &str = "/dev";
/// Links by maker and serial number first: they identify a camera, not a port.
const LINK_FOLDERS: [&str; 2] = ["v4l/by-id", "v4l/by-path"];

/// A video node, for `eyelet list cameras`. Displayed over several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `/dev/videoN`.
    pub path: PathBuf,
    /// Stable links to it.
    pub links: Vec<PathBuf>,
    /// The kernel driver's name.
    pub driver: String,
    /// The device's name.
    pub card: String,
    /// Where it is connected.
    pub bus: String,
    /// For a node behind a media controller: the path of its pictures, or why there is none.
    pub pipeline: Option<String>,
    /// What it can deliver.
    pub formats: Vec<FoundFormat>,
    /// Its controls.
    pub controls: Vec<Control>,
    /// Why it cannot be used as a camera.
    pub unusable: Option<String>,
}

/// A format that a driver lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFormat {
    /// The driver's code.
    pub code: FourCc,
    /// Our name for it; `None` if it is not supported.
    pub format: Option<PixelFormat>,
    /// Its sizes.
    pub sizes: Sizes,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if !self.card.is_empty() {
            write!(f, "  {} ({}, {})", self.card, self.driver, self.bus)?;
        }
        if let Some(reason) = &self.unusable {
            write!(f, "\n  not usable: {reason}")?;
        }
        for link in &self.links {
            write!(f, "\n  {}", link.display())?;
        }
        if let Some(pipeline) = &self.pipeline {
            write!(f, "\n  pipeline: {pipeline}")?;
        }
        let taken = self
            .formats
            .iter()
            .filter_map(|entry| entry.format.map(|format| (format, entry)));
        for (format, FoundFormat { code, sizes, .. }) in taken {
            write!(f, "\n  {format} ")?;
            // Formats with planes in separate memory, or JPEG under its other name.
            if code.0 != format.fourcc() {
                write!(f, "({code}) ")?;
            }
            write!(f, "{sizes}")?;
        }
        let others: Vec<String> = self
            .formats
            .iter()
            .filter(|entry| entry.format.is_none())
            .map(|entry| entry.code.to_string())
            .collect();
        if !others.is_empty() {
            write!(f, "\n  not supported: {}", others.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete(sizes) if sizes.is_empty() => f.write_str("any size"),
            Self::Discrete(sizes) => {
                let mut between = "";
                for (width, height) in sizes {
                    write!(f, "{between}{width}x{height}")?;
                    between = " ";
                }
                Ok(())
            }
            Self::Range { least, most } => {
                write!(f, "{}x{} to {}x{}", least.0, least.1, most.0, most.1)
            }
        }
    }
}

/// Every video node, in numeric order.
pub fn list() -> Vec<Found> {
    let dev = Path::new(DEV);
    nodes(dev)
        .into_iter()
        .map(|path| look_at(dev, path))
        .collect()
}

fn look_at(dev: &Path, path: PathBuf) -> Found {
    let mut found = Found {
        links: links(dev, &path),
        driver: String::new(),
        card: String::new(),
        bus: String::new(),
        pipeline: None,
        formats: Vec::new(),
        controls: Vec::new(),
        unusable: None,
        path,
    };
    let mut node = match Node::open(&found.path) {
        Ok(node) => node,
        Err(error) => {
            found.unusable = Some(faults::opening(&found.path, &error).to_string());
            return found;
        }
    };
    match node.identity() {
        Ok(identity) => {
            found.unusable = unsuitable(&identity);
            if found.unusable.is_none() {
                found.controls = node.controls();
                match media::describe(&node, &identity) {
                    Some(Ok((way, sensor))) => {
                        found.pipeline = Some(way);
                        // The node has no controls itself; the sensor's are the ones that are set.
                        let sensor = sensor.and_then(|sensor| Node::open(&sensor).ok());
                        found
                            .controls
                            .extend(sensor.map_or_else(Vec::new, |s| s.controls()));
                    }
                    Some(Err(why)) => found.pipeline = Some(format!("none ({why})")),
                    None => {}
                }
            }
            found.driver = identity.driver;
            found.card = identity.card;
            found.bus = identity.bus;
        }
        Err(error) => {
            found.unusable = Some(faults::identifying(&found.path, &error).to_string());
            return found;
        }
    }
    if found.unusable.is_none() {
        let formats = node.formats().into_iter();
        found.formats = formats
            .map(|code| FoundFormat {
                code,
                format: PixelFormat::from_fourcc(code.0),
                sizes: node.sizes(code),
            })
            .collect();
        if found.formats.iter().all(|entry| entry.format.is_none()) {
            found.unusable = Some("it offers no supported format".to_owned());
        }
    }
    found
}

/// Why a node is not a camera.
pub(super) fn unsuitable(identity: &Identity) -> Option<String> {
    let has = |flag| identity.caps & flag != 0;
    let output = sys::V4L2_CAP_VIDEO_OUTPUT | sys::V4L2_CAP_VIDEO_OUTPUT_MPLANE;
    let m2m = sys::V4L2_CAP_VIDEO_M2M | sys::V4L2_CAP_VIDEO_M2M_MPLANE;
    let captures = has(sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE);
    let reason = if has(m2m) || (captures && has(output)) {
        "it is a codec or converter, not a camera"
    } else if CONVERTERS.contains(&identity.driver.as_str()) {
        "it is part of a codec or image processor, not a camera"
    } else if captures && !has(sys::V4L2_CAP_STREAMING) {
        "its driver cannot stream"
    } else if captures {
        return None;
    } else if has(sys::V4L2_CAP_META_CAPTURE | sys::V4L2_CAP_META_OUTPUT) {
        "it carries metadata, not pictures"
    } else if has(output) {
        "it is an output: it takes pictures and delivers none"
    } else {
        "it cannot capture pictures"
    };
    Some(reason.to_owned())
}

/// The nodes in a folder, in numeric order.
pub(super) fn nodes(dev: &Path) -> Vec<PathBuf> {
    let mut numbers: Vec<u32> = fs::read_dir(dev)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("video")?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| dev.join(format!("video{number}")))
        .collect()
}

/// The nodes of this machine.
pub(super) fn all_nodes() -> Vec<PathBuf> {
    nodes(Path::new(DEV))
}

/// Links that lead to a node.
fn links(dev: &Path, node: &Path) -> Vec<PathBuf> {
    let Ok(node) = fs::canonicalize(node) else {
        return Vec::new();
    };
    let mut links = Vec::new();
    for folder in LINK_FOLDERS {
        let mut here: Vec<PathBuf> = fs::read_dir(dev.join(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|link| fs::canonicalize(link).is_ok_and(|target| target == node))
            .collect();
        here.sort();
        links.append(&mut here);
    }
    links
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn identity(driver: &str, caps: u32) -> Identity {
        Identity {
            driver: driver.to_owned(),
            card: "card".to_owned(),
            bus: "bus".to_owned(),
            caps: caps | sys::V4L2_CAP_STREAMING,
        }
    }

    #[test]
    fn only_nodes_that_capture_are_cameras() {
        let camera = identity("uvcvideo", sys::V4L2_CAP_VIDEO_CAPTURE);
        assert_eq!(unsuitable(&camera), None);
        let unicam = identity("unicam", sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_IO_MC);
        assert_eq!(unsuitable(&unicam), None);
        let several = sys::V4L2_CAP_VIDEO_CAPTURE_MPLANE;
        let rkisp1 = identity("rkisp1", several | sys::V4L2_CAP_IO_MC);
        assert_eq!(unsuitable(&rkisp1), None);
        assert!(rkisp1.is_multi_planar() && !unicam.is_multi_planar());
        // A driver that supports both is used through the single-planar API.
        let both = identity("both", several | sys::V4L2_CAP_VIDEO_CAPTURE);
        assert!(!both.is_multi_planar());
        assert!(!unicam.is_usb());
        let bus = "usb-0000:00:14.0-1".to_owned();
        let webcam = Identity {
            bus,
            ..camera.clone()
        };
        assert!(webcam.is_usb());

        for (driver, caps, expected) in [
            ("uvcvideo", sys::V4L2_CAP_META_CAPTURE, "metadata"),
            ("vivid", sys::V4L2_CAP_VIDEO_OUTPUT, "delivers none"),
            ("vivid", sys::V4L2_CAP_RADIO, "cannot capture"),
            ("vicodec", sys::V4L2_CAP_VIDEO_M2M, "codec"),
            ("bcm2835-codec", sys::V4L2_CAP_VIDEO_M2M_MPLANE, "codec"),
            (
                "old-m2m",
                sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_VIDEO_OUTPUT,
                "converter",
            ),
            (
                "bcm2835-isp",
                sys::V4L2_CAP_VIDEO_CAPTURE,
                "image processor",
            ),
            ("pispbe", several, "image processor"),
            (
                "old-m2m",
                several | sys::V4L2_CAP_VIDEO_OUTPUT_MPLANE,
                "converter",
            ),
        ] {
            let reason = unsuitable(&identity(driver, caps)).unwrap();
            assert!(reason.contains(expected), "{driver}: {reason}");
        }
        let mut still = camera.clone();
        still.caps = sys::V4L2_CAP_VIDEO_CAPTURE | sys::V4L2_CAP_READWRITE;
        assert!(unsuitable(&still).is_some());
    }

    #[test]
    fn nodes_are_in_the_order_of_their_numbers_and_have_their_links() {
        let folder = tempfile::tempdir().unwrap();
        let dev = folder.path();
        for name in [
            "video10",
            "video2",
            "video0",
            "videodev",
            "v4l-subdev0",
            "video",
        ] {
            fs::write(dev.join(name), "").unwrap();
        }
        let found = nodes(dev);
        assert_eq!(found, ["video0", "video2", "video10"].map(|n| dev.join(n)));
        for (link, target) in [
            ("v4l/by-id/usb-edge-index0", "../../video2"),
            ("v4l/by-path/pci-0-usb-1-index0", "../../video2"),
            ("v4l/by-path/pci-0-usb-2-index0", "../../video10"),
            ("v4l/by-path/gone", "../../video77"),
        ] {
            let link = dev.join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(target, link).unwrap();
        }
        assert_eq!(
            links(dev, &dev.join("video2")),
            [
                "v4l/by-id/usb-edge-index0",
                "v4l/by-path/pci-0-usb-1-index0"
            ]
            .map(|l| dev.join(l))
        );
        assert!(links(dev, &dev.join("video0")).is_empty());
        assert!(nodes(&dev.join("nowhere")).is_empty());
    }

    #[test]
    fn a_found_camera_prints_what_a_board_file_needs() {
        let found = Found {
            path: "/dev/video2".into(),
            links: vec!["/dev/v4l/by-id/usb-edge-index0".into()],
            driver: "uvcvideo".into(),
            card: "Emulated".into(),
            bus: "usb-1".into(),
            pipeline: Some("sensor:0 -> node:0".into()),
            formats: vec![
                FoundFormat {
                    code: FourCc(*b"YUYV"),
                    format: Some(PixelFormat::Yuyv),
                    sizes: Sizes::Discrete(vec![(640, 480), (320, 240)]),
                },
                FoundFormat {
                    code: FourCc(*b"NM12"),
                    format: Some(PixelFormat::Nv12),
                    sizes: Sizes::Discrete(vec![]),
                },
                FoundFormat {
                    code: FourCc(*b"H264"),
                    format: None,
                    sizes: Sizes::Discrete(vec![]),
                },
            ],
            controls: vec![],
            unusable: None,
        };
        assert_eq!(
            found.to_string(),
            "/dev/video2  Emulated (uvcvideo, usb-1)\n  /dev/v4l/by-id/usb-edge-index0\n  pipeline: sensor:0 -> node:0\n  \
             YUYV 640x480 320x240\n  NV12 (NM12) any size\n  not supported: H264"
        );
    }
}
