//! Tables for people: columns, no lines, colours for states only.

use std::io;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, presets};
use weir_proto::visible;

use super::Lines;

/// Rows under a heading.
pub(crate) struct Table {
    table: comfy_table::Table,
    empty: String,
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
    pub(crate) fn new(columns: &[&str], empty: &str) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|c| Cell::new(c).add_attribute(Attribute::Bold)));
        Self { table, empty: empty.to_owned() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<State>)>) {
        self.table.add_row(cells.into_iter().map(|(text, state)| {
            let cell = Cell::new(if text.is_empty() { "-".into() } else { visible(&text) });
            match state {
                None => cell,
                Some(State::Good) => cell.fg(Color::Green),
                Some(State::Doubtful) => cell.fg(Color::Yellow),
                Some(State::Bad) => cell.fg(Color::Red),
            }
        }));
    }

    /// The table as lines, with or without colours; not wider than the terminal, if it goes to one.
    pub(crate) fn render(self, colored: bool) -> Lines {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        self.within(colored, size.ok().map(|size| size.ws_col).filter(|columns| *columns > 0))
    }

    /// Of so many columns at most: cells that are too long go on in the next line.
    fn within(mut self, colored: bool, width: Option<u16>) -> Lines {
        if self.table.is_empty() {
            return self.empty.into();
        }
        if colored {
            self.table.enforce_styling();
        } else {
            self.table.force_no_tty();
        }
        if let Some(width) = width {
            self.table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let columns = self.table.column_count();
        for (i, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, if i + 1 == columns { 0 } else { 2 }));
        }
        Lines::ready(self.table.lines().map(|line| line.trim_end().to_owned()).collect())
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
        let text = table().within(false, None).to_string();
        assert_eq!(text, "name      state\nweb       live\ncheckout  -");
        assert!(table().within(true, None).to_string().contains("\u{1b}["));
    }

    #[test]
    fn an_empty_table_is_a_sentence() {
        assert_eq!(Table::new(&["name"], "nothing yet").render(false).to_string(), "nothing yet");
    }

    #[test]
    fn what_stands_in_a_cell_is_shown_and_not_obeyed() {
        let mut table = Table::new(&["name", "why"], "");
        table.row([State::plain("web\nshop  good"), State::Bad.cell("\x1b]0;pwned\x07\u{202e}")]);
        let text = table.within(true, None).to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("web\\nshop  good") && text.contains("\\x1b]0;pwned\\x07\\u{202e}"), "{text}");
        assert!(!text.replace("\x1b[", "").contains(|c| c != '\n' && weir_proto::is_hidden(c)), "{text}");
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        let mut table = Table::new(&["name", "why"], "");
        table.row([State::plain("web"), State::plain("word ".repeat(40))]);
        let text = table.within(false, Some(60)).to_string();
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= 60), "{text}");
    }
}
