//! What came of writing for a while.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;

/// How many writes of a node wait at any time, where all write as fast as they can.
pub(crate) const WAITING: usize = 500;

/// What writers in this process measured, in microseconds.
pub(crate) struct Written {
    /// From when an update was due to its answer.
    pub(crate) latency: Histogram<u64>,
    /// From its commit until another node had it; empty where that was not measured.
    pub(crate) lag: Histogram<u64>,
    pub(crate) seconds: f64,
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// The median and the 99th percentile, in microseconds.
pub(crate) type Percentiles = [f64; 2];

/// A line of the table of writes.
pub(crate) struct WriteLine {
    pub(crate) load: String,
    /// What writes.
    pub(crate) what: &'static str,
    pub(crate) nodes: usize,
    pub(crate) per_second: f64,
    pub(crate) answer: Percentiles,
    /// From the answer until another node, or a client there, had the change.
    pub(crate) elsewhere: Option<Percentiles>,
    /// How many cores the gateways and the generator kept busy.
    pub(crate) cores: Option<[f64; 2]>,
}

impl WriteLine {
    pub(crate) const HEAD: &str = "\
| load | what | nodes | updates/s | answer p50 / p99 in ms | change at another p50 / p99 in ms | cores: gateways / generator |
|---|---|---|---|---|---|---|
";

    pub(crate) fn of_written(load: &str, what: &'static str, nodes: usize, written: &Written) -> Self {
        let percentiles = |times: &Histogram<u64>| [0.5, 0.99].map(|quantile| times.value_at_quantile(quantile) as f64);
        Self {
            load: load.to_owned(),
            what,
            nodes,
            per_second: written.latency.len() as f64 / written.seconds,
            answer: percentiles(&written.latency),
            elsewhere: (!written.lag.is_empty()).then(|| percentiles(&written.lag)),
            cores: None,
        }
    }

    /// Of a row that `rosterd bench` printed, by the keys of its answers and of what it says about other gateways.
    pub(crate) fn of_row(
        load: &str,
        what: &'static str,
        nodes: usize,
        per_second: f64,
        row: &Value,
        keys: [[&str; 2]; 2],
    ) -> Option<Self> {
        let both = |keys: [&str; 2]| Some([row[keys[0]].as_f64()?, row[keys[1]].as_f64()?]);
        Some(Self {
            load: load.to_owned(),
            what,
            nodes,
            per_second,
            answer: both(keys[0])?,
            elsewhere: both(keys[1]),
            cores: both(["server_cores", "generator_cores"]),
        })
    }

    pub(crate) fn text(&self) -> String {
        let Self { load, what, nodes, per_second, answer, elsewhere, cores } = self;
        let ms = |[p50, p99]: Percentiles| format!("{:.1} / {:.1}", p50 / 1000.0, p99 / 1000.0);
        let elsewhere = elsewhere.map_or("–".to_owned(), ms);
        let cores = cores.map_or("–".to_owned(), |[gateways, generator]| format!("{gateways:.2} / {generator:.2}"));
        format!("| {load} | {what} | {nodes} | {per_second:.0} | {} | {elsewhere} | {cores} |\n", ms(*answer))
    }
}
