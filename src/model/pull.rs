//! Downloads a model's ONNX file: from its URLs, from a mirror (a URL or a folder), or from a file.
//!
//! The model's path never holds anything but the whole file with the stated sha256: bytes go to `FILE.part` (see
//! [`super::part`]), which is renamed once they are verified. Every wait has a timeout ([`Limits`]).

use super::part::{CopyError, Part};
use super::{Named, find};
use crate::data_roots::DataRoots;
use crate::failure::{Cause, Failure};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};

/// Timeouts.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For name resolution and for connecting, each.
    pub connect: Duration,
    /// For the next bytes.
    pub no_progress: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            no_progress: Duration::from_secs(30),
        }
    }
}

/// One source of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An http(s) URL.
    Url(String),
    /// A file on this machine.
    File(PathBuf),
}

impl Source {
    /// The sources of `file`: only the mirror if there is one, the stated URLs otherwise.
    ///
    /// A mirror is the URL of a folder, a folder, or the file itself.
    pub fn of(file: &str, urls: &[String], mirror: Option<&str>) -> Vec<Self> {
        match mirror {
            None => urls.iter().cloned().map(Self::Url).collect(),
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                vec![Self::Url(format!("{}/{file}", url.trim_end_matches('/')))]
            }
            Some(path) => {
                let path = Path::new(path);
                vec![Self::File(if path.is_dir() {
                    path.join(file)
                } else {
                    path.to_owned()
                })]
            }
        }
    }

    /// For messages: without a password that the URL may contain.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => match url.split_once("://") {
                Some((scheme, rest)) => {
                    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    let host = authority.rsplit('@').next().unwrap_or(authority);
                    format!("{scheme}://{host}{path}")
                }
                None => url.clone(),
            },
        }
    }
}

/// Progress of a download.
pub trait Progress {
    /// `source` is about to send; `have` of `size` bytes are already there.
    fn begin(&mut self, source: &str, have: u64, size: u64);
    /// Number of bytes so far.
    fn reached(&mut self, have: u64);
}

/// The result of [`pull`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// The file was already there, with the stated sha256.
    Already(PathBuf),
    /// The file was downloaded.
    Fetched(PathBuf),
}

/// Downloads the ONNX file of `named`, unless it is there with the right digest.
pub fn pull(
    named: &Named,
    roots: &DataRoots,
    mirror: Option<&str>,
    limits: Limits,
    progress: &mut dyn Progress,
) -> Result<Pulled, Failure> {
    let file = named.network_file();
    let existing = named.path(roots).ok();
    if let Some(path) = &existing
        && find::verify(path, file, &named.toml, "").is_ok()
    {
        return Ok(Pulled::Already(path.clone()));
    }
    let (name, toml) = (named.full_name(), &named.toml);
    let sources = Source::of(&file.file, &file.urls, mirror);
    let (Some(sha256), Some(size)) = (&file.sha256, file.size_bytes) else {
        return Err(download(format!(
            "model `{name}` cannot be fetched: its {toml} states no sha256 and size_bytes to know the file by"
        )));
    };
    if sources.is_empty() {
        return Err(download(format!(
            "model `{name}` cannot be fetched: its {toml} states no address; --from names a folder or a url that has {}",
            file.file
        )));
    }
    let target = match existing {
        // A wrong file at that path is replaced, or else it would still be found first.
        Some(path) => path,
        None => destination(named, roots)?.join(&file.file),
    };
    let mut part = Part::open(&target, size, sha256)
        .map_err(|error| download(format!("{} cannot be written: {error}", target.display())))?;
    let mut failures = Vec::with_capacity(sources.len());
    for (number, source) in sources.iter().enumerate() {
        let reason = match fetch(source, &mut part, limits, progress) {
            Ok(()) => {
                part.finish().map_err(|error| {
                    download(format!("{} cannot be written: {error}", target.display()))
                })?;
                return Ok(Pulled::Fetched(target));
            }
            Err(Fault::Here(reason)) => {
                part.abandon();
                return Err(download(format!(
                    "{} cannot be written: {reason}",
                    target.display()
                )));
            }
            Err(Fault::Length(has)) => {
                format!("{has} where the {toml} states {size}: it is another file")
            }
            Err(Fault::There(reason)) => reason,
        };
        let failure = format!("{}: {reason}", source.shown());
        if let Some(next) = sources.get(number + 1) {
            log::warn!("{name}: {failure}; trying {}", next.shown());
        }
        failures.push(failure);
    }
    let kept = part.length;
    part.abandon();
    let kept = match kept {
        0 => String::new(),
        kept => {
            format!("; {kept} of {size} bytes are kept, and the same command continues from there")
        }
    };
    let other = match mirror {
        None => "; --from names a folder or another url that has the file",
        Some(_) => "",
    };
    Err(download(format!(
        "model `{name}` could not be fetched: {}{kept}{other}",
        failures.join("; ")
    )))
}

fn download(message: String) -> Failure {
    Failure::new(Cause::Download, message)
}

/// Where to put the file of `named`: beside its `model.toml`, or into the data root that takes new files.
fn destination(named: &Named, roots: &DataRoots) -> Result<PathBuf, Failure> {
    let name = &named.name;
    let relative = Path::new("models").join(name);
    roots
        .folder_for_new(&relative, named.folder.as_deref())
        .map_err(|faults| {
            download(format!(
                "no folder can be written for model `{name}` ({}); set EYELET_HOME to one that can",
                faults.join("; ")
            ))
        })
}

/// Why a source did not deliver the file.
enum Fault {
    /// The source's fault: the next one may work.
    There(String),
    /// The source has another file: how many bytes.
    Length(String),
    /// This machine's fault (full disk).
    Here(String),
}

impl From<std::io::Error> for Fault {
    /// An error from the `.part` file.
    fn from(error: std::io::Error) -> Self {
        Self::Here(error.to_string())
    }
}

/// Completes `part` to its full length with the right digest, or says why not. Wrong bytes are discarded.
fn fetch(
    source: &Source,
    part: &mut Part,
    limits: Limits,
    progress: &mut dyn Progress,
) -> Result<(), Fault> {
    let resumed = part.length > 0;
    match fetch_once(source, part, limits, progress) {
        // The bytes kept from before may be of another file: once more from the start.
        Err(Fault::There(_) | Fault::Length(_)) if resumed && part.length == 0 => {
            fetch_once(source, part, limits, progress)
        }
        done => done,
    }
}

fn fetch_once(
    source: &Source,
    part: &mut Part,
    limits: Limits,
    progress: &mut dyn Progress,
) -> Result<(), Fault> {
    if part.length < part.size {
        let mut body = match source {
            Source::File(path) => open_file(path, part)?,
            Source::Url(url) => open_url(url, part, limits)?,
        };
        progress.begin(&source.shown(), part.length, part.size);
        let copied = part.take_from(&mut *body, &mut |have| progress.reached(have));
        match copied {
            Ok(()) if part.length < part.size => {
                return Err(Fault::There(format!(
                    "ended after {} of {} bytes",
                    part.length, part.size
                )));
            }
            Ok(()) => {}
            Err(CopyError::Write(error)) => return Err(error.into()),
            Err(CopyError::Read(error)) => {
                return Err(Fault::There(format!(
                    "broke off after {} of {} bytes: {}",
                    part.length,
                    part.size,
                    plain(&error, limits)
                )));
            }
            Err(CopyError::TooLong) => {
                part.empty()?;
                return Err(Fault::Length("gives more bytes".to_owned()));
            }
        }
    }
    if let Some(digest) = part.wrong_digest() {
        part.empty()?;
        return Err(Fault::There(format!(
            "gave wrong bytes (sha256 {digest}), which were thrown away"
        )));
    }
    Ok(())
}

fn open_file(path: &Path, part: &mut Part) -> Result<Box<dyn Read>, Fault> {
    let there = |error: std::io::Error| Fault::There(error.to_string());
    let metadata = fs::metadata(path).map_err(there)?;
    if !metadata.is_file() {
        return Err(Fault::There("is not a file".to_owned()));
    }
    check_length(metadata.len(), part.size)?;
    let file = fs::File::open(path).map_err(there)?;
    part.empty()?;
    Ok(Box::new(file))
}

fn check_length(length: u64, size: u64) -> Result<(), Fault> {
    if length == size {
        return Ok(());
    }
    Err(Fault::Length(format!("has {length} bytes")))
}

/// Requests the missing bytes of `part` from `url`, and appends them to `part`.
fn open_url(url: &str, part: &mut Part, limits: Limits) -> Result<Box<dyn Read>, Fault> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_per_read(Some(limits.no_progress))
        .timeout_per_write(Some(limits.no_progress))
        .timeout_recv_response(Some(limits.no_progress))
        .user_agent(concat!("eyelet/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let call = |from: u64| {
        let request = agent.get(url).header("Accept-Encoding", "identity");
        let request = match from {
            0 => request,
            from => request.header("Range", format!("bytes={from}-")),
        };
        let answer = request.call();
        answer.map_err(|error| Fault::There(plain(&error.into_io(), limits)))
    };
    let mut response = call(part.length)?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && part.length > 0 {
        part.empty()?;
        response = call(0)?;
    }
    let header = |name| {
        let value = response.headers().get(name)?;
        value.to_str().ok()
    };
    match response.status() {
        StatusCode::OK => {
            // The server sends the whole file, whether or not that was requested.
            if let Some(length) = header(CONTENT_LENGTH).and_then(|text| text.parse().ok()) {
                check_length(length, part.size)?;
            }
            part.empty()?;
        }
        StatusCode::PARTIAL_CONTENT => {
            let range = header(CONTENT_RANGE).and_then(content_range);
            let Some((_, whole)) = range.filter(|(start, _)| *start == part.length) else {
                part.empty()?;
                return Err(Fault::There(
                    "sends another part of the file than it was asked for".to_owned(),
                ));
            };
            if let Some(whole) = whole {
                check_length(whole, part.size)?;
            }
        }
        status => {
            return Err(Fault::There(format!("answers {status}")));
        }
    }
    Ok(Box::new(response.into_body().into_reader()))
}

/// The start and the total length of `bytes START-END/WHOLE`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, whole.trim().parse().ok()))
}

/// The text for a network error.
fn plain(error: &std::io::Error, limits: Limits) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match inner {
        Some(ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)) => {
            format!("no connection within {:?}", limits.connect)
        }
        Some(ureq::Error::Timeout(_)) => format!("nothing came for {:?}", limits.no_progress),
        Some(ureq::Error::HostNotFound) => {
            "the host's name is not known; is there a network?".to_owned()
        }
        Some(other) => other.to_string(),
        None if error.kind() == std::io::ErrorKind::TimedOut => {
            format!("nothing came for {:?}", limits.no_progress)
        }
        None => error.to_string(),
    }
    .replace('\n', " ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mirror_takes_the_place_of_the_addresses() {
        let urls = [
            "https://a/x/n.onnx".to_owned(),
            "https://b/y.onnx".to_owned(),
        ];
        assert_eq!(
            Source::of("n.onnx", &urls, None),
            urls.clone().map(Source::Url)
        );
        assert_eq!(
            Source::of("n.onnx", &urls, Some("http://m/dir/")),
            [Source::Url("http://m/dir/n.onnx".into())]
        );
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            Source::of("n.onnx", &urls, folder.path().to_str()),
            [Source::File(folder.path().join("n.onnx"))]
        );
        assert_eq!(
            Source::of("n.onnx", &urls, Some("/d/other.onnx")),
            [Source::File("/d/other.onnx".into())]
        );
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let url = Source::Url("https://me:secret@host:8080/a@b/n.onnx".into());
        assert_eq!(url.shown(), "https://host:8080/a@b/n.onnx");
    }

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("bytes */10"), None);
        assert_eq!(content_range("5-9/10"), None);
    }
}
