//! What the writer does besides writes, each in a transaction of its own, nearly all under the lock.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::database::WriterLink;
use super::lock_times::LockTimes;
use super::messages::StoreTask;
use super::pg_error::PgError;
use super::writer_state::{PgWriter, waited_to_the_end};
use crate::store::PresenceRow;

/// How long a task may take. Each is a bounded part of its work.
const PATIENCE: Duration = Duration::from_mins(1);

impl PgWriter {
    /// Carries a task out. Where its answer is lost it is an error: each may be done again.
    pub(super) async fn carry_out(&mut self, task: StoreTask) -> Result<u64, PgError> {
        let link = self.session().await?;
        let done = match timeout(PATIENCE, self.run_task(&*link, task)).await {
            Ok(done) => done,
            Err(_) => Err(PgError::Silent(PATIENCE)),
        };
        if let Err(error) = &done {
            self.connection.abandon(error).await;
        }
        done
    }

    async fn run_task(&mut self, link: &dyn WriterLink, task: StoreTask) -> Result<u64, PgError> {
        let begun = Instant::now();
        let standing = match task {
            StoreTask::PutDelivery { .. } | StoreTask::ForgetDeliveries { .. } => None,
            _ => Some(link.begin().await?),
        };
        let mut lock = None;
        if let Some(standing) = &standing {
            lock = Some(LockTimes::new(&self.connection.metrics, begun, standing.waited));
            self.connection.check(standing)?;
        }
        let mut put = None;
        if let (StoreTask::PutRules { rules, instead_of }, Some(standing)) = (&task, &standing) {
            self.follow_rules(link, standing).await?;
            if !self.rules.are(instead_of) {
                link.rollback().await?;
                return Ok(0);
            }
            put = Some(rules.clone());
        }
        let done = link.carry_out(task, standing, self.connection.is_shared()).await?;
        drop(lock);
        self.compacted.fetch_max(done.compacted, Ordering::AcqRel);
        // After a crash nothing may have been decided by rules that the database does not name: they were kept first.
        if let Some(rules) = put {
            let number = if self.connection.is_shared() { done.count.cast_signed() } else { 0 };
            self.rules.set(rules, number);
        }
        Ok(done.count)
    }

    /// Stores who came and went, in one round trip.
    pub(super) async fn try_note(&mut self, seen: &[PresenceRow]) -> Result<(), PgError> {
        let link = self.session().await?;
        let noted = self.in_time(link.note(self.notes(seen))).await;
        let done = noted.and_then(|last| waited_to_the_end(&*link).map(|()| last));
        match &done {
            Ok(last) => {
                self.raise_seen(*last);
                if last.is_some() {
                    self.tell_others(&link, None);
                }
            }
            Err(error) => self.connection.abandon(error).await,
        }
        done.map(drop)
    }
}
