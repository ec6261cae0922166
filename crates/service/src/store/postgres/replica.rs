//! Reads friend lists of a replica, a standby that follows the database.
//!
//! A replica is behind. So who reads there says which revision it needs, and the snapshot that is read says how far it goes: what
//! is older is read of the primary instead. Whatever has no revision, such as presence, is never read of a replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::logins::LoginQueue;
use super::readers::PgReaders;
use super::rows::friend_lists::AskedRows;
use super::rows::logins::AskedLogin;
use super::rows::{self, EXTENT, extent};
use super::session::{PgSession, call};
use crate::metrics::Kind;
use crate::store::{LoginRows, StoreError, StorePage};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rosterd_engine::model::{Epoch, ListedEdge, Revision};

/// How long a read waits until the replica is as far as it needs.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(3);
/// How long nothing is read of a replica that was too far behind or away: each read would wait in vain.
const REST: Duration = Duration::from_secs(1);
/// How long a read may take in all. A replica that hangs keeps its connections open.
const SILENCE: Duration = Duration::from_secs(1);
/// How long nothing is read of a replica that hung: whoever tries it next waits for as long as that.
const LONG_REST: Duration = Duration::from_secs(10);

/// The replica.
pub(super) struct ReadReplica {
    readers: PgReaders,
    logins: LoginQueue,
    /// The last revision that was seen there.
    head: Arc<AtomicU64>,
    rests_until: Mutex<Option<Instant>>,
    counted: Family<Kind, Counter>,
}

impl ReadReplica {
    pub(super) fn new(readers: PgReaders, counted: Family<Kind, Counter>) -> Self {
        let (head, rests_until) = (Arc::default(), Mutex::default());
        Self { readers, logins: LoginQueue::default(), head, rests_until, counted }
    }

    /// Reads what a login needs besides the account itself, with every change up to `needed`; `None` if it has to be read of
    /// the primary.
    pub(super) async fn login_rows(&self, asked: &AskedLogin, needed: (Epoch, Revision)) -> Option<LoginRows> {
        let read = async {
            let asked = AskedLogin { few: None, ..asked.clone() };
            let found = self.logins.read(&self.readers, None, asked).await?;
            Ok(((found.lineage.epoch, found.head), found))
        };
        self.at_least(needed, read).await
    }

    /// Reads a page of a friend list in the same way.
    pub(super) async fn listed(
        &self,
        asked: AskedRows,
        limit: usize,
        needed: (Epoch, Revision),
    ) -> Option<StorePage<ListedEdge>> {
        let read = move |session: Arc<PgSession>| async move {
            let found = session.row(rows::friend_lists::listed(&asked, limit)).await?;
            let (rows, lineage, head) = rows::friend_lists::listed_page(&asked, &found)?;
            Ok(((lineage.epoch, head), StorePage { rows, compacted: lineage.compacted }))
        };
        self.at_least(needed, self.readers.read(read)).await
    }

    /// Returns whether anything is to be read of it.
    pub(super) fn serves(&self) -> bool {
        let rests = self.rests_until.lock().is_some_and(|until| Instant::now() < until);
        if rests {
            self.count("BEHIND");
        }
        !rests
    }

    /// Reads something once the replica is far enough, if that is soon.
    async fn at_least<T>(
        &self,
        (epoch, needed): (Epoch, Revision),
        read: impl Future<Output = Result<((Epoch, Revision), T), StoreError>>,
    ) -> Option<T> {
        let reading = async { if self.reaches(needed).await? { read.await.map(Some) } else { Ok(None) } };
        let (kind, rest) = match timeout(SILENCE, reading).await {
            Ok(Ok(Some((reached, found)))) if reached.0 == epoch && reached.1 >= needed => {
                self.count("READ");
                return Some(found);
            }
            // It is behind, follows another history, or was promoted without all of this one.
            Ok(Ok(_)) => ("BEHIND", REST),
            Ok(Err(_)) => ("FAILED", REST),
            Err(_) => ("FAILED", LONG_REST),
        };
        self.count(kind);
        self.rest(rest);
        None
    }

    /// Waits until the replica has a revision. Returns false if that takes long.
    async fn reaches(&self, needed: Revision) -> Result<bool, StoreError> {
        let until = Instant::now() + PATIENCE;
        while self.head.load(Ordering::Acquire) < needed {
            let look = |session: Arc<PgSession>| async move { extent(&session.query(call!(EXTENT)).await?) };
            let (_, head) = self.readers.read(look).await?;
            self.head.store(head, Ordering::Release);
            if head < needed {
                if Instant::now() >= until {
                    return Ok(false);
                }
                sleep(LOOK).await;
            }
        }
        Ok(true)
    }

    fn rest(&self, length: Duration) {
        let until = Some(Instant::now() + length);
        let mut rests_until = self.rests_until.lock();
        *rests_until = until.max(*rests_until);
        // What is there after it may be another server.
        self.head.store(0, Ordering::Release);
    }

    fn count(&self, kind: &'static str) {
        self.counted.get_or_create(&Kind { kind }).inc();
    }

    pub(super) async fn close(&self) {
        // Nobody waits for what it still reads.
        let _ = timeout(SILENCE, self.readers.close()).await;
    }
}
