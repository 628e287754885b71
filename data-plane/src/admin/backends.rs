//! `/backends`: every backend in a line of its own, for people, as Envoy's `/clusters`.

use std::{fmt::Write, time::Duration};

use weir_proto::{LeaseState, OperatorState};

use crate::{
    explain::Condition,
    moment::Moment,
    table::{Member, Table},
};

const HEADINGS: [&str; 11] = [
    "SERVICE",
    "BACKEND",
    "ADDRESS",
    "ZONE",
    "PRIORITY",
    "WEIGHT",
    "OPERATOR",
    "LEASE",
    "HEALTH",
    "EJECTION",
    "IN FLIGHT",
];

type Row = [String; HEADINGS.len()];

/// The table in force, by the names of services and backends.
pub(super) fn backends(table: Option<&Table>) -> String {
    let now = Moment::now();
    let mut services: Vec<_> = table.iter().flat_map(|table| &table.services).collect();
    services.sort_unstable_by_key(|(name, _)| name.as_str());
    let rows: Vec<Row> = services
        .iter()
        .flat_map(|(_, entry)| entry.members.values())
        .map(|member| row(member, now))
        .collect();
    if rows.is_empty() {
        return "no backend\n".to_owned();
    }
    render(&rows)
}

fn row(Member { backend, endpoint }: &Member, now: Moment) -> Row {
    let condition = Condition::of(endpoint, now);
    [
        backend.key.service.to_string(),
        backend.key.id.to_string(),
        backend.address.to_string(),
        backend.zone.clone(),
        backend.priority.to_string(),
        backend.weight_in_force().to_string(),
        operator_word(backend.operator_state).to_owned(),
        lease_word(backend.lease_state).to_owned(),
        health(&condition),
        ejection(&condition),
        condition.in_flight.to_string(),
    ]
}

/// `enabled`
pub(super) fn operator_word(state: OperatorState) -> &'static str {
    match state {
        OperatorState::Enabled => "enabled",
        OperatorState::Draining => "draining",
        OperatorState::Disabled => "disabled",
    }
}

/// `static`
pub(super) fn lease_word(state: LeaseState) -> &'static str {
    match state {
        LeaseState::Static => "static",
        LeaseState::Live => "live",
        LeaseState::Expired => "expired",
    }
}

/// `unhealthy 12s: connection refused`
fn health(condition: &Condition) -> String {
    let since = condition.health_for.map(|since| format!(" {}", rough(since))).unwrap_or_default();
    let colon = if condition.health_reason.is_empty() { "" } else { ": " };
    format!("{}{since}{colon}{}", condition.health_word(), condition.health_reason)
}

/// `ejected 10s, 20s left: consecutive_5xx`
fn ejection(condition: &Condition) -> String {
    let Some(ejected) = condition.ejection else { return String::new() };
    let (word, cause) = (condition.ejection_word(), ejected.cause.code());
    let left =
        if ejected.is_on_probation { String::new() } else { format!(", {} left", rough(ejected.left)) };
    format!("{word} {}{left}: {cause}", rough(ejected.since))
}

/// Whole seconds, so that columns stay narrow.
fn rough(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

/// Columns as wide as their widest cell, two blanks between, none at the end.
fn render(rows: &[Row]) -> String {
    let mut widths = HEADINGS.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let headings = HEADINGS.map(str::to_owned);
    for row in std::iter::once(&headings).chain(rows) {
        let start = text.len();
        for (width, cell) in widths.iter().zip(row) {
            let cell = if cell.is_empty() { "-" } else { cell };
            // A string takes whatever is written to it.
            let _ = write!(text, "{cell:width$}  ");
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_nothing_is_left_blank() {
        let mut row: Row = Default::default();
        row[0] = "web".to_owned();
        row[8] = "unhealthy 12s: connection refused".to_owned();
        let text = render(&[row]);
        let lines: Vec<_> = text.lines().collect();
        let ejection = lines[0].find("EJECTION").unwrap();
        assert_eq!(lines[1][ejection..].trim_end(), "-         -");
        assert!(lines[1].starts_with("web      -        -"), "{text}");
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }
}
