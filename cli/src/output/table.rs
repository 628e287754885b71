//! Tables for people: columns, no lines, colours for states only.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, presets};

/// Rows under a heading.
pub(crate) struct Table {
    table: comfy_table::Table,
    empty: &'static str,
}

/// A word that is good, doubtful or bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// As it should not be.
    Bad,
}

impl Table {
    /// A table with these columns. Without a row it is the sentence `empty`.
    pub(crate) fn new(columns: &[&str], empty: &'static str) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|c| Cell::new(c).add_attribute(Attribute::Bold)));
        Self { table, empty }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<State>)>) {
        self.table.add_row(cells.into_iter().map(|(text, state)| {
            let cell = Cell::new(if text.is_empty() { "-".to_owned() } else { text });
            match state {
                None => cell,
                Some(State::Good) => cell.fg(Color::Green),
                Some(State::Doubtful) => cell.fg(Color::Yellow),
                Some(State::Bad) => cell.fg(Color::Red),
            }
        }));
    }

    /// The table as text, with or without colours.
    pub(crate) fn render(mut self, colored: bool) -> String {
        if self.table.is_empty() {
            return self.empty.to_owned();
        }
        if colored {
            self.table.enforce_styling();
        } else {
            self.table.force_no_tty();
        }
        let columns = self.table.column_count();
        for (i, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, if i + 1 == columns { 0 } else { 2 }));
        }
        self.table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }
}

impl State {
    /// A cell without a colour.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass what they have")]
    pub(crate) fn plain(text: impl ToString) -> (String, Option<Self>) {
        (text.to_string(), None)
    }

    /// A cell in the colour of this state.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass what they have")]
    pub(crate) fn cell(self, text: impl ToString) -> (String, Option<Self>) {
        (text.to_string(), Some(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["name", "state"], "nothing yet");
        table.row([State::plain("web"), State::Good.cell("live")]);
        table.row([State::plain("checkout"), State::plain("")]);
        table
    }

    #[test]
    fn columns_align_without_trailing_blanks() {
        assert_eq!(table().render(false), "name      state\nweb       live\ncheckout  -");
        assert!(table().render(true).contains("\u{1b}["));
    }

    #[test]
    fn an_empty_table_is_a_sentence() {
        assert_eq!(Table::new(&["name"], "nothing yet").render(false), "nothing yet");
    }
}
