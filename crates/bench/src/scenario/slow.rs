//! `slow`: some clients stop reading under load, and later go on.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::run::{Load, Run, cost, resident};

/// Measures the load with everyone reading, then while the last `stalled` users do not, then lets them read and waits
/// until they have everything.
///
/// # Errors
/// The run could not finish, for example because a session was ended for being slow.
pub(super) fn slow(
    run: &mut Run,
    rate: f64,
    stalled: u32,
    length: Duration,
    stall: Duration,
) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    let slow = users - stalled.min(users)..users;
    run.crowd.slow_from = slow.start;
    run.log_in(0..users, parallel, "logging in")?;
    run.quiet(Duration::from_secs(1))?;
    under_load(run, rate, length, "all read", None)?;
    for who in slow.clone() {
        run.crowd.ledger.set_awaited(who, false);
        run.crowd.stall(who, true).map_err(BenchError::of)?;
    }
    under_load(run, rate, stall, "some do not read", Some(slow.clone()))?;
    let begun = run.crowd.now();
    for who in slow {
        run.crowd.ledger.set_awaited(who, true);
        run.crowd.stall(who, false).map_err(BenchError::of)?;
    }
    converge(run, begun)
}

/// Drives the load, and reports its cost and how memory grew. It ends when all receivers that it waits for have all.
fn under_load(
    run: &mut Run,
    rate: f64,
    length: Duration,
    name: &'static str,
    slow: Option<std::ops::Range<u32>>,
) -> Result<(), BenchError> {
    run.start_measuring(length);
    let before = run.gauge.read()?;
    let (begun, mut sent) = (run.crowd.now(), 0);
    let driven = run.drive(Load::Rate(rate), begun, &mut sent, begun + length.as_nanos() as u64, name);
    let after = run.gauge.read();
    run.crowd.tally.timeline.stop();
    let settled = driven.and_then(|()| run.settle());
    let counts = run.crowd.ledger.counts();
    let mut row = MeasuredRow::new(name);
    row.count("sessions", "sessions", run.crowd.live().into());
    if let Ok(after) = &after {
        cost(
            &mut row,
            &after.since(&before),
            counts.delivered,
            ["server_us_per_delivery", "generator_us_per_delivery"],
        );
        resident(&mut row, after);
    }
    #[allow(clippy::cast_precision_loss, reason = "bytes and counts of a run are far below 2^52")]
    if let (Some(slow), Ok(after)) = (slow, &after)
        && let Some((after, before)) = after.resident.zip(before.resident)
    {
        let pending: u64 = slow.map(|who| run.crowd.ledger.pending(who)).sum();
        row.count("owed", "records owed to them", pending);
        let each = (after as f64 - before as f64) / pending.max(1) as f64;
        row.add("bytes_per_owed", "memory for each owed", each, Unit::Bytes);
    }
    row.count("updates", "updates sent", counts.sent);
    row.percentiles(&run.crowd.tally.latencies);
    row.timeline = std::mem::take(&mut run.crowd.tally.timeline);
    run.outcome.rows.push(row);
    settled?;
    after.map(drop)
}

/// Waits until nothing is pending for anyone.
fn converge(run: &mut Run, begun: u64) -> Result<(), BenchError> {
    const MOST: Duration = Duration::from_secs(30);
    run.start_measuring(MOST);
    let mut converged = run.check();
    while converged.is_ok() && run.crowd.ledger.missing() > 0 && run.crowd.now() - begun < MOST.as_nanos() as u64 {
        converged = run.rest(Duration::from_millis(50), "converging");
    }
    let mut row = MeasuredRow::new("all read again");
    row.count("sessions", "sessions", run.crowd.live().into());
    row.add(
        "seconds",
        "everyone has everything after",
        Duration::from_nanos(run.crowd.now() - begun).as_secs_f64(),
        Unit::Seconds,
    );
    if let Ok(reading) = run.gauge.read() {
        resident(&mut row, &reading);
    }
    run.audit(&mut row);
    run.outcome.rows.push(row);
    converged
}
