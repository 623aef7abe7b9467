//! What the board's policy says: fewer frames when it is hot, a reboot, and what counts as a heartbeat.

use crate::Act::{HalfJpeg, Lost, Picture, Silent};
use crate::graph::Net;
use crate::{
    Act, Counting, Shown, board, does_network_fail, is_lost, parts_on, recording, run_cared,
    run_cared_on, scripted, start, until, warnings_of,
};
use eyelet::board::policy::{Action, Hot, Policy, Rule};
use eyelet::care::Care;
use eyelet::device::Parts;
use eyelet::model::Model;
use eyelet::show::State;
use eyelet::show::serial::Serial;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tract_onnx::pb::tensor_proto::DataType;

#[test]
fn a_hot_board_takes_fewer_frames_where_its_policy_says_so() {
    let sys = tempfile::tempdir().unwrap();
    let zone = sys.path().join("class/thermal/thermal_zone0");
    std::fs::create_dir_all(&zone).unwrap();
    const FRAMES: u8 = 5;
    let took = |temperature: &str, action: Action| {
        std::fs::write(zone.join("temp"), temperature).unwrap();
        let default = Policy::default();
        let rule = Rule {
            action,
            after: Duration::ZERO,
        };
        let mut care = Care::unwatched(Policy {
            degraded_rate_fps: 2.0,
            hot: Hot {
                rule,
                ..default.hot
            },
            ..default
        });
        care.read_health_at(sys.path());
        run_cared((0..FRAMES).map(Picture).collect(), care)
    };
    let (cool, cool_time) = took("79000", Action::Degrade);
    let (hot, hot_time) = took("81000", Action::Degrade);
    assert_eq!((cool, hot), (Ok(FRAMES.into()), Ok(FRAMES.into())));
    // The frames themselves may be slow.
    assert!(hot_time >= Duration::from_millis(1900), "{hot_time:?}");
    assert!(cool_time < hot_time / 2, "{cool_time:?}, {hot_time:?}");
    let (failed, _) = took("81000", Action::Reboot);
    let failure = failed.unwrap_err();
    assert_eq!(
        (failure.cause as u8, timeless(&failure.message).as_str()),
        (14, "policy: too hot for N s")
    );
}

/// The message without the number of its seconds, which on a busy machine is not always 0.
fn timeless(message: &str) -> String {
    message.replace(|c: char| c.is_ascii_digit(), "N")
}

#[test]
fn only_finished_frames_and_a_wait_that_is_allowed_are_heartbeats() {
    let beats = Counting::default();
    let watched = |rule: Rule| {
        let mut care = Care::unwatched(Policy {
            camera_lost: rule,
            ..Policy::default()
        });
        care.watch(Box::new(beats.clone()));
        care
    };
    let retry = Policy::default().camera_lost;
    // Pictures that are damaged are not frames, and a few of them do not mean that it is lost.
    let mut script: Vec<Act> = (0..5).map(Picture).collect();
    script.extend((0..20).map(|_| HalfJpeg));
    assert_eq!(run_cared(script, watched(retry)).0, Ok(5));
    assert_eq!(std::mem::take(&mut *beats.0.lock().unwrap()), (5, 0, 0));

    let script = || vec![Picture(1), Lost, Lost, Picture(2)];
    assert_eq!(run_cared(script(), watched(retry)).0, Ok(2));
    let (finished, unseen, waiting) = std::mem::take(&mut *beats.0.lock().unwrap());
    assert_eq!((finished, unseen), (2, 0));
    assert!(waiting >= 4, "{waiting}");

    let at_once = Rule {
        action: Action::Reboot,
        after: Duration::ZERO,
    };
    let failure = run_cared(script(), watched(at_once)).0.unwrap_err();
    assert_eq!(timeless(&failure.message), "policy: camera lost for N s");
    assert_eq!(std::mem::take(&mut *beats.0.lock().unwrap()), (1, 0, 0));

    let script = (0..5).map(Picture).collect();
    let fails = recording(&Shown::default(), true);
    let (result, _) = run_cared_on(vec![fails], script, watched(retry));
    assert_eq!(result, Ok(5));
    assert_eq!(*beats.0.lock().unwrap(), (0, 5, 0));
}

/// Grey pictures give scores, white ones more than a float holds.
#[test]
fn a_network_that_fails_on_every_frame_starves_the_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overflows.onnx");
    let huge = [1.3e38f32; 30].map(f32::to_le_bytes).concat();
    let net = Net::new()
        .node("GlobalAveragePool", &["x"], "pooled", &[])
        .node("Flatten", &["pooled"], "flat", &[])
        .node("Gemm", &["flat", "fc"], "out", &[])
        .tensor("fc", &[3, 10], DataType::Float, huge);
    std::fs::write(&file, net.bytes()).unwrap();
    let beats = Counting::default();
    let mut care = Care::unwatched(Policy::default());
    care.watch(Box::new(beats.clone()));
    let mut script = vec![Picture(118)];
    script.extend((0..40).flat_map(|_| [Picture(255), Silent]));
    script.push(Picture(118));
    let shown = Shown::default();
    let display = recording(&shown, false);
    let model = Model::find(&file.display().to_string(), None).unwrap();
    let parts = Parts {
        serial: Serial::new(false, Instant::now(), "unknown"),
        care,
        ..parts_on(board(), model, scripted(script), vec![display])
    };
    let mut device = start(parts).unwrap();
    let stop = AtomicBool::new(false);
    let warnings = warnings_of(|| assert_eq!(device.run(&until(&stop)), Ok(2)));
    assert_eq!(*beats.0.lock().unwrap(), (2, 0, 0));
    // The camera is there, and nothing is said of it.
    let shown = shown.lock().unwrap();
    let states = || shown.iter().map(|(state, _)| *state);
    assert!(states().any(does_network_fail) && !states().any(is_lost));
    assert_eq!(states().next_back(), Some(State::Live));
    assert!(
        warnings
            .iter()
            .any(|line| line.starts_with("network fails: ")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().all(|line| !line.contains("camera")),
        "{warnings:?}"
    );
}
