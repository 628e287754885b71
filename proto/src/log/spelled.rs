//! A log whose lines are what the program said: what peers put into a value neither ends a line nor reaches a terminal
//! as a command.

use std::io::{self, Write};

use crate::{visible, visible_json};

/// The form of the lines that are to be spelled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As text without colours.
    Plain,
    /// As text whose colours are the program's own.
    Colored,
    /// As a JSON object each.
    Json,
}

/// Writes on what it is given, one line a call, as loggers give it.
#[derive(Debug)]
pub struct Spelled<W> {
    to: W,
    form: Form,
}

impl<W> Spelled<W> {
    /// For lines of this form.
    pub fn new(to: W, form: Form) -> Self {
        Self { to, form }
    }
}

impl<W: Write> Write for Spelled<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let mut shown = match self.form {
            Form::Plain => visible(text).into_owned(),
            Form::Colored => colored(text),
            Form::Json => visible_json(text).into_owned(),
        };
        shown.push_str(end);
        // In one write, so that lines of several threads do not mix.
        self.to.write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The logger spells out escapes in values by itself, so those that are left are its colours.
fn colored(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let (before, from) = rest.split_at(at);
        shown.push_str(&visible(before));
        let (ours, after) = from.split_at(color(from).unwrap_or(1));
        shown.push_str(&if ours.len() > 1 { ours.into() } else { visible(ours) });
        rest = after;
    }
    shown.push_str(&visible(rest));
    shown
}

/// The length of the colour (ECMA-48 SGR) that a text begins with.
fn color(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers[end..].starts_with('m').then_some(end + "\x1b[m".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, line: &str) -> String {
        let mut log = Spelled::new(Vec::new(), form);
        log.write_all(line.as_bytes()).unwrap();
        String::from_utf8(log.to).unwrap()
    }

    #[test]
    fn a_value_ends_no_line() {
        let line = "INFO refused reason=\"a\nERROR all is lost\r\x1b]0;x\x07\"\n";
        let spelled = "INFO refused reason=\"a\\nERROR all is lost\\r\\x1b]0;x\\x07\"\n";
        assert_eq!(written(Form::Plain, line), spelled);
        assert_eq!(written(Form::Colored, line), spelled);
    }

    #[test]
    fn colours_stay_and_nothing_else_that_begins_like_one() {
        let line = "\x1b[2mnow\x1b[0m \x1b[1;31mERROR\x1b[0m \x1b[2J \x1b[\x1b[\u{9b}31m\n";
        let spelled = "\x1b[2mnow\x1b[0m \x1b[1;31mERROR\x1b[0m \\x1b[2J \\x1b[\\x1b[\\u{9b}31m\n";
        assert_eq!(written(Form::Colored, line), spelled);
        assert!(!written(Form::Plain, line).contains('\x1b'));
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(written(Form::Json, "{\"a\":\"\u{9b}\u{202e}\"}\n"), "{\"a\":\"\\u009b\\u202e\"}\n");
    }
}
