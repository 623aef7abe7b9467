//! What an ONNX file says about itself, as a model needs it.

use super::hints;
use crate::network::onnx::inspect::{Inspected, inspect};
use crate::network::onnx::peek::{peek, peek_at};
use crate::network::onnx::seems;
use std::path::Path;

/// Reads what the ONNX file of a described network says about itself, and about the output whose name may be stated.
pub(crate) fn inspect_described(path: &Path, output: Option<&str>) -> Result<Inspected, String> {
    let outline = peek_at(path, output).map_err(|error| error.to_string())?;
    inspect(&outline.graph).map_err(|why| format!("the model {} {why}", path.display()))
}

/// Reads what the ONNX file at `path` says about itself.
pub(crate) fn inspect_file(path: &Path) -> Result<Inspected, String> {
    let outline = peek(path).map_err(|error| error.to_string())?;
    let no_classifier = |why: String| format!("the model {} {why}", path.display());
    if let Some(why) = hints::other_task(&outline.metadata) {
        return Err(no_classifier(why));
    }
    let inspected = inspect(&outline.graph).map_err(no_classifier)?;
    if let Some(why) = seems::hardly_classifier(&outline.graph, inspected.score_count) {
        let toml = path.with_extension("toml");
        let toml = toml.file_name().unwrap_or_default().to_string_lossy();
        let count = inspected.score_count;
        let count = count.map_or("their number".to_owned(), |n| n.to_string());
        return Err(no_classifier(format!(
            "{why}; Eyelet runs classifiers: if its outputs are scores of classes all the same, say so in {toml} beside it (kind = \
             \"logits\", class_count = {count})"
        )));
    }
    Ok(Inspected {
        metadata: outline.metadata,
        choice: outline.before.choice,
        ..inspected
    })
}
