//! Reads what logins need, for several at a time.
//!
//! Most of what a login costs is the way to the database, and not its rows. So few reads of logins are under way at once, and
//! who comes meanwhile is read with the others that wait: a reader asks for as many of them as there are.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::handle::WriterHandle;
use super::pg_error::PgResult;
use super::readers::{PgReaders, broke_off, unreadable};
use super::rows;
use super::rows::logins::AskedLogin;
use super::rows::users::BlocksOf;
use super::rules::look_at_rules;
use super::session::PgSession;
use crate::store::{LoginRows, StoreError};
use rosterd_engine::model::Account;

/// The most logins that are read at once. More would let each wait for the pages of many.
const TOGETHER: usize = 16;
/// How many that have to wait are passed over for others that can be read together with the first.
const LOOKED_AT: usize = 16;
/// The most reads of logins that are under way at once: with more of them, each is for fewer logins, and all take longer.
const AT_ONCE: usize = 3;

/// A login that waits for its rows.
struct WaitingLogin {
    number: u64,
    asked: AskedLogin,
    answer: oneshot::Sender<Result<LoginRows, StoreError>>,
}

/// The logins that no reader has taken yet.
#[derive(Clone)]
pub(super) struct LoginQueue {
    waiting: Arc<Mutex<WaitingLogins>>,
    turns: Arc<Semaphore>,
}

#[derive(Default)]
struct WaitingLogins {
    /// The number of the last that came.
    last: u64,
    /// In order of the number.
    queue: VecDeque<WaitingLogin>,
}

/// The place of a login in the queue, which it leaves once nobody waits for it any more.
struct QueuePlace<'a> {
    queue: &'a LoginQueue,
    number: u64,
}

impl QueuePlace<'_> {
    fn is_taken(&self) -> bool {
        self.queue.waiting.lock().place_of(self.number).is_none()
    }

    /// Leaves it. Returns false if it was taken to be read.
    fn leave(&self) -> bool {
        let mut waiting = self.queue.waiting.lock();
        let place = waiting.place_of(self.number);
        place.is_some_and(|at| waiting.queue.remove(at).is_some())
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl WaitingLogins {
    fn place_of(&self, number: u64) -> Option<usize> {
        self.queue.binary_search_by_key(&number, |login| login.number).ok()
    }
}

impl Default for LoginQueue {
    fn default() -> Self {
        Self { waiting: Arc::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl LoginQueue {
    /// Reads what a login needs. The writer of a primary learns how far its history goes.
    pub(super) async fn read(
        &self,
        readers: &PgReaders,
        writer: Option<&Arc<WriterHandle>>,
        asked: AskedLogin,
    ) -> Result<LoginRows, StoreError> {
        let (answer, mut answered) = oneshot::channel();
        let place = self.add(asked, answer);
        // As long as it waits, a read of its own waits for its turn. That takes those that wait longest.
        while !place.is_taken() {
            let (queue, writer) = (self.clone(), writer.cloned());
            let read = move |session: Arc<PgSession>| async move {
                read_some(&session, writer.as_deref(), queue.take()).await
            };
            let reading = async {
                let _turn = self.turns.acquire().await;
                readers.read(read).await
            };
            let done = tokio::select! {
                biased;
                found = &mut answered => return found.unwrap_or_else(|_| Err(broke_off())),
                done = reading => done,
            };
            if let Err(error) = done
                && place.leave()
            {
                return Err(error);
            }
        }
        // Another read has taken it.
        answered.await.unwrap_or_else(|_| Err(broke_off()))
    }

    fn add(&self, asked: AskedLogin, answer: oneshot::Sender<Result<LoginRows, StoreError>>) -> QueuePlace<'_> {
        let mut waiting = self.waiting.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.queue.push_back(WaitingLogin { number, asked, answer });
        QueuePlace { queue: self, number }
    }

    /// Takes the logins that are read next: of different accounts, and of one kind.
    fn take(&self) -> Vec<WaitingLogin> {
        let waiting = &mut self.waiting.lock().queue;
        let mut taken: Vec<WaitingLogin> = Vec::new();
        let mut at = 0;
        while taken.len() < TOGETHER
            && at < LOOKED_AT
            && let Some(next) = waiting.get(at)
        {
            let fits = |one: &WaitingLogin| {
                let (rows, others) = (&one.asked.rows, &next.asked.rows);
                rows.owner != others.owner
                    && rows.since.is_some() == others.since.is_some()
                    && one.asked.limit == next.asked.limit
            };
            if taken.iter().all(fits) {
                taken.extend(waiting.remove(at));
            } else {
                at += 1;
            }
        }
        taken
    }
}

/// Reads logins and answers them.
async fn read_some(session: &PgSession, writer: Option<&WriterHandle>, logins: Vec<WaitingLogin>) -> PgResult<()> {
    match read_rows(session, writer, &logins).await {
        Ok(found) => {
            for (login, rows) in logins.into_iter().zip(found) {
                // Sending fails if the login broke off meanwhile.
                let _ = login.answer.send(Ok(rows));
            }
            Ok(())
        }
        // The rows of one are damaged: the others do not fail for it.
        Err(error) if logins.len() > 1 && !error.may_pass() => {
            for login in logins {
                // It is told of its own error.
                let _ = Box::pin(read_some(session, writer, vec![login])).await;
            }
            Err(error)
        }
        Err(error) => {
            for login in logins {
                let _ = login.answer.send(Err(unreadable(&error)));
            }
            Err(error)
        }
    }
}

/// Reads the rows of each login, all of one snapshot.
async fn read_rows(
    session: &PgSession,
    writer: Option<&WriterHandle>,
    logins: &[WaitingLogin],
) -> PgResult<Vec<LoginRows>> {
    if logins.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<_> = logins.iter().map(|login| login.asked.clone()).collect();
    let known = writer.map_or(0, WriterHandle::head);
    let found = session.query(rows::logins::logins(&asked)).await?;
    let (mut all, mut users) = rows::logins::login_rows(&asked, &found)?;
    if let (Some(writer), Some(rows)) = (writer, all.first()) {
        writer.saw(known, rows.head);
    }
    let place = |of: &Account| asked.iter().position(|asked| asked.rows.owner == *of);
    // They are few: most accounts block nobody.
    for account in std::mem::take(&mut users.blocking) {
        let few = place(&account).and_then(|place| asked[place].few).unwrap_or_default();
        let blocks = BlocksOf::Followed(account.clone(), few);
        users.users.extend(rows::users::with_blocks(session, &[account], &blocks).await?);
    }
    if let Some(writer) = writer {
        look_at_rules(session, writer, users.users.iter().map(|user| &*user.profile)).await?;
    }
    for user in users.users {
        if let Some(place) = place(&user.profile.account) {
            all[place].user = Some(user);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::net::TcpListener;
    use tokio::runtime::Handle;
    use tokio::time::timeout;

    use super::*;
    use crate::store::postgres::rows::friend_lists::AskedRows;
    use crate::store::postgres::session::{Connector, SessionKind};
    use crate::store::postgres::url::PostgresUrl;

    /// Readers of a database that says nothing.
    async fn silent_readers() -> (TcpListener, PgReaders) {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://a:b@{}/x", silent.local_addr().unwrap());
        let connector = Connector::new(&PostgresUrl::parse(&url).unwrap());
        (silent, PgReaders::start(&Handle::current(), &connector, SessionKind::Reader, 1, Duration::ZERO))
    }

    fn ann() -> AskedLogin {
        let rows = AskedRows { owner: Account::parse("ann", "account").unwrap(), after: None, since: None };
        AskedLogin { rows, limit: 9, few: None }
    }

    /// The runtime of the store ends while a reader has it, say.
    #[tokio::test]
    async fn a_login_whose_read_breaks_off_is_told_so() {
        let (_silent, readers) = silent_readers().await;
        let queue = LoginQueue::default();
        let breaks_off = async {
            while queue.take().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let both = async { tokio::join!(queue.read(&readers, None, ann()), breaks_off).0 };
        let told = timeout(Duration::from_secs(30), both).await.expect("an answer in time");
        assert_eq!(told.unwrap_err().0, "a read broke off");
    }

    #[tokio::test]
    async fn a_login_that_nobody_waits_for_leaves_the_queue() {
        let (_silent, readers) = silent_readers().await;
        let queue = LoginQueue::default();
        assert!(queue.read(&readers, None, ann()).now_or_never().is_none());
        assert_eq!(queue.waiting.lock().queue.len(), 0);
    }
}
