//! How the backend behaves, as it was told.

/// What becomes of the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Well,
    Bad { fault: Fault, checks_too: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503 at once.
    Unavailable,
    /// The answer comes a byte a second, the first one at once.
    Drip,
    /// The connection is reset by one request in `every`.
    Reset { every: u64 },
}

impl Manner {
    /// What a line of standard input says.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        if line == "well" {
            return Some(Self::Well);
        }
        let (fault, whom) = line.split_once(' ')?;
        let fault = match fault.split_once(':') {
            None if fault == "503" => Fault::Unavailable,
            None if fault == "drip" => Fault::Drip,
            Some(("reset", every)) => Fault::Reset { every: every.parse().ok().filter(|&every| every > 0)? },
            _ => return None,
        };
        match whom {
            "all" => Some(Self::Bad { fault, checks_too: true }),
            "requests" => Some(Self::Bad { fault, checks_too: false }),
            _ => None,
        }
    }

    /// The fault that a request meets, which may be one of a health check; none if it is answered well.
    pub(crate) fn fault(self, check: bool) -> Option<Fault> {
        match self {
            Self::Bad { fault, checks_too } if checks_too || !check => Some(fault),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_meet_a_fault_only_if_it_is_for_all() {
        let reset = Fault::Reset { every: 10 };
        let manner = Manner::parse("reset:10 requests").unwrap();
        assert_eq!((manner.fault(false), manner.fault(true)), (Some(reset), None));
        let manner = Manner::parse("503 all").unwrap();
        assert_eq!(manner.fault(true), Some(Fault::Unavailable));
        assert_eq!(Manner::parse("well").unwrap().fault(false), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["", "drip", "503 some", "reset:0 all", "reset: all", "drip:3 all"] {
            assert_eq!(Manner::parse(line), None, "{line}");
        }
    }
}
