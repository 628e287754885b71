//! Text for people, line by line. Whatever stands in a line is shown and not obeyed: it comes from metadata, names,
//! reasons and messages that others wrote.

use std::fmt;

use weir_proto::visible;

/// Lines in which nothing is hidden. A text becomes one line, and a break in it ends none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    /// Adds what may be more than a line, as a table.
    pub(crate) fn add(&mut self, more: impl Into<Self>) {
        self.0.extend(more.into().0);
    }

    /// The same with more below.
    pub(crate) fn and(mut self, more: impl Into<Self>) -> Self {
        self.add(more);
        self
    }

    /// The same with more below an empty line.
    pub(crate) fn and_apart(self, more: impl Into<Self>) -> Self {
        self.and("").and(more)
    }

    /// The same with `first` before its first line.
    pub(crate) fn after(mut self, first: &str) -> Self {
        match self.0.first_mut() {
            Some(line) => line.insert_str(0, first),
            None => self.0.push(first.to_owned()),
        }
        self
    }

    /// Lines of this module's own making, with colours and all.
    pub(super) fn ready(lines: Vec<String>) -> Self {
        Self(lines)
    }
}

impl From<&str> for Lines {
    fn from(line: &str) -> Self {
        Self(vec![visible(line).into_owned()])
    }
}

impl From<String> for Lines {
    fn from(line: String) -> Self {
        line.as_str().into()
    }
}

impl From<&String> for Lines {
    fn from(line: &String) -> Self {
        line.as_str().into()
    }
}

impl<L: Into<Self>> From<Vec<L>> for Lines {
    fn from(parts: Vec<L>) -> Self {
        parts.into_iter().collect()
    }
}

impl<L: Into<Self>> FromIterator<L> for Lines {
    fn from_iter<I: IntoIterator<Item = L>>(parts: I) -> Self {
        Self(parts.into_iter().flat_map(|part| part.into().0).collect())
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_in_a_text_ends_no_line() {
        let lines =
            Lines::from("web\nremoved everything").and("\x1b[2J").and_apart(vec!["a".to_owned(), "b".into()]);
        assert_eq!(lines.to_string(), "web\\nremoved everything\n\\x1b[2J\n\na\nb");
    }
}
