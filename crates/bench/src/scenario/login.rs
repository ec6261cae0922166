//! `login` and `storm`: the cost of bringing clients up to date, in order and all at once.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::run::{Run, cost};

/// One user in this many changes before a login that brings a delta.
const CHANGED: u32 = 10;
/// How long the last login may still cause work.
const AFTERMATH: Duration = Duration::from_millis(500);

/// Logs everyone in four times: for the first time ever, with nothing held, with everything held, and with something new.
///
/// # Errors
/// The run could not finish.
pub(super) fn login(run: &mut Run) -> Result<(), BenchError> {
    let parallel = run.parallel;
    // Afterwards the accounts count as online for a while, so that the later logins are announced to nobody.
    pass(run, "first", parallel)?;
    run.crowd.forget();
    pass(run, "cold", parallel)?;
    pass(run, "warm, current", parallel)?;
    if run.touch(CHANGED)? {
        pass(run, "warm, delta", parallel)?;
    }
    Ok(())
}

/// Logs everyone in, breaks every connection, and lets all come back at once with what they hold.
///
/// # Errors
/// The run could not finish.
pub(super) fn storm(run: &mut Run) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    pass(run, "before", parallel)?;
    pass(run, "storm", users)
}

/// Logs everyone in, measures it, and drops every connection.
fn pass(run: &mut Run, name: &'static str, parallel: u32) -> Result<(), BenchError> {
    let users = run.world.graph.users();
    run.start_measuring(Duration::from_secs(4));
    let before = run.gauge.read()?;
    let begun = run.crowd.now();
    let logged_in = run.log_in(0..users, parallel, name);
    let took = Duration::from_nanos(run.crowd.now() - begun);
    run.crowd.tally.timeline.stop();
    let logged_in = logged_in.and_then(|()| run.quiet(AFTERMATH));
    let mut row = MeasuredRow::new(name);
    let live = run.crowd.live();
    row.add("logins_per_second", "logins", f64::from(live) / took.as_secs_f64(), Unit::PerSecond);
    row.add("seconds", "all live after", took.as_secs_f64(), Unit::Seconds);
    if let Ok(after) = run.gauge.read() {
        cost(&mut row, &after.since(&before), live.into(), ["server_us_per_login", "generator_us_per_login"]);
    }
    #[allow(clippy::cast_precision_loss, reason = "bytes of a run are far below 2^52")]
    let bytes = run.crowd.tally.bytes as f64;
    row.add("bytes_per_login", "bytes for each", bytes / f64::from(live.max(1)), Unit::Bytes);
    row.percentiles(&run.crowd.tally.logins);
    run.audit(&mut row);
    row.timeline = std::mem::take(&mut run.crowd.tally.timeline);
    run.outcome.rows.push(row);
    logged_in?;
    run.leave()
}
