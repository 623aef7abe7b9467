//! Prints the results for each picture: as text for people, as JSON lines (`boards/JSON.md`), or as a table.

use crate::decide::Candidate;
use crate::output::{print_json, print_line};
use crate::stats::{Stage, StageTimes};
use crate::{Cause, Failure};
use serde_json::json;
use std::fmt::{self, Display};
use std::path::Path;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line per picture, then a line per class.
    Text,
    /// An object per picture.
    Json,
    /// A header, then a line per picture: `image`, for each class `label_N`, `probability_N` and `class_N`, and `error`.
    Csv,
}

/// Prints results.
pub struct Results<'a> {
    format: Format,
    /// How many classes are printed per picture.
    classes: usize,
    labels: &'a [String],
}

const STAGES: [Stage; 3] = [Stage::Decode, Stage::Preprocess, Stage::Infer];

impl<'a> Results<'a> {
    /// Prints at most `top` classes per picture.
    pub fn new(format: Format, top: usize, labels: &'a [String]) -> Self {
        Self {
            format,
            classes: top.min(labels.len()),
            labels,
        }
    }

    /// Prints the header, if the format has one.
    pub fn begin(&self) -> Result<(), Failure> {
        if self.format != Format::Csv {
            return Ok(());
        }
        let classes = (1..=self.classes)
            .flat_map(|n| ["label", "probability", "class"].map(|what| format!("{what}_{n}")));
        print_line(Row(["image".to_owned()]
            .into_iter()
            .chain(classes)
            .chain(["error".to_owned()])
            .collect()))
    }

    /// Prints the best classes of a picture, best first.
    pub fn picture(
        &self,
        image: &Path,
        top: &[Candidate],
        times: &StageTimes,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.text(image, top, times),
            Format::Json => self.json(image, top, times),
            Format::Csv => {
                let classes = top.iter().flat_map(|c| {
                    [
                        self.labels[c.class].clone(),
                        c.probability.to_string(),
                        c.class.to_string(),
                    ]
                });
                self.row(image, classes, "")
            }
        }
    }

    /// Reports a picture that could not be read or classified.
    pub fn fault(&self, image: &Path, cause: Cause, why: &str) -> Result<(), Failure> {
        match self.format {
            Format::Text => {
                Failure::new(cause, why).report();
                Ok(())
            }
            Format::Json => print_json(json!({"image": image.to_string_lossy(), "error": why})),
            Format::Csv => self.row(image, std::iter::empty(), why),
        }
    }

    fn text(&self, image: &Path, top: &[Candidate], times: &StageTimes) -> Result<(), Failure> {
        let [decode, preprocess, infer] = STAGES.map(|stage| times.ms(stage));
        print_line(format_args!(
            "{} (decode {decode:.1}, preprocess {preprocess:.1}, infer {infer:.1} ms)",
            image.display()
        ))?;
        for candidate in top {
            let (percent, label) = (candidate.probability * 100.0, &self.labels[candidate.class]);
            print_line(format_args!(
                "  {percent:>6.2} %  {label} ({})",
                candidate.class
            ))?;
        }
        Ok(())
    }

    fn json(&self, image: &Path, top: &[Candidate], times: &StageTimes) -> Result<(), Failure> {
        let top = top.iter().map(|c| {
            json!({"class": c.class, "label": self.labels[c.class], "probability": c.probability})
        });
        let stage_ms = STAGES
            .iter()
            .map(|&stage| (stage.name().to_owned(), json!(times.ms(stage))))
            .collect();
        print_json(json!({
            "image": image.to_string_lossy(),
            "top": top.collect::<Vec<_>>(),
            "stage_ms": serde_json::Value::Object(stage_ms),
        }))
    }

    fn row(
        &self,
        image: &Path,
        classes: impl Iterator<Item = String>,
        error: &str,
    ) -> Result<(), Failure> {
        let mut cells = vec![image.to_string_lossy().into_owned()];
        cells.extend(classes);
        // Every line has the header's columns.
        cells.resize(1 + self.classes * 3, String::new());
        cells.push(error.to_owned());
        print_line(Row(cells))
    }
}

/// One line of a table, its cells quoted as in RFC 4180. (`print_line` escapes a line end within a cell.)
struct Row(Vec<String>);

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, cell) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            if cell.contains([',', '"', '\n', '\r']) {
                write!(f, "\"{}\"", cell.replace('"', "\"\""))?;
            } else {
                f.write_str(cell)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_when_necessary() {
        for (cells, wanted) in [
            (&["a b", "0.5", ""][..], "a b,0.5,"),
            (&["a,b", "c"], "\"a,b\",c"),
            (&["say \"cheese\"", "1"], "\"say \"\"cheese\"\"\",1"),
            (&["\"", "\n"], "\"\"\"\",\"\n\""),
            (&["Zürich; 'x'", " "], "Zürich; 'x', "),
        ] {
            let row = Row(cells.iter().map(ToString::to_string).collect());
            assert_eq!(row.to_string(), wanted);
        }
    }
}
