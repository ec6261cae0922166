//! Metrics of the process, under the names that Prometheus' own clients use: CPU, memory, open files.
//!
//! They are read at each scrape. A metric that the system does not provide is left out.

use std::fmt::Error;
use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Collects the metrics of this process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut encode = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn ProcessMetric| {
            metric.encode_with(&mut encoder, name, help, unit)
        };
        let cpu = ConstCounter::new(cpu().as_secs_f64());
        encode("process_cpu", "CPU time used, by user and system together", Some(&Unit::Seconds), &cpu)?;
        let maximum = getrlimit(Resource::Nofile).current;
        let gauges = [
            ("process_resident_memory", "Memory that is not swapped out", Some(Unit::Bytes), resident()),
            ("process_open_fds", "Open files, sockets included", None, open_files()),
            ("process_max_fds", "Open files there may be", None, maximum),
        ];
        for (name, help, unit, value) in gauges {
            if let Some(value) = value {
                encode(name, help, unit.as_ref(), &ConstGauge::new(value.cast_signed()))?;
            }
        }
        Ok(())
    }
}

/// A metric of either kind.
trait ProcessMetric {
    fn encode_with(&self, to: &mut DescriptorEncoder, name: &str, help: &str, unit: Option<&Unit>)
    -> Result<(), Error>;
}

impl<M: EncodeMetric> ProcessMetric for M {
    fn encode_with(
        &self,
        to: &mut DescriptorEncoder,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), Error> {
        self.encode(to.encode_descriptor(name, help, unit, self.metric_type())?)
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Returns the resident memory, in bytes.
fn resident() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn open_files() -> Option<u64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn process_metrics_have_the_usual_names() {
        let text = Metrics::default().render();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap()
        };
        assert!(value("process_cpu_seconds_total") > 0.0);
        if cfg!(target_os = "linux") {
            assert!(value("process_resident_memory_bytes") > 1e5);
            assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
        }
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "one end");
    }
}
