//! What the writer and the tail of a gateway ask of the simulated database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use rosterd::store::postgres::{
    BatchRows, Database, LogLink, LogPosition, LogTail, PgError, PgResult, PresenceNotes, Sharing, Staged, Standing,
    StoreTask, TaskDone, UserRow, Waker, WriterBackend, WriterLink,
};
use rosterd::store::{StoredRules, Write};
use rosterd_engine::model::{Account, Command, Credential, Revision, SeenNumber};
use rosterd_engine::sync::decide::{self, CurrentRows, Reads};
use tokio::time::sleep;

use super::line::Line;
use super::server::CommitFault;

/// The database, as one process reaches it.
pub struct SimDatabase(pub Line);

/// A connection of it.
pub struct SimLink {
    line: Line,
    session: i32,
    /// Whether the process takes it for broken.
    closed: AtomicBool,
    /// The writes of the transaction that has begun.
    writes: Mutex<Vec<Write>>,
}

/// The rows that a command needs.
type CommandRows = (Reads, CurrentRows, Vec<UserRow>);

impl SimDatabase {
    async fn connect(&self, writes: bool) -> PgResult<Arc<SimLink>> {
        let process = self.0.process;
        let session = self.0.ask(move |server| server.connect(process, writes)).await?;
        let (line, closed, writes) = (self.0.clone(), AtomicBool::new(false), Mutex::default());
        Ok(Arc::new(SimLink { line, session, closed, writes }))
    }
}

impl Database for SimDatabase {
    fn connect_writer(&self) -> BoxFuture<'_, PgResult<Arc<dyn WriterLink>>> {
        Box::pin(async { Ok(self.connect(true).await? as Arc<dyn WriterLink>) })
    }

    fn listen(&self, waker: Waker) -> BoxFuture<'_, PgResult<Arc<dyn LogLink>>> {
        Box::pin(async {
            let link = self.connect(false).await?;
            let session = link.session;
            link.ask(move |server| {
                server.listen(session, waker);
                Ok(())
            })
            .await?;
            Ok(link as Arc<dyn LogLink>)
        })
    }

    fn end_stuck_writers(&self) -> BoxFuture<'_, PgResult<Vec<i32>>> {
        Box::pin(self.0.ask(|server| if server.is_up() { Ok(server.end_stuck()) } else { Err(away()) }))
    }

    fn random(&self) -> PgResult<i64> {
        Ok((self.0.random.next() >> 1).max(1).cast_signed())
    }
}

fn away() -> PgError {
    PgError::Away("the server is down".into())
}

impl SimLink {
    /// Has the server do something on this connection.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut super::server::Server) -> PgResult<T> + Send + 'static,
    ) -> PgResult<T> {
        let session = self.session;
        let found = self.line.ask(move |server| {
            server.session(session)?;
            work(server)
        });
        self.heard(found.await)
    }

    async fn ask_with_lock<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut super::server::Server) -> PgResult<T> + Send + 'static,
    ) -> PgResult<T> {
        self.heard(self.line.ask_with_lock(self.session, work).await)
    }

    fn heard<T>(&self, found: PgResult<T>) -> PgResult<T> {
        if matches!(found, Err(PgError::Away(_))) {
            self.closed.store(true, Ordering::Relaxed);
        }
        found
    }

    fn remember(&self, writes: &[Write]) -> Vec<Command> {
        let copy = |write: &Write| Write { commands: write.commands.clone(), origin: write.origin.clone() };
        self.writes.lock().unwrap().extend(writes.iter().map(copy));
        writes.iter().flat_map(|write| write.commands.clone()).collect()
    }
}

/// Reads what commands need, on the server.
fn rows_of(server: &super::server::Server, commands: &[Command]) -> Vec<CommandRows> {
    let rows = commands.iter().map(|command| {
        let reads = decide::reads(command);
        let again = || decide::reads(command);
        let current = server.current(again());
        let mut accounts = reads.users.clone();
        accounts.extend(reads.presence.clone());
        let user = |account: &Account| {
            let one = Reads { users: vec![account.clone()], presence: Some(account.clone()), ..Reads::default() };
            let found = server.current(one);
            Some(UserRow { profile: found.users.first()?.clone(), presence: found.presence })
        };
        let users = accounts.iter().filter_map(user).collect();
        (reads, current, users)
    });
    rows.collect()
}

/// Puts them into the rows of a batch, as what was read of a database.
fn load(staged: &mut Staged, rows: Vec<CommandRows>) {
    for (reads, current, users) in rows {
        for row in users {
            staged.users.load(row.profile.account.clone(), row);
        }
        for edge in current.edges {
            staged.edges.load((edge.owner.clone(), edge.peer.clone()), edge);
        }
        for request in current.requests {
            staged.requests.load((request.sender.clone(), request.receiver.clone(), request.side), request);
        }
        for block in current.blocks {
            staged.blocks.load((block.owner.clone(), block.peer.clone()), block);
        }
        if let (Some((owner, peer)), Some(profile)) = (reads.frozen, current.frozen) {
            staged.frozen.load((peer, owner), profile);
        }
        if let Some(account) = reads.credential.filter(|_| current.credential != Credential::default()) {
            staged.credentials.load(account, current.credential);
        }
        staged.counts.extend(current.counts);
    }
}

impl LogLink for SimLink {
    fn tail(&self, after: Revision, own: i64) -> BoxFuture<'_, PgResult<LogTail>> {
        Box::pin(self.ask(move |server| Ok(server.tail(after, own))))
    }

    fn rules(&self) -> BoxFuture<'_, PgResult<StoredRules>> {
        Box::pin(self.ask(|server| Ok(server.stored_rules())))
    }
}

impl WriterLink for SimLink {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn backend(&self) -> BoxFuture<'_, PgResult<WriterBackend>> {
        Box::pin(async { Ok((self.session, String::new())) })
    }

    fn take_gateway_lock(&self, _: Sharing, _: Option<WriterBackend>) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn release_gateway_lock(&self, _: Sharing) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn system(&self) -> BoxFuture<'_, PgResult<String>> {
        Box::pin(async { Ok("sim".into()) })
    }

    fn begin(&self) -> BoxFuture<'_, PgResult<Standing>> {
        Box::pin(self.ask_with_lock(|server| Ok(server.standing())))
    }

    fn begin_batch<'a>(
        &'a self,
        seen: PresenceNotes<'a>,
        writes: &'a [Write],
        staged: &'a mut Staged,
    ) -> BoxFuture<'a, PgResult<(Standing, Option<SeenNumber>)>> {
        Box::pin(async move {
            self.writes.lock().unwrap().clear();
            let (seen, commands) = (seen.rows.to_vec(), self.remember(writes));
            let begun = self.ask_with_lock(move |server| {
                server.put_seen(seen);
                Ok((server.standing(), rows_of(server, &commands)))
            });
            let (standing, rows) = begun.await?;
            load(staged, rows);
            Ok((standing, None))
        })
    }

    fn read_more<'a>(&'a self, writes: &'a [Write], staged: &'a mut Staged) -> BoxFuture<'a, PgResult<()>> {
        Box::pin(async move {
            let commands = self.remember(writes);
            load(staged, self.ask(move |server| Ok(rows_of(server, &commands))).await?);
            Ok(())
        })
    }

    fn commit_batch<'a>(&'a self, rows: &'a BatchRows) -> BoxFuture<'a, PgResult<PgResult<Option<SeenNumber>>>> {
        let (session, feed, changes) = (self.session, rows.feed, rows.changes.clone());
        let writes = std::mem::take(&mut *self.writes.lock().unwrap());
        Box::pin(async move {
            let commit =
                move |server: &mut super::server::Server| server.commit_batch(session, feed, &changes, &writes);
            let fault = self.line.server.lock().unwrap().take_fault(self.line.process);
            let broke = || Err(PgError::Away("the connection broke after a commit was sent".into()));
            Ok(self.heard(match fault {
                None => self.line.ask(commit).await,
                Some(CommitFault::Lost) => broke(),
                Some(CommitFault::Late(ms)) => {
                    let line = self.line.clone();
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(ms)).await;
                        drop(commit(&mut line.server.lock().unwrap()));
                    });
                    broke()
                }
                Some(CommitFault::Unanswered) => {
                    drop(self.line.ask(commit).await);
                    broke()
                }
            }))
        })
    }

    fn note<'a>(&'a self, seen: PresenceNotes<'a>) -> BoxFuture<'a, PgResult<Option<SeenNumber>>> {
        let (session, seen) = (self.session, seen.rows.to_vec());
        Box::pin(self.ask_with_lock(move |server| {
            server.put_seen(seen);
            server.commit(session).map(|()| None)
        }))
    }

    fn commit(&self) -> BoxFuture<'_, PgResult<()>> {
        let session = self.session;
        Box::pin(self.ask(move |server| server.commit(session)))
    }

    fn rollback(&self) -> BoxFuture<'_, PgResult<()>> {
        let session = self.session;
        Box::pin(self.ask(move |server| server.rollback(session)))
    }

    fn position_at(&self, head: Revision) -> BoxFuture<'_, PgResult<Option<LogPosition>>> {
        Box::pin(self.ask(move |server| Ok(Some(server.position_at(head)))))
    }

    fn rules(&self) -> BoxFuture<'_, PgResult<StoredRules>> {
        Box::pin(self.ask(|server| Ok(server.stored_rules())))
    }

    fn put_identity(&self, identity: String) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(self.ask(move |server| {
            server.put_identity(identity);
            Ok(())
        }))
    }

    fn begin_epoch(&self, epoch: i64) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(self.ask(move |server| {
            server.begin_epoch(epoch);
            Ok(())
        }))
    }

    fn warned(&self) -> bool {
        false
    }

    fn write_marker(&self) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn tell(&self, word: String) -> BoxFuture<'_, PgResult<()>> {
        Box::pin(self.ask(move |server| {
            server.tell("rosterd", &word);
            Ok(())
        }))
    }

    fn carry_out(&self, task: StoreTask, standing: Option<Standing>, _: bool) -> BoxFuture<'_, PgResult<TaskDone>> {
        let session = self.session;
        Box::pin(async move {
            if standing.is_none() {
                return Ok(TaskDone::default());
            }
            self.ask(move |server| server.carry_out_task(session, &task)).await
        })
    }
}

impl Drop for SimLink {
    /// The system closes the connection, and the server learns of it unless the line is cut. What was sent before goes on: a
    /// commit that is late finds its session.
    fn drop(&mut self) {
        let (line, session) = (self.line.clone(), self.session);
        if self.is_closed() || line.is_cut() {
            return;
        }
        tokio::spawn(async move {
            sleep(Duration::from_millis(line.random.below(4))).await;
            line.server.lock().unwrap().end(session);
        });
    }
}
