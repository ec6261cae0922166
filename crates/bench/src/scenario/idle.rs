//! `idle`: the cost of a session that does nothing.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::run::{Run, cost, resident};

/// Logs some in, reads the gateway's memory, logs the others in, rests, and reads again. Memory that exists
/// once (code, stacks, the store's caches) is in the first reading already.
///
/// # Errors
/// The run could not finish.
pub(super) fn idle(run: &mut Run, rest: Duration) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    let first = (users / 10).clamp(1, 1000).min(users);
    run.log_in(0..first, parallel, "logging in")?;
    run.rest(rest / 2, "resting")?;
    let before = run.gauge.read()?;
    run.log_in(first..users, parallel, "logging in")?;
    run.quiet(Duration::from_millis(500))?;
    let begun = run.gauge.read()?;
    run.rest(rest, "resting")?;
    let after = run.gauge.read()?;
    let mut row = MeasuredRow::new("idle");
    row.count("sessions", "sessions", run.crowd.live().into());
    if let Some((after, before)) = after.resident.zip(before.resident) {
        #[allow(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
        let grown = after as f64 - before as f64;
        row.add(
            "bytes_per_session",
            "gateway's memory for each",
            grown / f64::from((users - first).max(1)),
            Unit::Bytes,
        );
    }
    resident(&mut row, &after);
    cost(&mut row, &after.since(&begun), users.into(), ["server_us_per_session", "generator_us_per_session"]);
    run.audit(&mut row);
    run.outcome.rows.push(row);
    Ok(())
}
