//! What the kernel writes about memory. Whatever is not understood is as if it were not there.

/// More than any machine has: version 1 writes its largest number where nothing is limited.
const UNLIMITED: u64 = 1 << 60;

/// Where a process is in the two hierarchies that may limit memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) v1: Option<String>,
    pub(super) v2: Option<String>,
}

impl Paths {
    /// Of `/proc/self/cgroup`: lines of number, controllers and path (cgroups(7)).
    pub(super) fn of(cgroup: &str) -> Self {
        let mut paths = Self::default();
        for line in cgroup.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if number == "0" && controllers.is_empty() {
                paths.v2 = Some(path.to_owned());
            } else if controllers.split(',').any(|controller| controller == "memory") {
                paths.v1 = Some(path.to_owned());
            }
        }
        paths
    }
}

/// A file with one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// None if there is no limit, which is `max` in version 2.
pub(super) fn limit(text: &str) -> Option<u64> {
    number(text).filter(|limit| *limit < UNLIMITED)
}

/// Of lines with a name and a number, the sum of these.
pub(super) fn sum(stat: &str, names: &[&str]) -> u64 {
    let value = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        if names.contains(&name) { number(value) } else { None }
    };
    stat.lines().filter_map(value).fold(0, u64::saturating_add)
}

/// Bytes of a process that are in memory and nowhere else: of `/proc/self/status`.
pub(super) fn resident(status: &str) -> Option<u64> {
    let kilobytes = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        number(line.trim().strip_suffix("kB")?)
    };
    let shared = kilobytes("RssShmem:").unwrap_or(0);
    Some(kilobytes("RssAnon:")?.saturating_add(shared).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_hierarchies_are_found() {
        let paths = |text| {
            let Paths { v1, v2 } = Paths::of(text);
            (v1.unwrap_or_default(), v2.unwrap_or_default())
        };
        assert_eq!(paths("0::/user.slice/a:b\n"), (String::new(), "/user.slice/a:b".into()));
        assert_eq!(paths("4:cpu,memory:/weir\n1:name=memory:/x\n0::/\n"), ("/weir".into(), "/".into()));
        assert_eq!(paths("what\n:\n"), (String::new(), String::new()));
    }

    #[test]
    fn no_limit_is_written_in_two_ways() {
        assert_eq!(limit("268435456\n"), Some(268_435_456));
        assert_eq!((limit("max\n"), limit("9223372036854771712\n"), limit("")), (None, None, None));
    }

    #[test]
    fn only_what_is_asked_for_is_added() {
        let stat =
            "anon 5\ninactive_file 7\nactive_file 11\ninactive_filex 100\nactive_file\nactive_file x\n";
        assert_eq!(sum(stat, &["inactive_file", "active_file"]), 18);
    }

    #[test]
    fn what_is_backed_by_files_is_not_counted() {
        let status =
            "VmRSS:\t 1000 kB\nRssAnon:\t     112 kB\nRssFile:\t    1648 kB\nRssShmem:\t       8 kB\n";
        assert_eq!(resident(status), Some(120 * 1024));
        assert_eq!((resident("RssAnon:\t12\n"), resident("")), (None, None));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            Paths::of(&text);
            limit(&text);
            sum(&text, &["anon"]);
            resident(&text);
        }
    }
}
