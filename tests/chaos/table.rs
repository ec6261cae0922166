//! What a run came to.
#![allow(clippy::print_stdout, reason = "a report")]

use std::fmt;

use hdrhistogram::Histogram;

/// One stage.
pub struct Row {
    pub stage: &'static str,
    /// How many faults of which kind there were.
    pub faults: String,
    pub writes: u64,
    pub put_off: u64,
    pub logins: u64,
    pub lost: u64,
    /// Median and 99th percentile in milliseconds; none if there was nothing to measure.
    pub replies: Option<(f64, f64)>,
    pub pushes: Option<(f64, f64)>,
    /// The most there was, in bytes.
    pub memory: u64,
}

impl Row {
    pub fn latency(of: &Histogram<u64>) -> Option<(f64, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of minutes")]
        let at = |quantile| of.value_at_quantile(quantile) as f64 / 1000.0;
        (!of.is_empty()).then(|| (at(0.5), at(0.99)))
    }
}

/// Markdown, one line to a stage.
pub struct Table(pub Vec<Row>);

impl Table {
    /// One more stage is done.
    pub fn add(&mut self, row: Row) {
        println!("{}: {}", row.stage, row.faults);
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| stage | faults | writes answered | put off | connections lost | logins | reply p50 / p99 | push p50 / p99 | peak memory |\n")?;
        f.write_str("|---|---|--:|--:|--:|--:|--:|--:|--:|\n")?;
        for row in &self.0 {
            let Row { stage, faults, writes, put_off, lost, logins, .. } = row;
            write!(f, "| {stage} | {faults} | {writes} | {put_off} | {lost} | {logins} |")?;
            for latency in [row.replies, row.pushes] {
                match latency {
                    Some((half, most)) => write!(f, " {half:.1} / {most:.1} ms |")?,
                    None => f.write_str(" – |")?,
                }
            }
            writeln!(f, " {} MiB |", row.memory >> 20)?;
        }
        Ok(())
    }
}
