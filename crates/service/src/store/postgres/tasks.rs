//! What the writer does besides writes, each in a transaction of its own under the lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::lock_times::LockTimes;
use super::messages::StoreTask;
use super::pg_error::PgError;
use super::rows::change_log::{self, PgScrubPass};
use super::rows::values::int;
use super::rows::{audit, delivery, nodes, tombstones};
use super::schema::{LOCK, STANDING, Standing, keep_rules};
use super::session::{Call, PgSession, call};
use super::transaction::last_number;
use super::writer_state::PgWriter;
use crate::store::{COMPACTION_LIMIT, PresenceRow};
use rosterd_engine::model::{Millis, Visibility};

/// How long a task may take. Each is a bounded part of its work.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lets a commit return before the disk has it: what a crash of the machine undoes is done again.
const SOON: &str = "SET LOCAL synchronous_commit = off";

impl PgWriter {
    /// Carries a task out. Where its answer is lost it is an error: each may be done again.
    pub(super) async fn carry_out(&mut self, task: StoreTask) -> Result<u64, PgError> {
        let session = self.session().await?;
        let done = match timeout(PATIENCE, self.run_task(&session, task)).await {
            Ok(done) => done,
            Err(_) => Err(PgError::Silent(PATIENCE)),
        };
        if let Err(error) = &done {
            // What a pass has rewritten does not stand then.
            self.scrub = None;
            self.connection.abandon(error).await;
        }
        done
    }

    async fn run_task(&mut self, session: &PgSession, task: StoreTask) -> Result<u64, PgError> {
        match task {
            StoreTask::Compact(before) => return self.compact(session, before).await,
            StoreTask::PutDelivery { name, kept, dead, now } => {
                return run_soon(session, delivery::put_delivery((&name, now), &kept, dead.as_ref())).await;
            }
            StoreTask::ForgetDeliveries { except, before } => {
                return run_soon(session, delivery::forget(&except, before).into()).await;
            }
            _ => {}
        }
        let (_, _lock) = self.lock(session).await?;
        let done = match task {
            StoreTask::PruneLog { before, most } => {
                change_log::prune(session, before, most, self.connection.is_shared()).await?
            }
            StoreTask::ScrubLog => self.scrub(session).await?,
            StoreTask::Record(entry) => {
                let subject = entry.subject.to_string();
                session.query(audit::append(&[(entry, subject)])).await?;
                true
            }
            StoreTask::PruneAudit { before, most } => audit::prune(session, before, most).await?,
            StoreTask::Bury(node) => {
                let found = session.pipeline(&nodes::bury_some(node)).await?;
                !found[1].is_empty()
            }
            StoreTask::PutRules(rules) => return self.put_rules(session, rules).await,
            StoreTask::RemoveDead { name, event } => !session.query(delivery::remove(&name, event)).await?.is_empty(),
            _ => false,
        };
        session.query(call!("COMMIT")).await?;
        Ok(u64::from(done))
    }

    /// Begins a transaction with the lock.
    async fn lock(&self, session: &PgSession) -> Result<(Standing, LockTimes), PgError> {
        let now = Instant::now();
        let begun = session.pipeline(&[call!("BEGIN"), call!(LOCK), call!(STANDING)]).await?;
        let standing = Standing::of(begun[2].first())?;
        let lock = LockTimes::new(&self.connection.metrics, now, standing.waited);
        self.connection.check(&standing)?;
        Ok((standing, lock))
    }

    /// Keeps the rules first: after a crash nothing may have been decided by rules that the database does not name.
    async fn put_rules(&mut self, session: &PgSession, rules: Visibility) -> Result<u64, PgError> {
        keep_rules(session, &rules).await?;
        session.query(call!("COMMIT")).await?;
        self.rules.set(rules);
        Ok(1)
    }

    async fn scrub(&mut self, session: &PgSession) -> Result<bool, PgError> {
        let pass = match self.scrub.take() {
            Some(pass) => Some(pass),
            None => PgScrubPass::begin(session).await?,
        };
        let Some(mut pass) = pass else { return Ok(false) };
        if !pass.some(session).await? {
            self.scrub = Some(pass);
        }
        Ok(true)
    }

    async fn compact(&mut self, session: &PgSession, before: Millis) -> Result<u64, PgError> {
        let (standing, _lock) = self.lock(session).await?;
        let dropped = tombstones::drop_tombstones(session, before, COMPACTION_LIMIT).await?;
        let compacted = dropped.iter().copied().fold(standing.compacted, u64::max);
        if dropped.is_empty() {
            session.run("ROLLBACK").await?;
        } else {
            let raise = call!("UPDATE meta SET floor = $1", int(compacted));
            session.pipeline(&[raise, call!("COMMIT")]).await?;
        }
        self.compacted.fetch_max(compacted, Ordering::AcqRel);
        Ok(dropped.len() as u64)
    }

    /// Stores who came and went, in one round trip.
    pub(super) async fn try_note(&mut self, seen: &[PresenceRow]) -> Result<(), PgError> {
        let session = self.session().await?;
        let done = self.note_on(&session, seen).await;
        if let Err(error) = &done {
            self.connection.abandon(error).await;
        }
        done
    }

    async fn note_on(&mut self, session: &Arc<PgSession>, seen: &[PresenceRow]) -> Result<(), PgError> {
        let mut calls = vec![call!("BEGIN"), call!(LOCK)];
        if self.seen.is_none() {
            calls.push(call!(SOON));
        }
        let at = self.add_presence(seen, &mut calls);
        calls.push(call!("COMMIT"));
        let found = self.in_time(session.pipeline(&calls)).await?;
        self.confirm_replicated(session).await;
        let last = at.map(|at| last_number(&found[at])).transpose()?;
        self.raise_seen(last);
        if last.is_some() {
            self.tell_others(session);
        }
        Ok(())
    }
}

/// Runs calls in a transaction that need not be on the disk at once.
async fn run_soon(session: &PgSession, calls: Vec<Call>) -> Result<u64, PgError> {
    let mut all = vec![call!("BEGIN"), call!(SOON)];
    all.extend(calls);
    all.push(call!("COMMIT"));
    session.pipeline(&all).await?;
    Ok(1)
}
