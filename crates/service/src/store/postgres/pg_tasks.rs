//! What the writer does besides writes, in the statements of PostgreSQL.

use parking_lot::Mutex;

use super::database::{Standing, TaskDone};
use super::messages::StoreTask;
use super::pg_error::PgResult;
use super::rows::change_log::{self, PgScrubPass};
use super::rows::values::int;
use super::rows::{audit, delivery, nodes, rules, tombstones};
use super::session::{Call, PgSession, call};
use crate::store::COMPACTION_LIMIT;
use rosterd_engine::model::Millis;

/// Lets a commit return before the disk has it: what a crash of the machine undoes is done again.
pub(super) const SOON: &str = "SET LOCAL synchronous_commit = off";

/// Does it in the transaction that has begun, or in one of its own if there is no standing, and commits. `scrubbing` is the
/// pass over the change log under way.
pub(super) async fn carry_out(
    (session, scrubbing): (&PgSession, &Mutex<Option<PgScrubPass>>),
    task: StoreTask,
    standing: Option<Standing>,
    is_shared: bool,
) -> PgResult<TaskDone> {
    let mut pass = None;
    let count = match task {
        StoreTask::Compact(before) => return compact(session, before, standing.map_or(0, |it| it.compacted)).await,
        StoreTask::PutDelivery { name, kept, dead, now } => {
            return run_soon(session, delivery::put_delivery((&name, now), &kept, dead.as_ref())).await;
        }
        StoreTask::ForgetDeliveries { except, before } => {
            return run_soon(session, delivery::forget(&except, before).into()).await;
        }
        StoreTask::PruneLog { before, most } => change_log::prune(session, before, most, is_shared).await?,
        StoreTask::ScrubLog => {
            let begun = scrubbing.lock().take();
            let (goes_on, any) = scrub(session, begun).await?;
            pass = goes_on;
            any
        }
        StoreTask::Record(entry) => {
            let subject = entry.subject.to_string();
            session.query(audit::append(&[(entry, subject)])).await?;
            true
        }
        StoreTask::PruneAudit { before, most } => audit::prune(session, before, most).await?,
        StoreTask::Bury(node) => !session.pipeline(&nodes::bury_some(node)).await?[1].is_empty(),
        StoreTask::PutRules { rules, .. } => {
            let number = rules::keep(session, &rules).await?;
            session.query(call!("COMMIT")).await?;
            return Ok(TaskDone { count: number.unsigned_abs(), compacted: 0 });
        }
        StoreTask::RemoveDead { name, event } => !session.query(delivery::remove(&name, event)).await?.is_empty(),
    };
    session.query(call!("COMMIT")).await?;
    if pass.is_some() {
        // What it has rewritten stands only now.
        *scrubbing.lock() = pass;
    }
    Ok(TaskDone { count: u64::from(count), compacted: 0 })
}

/// Goes on with a pass, or begins one. Returns it unless it is over, and whether there was something to do.
async fn scrub(session: &PgSession, pass: Option<PgScrubPass>) -> PgResult<(Option<PgScrubPass>, bool)> {
    let pass = match pass {
        Some(pass) => Some(pass),
        None => PgScrubPass::begin(session).await?,
    };
    let Some(mut pass) = pass else { return Ok((None, false)) };
    let is_over = pass.some(session).await?;
    Ok(((!is_over).then_some(pass), true))
}

async fn compact(session: &PgSession, before: Millis, compacted: u64) -> PgResult<TaskDone> {
    let dropped = tombstones::drop_tombstones(session, before, COMPACTION_LIMIT).await?;
    let compacted = dropped.iter().copied().fold(compacted, u64::max);
    if dropped.is_empty() {
        session.run("ROLLBACK").await?;
    } else {
        let raise = call!("UPDATE meta SET floor = $1", int(compacted));
        session.pipeline(&[raise, call!("COMMIT")]).await?;
    }
    Ok(TaskDone { count: dropped.len() as u64, compacted })
}

/// Runs calls in a transaction that need not be on the disk at once.
async fn run_soon(session: &PgSession, calls: Vec<Call>) -> PgResult<TaskDone> {
    let mut all = vec![call!("BEGIN"), call!(SOON)];
    all.extend(calls);
    all.push(call!("COMMIT"));
    session.pipeline(&all).await?;
    Ok(TaskDone { count: 1, compacted: 0 })
}
