//! Describes a block device as Linux reports it, and lists reasons not to overwrite it.
//!
//! Everything is read from `/sys/class/block` and `/proc`; nothing is opened for writing here.

use crate::named;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `/sys/class/block/NAME/size` counts sectors of this many bytes, whatever the device has.
const SECTOR_BYTES: u64 = 512;
/// Whatever is mounted here is this machine's system.
const SYSTEM_MOUNTS: [&str; 5] = ["/", "/usr", "/boot", "/boot/efi", "/boot/firmware"];

/// Where the kernel describes its devices; tests use their own folder.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/sys`
    pub sys: PathBuf,
    /// `/proc`
    pub proc: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
        }
    }
}

/// A reason not to write to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The device or a part of it is mounted.
    Mounted {
        /// The device or its partition.
        name: String,
        /// Where.
        mount_point: String,
    },
    /// The device or a part of it is in use without being mounted: swap space, LVM, RAID, an encrypted disk.
    InUse {
        /// The device or its partition.
        name: String,
        /// What uses it.
        by: String,
    },
    /// It is not a removable card or stick.
    NotRemovable,
    /// The system runs from it.
    RunsTheSystem,
    /// It is a partition of a device.
    Partition {
        /// The whole device.
        of: String,
    },
    /// It is smaller than the image.
    TooSmall {
        /// Its size.
        device_bytes: u64,
        /// The image's size.
        image_bytes: u64,
    },
    /// Its write-protect switch is at "lock".
    ReadOnly,
    /// The image is stored on it, or it is the image (a loop device).
    HoldsTheImage,
}

impl Objection {
    /// Whether a user who is sure may overrule this. Some objections cannot be overruled: writing could not work.
    pub fn may_be_overruled(&self) -> bool {
        !matches!(
            self,
            Self::TooSmall { .. } | Self::ReadOnly | Self::HoldsTheImage
        )
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted { name, mount_point } => {
                write!(
                    f,
                    "{name} is mounted at {mount_point} (`umount {mount_point}`)"
                )
            }
            Self::InUse { name, by } => write!(f, "{name} is in use by {by}"),
            Self::NotRemovable => {
                f.write_str("it is not a removable card or stick, but a disk of this machine")
            }
            Self::RunsTheSystem => f.write_str("this machine's system runs from it"),
            Self::Partition { of } => {
                write!(f, "it is a partition; the whole device is /dev/{of}")
            }
            Self::TooSmall {
                device_bytes,
                image_bytes,
            } => write!(
                f,
                "it has {device_bytes} bytes, and the image has {image_bytes}: take a larger card"
            ),
            Self::ReadOnly => {
                f.write_str("it is write-protected (the small switch on the card's side)")
            }
            Self::HoldsTheImage => {
                f.write_str("the image is stored on it: copy the image elsewhere")
            }
        }
    }
}

/// A block device's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its size.
    pub size_bytes: u64,
    /// Its maker's name for it, if known.
    pub model: String,
    /// Reasons not to write it, worst first.
    pub objections: Vec<Objection>,
}

/// Examines the block device `name` (such as `sdb` or `mmcblk0`), to which the file `image` at `path` would be written.
///
/// # Errors
/// When the kernel does not know the device.
pub fn examine(
    name: &str,
    image: &Metadata,
    path: &Path,
    places: &Places,
) -> std::io::Result<Described> {
    let block = places.sys.join("class/block");
    let folder = block.join(name);
    let sectors: u64 = read(&folder.join("size"))?
        .parse()
        .map_err(std::io::Error::other)?;
    let size_bytes = sectors * SECTOR_BYTES;
    let whole = whole_device(&folder, name);
    let mut objections = Vec::new();
    let mounts = mounts(places, &block);
    let of_the_system = mounts
        .iter()
        .filter(|mount| SYSTEM_MOUNTS.contains(&&*mount.point))
        .map(|mount| mount.device.clone());
    if disks_below(of_the_system, &block).contains(&whole) {
        objections.push(Objection::RunsTheSystem);
    }
    let image_is_on = format!("{}:{}", libc::major(image.dev()), libc::minor(image.dev()));
    // On btrfs a file's device number is none that the kernel lists anywhere; its mount tells the disk.
    let image_is_in = mount_of(path, &mounts).map(|mount| mount.device.clone());
    if disks_below(std::iter::once(image_is_on).chain(image_is_in), &block).contains(&whole)
        || is_loop_over(image, &block.join(&whole))
    {
        objections.push(Objection::HoldsTheImage);
    }
    if whole != name {
        objections.push(Objection::Partition { of: whole.clone() });
    }
    let swaps = read(&places.proc.join("swaps")).unwrap_or_default();
    for part in with_partitions(&folder, name) {
        let number = read(&block.join(&part).join("dev")).unwrap_or_default();
        objections.extend(
            mounts
                .iter()
                .filter(|mount| mount.device == number)
                .map(|mount| Objection::Mounted {
                    name: part.clone(),
                    mount_point: mount.point.clone(),
                }),
        );
        if swaps
            .lines()
            .any(|line| line.split_whitespace().next() == Some(&format!("/dev/{part}")))
        {
            objections.push(Objection::InUse {
                name: part.clone(),
                by: "this machine as swap space".to_owned(),
            });
        }
        for holder in entries(&block.join(&part).join("holders")) {
            objections.push(Objection::InUse {
                name: part.clone(),
                by: holder,
            });
        }
    }
    if !is_removable(&block.join(&whole)) {
        objections.push(Objection::NotRemovable);
    }
    let image_bytes = image.len();
    if size_bytes < image_bytes {
        objections.push(Objection::TooSmall {
            device_bytes: size_bytes,
            image_bytes,
        });
    }
    if read(&folder.join("ro")).is_ok_and(|flag| flag == "1") {
        objections.push(Objection::ReadOnly);
    }
    let model = ["device/model", "device/name"]
        .iter()
        .find_map(|file| read(&folder.join(file)).ok())
        .unwrap_or_default();
    Ok(Described {
        size_bytes,
        model,
        objections,
    })
}

/// One line of `/proc/self/mountinfo`.
struct Mount {
    /// `MAJOR:MINOR` of the disk, where the kernel tells it.
    device: String,
    point: String,
}

fn mounts(places: &Places, block: &Path) -> Vec<Mount> {
    let text = read(&places.proc.join("self/mountinfo")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(2);
            let device = words.next()?.to_owned();
            // A space in a path is written \040.
            let point = words.nth(1)?.replace("\\040", " ");
            // Behind the dash: the file system's kind and source. On btrfs only the source tells the disk.
            let source = words.skip_while(|word| *word != "-").nth(2);
            let device = match source {
                Some(source) if device.starts_with("0:") => {
                    number_of(source, block).unwrap_or(device)
                }
                _ => device,
            };
            Some(Mount { device, point })
        })
        .collect()
}

/// The number of the block device `source`, which may be a link such as `/dev/mapper/NAME`.
fn number_of(source: &str, block: &Path) -> Option<String> {
    let source = Path::new(source);
    let real = source.canonicalize();
    let name = real.as_deref().unwrap_or(source).file_name()?;
    read(&block.join(name).join("dev")).ok()
}

/// Where the file at `path` is mounted. Of several at one place the last one hides the others.
fn mount_of<'a>(path: &Path, mounts: &'a [Mount]) -> Option<&'a Mount> {
    let real = path.canonicalize().ok()?;
    let around = mounts.iter().filter(|mount| real.starts_with(&mount.point));
    around.max_by_key(|mount| mount.point.len())
}

/// The disks under the devices with these numbers, looking through LVM, RAID and encryption.
fn disks_below(numbers: impl IntoIterator<Item = String>, block: &Path) -> BTreeSet<String> {
    let mut below: BTreeSet<String> = BTreeSet::new();
    let mut to_visit: Vec<String> = Vec::new();
    for number in numbers {
        to_visit.extend(entries(block).into_iter().filter(|name| {
            read(&block.join(name).join("dev")).is_ok_and(|its_number| its_number == number)
        }));
    }
    while let Some(name) = to_visit.pop() {
        let folder = block.join(&name);
        if below.insert(name.clone()) {
            to_visit.extend(entries(&folder.join("slaves")));
            to_visit.push(whole_device(&folder, &name));
        }
    }
    below
}

/// Whether `device` is a loop device over the file `image`.
fn is_loop_over(image: &Metadata, device: &Path) -> bool {
    read(&device.join("loop/backing_file"))
        .and_then(std::fs::metadata)
        .is_ok_and(|backing| named::is_same(&backing, image))
}

/// The name of the device that `name` is a partition of, or `name` itself.
fn whole_device(folder: &Path, name: &str) -> String {
    if !folder.join("partition").exists() {
        return name.to_owned();
    }
    // The folder is a link into the whole device's folder.
    let parent = folder
        .canonicalize()
        .ok()
        .and_then(|path| Some(path.parent()?.file_name()?.to_string_lossy().into_owned()));
    parent.unwrap_or_else(|| name.to_owned())
}

/// The device and its partitions.
fn with_partitions(folder: &Path, name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    names.extend(
        entries(folder)
            .into_iter()
            .filter(|entry| folder.join(entry).join("partition").exists()),
    );
    names
}

/// A built-in card reader does not report its cards as removable, but the card reports that it is an SD card.
fn is_removable(folder: &Path) -> bool {
    read(&folder.join("removable")).is_ok_and(|flag| flag == "1")
        || read(&folder.join("device/type")).is_ok_and(|kind| kind == "SD")
}

fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned())
}

/// The names in a folder, sorted; empty if there is no such folder.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const GIB: u64 = 1 << 30;

    /// A machine: an internal disk `sda` that holds the system (through an encrypted `dm-0`), a stick `sdb`, a card `mmcblk0` in
    /// a built-in reader.
    struct Machine {
        root: TempDir,
        places: Places,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let places = Places {
                sys: root.path().join("sys"),
                proc: root.path().join("proc"),
            };
            let machine = Self { root, places };
            machine.device(
                "sda",
                &[("removable", "0"), ("size", "1000000000"), ("dev", "8:0")],
            );
            machine.partition("sda", "sda1", "8:1");
            machine.partition("sda", "sda2", "8:2");
            machine.device(
                "dm-0",
                &[("removable", "0"), ("size", "900000000"), ("dev", "253:0")],
            );
            machine.file("sys/devices/sda/sda2/holders/dm-0", "");
            machine.file("sys/devices/dm-0/slaves/sda2", "");
            machine.device(
                "sdb",
                &[
                    ("removable", "1"),
                    ("size", "30000000"),
                    ("dev", "8:16"),
                    ("device/model", "Stick 3000 "),
                ],
            );
            machine.partition("sdb", "sdb1", "8:17");
            machine.device(
                "mmcblk0",
                &[
                    ("removable", "0"),
                    ("size", "15000000"),
                    ("dev", "179:0"),
                    ("device/type", "SD"),
                ],
            );
            machine.file("proc/swaps", "Filename Type\n/dev/sda9 partition\n");
            machine.mount("253:0", "/");
            machine.mount("8:1", "/boot");
            machine
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn link(&self, name: &str, to: &str) {
            let block = self.places.sys.join("class/block");
            fs::create_dir_all(&block).unwrap();
            std::os::unix::fs::symlink(self.root.path().join(to), block.join(name)).unwrap();
        }

        fn device(&self, name: &str, files: &[(&str, &str)]) {
            for (file, text) in files {
                self.file(&format!("sys/devices/{name}/{file}"), &format!("{text}\n"));
            }
            self.link(name, &format!("sys/devices/{name}"));
        }

        fn partition(&self, whole: &str, name: &str, number: &str) {
            let folder = format!("sys/devices/{whole}/{name}");
            self.file(&format!("{folder}/partition"), "1\n");
            self.file(&format!("{folder}/size"), "4000000\n");
            self.file(&format!("{folder}/dev"), &format!("{number}\n"));
            self.link(name, &folder);
        }

        fn mount(&self, number: &str, point: &str) {
            let path = self.places.proc.join("self/mountinfo");
            let before = fs::read_to_string(&path).unwrap_or_default();
            self.file(
                "proc/self/mountinfo",
                &format!("{before}36 35 {number} / {point} rw - ext4 /dev/x rw\n"),
            );
        }

        fn image_path(&self) -> PathBuf {
            self.root.path().join("image")
        }

        /// A sparse image of this length.
        fn image(&self, bytes: u64) -> Metadata {
            let file = fs::File::create(self.image_path()).unwrap();
            file.set_len(bytes).unwrap();
            file.metadata().unwrap()
        }

        fn examine(&self, name: &str, image_bytes: u64) -> std::io::Result<Described> {
            let image = self.image(image_bytes);
            examine(name, &image, &self.image_path(), &self.places)
        }

        fn objections(&self, name: &str, image_bytes: u64) -> Vec<String> {
            let described = self.examine(name, image_bytes).unwrap();
            described
                .objections
                .iter()
                .map(Objection::to_string)
                .collect()
        }
    }

    #[test]
    fn a_stick_and_a_card_are_accepted() {
        let machine = Machine::new();
        assert!(machine.objections("sdb", GIB).is_empty());
        assert!(machine.objections("mmcblk0", GIB).is_empty());
        let described = machine.examine("sdb", GIB).unwrap();
        assert_eq!(described.size_bytes, 30_000_000 * 512);
        assert_eq!(described.model, "Stick 3000");
        assert!(machine.examine("sdz", GIB).is_err());
    }

    #[test]
    fn a_mounted_device_is_refused_with_its_mount_point() {
        let machine = Machine::new();
        machine.mount("8:17", "/media/my\\040stick");
        assert_eq!(
            machine.objections("sdb", GIB),
            ["sdb1 is mounted at /media/my stick (`umount /media/my stick`)"]
        );
    }

    #[test]
    fn a_device_in_use_is_refused() {
        let machine = Machine::new();
        machine.file("proc/swaps", "Filename Type\n/dev/sdb1 partition\n");
        machine.file("sys/devices/mmcblk0/holders/md0", "");
        assert_eq!(
            machine.objections("sdb", GIB),
            ["sdb1 is in use by this machine as swap space"]
        );
        assert_eq!(
            machine.objections("mmcblk0", GIB),
            ["mmcblk0 is in use by md0"]
        );
    }

    #[test]
    fn the_systems_disk_is_refused_even_when_it_is_encrypted() {
        let machine = Machine::new();
        let described = machine.examine("sda", GIB).unwrap();
        assert_eq!(described.objections[0], Objection::RunsTheSystem);
        let by = "dm-0".to_owned();
        let name = "sda2".to_owned();
        assert!(
            described
                .objections
                .contains(&Objection::InUse { name, by })
        );
        assert!(described.objections.contains(&Objection::NotRemovable));
        // A stick that the system runs from is removable, and is refused anyway.
        let stick = Machine::new();
        stick.file("proc/self/mountinfo", "1 1 8:17 / / rw - ext4 x rw\n");
        let described = stick.examine("sdb", GIB).unwrap();
        assert_eq!(described.objections[0], Objection::RunsTheSystem);
    }

    #[test]
    fn a_fixed_disk_a_partition_and_a_small_or_locked_card_are_refused() {
        let machine = Machine::new();
        machine.device(
            "sdc",
            &[("removable", "0"), ("size", "30000000"), ("dev", "8:32")],
        );
        assert_eq!(
            machine.objections("sdc", GIB),
            ["it is not a removable card or stick, but a disk of this machine"]
        );
        assert_eq!(
            machine.objections("sdb1", GIB),
            ["it is a partition; the whole device is /dev/sdb"]
        );
        assert_eq!(
            machine.objections("sdb", 1 << 40),
            ["it has 15360000000 bytes, and the image has 1099511627776: take a larger card"]
        );
        machine.file("sys/devices/sdb/ro", "1\n");
        let described = machine.examine("sdb", GIB).unwrap();
        assert_eq!(described.objections, [Objection::ReadOnly]);
        assert!(!described.objections[0].may_be_overruled());
        assert!(Objection::NotRemovable.may_be_overruled());
    }

    /// On btrfs the numbers in mountinfo and of a file (each subvolume has its own) are of no device.
    #[test]
    fn a_disk_with_btrfs_is_recognised_by_the_source_of_its_mount() {
        let machine = Machine::new();
        let folder = machine.root.path().canonicalize().unwrap();
        let mount = |point: &str, source: &str| {
            let mounts = format!(
                "36 35 0:34 /x {point} rw,noatime shared:1 - btrfs {source} rw\n\
                 37 35 0:5 / /dev rw - devtmpfs udev rw\n"
            );
            machine.file("proc/self/mountinfo", &mounts);
        };
        mount(folder.to_str().unwrap(), "/dev/sdb1");
        let described = machine.examine("sdb", GIB).unwrap();
        assert_eq!(described.objections[0], Objection::HoldsTheImage);
        assert!(matches!(described.objections[1], Objection::Mounted { .. }));
        assert!(machine.objections("mmcblk0", GIB).is_empty());
        mount("/boot", "/dev/sdb1");
        let described = machine.examine("sdb", GIB).unwrap();
        assert_eq!(described.objections[0], Objection::RunsTheSystem);
        assert!(!described.objections.contains(&Objection::HoldsTheImage));
    }

    #[test]
    fn the_disk_that_holds_the_image_is_always_refused() {
        let machine = Machine::new();
        let device = machine.image(GIB).dev();
        let number = format!("{}:{}", libc::major(device), libc::minor(device));
        machine.partition("sdb", "sdb2", &number);
        let described = machine.examine("sdb", GIB).unwrap();
        assert_eq!(described.objections, [Objection::HoldsTheImage]);
        assert!(!Objection::HoldsTheImage.may_be_overruled());
        assert!(machine.objections("mmcblk0", GIB).is_empty());
        // A loop device backed by the image itself.
        machine.device(
            "loop0",
            &[("removable", "1"), ("size", "9000000"), ("dev", "7:0")],
        );
        let image = machine.root.path().join("image").display().to_string();
        machine.file("sys/devices/loop0/loop/backing_file", &image);
        let described = machine.examine("loop0", GIB).unwrap();
        assert_eq!(described.objections, [Objection::HoldsTheImage]);
    }
}
