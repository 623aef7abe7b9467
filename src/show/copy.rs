//! An owned copy of a scene: for a display that is drawn on later, or by another thread.

use super::words::Text;
use super::{REGIONS, Region, Scene, State};
use crate::decide::Verdict;
use crate::preprocess::Crop;
use std::fmt::Write as _;
use std::sync::Arc;

/// A region's name (up to 24 letters of up to four bytes), or a notice.
type Words = Text<96>;

/// What copies hold besides what changes from scene to scene, and the room that they need.
#[derive(Debug, Clone)]
pub struct Holds {
    /// One label per class; used instead of the scenes' own, which are ignored.
    pub labels: Arc<[String]>,
    /// The word for "no class is decided"; also used instead of the scenes' own.
    pub unknown_label: Arc<str>,
    /// Size of the largest picture in bytes.
    pub picture_bytes: usize,
    /// The most regions that a scene has; 0 if the whole picture is classified.
    pub regions: usize,
}

/// The copy of one scene. Allocates everything it needs on creation.
#[derive(Debug)]
pub struct SceneCopy {
    labels: Arc<[String]>,
    unknown_label: Arc<str>,
    state: State,
    verdict: Option<Verdict>,
    rate_fps: f32,
    picture: Picture,
    regions: Vec<Place>,
    /// How many of `regions` the scene uses.
    region_count: usize,
    notice: Option<Words>,
}

/// A picture, if there is one.
#[derive(Debug)]
struct Picture {
    size_px: Option<(u32, u32)>,
    rgb: Vec<u8>,
}

/// A region.
#[derive(Debug)]
struct Place {
    name: Words,
    verdict: Option<Verdict>,
    picture: Picture,
}

impl SceneCopy {
    /// The scene of the board that is starting.
    pub fn new(holds: &Holds) -> Self {
        let place = |_| Place {
            name: Words::new(),
            verdict: None,
            picture: Picture::new(holds.picture_bytes),
        };
        Self {
            labels: Arc::clone(&holds.labels),
            unknown_label: Arc::clone(&holds.unknown_label),
            state: State::Starting,
            verdict: None,
            rate_fps: 0.0,
            picture: Picture::new(if holds.regions == 0 {
                holds.picture_bytes
            } else {
                0
            }),
            regions: (0..holds.regions).map(place).collect(),
            region_count: 0,
            notice: None,
        }
    }

    /// Becomes a copy of `scene`.
    pub fn take(&mut self, scene: &Scene<'_>) {
        self.state = scene.state;
        self.verdict = scene.verdict.copied();
        self.rate_fps = scene.rate_fps;
        // Several regions have pictures of their own.
        self.picture
            .take(scene.picture.filter(|_| scene.regions.is_empty()));
        self.notice = scene.notice.map(words);
        self.region_count = scene.regions.len().min(self.regions.len());
        for (place, region) in self.regions.iter_mut().zip(scene.regions) {
            place.name = words(region.name);
            place.verdict = region.verdict.copied();
            place.picture.take(region.picture);
        }
    }

    /// Calls `use_scene` with the scene.
    pub fn with<T>(&self, use_scene: impl FnOnce(&Scene<'_>) -> T) -> T {
        let regions: [Region<'_>; REGIONS] = std::array::from_fn(|i| {
            let place = self.regions.get(i);
            place.map_or_else(Region::default, |place| Region {
                name: place.name.as_str(),
                verdict: place.verdict.as_ref(),
                picture: place.picture.crop(),
            })
        });
        use_scene(&Scene {
            state: self.state,
            verdict: self.verdict.as_ref(),
            labels: &self.labels,
            unknown_label: &self.unknown_label,
            rate_fps: self.rate_fps,
            picture: self.picture.crop(),
            regions: &regions[..self.region_count.min(REGIONS)],
            notice: self.notice.as_ref().map(Text::as_str),
        })
    }
}

impl Picture {
    fn new(bytes: usize) -> Self {
        Self {
            size_px: None,
            rgb: Vec::with_capacity(bytes),
        }
    }

    fn take(&mut self, crop: Option<Crop<'_>>) {
        self.size_px = crop.map(|crop| (crop.width_px, crop.height_px));
        self.rgb.clear();
        self.rgb
            .extend_from_slice(crop.map_or(&[], |crop| crop.rgb));
    }

    fn crop(&self) -> Option<Crop<'_>> {
        self.size_px.map(|(width_px, height_px)| Crop {
            width_px,
            height_px,
            rgb: &self.rgb,
        })
    }
}

fn words(text: &str) -> Words {
    let mut words = Words::new();
    // Text that does not fit is cut off, which cannot fail.
    let _ = words.write_str(text);
    words
}
