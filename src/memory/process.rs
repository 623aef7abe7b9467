//! What the kernel counts of this process.

use super::usage;

/// Bytes that this process could still get: from the pool, and from system memory that is free or reclaimable. `u64::MAX` if the
/// system does not say.
pub fn free_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse().ok());
    let usage = usage();
    let pool = usage.pool_bytes.saturating_sub(usage.live_bytes) as u64;
    kib.map_or(u64::MAX, |kib: u64| (kib << 10).saturating_add(pool))
}

/// Page faults of this process since its start: (minor, major).
pub fn page_faults() -> (u64, u64) {
    let usage = own_usage();
    (usage.ru_minflt as u64, usage.ru_majflt as u64)
}

/// The process's peak resident memory, in KiB.
pub fn peak_rss_kib() -> u64 {
    own_usage().ru_maxrss as u64
}

fn own_usage() -> libc::rusage {
    // SAFETY: `getrusage` fills the whole structure, for which all bit patterns are valid.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}
