//! From a file to a plan: read, checked against what the model promises, and planned by the best planner that can run it.

use super::deadline::{frame_in_time, in_time, weights_bytes};
use super::error::NetworkError;
use super::fused::{self, Fused};
use super::lower;
use super::onnx::seems::Signs;
use super::onnx::{self, inspect};
use super::rewrite::{dequantise, forms};
use super::tract::islands::{self, NoIslands, Outside};
use super::tract::parse::one_line;
use super::tract::plan::{Planned, TractPlan};
use crate::panics::catch_unwind;
use crate::spec::{
    CHANNELS, ChannelOrder, DTYPES, Dtype, Encoder, InputSpec, LAYOUTS, Layout, NetworkSpec,
    OutputKind, Precision, quoted,
};
use std::panic::AssertUnwindSafe;
use tract_onnx::pb::ModelProto;

/// Why there is no fast plan.
pub(super) struct WhySlow {
    pub(super) why: String,
    /// Why tract runs each node, if there are no islands to say so.
    pub(super) outside: Vec<Outside>,
}

/// What runs the network.
pub(super) enum Plan {
    /// Our own kernels: they know all layers of the network.
    Fast(Box<Fused>),
    /// tract, in float, with islands of our own kernels for known layers: any network.
    Any(Box<TractPlan>),
}

impl Plan {
    /// How pixels become its input: in the file's layout, or in our kernels'.
    pub(super) fn encoder_for(&self, input: &InputSpec) -> Encoder {
        let plan = match self {
            Self::Fast(fused) => return fused.input_encoding(input),
            Self::Any(plan) => plan,
        };
        let islands = plan.islands.as_ref().filter(|i| i.takes_picture);
        let fused = islands.and_then(|i| i.fused.lock().ok());
        fused.map_or_else(|| Encoder::of(input), |fused| fused.input_encoding(input))
    }
}

/// A planned file.
pub(super) struct Loaded {
    pub(super) plan: Plan,
    /// Why there is no fast plan; `None` if there is one.
    pub(super) why_slow: Option<WhySlow>,
    /// What the file shows of the network's task.
    pub(super) signs: Signs,
    /// Whether its scores come from a Softmax.
    pub(super) adds_up: bool,
}

/// Loads, checks and plans a file.
pub(super) fn load(model: &NetworkSpec, threads: usize) -> Result<Loaded, NetworkError> {
    let unsupported = |why: String| NetworkError::Unsupported {
        path: model.file.clone(),
        why,
    };
    let mut proto = onnx::read_for(&model.file, model.output_name.as_deref())?;
    let graph = proto
        .graph
        .as_mut()
        .ok_or_else(|| unsupported("holds no graph".into()))?;
    let inspected = inspect::inspect(graph).map_err(unsupported)?;
    check_input(model, &inspected).map_err(unsupported)?;
    check_meaning(model, &inspected).map_err(unsupported)?;
    onnx::close_input_shape(graph, &input_shape(model));
    let signs = Signs::of(graph);
    if signs.ends_in_product && model.output.kind == OutputKind::Probabilities {
        log::warn!(
            "{}: the network ends in a dense layer, so its scores are hardly probabilities, and its {} says so: if classes \
             have more than 100 % or less than 0 %, correct [output] kind to \"logits\"",
            model.name,
            model.toml
        );
    }
    let (own, weights) = (model.clone(), weights_bytes(&proto));
    let (planned, why_slow) =
        in_time(weights, move || plan(&own, proto, threads)).map_err(unsupported)??;
    let plan = match planned {
        BestPlan::Fast(fused) => Plan::Fast(fused),
        BestPlan::Any(planned) => {
            let tried = frame_in_time(weights, move || tried(*planned)).map_err(unsupported)?;
            Plan::Any(Box::new(ready(tried).map_err(unsupported)?))
        }
    };
    log_why_slow(model, &plan, why_slow.as_ref());
    Ok(Loaded {
        plan,
        why_slow,
        signs,
        adds_up: inspected.adds_up,
    })
}

/// A plan without the state that it runs in.
enum BestPlan {
    Fast(Box<Fused>),
    Any(Box<Planned>),
}

/// Rewrites and plans a file; says why the plan is not the fast one.
fn plan(
    model: &NetworkSpec,
    mut proto: ModelProto,
    threads: usize,
) -> Result<(BestPlan, Option<WhySlow>), NetworkError> {
    rewritten(model, &mut proto)?;
    let why = match fused::kernels_here() {
        Ok(()) => return best_plan(model, proto, threads),
        Err(why) => why,
    };
    let planned = tract_plan(model, proto).map_err(|why| NetworkError::Unsupported {
        path: model.file.clone(),
        why: assumed_size_note(model) + &why,
    })?;
    let outside = Vec::new();
    Ok((
        BestPlan::Any(Box::new(planned)),
        Some(WhySlow { why, outside }),
    ))
}

/// Computes what depends on constants alone, and rewrites what planners would misread.
fn rewritten(model: &NetworkSpec, proto: &mut ModelProto) -> Result<(), NetworkError> {
    let done = lower::settle(proto).and_then(|()| forms::rewrite(proto));
    done.map_err(|why| NetworkError::Unsupported {
        path: model.file.clone(),
        why,
    })
}

/// Logs why a plan is not the fast one.
fn log_why_slow(model: &NetworkSpec, plan: &Plan, why_slow: Option<&WhySlow>) {
    let Some(WhySlow { why, .. }) = why_slow else {
        return;
    };
    let islands = match plan {
        Plan::Any(plan) => plan.islands.as_ref(),
        Plan::Fast(_) => None,
    };
    if model.precision == Precision::Half {
        log_single(model, "not all of its layers are known");
    }
    match islands {
        Some(islands) => log::info!(
            "{}: {} of its multiply-adds run in our own kernels; no fast plan for the whole: {why}",
            model.name,
            islands.share_inside()
        ),
        None => log::info!("{}: planned by tract, which is slower: {why}", model.name),
    }
}

/// The fast plan; else tract's with islands, or without, and why it is not the fast one. Planners consume the file they are
/// given, so that few copies of the weights are in memory. If possible, whether a planner knows the network is decided before the
/// weights are consumed; else the file is read again for the next planner.
fn best_plan(
    model: &NetworkSpec,
    proto: ModelProto,
    threads: usize,
) -> Result<(BestPlan, Option<WhySlow>), NetworkError> {
    let known = proto.graph.as_ref().map_or(Ok(()), lower::all_known);
    let (proto, why) = match known {
        Err(why) => (proto, why.to_string()),
        Ok(()) => match fast_plan(model, proto, threads) {
            Ok(fused) => return Ok((BestPlan::Fast(Box::new(fused)), None)),
            Err(why) => (read_again(model)?, why),
        },
    };
    let (planned, why) = slow_plan(model, proto, threads, why)?;
    Ok((BestPlan::Any(Box::new(planned)), Some(why)))
}

/// tract's plan with islands, or without, and why it is not the fast one.
fn slow_plan(
    model: &NetworkSpec,
    proto: ModelProto,
    threads: usize,
    why: String,
) -> Result<(Planned, WhySlow), NetworkError> {
    let none = match island_plan(model, proto, threads) {
        Ok(planned) => {
            let outside = Vec::new();
            return Ok((planned, WhySlow { why, outside }));
        }
        Err(none) => none,
    };
    let no_islands = none.why;
    log::info!("{}: no islands: {no_islands}", model.name);
    let proto = none.model.map_or_else(|| read_again(model), |m| Ok(*m))?;
    let planned = tract_plan(model, proto).map_err(|why| NetworkError::Unsupported {
        path: model.file.clone(),
        why: assumed_size_note(model) + &why,
    })?;
    let why = format!("{why}; no islands: {no_islands}");
    let outside = none.outside;
    Ok((planned, WhySlow { why, outside }))
}

/// Put before the error if a network cannot be planned at a size that nobody has stated. Transformers, for example, accept few
/// sizes.
fn assumed_size_note(model: &NetworkSpec) -> String {
    if !model.is_size_assumed {
        return String::new();
    }
    let (width_px, height_px) = (model.input.width_px, model.input.height_px);
    let toml = model.file.with_extension("toml");
    let class_count = match model.output.class_count {
        0 => "...".to_owned(),
        count => count.to_string(),
    };
    format!(
        "leaves the size of its picture open, and {width_px} x {height_px} is assumed: if it is another one, state it in a {} beside it \
         ([input] width_px = ..., height_px = ..., and [output] class_count = {class_count}). At the assumed size it ",
        toml.file_name().unwrap_or_default().display()
    )
}

/// Reads the file again, for another planner.
fn read_again(model: &NetworkSpec) -> Result<ModelProto, NetworkError> {
    let mut proto = read_closed(model)?;
    rewritten(model, &mut proto)?;
    Ok(proto)
}

/// The file as it is, for pictures of the model's size.
fn read_closed(model: &NetworkSpec) -> Result<ModelProto, NetworkError> {
    let mut proto = onnx::read_for(&model.file, model.output_name.as_deref())?;
    if let Some(graph) = &mut proto.graph {
        onnx::close_input_shape(graph, &input_shape(model));
    }
    Ok(proto)
}

/// How the network's output integers map to its scores; `None` if its scores are plain floats.
pub(super) fn output_quantisation(
    model: &NetworkSpec,
) -> Result<Option<dequantise::Quantisation>, NetworkError> {
    let unsupported = |why: String| NetworkError::Unsupported {
        path: model.file.clone(),
        why: format!("cannot be compared: {why}"),
    };
    let mut proto = read_closed(model)?;
    let (own, weights) = (model.clone(), weights_bytes(&proto));
    let output = in_time(weights, move || {
        rewritten(&own, &mut proto)?;
        Ok(dequantise::of_output(&mut proto))
    });
    output.map_err(unsupported)??.map_err(unsupported)
}

/// tract's plan, once it has run a frame.
fn tried(planned: Planned) -> Result<Planned, String> {
    let tried = planned.tried();
    tried.map_err(|e| format!("cannot be run by tract: {}", one_line(&e)))
}

/// tract's plan with the state that it runs in.
fn ready(planned: Planned) -> Result<TractPlan, String> {
    TractPlan::new(planned).map_err(|e| format!("cannot be planned by tract: {}", one_line(&e)))
}

/// The fast plan of a network whose layers are all known, in the precision that is asked for or else in single precision; the error
/// says why there is none.
fn fast_plan(model: &NetworkSpec, mut proto: ModelProto, threads: usize) -> Result<Fused, String> {
    if model.precision == Precision::Half {
        if fused::computes_half() {
            match fast_plan_in(Precision::Half, model, proto, threads) {
                Ok(fused) => return Ok(fused),
                Err(why) => log_single(model, &why),
            }
            proto = read_again(model).map_err(|e| e.to_string())?;
        } else {
            log_single(model, "this CPU does not compute in it");
        }
    }
    fast_plan_in(Precision::Single, model, proto, threads)
}

/// Logs why a network runs in single precision after all.
fn log_single(model: &NetworkSpec, why: &str) {
    let name = &model.name;
    log::warn!("{name}: half precision was asked for, but {why}: single precision");
}

fn fast_plan_in(
    precision: Precision,
    model: &NetworkSpec,
    proto: ModelProto,
    threads: usize,
) -> Result<Fused, String> {
    // No user's file may crash the program.
    let fused = catch_unwind(AssertUnwindSafe(|| -> Result<Fused, String> {
        let understood = fused::understand(proto).map_err(|e| e.to_string())?;
        if precision == Precision::Single {
            return understood.plan(threads).map_err(|e| e.to_string());
        }
        let halved = understood.in_half()?;
        let weights = halved.weight_count() * 2;
        let fused = halved.plan(threads).map_err(|e| e.why)?;
        let mib = (weights + fused.arena_bytes()).div_ceil(1 << 20);
        log::info!(
            "{}: float network in half precision: weights and activations take {mib} MiB",
            model.name
        );
        Ok(fused)
    }));
    let fused = fused.map_err(|_| "the fast planner panicked on it".to_owned())??;
    let shape = fused.input_shape().ok_or("it takes no picture")?;
    if (shape.h, shape.w, shape.c)
        != (
            model.input.height_px as usize,
            model.input.width_px as usize,
            3,
        )
    {
        return Err(format!("its input is {}x{}x{}", shape.h, shape.w, shape.c));
    }
    Ok(fused)
}

/// The ONNX shape of the input.
fn input_shape(model: &NetworkSpec) -> [usize; 4] {
    let (h, w) = (
        model.input.height_px as usize,
        model.input.width_px as usize,
    );
    match model.input.layout {
        Layout::Nchw => [1, 3, h, w],
        Layout::Nhwc => [1, h, w, 3],
    }
}

/// tract's plan with islands of known layers.
fn island_plan(
    model: &NetworkSpec,
    proto: ModelProto,
    threads: usize,
) -> Result<Planned, NoIslands> {
    let shape = input_shape(model);
    // No user's file may crash the program.
    let planned = catch_unwind(AssertUnwindSafe(|| {
        let (islands, rewritten) = islands::make(proto, model.input.dtype, &shape, threads)?;
        Planned::new(rewritten, model.input.dtype, &shape, Some(islands)).map_err(|e| {
            NoIslands::used_up(format!("tract cannot plan what is left: {}", one_line(&e)))
        })
    }));
    planned.unwrap_or_else(|_| Err(NoIslands::used_up("the planner panicked on it".to_owned())))
}

/// tract's plan of the graph with its quantised parts made float; the error says what tract cannot do.
fn tract_plan(model: &NetworkSpec, mut proto: ModelProto) -> Result<Planned, String> {
    let known = dequantise::Reals::new();
    dequantise::dequantise(&mut proto, &known).map_err(|why| format!("cannot be run: {why}"))?;
    // tract panics on some graphs that it cannot run.
    let plan = catch_unwind(AssertUnwindSafe(|| {
        Planned::new(proto, model.input.dtype, &input_shape(model), None)
    }));
    plan.map_err(|_| "cannot be planned: tract panicked on it".to_owned())?
        .map_err(|e| format!("cannot be planned by tract: {}", one_line(&e)))
}

/// Whether the model contradicts its file: scores that are already probabilities would be flattened by a second softmax; pixels
/// normalised twice are only logged.
fn check_meaning(model: &NetworkSpec, file: &inspect::Inspected) -> Result<(), String> {
    if model.input.dtype == Dtype::F32 {
        log_pixels(model, file);
    }
    if let Some(order) = file.channels.filter(|order| *order != model.input.channels) {
        let channels = quoted(&CHANNELS, order);
        log::warn!(
            "{}: the network subtracts ImageNet's means in the order {channels}, and its {} says another one: if the classes \
             are wrong, set [input] channels = {channels}",
            model.name,
            model.toml
        );
    }
    if let (OutputKind::Logits, Some(operator)) = (model.output.kind, &file.last_operator) {
        return Err(format!(
            "ends in {operator}, so its scores are probabilities, and its {} says kind = \"logits\", which makes 55 % of \
             93 %: correct [output] kind to \"probabilities\"",
            model.toml
        ));
    }
    Ok(())
}

/// Logs pixels that are normalised twice, and arithmetic that does not tell whether they are.
fn log_pixels(model: &NetworkSpec, file: &inspect::Inspected) {
    let given = model.input.scale * 255.0;
    let is_plain = model.input.mean == [0.0; 3] && model.input.std == [1.0; 3];
    if let Some(scaling) = &file.scaling
        && (!is_plain || (given - scaling.pixel_most).abs() > 0.01 * scaling.pixel_most)
    {
        log::warn!(
            "{}: the network normalises its picture itself ({}), and its {} does so as well: if the classes are wrong, \
             take scale = {:?}, mean = [0.0, 0.0, 0.0], std = [1.0, 1.0, 1.0]",
            model.name,
            scaling.operators,
            model.toml,
            scaling.pixel_most / 255.0
        );
    }
    if file.scaling.is_none() {
        log_range(model);
    }
    if let Some(operators) = file.unclear.as_ref().filter(|_| model.is_scale_assumed) {
        log::warn!(
            "{}: the network computes on its picture before its first layer ({operators}), and which pixels it expects does not \
             follow from that: if the classes are wrong, state [input] scale, mean, std and channels in a model.toml; `eyelet model \
             describe` with photos compares the usual ones",
            model.name
        );
    }
}

/// If black and white differ by less than this, all pictures look alike to a network.
const LEAST_RANGE: f32 = 0.1;
/// So they do if the values of all pixels are so many times as far from 0 as black from white.
const MOST_OFFSET: f32 = 10.0;
/// No network is trained with pixel values above this.
const MOST_VALUE: f32 = 300.0;
/// A mean or deviation above this is one of pixels from 0 to 255.
const MOST_OF_UNIT: f32 = 1.5;

/// Warns if the scale is for one range of pixels, and the mean and deviation for another.
fn log_range(model: &NetworkSpec) {
    let InputSpec {
        scale, mean, std, ..
    } = &model.input;
    let value = |pixel: f32, c: usize| (pixel * scale - mean[c]) / std[c];
    let range = |c: usize| value(255.0, c) - value(0.0, c);
    let is_flat =
        |&c: &usize| range(c) < LEAST_RANGE || value(0.0, c).abs() > MOST_OFFSET * range(c);
    let most = |c: usize| value(0.0, c).abs().max(value(255.0, c).abs());
    let what = match (0..3).find(is_flat) {
        Some(c) => format!(
            "black becomes {:.3} and white {:.3}, so all pictures look alike",
            value(0.0, c),
            value(255.0, c)
        ),
        None => match (0..3).map(most).fold(0.0, f32::max) {
            most if most > MOST_VALUE => format!("a pixel's value is up to {most:.0}"),
            _ => return,
        },
    };
    let is_of_bytes = |values: &[f32; 3]| values.iter().any(|v| v.abs() > MOST_OF_UNIT);
    let most_scaled = scale * 255.0;
    let advice = match () {
        () if is_of_bytes(mean) && most_scaled < MOST_OF_UNIT && std.iter().all(|v| *v >= 1.0) => {
            "if mean and std are for pixels from 0 to 255, state scale = 1.0"
        }
        () if is_of_bytes(mean) => {
            "if mean is for pixels from 0 to 255, state scale = 1.0, and std for such pixels too ([1.0, 1.0, 1.0] if there is none)"
        }
        () if is_of_bytes(std) => {
            "if std is for pixels from 0 to 255, state scale = 1.0, and mean for such pixels too"
        }
        () if (most_scaled - 1.0).abs() > 0.01 => {
            "if mean and std are for pixels from 0 to 1, state scale = 0.003921569"
        }
        () => "correct mean and std, which are for pixels from 0 to 1,",
    };
    log::warn!(
        "{}: with scale = {scale:?}, mean = {mean:?}, std = {std:?} {what}: {advice} in [input] of its {}",
        model.name,
        model.toml
    );
}

fn check_input(model: &NetworkSpec, file: &inspect::Inspected) -> Result<(), String> {
    let spec = &model.input;
    let toml = &model.toml;
    let keys = [
        (
            "layout",
            quoted(&LAYOUTS, file.layout),
            quoted(&LAYOUTS, spec.layout),
        ),
        (
            "dtype",
            quoted(&DTYPES, file.dtype),
            quoted(&DTYPES, spec.dtype),
        ),
    ];
    if let Some((key, own, stated)) = keys.into_iter().find(|(_, own, stated)| own != stated) {
        return Err(format!(
            "takes {key} = {own}, and its {toml} says {key} = {stated}: correct [input] {key}"
        ));
    }
    let same = |values: [f32; 3]| values.iter().all(|v| *v == values[0]);
    if file.grey && (!same(spec.mean) || !same(spec.std) || spec.channels == ChannelOrder::Bgr) {
        return Err(format!(
            "takes grey pictures, and its {toml} wants colours apart: give [input] mean and std each three equal numbers \
             (mean = [0.5, 0.5, 0.5]), and no channels"
        ));
    }
    let fits = |file: Option<u32>, stated: u32| file.is_none_or(|n| n == stated);
    if !fits(file.width_px, spec.width_px) || !fits(file.height_px, spec.height_px) {
        return Err(format!(
            "takes pictures of {}x{} pixels, and its {toml} says {}x{}: correct [input] width_px and height_px",
            file.width_px.unwrap_or(spec.width_px),
            file.height_px.unwrap_or(spec.height_px),
            spec.width_px,
            spec.height_px
        ));
    }
    Ok(())
}
