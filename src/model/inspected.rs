//! What an ONNX file says about itself, as a model needs it.

use super::{facts, hints, own_toml_name};
use crate::network::onnx::inspect::{Inspected, inspect};
use crate::network::onnx::peek::{Outline, peek, peek_at};
use crate::network::onnx::repair::Choice;
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
    let output = graph.output.first().map_or("", |output| &output.name);
    if let Some(why) = seems::hardly_classifier(&graph, output, inspected.score_count) {
        let count = inspected.score_count;
        let count = count.map_or("their number".to_owned(), |n| n.to_string());
        let (about, these) = match other_outputs(path, inspected.choice.as_ref()) {
            Some(other) => (other + "; ", "these"),
            None => ("Eyelet runs classifiers: ".to_owned(), "its outputs"),
        };
        let why = format!(
            "{why}; {about}if {these} are class scores after all, say so in {} beside it ([output] kind = \"logits\", class_count = {count})",
            own_toml_name(path)
        );
        return Err(no_classifier(path, &why));
    }
    Ok(inspected)
}

/// If another output could have the scores: which ones, and how to state it.
fn other_outputs(path: &Path, choice: Option<&Choice>) -> Option<String> {
    const SHOWN: usize = 8;
    let choice = choice?;
    let others = choice.all.iter().filter(|name| **name != choice.name);
    let others: Vec<String> = others.take(SHOWN).map(|name| facts::text(name)).collect();
    Some(format!(
        "this is about its output {}: if the scores are in another one ({}), state its name and its number of scores in {} beside it \
         ([output] name = ..., class_count = ...)",
        facts::text(&choice.name),
        others.join(", "),
        own_toml_name(path)
    ))
}

/// What an outline says, and its graph.
fn of_outline(path: &Path, outline: Outline) -> Result<(Inspected, GraphProto), String> {
    let choice = outline.before.choice.as_ref();
    let inspected = inspect(&outline.graph).map_err(|why| {
        let other = other_outputs(path, choice).map_or(String::new(), |other| format!("; {other}"));
        no_classifier(path, &(why + &other))
    })?;
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
