//! Regions of the picture, which take turns.

use crate::Act::{HalfJpeg, Lost, Picture};
use crate::{board, is_lost, model, opened_by, parts_on, scripted, start, until};
use eyelet::board::{Board, Region};
use eyelet::preprocess::Area;
use eyelet::show::{Display, DisplayError, Scene, State};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// What a display was given of two regions: the state, and which of them had a live verdict and a picture.
type Halves = Arc<Mutex<Vec<(State, [bool; 2])>>>;

struct HalvesDisplay(Halves);

impl Display for HalvesDisplay {
    fn describe(&self) -> String {
        "halves".into()
    }

    fn show(&mut self, scene: &Scene<'_>) -> Result<(), DisplayError> {
        assert_eq!(scene.regions.len(), 2);
        let live = [0, 1].map(|i| scene.regions[i].verdict.is_some());
        if scene.state == State::Live {
            let pictured = [0, 1].map(|i| scene.regions[i].picture.is_some());
            assert_eq!(live, pictured);
        }
        self.0.lock().unwrap().push((scene.state, live));
        Ok(())
    }
}

#[test]
fn regions_take_turns_and_a_lost_camera_leaves_none_of_them_live() {
    let script = vec![
        Picture(1),
        HalfJpeg,
        Picture(2),
        Picture(3),
        Lost,
        Picture(4),
        Picture(5),
    ];
    let shown = Halves::default();
    let to_display = Arc::clone(&shown);
    let half = |name: &str, left| Region {
        name: Some(name.into()),
        area: Area {
            left,
            top: 0.0,
            width: 0.5,
            height: 1.0,
        },
    };
    let open_display = move || {
        let display = HalvesDisplay(Arc::clone(&to_display));
        Ok(Box::new(display) as Box<dyn Display>)
    };
    let board = Board {
        regions: vec![half("left", 0.0), half("right", 0.5)],
        ..board()
    };
    let displays = vec![opened_by(open_display)];
    let parts = parts_on(board, model(), scripted(script), displays);
    let mut device = start(parts).unwrap();
    let stop = AtomicBool::new(false);
    let limits = until(&stop);
    assert_eq!(device.run(&limits).unwrap(), 5);
    // Only changes are looked at: how often a display is drawn is a matter of time.
    let mut live: Vec<[bool; 2]> = shown.lock().unwrap().iter().map(|s| s.1).collect();
    live.dedup();
    let (none, left, right, both) = ([false; 2], [true, false], [false, true], [true; 2]);
    // The fourth frame is the right one's turn again.
    assert_eq!(live, [none, left, both, none, right, both]);
    let shown = shown.lock().unwrap();
    let lost = shown.iter().filter(|(state, _)| is_lost(*state));
    assert!(lost.clone().count() > 0 && lost.clone().all(|(_, live)| *live == none));
}
