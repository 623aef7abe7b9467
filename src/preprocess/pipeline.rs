//! [`Preprocess`]: from a frame to the input tensor, in one pass over the part of the frame that the network sees.

use super::Crop;
use super::develop::{Cell, Developer, Window};
use super::lanes::{self, Column, ROWS};
use super::line::Lines;
use super::mjpeg::{self, MjpegError, Sampling};
use super::narrow::Span;
use super::placement::{Area, Axis, Mount, Placement, Rule};
use super::resize::Resize;
use super::source::{AxisTaps, Pitch, Source};
use crate::frame::{Frame, FrameError, Geometry, PixelFormat, RawTuning};
use crate::spec::{Encoder, Input, InputSpec};

/// Turns frames into the network's input: the whole picture, or regions of it, each separately.
///
/// Tables and buffers are built by [`Preprocess::prepare`]; after that, [`Preprocess::run`] allocates nothing as long as
/// the frames keep their geometry.
#[derive(Debug)]
pub struct Preprocess {
    rule: Rule,
    /// Colour of the borders around a fitted picture.
    fill: [u8; 3],
    encoder: Encoder,
    /// The same as the encoder's table, if that has bytes in the crop's order and consists of lines.
    lines: Option<Lines>,
    /// One per region.
    views: Vec<View>,
    /// The geometry for which the views are prepared.
    geometry: Option<Geometry>,
    /// One block after the vertical pass, large enough for the largest region.
    columns: Vec<Column>,
    /// One block after the horizontal pass: for each pixel along the camera's rows R, G, B of `ROWS` rows. Also for the largest
    /// region.
    pixels: Vec<[[u8; ROWS]; 3]>,
    raw_tuning: RawTuning,
    /// For frames that are converted before they are resized.
    maker: Option<Maker>,
}

/// Converts a frame to one that can be resized.
#[derive(Debug)]
enum Maker {
    /// For raw frames.
    Developer(Developer),
    /// For deep grey frames: space for the largest part.
    Narrower(Vec<u8>),
    /// For MJPEG frames.
    Decoder(mjpeg::Decoder),
}

/// The conversion of a frame for one region.
#[derive(Debug, Clone, Copy)]
enum Part {
    Developed(Window),
    Narrowed(Span),
    Decoded(mjpeg::Window),
}

impl Part {
    /// The source that it makes; of a JPEG, whose sampling is not yet known, the largest.
    fn source(&self, x: &AxisTaps) -> Option<Source> {
        match self {
            Self::Developed(window) => Source::of(&window.geometry(), x),
            Self::Narrowed(span) => Source::of(&span.geometry(), x),
            Self::Decoded(window) => Some(window.widest(x)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Developed(window) => window.bytes(),
            Self::Narrowed(span) => span.bytes(),
            Self::Decoded(window) => window.bytes(),
        }
    }
}

/// One region: its tables, and what the network saw of it.
#[derive(Debug)]
struct View {
    area: Area,
    /// The network's picture, packed RGB.
    crop: Vec<u8>,
    /// Tables for the geometry; `None` before there is one, and if the region is too small in it.
    placed: Option<(Placement, Source)>,
    /// The conversion that comes first; `None` for a frame that is resized directly.
    part: Option<Part>,
    /// How the last JPEG was sampled.
    sampling: Option<Sampling>,
    x: AxisTaps,
    y: AxisTaps,
}

/// Why a frame cannot become an input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// An MJPEG frame cannot be decoded.
    #[error(transparent)]
    Mjpeg(#[from] MjpegError),
    /// The frame's geometry is impossible.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A mosaic without a complete cell.
    #[error("a {0} picture is too small for its mosaic, it needs at least 4x4 pixels")]
    Mosaic(Geometry),
    /// The model's picture has no pixels.
    #[error(
        "the model's input is {width_px}x{height_px} from a picture of {shorter_px}: no side may be 0"
    )]
    NoPixels {
        /// Width of the model's picture.
        width_px: u32,
        /// Height of the model's picture.
        height_px: u32,
        /// Length to which the shorter side is resized.
        shorter_px: u32,
    },
    /// A region has too few pixels of this picture.
    #[error(
        "the region at [{}, {}, {}, {}] has {}x{} pixels of a picture of {}x{}{}, and needs at least {} each way: make it larger in \
         the board file's [mount], or take larger pictures",
        area.left, area.top, area.width, area.height, area_px.0, area_px.1, frame_px.0, frame_px.1, once_developed(*developed_px),
        crate::limits::REGION_SIDE_PX.least
    )]
    TooSmall {
        /// The region.
        area: Area,
        /// Its width and height in pixels, in the developed picture if there is one.
        area_px: (u32, u32),
        /// The camera's picture.
        frame_px: (u32, u32),
        /// Size to which a raw picture is developed.
        developed_px: Option<(u32, u32)>,
    },
    /// The tensor is not the one for which the encoder was made.
    #[error("the network's input has {got}, the preprocess makes {expected}")]
    Tensor {
        /// Count and type that the encoder makes.
        expected: String,
        /// Count and type of the tensor.
        got: String,
    },
}

/// The developed size of a raw picture, as text that follows its size.
fn once_developed(developed_px: Option<(u32, u32)>) -> String {
    developed_px.map_or_else(String::new, |(width_px, height_px)| {
        format!(" (raw, {width_px}x{height_px} once it is developed)")
    })
}

impl Preprocess {
    /// For a model's input, a camera's mounting, and the encoder that the network needs.
    pub fn new(input: &InputSpec, mount: Mount, encoder: Encoder) -> Self {
        Self::of_areas(input, mount, &[], encoder)
    }

    /// The same for regions of the upright picture, which [`Preprocess::run_area`] takes by index; without any, the whole
    /// picture.
    pub fn of_areas(input: &InputSpec, mount: Mount, areas: &[Area], encoder: Encoder) -> Self {
        let rule = Rule::of(input, mount);
        let crop_bytes = rule.input_px.0 as usize * rule.input_px.1 as usize * 3;
        let areas = if areas.is_empty() {
            &[Area::WHOLE]
        } else {
            areas
        };
        let view = |&area: &Area| View {
            area,
            crop: vec![0; crop_bytes],
            placed: None,
            part: None,
            sampling: None,
            x: AxisTaps::default(),
            y: AxisTaps::default(),
        };
        Self {
            rule,
            fill: input.fill,
            lines: Lines::of(&encoder),
            encoder,
            views: areas.iter().map(view).collect(),
            geometry: None,
            columns: Vec::new(),
            pixels: Vec::new(),
            raw_tuning: RawTuning::default(),
            maker: None,
        }
    }

    /// Sets how raw frames are developed, if not by default.
    pub fn with_raw_tuning(self, raw_tuning: RawTuning) -> Self {
        Self { raw_tuning, ..self }
    }

    /// Builds tables and buffers for frames of `geometry`. [`Preprocess::decode`] calls it when the geometry has changed; calling it
    /// at start keeps that cost out of the first frame. An area that is too small is an error, but the others are still prepared.
    pub fn prepare(&mut self, geometry: Geometry) -> Result<(), PreprocessError> {
        self.geometry = None;
        geometry.picture_bytes()?;
        if geometry.format == PixelFormat::Mjpeg
            && geometry.width_px.max(geometry.height_px) > mjpeg::MAX_PX
        {
            return Err(FrameError::TooLarge(geometry).into());
        }
        let (width_px, height_px) = self.rule.input_px;
        if width_px == 0 || height_px == 0 || self.rule.shorter_px == 0 {
            return Err(PreprocessError::NoPixels {
                width_px,
                height_px,
                shorter_px: self.rule.shorter_px,
            });
        }
        let mut result = Ok(());
        for view in &mut self.views {
            let prepared = view.prepare(&self.rule, &geometry, self.fill);
            result = result.and(prepared);
        }
        let placed = || self.views.iter().filter_map(|view| view.placed.as_ref());
        let columns = placed().map(|(_, source)| source.columns).max();
        let pixels = placed().map(|(placement, _)| placement.x.crop_px).max();
        self.columns.resize(columns.unwrap_or(0), [0; ROWS]);
        self.pixels
            .resize(pixels.unwrap_or(0) as usize, [[0; ROWS]; 3]);
        let parts = self.views.iter().filter_map(|view| view.part.as_ref());
        let most_bytes = parts.map(Part::bytes).max().unwrap_or(0);
        self.maker = match geometry.format {
            PixelFormat::Bayer(format) => {
                let developer = Developer::new(format, &self.raw_tuning, most_bytes);
                Some(Maker::Developer(developer))
            }
            PixelFormat::DeepGrey(_) => Some(Maker::Narrower(vec![0; most_bytes])),
            PixelFormat::Mjpeg => {
                let mut decoder = match self.maker.take() {
                    Some(Maker::Decoder(decoder)) => decoder,
                    _ => mjpeg::Decoder::default(),
                };
                decoder.make_room(most_bytes);
                Some(Maker::Decoder(decoder))
            }
            _ => None,
        };
        self.geometry = Some(geometry);
        result
    }

    /// Fills `input` from `frame` and keeps the crop. On an error `input` is unchanged. With several areas it uses the first.
    pub fn run(&mut self, frame: &Frame<'_>, input: Input<'_>) -> Result<(), PreprocessError> {
        self.run_area(0, frame, input)
    }

    /// The same for the area with this index, which must exist.
    pub fn run_area(
        &mut self,
        index: usize,
        frame: &Frame<'_>,
        input: Input<'_>,
    ) -> Result<(), PreprocessError> {
        self.decode(index, frame)?.fill(input)
    }

    /// The first half of [`Preprocess::run_area`]: decodes a frame if it is MJPEG, as far as the area needs it.
    pub fn decode<'a>(
        &'a mut self,
        index: usize,
        frame: &'a Frame<'a>,
    ) -> Result<Decoded<'a>, PreprocessError> {
        if self.geometry != Some(frame.geometry) {
            match self.prepare(frame.geometry) {
                // An area that is too small does not keep the others from running.
                Ok(()) | Err(PreprocessError::TooSmall { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let view = &mut self.views[index];
        if view.placed.is_none() {
            // The error says why.
            view.prepare(&self.rule, &frame.geometry, self.fill)?;
        }
        if let (Some(Part::Decoded(window)), Some(Maker::Decoder(decoder))) =
            (&view.part, &mut self.maker)
        {
            let size_px = (frame.geometry.width_px, frame.geometry.height_px);
            let sampling = decoder.decode(window, size_px, frame.data)?;
            if view.sampling != Some(sampling)
                && let Some((_, source)) = &mut view.placed
            {
                *source = window.source(sampling, &view.x);
                view.sampling = Some(sampling);
            }
        }
        Ok(Decoded {
            preprocess: self,
            index,
            frame,
        })
    }

    /// What the network saw in the last run, before its values were scaled. Black before the first run.
    pub fn crop(&self) -> Crop<'_> {
        self.crop_of_area(0)
    }

    /// The same for the area with this index, which must exist.
    pub fn crop_of_area(&self, index: usize) -> Crop<'_> {
        let (width_px, height_px) = self.rule.input_px;
        Crop {
            width_px,
            height_px,
            rgb: &self.views[index].crop,
        }
    }

    /// The cell size with which a raw frame's area is developed.
    #[cfg(test)]
    pub(super) fn cell(&self, index: usize) -> Option<Cell> {
        match self.views[index].part {
            Some(Part::Developed(window)) => Some(window.cell()),
            _ => None,
        }
    }

    fn fill_crop(&mut self, index: usize, frame: &Frame<'_>) {
        let view = &mut self.views[index];
        let Some((placement, source)) = &view.placed else {
            return;
        };
        let planes = match (&view.part, &mut self.maker) {
            (Some(Part::Developed(window)), Some(Maker::Developer(developer))) => {
                [developer.run(window, frame), &[], &[]]
            }
            (Some(Part::Narrowed(span)), Some(Maker::Narrower(grey))) => {
                [span.narrow(frame, grey), &[], &[]]
            }
            (Some(Part::Decoded(_)), Some(Maker::Decoder(decoder))) => decoder.planes(),
            _ => frame.planes(),
        };
        lanes::run(Resize {
            planes,
            placement,
            source,
            x: &view.x,
            y: &view.y,
            columns: &mut self.columns[..source.columns],
            pixels: &mut self.pixels[..placement.x.crop_px as usize],
            crop: &mut view.crop,
        });
    }
}

/// A frame that is ready for the network, once it is [filled in](Decoded::fill).
#[derive(Debug)]
pub struct Decoded<'a> {
    preprocess: &'a mut Preprocess,
    index: usize,
    frame: &'a Frame<'a>,
}

impl Decoded<'_> {
    /// The second half of [`Preprocess::run_area`]: fills `input`, and keeps the crop. On an error both are unchanged.
    pub fn fill(self, input: Input<'_>) -> Result<(), PreprocessError> {
        let preprocess = self.preprocess;
        let pixels = preprocess.views[self.index].crop.len();
        preprocess.encoder.check(&input, pixels)?;
        preprocess.fill_crop(self.index, self.frame);
        let crop = &preprocess.views[self.index].crop;
        match (&preprocess.lines, input) {
            (Some(lines), Input::U8(tensor)) => {
                lines.run(crop, tensor);
                Ok(())
            }
            (_, input) => preprocess.encoder.encode(crop, input),
        }
    }
}

impl View {
    /// Builds the tables, and fills the borders.
    fn prepare(
        &mut self,
        rule: &Rule,
        geometry: &Geometry,
        fill: [u8; 3],
    ) -> Result<(), PreprocessError> {
        (self.placed, self.part, self.sampling) = (None, None, None);
        let (cell, placement) = self.place(rule, geometry)?;
        for (taps, axis) in [(&mut self.x, &placement.x), (&mut self.y, &placement.y)] {
            taps.full.build(axis, Pitch::Full.px());
            taps.half.build(axis, Pitch::Half.px());
        }
        self.part = match (cell, geometry.format) {
            (Some(cell), _) => Some(Part::Developed(Window::of(cell, &mut self.x, &mut self.y))),
            (None, PixelFormat::DeepGrey(depth)) => {
                Some(Part::Narrowed(Span::of(depth, &mut self.x, &mut self.y)))
            }
            (None, PixelFormat::Mjpeg) => {
                let window = mjpeg::Window::of(&placement, &mut self.x, &mut self.y);
                Some(Part::Decoded(window))
            }
            _ => None,
        };
        let source = match &self.part {
            Some(part) => part.source(&self.x),
            None => Source::of(geometry, &self.x),
        };
        if !placement.fills_input() {
            let pixels = self.crop.chunks_exact_mut(3);
            pixels.for_each(|pixel| pixel.copy_from_slice(&fill));
        }
        // Formats without a source have a part.
        self.placed = source.map(|source| (placement, source));
        Ok(())
    }

    /// The location of the region. In a raw frame it is the location in the developed picture, with the coarsest cells that leave
    /// at least as many pixels as the network's picture has.
    fn place(
        &self,
        rule: &Rule,
        geometry: &Geometry,
    ) -> Result<(Option<Cell>, Placement), PreprocessError> {
        let frame_px = (geometry.width_px, geometry.height_px);
        let too_small = |area_px, developed_px| PreprocessError::TooSmall {
            area: self.area,
            area_px,
            frame_px,
            developed_px,
        };
        if !matches!(geometry.format, PixelFormat::Bayer(_)) {
            return match Placement::of(rule, frame_px, self.area) {
                Ok(placement) => Ok((None, placement)),
                Err(area_px) => Err(too_small(area_px, None)),
            };
        }
        let mut last = Err(PreprocessError::Mosaic(*geometry));
        for cell in Cell::ALL {
            let Some(developed_px) = cell.picture_px(geometry) else {
                break;
            };
            let placement = match Placement::of(rule, developed_px, self.area) {
                Ok(placement) => placement,
                Err(area_px) => {
                    last = Err(too_small(area_px, Some(developed_px)));
                    continue;
                }
            };
            let shrinks = |axis: &Axis| u64::from(axis.source_px) >= axis.resized_px;
            last = Ok((Some(cell), placement));
            if shrinks(&placement.x) && shrinks(&placement.y) {
                break;
            }
        }
        last
    }
}
