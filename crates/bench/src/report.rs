//! A run as one self-contained HTML page: the figures, and plots of how they came about. Pure.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::outcome::{BenchOutcome, MeasuredRow, Verdict, shown};
use super::plot::{Axis, Chart, PlotLine};

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}\
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;margin:.5em 0}\
.passed{color:#060}.FAILED,.PARTIAL{color:#a00}";

/// Makes the page.
#[must_use]
pub fn html(outcome: &BenchOutcome) -> String {
    let verdict = outcome.verdict();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>rosterd bench {0}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{0} <span class=\"{1}\">{1}</span></h1>\n",
        outcome.scenario,
        verdict.word()
    );
    if verdict == Verdict::Partial {
        page.push_str("<p>The run ended before its end: these figures are of what there was.</p>\n");
    }
    for problem in &outcome.problems {
        let _ = writeln!(page, "<p class=\"{}\">{}</p>", verdict.word(), escaped(problem));
    }
    page.push_str("<table>\n");
    for (name, value) in &outcome.setup {
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
    }
    page.push_str("</table>\n");
    figures(outcome, &mut page);
    for chart in charts(outcome) {
        page.push_str(&chart.svg());
    }
    page.push_str("</body></html>\n");
    page
}

fn figures(outcome: &BenchOutcome, page: &mut String) {
    page.push_str("<table>\n<tr><th></th>");
    for row in &outcome.rows {
        let _ = write!(page, "<th>{}</th>", escaped(&row.name));
    }
    page.push_str("</tr>\n");
    for label in outcome.labels() {
        let _ = write!(page, "<tr><td>{}</td>", escaped(label));
        for row in &outcome.rows {
            let figure = row.figures.iter().find(|figure| figure.label == label);
            let cell = figure.map_or("–".to_owned(), |figure| shown(figure.value, figure.unit));
            let _ = write!(page, "<td>{cell}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

/// Draws the charts that have data.
fn charts(outcome: &BenchOutcome) -> Vec<Chart> {
    let lines = |of: &dyn Fn(&MeasuredRow) -> Vec<(f64, f64)>| -> Vec<PlotLine> {
        let lines = outcome.rows.iter().map(|row| PlotLine { name: row.name.clone(), points: of(row) });
        lines.filter(|line| line.points.len() > 1).collect()
    };
    let percentiles = (0..5).map(|nines| 10f64.powi(nines));
    let percentiles = percentiles.zip(["all", "90 %", "99 %", "99.9 %", "99.99 %"].map(str::to_owned)).skip(1);
    let mut by_share = Axis::new("share of deliveries or logins that took no longer", true);
    by_share.marks = std::iter::once((2.0, "50 %".to_owned())).chain(percentiles).collect();
    let milliseconds = || Axis::new("milliseconds", true);
    let seconds = || Axis::new("seconds", false);
    let charts = [
        Chart { title: "Latency".to_owned(), x: by_share, y: milliseconds(), lines: lines(&latency) },
        Chart {
            title: "Throughput".to_owned(),
            x: seconds(),
            y: Axis::new("each second", false),
            lines: lines(&throughput),
        },
        Chart {
            title: "Latency over time: 99 % within".to_owned(),
            x: seconds(),
            y: milliseconds(),
            lines: lines(&latency_over_time),
        },
    ];
    charts.into_iter().filter(|chart| !chart.lines.is_empty()).collect()
}

/// Converts a percentile to its place on the axis: 10 stands for 90 %, 100 for 99 %.
fn latency(row: &MeasuredRow) -> Vec<(f64, f64)> {
    let Some(latencies) = row.latencies.as_ref().filter(|latencies| !latencies.is_empty()) else { return Vec::new() };
    let most = latencies.len().clamp(10, 10_000);
    let steps = (0..=100).map(|step| 2f64 * (count(most) / 2.0).powf(f64::from(step) / 100.0));
    steps.map(|to_one| (to_one, milliseconds(latencies, 1.0 - 1.0 / to_one))).collect()
}

fn throughput(row: &MeasuredRow) -> Vec<(f64, f64)> {
    let length = row.timeline.seconds();
    let each = (0u32..).zip(&row.timeline.stretches);
    each.map(|(at, stretch)| (f64::from(at) * length, count(stretch.count) / length)).collect()
}

fn latency_over_time(row: &MeasuredRow) -> Vec<(f64, f64)> {
    let each = (0u32..).zip(&row.timeline.stretches).filter(|(_, stretch)| stretch.count > 0);
    let points =
        each.map(|(at, stretch)| (f64::from(at) * row.timeline.seconds(), milliseconds(&stretch.latencies, 0.99)));
    points.collect()
}

fn milliseconds<C: hdrhistogram::Counter>(latencies: &Histogram<C>, quantile: f64) -> f64 {
    count(latencies.value_at_quantile(quantile)) / 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "counts and microseconds of a run are far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Timeline, histogram, record};

    fn outcome() -> BenchOutcome {
        let (mut latencies, mut timeline) = (histogram(), Timeline::start(0, 1_000_000));
        for n in 1..1000 {
            record(&mut latencies, n * 1000);
            timeline.count(n * 10_000, n * 1000);
        }
        let mut row = MeasuredRow { timeline, ..MeasuredRow::new("512 <outstanding>") };
        row.percentiles(&latencies);
        BenchOutcome {
            rows: vec![row],
            problems: vec!["1 & 2 were lost".to_owned()],
            ..BenchOutcome::new("fanout", Vec::new())
        }
    }

    #[test]
    fn the_page_has_figures_and_plots_and_needs_nothing_from_outside() {
        let page = html(&outcome());
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("512 &lt;outstanding&gt;") && page.contains("1 &amp; 2 were lost"));
        assert!(page.contains("FAILED") && page.contains("half within"));
        for outside in ["<script", "<link", "src=", "href=", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn a_run_without_latencies_has_a_page_without_plots() {
        let page = html(&BenchOutcome { rows: vec![MeasuredRow::new("idle")], cut_short: true, ..outcome() });
        assert!(page.contains("PARTIAL") && page.contains("of what there was") && !page.contains("<svg"));
    }
}
