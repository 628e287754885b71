//! Text of others as a terminal and a line of a log may show it: what would move the cursor, begin a line or turn the
//! direction of writing is spelled out.

use std::{borrow::Cow, fmt::Write};

/// Spells out what is not to be obeyed but seen: `\x1b`, `\n`, `\u{202e}`. Each line break too, for who writes the text
/// decides where a line ends.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    spelled(text, is_hidden, |c, out| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\x7f' => hex(out, format_args!("\\x{:02x}", u32::from(c))),
        _ => hex(out, format_args!("\\u{{{:x}}}", u32::from(c))),
    })
}

/// The same for a JSON text, which means the same afterwards. What stands below U+0020 is left: within strings JSON
/// spells it out, and between them it is the text's own layout.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| c > '\x1f' && is_hidden(c);
    spelled(json, is_hidden, |c, out| hex(out, format_args!("\\u{:04x}", u32::from(c))))
}

/// Whether a terminal obeys the character instead of showing it: controls (C0, DEL, C1), separators of lines, and what
/// turns the direction of writing, by which one text can be made to look like another (Unicode TR 36, section 2.5).
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn spelled(text: &str, is_hidden: impl Fn(char) -> bool, spell: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&is_hidden) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if is_hidden(c) { spell(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn hex(out: &mut String, spelled: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(spelled);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(visible("\x1b]0;pwned\x07"), "\\x1b]0;pwned\\x07");
        assert_eq!(visible("a\nb\r\tc\x7f\0"), "a\\nb\\r\\tc\\x7f\\x00");
        assert_eq!(visible("\u{9b}31m \u{202e}gpj.exe\u{2066}"), "\\u{9b}31m \\u{202e}gpj.exe\\u{2066}");
        assert_eq!(visible("\u{2028}\u{2029}\u{200e}\u{200f}\u{61c}").matches("\\u{").count(), 5);
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["", "web/10.0.0.7:8080", "Grüße, 世界 🙂", "\\x1b"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_nothing_else_changes(text in any::<String>()) {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(is_hidden));
            if !text.chars().any(is_hidden) {
                prop_assert_eq!(&*shown, &text);
            }
        }

        #[test]
        fn json_means_the_same_afterwards(text in "(\\PC|[\u{7f}-\u{9f}\u{2028}-\u{202e}\"\\\\\n\x1b]){0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible_json(&json);
            prop_assert!(!shown.chars().any(is_hidden), "{}", shown);
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
