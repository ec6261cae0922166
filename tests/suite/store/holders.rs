//! Somebody holds the lock of all writes and stands still: how long the others wait, wherever it stopped.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rosterd::store::Write;
use rosterd_engine::model::{Command, WriteOrigin};
use rosterd_postgres_server::ROLE;
use tokio::time::{sleep, timeout};

use super::postgres::until;
use super::rig::{Place, Running, nick};
use super::shared::{StuckWriter, TAKE_LOCK, applied, join, join_counted};
use crate::support::PATIENCE;

/// How long a writer may be idle in a transaction until the server ends it.
const IDLE: Duration = Duration::from_secs(2);
/// How long others wait for the lock until they end who holds it and does nothing.
const PATIENT: Duration = Duration::from_secs(3);
/// How much later than promised something may happen on a busy machine. Less than the wait for the lock, which must not begin
/// anew.
const SLACK: Duration = Duration::from_secs(2);
/// For how long others have waited for the lock when its holder stops.
const WAITED: Duration = Duration::from_millis(700);

/// Writers that wait for the lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rosterd writer'
                       AND datname = current_database() AND wait_event_type = 'Lock'";

/// Writes, which must succeed.
fn write(db: &Running, command: Command) -> impl Future<Output = ()> + Send + 'static {
    let (store, write) = (db.store.clone(), Write { commands: vec![command], origin: WriteOrigin::Import });
    async move { drop(store.write(write).await.unwrap()) }
}

/// What a session does before it stands still.
pub(super) type HowToStop = fn(&mut RawSession);

/// A session that speaks the protocol of the database itself, so that it can stop where no client library does.
pub(super) struct RawSession {
    stream: TcpStream,
    /// The server's process for it.
    pub(super) pid: u32,
}

impl RawSession {
    /// Connects as a writer does; `None` for a server that would ask who it is.
    fn connect(place: &Place) -> Option<Self> {
        let (server, database) = place.database.as_ref().unwrap();
        server.socket()?;
        Some(Self::begin(TcpStream::connect(server.address()).unwrap(), &database.name))
    }

    /// The same on a connection that there is.
    pub(super) fn begin(stream: TcpStream, database: &str) -> Self {
        // A request of several parts goes out at once.
        stream.set_nodelay(true).unwrap();
        let mut session = Self { stream, pid: 0 };
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", ROLE, "database", database, "application_name", "rosterd writer", ""] {
            body.extend([text.as_bytes(), b"\0"].concat());
        }
        session.send(b"", &body);
        session.until_ready();
        session
    }

    pub(super) fn take_lock(&mut self) {
        self.run("BEGIN; SELECT id FROM rosterd.sequencer WHERE id = 1 FOR UPDATE");
    }

    /// Sends a message of a kind.
    fn send(&mut self, kind: &[u8], body: &[u8]) {
        let length = (u32::try_from(body.len()).unwrap() + 4).to_be_bytes();
        self.stream.write_all(&[kind, &length, body].concat()).unwrap();
    }

    /// Reads until the server waits for something else.
    fn until_ready(&mut self) {
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).unwrap();
            let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
            let mut body = vec![0; number(&head[1..]) as usize - 4];
            self.stream.read_exact(&mut body).unwrap();
            match head[0] {
                b'E' => panic!("{}", String::from_utf8_lossy(&body)),
                b'K' => self.pid = number(&body),
                b'Z' => return,
                _ => {}
            }
        }
    }

    pub(super) fn run(&mut self, sql: &str) {
        self.send(b"Q", &[sql.as_bytes(), b"\0"].concat());
        self.until_ready();
    }

    /// Has the server's limit for a writer that does nothing.
    pub(super) fn stop_between_requests(&mut self) {
        self.run("SET LOCAL idle_in_transaction_session_timeout = '2s'");
    }

    /// Sends a statement to prepare, to bind and to execute, and not the end of that.
    pub(super) fn stop_within_a_request(&mut self) {
        self.send(b"P", b"\0SELECT 1\0\0\0");
        self.send(b"B", b"\0\0\0\0\0\0\0\0");
        self.send(b"E", b"\0\0\0\0\0");
    }

    /// Asks for more than anything between the two holds, and reads nothing of it.
    pub(super) fn stop_within_an_answer(&mut self) {
        self.send(b"Q", b"SELECT repeat('x', 1000000) FROM generate_series(1, 500)\0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stands_still_with_the_lock_holds_others_up_for_three_seconds_wherever_it_stopped() {
    let Some(place) = Place::postgres() else { return };
    let ((counted, one), (counts, other)) = (join_counted(&place), join_counted(&place));
    one.run(nick("a", "Ann")).await;
    let stops: [(HowToStop, &str, &str, Duration); 3] = [
        (RawSession::stop_between_requests, "idle in transaction", "ClientRead", IDLE),
        (RawSession::stop_within_a_request, "active", "ClientRead", PATIENT),
        (RawSession::stop_within_an_answer, "active", "ClientWrite", PATIENT),
    ];
    for (turn, (stop, state, event, bound)) in stops.into_iter().enumerate() {
        let Some(mut holder) = RawSession::connect(&place) else { return };
        let ended = || counted.lock_holders_ended.get() + counts.lock_holders_ended.get();
        let before = ended();
        holder.take_lock();
        let writes = [write(&one, nick("a", &format!("{turn}"))), write(&other, nick("b", &format!("{turn}")))];
        let both = tokio::spawn(join_all(writes));
        until(|| place.sql(WAITING) == "2").await;
        sleep(WAITED).await;
        stop(&mut holder);
        let stopped = Instant::now();
        let stands = format!("SELECT state || ', ' || wait_event FROM pg_stat_activity WHERE pid = {}", holder.pid);
        until(|| place.sql(&stands) == format!("{state}, {event}")).await;
        timeout(PATIENCE, both).await.expect("they go on").unwrap();
        let took = stopped.elapsed();
        assert!(took > bound * 3 / 4 && took < bound + SLACK, "{state}, {event}: {took:?}");
        assert_eq!(place.sql(&stands), "", "its session has ended");
        // The server ends who is idle, the others end who is not.
        assert_eq!(ended() - before > 0, bound == PATIENT, "{state}, {event}");
    }
    let head = one.store.head().max(other.store.head());
    until(|| applied(&one) == head && applied(&other) == head).await;
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_with_the_lock_holds_nobody_up() {
    let Some(place) = Place::postgres() else { return };
    let (counted, db) = join_counted(&place);
    let other = join(&place);
    db.run(nick("a", "Ann")).await;
    let holder = StuckWriter::start(&place, TAKE_LOCK);
    let holds = WAITING.replace("wait_event_type = 'Lock'", "state = 'idle in transaction'");
    until(|| place.sql(&holds) == "1").await;
    let asked = tokio::spawn(write(&db, nick("a", "Anna")));
    until(|| place.sql(WAITING) == "1").await;
    let killed = Instant::now();
    drop(holder);
    timeout(PATIENCE, asked).await.expect("it goes on").unwrap();
    // Not by patience, which takes longer.
    assert!(killed.elapsed() < IDLE && counted.lock_holders_ended.get() == 0, "{:?}", killed.elapsed());
    until(|| applied(&other) == 2).await;
    db.close().await;
    other.close().await;
}
