//! The table: what was measured beside the floor, the goal, and whether it is met.

use std::fmt::Write as _;

use rosterd_bench::outcome::{Unit, shown};

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// So many times the floor, or more.
    AtLeast(f64),
    /// So many times the floor, or less.
    AtMost(f64),
    /// So much, or less, whatever the floor.
    Below(f64),
    /// None: a figure to know.
    Open,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) work: String,
    pub(crate) figure: String,
    pub(crate) unit: Unit,
    /// What it is compared with.
    pub(crate) floor: Option<(&'static str, f64)>,
    pub(crate) measured: Option<f64>,
    pub(crate) goal: Goal,
}

impl Entry {
    fn ratio(&self) -> Option<f64> {
        let (_, floor) = self.floor?;
        (floor != 0.0).then_some(self.measured? / floor)
    }

    /// Whether the goal is met; none if there is none, or nothing to compare with.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::Open => None,
            Goal::Below(most) => Some(self.measured.is_some_and(|measured| measured <= most)),
            Goal::AtLeast(_) | Goal::AtMost(_) if self.floor.is_none() => None,
            Goal::AtLeast(least) => Some(self.ratio().is_some_and(|ratio| ratio >= least)),
            Goal::AtMost(most) => Some(self.ratio().is_some_and(|ratio| ratio <= most)),
        }
    }

    fn cells(&self) -> [String; 7] {
        let (name, floor) = self.floor.map_or(("", None), |(name, floor)| (name, Some(floor)));
        let show = |value: Option<f64>| value.map_or("–".to_owned(), |value| shown(value, self.unit));
        let floor = floor.map_or("–".to_owned(), |floor| format!("{} ({name})", shown(floor, self.unit)));
        let goal = match self.goal {
            Goal::AtLeast(least) => format!("≥ {least} ×"),
            Goal::AtMost(most) => format!("≤ {most} ×"),
            Goal::Below(most) => format!("≤ {}", shown(most, self.unit)),
            Goal::Open => "–".to_owned(),
        };
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let ratio = self.ratio().map_or("–".to_owned(), |ratio| format!("{ratio:.2} ×"));
        [self.work.clone(), self.figure.clone(), floor, show(self.measured), ratio, goal, met.to_owned()]
    }
}

/// All lines as a Markdown table, which is readable as it is.
pub(crate) fn markdown(entries: &[Entry]) -> String {
    let head = ["work", "figure", "floor", "rosterd", "ratio", "goal", ""].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(entries.iter().map(Entry::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if at == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}
