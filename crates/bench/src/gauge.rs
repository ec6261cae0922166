//! The cost of the gateways: CPU time and resident memory of their processes, from `/proc` or their metrics, beside the
//! CPU time of this process and of the rest of the machine.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::error::BenchError;
use super::ops::OpsConnection;

/// The source of the gateways' figures.
#[derive(Debug)]
pub enum Gauge {
    /// `/proc`, of the processes with these numbers.
    Processes(Vec<u32>),
    /// The gateways' own metrics.
    Metrics(Vec<OpsConnection>),
    /// There are none.
    Blind,
}

/// The figures at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Instant,
    server: Option<Duration>,
    own: Duration,
    machine: Option<Duration>,
    /// Resident memory of the gateways, in bytes.
    pub resident: Option<u64>,
}

/// The differences between two readings.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The time between them.
    pub wall: Duration,
    /// CPU time of the gateways.
    pub server: Option<Duration>,
    /// CPU time of this process.
    pub own: Duration,
    /// CPU time of everything else on this machine; only if the gateway is on it.
    pub foreign: Option<Duration>,
}

impl Gauge {
    /// Reads all figures.
    ///
    /// # Errors
    /// The process is gone, or the gateway does not answer.
    pub fn read(&mut self) -> Result<Reading, BenchError> {
        let each: Vec<_> = match self {
            Self::Processes(pids) => pids.iter().map(|pid| read_process(*pid)).collect::<Result<_, _>>()?,
            Self::Metrics(ops) => ops.iter_mut().map(read_metrics).collect::<Result<_, _>>()?,
            Self::Blind => vec![(None, None)],
        };
        // Of all gateways, or of none.
        let server = each.iter().map(|(server, _)| *server).sum();
        let resident = each.iter().map(|(_, resident)| *resident).sum();
        Ok(Reading { at: Instant::now(), server, own: own_cpu(), machine: machine_cpu(), resident })
    }

    fn gateways(&self) -> u32 {
        match self {
            Self::Processes(pids) => pids.len() as u32,
            Self::Metrics(ops) => ops.len() as u32,
            Self::Blind => 0,
        }
    }

    /// Waits until the gateways are almost idle, at most `most`.
    ///
    /// # Errors
    /// See [`Gauge::read`].
    pub fn settle(&mut self, most: Duration) -> Result<(), BenchError> {
        const STEP: Duration = Duration::from_millis(200);
        let begun = Instant::now();
        let mut before = self.read()?;
        while begun.elapsed() < most {
            std::thread::sleep(STEP);
            let now = self.read()?;
            match now.since(&before).server {
                // Each of several has the others to look at.
                Some(cpu) if cpu > STEP * self.gateways() / 20 => before = now,
                _ => break,
            }
        }
        Ok(())
    }
}

impl Reading {
    /// Computes the differences since an earlier reading.
    #[must_use]
    pub fn since(&self, before: &Self) -> Span {
        let server = self.server.zip(before.server).map(|(now, then)| now.saturating_sub(then));
        let own = self.own.saturating_sub(before.own);
        let machine = self.machine.zip(before.machine).map(|(now, then)| now.saturating_sub(then));
        let foreign = machine.zip(server).map(|(all, server)| all.saturating_sub(server + own));
        Span { wall: self.at.duration_since(before.at), server, own, foreign }
    }
}

/// CPU time and resident memory, as far as they are known.
type Cost = (Option<Duration>, Option<u64>);

fn read_process(pid: u32) -> Result<Cost, BenchError> {
    Ok((Some(process_cpu(pid)?), Some(process_resident(pid)?)))
}

fn read_metrics(ops: &mut OpsConnection) -> Result<Cost, BenchError> {
    let readings = ops.metrics()?;
    let cpu = readings.value("process_cpu_seconds_total");
    #[allow(clippy::cast_sign_loss, reason = "a number of bytes")]
    let resident = readings.value("process_resident_memory_bytes").map(|bytes| bytes as u64);
    Ok((cpu.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()), resident))
}

/// Reads the CPU time of all live threads, in nanoseconds as the scheduler counts them; otherwise of the process, in ticks.
fn process_cpu(pid: u32) -> Result<Duration, BenchError> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.map_err(|error| BenchError(format!("process {pid} cannot be looked at: {error}")))?;
    let of = |task: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let nanoseconds: u64 = tasks.filter_map(of).sum();
    if nanoseconds > 0 {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(BenchError::of)?;
    let ticks = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

fn process_resident(pid: u32) -> Result<u64, BenchError> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"));
    let text = text.map_err(|error| BenchError(format!("process {pid} cannot be looked at: {error}")))?;
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    Ok(pages * rustix::param::page_size() as u64)
}

fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Reads the busy time of all cores.
fn machine_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, irq, softirq, ..] = fields[..] else { return None };
    let ticks = user + nice + system + irq + softirq;
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// Describes the machine in one line: processor, cores, kernel.
#[must_use]
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1)).unwrap_or("?").trim();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{model}, {cores} core(s) for the generator, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_burns_is_seen_by_its_number_and_by_its_own_clock() {
        let mut gauge = Gauge::Processes(vec![std::process::id()]);
        let before = gauge.read().unwrap();
        let mut burnt = 0u64;
        // The system counts a process's time in ticks, and gives some of it to others where many want a core.
        let span = loop {
            let span = gauge.read().unwrap().since(&before);
            if span.server.unwrap() >= Duration::from_millis(100) || span.own > Duration::from_secs(10) {
                break span;
            }
            for _ in 0..1_000_000 {
                burnt = std::hint::black_box(burnt.wrapping_mul(31).wrapping_add(1));
            }
        };
        assert!(span.own >= Duration::from_millis(20), "{span:?}");
        assert!(span.server.unwrap() >= Duration::from_millis(100), "{span:?}");
        assert!(before.resident.unwrap() > 100_000);
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        let BenchError(why) = Gauge::Processes(vec![std::process::id(), u32::MAX - 1]).read().unwrap_err();
        assert!(why.contains("cannot be looked at"), "{why}");
    }
}
