//! Networks that run wholly in our kernels with the decision behind them, and an island.

use crate::{allocations, basics};
use eyelet::decide::{ClassRules, Classes, DecideConfig, Decider};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::spec::Input;
use std::time::Duration;

#[test]
fn a_fused_network_and_the_decision_allocate_nothing() {
    fused_network_and_decision_allocate_nothing("efficientnet-lite0");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    for name in ["dynamic", "attention", "attention-windows"] {
        fused_network_and_decision_allocate_nothing(&format!("{folder}/{name}.onnx"));
    }
}

fn fused_network_and_decision_allocate_nothing(name: &str) {
    let model = Model::find(name, None).unwrap();
    let mut network = Network::load(&model, 1).unwrap();
    if let Err(why) = network.fused() {
        basics::say_skipped(why);
        return;
    }
    let config = DecideConfig::default();
    let rules = ClassRules {
        rules: vec![("class 3".into(), config.rule())],
        ignore: vec!["class 4".into()],
        merge: vec![(
            "all three".into(),
            ["class 2", "class 0", "class 1"]
                .map(str::to_owned)
                .to_vec(),
        )],
    };
    let classes = Classes::resolve(&rules, &model.labels).unwrap();
    let mut decider = Decider::new(config, classes, model.output);
    let (count, _) = allocations(|| {
        for frame in 0..5 {
            match network.input() {
                Input::F32(values) => values.fill(0.1 * frame as f32),
                Input::U8(values) => values.fill(50 * frame as u8),
            }
            let scores = network.run().unwrap();
            decider.step(scores, Duration::from_millis(33 * frame));
        }
    });
    assert_eq!(count, 0, "{name}");
}

/// Each island of a network that is known in part, on one thread.
#[test]
fn an_island_allocates_nothing() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/unknown-mish.onnx"
    );
    let model = Model::find(file, None).unwrap();
    let network = Network::load(&model, 1).unwrap();
    let Some(islands) = network.islands() else {
        basics::say_skipped("this CPU has no instruction set that the fast plan has kernels for");
        return;
    };
    let mut fused = islands.fused.lock().unwrap();
    // Softplus stands between the two: what the first gives is what the second takes.
    let mut border = vec![0.0; islands.ports[0].exports[0].iter().product()];
    let mut scores = vec![0.0; 10];
    let mut run = || {
        fused.run_segment(0, &[], &mut [&mut border]);
        fused.run_segment(1, &[&border], &mut [&mut scores]);
    };
    run();
    assert_eq!(allocations(run), (0, 0));
    assert!(scores.iter().all(|s| s.is_finite()) && scores.iter().any(|s| *s != 0.0));
}
