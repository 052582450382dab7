//! What `testrun admin` prints: aligned text for people, JSON for programs.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// Prints rows below their header, each column as wide as its longest cell. Cells are kept on one line.
pub(super) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
    let one_line = |row: Vec<String>| row.into_iter().map(|cell| cell.replace(['\n', '\r', '\t'], " ")).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows.map(one_line)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..rows[0].len()).map(|column| width(column).unwrap_or_default()).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Prints something as indented JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An instant to the second.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
