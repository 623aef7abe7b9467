//! A CSI camera as `boards/README.md` sets it up: the service pipes `rpicam-vid` into Eyelet. A script that plays a recorded
//! stream stands in for it.

use super::guest::{Guest, wait};
use super::{BOARD, PATIENCE, boot, configure, install, is_held};

const DROP_INS: &str = "/etc/systemd/system/eyelet.service.d";

/// The lines of `boards/README.md`.
fn switch_on(guest: &Guest) {
    guest.run_well(&format!(
        "mkdir -p {DROP_INS} && ln -s /usr/share/eyelet/eyelet-rpicam.conf {DROP_INS}/ && systemctl daemon-reload"
    ));
    // The policy would wait for a camera for ever; nobody but systemd can start this one again.
    guest.write(
        &format!("{DROP_INS}/test.conf"),
        "[Service]\nWatchdogSec=8\n",
    );
    guest.run_well("systemctl daemon-reload");
}

/// Another process than `before` is the service's main one, is Eyelet, and has finished a frame. Returns its number and the
/// camera program's.
fn is_seeing(guest: &Guest, before: &str) -> (String, String) {
    let is_another = || {
        let main = guest.property("MainPID");
        main != before && main != "0" && guest.property("ActiveState") == "active"
    };
    assert!(wait(PATIENCE, is_another), "{}", guest.journal());
    guest.wait_for_property("StatusText", "classifying", PATIENCE);
    let main = guest.property("MainPID");
    let name = guest.run_well(&format!("cat /proc/{main}/comm"));
    assert_eq!(name.trim(), "eyelet");
    let camera = guest.run_well("pidof -x rpicam-vid");
    (main, camera.trim().to_owned())
}

#[test]
#[ignore = "boots a Debian container: `cargo test --test deb -- --ignored`"]
fn a_csi_cameras_program_that_ends_or_hangs_is_started_again() {
    let Some((_alone, guest)) = boot() else {
        return;
    };
    configure(&guest, BOARD);
    install(&guest);
    guest.wait_for_words("Egyptian cat", 1, PATIENCE);
    assert_eq!(guest.run("pidof -x rpicam-vid").code, Some(1), "not used");

    // Without the camera program the unit says what is missing, and is not tried over and over.
    switch_on(&guest);
    assert_ne!(guest.run("systemctl restart eyelet").code, Some(0));
    is_held(&guest, "3", &["sudo apt install rpicam-apps-lite"]);

    guest.run_well("install -m 755 /mnt/rpicam-vid /usr/bin/rpicam-vid");
    guest.run_well("systemctl restart eyelet");
    let (first, camera) = is_seeing(&guest, "");
    guest.wait_for_words("pipe: MJPEG", 1, PATIENCE);
    let command = guest.run_well(&format!("tr '\\0' ' ' < /proc/{camera}/cmdline"));
    for part in ["--width 640", "--codec mjpeg", "--output -"] {
        assert!(command.contains(part), "{part}: {command}");
    }

    // It dies: the stream ends, and both start again.
    guest.run_well(&format!("kill -KILL {camera}"));
    let (second, camera) = is_seeing(&guest, &first);

    // It hangs: no frames, and the watchdog ends it.
    guest.run_well(&format!("kill -STOP {camera}"));
    guest.wait_for_words("Watchdog timeout (limit 8s)!", 1, PATIENCE);
    let (_, again) = is_seeing(&guest, &second);
    let gone = || guest.run(&format!("test -d /proc/{camera}")).code == Some(1);
    assert!(wait(PATIENCE, gone), "the one that hung is still there");
    assert_ne!(camera, again);
    assert_eq!(guest.property("NRestarts"), "2");

    // Told to stop, all of it stops.
    guest.run_well("systemctl stop eyelet");
    assert_eq!(guest.run("pidof -x rpicam-vid").code, Some(1));
    guest.run_well(&format!("rm {DROP_INS}/test.conf"));
    guest.run_well("dpkg --purge eyelet");
    guest.run_well(&format!("test ! -e {DROP_INS}"));
}
