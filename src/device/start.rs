//! The start: everything is loaded and opened, the network has run once, and the memory pool is sealed.
//!
//! The model comes first, then the display, so that it can say what is waited for, then the camera. Where somebody watches
//! over the board ([`Care::is_supervised`]) a camera that is not there is waited for as the policy says.

use super::displays::Displays;
use super::views::{self, Views};
use super::{Device, OpenCamera, OpenDisplay, PICTURE_PERIOD, REOPEN_PAUSE, Trouble};
use crate::board::{Board, CameraConfig, DisplayConfig};
use crate::camera::{self, Camera, CameraError, Counts};
use crate::care::Care;
use crate::decide::Classes;
use crate::frame::{Geometry, PixelFormat};
use crate::memory::{self, Ledger};
use crate::model::Model;
use crate::network::Network;
use crate::preprocess::{MjpegDecoder, Preprocess, PreprocessError};
use crate::show::copy::Holds;
use crate::show::font::Letters;
use crate::show::lettering::Lettering;
use crate::show::serial::Serial;
use crate::show::{self, Scene, State};
use crate::spec::InputSpec;
use crate::stats::Stats;
use crate::{Cause, Failure, clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

impl Device {
    /// Loads and opens everything, runs the network once, and seals the memory pool.
    ///
    /// `care` looks after the board; `stop` ends the waiting for a camera, as a [`Failure`] that is of no account then.
    pub fn start(
        board: Board,
        model: Model,
        serial: Serial,
        care: Care,
        stop: &AtomicBool,
    ) -> Result<Self, Failure> {
        let camera = board.camera.clone();
        let open_camera = Box::new(move || camera::open(&camera));
        let shown = Classes::of(&board, &model)?.shown(&model.labels);
        let lettering = Lettering::of(&board, &shown)?;
        if let Some(warning) = lettering.warning() {
            log::warn!("{warning}");
        }
        let displays = displays_of(&board.displays, lettering.own);
        Self::start_watched(board, model, serial, open_camera, displays, care, stop)
    }

    /// The same with a camera and displays of one's own, instead of those that the board names, and nobody watching.
    pub fn start_with(
        board: Board,
        model: Model,
        serial: Serial,
        open_camera: OpenCamera,
        displays: Vec<OpenDisplay>,
    ) -> Result<Self, Failure> {
        let care = Care::unwatched(board.policy.clone());
        let never = AtomicBool::new(false);
        Self::start_watched(board, model, serial, open_camera, displays, care, &never)
    }

    /// The same with everything of one's own.
    pub fn start_watched(
        board: Board,
        model: Model,
        serial: Serial,
        mut open_camera: OpenCamera,
        displays: Vec<OpenDisplay>,
        mut care: Care,
        stop: &AtomicBool,
    ) -> Result<Self, Failure> {
        let classes = Classes::of(&board, &model)?;
        let mut ledger = Ledger::default();
        if matches!(board.camera, CameraConfig::Pipe(_)) {
            care.needs_restart_for_frames();
        }
        memory::reserve(board.pool)?;
        let started = Instant::now();
        let mut network = ledger.account("network", || Network::load(&model, board.threads))?;
        ledger.account("network, one run", || network.run().map(|_| ()))?;
        let loaded_in = started.elapsed();
        let loaded_at = clock::now();
        let shown: Arc<[String]> = classes.shown(&model.labels).into();
        let mut displays = ledger.account("display", || {
            let holds = holds(&board, &model, &shown);
            Displays::open(displays, holds, &mut care)
        })?;
        let display_at = clock::now();
        let camera = ledger.account("camera", || {
            let show_waiting = |care: &mut Care| {
                displays.show(&Scene::in_state(State::Starting), care, &serial);
            };
            open_camera_patiently(&mut open_camera, &mut care, stop, show_waiting)
        })?;
        if let Some(boot) = &mut care.boot {
            boot.model = loaded_in;
            boot.camera_at = clock::now();
            boot.camera = boot.camera_at.saturating_sub(display_at);
            boot.display = display_at.saturating_sub(loaded_at);
        }
        let geometry = camera.geometry();
        let decoder = ledger.account("jpeg decoder", || MjpegDecoder::new(geometry));
        let encoder = network.encoder().clone();
        let mut preprocess = ledger.account("preprocess", || {
            let areas: Vec<_> = board.regions.iter().map(|region| region.area).collect();
            Preprocess::of_areas(&model.input, board.mount, &areas, encoder)
                .with_raw_tuning(board.camera.raw_tuning())
        });
        ledger
            .account("preprocess, tables", || {
                preprocess.prepare(decoded(geometry))
            })
            .map_err(|e| {
                let cause = match e {
                    PreprocessError::TooSmall { .. } => Cause::Board,
                    _ => Cause::Camera,
                };
                Failure::new(cause, format!("{}: {e}", camera.describe()))
            })?;
        let views = ledger.account("decide", || {
            Views::new(&board.regions, &board.decide, &classes, model.output)
        });
        let stats = ledger.account("statistics", Stats::default);
        let mut parts = vec![
            ("board", format!("{} ({})", board.name, board.description)),
            (
                "model",
                format!(
                    "{}, {}, loaded in {:.0} ms",
                    model.name,
                    network.describe(),
                    loaded_in.as_secs_f32() * 1e3
                ),
            ),
            ("camera", camera.describe()),
            ("display", displays.describe()),
        ];
        if !board.regions.is_empty() {
            parts.push(("regions", views::describe(&board.regions)));
        }
        let mut device = Self {
            shown,
            labels: classes.renamed(&model.labels),
            camera: Some(camera),
            geometry,
            decoder,
            preprocess,
            network,
            views,
            displays,
            serial,
            stats,
            live_at: None,
            lost_at: None,
            past: Counts::default(),
            drawn_at: Instant::now(),
            trouble: Trouble::default(),
            care,
            is_seen: true,
            finished_at: Instant::now(),
            skipped: None,
            open_camera,
            board,
        };
        ledger.account("first drawing", || device.draw());
        memory::settle();
        device.serial.start(&parts, ledger.lines());
        (device.displays).tell_absent(&mut device.care, &device.serial);
        memory::seal()?;
        Ok(device)
    }
}

/// How the displays of a board are opened.
fn displays_of(configs: &[DisplayConfig], own: Option<&'static Letters>) -> Vec<OpenDisplay> {
    let names = DisplayConfig::names(configs);
    let open = |(config, name): (&DisplayConfig, String)| {
        let config = config.clone();
        OpenDisplay {
            name,
            is_required: config.is_required(),
            is_slow: config.is_slow(),
            open: Arc::new(move || show::open(&config, own)),
        }
    };
    configs.iter().zip(names).map(open).collect()
}

/// What a display's copy of a scene must have room for.
fn holds(board: &Board, model: &Model, shown: &Arc<[String]>) -> Holds {
    let InputSpec {
        width_px,
        height_px,
        ..
    } = model.input;
    Holds {
        labels: Arc::clone(shown),
        unknown_label: board.decide.unknown_label.as_str().into(),
        picture_bytes: width_px as usize * height_px as usize * 3,
        // One part alone has the whole display.
        regions: if board.regions.len() > 1 {
            board.regions.len()
        } else {
            0
        },
    }
}

/// Opens the camera; where somebody watches, waits for one as long as the policy allows, and tells why once.
fn open_camera_patiently(
    open: &mut OpenCamera,
    care: &mut Care,
    stop: &AtomicBool,
    mut show_waiting: impl FnMut(&mut Care),
) -> Result<Box<dyn Camera>, Failure> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let error = match open() {
            Ok(camera) => return Ok(camera),
            Err(error @ CameraError::Spent(_)) => return Err(error.into()),
            Err(error) if !care.is_supervised() => return Err(error.into()),
            Err(error) => error,
        };
        if stop.load(Ordering::Relaxed) {
            return Err(error.into());
        }
        show_waiting(care);
        care.waiting(began.elapsed())?;
        let is_booting = care.boot.as_mut().is_some_and(|boot| boot.may_bring_more());
        if !is_booting && !is_told {
            is_told = true;
            log::warn!("no camera yet: {error}; opening it again until it is there");
            care.says("waiting for the camera");
        }
        std::thread::sleep(if is_booting {
            PICTURE_PERIOD / 2
        } else {
            REOPEN_PAUSE.0
        });
    }
}

/// The geometry of a frame behind the JPEG decoder.
fn decoded(geometry: Geometry) -> Geometry {
    match geometry.format {
        PixelFormat::Mjpeg => {
            Geometry::packed(PixelFormat::Rgb24, geometry.width_px, geometry.height_px)
        }
        _ => geometry,
    }
}
