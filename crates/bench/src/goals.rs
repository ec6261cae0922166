//! A table of what was measured beside a floor, with goals and whether they are met. Pure.

use std::fmt::Write as _;

use super::outcome::{Unit, shown};

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// So many times the floor, or more.
    AtLeast(f64),
    /// So many times the floor, or less.
    AtMost(f64),
    /// So much, or more, whatever the floor.
    Above(f64),
    /// So much, or less, whatever the floor.
    Below(f64),
    /// None: a figure to know.
    Open,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct TableEntry {
    /// What is done.
    pub work: String,
    /// What is measured of it.
    pub figure: String,
    /// The unit of the figure and of the floor.
    pub unit: Unit,
    /// What it is compared with.
    pub floor: Option<(&'static str, f64)>,
    /// What was found; none if nothing was.
    pub measured: Option<f64>,
    /// The goal.
    pub goal: Goal,
}

impl TableEntry {
    fn ratio(&self) -> Option<f64> {
        let (_, floor) = self.floor?;
        (floor != 0.0).then_some(self.measured? / floor)
    }

    /// Whether the goal is met; none if there is none, or nothing to compare with.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::Open => None,
            Goal::Above(least) => Some(self.measured.is_some_and(|measured| measured >= least)),
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
            Goal::Above(least) => format!("≥ {}", shown(least, self.unit)),
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
#[must_use]
pub fn markdown(entries: &[TableEntry]) -> String {
    let head = ["work", "figure", "floor", "rosterd", "ratio", "goal", ""].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(entries.iter().map(TableEntry::cells)).collect();
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

/// Puts a text into a document, in place of what stands between two markers; none if it does not have them.
#[must_use]
pub fn put_between(document: &str, [begin, end]: [&str; 2], text: &str) -> Option<String> {
    let (before, rest) = document.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(floor: Option<f64>, measured: Option<f64>, goal: Goal) -> TableEntry {
        let floor = floor.map(|floor| ("bare", floor));
        TableEntry {
            work: "writes".to_owned(),
            figure: "updates".to_owned(),
            unit: Unit::PerSecond,
            floor,
            measured,
            goal,
        }
    }

    #[test]
    fn a_goal_is_met_by_what_was_measured_and_never_by_nothing() {
        for (floor, measured, goal, is_met) in [
            (None, Some(20_000.0), Goal::Above(20_000.0), Some(true)),
            (None, Some(19_999.0), Goal::Above(20_000.0), Some(false)),
            (None, None, Goal::Above(20_000.0), Some(false)),
            (None, Some(5.0), Goal::Below(5.0), Some(true)),
            (None, None, Goal::Below(5.0), Some(false)),
            (Some(10.0), Some(5.0), Goal::AtLeast(0.5), Some(true)),
            (Some(10.0), Some(5.0), Goal::AtMost(0.4), Some(false)),
            (Some(10.0), None, Goal::AtMost(0.4), Some(false)),
            (None, Some(5.0), Goal::AtMost(0.4), None),
            (Some(10.0), Some(5.0), Goal::Open, None),
        ] {
            assert_eq!(entry(floor, measured, goal).is_met(), is_met, "{floor:?} {measured:?} {goal:?}");
        }
    }

    #[test]
    fn a_text_goes_between_the_markers_of_a_document() {
        assert_eq!(put_between("a <b> old <c> d", ["<b>", "<c>"], "new").as_deref(), Some("a <b>new<c> d"));
        assert_eq!(put_between("a <c> old <b> d", ["<b>", "<c>"], "new"), None);
    }

    #[test]
    fn the_table_is_markdown() {
        let table =
            markdown(&[entry(Some(10_000.0), Some(5000.0), Goal::Above(20_000.0)), entry(None, None, Goal::Open)]);
        let expected = "\
| work   | figure  | floor           | rosterd | ratio  | goal       |            |
|--------|---------|-----------------|---------|--------|------------|------------|
| writes | updates | 10,000/s (bare) | 5,000/s | 0.50 × | ≥ 20,000/s | **missed** |
| writes | updates | –               | –       | –      | –          |            |
";
        assert_eq!(table, expected);
    }
}
