//! A scene of several regions: each with its name, label, percent and bar in a cell of its own.

use super::{Painter, Palette};
use crate::decide::Candidate;
use crate::show::canvas::Rgb;
use crate::show::cells::{Cell, Cells};
use crate::show::layout::Side;
use crate::show::picture::Scaler;
use crate::show::words::{self, Number};
use crate::show::{DisplayError, Region, Scene};

impl Painter {
    /// Gives each of so many regions a place of its own; an error when they would not be legible.
    pub fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        let (width_px, height_px) = (self.canvas.width_px(), self.canvas.height_px());
        let Some(cells) = Cells::of(width_px, height_px, self.canvas.depth(), regions) else {
            return Err(DisplayError::Unusable(format!(
                "a display of {width_px} x {height_px} pixels has no room for {regions} regions: take fewer in the board file's \
                 [mount.regions], or [display.none]"
            )));
        };
        let pictures = cells.cells.iter().filter_map(|cell| cell.picture);
        let scalers = pictures.map(Scaler::new).collect();
        self.divided = Some((cells, scalers));
        Ok(())
    }

    /// The places of the regions, once the display is divided.
    pub fn cells(&self) -> Option<&Cells> {
        self.divided.as_ref().map(|(cells, _)| cells)
    }

    pub(super) fn live_regions(&mut self, scene: &Scene<'_>) {
        let prepared = self.cells().map(|cells| cells.cells.len());
        if prepared != Some(scene.regions.len()) && self.divide(scene.regions.len()).is_err() {
            return;
        }
        // Taken out for as long as it is drawn from, which moves a few words.
        let Some((cells, mut scalers)) = self.divided.take() else {
            return;
        };
        for (i, (cell, region)) in cells.cells.iter().zip(scene.regions).enumerate() {
            if let (Some(place), Some(scaler)) = (cell.picture, scalers.get_mut(i)) {
                let picture = region.picture.as_ref();
                if !picture.is_some_and(|picture| scaler.draw(&mut self.canvas, picture)) {
                    self.no_picture(place, self.palette.quiet);
                }
            }
            // Where there is no line for what is the matter with the board, it takes the place of the first name.
            let notice = scene.notice.filter(|_| i == 0 && cells.status.is_none());
            let name = words::legible(region.name);
            let (name, colour) = match notice {
                Some(notice) => (notice, self.palette.alarm),
                None => (name.as_str(), self.palette.quiet),
            };
            self.line(cell.name, cells.name_face, name, Side::Left, colour);
            self.region(cell, region, scene);
        }
        if let Some(place) = cells.status {
            self.status(scene, place, cells.status_face, Side::Left);
        }
        self.divided = Some((cells, scalers));
    }

    /// Label, percent and bar of one region.
    fn region(&mut self, cell: &Cell, region: &Region<'_>, scene: &Scene<'_>) {
        let Palette {
            text, good, doubt, ..
        } = self.palette;
        let decided = region.verdict.and_then(|verdict| verdict.decided);
        let percent: Number;
        let (label, colour): (words::Label, Rgb) = match (decided, region.verdict) {
            (Some(Candidate { class, .. }), _) => (words::class_name(scene.labels, class), text),
            (None, Some(_)) => (words::legible(scene.unknown_label), doubt),
            (None, None) => (words::legible("no frame"), doubt),
        };
        self.label_at(cell.label, label.as_str(), colour);
        let probability = decided.map_or(0.0, |best| best.probability);
        if decided.is_some() {
            percent = words::percent(probability);
            self.percent_at(cell.percent, percent.as_str(), text);
        }
        if let Some(bar) = cell.bar {
            let colour = if decided.is_some() { good } else { doubt };
            self.gauge(bar, probability, colour);
        }
    }
}
