//! Plain tables for a terminal, without colour.
//!
//! May call it: `report`. It deliberately counts a character as one column: what it prints are names of
//! Rust things and numbers.

use std::borrow::Cow;
use std::fmt;

/// The widest that a table gets, in columns. The widest cells give way, at their front: the end of a path
/// says more.
pub(super) const WIDTH_MAX: usize = 100;

const GAP: &str = "  ";

/// Where a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// To the left, for names.
    Left,
    /// To the right, for numbers.
    Right,
}

/// A titled table.
#[derive(Debug)]
pub(super) struct Table {
    title: &'static str,
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(
        title: &'static str,
        columns: [(&'static str, Align); N],
    ) -> Self {
        Self { title, columns: columns.into(), rows: Vec::new() }
    }

    pub(super) fn push<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells.into());
    }

    fn widths(&self) -> Vec<usize> {
        let column_width = |(at, (head, _)): (usize, &(&str, Align))| {
            let cells = self.rows.iter().map(|row| row[at].chars().count());
            cells.chain([head.chars().count()]).max().unwrap_or(0)
        };
        let mut widths: Vec<_> = self.columns.iter().enumerate().map(column_width).collect();
        while ruled(&widths) > WIDTH_MAX {
            let widest = widths.iter_mut().max_by_key(|width| **width);
            *widest.expect("what is too wide has a column") -= 1;
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |cells: Vec<&str>| {
            let cells = cells.iter().zip(&widths).zip(&self.columns);
            let padded = cells.map(|((cell, width), (_, align))| match align {
                Align::Left => format!("{:<width$}", fit(cell, *width)),
                Align::Right => format!("{:>width$}", fit(cell, *width)),
            });
            let line: Vec<_> = padded.collect();
            line.join(GAP).trim_end().to_owned()
        };
        let rule_len = ruled(&widths).max(self.title.chars().count()).min(WIDTH_MAX);
        writeln!(f, "{}", self.title)?;
        writeln!(f, "{}", "─".repeat(rule_len))?;
        if self.columns.iter().any(|(head, _)| !head.is_empty()) {
            writeln!(f, "{}", line(self.columns.iter().map(|(head, _)| *head).collect()))?;
        }
        for row in &self.rows {
            writeln!(f, "{}", line(row.iter().map(String::as_str).collect()))?;
        }
        Ok(())
    }
}

fn ruled(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
}

fn fit(cell: &str, width: usize) -> Cow<'_, str> {
    let excess = cell.chars().count().saturating_sub(width);
    if excess == 0 {
        return Cow::Borrowed(cell);
    }
    let kept: String = cell.chars().skip(excess + 1).collect();
    Cow::Owned(format!("…{kept}"))
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_from_the_right() {
        let grouped = [0, 7, 999, 1000, 1234567, u64::MAX].map(thousands);
        assert_eq!(grouped, ["0", "7", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn columns_line_up_and_long_cells_keep_their_end() {
        let mut table = Table::new("Title", [("name", Align::Left), ("n", Align::Right)]);
        table.push(["a".to_owned(), "1".to_owned()]);
        table.push(["bcd".to_owned(), "1,000".to_owned()]);
        assert_eq!(
            table.to_string(),
            "Title\n───────────\nname      n\na         1\nbcd   1,000\n"
        );
    }

    #[test]
    fn the_widest_cells_give_way_at_their_front() {
        let columns = [("name", Align::Left), ("n", Align::Right), ("place", Align::Left)];
        let mut table = Table::new("Title", columns);
        table.push(["short".to_owned(), "1".to_owned(), format!("{}end", "é".repeat(80))]);
        table.push(["x".repeat(200), "2".to_owned(), "here".to_owned()]);
        let text = table.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH_MAX), "{text}");
        assert!(text.contains("  1  …éé") && text.contains("ééend\n"), "{text}");
        assert!(text.contains("…xx") && text.contains("xx  2  here\n"), "{text}");
    }
}
