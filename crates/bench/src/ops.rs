//! The calls of the server API and the metrics that a run needs. Each call blocks.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::error::BenchError;
use rosterd_client::{Backend, BackendError};
use rosterd_protocol::v1::GetSchemaReply;

/// How long the first call may take, and any later one, which may have much to do.
const FIRST: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to the ops listener.
#[derive(Debug)]
pub struct OpsConnection {
    runtime: Runtime,
    backend: Backend,
}

impl OpsConnection {
    /// Connects, and checks that a gateway answers.
    ///
    /// # Errors
    /// No connection can be opened, or the peer is not a gateway.
    pub fn connect(address: SocketAddr, key: &str) -> Result<Self, BenchError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(BenchError::of)?;
        let backend = runtime.block_on(Backend::connect(address, key)).map_err(BenchError::of)?;
        let mut ops = Self { runtime, backend };
        let first = ops.backend.send(Method::GET, "/metrics", String::new());
        let (status, metrics) = wait(&ops.runtime, FIRST, first)?;
        if status != 200 || !metrics.contains("rosterd_sessions ") {
            return Err(BenchError(format!("what listens on {address} is not the ops listener of a gateway")));
        }
        Ok(ops)
    }

    fn get(&mut self, path: &str) -> Result<(u16, String), BenchError> {
        let answer = self.backend.send(Method::GET, path, String::new());
        wait(&self.runtime, PATIENCE, answer)
    }

    /// Reads the metrics.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub fn metrics(&mut self) -> Result<Readings, BenchError> {
        self.get("/metrics").map(|(_, text)| Readings(text))
    }

    /// Returns the own fields of the deployment; none of a gateway that cannot say.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub fn schema(&mut self) -> Result<GetSchemaReply, BenchError> {
        let (_, text) = self.get("/v1/schema")?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Imports lines in the form that `rosterd import` takes.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn import(&mut self, lines: &str) -> Result<(), BenchError> {
        let answer = self.backend.request(Method::POST, "/v1/import", lines.to_owned());
        wait(&self.runtime, PATIENCE, answer).map(drop)
    }

    /// Returns whether two accounts exist and are friends.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn are_friends(&mut self, account: &str, peer: &str) -> Result<bool, BenchError> {
        let (status, text) = self.get(&format!("/v1/users/{account}/export"))?;
        Ok(status == 200 && text.contains(&format!("\"account\":\"{peer}\"")))
    }

    /// Deletes an account, if it exists.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn delete(&mut self, account: &str) -> Result<(), BenchError> {
        let path = format!("/v1/users/{account}");
        let (status, text) = wait(&self.runtime, PATIENCE, self.backend.send(Method::DELETE, &path, String::new()))?;
        if (200..300).contains(&status) || status == 404 {
            return Ok(());
        }
        Err(BenchError(format!("{account} could not be deleted: {text}")))
    }
}

fn wait<T>(
    runtime: &Runtime,
    patience: Duration,
    answer: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BenchError> {
    let answered = runtime.block_on(async { timeout(patience, answer).await });
    let late = |_| BenchError(format!("the ops listener did not answer within {} s", patience.as_secs()));
    answered.map_err(late)?.map_err(BenchError::of)
}

/// The text of `/metrics`.
#[derive(Debug)]
pub struct Readings(String);

impl Readings {
    /// Returns the value of a metric, summed over its labels; none if there is no such metric.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values: Vec<f64> =
            self.0.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Returns the buckets of a histogram without other labels: each upper bound, and how many values are not above it.
    #[must_use]
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let bucket = |line: &str| {
            let rest = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?;
            let (bound, rest) = rest.split_once('"')?;
            Some((bound.parse().ok()?, rest.rsplit(' ').next()?.parse().ok()?))
        };
        self.0.lines().filter_map(bucket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_by_its_buckets() {
        let text = "a_bucket{le=\"0.5\"} 2\na_bucket{le=\"+Inf\"} 3\na_sum 4\nab_bucket{le=\"1.0\"} 9\n";
        let buckets = Readings(text.to_owned()).buckets("a");
        assert_eq!(buckets, [(0.5, 2.0), (f64::INFINITY, 3.0)]);
    }

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_taken_for_one_with_a_longer_name() {
        let text = "# TYPE a counter\na_total{kind=\"x\"} 2\na_total{kind=\"y\"} 3.5\na_total_more 9\nb 1\n";
        let readings = Readings(text.to_owned());
        assert_eq!((readings.value("a_total"), readings.value("b"), readings.value("a")), (Some(5.5), Some(1.0), None));
    }
}
