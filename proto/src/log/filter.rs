//! Whose lines are in the log.

/// The levels of `tracing`, as they are written in filters.
const LEVELS: [&str; 12] = ["off", "error", "warn", "info", "debug", "trace", "0", "1", "2", "3", "4", "5"];

/// Those of which no line comes from anybody.
const SILENT: [&str; 2] = ["off", "0"];

/// The filter that is meant by `wanted`, a level or levels by module. A level without a module is that of Weir's own
/// lines; libraries write their errors, and more only where they are named: some have a line for whatever a peer does
/// wrong, at its pace.
#[must_use]
pub fn filter(wanted: &str) -> String {
    let mut directives = Vec::new();
    for directive in wanted.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        if LEVELS.iter().any(|level| directive.eq_ignore_ascii_case(level)) {
            let silent = SILENT.iter().any(|level| directive.eq_ignore_ascii_case(level));
            // By their beginning, all of Weir's modules are called so.
            directives.extend([if silent { "off" } else { "error" }.to_owned(), format!("weir={directive}")]);
        } else {
            directives.push(directive.to_owned());
        }
    }
    directives.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_write_errors_alone_unless_they_are_named() {
        for (wanted, expected) in [
            ("info", "error,weir=info"),
            ("DEBUG", "error,weir=DEBUG"),
            ("error", "error,weir=error"),
            ("off", "off,weir=off"),
            ("info, weir_data_plane=debug", "error,weir=info,weir_data_plane=debug"),
            ("info,h2=trace", "error,weir=info,h2=trace"),
            ("rustls", "rustls"),
            ("", ""),
        ] {
            assert_eq!(filter(wanted), expected, "{wanted}");
        }
    }
}
