//! The network: an ONNX file as a runnable plan.
//!
//! ```text
//! onnx        read and repair the file
//! inspect     what the file says of its input and output
//! dequantise  a quantised graph as a float graph with the same scores
//! fused       the fast plan: our own kernels, for networks wholly of known layers
//! tract_plan  the plan that runs it
//! ```

pub mod dequantise;
pub mod fused;
pub mod inspect;
pub mod onnx;
mod tract_plan;

use crate::model::{Layout, Model};
use crate::preprocess::Encoder;
use crate::{Cause, Failure};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use tract_plan::{Staging, TractPlan};

/// The input tensor's values, to be written in place before a run: batch 1, in the model's layout, densely packed.
#[derive(Debug)]
pub enum Input<'a> {
    /// 32-bit float.
    F32(&'a mut [f32]),
    /// Bytes: pixels as they are, or quantised values when the plan takes them (then through the plan's own table).
    U8(&'a mut [u8]),
}

/// Why a network cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file is missing, damaged or no ONNX.
    #[error("the model {path} {why}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The file holds a network that Eyelet cannot run as `model.toml` (or Eyelet's own look into it) says.
    #[error("the model {path} {why}", path = path.display())]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What does not fit, and what to do.
        why: String,
    },
    /// A run failed or gave numbers that mean nothing.
    #[error("the network failed on a frame: {0}")]
    Run(String),
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Failure::new(Cause::Model, error)
    }
}

/// A loaded network: write [`Network::input`], call [`Network::run`], read the scores.
pub struct Network {
    plan: TractPlan,
    encoder: Encoder,
    scores: std::ops::Range<usize>,
}

impl Network {
    /// Loads, checks against what `model` promises, and optimises.
    pub fn load(model: &Model, _threads: usize) -> Result<Self, NetworkError> {
        let unfit = |why: String| NetworkError::Unfit {
            path: model.file.clone(),
            why,
        };
        let mut proto = onnx::read(&model.file)?;
        let graph = proto
            .graph
            .as_ref()
            .ok_or_else(|| unfit("holds no graph".into()))?;
        let inspected = inspect::inspect(graph).map_err(unfit)?;
        check_input(model, &inspected).map_err(unfit)?;
        if dequantise::is_quantised(graph) {
            dequantise::dequantise(&mut proto)
                .map_err(|why| unfit(format!("cannot be run: {why}")))?;
        }
        let (h, w) = (
            model.input.height_px as usize,
            model.input.width_px as usize,
        );
        let shape = match model.input.layout {
            Layout::Nchw => [1, 3, h, w],
            Layout::Nhwc => [1, h, w, 3],
        };
        // tract panics on some graphs that it cannot run; a user's file must not take the program down.
        let plan = catch_unwind(AssertUnwindSafe(|| {
            TractPlan::new(&mut proto, model.input.dtype, &shape)
        }));
        let plan = plan
            .map_err(|_| unfit("cannot be planned (tract panicked on it)".into()))?
            .map_err(|e| unfit(format!("cannot be planned by tract: {}", one_line(&e))))?;
        let scores =
            model.output.label_offset..model.output.label_offset + model.output.class_count;
        if plan.scores.len() != scores.end {
            return Err(unfit(format!(
                "gives {} scores where {} are expected ({} classes after an offset of {}); correct class_count and \
                 label_offset in model.toml, or give the labels that belong to it with --labels",
                plan.scores.len(),
                scores.end,
                model.output.class_count,
                model.output.label_offset
            )));
        }
        Ok(Self {
            plan,
            encoder: Encoder::of(&model.input),
            scores,
        })
    }

    /// How it is run, for people.
    pub fn describe(&self) -> &'static str {
        "tract plan on 1 thread"
    }

    /// How 8-bit pixels become the input's values.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The input tensor, to be written in place.
    pub fn input(&mut self) -> Input<'_> {
        match &mut self.plan.input {
            Staging::F32(values) => Input::F32(values),
            Staging::U8(values) => Input::U8(values),
        }
    }

    /// Runs the network on the input; gives one score a class.
    pub fn run(&mut self) -> Result<&[f32], NetworkError> {
        let run = catch_unwind(AssertUnwindSafe(|| self.plan.run()));
        run.map_err(|_| NetworkError::Run("tract panicked".into()))?
            .map_err(|e| NetworkError::Run(one_line(&e)))?;
        let scores = &self.plan.scores[self.scores.clone()];
        if scores.iter().all(|s| s.is_finite()) {
            Ok(scores)
        } else {
            Err(NetworkError::Run("a score is not a number".into()))
        }
    }
}

fn check_input(model: &Model, file: &inspect::Inspected) -> Result<(), String> {
    let spec = &model.input;
    if spec.layout != file.layout || spec.dtype != file.dtype {
        return Err(format!(
            "takes {:?} {:?}, and its model.toml says {:?} {:?}: correct [input] layout and dtype",
            file.layout, file.dtype, spec.layout, spec.dtype
        ));
    }
    let fits = |file: Option<u32>, said: u32| file.is_none_or(|n| n == said);
    if !fits(file.width_px, spec.width_px) || !fits(file.height_px, spec.height_px) {
        return Err(format!(
            "takes pictures of {}x{} pixels, and its model.toml says {}x{}: correct [input] width_px and height_px",
            file.width_px.unwrap_or(spec.width_px),
            file.height_px.unwrap_or(spec.height_px),
            spec.width_px,
            spec.height_px
        ));
    }
    Ok(())
}

/// tract's chain of causes on one line.
fn one_line(error: &tract_onnx::prelude::TractError) -> String {
    let text = format!("{error:#}")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let cut = text.char_indices().nth(300).map_or(text.len(), |(i, _)| i);
    text[..cut].to_owned()
}
