//! The time of a line as text: only its milliseconds change from line to line.

use jiff::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Stamp {
    /// What the text says, but for the milliseconds. None before the first line.
    second: Option<i64>,
    text: String,
}

/// Bytes of `.000Z`.
const FRACTION: usize = 5;

impl Stamp {
    /// RFC 3339, in UTC, to the millisecond.
    pub(super) fn of(&mut self, time: Timestamp) -> &str {
        let second = time.as_millisecond().div_euclid(1_000);
        let thousandths = time.as_millisecond().rem_euclid(1_000);
        if self.second == Some(second) {
            self.text.truncate(self.text.len() - FRACTION);
        } else {
            let whole = Timestamp::from_second(second).unwrap_or(time);
            self.text = format!("{whole:.0}");
            self.text.truncate(self.text.trim_end_matches('Z').len());
            self.second = Some(second);
        }
        let digit = |n: i64| char::from(b'0' + u8::try_from(n % 10).unwrap_or_default());
        self.text.extend(['.', digit(thousandths / 100), digit(thousandths / 10), digit(thousandths), 'Z']);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_written_in_full() {
        let mut stamp = Stamp::default();
        for (millisecond, expected) in [
            (1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
            (1_700_000_000_042, "2023-11-14T22:13:20.042Z"),
            (1_700_000_000_999, "2023-11-14T22:13:20.999Z"),
            (1_700_000_001_100, "2023-11-14T22:13:21.100Z"),
            (1_700_000_000_001, "2023-11-14T22:13:20.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(stamp.of(Timestamp::from_millisecond(millisecond).unwrap()), expected);
        }
    }
}
