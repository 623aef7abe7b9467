//! What an ONNX file says about itself, as a model needs it.

use super::{hints, own_toml_name};
use crate::network::onnx::inspect::{Inspected, inspect};
use crate::network::onnx::peek::{Outline, peek, peek_at};
use crate::network::onnx::seems;
use std::path::Path;
use tract_onnx::pb::GraphProto;

/// Reads what the ONNX file of a described network says about itself, and about the output whose name may be stated.
pub(crate) fn inspect_described(path: &Path, output: Option<&str>) -> Result<Inspected, String> {
    let outline = peek_at(path, output).map_err(|error| error.to_string())?;
    let (inspected, _) = of_outline(path, outline)?;
    Ok(inspected)
}

/// Reads what the ONNX file at `path` says about itself.
pub(crate) fn inspect_file(path: &Path) -> Result<Inspected, String> {
    let outline = peek(path).map_err(|error| error.to_string())?;
    if let Some(why) = hints::other_task(&outline.metadata) {
        return Err(no_classifier(path, &why));
    }
    let (inspected, graph) = of_outline(path, outline)?;
    if let Some(why) = seems::hardly_classifier(&graph, inspected.score_count) {
        let toml = own_toml_name(path);
        let count = inspected.score_count;
        let count = count.map_or("their number".to_owned(), |n| n.to_string());
        let why = format!(
            "{why}; Eyelet runs classifiers: if its outputs are scores of classes all the same, say so in {toml} beside it (kind = \
             \"logits\", class_count = {count})"
        );
        return Err(no_classifier(path, &why));
    }
    Ok(inspected)
}

/// What an outline says, and its graph.
fn of_outline(path: &Path, outline: Outline) -> Result<(Inspected, GraphProto), String> {
    let inspected = inspect(&outline.graph).map_err(|why| no_classifier(path, &why))?;
    let inspected = Inspected {
        metadata: outline.metadata,
        choice: outline.before.choice,
        ..inspected
    };
    Ok((inspected, outline.graph))
}

fn no_classifier(path: &Path, why: &str) -> String {
    format!("the model {} {why}", path.display())
}
