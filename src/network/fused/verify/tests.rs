//! That real plans are proved, that steps do what they declare ([`reality`]), and that faults are found ([`planted`]).
#![allow(clippy::unwrap_used)]

mod changed;
mod networks;
mod planted;
mod reality;

use super::*;
use crate::network::fused::kernels::{Aligned, Kernels, available};
use crate::network::fused::{plan, understand};
use networks::all;

/// A plan that is not proved yet, its graph and its team.
struct Planned {
    graph: Graph,
    plan: Plan,
    team: usize,
    kernels: &'static dyn Kernels,
}

impl Planned {
    fn new(graph: &Graph, kernels: &'static dyn Kernels, team: usize) -> Self {
        let mut graph = graph.clone();
        let plan = plan::plan(&mut graph, kernels, team).unwrap();
        Self {
            graph,
            plan,
            team,
            kernels,
        }
    }

    fn verify(&self) -> Result<(), NotFused> {
        verify(&self.graph, &self.plan, self.team)
    }
}

#[test]
fn plans_of_all_networks_are_proved() {
    let mut steps = std::collections::BTreeMap::new();
    for (name, graph) in all() {
        for kernels in available() {
            for team in 1..=4 {
                let planned = Planned::new(&graph, kernels, team);
                if let Err(refused) = planned.verify() {
                    panic!("{name} on {} x {team}: {refused}", kernels.name());
                }
                for step in &planned.plan.steps {
                    *steps.entry(step.work.name()).or_insert(0) += 1;
                }
            }
        }
    }
    println!("{steps:?}");
    assert_eq!(steps.len(), 23, "a kind of step is in none: {steps:?}");
}

/// Every start of the program waits for it.
#[test]
fn the_proof_of_mobilenet_takes_less_than_a_millisecond() {
    for name in ["mobilenetv2-1.0.onnx", "mobilenetv2-1.0-int8.onnx"] {
        let Some(model) = crate::network::fused::tests::model(name) else {
            return;
        };
        for threads in [1, 2, 4] {
            let understood = understand(model.clone()).unwrap();
            let best = understood.time_proof(threads, 30).unwrap();
            let best = best.into_iter().min().unwrap();
            println!("{name} x {threads}: {best:?}");
            assert!(best.as_micros() < 1000, "{name} x {threads}: {best:?}");
        }
    }
}

/// Ten thousand layers, half of them long-lived: the time grows with the layers, not with their pairs.
#[test]
fn many_layers_take_little_time() {
    let mut times = Vec::new();
    for count in [1_000, 10_000] {
        let planned = Planned::new(&networks::many_layers(count), available()[0], 2);
        let best = (0..5).map(|_| {
            let start = std::time::Instant::now();
            planned.verify().unwrap();
            start.elapsed()
        });
        times.push(best.min().unwrap());
    }
    println!("{times:?}");
    // Ten times the layers (their pairs are a hundred times as many), and room for a machine that does something else, too.
    assert!(times[1] < times[0] * 50, "{times:?}");
    assert!(times[1].as_millis() < 500, "{times:?}");
}
