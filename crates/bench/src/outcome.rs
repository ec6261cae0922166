//! The results of a run: figures in rows, a verdict, and both as a table or as JSON. Pure.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::tally::Timeline;

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Things in a second.
    PerSecond,
    /// Microseconds.
    Micros,
    /// Bytes.
    Bytes,
    /// Cores kept busy.
    Cores,
    /// Seconds.
    Seconds,
}

/// One figure. The key is for machines and names the unit; the label is for people.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The name in JSON.
    pub key: &'static str,
    /// The name in the table.
    pub label: &'static str,
    /// The value, in the unit.
    pub value: f64,
    /// The unit.
    pub unit: Unit,
}

/// The figures of one measurement.
#[derive(Debug, Clone, Default)]
pub struct MeasuredRow {
    /// The name of the measurement.
    pub name: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The latencies behind the percentiles, if any, in microseconds.
    pub latencies: Option<Histogram<u64>>,
    /// The course over time.
    pub timeline: Timeline,
}

impl MeasuredRow {
    /// Makes an empty row.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a figure.
    pub fn add(&mut self, key: &'static str, label: &'static str, value: f64, unit: Unit) {
        self.figures.push(Figure { key, label, value, unit });
    }

    /// Adds a number of things.
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub fn count(&mut self, key: &'static str, label: &'static str, value: u64) {
        self.add(key, label, value as f64, Unit::Count);
    }

    /// Adds percentiles, and keeps the latencies for a plot.
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
    pub fn percentiles(&mut self, latencies: &Histogram<u64>) {
        let at = |quantile| latencies.value_at_quantile(quantile) as f64;
        self.add("p50_us", "half within", at(0.5), Unit::Micros);
        self.add("p99_us", "99 % within", at(0.99), Unit::Micros);
        self.add("p999_us", "99.9 % within", at(0.999), Unit::Micros);
        self.add("max_us", "all within", latencies.max() as f64, Unit::Micros);
        self.latencies = Some(latencies.clone());
    }

    /// Adds the median and the 99th percentile of other times, each with its key and label.
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
    pub fn median_and_p99(&mut self, names: [(&'static str, &'static str); 2], times: &Histogram<u64>) {
        for ((key, label), quantile) in names.into_iter().zip([0.5, 0.99]) {
            self.add(key, label, times.value_at_quantile(quantile) as f64, Unit::Micros);
        }
    }

    /// Returns the value of one figure.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.key == key).map(|figure| figure.value)
    }
}

/// Whether the figures are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing went wrong.
    Passed,
    /// Something was lost, went back or was refused.
    Failed,
    /// The run ended early; the figures are of the part up to then.
    Partial,
}

impl Verdict {
    /// Returns the word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Partial => "PARTIAL",
        }
    }
}

/// All results of a run.
#[derive(Debug, Clone)]
pub struct BenchOutcome {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// The parameters, as names and values.
    pub setup: Vec<(&'static str, String)>,
    /// The measurements.
    pub rows: Vec<MeasuredRow>,
    /// The failures.
    pub problems: Vec<String>,
    /// Whether the run ended early.
    pub cut_short: bool,
}

impl BenchOutcome {
    /// Makes an outcome without results.
    #[must_use]
    pub fn new(scenario: &'static str, setup: Vec<(&'static str, String)>) -> Self {
        Self { scenario, setup, rows: Vec::new(), problems: Vec::new(), cut_short: false }
    }

    /// Lists the labels of all figures, each once.
    #[must_use]
    pub fn labels(&self) -> Vec<&'static str> {
        let mut labels = Vec::new();
        for figure in self.rows.iter().flat_map(|row| &row.figures) {
            if !labels.contains(&figure.label) {
                labels.push(figure.label);
            }
        }
        labels
    }

    /// Whether the figures are valid.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.cut_short, self.problems.is_empty()) {
            (true, _) => Verdict::Partial,
            (false, false) => Verdict::Failed,
            (false, true) => Verdict::Passed,
        }
    }

    /// Formats the outcome as one JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let row = |row: &MeasuredRow| {
            let figures = row.figures.iter().map(|figure| (figure.key.to_owned(), json!(rounded(figure.value))));
            let mut object = Map::from_iter([("work".to_owned(), json!(row.name))]);
            object.extend(figures);
            Value::Object(object)
        };
        let setup: Map<_, _> = self.setup.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "scenario": self.scenario,
            "verdict": self.verdict().word().to_lowercase(),
            "problems": self.problems,
            "setup": setup,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// Formats the outcome as a table: a line for each figure, a column for each row.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines: Vec<Vec<String>> =
            vec![std::iter::once(String::new()).chain(self.rows.iter().map(|row| row.name.clone())).collect()];
        for label in self.labels() {
            let cell = |row: &MeasuredRow| {
                let figure = row.figures.iter().find(|figure| figure.label == label);
                figure.map_or("–".to_owned(), |figure| shown(figure.value, figure.unit))
            };
            lines.push(std::iter::once(label.to_owned()).chain(self.rows.iter().map(cell)).collect());
        }
        let mut text = format!("{} — {}\n", self.scenario, self.verdict().word());
        for (name, value) in &self.setup {
            let _ = writeln!(text, "  {name}: {value}");
        }
        text.push_str(&aligned(&lines));
        for problem in &self.problems {
            let _ = writeln!(text, "{}: {problem}", self.verdict().word());
        }
        text.trim_end().to_owned()
    }
}

/// Aligns columns, the first to the left and the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let _ = if column == 0 { write!(text, "  {cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Rounds to three decimals, which is finer than any of these figures is exact.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Formats a value for people.
#[must_use]
pub fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => grouped(value),
        Unit::PerSecond => format!("{}/s", grouped(value)),
        Unit::Micros if value >= 1_000_000.0 => format!("{:.2} s", value / 1_000_000.0),
        Unit::Micros if value >= 1000.0 => format!("{:.2} ms", value / 1000.0),
        Unit::Micros => format!("{value:.2} µs"),
        Unit::Bytes if value.abs() >= 1024.0 * 1024.0 => format!("{:.1} MiB", value / 1024.0 / 1024.0),
        Unit::Bytes if value.abs() >= 1024.0 => format!("{:.2} KiB", value / 1024.0),
        Unit::Bytes => format!("{value:.1} B"),
        Unit::Cores => format!("{value:.2} cores"),
        Unit::Seconds => format!("{value:.2} s"),
    }
}

/// Formats a whole number with commas between the thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> BenchOutcome {
        let (mut one, mut two) = (MeasuredRow::new("cold"), MeasuredRow::new("warm"));
        one.add("p50_us", "half within", 1500.0, Unit::Micros);
        one.count("lost", "lost", 0);
        two.count("lost", "lost", 1_234_567);
        BenchOutcome {
            scenario: "login",
            setup: vec![("users", "7".to_owned())],
            rows: vec![one, two],
            problems: Vec::new(),
            cut_short: false,
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_figure_and_a_column_for_each_row() {
        let expected = "login — passed\n  users: 7\n                  cold       warm\n  half within  1.50 ms          –\n  lost               0  1,234,567";
        assert_eq!(outcome().table(), expected);
    }

    #[test]
    fn what_went_wrong_stands_in_both_forms() {
        let failed = BenchOutcome { problems: vec!["one was lost".to_owned()], ..outcome() };
        assert!(failed.table().ends_with("\nFAILED: one was lost"));
        assert_eq!(failed.json()["verdict"], "failed");
        assert_eq!(failed.json()["problems"][0], "one was lost");
        let partial = BenchOutcome { cut_short: true, ..failed };
        assert_eq!((partial.verdict(), partial.json()["verdict"].as_str()), (Verdict::Partial, Some("partial")));
    }

    #[test]
    fn json_has_the_figures_by_their_keys() {
        let json = outcome().json();
        assert_eq!(json["rows"][0], json!({"work": "cold", "p50_us": 1500.0, "lost": 0.0}));
        assert_eq!(json["setup"]["users"], "7");
    }

    #[test]
    fn values_are_shown_in_the_unit_that_fits() {
        for (value, unit, text) in [
            (999.0, Unit::Count, "999"),
            (-1000.4, Unit::Count, "-1,000"),
            (1_000_000.0, Unit::PerSecond, "1,000,000/s"),
            (0.93, Unit::Micros, "0.93 µs"),
            (2_500_000.0, Unit::Micros, "2.50 s"),
            (6144.0, Unit::Bytes, "6.00 KiB"),
            (64.0, Unit::Bytes, "64.0 B"),
        ] {
            assert_eq!(shown(value, unit), text);
        }
    }
}
