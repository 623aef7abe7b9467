//! Startup: everything is loaded and opened, the network has run once, and the memory pool is sealed.
//!
//! The model comes first, then the display, so that it can show what is being waited for, then the camera. On a supervised board
//! ([`Care::is_supervised`]) the policy says how long to wait for a missing camera.

use super::displays::Displays;
use super::trouble::{Reason, Trouble};
use super::views::{self, Views};
use super::{Device, OpenCamera, OpenDisplay, PICTURE_PERIOD, REOPEN_PAUSE};
use crate::board::Board;
use crate::board::labelling::Labelling;
use crate::camera::{Camera, CameraError, Counts};
use crate::care::Care;
use crate::memory::{self, Ledger};
use crate::model::Model;
use crate::network::Network;
use crate::preprocess::{Preprocess, PreprocessError};
use crate::show::copy::Holds;
use crate::show::font::Letters;
use crate::show::serial::Serial;
use crate::show::{Display, DisplayConfig, Scene, State};
use crate::spec::InputSpec;
use crate::stats::Stats;
use crate::{Cause, Failure, clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The parts of a device.
pub struct Parts {
    /// Its settings.
    pub board: Board,
    /// The network that it runs.
    pub model: Model,
    /// How the board shows the network's classes.
    pub labelling: Labelling,
    /// Where it reports events.
    pub serial: Serial,
    /// Its camera.
    pub open_camera: OpenCamera,
    /// Its displays.
    pub displays: Vec<OpenDisplay>,
    /// Open displays that show what the board is doing until its own are opened; they are closed then.
    pub earlier: Vec<Box<dyn Display>>,
    /// What supervises it.
    pub care: Care,
}

impl Parts {
    /// The camera and the displays that the board names, and no [`Self::earlier`] ones.
    ///
    /// # Errors
    /// As for [`Labelling::of`].
    pub fn of_board(
        board: Board,
        model: Model,
        serial: Serial,
        care: Care,
    ) -> Result<Self, Failure> {
        let labelling = Labelling::of(&board, &model)?;
        if let Some(warning) = labelling.lettering.warning() {
            log::warn!("{warning}");
        }
        let camera = board.camera.clone();
        Ok(Self {
            open_camera: Box::new(move || camera.settings().open()),
            displays: displays_of(&board.displays, labelling.lettering.own),
            earlier: Vec::new(),
            board,
            model,
            labelling,
            serial,
            care,
        })
    }
}

/// What was loaded and opened.
struct Opened {
    network: Network,
    loaded_in: Duration,
    displays: Displays,
    camera: Box<dyn Camera>,
}

impl Opened {
    /// Loads the network, runs it once, opens the displays and then the camera.
    fn of(parts: &mut Parts, stop: &AtomicBool, ledger: &mut Ledger) -> Result<Self, Failure> {
        let Parts {
            board,
            model,
            labelling,
            serial,
            open_camera,
            displays,
            earlier,
            care,
        } = parts;
        if board.camera.settings().ends_for_good() {
            care.needs_restart_for_frames();
        }
        memory::reserve(board.pool)?;
        let started = Instant::now();
        let mut network = ledger.account("network", || Network::load(&*model, board.threads))?;
        ledger.account("network, one run", || network.run().map(|_| ()))?;
        let loaded_in = started.elapsed();
        let loaded_at = clock::now();
        earlier.clear();
        let mut displays = ledger.account("display", || {
            let holds = holds(board, model, &labelling.shown);
            Displays::open(std::mem::take(displays), holds, care)
        })?;
        let display_at = clock::now();
        let camera = ledger.account("camera", || {
            let show_waiting = |care: &mut Care| {
                displays.show(&Scene::in_state(State::Starting), care, serial);
            };
            open_camera_patiently(open_camera, care, stop, show_waiting)
        })?;
        if let Some(boot) = &mut care.boot {
            boot.model = loaded_in;
            boot.camera_at = clock::now();
            boot.camera = boot.camera_at.saturating_sub(display_at);
            boot.display = display_at.saturating_sub(loaded_at);
        }
        Ok(Self {
            network,
            loaded_in,
            displays,
            camera,
        })
    }
}

impl Device {
    /// Loads and opens everything, runs the network once, and seals the memory pool. `stop` ends the wait for a camera, with an error
    /// that the caller ignores.
    pub fn start(mut parts: Parts, stop: &AtomicBool) -> Result<Self, Failure> {
        let mut ledger = Ledger::default();
        let opened = Opened::of(&mut parts, stop, &mut ledger)?;
        Self::assembled(parts, opened, ledger)
    }

    fn assembled(parts: Parts, opened: Opened, mut ledger: Ledger) -> Result<Self, Failure> {
        let Parts {
            board,
            model,
            labelling,
            ..
        } = parts;
        let Opened {
            network, camera, ..
        } = opened;
        let preprocess = prepared(&board, &model, &network, &*camera, &mut ledger)?;
        let views = ledger.account("decide", || {
            Views::new(
                &board.regions,
                &board.decide,
                &labelling.classes,
                model.output,
            )
        });
        let stats = ledger.account("statistics", Stats::default);
        let ms = opened.loaded_in.as_secs_f32() * 1e3;
        let model_line = format!(
            "{}, {}, loaded in {ms:.0} ms",
            model.name,
            network.describe()
        );
        let mut device = Self {
            classes_of: (model.name, model.labels),
            shown: labelling.shown,
            labels: labelling.labels,
            camera: Some(camera),
            preprocess,
            network,
            views,
            displays: opened.displays,
            serial: parts.serial,
            stats,
            live_at: None,
            live_for: super::LIVE_FOR,
            lost: None,
            waiting: None,
            past: Counts::default(),
            drawn_at: Instant::now(),
            trouble: Trouble::default(),
            reason: Reason::default(),
            care: parts.care,
            is_seen: true,
            finished_at: Instant::now(),
            skipped: None,
            open_camera: parts.open_camera,
            board,
        };
        device.finish_start(model_line, ledger)?;
        Ok(device)
    }

    /// Draws for the first time, logs each part and its memory, and seals the memory pool.
    fn finish_start(&mut self, model: String, mut ledger: Ledger) -> Result<(), Failure> {
        ledger.account("first drawing", || self.draw());
        memory::settle();
        self.serial.start(&self.described(model), ledger.lines());
        (self.displays).report_absent(&mut self.care, &self.serial);
        memory::seal()?;
        Ok(())
    }

    /// Each part with its name, for the log at start.
    fn described(&self, model: String) -> Vec<(&'static str, String)> {
        let Board {
            name,
            description,
            regions,
            ..
        } = &self.board;
        let camera = self.camera.as_ref();
        let mut parts = vec![
            ("board", format!("{name} ({description})")),
            ("model", model),
            ("camera", camera.map_or_else(String::new, |c| c.describe())),
            ("display", self.displays.describe()),
        ];
        if !regions.is_empty() {
            parts.push(("regions", views::describe(regions)));
        }
        parts
    }
}

/// Turns frames into the network's input, with its tables for the frames that the camera delivers.
fn prepared(
    board: &Board,
    model: &Model,
    network: &Network,
    camera: &dyn Camera,
    ledger: &mut Ledger,
) -> Result<Preprocess, Failure> {
    let mut preprocess = ledger.account("preprocess", || {
        let areas: Vec<_> = board.regions.iter().map(|region| region.area).collect();
        Preprocess::of_areas(&model.input, board.mount, &areas, network.encoder().clone())
            .with_raw_tuning(board.camera.settings().raw_tuning())
    });
    let tables = ledger.account("preprocess, tables", || {
        preprocess.prepare(camera.geometry())
    });
    tables.map_err(|error| {
        let cause = match error {
            PreprocessError::TooSmall { .. } => Cause::Board,
            _ => Cause::Camera,
        };
        Failure::new(cause, format!("{}: {error}", camera.describe()))
    })?;
    Ok(preprocess)
}

/// How a board's displays are opened.
fn displays_of(configs: &[DisplayConfig], own: Option<&'static Letters>) -> Vec<OpenDisplay> {
    let names = DisplayConfig::names(configs);
    let open = |(config, name): (&DisplayConfig, String)| {
        let config = config.clone();
        OpenDisplay {
            name,
            is_required: config.settings().is_required(),
            is_slow: config.settings().is_slow(),
            open: Arc::new(move || config.settings().open(own)),
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
        // A single region has the whole display.
        regions: if board.regions.len() > 1 {
            board.regions.len()
        } else {
            0
        },
    }
}

/// Opens the camera; on a supervised board, waits for one as long as the policy allows and logs why.
fn open_camera_patiently(
    open: &mut OpenCamera,
    care: &mut Care,
    stop: &AtomicBool,
    mut show_waiting: impl FnMut(&mut Care),
) -> Result<Box<dyn Camera>, Failure> {
    let began = Instant::now();
    let mut reason = Reason::default();
    loop {
        let error = match open() {
            Ok(camera) => return Ok(camera),
            Err(error) => error,
        };
        let is_over = match error {
            CameraError::NotYet => false,
            CameraError::Spent(_) => true,
            _ => !care.is_supervised(),
        };
        if is_over || stop.load(Ordering::Relaxed) {
            return Err(error.into());
        }
        show_waiting(care);
        if care.is_supervised() {
            care.waiting(began.elapsed())?;
        }
        if matches!(error, CameraError::NotYet) {
            continue;
        }
        let is_booting = care.boot.as_mut().is_some_and(|boot| boot.may_bring_more());
        if !is_booting && reason.is_due(&error.to_string()) {
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
