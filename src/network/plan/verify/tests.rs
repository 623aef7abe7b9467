//! Tests that real plans pass, that steps do what they declare ([`reality`]), and that faults are found ([`planted`]).
#![allow(clippy::unwrap_used)]

mod changed;
mod networks;
mod planted;
mod reality;

use super::*;
use crate::basics::cases;
use crate::network::kernels::{Aligned, Kernels, available};
use crate::network::plan;
use networks::all;

/// A plan that is not verified yet, its graph and its team.
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
    assert_eq!(steps.len(), 25, "a kind of step is in no plan: {steps:?}");
}

#[test]
fn steps_in_half_precision_do_what_they_declare() {
    let mut random = fastrand::Rng::with_seed(21);
    let kernels = available()
        .into_iter()
        .find(|k| k.half().is_some())
        .unwrap();
    let (mut halved, mut checked) = (0, 0);
    for (name, mut graph) in all() {
        // Some have layers without kernels for it, or weights that it does not hold.
        if plan::half::halve(&mut graph).is_err()
            || plan::plan(&mut graph.clone(), kernels, 1).is_err()
        {
            continue;
        }
        halved += 1;
        for team in [1, 3] {
            let mut planned = Planned::new(&graph, kernels, team);
            planned.verify().unwrap();
            if planned.plan.arena_bytes < 1 << 20 {
                reality::check(&mut planned, &mut random, &name);
                checked += 1;
            }
        }
    }
    assert!(halved > 3, "only {halved} networks run in half precision");
    assert!(checked > halved, "only {checked} plans are small enough");
}

/// Ten thousand layers, half of them long-lived: seconds, however busy the machine is. Comparing all pairs takes minutes. (`cargo
/// bench --bench kernels -- proof` measures how long every start waits for it.)
#[test]
fn many_layers_are_proved_before_the_deadline() {
    let layers = cases(10_000);
    let planned = Planned::new(&networks::many_layers(layers), available()[0], 2);
    let start = std::time::Instant::now();
    planned.verify().unwrap();
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
