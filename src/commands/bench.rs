//! `eyelet bench`: measures how fast a model runs on this machine.

mod by_step;

use super::{find_model, print_line};
use crate::frame::{Frame, Geometry, PixelFormat};
use crate::model::Model;
use crate::network::Network;
use crate::output::print_json;
use crate::preprocess::Mount;
use crate::preprocess::Preprocess;
use crate::spec::Input;
use crate::{Cause, Failure, clock, limits, memory};
use by_step::Steps;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `eyelet bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model by name (`eyelet list models`) or an ONNX file
    #[arg(long, value_name = "NAME|FILE.onnx", default_value = super::classify::DEFAULT_MODEL)]
    model: String,
    /// Your own model's labels, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Threads that run the network
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = limits::flag::<usize>(limits::THREADS))]
    threads: usize,
    /// Measured runs, after five warm-up runs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limits::flag::<usize>(limits::BENCH_ITERATIONS))]
    iterations: usize,
    /// Leave out preprocessing: each iteration runs only the network
    #[arg(long)]
    network_only: bool,
    /// Also show each step of the network: its time, its rate beside the best of this CPU, and how busy the threads are
    #[arg(long)]
    by_step: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The camera picture whose preprocessing is timed.
const PICTURE: Geometry = Geometry {
    format: PixelFormat::Yuyv,
    width_px: 640,
    height_px: 480,
    stride_bytes: 1280,
};

/// Times the network (from input ready to scores ready) and the preprocessing of a 640x480 YUYV frame.
pub fn run(args: &Args, started: Instant) -> Result<(), Failure> {
    let model = find_model(&args.model, args.labels.as_deref())?;
    let mut network = Network::load(&model, args.threads)?;
    match network.input() {
        Input::F32(values) => values.fill(0.3),
        Input::U8(values) => values.fill(150),
    }
    network.run()?;
    let first_result_ms = started.elapsed().as_secs_f64() * 1e3;
    for _ in 0..5 {
        network.run()?;
    }
    let mut infer_ms = Vec::with_capacity(args.iterations);
    for _ in 0..args.iterations {
        let start = Instant::now();
        network.run()?;
        infer_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let infer = Summary::of(infer_ms);
    let preprocess = if args.network_only {
        None
    } else {
        Some(time_preprocess(&mut network, &model, args.iterations)?)
    };
    let steps = match args.by_step {
        true => Some(Steps::measure(&mut network, args.iterations)?),
        false => None,
    };
    let peak_mib = memory::peak_rss_kib() as f64 / 1024.0;
    if args.json {
        return print_json(json!({
            "model": model.name, "plan": network.describe(),
            "threads": args.threads, "iterations": args.iterations,
            "infer_ms": infer.json(), "preprocess_ms": preprocess.map(|p| p.json()),
            "islands": network.islands().map(|i| json!({
                "count": i.ports.len(), "outside": i.outside.len(), "percent_inside": i.percent_inside(),
            })),
            "steps": steps.map(|steps| steps.json()),
            "first_result_ms": first_result_ms, "peak_mib": peak_mib,
        }));
    }
    print_line(format_args!("{}, {}", model.name, network.describe()))?;
    if let Some(steps) = steps {
        steps.print()?;
    }
    for (what, s) in [("infer", Some(infer)), ("preprocess", preprocess)] {
        let Some(s) = s else { continue };
        print_line(format_args!(
            "{what:<12} min {:.2}, p50 {:.2}, p99 {:.2} ms",
            s.min, s.p50, s.p99
        ))?;
    }
    print_line(format_args!(
        "first result {first_result_ms:.0} ms after start, peak memory {peak_mib:.1} MiB"
    ))
}

/// Times the preprocessing of a camera picture into the network's input.
fn time_preprocess(
    network: &mut Network,
    model: &Model,
    iterations: usize,
) -> Result<Summary, Failure> {
    let mut preprocess = Preprocess::new(&model.input, Mount::default(), network.encoder().clone());
    let bytes = PICTURE.stride_bytes * PICTURE.height_px;
    let picture: Vec<u8> = (0..bytes).map(|n| (n * 7 % 219 + 16) as u8).collect();
    let mut preprocess_ms = Vec::with_capacity(iterations);
    for sequence in 0..iterations as u64 {
        let frame = Frame::new(PICTURE, &picture, clock::now(), sequence);
        let frame = frame.map_err(|e| Failure::new(Cause::Camera, e))?;
        let start = Instant::now();
        let run = preprocess.run(&frame, network.input());
        run.map_err(|e| Failure::new(Cause::Model, e))?;
        preprocess_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Summary::of(preprocess_ms))
}

struct Summary {
    min: f64,
    p50: f64,
    p99: f64,
}

impl Summary {
    fn of(mut ms: Vec<f64>) -> Self {
        ms.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| ms[(ms.len() * percent).div_ceil(100).max(1) - 1];
        Self {
            min: ms[0],
            p50: rank(50),
            p99: rank(99),
        }
    }

    fn json(&self) -> serde_json::Value {
        json!({"min": self.min, "p50": self.p50, "p99": self.p99})
    }
}
