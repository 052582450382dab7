//! What the process takes of its machine, as far as the machine tells.

use std::time::SystemTime;

/// Measures memory and descriptors now. Systems without `/proc` show neither.
pub(super) fn measure() {
    if let Some(bytes) = resident_memory() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes);
    }
    if let Some(open) = open_descriptors() {
        metrics::gauge!("process_open_fds").set(open);
    }
}

/// Notes when the process began to measure, which is when it started.
pub(super) fn started() {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(since.as_secs_f64());
}

fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_descriptors() -> Option<f64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the listing's own.
    Some(f64::from(u32::try_from(listed.saturating_sub(1)).ok()?))
}
