//! Printing: tables, JSON and quiet lists, to standard output.
//!
//! Plain columns without colour or frames, so that they read the same in a pipe.

use std::io::{self, Write};

use comfy_table::Table;

use super::CliError;

/// Columns with a heading. An empty cell is shown as `-`, so that columns can be counted.
pub(super) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(headings.iter().copied());
    for row in rows {
        let cell = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        table.add_row(row.into_iter().map(cell));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// One JSON document.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::io("write JSON")(error.into()))
}

/// Writes text and a line end. A reader that has seen enough is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    if text.is_empty() {
        return Ok(());
    }
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CliError::io("write to standard output")),
    }
}

/// How long ago a time was, in a word: `12s`, `5m`, `3h`, `2d`.
pub(super) fn age(since: &str) -> String {
    let Ok(since) = since.parse::<jiff::Timestamp>() else { return String::new() };
    let seconds = jiff::Timestamp::now().as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_plain_columns() {
        let rows = vec![vec!["a".into(), "running".into()], vec!["longer".into(), String::new()]];
        let text = table(&["NAME", "STATE"], rows);
        assert_eq!(text, "NAME    STATE\na       running\nlonger  -");
    }

    #[test]
    fn an_age_is_one_word() {
        let ago = |seconds| {
            let now = jiff::Timestamp::now().as_second();
            age(&jiff::Timestamp::from_second(now - seconds).unwrap().to_string())
        };
        assert_eq!((ago(300), ago(7200), ago(200_000)), ("5m".into(), "2h".into(), "2d".into()));
        assert_eq!(age("never"), "");
    }
}
