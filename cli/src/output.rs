//! What commands print: tables for people, JSON and YAML, stable and complete, for programs.

mod condition;
mod difference;
mod document;
mod explanation;
mod history;
mod object;
mod outcome;
mod progress;
mod table;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::{Error, yaml};

pub(crate) use condition::{ejection, fleet_health, health, proxy_condition};
pub(crate) use difference::{became, differences};
pub(crate) use document::Declared;
pub(crate) use explanation::{people as explanation, value as explanation_value};
pub(crate) use history::{record, records, revision, revision_line, revisions};
pub(crate) use object::{change, info, proxy, reference, resource, resource_name, timestamp, word};
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
    pub(crate) fn show(self, value: &Value, people: impl FnOnce() -> String) -> Result<(), Error> {
        match self.format {
            Format::Table => line(&people()),
            Format::Json => line(&format!("{value:#}")),
            Format::Yaml => text(&yaml_text(value)?),
        }
    }

    /// Prints one of many values: a line, or a YAML document.
    pub(crate) fn show_next(self, value: &Value, people: impl FnOnce() -> String) -> Result<(), Error> {
        match self.format {
            Format::Table => line(&people()),
            Format::Json => line(&value.to_string()),
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

/// Prints a line for people.
pub(crate) fn line(line: &str) -> Result<(), Error> {
    text(&format!("{}\n", line.trim_end_matches('\n')))
}

/// Prints a line on standard error. That it cannot be written is no reason to stop.
pub(crate) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "weir: {line}"));
}

fn yaml_text(value: &Value) -> Result<String, Error> {
    yaml::to_string(value).map_err(|e| Error::Failed(format!("cannot write the result as YAML: {e}")))
}

fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
