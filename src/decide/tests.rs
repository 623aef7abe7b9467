use super::*;

fn config() -> DecideConfig {
    DecideConfig {
        ema_weight: 1.0,
        enter: 0.5,
        leave: 0.3,
        frames_in_a_row: 1,
        hold: Duration::ZERO,
        unknown_label: "unknown".into(),
        classes: ClassRules::default(),
    }
}

const OUTPUT: OutputSpec = OutputSpec {
    kind: OutputKind::Probabilities,
    class_count: 3,
    label_offset: 0,
};

/// Steps through frames of probabilities, one per millisecond; returns the decided classes.
fn run(config: DecideConfig, frames: &[[f32; 3]]) -> Vec<Option<usize>> {
    run_with(config, Classes::default(), frames)
}

fn run_with(config: DecideConfig, classes: Classes, frames: &[[f32; 3]]) -> Vec<Option<usize>> {
    let mut decider = Decider::new(config, classes, OUTPUT);
    let step = |(i, frame): (usize, &[f32; 3])| {
        decider
            .step(frame, Duration::from_millis(i as u64))
            .decided
            .map(|c| c.class)
    };
    frames.iter().enumerate().map(step).collect()
}

#[test]
fn softmax_sums_to_one_and_handles_large_scores() {
    let mut scores = [1000.0, 1001.0, -1000.0];
    softmax(&mut scores);
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    assert!((scores[1] / scores[0] - std::f32::consts::E).abs() < 1e-3);
    assert_eq!(scores[2], 0.0);
}

#[test]
fn top_k_is_the_head_of_a_sort() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..200 {
        let scores: Vec<f32> = (0..random.usize(5..50))
            .map(|_| random.u8(1..20).into())
            .collect();
        let mut sorted: Vec<usize> = (0..scores.len()).collect();
        sorted.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let top = top_k::<5>(&scores, |_| false);
        assert_eq!(top.map(|c| c.class).to_vec(), sorted[..5]);
        let top = top_k::<5>(&scores, |class| class == sorted[1]);
        sorted.remove(1);
        assert_eq!(top.map(|c| c.class)[..4], sorted[..4]);
    }
}

#[test]
fn a_verdict_carries_the_threshold_of_its_best_class() {
    let labels = ["a", "b", "c"].map(str::to_owned);
    let rules = ClassRules {
        rules: vec![(
            "b".into(),
            ClassRule {
                enter: 0.9,
                ..config().rule()
            },
        )],
        ignore: vec!["c".into()],
        ..ClassRules::default()
    };
    let classes = Classes::resolve(&rules, &labels).expect("each name is a label");
    let mut decider = Decider::new(config(), classes, OUTPUT);
    let mut enter = |frame: [f32; 3]| decider.step(&frame, Duration::ZERO).enter;
    assert_eq!(enter([0.4, 0.3, 0.3]), Some(0.5));
    assert_eq!(enter([0.2, 0.6, 0.2]), Some(0.9));
    assert_eq!(enter([0.1, 0.1, 0.8]), None);
}

#[test]
fn enter_and_leave_are_two_thresholds() {
    let frames = [
        [0.4, 0.3, 0.3],
        [0.6, 0.2, 0.2],
        [0.4, 0.3, 0.3],
        [0.25, 0.4, 0.35],
        [0.3, 0.6, 0.1],
    ];
    assert_eq!(
        run(config(), &frames),
        [None, Some(0), Some(0), None, Some(1)]
    );
}

#[test]
fn a_decided_class_yields_to_a_better_one() {
    assert_eq!(
        run(config(), &[[0.9, 0.1, 0.0], [0.4, 0.55, 0.05]]),
        [Some(0), Some(1)]
    );
}

#[test]
fn a_class_must_be_best_some_frames_in_a_row() {
    let config = DecideConfig {
        frames_in_a_row: 3,
        ..config()
    };
    let (a, b) = ([0.9, 0.1, 0.0], [0.1, 0.9, 0.0]);
    assert_eq!(
        run(config, &[a, a, b, a, a, a]),
        [None, None, None, None, None, Some(0)]
    );
}

#[test]
fn a_decided_class_is_held() {
    let config = DecideConfig {
        hold: Duration::from_millis(3),
        ..config()
    };
    let (a, b) = ([0.9, 0.1, 0.0], [0.0, 1.0, 0.0]);
    assert_eq!(
        run(config, &[a, b, b, b, b]),
        [Some(0), Some(0), Some(0), Some(1), Some(1)]
    );
}

#[test]
fn the_average_smooths() {
    let config = DecideConfig {
        ema_weight: 0.25,
        ..config()
    };
    let (a, b) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
    assert_eq!(
        run(config, &[a, b, b, b]),
        [Some(0), Some(0), Some(0), Some(1)]
    );
}

#[test]
fn nothing_stale_counts_after_a_reset() {
    let mut decider = Decider::new(
        DecideConfig {
            ema_weight: 0.1,
            ..config()
        },
        Classes::default(),
        OUTPUT,
    );
    decider.step(&[1.0, 0.0, 0.0], Duration::ZERO);
    decider.reset();
    let verdict = decider.step(&[0.0, 1.0, 0.0], Duration::ZERO);
    assert_eq!(
        verdict.decided,
        Some(Candidate {
            class: 1,
            probability: 1.0
        })
    );
}

/// Rules for classes labelled a, b and c.
fn resolved(rules: &ClassRules) -> Classes {
    Classes::resolve(rules, &["a", "b", "c"].map(str::to_owned)).expect("the names are right")
}

#[test]
fn a_class_can_have_its_own_thresholds() {
    let rule = ClassRule {
        enter: 0.8,
        leave: 0.7,
        frames_in_a_row: 2,
        hold: Duration::from_millis(2),
    };
    let rules = ClassRules {
        rules: vec![("b".into(), rule)],
        ..ClassRules::default()
    };
    let b = |p: f32| [1.0 - p, p, 0.0];
    // Entered at the second frame, held for two milliseconds, left below 0.7; class a uses the common 0.5 and 0.3.
    let frames = [b(0.9), b(0.85), b(0.6), b(0.6), b(0.6), b(0.2)];
    let decided = run_with(config(), resolved(&rules), &frames);
    assert_eq!(decided, [None, Some(1), Some(1), None, None, Some(0)]);
}

#[test]
fn an_ignored_class_is_never_decided_and_blocks_others_while_best() {
    let rules = ClassRules {
        ignore: vec!["a".into()],
        ..ClassRules::default()
    };
    let low = DecideConfig {
        enter: 0.2,
        leave: 0.15,
        ..config()
    };
    let frames = [
        [0.9, 0.1, 0.0],
        [0.6, 0.4, 0.0],
        [0.4, 0.6, 0.0],
        [0.8, 0.2, 0.0],
        [0.9, 0.1, 0.0],
    ];
    let decided = run_with(low, resolved(&rules), &frames);
    assert_eq!(decided, [None, None, Some(1), Some(1), None]);
}

#[test]
fn merged_classes_are_decided_by_their_sum() {
    let rules = ClassRules {
        merge: vec![("bc".into(), vec!["c".into(), "b".into()])],
        ..ClassRules::default()
    };
    let mut decider = Decider::new(config(), resolved(&rules), OUTPUT);
    let verdict = decider.step(&[0.4, 0.25, 0.35], Duration::ZERO);
    let sum = Candidate {
        class: 2,
        probability: 0.6,
    };
    assert_eq!(verdict.decided, Some(sum));
    // The other member is not a class any more.
    let listed: Vec<_> = verdict.candidates().map(|c| c.class).collect();
    assert_eq!(listed, [2, 0]);
}

#[test]
fn classes_without_any_probability_are_listed_once_each() {
    let listed = |frame: [f32; 3], classes: Classes| {
        let verdict = Decider::new(config(), classes, OUTPUT).step(&frame, Duration::ZERO);
        verdict.candidates().map(|c| c.class).collect::<Vec<_>>()
    };
    assert_eq!(listed([0.0, 1.0, 0.0], Classes::default()), [1, 0, 2]);
    let rules = ClassRules {
        merge: vec![("ca".into(), vec!["c".into(), "a".into()])],
        ..ClassRules::default()
    };
    for frame in [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]] {
        assert_eq!(listed(frame, resolved(&rules)), [1, 2], "{frame:?}");
    }
}

#[test]
fn merged_classes_that_are_independent_have_the_largest_probability() {
    let rules = ClassRules {
        merge: vec![("bc".into(), vec!["c".into(), "b".into()])],
        ..ClassRules::default()
    };
    let classes = resolved(&rules).independent();
    let mut decider = Decider::new(config(), classes, OUTPUT);
    let verdict = decider.step(&[0.9, 0.6, 0.7], Duration::ZERO);
    let probabilities: Vec<_> = verdict.candidates().map(|c| c.probability).collect();
    assert_eq!(probabilities, [0.9, 0.7]);
}

#[test]
fn a_change_is_reported_once() {
    let mut decider = Decider::new(config(), Classes::default(), OUTPUT);
    let changed: Vec<bool> = (0..3)
        .map(|_| decider.step(&[0.9, 0.1, 0.0], Duration::ZERO).changed)
        .collect();
    assert_eq!(changed, [true, false, false]);
}
