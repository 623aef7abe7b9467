//! What the operating system's error numbers mean to someone holding a camera: one line, with what to do next.

use super::gone::means_gone;
use super::negotiate::{Disagreement, FourCc, is_deep_otherwise};
use crate::camera::CameraError;
use crate::camera::v4l2::V4l2Config;
use crate::frame::PixelFormat;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How to use raw sensors.
pub(super) const RAW_ADVICE: &str = "delivers raw sensor data: name the node, and its formats or its sensor, in the board file's \
    [camera.v4l2], or have pictures made of it: a board file with [camera.pipe] and `rpicam-vid -t 0 --codec mjpeg -o - | eyelet run`";

fn lost(path: &Path, reason: impl ToString) -> CameraError {
    CameraError::Lost {
        camera: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// A node that could not be opened.
pub(super) fn opening(path: &Path, error: &io::Error) -> CameraError {
    if means_gone(error) {
        return lost(path, error);
    }
    let shown = path.display();
    CameraError::Unusable(match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => {
            format!("there is no camera {shown}: plug it in, or see `eyelet list cameras`")
        }
        Some(libc::EACCES | libc::EPERM) => format!(
            "no permission to open {shown}: add the user to the group video (`sudo usermod -aG video $USER`) and log in again"
        ),
        Some(libc::EBUSY) => busy(path),
        Some(libc::EISDIR) => not_video(path),
        _ => format!("cannot open {shown}: {error}"),
    })
}

/// A node that does not answer as a video device.
pub(super) fn identifying(path: &Path, error: &io::Error) -> CameraError {
    if means_gone(error) {
        lost(path, error)
    } else {
        CameraError::Unusable(not_video(path))
    }
}

fn not_video(path: &Path) -> String {
    format!(
        "{} is not a video device: choose one from `eyelet list cameras`",
        path.display()
    )
}

/// A node with no format in common.
pub(super) fn disagreement(path: &Path, wanted: &V4l2Config, why: Disagreement) -> CameraError {
    let shown = path.display();
    CameraError::Unusable(match why {
        Disagreement::RawAlone => format!("{shown} {RAW_ADVICE}"),
        Disagreement::NoFormat(offered) if offered.is_empty() => {
            format!("{shown} offers no picture format: choose another from `eyelet list cameras`")
        }
        Disagreement::NoFormat(offered) => {
            let could: Vec<PixelFormat> = offered
                .iter()
                .filter_map(|code| PixelFormat::from_fourcc(code.0))
                .collect();
            let deep = offered.iter().copied();
            let deep: Vec<FourCc> = deep.filter(|code| is_deep_otherwise(*code)).collect();
            let advice = if could.is_empty() && !deep.is_empty() {
                format!(
                    "{} has more than 8 bits a sample in a packing that is not read here (P010, Y10, Y12, Y16, Y10P and Y12P are): \
                     have what the camera is connected to, or its image processor, bring 8 bits",
                    codes(&deep)
                )
            } else if could.is_empty() {
                format!(
                    "none of them can be read here, only {} and raw formats of 8, 10 and 12 bits",
                    names(&PixelFormat::ALL)
                )
            } else {
                format!("add one of {} to the board file's formats", names(&could))
            };
            format!(
                "{shown} offers {} and the board file takes {}: {advice}",
                codes(&offered),
                names(&wanted.formats)
            )
        }
        Disagreement::Refused(code, error) => {
            return starting(path, &format!("to set {code}"), &error);
        }
        Disagreement::Fields(answer) => format!(
            "{shown} answered with {} {}x{} in fields ({}), of which each has every second row: choose another format or size, \
             or have its source send whole frames",
            answer.format, answer.width_px, answer.height_px, answer.field
        ),
        Disagreement::Nonsense(answer, reason) => format!(
            "{shown} answered with {} {}x{} and rows of {} bytes, but {reason}: choose another format or size",
            answer.format, answer.width_px, answer.height_px, answer.strides_bytes[0]
        ),
    })
}

/// A setup step that failed.
pub(super) fn starting(path: &Path, doing: &str, error: &io::Error) -> CameraError {
    if means_gone(error) {
        return lost(path, format!("{doing}: {error}"));
    }
    let shown = path.display();
    CameraError::Unusable(match error.raw_os_error() {
        Some(libc::EBUSY) => busy(path),
        Some(libc::ENOSPC) => format!(
            "the USB bus has no bandwidth left for {shown}: choose MJPEG, a smaller size or rate, or another port"
        ),
        Some(libc::EPIPE) => format!(
            "{shown} refused {doing}: {error}; a USB camera stalled: plug it in again, or request something else in the \
             board file"
        ),
        _ => format!("{shown} refused {doing}: {error}"),
    })
}

/// A stream that was not started. If the camera's parts may be devices of their own, these two error numbers mean that they were
/// not set up.
pub(super) fn not_started(
    path: &Path,
    may_have_parts: bool,
    doing: &str,
    error: &io::Error,
) -> CameraError {
    match error.raw_os_error() {
        Some(libc::EPIPE | libc::ENOLINK) if may_have_parts => CameraError::Unusable(format!(
            "{} belongs to a pipeline that is not set up: set it up in [camera.v4l2.media] (see `eyelet list cameras`), or it {RAW_ADVICE}",
            path.display()
        )),
        _ => starting(path, doing, error),
    }
}

/// A part of a pipeline that refused its link or format.
pub(super) fn in_pipeline(
    path: &Path,
    media: &Path,
    doing: &str,
    error: &io::Error,
) -> CameraError {
    if means_gone(error) {
        return lost(path, format!("{doing}: {error}"));
    }
    let (shown, media) = (path.display(), media.display());
    CameraError::Unusable(match error.raw_os_error() {
        Some(libc::EBUSY) => format!(
            "{media} refused {doing}, for the pipeline of {shown}: another program streams from it; end that first"
        ),
        Some(libc::EACCES | libc::EPERM) => format!(
            "{media} refused {doing}, for the pipeline of {shown}: {error}; the user needs the group video (`sudo usermod -aG \
             video $USER`, then log in again), and the driver a kernel that leaves its parts to programs"
        ),
        _ => format!("{media} refused {doing}, for the pipeline of {shown}: {error}"),
    })
}

/// A pipeline that is set up but that the kernel does not start; `warning` is what its parts reported before.
pub(super) fn mismatched_parts(path: &Path, pipeline: &str, warning: Option<&str>) -> CameraError {
    let why = warning.unwrap_or("two of its parts do not agree on a format");
    CameraError::Unusable(format!(
        "the pipeline of {} does not start ({pipeline}): {why}; set its formats in [camera.v4l2.media]",
        path.display()
    ))
}

/// A control that the driver did not accept.
pub(super) fn setting(path: &Path, doing: &str, error: &io::Error) -> CameraError {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EBUSY) => CameraError::Unusable(format!(
            "{} refused {doing}: {error}; another control holds it (an automatic that is on: set auto_exposure or its like too), \
             or a program uses it",
            path.display()
        )),
        _ => starting(path, doing, error),
    }
}

/// A stream that broke while running.
pub(super) fn streaming(path: &Path, error: &io::Error) -> CameraError {
    lost(path, error)
}

/// Remembers why a node does not work; for a node that was tried twice, the last reason.
pub(super) fn keep_last(
    reasons: &mut Vec<(PathBuf, CameraError)>,
    path: &Path,
    reason: CameraError,
) {
    match reasons.iter_mut().find(|(other, _)| other == path) {
        Some((_, earlier)) => *earlier = reason,
        None => reasons.push((path.to_owned(), reason)),
    }
}

/// "auto" found no working camera. Only the first few of many reasons are listed.
pub(super) fn none_works(mut reasons: Vec<CameraError>) -> CameraError {
    if reasons.len() == 1 {
        return reasons.remove(0);
    }
    let listed = first_of(reasons.iter(), 3, |more| {
        format!("and {more} more nodes (see `eyelet list cameras`)")
    });
    CameraError::Unusable(format!("no camera can be used: {}", listed.join("; ")))
}

fn busy(path: &Path) -> String {
    let holder = match holder(path) {
        Some((pid, name)) => format!("process {pid} ({name})"),
        None => format!("another program (see `sudo fuser -v {}`)", path.display()),
    };
    format!("{} is in use by {holder}: end that first", path.display())
}

/// Another process that has the device open, as far as permissions allow us to look.
fn holder(path: &Path) -> Option<(u32, String)> {
    let device = fs::canonicalize(path).ok()?;
    let own = std::process::id();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_str().and_then(|n| n.parse().ok());
        let Some(pid) = pid.filter(|&pid: &u32| pid != own) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        if descriptors
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == device))
        {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// Formats, for a message.
pub(super) fn names(formats: &[PixelFormat]) -> String {
    let mut names: Vec<String> = formats.iter().map(ToString::to_string).collect();
    names.dedup();
    names.join(", ")
}

/// A driver's formats, for a message; drivers can have a hundred.
fn codes(codes: &[FourCc]) -> String {
    first_of(codes.iter(), 12, |more| format!("{more} more")).join(", ")
}

/// The first `max` of what a message lists, and the words for how many more there are.
pub(super) fn first_of(
    items: impl ExactSizeIterator<Item: ToString>,
    max: usize,
    words: impl FnOnce(usize) -> String,
) -> Vec<String> {
    let more = items.len().saturating_sub(max);
    let mut listed: Vec<String> = items.take(max).map(|item| item.to_string()).collect();
    if more > 0 {
        listed.push(words(more));
    }
    listed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::field::Field;
    use super::super::negotiate::Accepted;
    use super::*;
    use std::time::Duration;

    fn from(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    fn wanted() -> V4l2Config {
        V4l2Config {
            device: None,
            width_px: 640,
            height_px: 480,
            rate_fps: 30,
            formats: vec![PixelFormat::Yuyv, PixelFormat::Mjpeg],
            sensor: None,
            media: None,
            timeout: Duration::from_secs(1),
            tuning: crate::camera::v4l2::Tuning::default(),
            raw: crate::frame::RawTuning::default(),
        }
    }

    #[test]
    fn each_fault_is_one_line_that_says_what_to_do() {
        let (path, media) = (Path::new("/dev/video7"), Path::new("/dev/media0"));
        let fields = Accepted {
            format: FourCc(*b"UYVY"),
            width_px: 720,
            height_px: 288,
            strides_bytes: [0; 3],
            pieces: 1,
            field: Field(7),
        };
        let faults = [
            (
                disagreement(path, &wanted(), Disagreement::Fields(fields)),
                "answered with UYVY 720x288 in fields (alternate), of which each has every second row: choose another",
            ),
            (opening(path, &from(libc::ENOENT)), "plug it in"),
            (opening(path, &from(libc::EACCES)), "group video"),
            (opening(path, &from(libc::EBUSY)), "in use by"),
            (opening(path, &from(libc::EMFILE)), "cannot open"),
            (identifying(path, &from(libc::ENOTTY)), "not a video device"),
            (starting(path, "to start", &from(libc::EBUSY)), "in use by"),
            (starting(path, "to start", &from(libc::ENOSPC)), "bandwidth"),
            (
                not_started(path, true, "to start", &from(libc::EPIPE)),
                "rpicam-vid",
            ),
            (
                not_started(path, false, "to start", &from(libc::EPIPE)),
                "refused to start: Broken pipe (os error 32); a USB camera",
            ),
            (
                setting(path, "to set its control `focus` to 30", &from(libc::EPIPE)),
                "refused to set its control `focus` to 30: Broken pipe (os error 32); a USB camera",
            ),
            (
                disagreement(
                    path,
                    &wanted(),
                    Disagreement::Refused(FourCc(*b"MJPG"), from(libc::EPIPE)),
                ),
                "refused to set MJPG: Broken pipe",
            ),
            (
                starting(path, "to start", &from(libc::EINVAL)),
                "refused to start",
            ),
            (
                setting(path, "to set its control `gain` to 3", &from(libc::EACCES)),
                "refused to set its control `gain` to 3",
            ),
            (
                in_pipeline(
                    path,
                    media,
                    "to enable the link a:0 -> b:0",
                    &from(libc::EBUSY),
                ),
                "another program streams",
            ),
            (
                in_pipeline(
                    path,
                    media,
                    "to set `a:0` to 0x3042/64x48",
                    &from(libc::EPERM),
                ),
                "group video",
            ),
            (
                mismatched_parts(path, "a:0 -> b:0", None),
                "does not start (a:0 -> b:0): two of its parts do not agree",
            ),
            (
                mismatched_parts(path, "a:0 -> b:0", Some("`c:0` takes Y8_1X8/64x48")),
                "`c:0` takes Y8_1X8/64x48; set its formats",
            ),
            (
                disagreement(path, &wanted(), Disagreement::RawAlone),
                "rpicam-vid",
            ),
            (
                disagreement(path, &wanted(), Disagreement::NoFormat(vec![])),
                "offers no picture format",
            ),
            (
                disagreement(
                    path,
                    &wanted(),
                    Disagreement::NoFormat(vec![FourCc(*b"H264")]),
                ),
                "offers H264 and the board file takes YUYV, MJPEG: none of them",
            ),
            (
                disagreement(
                    path,
                    &wanted(),
                    Disagreement::NoFormat(vec![FourCc(*b"H264"), FourCc(*b"NV12")]),
                ),
                "add one of NV12",
            ),
            (
                disagreement(
                    path,
                    &wanted(),
                    Disagreement::NoFormat(vec![FourCc(*b"NV15"), FourCc(*b"H264")]),
                ),
                "takes YUYV, MJPEG: NV15 has more than 8 bits a sample",
            ),
        ];
        for (fault, expected) in faults {
            assert!(matches!(fault, CameraError::Unusable(_)), "{fault:?}");
            let line = fault.to_string();
            assert!(line.contains(expected), "{line}");
            assert!(
                line.contains("/dev/video7") && !line.contains('\n'),
                "{line}"
            );
        }
    }

    #[test]
    fn a_device_that_has_gone_is_lost_and_not_unusable() {
        let path = Path::new("/dev/video7");
        for errno in [libc::ENODEV, libc::ENXIO, libc::EIO, libc::ETIMEDOUT] {
            for fault in [
                opening(path, &from(errno)),
                identifying(path, &from(errno)),
                starting(path, "to start", &from(errno)),
                in_pipeline(path, Path::new("/dev/media0"), "to start", &from(errno)),
                streaming(path, &from(errno)),
            ] {
                assert!(matches!(fault, CameraError::Lost { .. }), "{fault:?}");
            }
        }
    }

    #[test]
    fn the_process_that_holds_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        fs::write(&path, "").unwrap();
        assert_eq!(holder(&path), None, "we do not count");
        let mut child = std::process::Command::new("sleep")
            .arg("300")
            .stdin(fs::File::open(&path).unwrap())
            .spawn()
            .unwrap();
        // `spawn` returns after exec, when the process has the child's name; under user-mode emulation a little before that.
        let named =
            |found: &Option<(u32, String)>| found.as_ref().is_some_and(|(_, name)| name == "sleep");
        let mut found = holder(&path);
        for _ in 0..3000 {
            if named(&found) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            found = holder(&path);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Some((child.id(), "sleep".to_owned())));
    }

    #[test]
    fn only_a_few_of_many_reasons_are_listed() {
        let reason = |n: usize| CameraError::Unusable(format!("/dev/video{n} is in use"));
        assert_eq!(
            none_works(vec![reason(4)]).to_string(),
            "/dev/video4 is in use"
        );
        assert_eq!(
            none_works((0..5).map(reason).collect()).to_string(),
            "no camera can be used: /dev/video0 is in use; /dev/video1 is in use; /dev/video2 is in use; \
             and 2 more nodes (see `eyelet list cameras`)"
        );
    }

    #[test]
    fn a_node_that_is_tried_twice_is_reported_once() {
        let mut reasons = Vec::new();
        for (path, why) in [
            ("/dev/video0", "a"),
            ("/dev/video1", "b"),
            ("/dev/video0", "c"),
        ] {
            let reason = CameraError::Unusable(format!("{path} {why}"));
            keep_last(&mut reasons, Path::new(path), reason);
        }
        let reasons = reasons.into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(
            none_works(reasons).to_string(),
            "no camera can be used: /dev/video0 c; /dev/video1 b"
        );
    }

    #[test]
    fn long_lists_are_truncated() {
        let many = vec![FourCc(*b"YUYV"); 80];
        assert!(codes(&many).ends_with("YUYV, 68 more"));
    }
}
