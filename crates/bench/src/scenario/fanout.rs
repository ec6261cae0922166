//! `fanout`: everyone is online, users change their profiles, and each change goes to all of a user's friends.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::run::{Load, Run, cost, resident};

/// Logs everyone in, warms up, and measures `seconds` of the load.
///
/// # Errors
/// The run could not finish.
pub(super) fn fanout(run: &mut Run, load: Load, warm_up: Duration, length: Duration) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    run.log_in(0..users, parallel, "logging in")?;
    run.quiet(Duration::from_secs(1))?;
    let (begun, mut sent) = (run.crowd.now(), 0);
    run.drive(load, begun, &mut sent, begun + warm_up.as_nanos() as u64, "warming up")?;
    run.start_measuring(length);
    let before = run.gauge.read()?;
    let until = run.crowd.now() + length.as_nanos() as u64;
    let driven = run.drive(load, begun, &mut sent, until, "measuring");
    let after = run.gauge.read();
    let (counts, bytes) = (run.crowd.ledger.counts(), run.crowd.tally.bytes);
    run.crowd.tally.timeline.stop();
    // Updates still under way count for latency and losses, not for the CPU.
    let settled = driven.and_then(|()| run.settle());
    let mut row = MeasuredRow::new(load.to_string());
    if let Ok(after) = &after {
        let span = after.since(&before);
        per_delivery(&mut row, counts.delivered, bytes, span.wall);
        cost(&mut row, &span, counts.delivered, ["server_us_per_delivery", "generator_us_per_delivery"]);
        resident(&mut row, after);
    }
    row.count("updates", "updates sent", counts.sent);
    row.percentiles(&run.crowd.tally.latencies);
    let tally = &run.crowd.tally;
    let replied = [("reply_p50_us", "half answered within"), ("reply_p99_us", "99 % answered within")];
    row.median_and_p99(replied, &tally.replies);
    if !tally.elsewhere.is_empty() {
        let there = [("elsewhere_p50_us", "half at other gateways within"), ("elsewhere_p99_us", "99 % there within")];
        row.median_and_p99(there, &tally.elsewhere);
        let behind =
            [("behind_p50_us", "half there, after the answer"), ("behind_p99_us", "99 % there, after the answer")];
        row.median_and_p99(behind, &tally.after_reply);
    }
    run.audit(&mut row);
    row.timeline = std::mem::take(&mut run.crowd.tally.timeline);
    run.outcome.rows.push(row);
    settled?;
    after.map(drop)
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn per_delivery(row: &mut MeasuredRow, delivered: u64, bytes: u64, wall: Duration) {
    row.add("deliveries_per_second", "deliveries", delivered as f64 / wall.as_secs_f64(), Unit::PerSecond);
    row.add("bytes_per_delivery", "bytes for each", bytes as f64 / delivered.max(1) as f64, Unit::Bytes);
}
