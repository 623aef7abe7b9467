//! A scene of several regions: each with its name, label, percent and bar in its own cell.

use super::undecided::bar_of;
use super::{Painter, Palette};
use crate::decide::Candidate;
use crate::show::cells::{Cell, Cells};
use crate::show::layout::Side;
use crate::show::picture::Scaler;
use crate::show::words;
use crate::show::{DisplayError, Region, Scene};

impl Painter {
    /// Gives each of `regions` regions its own place; an error if they would not be legible.
    pub fn divide(&mut self, regions: usize) -> Result<(), DisplayError> {
        let cells = Cells::on(&self.surface, regions)
            .ok_or_else(|| DisplayError::Unusable(Cells::no_room(&self.surface, regions)))?;
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
        // Moved out while drawing from it, which copies only a few words.
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
            // If there is no line for what is wrong with the board, that takes the place of the first name.
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
            text,
            good,
            warning,
            ..
        } = self.palette;
        let (mut share, mut needed, mut colour) = (0.0, None, warning);
        match (
            region.verdict,
            region.verdict.and_then(|verdict| verdict.decided),
        ) {
            (_, Some(Candidate { class, probability })) => {
                let name = words::class_name(scene.labels, class);
                let line_px = self.label_at(cell.label, name.as_str(), Side::Left, text);
                if let Some(place) = cell.percent {
                    let percent = words::percent(probability);
                    let most = line_px.max(place.size.height / 2);
                    self.percent_at(place, percent.as_str(), most, Side::Right, text);
                }
                (share, colour) = (probability, good);
            }
            (Some(verdict), None) => {
                self.undecided(scene, Some(verdict), cell.undecided, Side::Left);
                (share, needed) = bar_of(Some(verdict));
            }
            (None, None) => {
                self.label_at(cell.label, "no frame", Side::Left, warning);
            }
        }
        if let Some(bar) = cell.bar {
            self.gauge(bar, share, needed, colour);
        }
    }
}
