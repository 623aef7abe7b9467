//! FAT volumes, checked before they are used.
//!
//! A card, a stick or a data partition may hold anything: a table with circular chains or chains that lead out of the volume, a
//! boot sector with false sizes. The library that reads FAT follows whatever it finds, forever or into an overflow. So [`open`]
//! first checks everything that the library will follow: the boot sector's sizes, the root folder, and the chains of the files
//! that the caller names. All of these files are in the root folder; no other folder is entered.
//!
//! # Invariants
//!
//! - A check reads no cluster's entry twice, and at most as many entries as a 4 GiB file has, so it ends whatever the volume
//!   holds.
//! - A link to a free or bad cluster ends a chain, as it does in the library: a power cut leaves such chains, and the file is
//!   merely shorter than its entry says.

use fatfs::{FileSystem, FsOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes per folder entry.
const ENTRY_BYTES: usize = 32;
/// The maximum number of entries in a folder (Microsoft's specification of FAT32).
const MAX_ENTRIES: u64 = 65_536;
/// A file's length is a 32-bit number.
const LONGEST_FILE_BYTES: u64 = 1 << 32;
/// The first cluster's number.
const FIRST_CLUSTER: u32 = 2;
/// How much of the table is read at once.
const CACHE_BYTES: u64 = 4096;
/// The library counts the table's bits in 32 bits. Only a volume of over 2 TiB has a longer table.
const LONGEST_TABLE_BYTES: u64 = 1 << 28;

/// Opens the volume on `disk`, to use the files in its root folder that are among `names`.
///
/// Nothing is written.
///
/// # Errors
/// `Unsupported`: not a FAT volume. `InvalidData`: a damaged one. Otherwise the system's error.
pub fn open<D: Read + Write + Seek>(mut disk: D, names: &[&str]) -> io::Result<FileSystem<D>> {
    let mut check = Check::of(&mut disk)?;
    for (name, first_cluster) in check.files(names)? {
        check.follow(first_cluster, LONGEST_FILE_BYTES, &name, |_| {})?;
    }
    disk.rewind()?;
    let options = FsOptions::new().update_accessed_date(false);
    FileSystem::new(disk, options).map_err(|error| match error.raw_os_error() {
        Some(_) => error,
        None => damaged(error),
    })
}

fn damaged(reason: impl std::fmt::Display) -> io::Error {
    let message = format!("its FAT volume is damaged: {reason}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The layout of a volume, all of it within the disk.
struct Geometry {
    /// Bits per table entry: 12, 16 or 32.
    entry_bits: u64,
    table_start: u64,
    data_start: u64,
    cluster_bytes: u64,
    clusters: u32,
    root: Root,
}

/// Where the root folder is.
enum Root {
    /// FAT12 and FAT16: between the table and the data.
    Bytes { start: u64, length: u64 },
    /// FAT32: a chain that starts at this cluster.
    Chain(u32),
}

impl Geometry {
    /// Reads the layout from the boot sector of a volume on a disk of `disk_bytes`.
    ///
    /// Offsets: Microsoft's specification of FAT32, "Boot Sector and BPB Structure".
    fn of(sector: &[u8; 512], disk_bytes: u64) -> io::Result<Self> {
        let byte = |at: usize| u64::from(sector[at]);
        let word = |at: usize| byte(at) | byte(at + 1) << 8;
        let long = |at: usize| word(at) | word(at + 2) << 16;
        let either = |short: u64, long: u64| if short == 0 { long } else { short };
        let (sector_bytes, cluster_sectors, reserved, tables) =
            (word(11), byte(13), word(14), byte(16));
        let (root_entries, sectors) = (word(17), either(word(19), long(32)));
        let is_volume = sector.ends_with(&[0x55, 0xaa])
            && (512..=4096).contains(&sector_bytes)
            && sector_bytes.is_power_of_two()
            && cluster_sectors.is_power_of_two()
            && reserved > 0
            && tables > 0
            && sectors > 0;
        if !is_volume {
            let message = "there is no FAT volume";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let is_fat32 = word(22) == 0;
        let table_sectors = either(word(22), if is_fat32 { long(36) } else { 0 });
        let root_sectors = (root_entries * ENTRY_BYTES as u64).div_ceil(sector_bytes);
        let data_sector = reserved + tables * table_sectors + root_sectors;
        if sectors * sector_bytes > disk_bytes {
            let claimed = sectors * sector_bytes;
            return Err(damaged(format!(
                "it claims {claimed} bytes, but there are {disk_bytes}"
            )));
        }
        let clusters = sectors.saturating_sub(data_sector) / cluster_sectors;
        let entry_bits = match clusters {
            0..4085 => 12,
            4085..65_525 => 16,
            _ => 32,
        };
        let table_bytes = table_sectors * sector_bytes;
        let entries = clusters + u64::from(FIRST_CLUSTER);
        // Without mirroring the low bits select the active table.
        let flags = if is_fat32 { word(40) } else { 0 };
        let table = if flags & 0x80 == 0 { 0 } else { flags & 0xf };
        let clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        let is_sound = clusters > 0
            && is_fat32 == (entry_bits == 32)
            && table_bytes * 8 >= entries * entry_bits
            && table_bytes <= LONGEST_TABLE_BYTES
            && table < tables;
        if !is_sound {
            return Err(damaged(
                "the sizes in its boot sector contradict each other",
            ));
        }
        let table_start = (reserved + table * table_sectors) * sector_bytes;
        let data_start = data_sector * sector_bytes;
        let root_bytes = root_sectors * sector_bytes;
        Ok(Self {
            entry_bits,
            table_start,
            data_start,
            cluster_bytes: cluster_sectors * sector_bytes,
            clusters,
            root: if is_fat32 {
                // The entry is four bytes within the sector.
                Root::Chain(long(44) as u32)
            } else {
                Root::Bytes {
                    start: data_start - root_bytes,
                    length: root_bytes,
                }
            },
        })
    }
}

/// A volume being checked.
struct Check<'a, D> {
    disk: &'a mut D,
    geometry: Geometry,
    /// One bit per cluster: set if it belongs to a chain that was followed.
    taken: Vec<u64>,
    /// A piece of the table, and its offset on the disk.
    cache: [u8; CACHE_BYTES as usize],
    cached_at: Option<u64>,
}

impl<'a, D: Read + Seek> Check<'a, D> {
    fn of(disk: &'a mut D) -> io::Result<Self> {
        let disk_bytes = disk.seek(SeekFrom::End(0))?;
        let mut sector = [0; 512];
        disk.rewind()?;
        disk.read_exact(&mut sector)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(io::ErrorKind::Unsupported, "there is no FAT volume")
                }
                _ => error,
            })?;
        let geometry = Geometry::of(&sector, disk_bytes)?;
        let words = (geometry.clusters + FIRST_CLUSTER).div_ceil(64) as usize;
        let mut taken = Vec::new();
        taken
            .try_reserve_exact(words)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        taken.resize(words, 0);
        let mut check = Self {
            disk,
            geometry,
            taken,
            cache: [0; CACHE_BYTES as usize],
            cached_at: None,
        };
        // The first entry is the media byte with all higher bits set, whatever the width of an entry.
        let start = check.geometry.table_start;
        let entry = [
            check.byte(start)?,
            check.byte(start + 1)?,
            check.byte(start + 2)?,
        ];
        if entry[0] < 0xf0 || entry[1..] != [0xff, 0xff] {
            return Err(damaged("its table has no valid beginning"));
        }
        Ok(check)
    }

    /// The names and first clusters of the root folder's files that `names` may refer to, without empty files.
    fn files(&mut self, names: &[&str]) -> io::Result<Vec<(String, u32)>> {
        let folder = self.root_folder()?;
        let mut files = Vec::new();
        let mut long_name = LongName::default();
        for entry in folder.chunks_exact(ENTRY_BYTES) {
            const DELETED: u8 = 0xe5;
            const LONG_NAME: u8 = 0x0f;
            const LABEL_OR_FOLDER: u8 = 0x18;
            match (entry[0], entry[11]) {
                (0, _) => break,
                (DELETED, _) => long_name = LongName::default(),
                (order, attributes) if attributes & LONG_NAME == LONG_NAME => {
                    long_name.take(order, entry);
                }
                (_, attributes) => {
                    let long_name = std::mem::take(&mut long_name);
                    let short_name = short_name(entry);
                    let is_meant = names
                        .iter()
                        .any(|name| is_same(name, &short_name) || is_same(name, &long_name.text()));
                    let word = |at: usize| u32::from(entry[at]) | u32::from(entry[at + 1]) << 8;
                    let high = if self.geometry.entry_bits == 32 {
                        word(20)
                    } else {
                        0
                    };
                    let first_cluster = high << 16 | word(26);
                    if is_meant && attributes & LABEL_OR_FOLDER == 0 && first_cluster != 0 {
                        files.push((short_name, first_cluster));
                    }
                }
            }
        }
        Ok(files)
    }

    fn root_folder(&mut self) -> io::Result<Vec<u8>> {
        let most_bytes = MAX_ENTRIES * ENTRY_BYTES as u64;
        let mut pieces = Vec::new();
        match self.geometry.root {
            Root::Bytes { start, length } => pieces.push((start, length)),
            Root::Chain(first) => {
                let (start, length) = (self.geometry.data_start, self.geometry.cluster_bytes);
                self.follow(first, most_bytes, "the root folder", |cluster| {
                    pieces.push((start + u64::from(cluster - FIRST_CLUSTER) * length, length));
                })?;
            }
        }
        let mut folder = Vec::new();
        for (start, length) in pieces {
            self.disk.seek(SeekFrom::Start(start))?;
            let count = (&mut *self.disk).take(length).read_to_end(&mut folder)?;
            if count as u64 != length {
                return Err(damaged("it ends before the end of its root folder"));
            }
        }
        Ok(folder)
    }

    /// Follows the chain from `first`, which may hold `most_bytes`.
    fn follow(
        &mut self,
        first: u32,
        most_bytes: u64,
        what: &str,
        mut visit: impl FnMut(u32),
    ) -> io::Result<()> {
        let most = most_bytes.div_ceil(self.geometry.cluster_bytes);
        let mut cluster = first;
        for _ in 0..most {
            if cluster < FIRST_CLUSTER || cluster - FIRST_CLUSTER >= self.geometry.clusters {
                let reason = format!("{what} leads to cluster {cluster}, which does not exist");
                return Err(damaged(reason));
            }
            let (word, bit) = (&mut self.taken[cluster as usize / 64], 1 << (cluster % 64));
            if *word & bit != 0 {
                let reason = format!("{what} leads to cluster {cluster} a second time");
                return Err(damaged(reason));
            }
            *word |= bit;
            visit(cluster);
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None => return Ok(()),
            }
        }
        Err(damaged(format!("{what} has more than {most} clusters")))
    }

    /// The next cluster in the chain.
    fn next(&mut self, cluster: u32) -> io::Result<Option<u32>> {
        let bits = self.geometry.entry_bits;
        let first_bit = u64::from(cluster) * bits;
        let at = self.geometry.table_start + first_bit / 8;
        let mut bytes = [0; 4];
        for (offset, byte) in (0..bits.div_ceil(8)).zip(&mut bytes) {
            *byte = self.byte(at + offset)?;
        }
        // 12-bit entries begin in the middle of every third byte; of 32-bit entries the upper 4 bits do not count.
        let (shift, mask) = match bits {
            12 => (first_bit % 8, 0xfff),
            16 => (0, 0xffff),
            _ => (0, 0x0fff_ffff),
        };
        let value = u32::from_le_bytes(bytes) >> shift & mask;
        let is_link = value != 0 && value < mask - 8;
        // A number above the last cluster and below the marks for "bad" and "end" is reported when it is followed.
        Ok(is_link.then_some(value))
    }

    /// A byte of the table.
    fn byte(&mut self, at: u64) -> io::Result<u8> {
        let start = at - at % CACHE_BYTES;
        if self.cached_at != Some(start) {
            self.cached_at = None;
            self.disk.seek(SeekFrom::Start(start))?;
            let mut filled = 0;
            while filled < self.cache.len() {
                match self.disk.read(&mut self.cache[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            // Beyond the disk's end, where no valid table reaches, we read zeros.
            self.cache[filled..].fill(0);
            self.cached_at = Some(start);
        }
        Ok(self.cache[(at % CACHE_BYTES) as usize])
    }
}

/// The long name before an entry, however damaged: at least as much as the library might make of it.
#[derive(Default)]
struct LongName(Vec<u16>);

impl LongName {
    const UNITS_AN_ENTRY: usize = 13;

    fn take(&mut self, order: u8, entry: &[u8]) {
        const LAST: u8 = 0x40;
        let index = usize::from(order & 0x1f);
        if index == 0 {
            return;
        }
        if order & LAST != 0 {
            self.0 = vec![0; index * Self::UNITS_AN_ENTRY];
        }
        let units = [1..11, 14..26, 28..32]
            .into_iter()
            .flat_map(|range| entry[range].chunks_exact(2))
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let start = (index - 1) * Self::UNITS_AN_ENTRY;
        for (place, unit) in self.0.iter_mut().skip(start).zip(units) {
            *place = unit;
        }
    }

    fn text(&self) -> String {
        let text = String::from_utf16_lossy(&self.0);
        text.trim_end_matches(['\0', '\u{ffff}']).to_owned()
    }
}

/// `NAME.EXT` from an entry's eight and three bytes.
fn short_name(entry: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        text.trim_end_matches(' ').to_owned()
    };
    match (text(&entry[..8]), text(&entry[8..11])) {
        (name, extension) if extension.is_empty() => name,
        (name, extension) => format!("{name}.{extension}"),
    }
}

/// Compares names as the library does.
fn is_same(one: &str, other: &str) -> bool {
    let upper = |text: &str| {
        text.chars()
            .flat_map(char::to_uppercase)
            .collect::<String>()
    };
    upper(one) == upper(other)
}

#[cfg(test)]
mod tests;
