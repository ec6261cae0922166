//! `failover`: one of several gateways dies, and its clients come back to the others.

use std::time::Duration;

use crate::error::BenchError;
use crate::outcome::{MeasuredRow, Unit};
use crate::returns::Returns;
use crate::run::Run;

/// How many users write once while those of the dead gateway are away.
const WRITERS: usize = 200;
/// How long nobody may come back while some are away.
const STUCK: Duration = Duration::from_secs(30);
/// The longest wait in one round of the loop.
const ROUND: Duration = Duration::from_millis(5);

/// Logs everyone in, waits until somebody kills a gateway, and measures how its clients come back: each as the clients of
/// rosterd do, after a random wait, at one of the other gateways. Then looks for `rest` what friends are told.
///
/// # Errors
/// The run could not finish: no gateway ended within `patience`, or somebody did not come back.
pub(super) fn failover(run: &mut Run, patience: Duration, rest: Duration) -> Result<(), BenchError> {
    let (users, parallel) = (run.world.graph.users(), run.parallel);
    run.crowd.returns = Some(Returns::default());
    run.log_in(0..users, parallel, "logging in")?;
    let gateway = until_one_ends(run, patience)?;
    // It has them all still but those that have noticed.
    let lost = run.crowd.at_gateway(gateway) + noticed(run);
    run.start_measuring(rest);
    write_meanwhile(run, gateway);
    let returned = all_return(run, lost);
    let settled = returned.and_then(|()| run.settle()).and_then(|()| run.rest(rest, "looking"));
    report(run);
    settled
}

fn noticed(run: &Run) -> u32 {
    run.crowd.returns.as_ref().map_or(0, |returns| returns.lost)
}

/// Serves the sessions until the first is lost, and returns which gateway it was at.
fn until_one_ends(run: &mut Run, patience: Duration) -> Result<usize, BenchError> {
    let begun = run.crowd.now();
    loop {
        run.crowd.turn(ROUND).map_err(BenchError::of)?;
        if let Some(gateway) = run.crowd.returns.as_ref().and_then(|returns| returns.gateway) {
            return Ok(gateway);
        }
        if run.crowd.now() - begun > patience.as_nanos() as u64 {
            return Err(BenchError(format!("no gateway ended within {} s: kill one", patience.as_secs_f64())));
        }
    }
}

/// Has some of the others write, so that those who are away miss something.
fn write_meanwhile(run: &mut Run, gateway: usize) {
    let crowd = &run.crowd;
    let others = (0..run.world.graph.users()).filter(|who| crowd.is_active(*who) && crowd.gateway_of(*who) != gateway);
    let writers: Vec<_> = others.take(WRITERS).collect();
    for who in writers {
        let due = run.crowd.now();
        run.crowd.update(who, due);
    }
}

fn all_return(run: &mut Run, lost: u32) -> Result<(), BenchError> {
    let (mut seen, mut seen_at) = (0, run.crowd.now());
    loop {
        run.crowd.come_back();
        let now = run.crowd.now();
        let Some(returns) = &run.crowd.returns else { return Ok(()) };
        if returns.back >= lost {
            return run.check();
        }
        if returns.back != seen {
            (seen, seen_at) = (returns.back, now);
        } else if now - seen_at > STUCK.as_nanos() as u64 {
            let first = run.crowd.trouble.first().unwrap_or("nothing was heard of them");
            return Err(BenchError(format!("{} of {lost} sessions did not come back: {first}", lost - seen)));
        }
        let wait = returns.until_next(now).map_or(ROUND, Duration::from_nanos);
        run.crowd.turn(wait.min(ROUND)).map_err(BenchError::of)?;
        run.check()?;
    }
}

fn report(run: &mut Run) {
    let Some(returns) = run.crowd.returns.take() else { return };
    let mut row = MeasuredRow::new("a gateway died");
    let after = |at: u64| Duration::from_nanos(at.saturating_sub(returns.since)).as_secs_f64();
    row.count("sessions", "sessions lost", returns.lost.into());
    row.count("back", "back", returns.back.into());
    row.add("seconds", "all in sync again after", after(returns.last_back), Unit::Seconds);
    row.add("last_attempt_seconds", "the last attempt began after", after(returns.last_attempt), Unit::Seconds);
    row.count("attempts", "attempts", returns.attempts);
    row.count("full_syncs", "full syncs", returns.full_syncs);
    row.count("offline", "friends shown offline", returns.offline);
    row.percentiles(&returns.times);
    run.audit(&mut row);
    run.outcome.rows.push(row);
}
