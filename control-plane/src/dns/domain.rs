//! The name that everything is under.

use std::{fmt, str::FromStr};

use hickory_proto::rr::Name;
use weir_proto::ServiceName;

/// The longest domain: names under it have 255 bytes in all.
const MOST_CHARACTERS: usize = 100;

/// The domain that DNS is answered for: labels in lower case, `weir` by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsDomain {
    name: Name,
}

impl DnsDomain {
    /// As it is in messages, with its root.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Whether the name is the domain's, or one in it.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.name.zone_of(name)
    }

    /// The labels of a name in the domain that come before it, in lower case. None if one of them is such as nothing
    /// has.
    pub(crate) fn labels(&self, name: &Name) -> Option<Vec<String>> {
        let before = name.iter().len().saturating_sub(self.name.iter().len());
        name.iter().take(before).map(label).collect()
    }

    /// The name of these labels in the domain. None if it would be too long.
    pub(crate) fn below(&self, labels: &[&str]) -> Option<Name> {
        Name::from_labels(labels.iter().copied()).ok()?.append_domain(&self.name).ok()
    }
}

impl Default for DnsDomain {
    fn default() -> Self {
        let name = Name::from_labels(["weir"]).unwrap_or_default();
        Self { name }
    }
}

impl FromStr for DnsDomain {
    type Err = String;

    /// Takes it with the dot at the end, or without.
    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if lower.len() > MOST_CHARACTERS {
            return Err(format!("must have at most {MOST_CHARACTERS} characters, has {}", lower.len()));
        }
        // Services are DNS names too: the same characters, the same labels.
        ServiceName::try_from(lower.as_str()).map_err(|e| e.reason)?;
        let mut name = Name::from_labels(lower.split('.')).map_err(|e| e.to_string())?;
        name.set_fqdn(true);
        Ok(Self { name })
    }
}

impl fmt::Display for DnsDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.name.to_ascii();
        f.write_str(text.strip_suffix('.').unwrap_or(&text))
    }
}

fn label(bytes: &[u8]) -> Option<String> {
    let known = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !bytes.iter().all(known) {
        return None;
    }
    std::str::from_utf8(bytes).ok().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    #[test]
    fn the_default_and_weir_are_the_same() {
        assert_eq!(DnsDomain::default(), "weir.".parse().expect("a domain"));
        assert_eq!(DnsDomain::default().to_string(), "weir");
        assert_eq!(DnsDomain::default().below(&["a"]), Some(name("a.weir.")));
    }

    #[test]
    fn case_does_not_matter_and_labels_are_compared_whole() {
        let domain: DnsDomain = "Weir.Example.".parse().expect("a domain");
        assert_eq!(domain.to_string(), "weir.example");
        for (text, labels) in [("WEB.svc.wEIR.example.", &["web", "svc"][..]), ("weir.example.", &[])] {
            assert!(domain.contains(&name(text)), "{text}");
            let expected = labels.iter().map(|label| (*label).to_owned()).collect();
            assert_eq!(domain.labels(&name(text)), Some(expected));
        }
        for other in ["xweir.example.", "example.", "."] {
            assert!(!domain.contains(&name(other)), "{other}");
        }
    }

    #[test]
    fn a_dot_within_a_label_separates_nothing() {
        let odd = Name::from_labels([&b"web.svc"[..], b"weir"]).expect("a name");
        assert!(DnsDomain::default().contains(&odd));
        assert_eq!(DnsDomain::default().labels(&odd), None);
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for bad in ["", ".", "a..b", "a b", "-a", &"a.".repeat(60)] {
            assert!(bad.parse::<DnsDomain>().is_err(), "{bad}");
        }
    }
}
