//! What a board shows of a model's classes: which of them it ignores, merges or renames, in which words, in which letters.

use super::Board;
use crate::decide::Classes;
use crate::model::Model;
use crate::show::lettering::Lettering;
use crate::{Cause, Failure};
use std::sync::Arc;

/// The classes of one model on one board.
#[derive(Debug)]
pub struct Labelling {
    /// What the board file says of single classes.
    pub classes: Classes,
    /// One label a class, with the board file's new names: for the log.
    pub labels: Vec<String>,
    /// The same as a display shows them.
    pub shown: Arc<[String]>,
    /// The letters of those.
    pub lettering: Lettering,
}

impl Labelling {
    /// What `board` says of the classes of `model`. The board's font file is read, where it has one.
    ///
    /// # Errors
    /// [`Cause::Board`]: one line for each name that means no class, or two; or the font file cannot be read or is no sound font.
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
        // A board without a display shows none of them.
        let words: Vec<_> = words.filter(|_| !board.displays.is_empty()).collect();
        Ok(Self {
            lettering: Lettering::of(&words, board.font.as_deref())?,
            labels: classes.renamed(&model.labels),
            shown,
            classes,
        })
    }
}
