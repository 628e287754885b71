//! How much memory is in use and how much may be: of the container (cgroup v2, else v1) and of the process.

mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::odds::Usage;
use crate::config::MaxMemory;

/// Knows what to read. Reading takes microseconds: the kernel makes these files when they are read.
#[derive(Debug)]
pub(super) struct Meter {
    own_limit: Option<u64>,
    own_status: PathBuf,
    /// From the process's own group upwards: each may have a limit, and the nearest counts.
    groups: Vec<PathBuf>,
    files: &'static Files,
}

/// The files of a group.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// What the kernel takes back before it ends anybody, in `memory.stat`.
    reclaimable: &'static [&'static str],
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
};

const V2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
};

impl Meter {
    pub(super) fn new(max: MaxMemory) -> Self {
        Self::of(max, Path::new("/proc/self"), Path::new("/sys/fs/cgroup"))
    }

    fn of(max: MaxMemory, process: &Path, mount: &Path) -> Self {
        let (own_limit, looks_up) = match max {
            MaxMemory::Auto => (None, true),
            MaxMemory::Bytes(bytes) => (Some(bytes), true),
            MaxMemory::Off => (None, false),
        };
        let paths = text::Paths::of(&read(&process.join("cgroup")));
        let v2 = || groups(mount, &paths.v2?, &V2);
        let v1 = || groups(&mount.join("memory"), &paths.v1?, &V1);
        let found =
            if looks_up { v2().map(|found| (found, &V2)).or_else(|| Some((v1()?, &V1))) } else { None };
        let (groups, files) = found.unwrap_or((Vec::new(), &V2));
        Self { own_limit, own_status: process.join("status"), groups, files }
    }

    /// Where the least is left. None where nothing is limited.
    pub(super) fn read(&self) -> Option<Usage> {
        let groups = self.groups.iter().filter_map(|group| self.files.read(group));
        groups.chain(self.own()).max_by(|a, b| a.fraction().total_cmp(&b.fraction()))
    }

    fn own(&self) -> Option<Usage> {
        let limit = self.own_limit?;
        Some(Usage { used: text::resident(&read(&self.own_status))?, limit })
    }
}

impl Files {
    fn read(&self, group: &Path) -> Option<Usage> {
        let limit = text::limit(&read(&group.join(self.limit)))?;
        let usage = text::number(&read(&group.join(self.usage)))?;
        let reclaimable = text::sum(&read(&group.join("memory.stat")), self.reclaimable);
        Some(Usage { used: usage.saturating_sub(reclaimable), limit })
    }
}

/// The group and those above it, as far as they can be seen; none if this is not how memory is limited here. A container
/// may be told its path on the host, and see nothing but its own group at the root.
fn groups(root: &Path, path: &str, files: &Files) -> Option<Vec<PathBuf>> {
    let own = root.join(path.trim_start_matches('/'));
    let up = own.ancestors().take_while(|group| group.starts_with(root));
    let found: Vec<_> = up.filter(|group| group.join(files.limit).exists()).map(Into::into).collect();
    (!found.is_empty()).then_some(found)
}

/// Nothing, if it cannot be read.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine whose files are these.
    fn machine(files: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn read(machine: &TempDir, max: MaxMemory) -> Option<(u64, u64)> {
        let meter = Meter::of(max, &machine.path().join("proc"), &machine.path().join("cgroup"));
        meter.read().map(|usage| (usage.used / MIB, usage.limit / MIB))
    }

    #[test]
    fn in_version_2_the_group_with_the_least_left_counts() {
        let machine = machine(&[
            ("proc/cgroup", "0::/pod/weir\n"),
            ("cgroup/pod/weir/memory.max", "max\n"),
            ("cgroup/pod/weir/memory.current", "104857600\n"),
            ("cgroup/pod/memory.max", "268435456\n"),
            ("cgroup/pod/memory.current", "209715200\n"),
            (
                "cgroup/pod/memory.stat",
                "anon 1\ninactive_file 52428800\nactive_file 10485760\nslab_reclaimable 1\n",
            ),
        ]);
        assert_eq!(read(&machine, MaxMemory::Auto), Some((139, 256)), "files can be given up");
        fs::write(machine.path().join("cgroup/pod/weir/memory.max"), "110100480").unwrap();
        assert_eq!(read(&machine, MaxMemory::Auto), Some((100, 105)), "limits may change at any time");
        assert_eq!(read(&machine, MaxMemory::Off), None);
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_root() {
        let machine = machine(&[
            ("proc/cgroup", "0::/a/path/on/the/host\n"),
            ("cgroup/memory.max", "268435456"),
            ("cgroup/memory.current", "104857600"),
        ]);
        assert_eq!(read(&machine, MaxMemory::Auto), Some((100, 256)));
    }

    #[test]
    fn version_1_is_read_where_there_is_no_other() {
        let machine = machine(&[
            ("proc/cgroup", "9:name=systemd:/x\n4:cpu,memory:/weir\n0::/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cgroup/memory/memory.usage_in_bytes", "9999999999\n"),
            ("cgroup/memory/weir/memory.limit_in_bytes", "268435456\n"),
            ("cgroup/memory/weir/memory.usage_in_bytes", "209715200\n"),
            ("cgroup/memory/weir/memory.stat", "inactive_file 1\ntotal_inactive_file 104857600\n"),
        ]);
        assert_eq!(read(&machine, MaxMemory::Auto), Some((100, 256)));
    }

    #[test]
    fn a_limit_of_our_own_is_for_the_process() {
        let machine = machine(&[("proc/status", "Name:\tweir\nRssAnon:\t  102400 kB\nRssFile:\t  900 kB\n")]);
        assert_eq!(read(&machine, MaxMemory::Bytes(200 * MIB)), Some((100, 200)));
        assert_eq!(read(&machine, MaxMemory::Auto), None, "nothing is limited here");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_some() {
        let usage = Meter::new(MaxMemory::Bytes(1 << 40)).own().unwrap();
        assert!((1 << 16..1 << 40).contains(&usage.used), "{usage:?}");
    }
}
