//! The network: an ONNX file as a runnable plan. A module imports only from those above it in this list:
//!
//! ```text
//! error     why a network cannot be loaded or run
//! deadline  the processor's time that one file may take
//! graph/    layers over tensors, and their exact arithmetic: no ONNX, no kernel, no offset
//! onnx/     file -> clean ONNX graph
//! rewrite/  ONNX -> ONNX: what would later be computed wrong, and quantised graphs as float ones
//! lower/    ONNX -> graph
//! kernels/  inner loops per instruction set
//! run/      the steps of a plan, threads, the arena: the only place that turns an offset into a pointer
//! plan/     graph -> steps, and the proof of each plan
//! fused     the fast plan: our own kernels, for networks of known layers only
//! tract/    any other network: tract's plan, with the known parts as islands of our kernels
//! load      reads, checks and plans a file, as a fast plan or with tract
//! mod       a loaded network
//! ```
//!
//! `graph/`, `kernels/` and `run/` belong to the package `eyelet-compute`, under the same names.

mod deadline;
pub mod error;
pub mod fused;
mod load;
pub(crate) mod lower;
pub mod onnx;
pub(crate) mod plan;
pub(crate) mod rewrite;
pub mod tract;

pub(crate) use eyelet_compute::network::{graph, kernels, run};

use crate::memory;
use crate::panics::catch_unwind;
use crate::spec::{Encoder, Input, InputSpec, NetworkSpec, OutputKind, OutputSpec};
use error::NetworkError;
use fused::Fused;
use load::{Loaded, Plan, WhySlow};
use onnx::{budget, inspect};
use rewrite::dequantise;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use tract::islands::{Islands, Outside};
use tract::parse::one_line;
use tract::plan::Staging;

/// A loaded network: write [`Network::input`], call [`Network::run`], read the scores.
pub struct Network {
    plan: Plan,
    encoder: Encoder,
    scores: std::ops::Range<usize>,
    /// For a network of two classes with one score: what its output means, and the two scores computed from it.
    pair: Option<(OutputSpec, [f32; 2])>,
    /// Why there is no fast plan; `None` if there is one.
    why_slow: Option<WhySlow>,
    /// What its scores mean.
    kind: OutputKind,
    /// Whether they come from a Softmax.
    adds_up: bool,
    name: String,
    /// The name of the file that describes it, or would.
    toml: String,
    /// The first run shows whether its logits are probabilities.
    has_run: bool,
    /// The model's file until tract has run for the first time: only then does tract allocate its memory.
    not_run_yet: Option<PathBuf>,
}

fn why_no_fast_plan(why_slow: &Option<WhySlow>) -> &str {
    let why = why_slow.as_ref().map(|w| w.why.as_str());
    why.unwrap_or("it was not requested")
}

impl Network {
    /// Loads, checks against what `model` promises, and plans: the fast plan on `threads` threads if it knows all layers of the
    /// network; otherwise tract's on one thread, with islands on `threads` threads where layers are known.
    pub fn load(model: impl Into<NetworkSpec>, threads: usize) -> Result<Self, NetworkError> {
        let model = model.into();
        memory::held_to(&model.file, || {
            let mut network = Self::plan(&model, threads)?;
            network.choose_scores(&model)?;
            Ok(network)
        })
    }

    fn plan(model: &NetworkSpec, threads: usize) -> Result<Self, NetworkError> {
        let unsupported = |why: String| NetworkError::Unsupported {
            path: model.file.clone(),
            why,
        };
        let Loaded {
            plan,
            why_slow,
            signs,
            adds_up,
        } = load::load(model, threads)?;
        let encoder = plan.encoder_for(&model.input);
        let network = Self {
            plan,
            encoder,
            scores: 0..0,
            pair: None,
            why_slow,
            kind: model.output.kind,
            adds_up,
            name: model.name.clone(),
            toml: model.toml.clone(),
            has_run: false,
            not_run_yet: Some(model.file.clone()),
        };
        inspect::scores_of(&network.output_dims(), &signs).map_err(unsupported)?;
        budget::scores(network.score_count()).map_err(unsupported)?;
        Ok(network)
    }

    /// Decides which of the scores are the model's classes.
    fn choose_scores(&mut self, model: &NetworkSpec) -> Result<(), NetworkError> {
        let output = model.output;
        let wanted = output.label_offset..output.label_offset + output.class_count;
        let count = self.score_count();
        if count == 1 && self.adds_up {
            return Err(NetworkError::Unsupported {
                path: model.file.clone(),
                why: "ends in a Softmax over one value, which is 1 for every picture: train it with a Sigmoid, or with two classes"
                    .to_owned(),
            });
        }
        if count == 1 && wanted == (0..2) {
            self.scores = 0..1;
            self.pair = Some((output, [0.0; 2]));
            return Ok(());
        }
        if count != wanted.end {
            return Err(NetworkError::Unsupported {
                path: model.file.clone(),
                why: format!(
                    "gives {count} scores where {} are expected ({} classes after an offset of {}); correct class_count and \
                     label_offset in {}, or give the labels that belong to it with --labels",
                    wanted.end, output.class_count, output.label_offset, model.toml
                ),
            });
        }
        self.scores = wanted;
        Ok(())
    }

    /// Number of scores of a network whose file does not state it: the network is planned to find out. `model` needs no labels
    /// for it.
    pub fn count_scores(model: impl Into<NetworkSpec>) -> Result<usize, NetworkError> {
        let mut model = model.into();
        // What is doubtful is logged when the network is loaded to run.
        model.is_scale_assumed = false;
        memory::held_to(&model.file, || Ok(Self::plan(&model, 1)?.score_count()))
    }

    fn score_count(&self) -> usize {
        match &self.plan {
            Plan::Fast(fused) => fused.score_count(),
            Plan::Any(plan) => plan.scores.len(),
        }
    }

    /// The output's sizes, batch first.
    fn output_dims(&self) -> Vec<Option<usize>> {
        let dims = match &self.plan {
            Plan::Fast(fused) => fused
                .output_shape()
                .map_or(Vec::new(), |s| vec![1, s.h, s.w, s.c]),
            Plan::Any(plan) => plan.output_dims.clone(),
        };
        dims.into_iter().map(Some).collect()
    }

    /// How the network runs, in words.
    pub fn describe(&self) -> String {
        match &self.plan {
            Plan::Fast(fused) => {
                let (threads, plural) =
                    (fused.threads(), if fused.threads() == 1 { "" } else { "s" });
                format!(
                    "fast plan, {} kernels, {threads} thread{plural}",
                    fused.kernels()
                )
            }
            Plan::Any(plan) => match &plan.islands {
                None => "tract plan, 1 thread".to_owned(),
                Some(islands) => {
                    let (count, threads) = (islands.ports.len(), islands.threads);
                    let s = |n: usize| if n == 1 { "" } else { "s" };
                    format!(
                        "tract plan with {count} island{} ({} of multiply-adds) on {} kernels, {threads} thread{}",
                        s(count),
                        islands.share_inside(),
                        islands.kernels,
                        s(threads)
                    )
                }
            },
        }
    }

    /// The fast plan, or why there is none.
    pub fn fused(&self) -> Result<&Fused, &str> {
        match &self.plan {
            Plan::Fast(fused) => Ok(fused),
            Plan::Any(_) => Err(why_no_fast_plan(&self.why_slow)),
        }
    }

    /// The same, to measure its steps.
    pub fn fused_mut(&mut self) -> Result<&mut Fused, &str> {
        match &mut self.plan {
            Plan::Fast(fused) => Ok(fused),
            Plan::Any(_) => Err(why_no_fast_plan(&self.why_slow)),
        }
    }

    /// The nodes that tract runs, if known for each.
    pub fn outside(&self) -> &[Outside] {
        let none = self.why_slow.as_ref().map_or(&[][..], |w| &w.outside);
        self.islands().map_or(none, |islands| &islands.outside)
    }

    /// The islands in tract's plan, if it has any.
    pub fn islands(&self) -> Option<&Islands> {
        match &self.plan {
            Plan::Fast(_) => None,
            Plan::Any(plan) => plan.islands.as_ref(),
        }
    }

    /// How 8-bit pixels become the input's values.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// How 8-bit pixels become the input's values with another scale, mean, deviation and channel order than the model's.
    pub fn encoder_for(&self, input: &InputSpec) -> Encoder {
        self.plan.encoder_for(input)
    }

    /// How the network's output integers map to its scores; `None` if its scores are plain floats. Reads the file once more.
    pub fn output_quantisation(
        model: impl Into<NetworkSpec>,
    ) -> Result<Option<dequantise::Quantisation>, NetworkError> {
        let model = model.into();
        memory::held_to(&model.file, || load::output_quantisation(&model))
    }

    /// The input tensor, to be written in place.
    pub fn input(&mut self) -> Input<'_> {
        match &mut self.plan {
            Plan::Fast(fused) => fused.input(),
            Plan::Any(plan) => match &mut plan.input {
                Staging::F32(values) => Input::F32(values),
                Staging::U8(values) => Input::U8(values),
            },
        }
    }

    /// Runs the network on the input and returns one score per class.
    pub fn run(&mut self) -> Result<&[f32], NetworkError> {
        let scores = match &mut self.plan {
            Plan::Fast(fused) => fused.run(),
            Plan::Any(plan) => {
                let mut run = || catch_unwind(AssertUnwindSafe(|| plan.run()));
                let run = match self.not_run_yet.take() {
                    Some(file) => memory::held_to(&file, run),
                    None => run(),
                };
                run.map_err(|_| NetworkError::Run("tract panicked".into()))?
                    .map_err(|e| NetworkError::Run(one_line(&e)))?;
                plan.scores.as_slice()
            }
        };
        if self.kind == OutputKind::Logits && !self.has_run {
            log_if_probabilities(&self.name, &self.toml, scores);
        }
        if self.adds_up && !self.has_run && are_all_one(scores) {
            return Err(NetworkError::Run(
                "all its scores are 1: its Softmax is over an axis of one value, and not over the classes: export it with the axis of \
                 the classes"
                    .into(),
            ));
        }
        self.has_run = true;
        let mut scores = &scores[self.scores.clone()];
        if let (Some((output, pair)), &[score]) = (&mut self.pair, scores) {
            *pair = output.of_one_score(score);
            scores = pair;
        }
        if !scores.iter().all(|s| s.is_finite()) {
            return Err(NetworkError::Run("a score is not a number".into()));
        }
        match scores.iter().find(|s| !PROBABILITIES.contains(*s)) {
            Some(score) if self.kind == OutputKind::Probabilities => {
                Err(NetworkError::Run(format!(
                    "its score {score} is not a probability, and its {} says kind = \"probabilities\": correct [output] kind to \
                     \"logits\"",
                    self.toml
                )))
            }
            _ => Ok(scores),
        }
    }
}

/// Probabilities, as far as 8 bits and single precision hold them.
const PROBABILITIES: std::ops::RangeInclusive<f32> = -0.001..=1.001;

/// Whether each of several scores is 1, as from a Softmax over another axis than the classes'.
fn are_all_one(scores: &[f32]) -> bool {
    scores.len() > 1 && scores.iter().all(|score| (score - 1.0).abs() < 0.01)
}

/// Logs that scores which should be logits look like probabilities.
fn log_if_probabilities(name: &str, toml: &str, scores: &[f32]) {
    let sum: f32 = scores.iter().sum();
    if scores.len() > 1 && (sum - 1.0).abs() <= 0.001 && scores.iter().all(|s| *s >= 0.0) {
        log::warn!(
            "{name}: its scores for the first picture are all from 0 to 1 and add up to 1, so they seem to be probabilities already; \
             as logits they are flattened: if they are, state [output] kind = \"probabilities\" in its {toml}"
        );
    }
}
