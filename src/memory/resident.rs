//! Maps the whole program in before frames run.
//!
//! The kernel maps code, constants and stacks one page at a time, on first use: a branch first taken in the thousandth frame
//! would wait for the kernel, and on a board that runs from a card even for the card. So the start maps all of it in, except what no
//! frame reads: the built-in files, which a start reads once or never, and the tables that unwind the stack after a panic.

use crate::built_in;
use std::num::NonZero;
use std::ops::Range;

/// A readable mapping of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mapping {
    start: usize,
    bytes: usize,
    is_writable: bool,
}

impl Mapping {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.bytes
    }
}

/// The mapping that a line of `/proc/self/maps` describes, if it is private memory of this process. Shared mappings are filled by
/// their driver; those without any permission are guards and reserves.
fn private_mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?.as_bytes();
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let is_ours = permissions.first() == Some(&b'r') && permissions.last() == Some(&b'p');
    is_ours.then_some(Mapping {
        start,
        bytes: end.checked_sub(start)?,
        is_writable: permissions.get(1) == Some(&b'w'),
    })
}

#[cfg(target_pointer_width = "64")]
type Header = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Header = libc::Elf32_Phdr;

/// How much of the calling thread's stack is touched; a process's stack grows only on use.
const STACK_BYTES: usize = 256 << 10;

/// Maps in every page of the program, its libraries, its data and its threads' stacks. Without `/proc`, or on a kernel older than
/// 5.14, it only touches this thread's stack: other pages are mapped on use, as in any program.
pub fn map_in() {
    touch_stack();
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    let unread = unread();
    for mapping in maps.lines().filter_map(private_mapping) {
        if mapping.is_writable {
            populate(mapping.range(), libc::MADV_POPULATE_WRITE);
            continue;
        }
        for range in without(mapping.range(), &unread) {
            populate(range, libc::MADV_POPULATE_READ);
        }
    }
}

fn populate(range: Range<usize>, advice: libc::c_int) {
    // SAFETY: populating changes no content; a range that is gone meanwhile, or that the kernel makes up (vvar), is refused.
    unsafe { libc::madvise(range.start as *mut _, range.len(), advice) };
}

/// The whole pages of this program that no frame reads, in order.
fn unread() -> Vec<Range<usize>> {
    let files = built_in::contents().map(|file| {
        let start = file.as_ptr().addr();
        start..start + file.len()
    });
    // SAFETY: it only reads a number.
    let page_bytes = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    let Some(page_bytes) = NonZero::new(page_bytes) else {
        return Vec::new();
    };
    let whole_pages = |range: Range<usize>| {
        range.start.next_multiple_of(page_bytes.get())..range.end - range.end % page_bytes
    };
    let ranges = files.chain(unwind_tables()).map(whole_pages);
    let mut ranges: Vec<_> = ranges.filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// Where the tables for unwinding lie: from their index, which a program header names, to the end of its segment. Every linker puts
/// them last. `None` in a program without them.
fn unwind_tables() -> Option<Range<usize>> {
    // SAFETY: the kernel gives every process its own program headers, which stay mapped; their number is `AT_PHNUM`.
    let headers = unsafe {
        let headers = libc::getauxval(libc::AT_PHDR) as *const Header;
        if headers.is_null() {
            return None;
        }
        std::slice::from_raw_parts(headers, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let of_kind = |kind: u32| headers.iter().filter(move |header| header.p_type == kind);
    // How far the program lies from the addresses in its file.
    let moved_by = of_kind(libc::PT_PHDR).next().map_or(0, |header| {
        headers
            .as_ptr()
            .addr()
            .wrapping_sub(header.p_vaddr as usize)
    });
    let index = of_kind(libc::PT_GNU_EH_FRAME).next()?.p_vaddr as usize;
    let end = |segment: &Header| (segment.p_vaddr + segment.p_memsz) as usize;
    let segment = of_kind(libc::PT_LOAD)
        .find(|segment| (segment.p_vaddr as usize) <= index && index < end(segment))?;
    let is_constant = segment.p_flags & libc::PF_W == 0;
    is_constant.then(|| moved_by.wrapping_add(index)..moved_by.wrapping_add(end(segment)))
}

/// `range` without the ordered ranges in `unread`.
fn without(range: Range<usize>, unread: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut rest = Vec::new();
    let mut start = range.start;
    for hole in unread {
        if hole.end > start && hole.start < range.end {
            if hole.start > start {
                rest.push(start..hole.start);
            }
            start = hole.end;
        }
    }
    if start < range.end {
        rest.push(start..range.end);
    }
    rest
}

#[inline(never)]
fn touch_stack() {
    let mut stack = std::mem::MaybeUninit::<[u8; STACK_BYTES]>::uninit();
    for page in (0..STACK_BYTES).step_by(4096) {
        // SAFETY: `page` is inside the array.
        unsafe { stack.as_mut_ptr().cast::<u8>().add(page).write_volatile(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn private_mappings_are_distinguished_from_shared_ones_and_guards() {
        let code = "a0a00000-a0a21000 r-xp 00002000 fe:00 1311 /usr/bin/eyelet";
        assert_eq!(
            private_mapping(code),
            Some(Mapping {
                start: 0xa0a0_0000,
                bytes: 0x21000,
                is_writable: false
            })
        );
        let stack = private_mapping("7ffc1000-7ffc3000 rw-p 00000000 00:00 0 [stack]");
        assert!(stack.is_some_and(|m| m.is_writable));
        for other in [
            "7f00a000-7f00b000 rw-s 00000000 00:05 99 /dev/video0",
            "7f00b000-7f00c000 ---p 00000000 00:00 0",
            "7f00c000-7f00b000 r--p 00000000 00:00 0",
            "",
            "r--p",
        ] {
            assert_eq!(private_mapping(other), None, "{other}");
        }
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // lists of ranges are meant
    fn holes_are_left_out() {
        let without = |holes: &[Range<usize>]| without(100..200, holes);
        assert_eq!(without(&[]), [100..200]);
        assert_eq!(without(&[20..30, 200..210, 300..400]), [100..200]);
        assert_eq!(
            without(&[110..120, 120..130, 150..160]),
            [100..110, 130..150, 160..200]
        );
        assert_eq!(without(&[90..110, 190..210]), [110..190]);
        assert_eq!(without(&[100..200]), []);
        assert_eq!(without(&[50..250]), []);
    }

    #[test]
    fn what_no_frame_reads_is_constant_and_no_code() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let mappings: Vec<_> = maps.lines().filter_map(private_mapping).collect();
        let code = without as fn(Range<usize>, &[Range<usize>]) -> Vec<Range<usize>> as usize;
        for range in unread() {
            let mapping = mappings.iter().find(|m| m.range().contains(&range.start));
            let mapping = mapping.unwrap_or_else(|| panic!("{range:x?} is not mapped"));
            assert!(!mapping.is_writable && range.end <= mapping.range().end);
            assert!(!range.contains(&code), "{range:x?}");
        }
        // On ARM, GNU ld puts the tables behind the code into one segment.
        let has_any = cfg!(feature = "built-in") || unwind_tables().is_some();
        assert_eq!(unread().is_empty(), !has_any);
    }

    const BYTES: usize = 64 * 4096;

    /// Part of this program's file, mapped again: (to read, to write).
    fn fresh_mappings() -> [*mut u8; 2] {
        let file = std::env::current_exe().and_then(std::fs::File::open);
        let file = file.expect("a program can read itself");
        [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE].map(|protection| {
            let null = std::ptr::null_mut();
            // SAFETY: a new private mapping of a file that is longer.
            let map = unsafe {
                libc::mmap(
                    null,
                    BYTES,
                    protection,
                    libc::MAP_PRIVATE,
                    file.as_raw_fd(),
                    0,
                )
            };
            assert_ne!(map, libc::MAP_FAILED);
            map.cast()
        })
    }

    /// Page faults of this thread while it touches every page.
    fn faults_of_use(map: *mut u8, is_written: bool) -> libc::c_long {
        let faults = || {
            // SAFETY: `getrusage` fills the whole structure, for which all bit patterns are valid.
            unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
                usage.ru_minflt + usage.ru_majflt
            }
        };
        let before = faults();
        for page in (0..BYTES).step_by(4096) {
            // SAFETY: inside a mapping of `BYTES` bytes that nobody else knows.
            unsafe {
                let page = map.add(page);
                let byte = page.read_volatile();
                if is_written {
                    page.write_volatile(!byte);
                }
            }
        }
        faults() - before
    }

    #[test]
    fn untouched_pages_are_mapped_in() {
        let [probe, to_write] = fresh_mappings();
        // SAFETY: populating changes no content.
        unsafe { libc::madvise(probe.cast(), BYTES, libc::MADV_POPULATE_READ) };
        if faults_of_use(probe, false) != 0 {
            crate::basics::say_skipped("this kernel (or emulator) does not map in on request");
            return;
        }
        assert!(faults_of_use(to_write, true) >= 64, "faults are seen");
        let [read, write] = fresh_mappings();
        map_in();
        assert_eq!(faults_of_use(read, false), 0);
        assert_eq!(faults_of_use(write, true), 0);
        for map in [probe, to_write, read, write] {
            // SAFETY: mapped above and no longer used.
            unsafe { libc::munmap(map.cast(), BYTES) };
        }
    }
}
