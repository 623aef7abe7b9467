//! How a board shows a model's classes: which it ignores, merges or renames, the label of each, and the font's letters.

use super::Board;
use crate::decide::Classes;
use crate::model::{Model, find};
use crate::show::lettering::Lettering;
use crate::spec::OutputKind;
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
        let classes = classes(board, &model.name, &model.labels)?;
        let classes = match classes.has_groups() && are_independent(model) {
            true => classes.independent(),
            false => classes,
        };
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

/// The settings of `board` for individual classes of the model `name`, which has these labels.
///
/// # Errors
/// [`Cause::Board`]: one line for each name that matches no class, or two.
pub fn classes(board: &Board, name: &str, labels: &[String]) -> Result<Classes, Failure> {
    Classes::resolve(&board.decide.classes, labels).map_err(|faults| {
        let board = &board.name;
        let line = |fault| format!("board {board} with the model {name}: {fault}");
        let lines: Vec<_> = faults.into_iter().map(line).collect();
        Failure::of_lines(Cause::Board, &lines)
    })
}

/// Whether each class has a probability of its own, by a Sigmoid at the network's end: then several can be sure at once. One score
/// for two classes is none of these.
fn are_independent(model: &Model) -> bool {
    // A file that cannot be inspected is reported when it is loaded.
    model.output.kind == OutputKind::Probabilities
        && find::inspect_described(&model.file, model.output_name.as_deref()).is_ok_and(|file| {
            let last = file.last_operator.unwrap_or_default();
            last.ends_with("Sigmoid") && file.score_count != Some(1)
        })
}
