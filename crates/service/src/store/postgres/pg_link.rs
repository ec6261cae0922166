//! The writer's and the tail's connections, in the statements of PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::database::{
    BatchRows, Database, LogLink, LogTail, PresenceNotes, Standing, TaskDone, WriterBackend, WriterLink,
};
use super::fetch::Fetch;
use super::messages::StoreTask;
use super::options::Sharing;
use super::pg_error::{PgError, PgResult};
use super::pg_tasks::{self, SOON};
use super::position::LogPosition;
use super::rows::change_log::{self, PgScrubPass};
use super::rows::values::{number, value};
use super::rows::{LOCK, audit, credentials, profiles, relations, rules};
use super::schema::{FOLLOWER_LOCK, GATEWAY_LOCK, STANDING, gateway_lock, random, standing_of, system};
use super::session::{Call, Connector, PgSession, SessionKind, call};
use super::staged::Staged;
use super::waker::Waker;
use crate::store::{StoredRules, Write};
use rosterd_engine::model::{Account, Revision, SeenNumber};

/// How long a writer may hold the lock and do nothing.
const STUCK: Duration = Duration::from_secs(3);
/// How long one that works may seem to do nothing.
const SUSPECT: Duration = Duration::from_millis(500);

/// Asks something of the writers that have begun something, and wait for nobody but their own process.
macro_rules! of_still_writers {
    ($what:literal, $which:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM pg_stat_activity
             WHERE datname = current_database() AND usename = current_user
                 AND application_name = 'rosterd writer' AND state <> 'idle'
                 AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Client')
                 AND wait_event IS DISTINCT FROM 'SyncRep'",
            $which
        )
    };
}

/// Reads for how many milliseconds one of them has done nothing.
const STILL: &str =
    of_still_writers!("coalesce(max(extract(epoch FROM clock_timestamp() - state_change) * 1000), 0)::bigint", "");

/// Ends the sessions of those that have done nothing for as long as [`STUCK`].
const END_STUCK: &str =
    of_still_writers!("pid, pg_terminate_backend(pid)", " AND clock_timestamp() - state_change >= interval '3 s'");

/// The connection of the writer.
pub(super) struct PgWriterLink {
    session: PgSession,
    /// The pass over the change log under way.
    scrub: Mutex<Option<PgScrubPass>>,
}

impl PgWriterLink {
    pub(super) fn new(session: PgSession) -> Self {
        Self { session, scrub: Mutex::new(None) }
    }
}

impl Database for Connector {
    fn connect_writer(&self) -> BoxFuture<'_, PgResult<Arc<dyn WriterLink>>> {
        Box::pin(async {
            let link = PgWriterLink::new(self.connect(SessionKind::Writer).await?);
            Ok(Arc::new(link) as Arc<dyn WriterLink>)
        })
    }

    fn listen(&self, waker: Waker) -> BoxFuture<'_, PgResult<Arc<dyn LogLink>>> {
        Box::pin(async {
            let session = self.connect_listener(waker).await?;
            session.query(call!("SELECT pg_advisory_lock_shared($1)", FOLLOWER_LOCK)).await?;
            Ok(Arc::new(session) as Arc<dyn LogLink>)
        })
    }

    fn end_stuck_writers(&self) -> BoxFuture<'_, PgResult<Vec<i32>>> {
        Box::pin(async move {
            let session = self.connect(SessionKind::Reader).await?;
            let still: i64 = value(&session.row(call!(STILL)).await?, 0)?;
            let still = Duration::from_millis(still.max(0).unsigned_abs());
            if (SUSPECT..STUCK).contains(&still) {
                // It stopped while others waited already. They need not wait as long once more.
                sleep(STUCK.saturating_sub(still)).await;
            }
            let ended = session.query(call!(END_STUCK)).await?;
            ended.iter().map(|record| value(record, 0)).collect()
        })
    }

    fn random(&self) -> PgResult<i64> {
        random()
    }
}

impl LogLink for PgSession {
    fn tail(&self, after: Revision, own: i64) -> BoxFuture<'_, PgResult<LogTail>> {
        Box::pin(change_log::tail(self, after, own))
    }

    fn rules(&self) -> BoxFuture<'_, PgResult<StoredRules>> {
        Box::pin(rules::stored(self))
    }
}

impl WriterLink for PgWriterLink {
    fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    fn backend(&self) -> BoxFuture<'_, PgResult<WriterBackend>> {
        let sql = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        Box::pin(async move {
            let row = self.session.row(call!(sql)).await?;
            Ok((value(&row, 0)?, value(&row, 1)?))
        })
    }

    fn take_gateway_lock(&self, sharing: Sharing, before: Option<WriterBackend>) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(take_gateway_lock(&self.session, sharing, before))
    }

    fn release_gateway_lock(&self, sharing: Sharing) -> BoxFuture<'_, ()> {
        let unlock = match sharing {
            Sharing::Alone => "SELECT pg_advisory_unlock($1)",
            Sharing::Shared { .. } => "SELECT pg_advisory_unlock_shared($1)",
        };
        Box::pin(async move { drop(self.session.query(call!(unlock, GATEWAY_LOCK)).await) })
    }

    fn system(&self) -> BoxFuture<'_, PgResult<String>> {
        Box::pin(system(&self.session))
    }

    fn begin(&self) -> BoxFuture<'_, PgResult<Standing>> {
        Box::pin(async {
            let found = self.session.pipeline(&[call!("BEGIN"), call!(LOCK), call!(STANDING)]).await?;
            standing_of(found[2].first())
        })
    }

    fn begin_batch<'a>(
        &'a self,
        seen: PresenceNotes<'a>,
        writes: &'a [Write],
        staged: &'a mut Staged,
    ) -> BoxFuture<'a, PgResult<(Standing, Option<SeenNumber>)>> {
        Box::pin(async move {
            let mut calls = vec![call!("BEGIN"), call!(LOCK), call!(STANDING)];
            let at = add_presence(seen, &mut calls);
            let first = calls.len();
            let fetch = fetch(writes, &mut calls);
            let mut found = self.session.pipeline(&calls).await?;
            let standing = standing_of(found[2].first())?;
            let raised = last_number(at, &found)?;
            fetch.load_into(staged, found.drain(first..))?;
            Ok((standing, raised))
        })
    }

    fn read_more<'a>(&'a self, writes: &'a [Write], staged: &'a mut Staged) -> BoxFuture<'a, PgResult<()>> {
        Box::pin(async move {
            let mut calls = Vec::new();
            let fetch = fetch(writes, &mut calls);
            let found = self.session.pipeline(&calls).await?;
            fetch.load_into(staged, found.into_iter())
        })
    }

    fn commit_batch<'a>(&'a self, rows: &'a BatchRows) -> BoxFuture<'a, PgResult<PgResult<Option<SeenNumber>>>> {
        Box::pin(async move {
            let mut calls = Vec::new();
            let at = add_batch(rows, &mut calls);
            calls.push(call!("COMMIT"));
            self.session.prepare(&calls).await?;
            let found = match self.session.pipeline(&calls).await {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            };
            Ok(last_number(at, &found))
        })
    }

    fn note<'a>(&'a self, seen: PresenceNotes<'a>) -> BoxFuture<'a, PgResult<Option<SeenNumber>>> {
        Box::pin(async move {
            let mut calls = vec![call!("BEGIN"), call!(LOCK)];
            if !seen.numbers {
                calls.push(call!(SOON));
            }
            let at = add_presence(seen, &mut calls);
            calls.push(call!("COMMIT"));
            let found = self.session.pipeline(&calls).await?;
            last_number(at, &found)
        })
    }

    fn commit(&self) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(self.session.run("COMMIT"))
    }

    fn rollback(&self) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(self.session.run("ROLLBACK"))
    }

    fn position_at(&self, head: Revision) -> BoxFuture<'_, PgResult<Option<LogPosition>>> {
        Box::pin(change_log::position_at(&self.session, head))
    }

    fn rules(&self) -> BoxFuture<'_, PgResult<StoredRules>> {
        Box::pin(rules::stored(&self.session))
    }

    fn put_identity(&self, identity: String) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(async move { self.session.query(call!("UPDATE meta SET identity = $1", identity)).await.map(drop) })
    }

    fn begin_epoch(&self, epoch: i64) -> BoxFuture<'_, PgResult<()>> {
        let sql = "UPDATE meta SET epoch = $1, history = 0";
        Box::pin(async move { self.session.query(call!(sql, epoch)).await.map(drop) })
    }

    fn warned(&self) -> bool {
        self.session.warned()
    }

    fn write_marker(&self) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(self.session.run("SELECT pg_logical_emit_message(true, 'rosterd', '')"))
    }

    fn tell(&self, word: String) -> BoxFuture<'_, PgResult<()>> {
        let told = call!("SELECT pg_notify('rosterd', $1)", word);
        Box::pin(async move { self.session.query(told).await.map(drop) })
    }

    fn carry_out(
        &self,
        task: StoreTask,
        standing: Option<Standing>,
        is_shared: bool,
    ) -> BoxFuture<'_, PgResult<TaskDone>> {
        Box::pin(pg_tasks::carry_out((&self.session, &self.scrub), task, standing, is_shared))
    }
}

async fn take_gateway_lock(session: &PgSession, sharing: Sharing, before: Option<WriterBackend>) -> PgResult<()> {
    let lock = || session.query(call!(gateway_lock(sharing), GATEWAY_LOCK));
    let Err(error) = lock().await else { return Ok(()) };
    let Some((pid, started)) = before.filter(|_| error.is_lock_timeout()) else {
        return Err(error);
    };
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE pid = $1 AND backend_start::text = $2 AND wait_event IS DISTINCT FROM 'SyncRep'";
    if session.query(call!(end, pid, started)).await?.is_empty() {
        return Err(PgError::Away("another gateway has taken the database, or the last session still waits".into()));
    }
    tracing::warn!(pid, "ended the writer's last session, which the server still took for alive");
    lock().await.map(drop)
}

/// Adds the calls that read what writes need.
fn fetch(writes: &[Write], calls: &mut Vec<Call>) -> Fetch {
    Fetch::of(writes.iter().flat_map(|write| &write.commands), calls)
}

/// Adds the calls that store who came and went. Returns which of them returns the last number.
fn add_presence(seen: PresenceNotes<'_>, calls: &mut Vec<Call>) -> Option<usize> {
    let at = profiles::put_seen(seen.rows, seen.numbers, seen.is_shared).map(|call| {
        calls.push(call);
        calls.len() - 1
    });
    calls.extend(relations::put_seen(seen.rows));
    at.filter(|_| seen.numbers)
}

/// Reads the last number out of the result of the call that raised it.
fn last_number(at: Option<usize>, found: &[Vec<tokio_postgres::Row>]) -> PgResult<Option<SeenNumber>> {
    let Some(at) = at else { return Ok(None) };
    let record = found[at].first().ok_or_else(|| PgError::Damaged("there is no row in meta".into()))?;
    number(record, 0).map(Some)
}

/// Adds the calls that write what was decided: each row once, as it is at the end. Returns which of them returns the last
/// number of a presence transition.
fn add_batch(rows: &BatchRows, calls: &mut Vec<Call>) -> Option<usize> {
    if rows.is_empty() {
        return None;
    }
    add_staged(&rows.staged, calls);
    let at = (!rows.numbered.is_empty()).then(|| {
        calls.push(profiles::put_numbers(&rows.numbered));
        calls.len() - 1
    });
    change_log::append(rows.feed, &rows.changes, calls);
    if rows.drops_old {
        calls.push(change_log::drop_old());
    }
    at
}

/// Adds the calls that write the rows of a batch. What is erased comes first, as some of it may have been made again.
fn add_staged(staged: &Staged, calls: &mut Vec<Call>) {
    if !staged.gone.is_empty() {
        let gone: Vec<Account> = staged.gone.keys().cloned().collect();
        let below: Vec<_> = staged.gone.iter().map(|(account, version)| (account.clone(), *version)).collect();
        calls.push(change_log::erase_below(&below));
        calls.push(audit::erase(&gone, &staged.salt));
        calls.push(profiles::delete(&gone));
        calls.extend(relations::forget(&gone));
    }
    let mut add = |any: bool, call: &dyn Fn() -> Call| {
        if any {
            calls.push(call());
        }
    };
    let users = staged.users.puts();
    add(!users.is_empty(), &|| profiles::put(&users));
    let edges = staged.edges.puts();
    add(!edges.is_empty(), &|| relations::put_edges(&edges));
    let requests = staged.requests.puts();
    add(!requests.is_empty(), &|| relations::put_requests(&requests));
    let blocks = staged.blocks.puts();
    add(!blocks.is_empty(), &|| relations::put_blocks(&blocks));
    let (copies, thawed) = staged.frozen.changes();
    let copies: Vec<_> = copies.into_iter().map(|((viewer, _), profile)| (viewer, profile)).collect();
    add(!copies.is_empty(), &|| profiles::freeze(&copies));
    add(!thawed.is_empty(), &|| profiles::thaw(&thawed));
    let (kept, removed) = staged.credentials.changes();
    add(!kept.is_empty(), &|| credentials::put(&kept));
    add(!removed.is_empty(), &|| credentials::remove(&removed));
    add(!staged.audit.is_empty(), &|| audit::append(&staged.audit));
}
