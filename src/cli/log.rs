//! Writes the log without waiting for whoever reads it.
//!
//! A reader that stands still would otherwise stop the gateway as soon as the pipe to it is full. Lines wait in a queue
//! for a thread that writes them; a line that finds no room there is left out, and counted.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, reload};

use super::CliError;
use crate::admission::{Rate, RateLimit};
use crate::app::{PreparedChange, ReloadablePart};
use crate::config::{LogConfig, LogFormat};
use crate::metrics::{Kind, Metrics};

/// How many lines may wait to be written.
const QUEUE: usize = 1024;
/// How many lines of one kind are written: so many a second, and so many at once.
const RATE: Rate = Rate { per_second: 10, burst: 100 };
/// How long the end waits for the lines that are not written yet.
const FLUSH: Duration = Duration::from_millis(500);

/// The other crates that a gateway's modules are in.
const CRATES: [&str; 2] = ["rosterd_gateway", "rosterd_service"];

/// The running log.
pub(super) struct RunningLog {
    writer: WorkerGuard,
    /// The lines that found no room in the queue.
    unread: ErrorCounter,
    /// The lines that came too fast.
    too_fast: Arc<AtomicU64>,
    /// What is in the metrics of both.
    counted: (u64, u64),
}

/// Starts logging, and returns the part of a reload that exchanges the level.
pub(super) fn start(log: &LogConfig) -> Result<(RunningLog, ReloadablePart), CliError> {
    let (filter, handle) = reload::Layer::new(targets(&log.level).map_err(CliError)?);
    // Standard output is for the answers of commands.
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUE).thread_name("rosterd-log");
    let (lines, writer) = queue.finish(std::io::stderr());
    let (unread, limit) = (lines.error_counter(), LineRate::new());
    let running = RunningLog { writer, unread, too_fast: limit.too_fast.clone(), counted: (0, 0) };
    let lines = fmt::layer().with_writer(lines).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter).with(limit);
    let colors = std::io::stderr().is_terminal() && may_have_colors(std::env::var_os("NO_COLOR"));
    let begun = match log.format {
        LogFormat::Json => registry.with(lines.json()).try_init(),
        LogFormat::Text => registry.with(lines.with_ansi(colors)).try_init(),
    };
    begun.map_err(CliError::of)?;
    // The hook of the standard library writes to standard error itself, and waits for it.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a defect of rosterd; please report it")));
    let part = ReloadablePart::new(&["log.level"], move |config| {
        let (filter, handle) = (targets(&config.log.level)?, handle.clone());
        Ok(PreparedChange::live(move || drop(handle.reload(filter))))
    });
    Ok((running, part))
}

/// Reports whether lines on a terminal may have colors, by the variable of <https://no-color.org>.
fn may_have_colors(no_color: Option<OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty())
}

/// Reads the levels. `rosterd::store` means that module whichever crate has it.
fn targets(level: &str) -> Result<Targets, String> {
    let targets: Targets = level.parse().map_err(|error| format!("log.level: {error}"))?;
    let modules =
        targets.iter().filter_map(|(target, level)| Some((target.strip_prefix("rosterd::")?.to_owned(), level)));
    let elsewhere: Vec<_> =
        modules.flat_map(|(module, level)| CRATES.map(|name| (format!("{name}::{module}"), level))).collect();
    // Of the connection to NATS we log what matters, once; its library logs each message that somebody floods it with.
    let is_named = targets.iter().any(|(target, _)| target.starts_with("async_nats"));
    let targets = if is_named { targets } else { targets.with_target("async_nats", LevelFilter::OFF) };
    Ok(targets.with_targets(elsewhere))
}

impl RunningLog {
    /// Counts the lines that were left out since the last call, and logs how many came too fast.
    pub(super) fn report(&mut self, metrics: &Metrics) {
        let now = (self.unread.dropped_lines() as u64, self.too_fast.load(Ordering::Relaxed));
        let (unread, too_fast) = (now.0 - self.counted.0, now.1 - self.counted.1);
        self.counted = now;
        metrics.log_dropped.get_or_create(&Kind { kind: "UNREAD" }).inc_by(unread);
        metrics.log_dropped.get_or_create(&Kind { kind: "TOO_FAST" }).inc_by(too_fast);
        if too_fast > 0 {
            tracing::warn!(lines = too_fast, "lines of a kind that came too fast were left out of the log");
        }
    }

    /// Writes the lines that wait, as far as their reader takes them soon.
    pub(super) fn finish(self) {
        let (finished, waiting) = mpsc::channel::<()>();
        // On a thread of its own, because it waits for the reader.
        thread::spawn(move || {
            drop(self.writer);
            drop(finished);
        });
        let _ = waiting.recv_timeout(FLUSH);
    }
}

/// Leaves out lines that come faster than their kind may: whatever clients can cause fills no disk. Lines of the levels
/// debug and trace are there because an operator wants all of them.
struct LineRate {
    limits: Mutex<HashMap<Identifier, RateLimit>>,
    started: Instant,
    too_fast: Arc<AtomicU64>,
}

impl LineRate {
    fn new() -> Self {
        Self { limits: Mutex::default(), started: Instant::now(), too_fast: Arc::default() }
    }

    fn admits(&self, kind: Identifier, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let admitted = self.limits.lock().entry(kind).or_default().admit(RATE, now).is_ok();
        if !admitted {
            self.too_fast.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

impl<S: Subscriber> Layer<S> for LineRate {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // One kind is one place in the code. What operators did is for the record, and no client causes it.
        *metadata.level() > Level::INFO
            || metadata.target() == "audit"
            || self.admits(metadata.callsite(), self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the lines that reach it.
    #[derive(Clone, Default)]
    struct LineCount(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for LineCount {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_color_counts_unless_it_is_empty() {
        assert!(may_have_colors(None) && may_have_colors(Some("".into())));
        assert!(!may_have_colors(Some("1".into())) && !may_have_colors(Some("0".into())));
    }

    #[test]
    fn a_module_is_named_without_its_crate() {
        let targets = targets("warn,rosterd::store=debug,rosterd::api=error").unwrap();
        let at = |target, level| targets.would_enable(target, &level);
        assert!(at("rosterd_service::store::sqlite", Level::DEBUG) && !at("rosterd_service::hub", Level::INFO));
        assert!(at("rosterd_gateway::session", Level::WARN) && !at("rosterd::api::health", Level::WARN));
    }

    #[test]
    fn lines_of_one_kind_that_come_too_fast_are_left_out_and_counted_and_others_are_not() {
        let (limit, lines) = (LineRate::new(), LineCount::default());
        let too_fast = limit.too_fast.clone();
        let begun = Instant::now();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(limit).with(lines.clone()), || {
            for number in 0..5000 {
                tracing::warn!(number, "a client causes this");
                tracing::debug!(number, "an operator wants to see this");
                tracing::info!(target: "audit", number, "an operator did this");
            }
            tracing::error!("something else");
        });
        let (written, left_out) = (lines.0.load(Ordering::Relaxed), too_fast.load(Ordering::Relaxed));
        assert_eq!(written + left_out, 15_001);
        let admitted = written - 10_001;
        let most = 100 + 10 * (begun.elapsed().as_secs() + 1);
        assert!((100..=most).contains(&admitted), "{admitted} lines");
    }
}
