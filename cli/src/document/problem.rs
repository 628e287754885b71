//! What is wrong with a file, where, and what the place looks like.

use weir_proto::visible;

use crate::{document::files::Source, output::Lines, yaml::At};

/// The longest line that is shown with a caret.
const MAX_SHOWN: usize = 160;

/// A refusal of one field.
#[derive(Debug)]
pub struct Problem {
    /// The file, the place in it and the text of that line; absent where no file is at fault.
    place: Option<(String, At, Option<String>)>,
    /// As the user writes it: `services[0].timeouts.request`. May be empty.
    field: String,
    reason: String,
}

impl Problem {
    /// A refusal of what stands at `at`.
    pub(super) fn at(source: &Source, at: At, field: &str, reason: &str) -> Self {
        let line = source.text.lines().nth(at.line - 1).filter(|line| line.chars().count() <= MAX_SHOWN);
        Self {
            place: Some((source.name.clone(), at, line.map(str::to_owned))),
            field: field.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// A refusal of something that stands in no file.
    pub(crate) fn nowhere(field: &str, reason: &str) -> Self {
        Self { place: None, field: field.to_owned(), reason: reason.to_owned() }
    }

    /// Where it belongs among others: the file in the order of `sources`, and the place in it.
    pub(super) fn order(&self, sources: &[Source]) -> (usize, usize, usize) {
        let Some((name, at, _)) = &self.place else { return (0, 0, 0) };
        let file = sources.iter().position(|source| source.name == *name).unwrap_or_default();
        (file, at.line, at.column)
    }

    /// The path of the field.
    pub(crate) fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The summary, and the line of the file with a caret below the place.
    pub(crate) fn lines(&self) -> Lines {
        let lines = Lines::from(self.summary());
        let Some((_, at, Some(line))) = &self.place else { return lines };
        let number = at.line.to_string();
        let line = line.replace('\t', " ");
        // As it is shown, in which a character may be several.
        let before: String = line.chars().take(at.column - 1).collect();
        let indent = visible(&before).chars().count();
        let caret = format!("  {:1$} | {2:3$}^", "", number.len(), "", indent);
        lines.and(format!("  {number} | {line}")).and(caret)
    }

    /// `file:line:column: field: reason`.
    pub(crate) fn summary(&self) -> String {
        let mut parts = Vec::new();
        if let Some((name, at, _)) = &self.place {
            parts.push(format!("{name}:{}:{}", at.line, at.column));
        }
        parts.extend((!self.field.is_empty()).then(|| self.field.clone()));
        parts.push(self.reason.clone());
        parts.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_points_to_the_place() {
        let source = Source { name: "f.yaml".into(), text: "a: 1\nbc:\tx\n".into() };
        let problem = Problem::at(&source, At { line: 2, column: 5 }, "bc", "no");
        assert_eq!(problem.lines().to_string(), "f.yaml:2:5: bc: no\n  2 | bc: x\n    |     ^");
        let source = Source { name: "f.yaml".into(), text: "\x1b[2J: x".into() };
        let problem = Problem::at(&source, At { line: 1, column: 7 }, "", "no");
        assert_eq!(problem.lines().to_string(), "f.yaml:1:7: no\n  1 | \\x1b[2J: x\n    |          ^");
    }

    #[test]
    fn a_place_behind_the_end_is_only_named() {
        let source = Source { name: "f.yaml".into(), text: "a: [".into() };
        let problem = Problem::at(&source, At { line: 9, column: 1 }, "", "ends early");
        assert_eq!(problem.lines().to_string(), "f.yaml:9:1: ends early");
    }
}
