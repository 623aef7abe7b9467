//! E-paper on a simulated panel.

use super::glass::{Noted, Paper};
use super::*;
use crate::show::copy::Holds;
use crate::show::played::{scene, verdict};
use crate::show::threaded::{Open, Threaded};
use std::sync::Arc;

/// The keys of a `[display.epaper]`.
fn config(keys: &str) -> EpaperConfig {
    let text = format!("dc_gpio = 25\nreset_gpio = 17\nbusy_gpio = 24\n{keys}");
    crate::toml_file::read("t.toml", &text, config::config).unwrap()
}

const PANELS: [&str; 3] = [
    "waveshare-2in13-v3",
    "waveshare-2in13-v4",
    "waveshare-2in9-v2",
];

fn show_class(display: &mut EpaperDisplay, class: usize) {
    let verdict = verdict(class, 0.9);
    display.show(&scene(State::Live, Some(&verdict))).unwrap();
}

#[test]
fn each_class_arrives_pixel_for_pixel_by_partial_refreshes_with_a_full_one_now_and_then() {
    for panel in PANELS {
        for (rotate_deg, mirror, invert) in
            [(0, false, false), (90, true, false), (270, false, true)]
        {
            let config = config(&format!(
                "panel = '{panel}'\nfull_every = 3\nrotate_deg = {rotate_deg}\nmirror = {mirror}\ninvert = {invert}"
            ));
            let paper = Paper::of(&config);
            paper.played().swaps = rotate_deg == 90;
            let mut display = paper.display(&config).unwrap();
            for class in [0, 1, 2, 3, 4, 0, 1, 2, 3] {
                show_class(&mut display, class);
                paper.assert_shows(&config, display.painter.canvas());
            }
            // Full, three partial ones, full, ...
            let played = paper.played();
            assert_eq!((played.full_count, played.partial_count), (3, 6), "{panel}");
            assert_eq!(played.waveform.is_empty(), panel != PANELS[0]);
        }
    }
}

#[test]
fn an_unchanged_drawing_sends_no_byte() {
    let config = config("panel = 'waveshare-2in13-v4'\nrotate_deg = 90");
    let paper = Paper::of(&config);
    let mut display = paper.display(&config).unwrap();
    let text = display.describe();
    assert_eq!(
        text,
        "e-paper waveshare-2in13-v4 on /dev/spidev0.0, 122 x 250 pixels, 1 bit"
    );
    let mut cost = |class| {
        let before = paper.played().bytes;
        show_class(&mut display, class);
        paper.played().bytes - before
    };
    let first = cost(0);
    assert_eq!(cost(0), 0);
    let change = cost(1);
    println!("122x250: {first} bytes for the first class, {change} for another, 0 for the same");
    // Two memories of 16 bytes per row, and a few commands.
    assert!((8000..8100).contains(&change), "{change}");
    paper.assert_shows(&config, display.painter.canvas());
}

#[test]
fn the_paper_changes_with_class_state_and_notice_alone() {
    let config = config("panel = 'waveshare-2in13-v4'\nrotate_deg = 90");
    let paper = Paper::of(&config);
    let mut display = paper.display(&config).unwrap();
    let mut changes = |scene: &Scene<'_>| {
        let before = paper.played().bytes;
        display.show(scene).unwrap();
        paper.played().bytes != before
    };
    assert!(changes(&scene(State::Starting, None)));
    assert!(!changes(&scene(State::Starting, None)));
    let mut undecided = verdict(2, 0.3);
    undecided.decided = None;
    let mut still_undecided = undecided;
    still_undecided.top[0].probability = 0.4;
    let (cat, surer, other) = (verdict(0, 0.6), verdict(0, 0.9), verdict(1, 0.6));
    assert!(changes(&scene(State::Live, Some(&cat))));
    assert!(!changes(&scene(State::Live, Some(&surer))));
    assert!(changes(&scene(State::Live, Some(&undecided))));
    assert!(!changes(&scene(State::Live, Some(&still_undecided))));
    assert!(changes(&scene(State::Live, Some(&other))));
    let mut low = scene(State::Live, Some(&other));
    low.notice = Some("low power");
    assert!(changes(&low));
    low.rate_fps = 3.0;
    assert!(!changes(&low));
    for (seconds, is_new) in [(3, true), (70, false), (9000, false)] {
        let since = Duration::from_secs(seconds);
        let lost = State::CameraLost { since };
        assert_eq!(changes(&scene(lost, None)), is_new, "{seconds} s");
    }
}

#[test]
fn the_supply_has_time_to_rise_before_the_first_reset() {
    let config = config("panel = 'waveshare-2in13-v4'");
    let paper = Paper::of(&config);
    let delay = Box::new(Noted(paper.clone()));
    paper.display_with(&config, delay).unwrap();
    let after = paper.played().reset_after.unwrap();
    assert_eq!(after, Duration::from_millis(20));
}

#[test]
fn when_a_refresh_is_over_the_newest_scene_is_shown_and_none_in_between() {
    let config = config("panel = 'waveshare-2in13-v4'\nfull_every = 100");
    let paper = Paper::of(&config);
    let (inner, keys) = (paper.clone(), config.clone());
    let open: Open = Arc::new(move || {
        let delay = Box::new(linux_embedded_hal::Delay);
        Ok(Box::new(inner.display_with(&keys, delay)?))
    });
    let labels: Arc<[String]> = scene(State::Live, None).labels.into();
    let holds = Holds {
        labels,
        unknown_label: "unknown".into(),
        picture_bytes: 0,
        regions: 0,
    };
    let threaded = Threaded::start("paper", open, &holds).unwrap();
    threaded.wait_until_open().unwrap();
    let wait_for = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let counts = || {
        let played = paper.played();
        (played.full_count, played.partial_count)
    };
    paper.played().is_stuck = true;
    let show = |class| {
        threaded
            .show(&scene(State::Live, Some(&verdict(class, 0.9))))
            .unwrap()
    };
    show(0);
    wait_for("no refresh", &|| counts() == (1, 0));
    // Nothing follows the last one.
    let shown: Vec<bool> = (1..=3).map(show).collect();
    assert_eq!(shown, [false; 3], "its refresh is not over");
    paper.played().is_stuck = false;
    wait_for("the newest one is missing", &|| counts() == (1, 1));
    let expected = Paper::of(&config);
    let mut display = expected.display(&config).unwrap();
    show_class(&mut display, 3);
    wait_for("not that one", &|| {
        paper.played().paper == expected.played().paper
    });
    assert_eq!(counts(), (1, 1));
}

#[test]
fn the_paper_is_white_at_the_end_unless_it_says_why_it_failed() {
    let config = config("panel = 'waveshare-2in9-v2'");
    let paper = Paper::of(&config);
    let mut display = paper.display(&config).unwrap();
    show_class(&mut display, 1);
    drop(display);
    assert!(paper.played().paper.iter().all(|byte| *byte == 0xff));
    assert!(paper.played().is_asleep && !paper.played().has_power);

    paper.played().has_power = true;
    let mut display = paper.display(&config).unwrap();
    let failed = State::Failed(crate::Cause::Camera);
    display.show(&scene(failed, None)).unwrap();
    let canvas = display.painter.canvas().clone();
    drop(display);
    paper.assert_shows(&config, &canvas);
    assert!(paper.played().is_asleep);

    // A display that never showed anything leaves the paper alone.
    paper.played().has_power = true;
    drop(paper.display(&config).unwrap());
    paper.assert_shows(&config, &canvas);
}

#[test]
fn a_missing_or_hanging_panel_is_reported_and_not_waited_for() {
    let config = config("panel = 'waveshare-2in13-v4'");
    let paper = Paper::of(&config);
    let message = |error: DisplayError| {
        assert!(matches!(error, DisplayError::Failed(_)), "{error}");
        error.to_string()
    };
    paper.played().is_absent = true;
    let mut display = paper.display(&config).unwrap();
    let error = message(display.show(&scene(State::Starting, None)).unwrap_err());
    assert!(error.contains("nothing is connected"), "{error}");
    drop(display);
    paper.played().is_absent = false;
    paper.played().has_power = true;

    let mut display = paper.display(&config).unwrap();
    show_class(&mut display, 0);
    paper.played().is_stuck = true;
    let error = message(display.show(&scene(State::Starting, None)).unwrap_err());
    assert!(error.contains("it stays busy for 10 s"), "{error}");
    let began = Instant::now();
    drop(display);
    assert!(began.elapsed() < Duration::from_secs(1));

    // From the beginning.
    paper.played().has_power = true;
    let error = paper.display(&config).err().unwrap().to_string();
    assert!(error.contains("it stays busy for 1 s"), "{error}");
}
