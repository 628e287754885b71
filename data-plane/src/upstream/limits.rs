//! How many connections may idle, from the descriptors that the process may have.

use std::fs;

/// Of the descriptors that the process may have, the part that idle connections to backends may take.
const SHARE: usize = 4;

/// What the process may have if the system does not say.
const UNKNOWN: usize = 1024;

/// Connections to backends that may idle at each of `workers` workers, at least 1.
pub(crate) fn idle_limit(workers: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    (open_files(&limits).unwrap_or(UNKNOWN) / SHARE / workers.max(1)).max(1)
}

/// The soft limit; `limits` as in proc(5).
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max open files            4096                 1048576              files\n";
        assert_eq!(open_files(limits), Some(4096));
        assert_eq!(open_files(""), None);
        assert!(idle_limit(1_000_000_000) >= 1);
    }
}
