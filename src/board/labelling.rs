//! How a board shows a model's classes: which it ignores, merges or renames, the label of each, and the font's letters.

use super::Board;
use crate::decide::Classes;
use crate::model::Model;
use crate::show::lettering::Lettering;
use crate::{Cause, Failure};
use std::sync::Arc;

/// The classes of one model on one board.
#[derive(Debug)]
pub struct Labelling {
    /// The board file's settings for individual classes.
    pub classes: Classes,
    /// One label per class, with the board file's renames: for the log.
    pub labels: Vec<String>,
    /// The same labels as a display shows them.
    pub shown: Arc<[String]>,
    /// The glyphs of those labels.
    pub lettering: Lettering,
}

impl Labelling {
    /// Applies the settings of `board` to the classes of `model`. Reads the board's font file, if it names one.
    ///
    /// # Errors
    /// [`Cause::Board`]: one line for each name that matches no class, or two; or the font file cannot be read or is invalid.
    pub fn of(board: &Board, model: &Model) -> Result<Self, Failure> {
        let classes = Classes::resolve(&board.decide.classes, &model.labels).map_err(|faults| {
            let (board, model) = (&board.name, &model.name);
            let line = |fault| format!("board {board} with the model {model}: {fault}");
            let lines: Vec<_> = faults.into_iter().map(line).collect();
            Failure::of_lines(Cause::Board, &lines)
        })?;
        let shown: Arc<[String]> = classes.shown(&model.labels).into();
        let unknown = &board.decide.unknown_label;
        let words = shown.iter().chain([unknown]).map(String::as_str);
        // A board without a display shows no labels.
        let words: Vec<_> = words.filter(|_| !board.displays.is_empty()).collect();
        Ok(Self {
            lettering: Lettering::of(&words, board.font.as_deref())?,
            labels: classes.renamed(&model.labels),
            shown,
            classes,
        })
    }
}
