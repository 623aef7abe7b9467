//! Cards, sticks and data partitions whose tables lead in circles or astray: refused in one line within five seconds by
//! whatever reads them, with the code for a card, and the board formats such a data partition.

use super::{Workshop, common};
use eyelet::firmware::data::Data;
use eyelet::firmware::keeper::Keeper;
use eyelet::image::fat::{self, Files};
use eyelet::image::mbr;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const CARD: i32 = 13;
const VOLUME: i32 = 15;
const PACKAGE: i32 = 12;
/// The root folder's first cluster in every volume here.
const ROOT: u32 = 2;

/// Bytes for a place of a file.
type Patch = (usize, Vec<u8>);

/// The bytes of the partition `number` of a disk.
fn partition(disk: &[u8], number: usize) -> Range<usize> {
    let bytes = &mbr::partitions(disk).unwrap()[number - 1].bytes;
    bytes.start as usize..bytes.end as usize
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// What has `cluster` of the FAT32 volume in these bytes of `disk` lead to `next`.
fn link(disk: &[u8], volume: Range<usize>, cluster: u32, next: u32) -> Vec<Patch> {
    let start = volume.start;
    let volume = &disk[volume];
    let reserved = usize::from(u16::from_le_bytes([volume[14], volume[15]]));
    (0..usize::from(volume[16]))
        .map(|table| {
            let sector = reserved + table * long(volume, 36) as usize;
            let at = start + sector * 512 + cluster as usize * 4;
            (at, next.to_le_bytes().to_vec())
        })
        .collect()
}

/// The first cluster of the file with this short name in the root folder of a FAT32 volume.
fn first_cluster(volume: &[u8], short_name: &[u8; 11]) -> u32 {
    let reserved = usize::from(u16::from_le_bytes([volume[14], volume[15]]));
    let data = (reserved + usize::from(volume[16]) * long(volume, 36) as usize) * 512;
    let entries = volume[data..].chunks_exact(32);
    let mut named = entries
        .take(16)
        .filter(|entry| entry.starts_with(short_name));
    let entry = named.next().unwrap();
    u32::from(u16::from_le_bytes([entry[26], entry[27]]))
}

/// Writes `patches` into a file.
fn patch(path: &Path, patches: &[Patch]) {
    let file = fs::File::options().write(true).open(path).unwrap();
    for (at, bytes) in patches {
        file.write_all_at(bytes, *at as u64).unwrap();
    }
}

/// What changes whenever a file is written to. (Comparing half a gigabyte after each of many commands would take minutes.)
fn stamp(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

impl Workshop {
    /// Runs the program with these words: its exit code and what it said.
    fn eyelet(&self, words: &[&str]) -> (i32, String) {
        let mut command = common::eyelet(self.folder.path());
        command.args(words);
        let run = common::run_promptly(&command);
        (run.code, run.stderr)
    }

    /// Damages the file `name`, which holds `sound`, sees that each of `commands` refuses it and writes to none of `files`, and
    /// mends it.
    fn refuses(
        &self,
        (name, sound): (&str, &[u8]),
        damage: &[Patch],
        commands: &[&[&str]],
        says: &str,
        files: &[&str],
    ) {
        patch(&self.path(name), damage);
        let stamps = || files.iter().map(|name| stamp(&self.path(name))).collect();
        let before: Vec<_> = stamps();
        for words in commands {
            let (code, text) = self.eyelet(words);
            let expected = if words[0] == "keep" { VOLUME } else { CARD };
            assert_eq!(code, expected, "{words:?}: {text}");
            assert!(text.contains(says), "{words:?}: {text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert_eq!(stamps(), before, "{words:?}");
        }
        let mended: Vec<Patch> = damage
            .iter()
            .map(|(at, bytes)| (*at, sound[*at..at + bytes.len()].to_vec()))
            .collect();
        patch(&self.path(name), &mended);
    }
}

#[test]
fn a_card_whose_tables_lead_in_circles_is_refused() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    workshop.version("1", "card.img", &[]);
    workshop.version("2", "two.img", &[]);
    let sound = fs::read(workshop.path("card.img")).unwrap();
    let card = ("card.img", &sound[..]);
    let files = ["card.img", "two.img"];
    let state = first_cluster(&sound[partition(&sound, 1)], b"EYELET  ENV");
    let manifest = first_cluster(&sound[partition(&sound, 2)], b"MANIFE~1JSO");
    let update: &[&str] = &["update", "two.img", "card.img"];
    let id: &[&str] = &["slots", "id", "card.img", "--slot", "a"];
    let current: &[&str] = &["slots", "current", "card.img", "--loader", "u-boot"];
    let confirm: &[&str] = &[
        "slots", "confirm", "card.img", "--loader", "pi", "--slot", "b",
    ];
    let nothing: &[&str] = &["slots", "try-nothing", "card.img", "--loader", "u-boot"];
    let cases: [(usize, u32, u32, &[&[&str]]); 7] = [
        (1, ROOT, ROOT, &[update, current, confirm, nothing]),
        (1, state, state, &[update, current, confirm, nothing]),
        (1, state, ROOT, &[update, current, confirm, nothing]),
        (1, state, 0x0123_4567, &[update, current]),
        (2, ROOT, ROOT, &[update, id]),
        (2, manifest, manifest, &[update, id]),
        (2, ROOT, 1, &[update, id]),
    ];
    for (number, cluster, next, commands) in cases {
        let damage = link(&sound, partition(&sound, number), cluster, next);
        workshop.refuses(card, &damage, commands, "its FAT volume is damaged", &files);
    }
    // A partition table by which writing one slot would write the other, or the label.
    let table = mbr::partitions(&sound).unwrap();
    for (changed, start, end) in [
        (2, table[1].bytes.start, table[1].bytes.end),
        (1, table[1].bytes.start, table[1].bytes.end + 512),
        (0, 512, table[0].bytes.end),
        (3, 0, 0),
    ] {
        let mut table: [mbr::Partition; 4] = table.clone().try_into().unwrap();
        table[changed].bytes = start..end;
        let damage = [(0, mbr::sector(mbr::EYELET_DISK_ID, &table).to_vec())];
        let commands = [update, id, current, confirm];
        workshop.refuses(card, &damage, &commands, "partitions that overlap", &files);
    }
    assert!(fs::read(workshop.path("card.img")).unwrap() == sound);
    let (code, text) = workshop.eyelet(update);
    assert_eq!(code, 0, "it is sound again: {text}");
}

#[test]
fn a_stick_whose_table_leads_in_circles_is_refused() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    workshop.version("1", "card.img", &[]);
    workshop.version("2", "two.img", &[]);
    super::update::stick(&workshop.path("stick.img"), &workshop.path("two.img"));
    let sound = fs::read(workshop.path("stick.img")).unwrap();
    let image = first_cluster(&sound, b"EYELET~1IMG");
    for (cluster, next) in [
        (ROOT, ROOT),
        (image, image),
        (image + 5000, image),
        (image + 7, 1),
    ] {
        let damage = link(&sound, 0..sound.len(), cluster, next);
        let commands: [&[&str]; 2] = [
            &["update", "stick.img", "card.img"],
            &["slots", "find", "stick.img"],
        ];
        let (stick, files) = (("stick.img", &sound[..]), ["stick.img", "card.img"]);
        workshop.refuses(
            stick,
            &damage,
            &commands,
            "its FAT volume is damaged",
            &files,
        );
    }
    let (code, text) = workshop.eyelet(&["update", "stick.img", "card.img"]);
    assert_eq!(code, 0, "it is sound again: {text}");
}

#[test]
fn a_data_partition_whose_table_leads_in_circles_is_refused_and_formatted_by_the_board() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let name = fat::Name {
        label: "EYELET-DATA",
        serial: 4,
    };
    let files = [
        ("reboot.txt", vec![b'x'; 2000]),
        ("last.log", vec![b'l'; 2000]),
    ];
    let files = Files::from(files.map(|(name, contents)| (name.to_owned(), contents)));
    let mut sound = fat::volume(name, 48 << 20, &files).unwrap();
    sound.resize(48 << 20, 0);
    let reason = first_cluster(&sound, b"REBOOT  TXT");
    let log = first_cluster(&sound, b"LAST    LOG");
    let keep = |what| ["keep", what, "data.img", "why"];
    for (cluster, next) in [
        (ROOT, ROOT),
        (reason, reason),
        (reason, log),
        (log + 1, log),
        (log, 1),
    ] {
        fs::write(workshop.path("data.img"), &sound).unwrap();
        let damage = link(&sound, 0..sound.len(), cluster, next);
        let commands: Vec<_> = [
            "tell",
            "put",
            "forget",
            "tried",
            "note-tried",
            "note-passed",
        ]
        .map(keep)
        .into();
        let commands: Vec<&[&str]> = commands.iter().map(|words| &words[..]).collect();
        let data = ("data.img", &sound[..]);
        workshop.refuses(
            data,
            &damage,
            &commands,
            "its FAT volume is damaged",
            &["data.img"],
        );
        patch(&workshop.path("data.img"), &damage);
        let path = workshop.path("data.img");
        let keeper = Keeper::new(Path::new(env!("CARGO_BIN_EXE_eyelet")), &path);
        let mut lines = Vec::new();
        assert!(
            keeper
                .take_reason(|line| lines.push(line.to_owned()))
                .is_err()
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("formatting the data partition"),
            "{lines:?}"
        );
        Data::open(&path).unwrap().keep("power", b"log").unwrap();
        let again = Data::open(&path).unwrap().reason().unwrap();
        assert_eq!(again.as_deref(), Some("power"));
    }
}

#[test]
fn names_that_lead_to_the_same_or_to_nothing_of_use_are_refused() {
    if common::emulated() {
        return;
    }
    let workshop = Workshop::new();
    let _socket = workshop.add_traps();
    workshop.version("1", "card.img", &[]);
    workshop.version("2", "two.img", &[]);
    fs::hard_link(workshop.path("two.img"), workshop.path("hard.img")).unwrap();
    std::os::unix::fs::symlink("two.img", workshop.path("link.img")).unwrap();
    fs::write(workshop.path("empty"), "").unwrap();
    let card = fs::read(workshop.path("card.img")).unwrap();
    let two = fs::read(workshop.path("two.img")).unwrap();
    fs::write(workshop.path("cut.img"), &two[..241 << 20]).unwrap();
    drop(two);
    fs::write(workshop.path("cut-card.img"), &card[..241 << 20]).unwrap();
    let inputs: Vec<_> = ["card.img", "two.img", "empty", "cut.img", "cut-card.img"].into();
    let stamps = || {
        inputs
            .iter()
            .map(|name| stamp(&workshop.path(name)))
            .collect()
    };
    let before: Vec<_> = stamps();
    let same = "both names lead to the same file or disk";
    let no_card = "was not made by `eyelet image`";
    let mut cases = vec![
        (vec!["update", "two.img", "two.img"], CARD, same),
        (vec!["update", "two.img", "link.img"], CARD, same),
        (vec!["update", "hard.img", "two.img"], CARD, same),
        (
            vec!["update", "link.img", "./folder/../hard.img"],
            CARD,
            same,
        ),
        (
            vec!["update", "empty", "card.img"],
            PACKAGE,
            "it is neither an image",
        ),
        (vec!["update", "two.img", "empty"], CARD, "card"),
        (vec!["update", "cut.img", "card.img"], CARD, "was cut off"),
        (
            vec!["update", "two.img", "cut-card.img"],
            CARD,
            "was cut off",
        ),
        (
            vec!["keep", "format", "card.img"],
            CARD,
            "it is a whole card",
        ),
        (
            vec!["keep", "put", "card.img", "why"],
            CARD,
            "it is a whole card",
        ),
        (vec!["keep", "tell", "nowhere"], CARD, "No such file"),
        (vec!["slots", "find", "nowhere"], 0, ""),
        (vec!["slots", "id", "program", "--slot", "a"], CARD, no_card),
    ];
    for (trap, words) in [
        ("pipe", "not a file but a pipe"),
        ("socket", "not a file but a socket"),
        ("folder", "not a file but a folder"),
        ("zero", "not a file but a device"),
    ] {
        cases.push((vec!["update", trap, "card.img"], PACKAGE, words));
        cases.push((vec!["update", "two.img", trap], CARD, words));
        for what in ["tell", "put", "forget", "format", "tried", "note-tried"] {
            cases.push((vec!["keep", what, trap, "why"], CARD, words));
        }
        for what in ["id", "current", "confirm", "try-nothing", "find"] {
            let more = ["--slot", "a", "--loader", "pi"];
            cases.push(([&["slots", what, trap][..], &more].concat(), CARD, words));
        }
    }
    for (command, code, words) in cases {
        let (got, text) = workshop.eyelet(&command);
        assert_eq!(got, code, "{command:?}: {text}");
        assert!(text.contains(words), "{command:?}: {text}");
        assert_eq!(text.lines().count(), usize::from(code != 0), "{text}");
        assert_eq!(stamps(), before, "{command:?}");
    }
    assert!(fs::read(workshop.path("card.img")).unwrap() == card);
}
