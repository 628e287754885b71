//! What commands print: tables for people, JSON and YAML, stable and complete, for programs. All that the program prints
//! goes through here, and nothing that somebody else wrote reaches the terminal as a command or a line of its own: see
//! [`Lines`].

mod condition;
mod difference;
mod document;
mod explanation;
mod history;
mod lines;
mod object;
mod outcome;
mod progress;
mod table;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;
use weir_proto::log::{Form, Spelled};

use crate::{Error, yaml};

pub(crate) use condition::{ejection, fleet_health, health, proxy_condition};
pub(crate) use difference::{became, differences, would_become};
pub(crate) use document::Declared;
pub(crate) use explanation::{people as explanation, value as explanation_value};
pub(crate) use history::{record, records, revision, revision_line, revisions};
pub(crate) use lines::Lines;
pub(crate) use object::{
    change, info, is_implicit, proxy, reference, resource, resource_name, timestamp, word,
};
pub(crate) use outcome::{outcomes, proxy_outcome, refusal, refusals};
pub(crate) use progress::Progress;
pub(crate) use table::{State, Table};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON value; one a line where results come one by one.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    colored: bool,
}

impl Output {
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colored = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !no_color && io::stdout().is_terminal(),
        };
        Self { format, colored }
    }

    /// Prints the value for programs, or what `people` makes of it.
    pub(crate) fn show<L: Into<Lines>>(self, value: &Value, people: impl FnOnce() -> L) -> Result<(), Error> {
        match self.format {
            Format::Table => line(people()),
            Format::Json => text(&format!("{}\n", json_text(value, true))),
            Format::Yaml => text(&yaml_text(value)?),
        }
    }

    /// Prints one of many values: a line, or a YAML document.
    pub(crate) fn show_next<L: Into<Lines>>(
        self,
        value: &Value,
        people: impl FnOnce() -> L,
    ) -> Result<(), Error> {
        match self.format {
            Format::Table => line(people()),
            Format::Json => text(&format!("{}\n", json_text(value, false))),
            Format::Yaml => text(&format!("---\n{}", yaml_text(value)?)),
        }
    }

    /// Prints a table.
    pub(crate) fn show_table(self, value: &Value, table: impl FnOnce() -> Table) -> Result<(), Error> {
        self.show(value, || table().render(self.colored))
    }

    /// Whether what people read may have colours.
    pub(crate) fn is_colored(self) -> bool {
        self.colored
    }

    /// How it is written.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Whether people read it.
    pub(crate) fn for_people(self) -> bool {
        self.format == Format::Table
    }
}

/// Prints lines for people.
pub(crate) fn line(lines: impl Into<Lines>) -> Result<(), Error> {
    text(&format!("{}\n", lines.into()))
}

/// Prints a line on standard error. That it cannot be written is no reason to stop.
pub(crate) fn note(line: &str) {
    report(line.into());
}

/// The same for what may be several lines.
pub(crate) fn report(lines: Lines) {
    tell(&format!("{}\n", lines.after("weir: ")));
}

/// A document as a text that reads back: JSON if that is asked for, else YAML.
pub(crate) fn document(value: &Value, format: Format) -> Result<String, Error> {
    match format {
        Format::Json => Ok(format!("{}\n", json_text(value, true))),
        Format::Table | Format::Yaml => yaml_text(value),
    }
}

/// Prints a document that [`document`] made.
pub(crate) fn print_document(document: &str) -> Result<(), Error> {
    text(document)
}

/// Hands on bytes that are not for people. They are refused at a terminal.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Whether somebody looks at what is printed.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Where the daemons of this process log to. What they log of others is spelled out.
pub(crate) fn log() -> Spelled<io::Stderr> {
    let form = if is_log_colored() { Form::Colored } else { Form::Plain };
    Spelled::new(io::stderr(), form)
}

/// Whether that log has colours.
pub(crate) fn is_log_colored() -> bool {
    io::stderr().is_terminal()
}

/// Prints what is wrong with the command line, or its help.
pub(crate) fn usage(told: &clap::Error) {
    drop(told.print());
}

/// JSON leaves characters alone that terminals obey.
fn json_text(value: &Value, pretty: bool) -> String {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    weir_proto::visible_json(&text).into_owned()
}

/// YAML spells out controls and nothing else; where that is not enough it is JSON, which is YAML too.
fn yaml_text(value: &Value) -> Result<String, Error> {
    let text =
        yaml::to_string(value).map_err(|e| Error::Failed(format!("cannot write the result as YAML: {e}")))?;
    let is_hidden = |c: char| c != '\n' && weir_proto::is_hidden(c);
    Ok(if text.contains(is_hidden) { format!("{}\n", json_text(value, true)) } else { text })
}

fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn tell(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
