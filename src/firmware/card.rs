//! Finds the disk that the board was booted from, among all that have the signature of `eyelet image`.
//!
//! The same inputs give the same image, so every card of a version has the same signature, and so has a stick that an image was
//! written to. Two things together identify the boot disk: the kind of disk that the boot loader read, and the id of the system
//! in the running slot. When two disks match both, neither is used: better an unused card than a stick mistaken for it.

use crate::mbr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Kinds of disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An SD card or eMMC.
    Mmc,
    /// On USB.
    Usb,
    /// Any other.
    Other,
}

impl Kind {
    /// The kind that U-Boot calls `name` (`devtype`).
    pub fn of_u_boot(name: &str) -> Self {
        match name {
            "mmc" => Self::Mmc,
            "usb" => Self::Usb,
            _ => Self::Other,
        }
    }
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name for it.
    pub name: String,
    /// Its device.
    pub device: PathBuf,
    /// What kind of disk it is.
    pub kind: Kind,
}

impl Disk {
    /// The device of its partition `number`.
    pub fn partition(&self, number: u32) -> PathBuf {
        self.device
            .with_file_name(partition_name(&self.name, number))
    }
}

/// The kernel's name for a partition: after a digit it puts a `p` before the number.
fn partition_name(disk: &str, number: u32) -> String {
    let gap = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    format!("{disk}{gap}{number}")
}

/// The disks that have hardware behind them, sorted by name. `sys` is `/sys`, `dev` is `/dev`.
pub fn disks(sys: &Path, dev: &Path) -> Vec<Disk> {
    let Ok(entries) = std::fs::read_dir(sys.join("block")) else {
        return Vec::new();
    };
    let mut disks: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The entry is a link into the device tree of buses.
            let place = entry.path().canonicalize().unwrap_or_default();
            let is_on_usb = place
                .components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with("usb"));
            let kind = match name.starts_with("mmcblk") {
                true => Kind::Mmc,
                false if is_on_usb => Kind::Usb,
                false => Kind::Other,
            };
            Disk {
                device: dev.join(&name),
                name,
                kind,
            }
        })
        .collect();
    disks.sort_by(|one, other| one.name.cmp(&other.name));
    disks
}

/// The disks that have our signature and a data partition.
pub fn ours(sys: &Path, dev: &Path) -> Vec<Disk> {
    let has_data = |disk: &Disk| {
        let partition = partition_name(&disk.name, super::data::NUMBER);
        sys.join("block").join(&disk.name).join(partition).is_dir()
    };
    disks(sys, dev)
        .into_iter()
        .filter(|disk| has_signature(&disk.device) && has_data(disk))
        .collect()
}

fn has_signature(device: &Path) -> bool {
    let mut sector = [0; mbr::SECTOR_BYTES as usize];
    let read = File::open(device).and_then(|mut file| file.read_exact(&mut sector));
    read.is_ok()
        && mbr::partitions(&sector).is_some()
        && mbr::disk_id(&sector) == Some(mbr::EYELET_DISK_ID)
}

/// What is known about the boot disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Booted {
    /// What the boot loader read; `None` if it did not say.
    pub kind: Option<Kind>,
    /// Whether no other kind of disk is possible, however long we wait.
    pub is_kind_certain: bool,
}

/// Why no disk was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// None has the signature and holds the running system.
    None,
    /// More than one does.
    Several,
}

/// The boot disk among `candidates`. `holds_this_system` says whether a disk's running slot holds the running system; `is_late`
/// says that we have waited long enough for a better candidate.
///
/// # Errors
/// See [`NotFound`].
pub fn choose(
    candidates: &[Disk],
    booted: Booted,
    is_late: bool,
    mut holds_this_system: impl FnMut(&Disk) -> bool,
) -> Result<Disk, NotFound> {
    let (expected, others): (Vec<_>, Vec<_>) =
        candidates.iter().partition(|disk| match booted.kind {
            Some(kind) => disk.kind == kind,
            // Boards boot from USB when they have nothing else.
            None => disk.kind != Kind::Usb,
        });
    let mut only = |disks: &[&Disk]| {
        let mut holders = disks.iter().filter(|disk| holds_this_system(disk));
        match (holders.next(), holders.next()) {
            (None, _) => Err(NotFound::None),
            (Some(disk), None) => Ok((*disk).clone()),
            (Some(_), Some(_)) => Err(NotFound::Several),
        }
    };
    match only(&expected) {
        Err(NotFound::None) if is_late && !booted.is_kind_certain => only(&others),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn disk(name: &str, kind: Kind) -> Disk {
        Disk {
            name: name.to_owned(),
            device: Path::new("/dev").join(name),
            kind,
        }
    }

    fn certain(kind: Kind) -> Booted {
        Booted {
            kind: Some(kind),
            is_kind_certain: true,
        }
    }

    #[test]
    fn disks_are_found_by_signature_and_distinguished_by_their_bus() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, dev) = (folder.path().join("sys"), folder.path().join("dev"));
        fs::create_dir_all(sys.join("block")).unwrap();
        fs::create_dir_all(&dev).unwrap();
        let add = |name: &str, bus: &str, id: u32, partition: &str| {
            let place = sys.join("devices").join(bus).join(name);
            fs::create_dir_all(place.join("device")).unwrap();
            fs::create_dir_all(place.join(partition)).unwrap();
            let _ = std::os::unix::fs::symlink(&place, sys.join("block").join(name));
            let mut sector = [0; 512];
            sector[440..444].copy_from_slice(&id.to_le_bytes());
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            fs::write(dev.join(name), sector).unwrap();
        };
        let ours = || ours(&sys, &dev);
        assert_eq!(ours(), []);
        add("sda", "pci0/usb1/1-2", 1, "sda4");
        fs::create_dir_all(sys.join("block/ram0/ram04")).unwrap();
        assert_eq!(ours(), []);
        add("mmcblk0", "mmc_host", mbr::EYELET_DISK_ID, "mmcblk0p3");
        assert_eq!(ours(), [], "it has no fourth partition");
        add("mmcblk0", "mmc_host", mbr::EYELET_DISK_ID, "mmcblk0p4");
        add("sda", "pci0/usb1/1-2", mbr::EYELET_DISK_ID, "sda4");
        add("vda", "pci0/virtio1", mbr::EYELET_DISK_ID, "vda4");
        let found: Vec<_> = ours()
            .into_iter()
            .map(|disk| (disk.kind, disk.partition(4)))
            .collect();
        let expected = [
            (Kind::Mmc, "mmcblk0p4"),
            (Kind::Usb, "sda4"),
            (Kind::Other, "vda4"),
        ]
        .map(|(kind, name)| (kind, dev.join(name)));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stick_with_an_image_is_never_mistaken_for_the_card() {
        let (card, stick) = (disk("mmcblk0", Kind::Mmc), disk("sda", Kind::Usb));
        let both = [card.clone(), stick.clone()];
        for booted in [Booted::default(), certain(Kind::Mmc)] {
            // The very same image on both, and only the stick while the card's driver is still being loaded.
            assert_eq!(choose(&both, booted, true, |_| true), Ok(card.clone()));
            let alone = choose(&both[1..], booted, false, |_| true);
            assert_eq!(alone, Err(NotFound::None));
            // A newer image on the stick.
            let is_card = |disk: &Disk| disk == &card;
            assert_eq!(choose(&both, booted, true, is_card), Ok(card.clone()));
            assert_eq!(
                choose(&both[1..], booted, true, is_card),
                Err(NotFound::None)
            );
        }
        assert_eq!(
            choose(&both[1..], certain(Kind::Mmc), true, |_| true),
            Err(NotFound::None)
        );
    }

    #[test]
    fn a_board_that_boots_from_usb_finds_its_disk_and_identical_disks_are_refused() {
        let stick = disk("sda", Kind::Usb);
        let found = choose(
            std::slice::from_ref(&stick),
            Booted::default(),
            true,
            |_| true,
        );
        assert_eq!(found, Ok(stick));
        let alike = [disk("vda", Kind::Other), disk("vdb", Kind::Other)];
        let several = choose(&alike, certain(Kind::Other), true, |_| true);
        assert_eq!(several, Err(NotFound::Several));
        let second = choose(&alike, certain(Kind::Other), false, |disk| {
            disk.name == "vdb"
        });
        assert_eq!(second.unwrap().name, "vdb");
    }
}
