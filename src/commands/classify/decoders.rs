//! Reads, decodes and preprocesses pictures on all cores, while the network runs on earlier ones.
//!
//! Results come in order. Decoders are ahead of the network by a bounded number of inputs, and the pictures being decoded share a
//! bounded number of bytes: one that does not fit waits, unless it is the first of them, which never waits, so that a single huge
//! picture is decoded too. A single picture is decoded by the calling thread.

use super::inputs::Picture;
use crate::camera::{Room, decode_stream, read_picture_in};
use crate::panics::catch_unwind;
use crate::preprocess::{Mount, Preprocess};
use crate::spec::{Encoder, Input, InputSpec};
use crate::stats::{Stage, StageTimes};
use crate::{Failure, limits, memory, output};
use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, stdin};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most that pictures may take while being decoded; less if a quarter of the free memory is less.
const MAX_DECODING_BYTES: u64 = 1 << 30;
/// The most that inputs waiting for the network may take.
const MAX_WAITING_BYTES: usize = 256 << 20;
/// How often to check, while nothing is ready, that the results still have a reader.
const CHECK_PERIOD: Duration = Duration::from_millis(100);

/// Values of the network's input, separate from the network.
#[derive(Debug, Clone)]
pub enum Values {
    F32(Vec<f32>),
    U8(Vec<u8>),
}

impl Values {
    /// Zeros, as many as `input` has.
    pub fn like(input: &Input<'_>) -> Self {
        match input {
            Input::F32(values) => Self::F32(vec![0.0; values.len()]),
            Input::U8(values) => Self::U8(vec![0; values.len()]),
        }
    }

    /// Copies them into an input of the same type and size.
    pub fn copy_to(&self, input: Input<'_>) {
        match (self, input) {
            (Self::F32(from), Input::F32(to)) => to.copy_from_slice(from),
            (Self::U8(from), Input::U8(to)) => to.copy_from_slice(from),
            _ => unreachable!("a network's input keeps its type"),
        }
    }

    fn as_input(&mut self) -> Input<'_> {
        match self {
            Self::F32(values) => Input::F32(values),
            Self::U8(values) => Input::U8(values),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(&values[..]),
            Self::U8(values) => values.len(),
        }
    }
}

/// A picture that is ready for the network.
pub struct Prepared {
    /// The network's input.
    pub values: Values,
    /// How long decoding and preprocess took.
    pub times: StageTimes,
}

/// That, or in one line why there is none.
pub type Outcome = Result<Prepared, String>;

/// Decodes all pictures for the network.
pub struct Decoders {
    shared: Arc<Shared>,
    /// Decodes in the calling thread; `None` when there are threads.
    own: Option<Preparer>,
}

impl Decoders {
    /// Starts with `pictures`; `like` is an input of the network, `input` and `encoder` define its contents.
    pub fn start(
        pictures: Vec<Picture>,
        input: &InputSpec,
        encoder: &Encoder,
        like: &Values,
    ) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // For a single picture a thread would cost more than it saves.
        let threads = match pictures.len() {
            1 => 0,
            several => cores.min(several).min(limits::THREADS.most as usize),
        };
        let budget_bytes = (memory::free_bytes() / 4).min(MAX_DECODING_BYTES);
        Self::of_threads(threads, budget_bytes, pictures, like, || {
            Preparer(Preprocess::new(input, Mount::default(), encoder.clone()))
        })
    }

    fn of_threads(
        threads: usize,
        budget_bytes: u64,
        pictures: Vec<Picture>,
        like: &Values,
        preparer: impl Fn() -> Preparer,
    ) -> Self {
        let most_waiting = (MAX_WAITING_BYTES / like.bytes().max(1)).max(2);
        let shared = Arc::new(Shared {
            ahead: (2 * threads + 2).min(most_waiting),
            budget_bytes,
            like: like.clone(),
            state: Mutex::new(State {
                waiting: pictures.into(),
                ..State::default()
            }),
            changed: Condvar::new(),
            arrived: Condvar::new(),
        });
        let mut started = 0;
        for number in 0..threads {
            let (shared, mut preparer) = (Arc::clone(&shared), preparer());
            let builder = thread::Builder::new().name(format!("decoder-{number}"));
            match builder.spawn(move || shared.serve(&mut preparer)) {
                Ok(_) => started += 1,
                Err(error) => {
                    log::debug!("{started} decoders instead of {threads}: {error}");
                    break;
                }
            }
        }
        Self {
            shared,
            own: (started == 0).then(preparer),
        }
    }

    /// The next picture's name and its outcome; `None` after the last one.
    ///
    /// # Errors
    /// Nobody reads the results any more.
    pub fn next(&mut self) -> Result<Option<(PathBuf, Outcome)>, Failure> {
        if let Some(preparer) = &mut self.own {
            let (picture, spare) = {
                let mut state = self.shared.lock();
                (state.waiting.pop_front(), state.spare.pop())
            };
            return Ok(picture.map(|picture| {
                let values = spare.unwrap_or_else(|| self.shared.like.clone());
                let outcome = preparer.prepare(&picture, values, &mut |_| {});
                (picture.name().to_owned(), outcome)
            }));
        }
        let mut state = self.shared.lock();
        loop {
            if state.waiting.is_empty() && state.begun == state.handed_out {
                return Ok(None);
            }
            let number = state.handed_out;
            if let Some(result) = state.ready.remove(&number) {
                state.handed_out += 1;
                self.shared.changed.notify_all();
                return Ok(Some(result));
            }
            let waited = self.shared.arrived.wait_timeout(state, CHECK_PERIOD);
            let (back, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = back;
            if timeout.timed_out() {
                output::check_reader()?;
            }
        }
    }

    /// Returns values for reuse by a later picture.
    pub fn give_back(&self, values: Values) {
        self.shared.lock().spare.push(values);
    }
}

impl Drop for Decoders {
    /// Does not wait for running decoders: when results cannot be written, the program ends at once.
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.changed.notify_all();
    }
}

/// What the threads share.
struct Shared {
    /// How many pictures decoders may be ahead of the network.
    ahead: usize,
    /// How many bytes pictures may take while being decoded.
    budget_bytes: u64,
    like: Values,
    state: Mutex<State>,
    /// For decoders: a result was taken, memory was freed, or we stop.
    changed: Condvar,
    /// For the network: a result is ready.
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Picture>,
    /// How many were taken from `waiting`.
    begun: usize,
    /// How many results were handed out.
    handed_out: usize,
    ready: BTreeMap<usize, (PathBuf, Outcome)>,
    spare: Vec<Values>,
    /// Bytes of each picture being decoded.
    decoding: BTreeMap<usize, u64>,
    is_stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = self.changed.wait(state);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one thread.
    fn serve(&self, preparer: &mut Preparer) {
        while let Some((number, picture, spare)) = self.take() {
            let values = spare.unwrap_or_else(|| self.like.clone());
            let mut room = |bytes| self.wait_for_room(number, bytes);
            let outcome = preparer.prepare(&picture, values, &mut room);
            let mut state = self.lock();
            state.decoding.remove(&number);
            let result = (picture.name().to_owned(), outcome);
            state.ready.insert(number, result);
            if number == state.handed_out {
                self.arrived.notify_one();
            }
            self.changed.notify_all();
        }
    }

    /// The next picture with its number and spare values, once it may start; `None` when there is none left.
    fn take(&self) -> Option<(usize, Picture, Option<Values>)> {
        let mut state = self.lock();
        while !state.is_stopped && state.begun - state.handed_out >= self.ahead {
            state = self.wait(state);
        }
        if state.is_stopped {
            return None;
        }
        let picture = state.waiting.pop_front()?;
        let number = state.begun;
        state.begun += 1;
        state.decoding.insert(number, 0);
        Some((number, picture, state.spare.pop()))
    }

    /// Waits until picture `number` may take this many more bytes.
    fn wait_for_room(&self, number: usize, bytes: u64) {
        let mut state = self.lock();
        loop {
            let used: u64 = state.decoding.values().sum();
            let is_first = state.decoding.keys().next() == Some(&number);
            if is_first || state.is_stopped || used.saturating_add(bytes) <= self.budget_bytes {
                break;
            }
            state = self.wait(state);
        }
        if let Some(taken) = state.decoding.get_mut(&number) {
            *taken += bytes;
        }
    }
}

/// Turns pictures into the network's input.
struct Preparer(Preprocess);

impl Preparer {
    fn prepare(&mut self, picture: &Picture, mut values: Values, room: Room<'_>) -> Outcome {
        let fill = AssertUnwindSafe(|| self.fill(picture, &mut values, room));
        // A picture that crashes its decoder must not stop the others.
        let times = catch_unwind(fill).unwrap_or_else(|_| {
            let name = picture.name().display();
            Err(format!(
                "cannot read the picture {name}: its decoder panicked; save it in another format"
            ))
        })?;
        Ok(Prepared { values, times })
    }

    fn fill(
        &mut self,
        picture: &Picture,
        values: &mut Values,
        room: Room<'_>,
    ) -> Result<StageTimes, String> {
        let mut waited = Duration::ZERO;
        let began = Instant::now();
        let decoded = read(picture, &mut |bytes| {
            let began = Instant::now();
            room(bytes);
            waited += began.elapsed();
        })?;
        let decoded_at = Instant::now();
        let frame = decoded.frame().map_err(|error| error.to_string())?;
        let run = self.0.run(&frame, values.as_input());
        run.map_err(|error| error.to_string())?;
        let mut times = StageTimes::default();
        times.set(Stage::Decode, decoded_at - began - waited);
        times.set(Stage::Preprocess, decoded_at.elapsed());
        Ok(times)
    }
}

fn read(picture: &Picture, room: Room<'_>) -> Result<crate::camera::Picture, String> {
    match picture {
        Picture::File(path) => read_picture_in(path, room).map_err(|error| error.to_string()),
        Picture::StandardInput if stdin().is_terminal() => {
            Err("standard input is a terminal: pipe a picture into it".to_owned())
        }
        Picture::StandardInput => decode_stream(stdin().lock(), room)
            .map_err(|reason| format!("cannot read the picture on standard input: {reason}")),
        Picture::Fault(_, why) => Err(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::{ChannelOrder, Dtype, Layout, Resize};
    use std::path::Path;

    const INPUT: InputSpec = InputSpec {
        width_px: 8,
        height_px: 8,
        resize: Resize::Crop,
        resize_shorter_px: 8,
        fill: [0; 3],
        layout: Layout::Nchw,
        channels: ChannelOrder::Rgb,
        dtype: Dtype::U8,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
    };

    /// Pictures of many sizes, each uniformly grey with its number; every seventh is a fault.
    fn pictures(folder: &Path, count: usize) -> Vec<Picture> {
        let mut random = fastrand::Rng::with_seed(3);
        let picture = |number: usize| {
            let path = folder.join(format!("{number}.png"));
            if number % 7 == 3 {
                return Picture::Fault(path, format!("fault {number}"));
            }
            let side = random.u32(8..300);
            let grey = image::Rgb([number as u8; 3]);
            let picture = image::RgbImage::from_pixel(side, side, grey);
            picture.save(&path).unwrap();
            Picture::File(path)
        };
        (0..count).map(picture).collect()
    }

    fn start(threads: usize, budget_bytes: u64, pictures: Vec<Picture>) -> Decoders {
        let like = Values::U8(vec![0; 8 * 8 * 3]);
        let encoder = Encoder::of(&INPUT);
        Decoders::of_threads(threads, budget_bytes, pictures, &like, || {
            Preparer(Preprocess::new(&INPUT, Mount::default(), encoder.clone()))
        })
    }

    #[test]
    fn results_come_in_order_with_any_number_of_decoders_and_any_budget() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = pictures(folder.path(), 60);
        for (threads, budget_bytes) in [
            (0, 0),
            (1, 0),
            (2, u64::MAX),
            (3, 0),
            (8, 200_000),
            (16, u64::MAX),
        ] {
            let mut decoders = start(threads, budget_bytes, pictures.clone());
            for (number, picture) in pictures.iter().enumerate() {
                let (name, outcome) = decoders.next().unwrap().unwrap();
                assert_eq!(name, picture.name());
                match outcome {
                    Ok(prepared) => {
                        let Values::U8(values) = &prepared.values else {
                            panic!("the type has changed");
                        };
                        assert!(values.iter().all(|&value| usize::from(value) == number));
                        decoders.give_back(prepared.values);
                    }
                    Err(why) => assert_eq!(why, format!("fault {number}")),
                }
                let state = decoders.shared.lock();
                assert!(state.begun - state.handed_out <= decoders.shared.ahead);
            }
            assert!(decoders.next().unwrap().is_none());
        }
    }

    #[test]
    fn a_picture_waits_for_room_unless_it_is_the_first() {
        let decoders = start(0, 100, Vec::new());
        let shared = Arc::clone(&decoders.shared);
        shared.lock().decoding = BTreeMap::from([(4, 0), (5, 0), (6, 0)]);
        shared.wait_for_room(5, 60);
        shared.wait_for_room(6, 40);
        // More than the budget.
        shared.wait_for_room(4, 1000);
        let waiting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.wait_for_room(6, 10))
        };
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        shared.lock().decoding.remove(&4);
        shared.changed.notify_all();
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished(), "5 and 6 have the whole budget");
        shared.lock().decoding.remove(&5);
        shared.changed.notify_all();
        waiting.join().unwrap();
        assert_eq!(shared.lock().decoding[&6], 50);
    }

    #[test]
    fn decoders_stop_when_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut decoders = start(4, u64::MAX, pictures(folder.path(), 60));
        let first = decoders.next().unwrap();
        assert!(first.is_some());
        let shared = Arc::clone(&decoders.shared);
        drop(decoders);
        let began = Instant::now();
        // Each thread holds a reference.
        while Arc::strong_count(&shared) > 1 {
            assert!(began.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(2));
        }
    }
}
