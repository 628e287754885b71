//! The settings of leases: how many may expire at once, and how often a backend may come and go.

use std::time::Duration;

use clap::Args;

use crate::{Error, lease::Rules};

/// The longest `max_hold`.
const MOST_HOLD: Duration = Duration::from_hours(24);

/// How leases expire, and who is held back.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct LeaseConfig {
    /// Self-preservation: while a smaller share of the leases (of at least 10) than this was renewed in time, no more of
    /// them expire than --max-expiry-percent once, unless every proxy finds the backend unhealthy. 0 turns it off
    #[arg(long, env = "WEIR_RENEWAL_PERCENT_THRESHOLD", value_name = "SHARE",
        default_value_t = LeaseConfig::default().renewal_percent_threshold)]
    pub renewal_percent_threshold: f64,

    /// At most this share of a service's leases (and of all, if there are at least 10) expires within one ttl, but one
    /// always may. The others stay in as overdue until it is their turn. 100 turns it off
    #[arg(long, env = "WEIR_MAX_EXPIRY_PERCENT", value_name = "PERCENT",
        default_value_t = LeaseConfig::default().max_expiry_percent)]
    pub max_expiry_percent: u32,

    /// So long after its ttl a lease is held at most by self-preservation, or because its service would have no backend
    /// left
    #[arg(long, env = "WEIR_MAX_HOLD", value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub max_hold: Duration,

    /// Hold back a leased backend that comes back or changes more often than this within about a minute. 0 turns it off
    #[arg(long, env = "WEIR_FLAP_LIMIT", value_name = "COUNT", default_value_t = LeaseConfig::default().flap_limit)]
    pub flap_limit: u32,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            renewal_percent_threshold: 0.85,
            max_expiry_percent: 15,
            max_hold: Duration::from_mins(10),
            flap_limit: 2,
        }
    }
}

impl LeaseConfig {
    /// Refuses what would be a mistake.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Self { renewal_percent_threshold: share, max_expiry_percent: percent, max_hold, .. } = self;
        let wrong = if !(0.0..=1.0).contains(share) {
            format!("--renewal-percent-threshold must be 0 to 1, as 0.85, not {share}")
        } else if !(1..=100).contains(percent) {
            format!("--max-expiry-percent must be 1 to 100, not {percent}")
        } else if *max_hold > MOST_HOLD {
            format!("--max-hold must be at most 24h, not {max_hold:?}")
        } else {
            return Ok(());
        };
        Err(Error::Config(wrong))
    }

    /// As the guard takes them.
    pub(crate) fn rules(&self) -> Rules {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000, as checked")]
        let renewals = (self.renewal_percent_threshold.clamp(0.0, 1.0) * 1_000.0).round() as usize;
        Rules { renewals, max_expiry_percent: self.max_expiry_percent as usize, max_hold: self.max_hold }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.ok_or_else(|| format!("must be a duration as 10m or 90s, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refusal = |change: fn(&mut LeaseConfig)| {
            let mut config = LeaseConfig::default();
            change(&mut config);
            config.check().err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refusal(|_| {}), "");
        assert!(refusal(|c| c.renewal_percent_threshold = 85.0).contains("--renewal-percent-threshold"));
        assert!(refusal(|c| c.renewal_percent_threshold = f64::NAN).contains("--renewal-percent-threshold"));
        assert!(refusal(|c| c.max_expiry_percent = 0).contains("--max-expiry-percent"));
        assert!(refusal(|c| c.max_expiry_percent = 101).contains("--max-expiry-percent"));
        assert!(refusal(|c| c.max_hold = Duration::from_hours(25)).contains("--max-hold"));
    }

    #[test]
    fn the_guard_gets_the_rules_that_are_documented() {
        assert_eq!(LeaseConfig::default().rules(), Rules::default());
    }
}
