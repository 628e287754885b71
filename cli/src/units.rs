//! Durations and sizes as people write them: `5s`, `250ms`, `1h30m`, `64KiB`.

use std::time::Duration;

/// A duration with its unit; never negative.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("must be a duration as 5s, 250ms or 1h, not {text:?}");
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(parsed).map_err(|_| wrong())
}

/// A number of bytes: plain, or in B, KiB, MiB or GiB. The decimal units are refused, because half of their readers
/// mean the binary ones.
pub(crate) fn size(text: &str) -> Result<u32, String> {
    u32::try_from(large_size(text)?).map_err(|_| format!("must be below 4GiB, is {text}"))
}

/// The same, for what may be larger.
pub(crate) fn large_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("must be a size as 512, 64KiB or 1MiB, not {text:?}")),
    };
    let number: u64 =
        digits.parse().map_err(|_| format!("must be a size as 512, 64KiB or 1MiB, not {text:?}"))?;
    number.checked_mul(factor).ok_or_else(|| format!("must be below 2^64 bytes, is {text}"))
}

/// The duration in its largest unit that leaves no fraction; [`duration`] reads it back.
pub(crate) fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (unit, length) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ] {
        if nanos.is_multiple_of(length) && (nanos > 0 || unit == "s") {
            return format!("{}{unit}", nanos / length);
        }
    }
    format!("{nanos}ns")
}

/// The size in its largest unit that leaves no fraction; [`large_size`] reads it back.
pub(crate) fn size_text(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// The size as people say it: in its largest unit, to a tenth.
pub(crate) fn about(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor {
            let tenths = (u128::from(bytes) * 10 + u128::from(factor) / 2) / u128::from(factor);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["0s", "1ns", "250ms", "5s", "90m", "24h", "1500us"] {
            assert_eq!(duration(text).map(duration_text), Ok(text.to_owned()));
        }
        for text in ["0", "1000", "64KiB", "1MiB", "3GiB"] {
            assert_eq!(size(text).map(|n| size_text(n.into())), Ok(text.to_owned()));
            assert_eq!(large_size(text).map(size_text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn sizes_are_told_to_a_tenth() {
        let told = [0, 1_023, 1_024, 1_587, 5 << 20, u64::MAX].map(about);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "5.0 MiB", "17179869184.0 GiB"]);
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        for bad in ["5", "-5s", "soon", ""] {
            assert_eq!(duration(bad), Err(format!("must be a duration as 5s, 250ms or 1h, not {bad:?}")));
        }
        for bad in ["64KB", "x", "-1", "", "KiB"] {
            assert_eq!(size(bad), Err(format!("must be a size as 512, 64KiB or 1MiB, not {bad:?}")));
        }
        assert_eq!(size("4GiB"), Err("must be below 4GiB, is 4GiB".to_owned()));
        assert_eq!(large_size("4GiB"), Ok(1 << 32));
        assert!(large_size("99999999999GiB").is_err());
    }
}
