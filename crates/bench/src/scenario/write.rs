//! `write`: durable updates, each answered once it is on the disk.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::run::{Run, cost};

/// Runs one writer alone and then all of them; each sends its next update as soon as the last one is answered.
///
/// # Errors
/// The run could not finish.
pub(super) fn write(run: &mut Run, length: Duration) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    run.log_in(0..users, parallel, "logging in")?;
    run.quiet(Duration::from_millis(500))?;
    measure(run, 1, length, "alone")?;
    measure(run, users, length, "together")
}

fn measure(run: &mut Run, writers: u32, length: Duration, name: &'static str) -> Result<(), BenchError> {
    run.start_measuring(length);
    let before = run.gauge.read()?;
    let begun = run.crowd.now();
    let written = run.exchange(writers, begun + length.as_nanos() as u64, name);
    let took = Duration::from_nanos(run.crowd.now() - begun);
    let after = run.gauge.read();
    run.crowd.tally.timeline.stop();
    let answered = run.crowd.tally.replies.len();
    let mut row = MeasuredRow::new(format!("{writers} writer(s), {name}"));
    #[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    let rate = answered as f64 / took.as_secs_f64();
    row.add("updates_per_second", "durable updates", rate, Unit::PerSecond);
    if let Ok(after) = &after {
        cost(&mut row, &after.since(&before), answered, ["server_us_per_update", "generator_us_per_update"]);
    }
    row.percentiles(&run.crowd.tally.replies);
    // Updates under way at the end are answered before the next step.
    let settled = written.and_then(|()| run.settle());
    run.audit(&mut row);
    run.outcome.rows.push(row);
    settled?;
    after.map(drop)
}
