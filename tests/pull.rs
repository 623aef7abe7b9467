//! `model pull` against a server of this test, honest and broken in each way that matters.
//!
//! After every failure: one line that names the place and the reason, and nothing at the model's place.
#![allow(clippy::unwrap_used)]

use eyelet::data_roots::DataRoots;
use eyelet::model::Named;
use eyelet::model::pull::{Limits, Progress, Pulled, pull};
use eyelet::{Cause, Failure};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The model of these tests: 200,000 bytes, so that it comes in several reads.
fn content() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..200_000).map(|_| random.u8(..)).collect()
}

/// How the server answers.
#[derive(Clone, Copy)]
enum Manner {
    /// The file, or the part of it that is asked for.
    Honest,
    /// Always the whole file.
    IgnoresRange,
    /// Promises the whole, and hangs up after so many bytes.
    HangsUpAfter(usize),
    /// Sends so many bytes without saying how many will come, and hangs up.
    EndsSilentlyAfter(usize),
    /// Sends so many bytes, then nothing.
    StallsAfter(usize),
    /// The right number of wrong bytes.
    WrongBytes,
    /// Says that it has another number of bytes (an error page).
    AnotherLength,
    /// Endless bytes, and no length.
    TooLong,
    /// The file is not there.
    NotFound,
    /// Says nothing at all.
    Mute,
    /// Answers a range with another range.
    WrongRange,
}

struct Server {
    url: String,
    /// The `Range` of each request.
    ranges: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    /// Serves until the test ends; the last manner is kept for all further requests.
    fn start(manners: &'static [Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let manner = manners[index.min(manners.len() - 1)];
                let seen = Arc::clone(&seen);
                // A client that hangs up is not a fault of the server.
                std::thread::spawn(move || answer(stream.unwrap(), manner, &seen).ok());
            }
        });
        Self { url, ranges }
    }

    fn ranges(&self) -> Vec<Option<u64>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    manner: Manner,
    ranges: &Mutex<Vec<Option<u64>>>,
) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(start) = line.strip_prefix("range: bytes=") {
            range = start.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    ranges.lock().unwrap().push(range.map(|start| start as u64));
    let content = content();
    let whole = content.len();
    let mut head = |start: &str, length: Option<usize>, more: &str| {
        let length = length.map_or_else(String::new, |n| format!("Content-Length: {n}\r\n"));
        write!(
            stream,
            "HTTP/1.1 {start}\r\n{length}{more}Connection: close\r\n\r\n"
        )
    };
    match (manner, range) {
        (Manner::Honest, Some(start)) if start >= whole => {
            head("416 Range Not Satisfiable", Some(0), "")
        }
        (Manner::Honest, Some(start)) => {
            let range = format!("Content-Range: bytes {start}-{}/{whole}\r\n", whole - 1);
            head("206 Partial Content", Some(whole - start), &range)?;
            stream.write_all(&content[start..])
        }
        (Manner::WrongRange, Some(start)) => {
            let range = format!("Content-Range: bytes 0-{}/{whole}\r\n", whole - 1);
            head("206 Partial Content", Some(whole - start), &range)?;
            stream.write_all(&content[start..])
        }
        (Manner::Honest | Manner::IgnoresRange | Manner::WrongRange, _) => {
            head("200 OK", Some(whole), "")?;
            stream.write_all(&content)
        }
        (Manner::HangsUpAfter(count), _) => {
            head("200 OK", Some(whole), "")?;
            stream.write_all(&content[..count])
        }
        (Manner::EndsSilentlyAfter(count), _) => {
            head("200 OK", None, "")?;
            stream.write_all(&content[..count])
        }
        (Manner::StallsAfter(count), _) => {
            head("200 OK", Some(whole), "")?;
            stream.write_all(&content[..count])?;
            std::thread::sleep(2 * HANG);
            Ok(())
        }
        (Manner::WrongBytes, _) => {
            head("200 OK", Some(whole), "")?;
            stream.write_all(&vec![7; whole])
        }
        (Manner::AnotherLength, _) => {
            head("200 OK", Some(5), "")?;
            stream.write_all(b"Sorry")
        }
        (Manner::TooLong, _) => {
            head("200 OK", None, "")?;
            loop {
                stream.write_all(&content)?;
            }
        }
        (Manner::NotFound, _) => head("404 Not Found", Some(0), ""),
        (Manner::Mute, _) => {
            std::thread::sleep(2 * HANG);
            Ok(())
        }
    }
}

/// A data root that knows the model `tiny` with these addresses, and where its file goes.
struct Machine {
    root: tempfile::TempDir,
    roots: DataRoots,
    /// Much longer than a busy machine takes for an answer, unless the test waits for its end.
    no_progress: Duration,
}

/// Nothing here takes as long.
const HANG: Duration = Duration::from_secs(60);
/// For tests that wait for its end.
const SHORT: Duration = Duration::from_millis(1500);

impl Machine {
    fn new(urls: &[String]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("models/tiny");
        fs::create_dir_all(&folder).unwrap();
        let content = content();
        let digest: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let toml = format!(
            "description = \"tiny\"\nfile = \"net.onnx\"\nsize_bytes = {}\nsha256 = \"{digest}\"\nurls = {urls:?}\n\
             [input]\nwidth_px = 8\nheight_px = 8\n[output]\nkind = \"logits\"\nclass_count = 2\n",
            content.len()
        );
        fs::write(folder.join("model.toml"), toml).unwrap();
        let roots = DataRoots::new(vec![root.path().into()], None, None);
        Self {
            root,
            roots,
            no_progress: HANG / 4,
        }
    }

    fn of(server: &Server) -> Self {
        Self::new(&[format!("{}/net.onnx", server.url)])
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("models/tiny").join(name)
    }

    fn pull(&self, mirror: Option<&str>) -> Result<Pulled, Failure> {
        let limits = Limits {
            connect: HANG / 4,
            no_progress: self.no_progress,
        };
        let named = Named::find("tiny", &self.roots).unwrap();
        pull(&named, &self.roots, mirror, limits, &mut Silent)
    }

    /// The download fails with one line that has all of `words`, and nothing is at the model's place.
    fn fails(&self, mirror: Option<&str>, words: &[&str]) -> String {
        let started = Instant::now();
        let failure = self.pull(mirror).unwrap_err();
        assert!(started.elapsed() < HANG, "it hung");
        assert_eq!(failure.cause, Cause::Download);
        for word in words {
            assert!(failure.message.contains(word), "{}", failure.message);
        }
        assert!(!failure.message.contains('\n'), "{}", failure.message);
        assert!(!self.file("net.onnx").exists());
        failure.message
    }

    fn arrives(&self, mirror: Option<&str>) {
        let fetched = Pulled::Fetched(self.file("net.onnx"));
        assert_eq!(self.pull(mirror).unwrap(), fetched);
        assert_eq!(fs::read(self.file("net.onnx")).unwrap(), content());
        assert!(!self.file("net.onnx.part").exists());
    }

    fn part_length(&self) -> Option<u64> {
        let metadata = fs::metadata(self.file("net.onnx.part")).ok()?;
        Some(metadata.len())
    }
}

struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}
    fn reached(&mut self, _: u64) {}
}

#[test]
fn a_file_comes_whole_and_is_not_fetched_twice() {
    let server = Server::start(&[Manner::Honest]);
    let machine = Machine::of(&server);
    machine.arrives(None);
    let again = machine.pull(None).unwrap();
    assert_eq!(again, Pulled::Already(machine.file("net.onnx")));
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn a_damaged_file_is_replaced() {
    let machine = Machine::of(&Server::start(&[Manner::Honest]));
    fs::write(machine.file("net.onnx"), "damaged").unwrap();
    machine.arrives(None);
}

#[test]
fn progress_goes_from_what_is_there_to_the_size() {
    struct Reported(Vec<u64>);
    impl Progress for Reported {
        fn begin(&mut self, source: &str, have: u64, size: u64) {
            assert!(source.starts_with("http://127.0.0.1"));
            assert_eq!(size, 200_000);
            self.0.push(have);
        }
        fn reached(&mut self, have: u64) {
            self.0.push(have);
        }
    }
    let machine = Machine::of(&Server::start(&[Manner::Honest]));
    fs::write(machine.file("net.onnx.part"), &content()[..1234]).unwrap();
    let named = Named::find("tiny", &machine.roots).unwrap();
    let mut reported = Reported(Vec::new());
    pull(
        &named,
        &machine.roots,
        None,
        Limits::default(),
        &mut reported,
    )
    .unwrap();
    assert_eq!(
        (reported.0[0], *reported.0.last().unwrap()),
        (1234, 200_000)
    );
    assert!(reported.0.is_sorted());
}

#[test]
fn an_interrupted_download_resumes() {
    let server = Server::start(&[Manner::HangsUpAfter(70_000), Manner::Honest]);
    let machine = Machine::of(&server);
    machine.fails(
        None,
        &[
            "model `tiny` could not be fetched: http://127.0.0.1:",
            "/net.onnx: broke off after 70000 of 200000 bytes",
            "70000 of 200000 bytes are kept, and the same command continues from there",
        ],
    );
    assert_eq!(machine.part_length(), Some(70_000));
    machine.arrives(None);
    assert_eq!(server.ranges(), [None, Some(70_000)]);
}

#[test]
fn the_next_address_resumes_where_the_first_one_stopped() {
    let first = Server::start(&[Manner::EndsSilentlyAfter(50_000)]);
    let second = Server::start(&[Manner::Honest]);
    let urls = [&first, &second].map(|server| format!("{}/net.onnx", server.url));
    Machine::new(&urls).arrives(None);
    assert_eq!(second.ranges(), [Some(50_000)]);
}

#[test]
fn a_short_file_without_a_length_is_noticed() {
    let machine = Machine::of(&Server::start(&[Manner::EndsSilentlyAfter(50_000)]));
    machine.fails(None, &["ended after 50000 of 200000 bytes"]);
    assert_eq!(machine.part_length(), Some(50_000));
}

#[test]
fn a_server_that_ignores_ranges_sends_the_whole_again() {
    let server = Server::start(&[Manner::HangsUpAfter(70_000), Manner::IgnoresRange]);
    let machine = Machine::of(&server);
    machine.fails(None, &["broke off"]);
    machine.arrives(None);
    assert_eq!(server.ranges(), [None, Some(70_000)]);
}

#[test]
fn a_server_that_sends_another_range_is_asked_for_the_whole() {
    let server = Server::start(&[Manner::HangsUpAfter(70_000), Manner::WrongRange]);
    let machine = Machine::of(&server);
    machine.fails(None, &["broke off"]);
    machine.arrives(None);
    assert_eq!(server.ranges(), [None, Some(70_000), None]);
}

#[test]
fn wrong_bytes_are_discarded() {
    let machine = Machine::of(&Server::start(&[Manner::WrongBytes]));
    machine.fails(None, &["gave wrong bytes (sha256 ", "thrown away"]);
    assert_eq!(machine.part_length(), None);
}

#[test]
fn a_part_with_wrong_bytes_is_fetched_again() {
    let server = Server::start(&[Manner::Honest]);
    for length in [9, 200_000] {
        let machine = Machine::of(&server);
        fs::write(machine.file("net.onnx.part"), vec![7; length]).unwrap();
        machine.arrives(None);
    }
    assert_eq!(server.ranges(), [Some(9), None, None]);
}

#[test]
fn a_file_of_another_length_is_not_even_begun() {
    let machine = Machine::of(&Server::start(&[Manner::AnotherLength]));
    fs::write(machine.file("net.onnx.part"), &content()[..9]).unwrap();
    machine.fails(
        None,
        &["has 5 bytes where the model.toml states 200000: it is another file"],
    );
    // What was there may still be right.
    assert_eq!(machine.part_length(), Some(9));
}

#[test]
fn an_endless_file_is_stopped() {
    let machine = Machine::of(&Server::start(&[Manner::TooLong]));
    machine.fails(
        None,
        &["gives more bytes where the model.toml states 200000"],
    );
    assert_eq!(machine.part_length(), None);
}

#[test]
fn a_file_that_is_not_there() {
    let machine = Machine::of(&Server::start(&[Manner::NotFound]));
    machine.fails(
        None,
        &[
            "/net.onnx: answers 404 Not Found",
            "--from names a folder or another url",
        ],
    );
    assert_eq!(machine.part_length(), None);
}

#[test]
fn a_stalling_server_is_given_up() {
    let mut machine = Machine::of(&Server::start(&[Manner::StallsAfter(70_000)]));
    machine.no_progress = SHORT;
    machine.fails(
        None,
        &["broke off after 70000 of 200000 bytes: nothing came for 1.5s"],
    );
    assert_eq!(machine.part_length(), Some(70_000));
}

#[test]
fn a_silent_server_is_given_up() {
    let mut machine = Machine::of(&Server::start(&[Manner::Mute]));
    machine.no_progress = SHORT;
    machine.fails(None, &["nothing came for 1.5s"]);
}

#[test]
fn no_server_at_all() {
    // Nobody listens on this port.
    let url = "http://127.0.0.1:1/net.onnx".to_owned();
    Machine::new(&[url]).fails(None, &["onnection refused"]);
    Machine::new(&["http://host.invalid/net.onnx".to_owned()]).fails(None, &["host.invalid"]);
}

#[test]
fn a_mirror_may_be_an_address_a_folder_or_a_file() {
    let elsewhere = ["http://host.invalid/net.onnx".to_owned()];
    let server = Server::start(&[Manner::Honest]);
    Machine::new(&elsewhere).arrives(Some(&format!("{}/", server.url)));

    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(&elsewhere);
    let mirror = folder.path().to_str();
    machine.fails(mirror, &["net.onnx: No such file"]);
    fs::write(folder.path().join("net.onnx"), "short").unwrap();
    machine.fails(mirror, &["net.onnx: has 5 bytes where"]);
    fs::write(folder.path().join("net.onnx"), vec![7; 200_000]).unwrap();
    machine.fails(mirror, &["gave wrong bytes"]);
    assert_eq!(machine.part_length(), None);
    fs::write(folder.path().join("net.onnx"), content()).unwrap();
    machine.arrives(mirror);
    let machine = Machine::new(&elsewhere);
    machine.arrives(folder.path().join("net.onnx").to_str());
}

#[test]
fn an_unwritable_folder_is_reported() {
    let mut machine = Machine::of(&Server::start(&[Manner::Honest]));
    // Nothing can be made below a file, not even by root.
    let file = machine.root.path().join("a-file");
    fs::write(&file, "").unwrap();
    machine.roots.home = Some(file);
    machine.fails(None, &["no folder can be written", "EYELET_HOME"]);
}

#[test]
fn new_files_go_to_the_users_folder_when_no_root_has_models() {
    let server = Server::start(&[Manner::Honest]);
    let machine = Machine::of(&server);
    let named = Named::find("tiny", &machine.roots).unwrap();
    let (user, bare) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let roots = DataRoots::new(
        vec![bare.path().into(), user.path().into()],
        None,
        Some(user.path().into()),
    );
    let named = Named {
        folder: None,
        ..named
    };
    let pulled = pull(&named, &roots, None, Limits::default(), &mut Silent).unwrap();
    let place = user.path().join("models/tiny/net.onnx");
    assert_eq!(pulled, Pulled::Fetched(place.clone()));
    assert_eq!(named.path(&roots).unwrap(), place);
}
