//! `celebrity`: one user with very many friends online, who changes now and then.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::run::{Run, cost};

/// The pause between two changes.
const PAUSE: Duration = Duration::from_millis(200);

/// Logs everyone in; then changes, one by one, each until the last friend has it.
///
/// # Errors
/// The run could not finish.
pub(super) fn celebrity(run: &mut Run, updates: u32) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    run.log_in(0..users, parallel, "logging in")?;
    run.quiet(Duration::from_secs(1))?;
    // The first one finds cold caches.
    one(run)?;
    run.start_measuring(PAUSE * updates);
    let before = run.gauge.read()?;
    let changed = (0..updates).try_for_each(|_| one(run));
    let after = run.gauge.read();
    run.crowd.tally.timeline.stop();
    let mut row = MeasuredRow::new(format!("{updates} changes"));
    let delivered = run.crowd.ledger.counts().delivered;
    if let Ok(after) = &after {
        cost(&mut row, &after.since(&before), delivered, ["server_us_per_delivery", "generator_us_per_delivery"]);
    }
    row.count("deliveries", "deliveries", delivered);
    #[allow(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
    let middle = |times: &hdrhistogram::Histogram<u64>| times.value_at_quantile(0.5) as f64;
    row.add("first_p50_us", "first friend", middle(&run.crowd.tally.firsts), Unit::Micros);
    row.add("last_p50_us", "last friend", middle(&run.crowd.tally.lasts), Unit::Micros);
    row.percentiles(&run.crowd.tally.latencies);
    run.audit(&mut row);
    row.timeline = std::mem::take(&mut run.crowd.tally.timeline);
    run.outcome.rows.push(row);
    changed?;
    after.map(drop)
}

/// Makes one change, waits until everyone has it, and pauses.
fn one(run: &mut Run) -> Result<(), BenchError> {
    let due = run.crowd.now();
    run.crowd.update(0, due);
    run.settle()?;
    run.quiet(PAUSE)
}
