//! What PostgreSQL does alone: the transaction of a batch, statement for statement, with nothing of rosterd around it.
//!
//! Each writer takes the lock of all writes, reads the end of the log and the rows, puts the rows and one row of the log, and
//! commits: in two round trips, as a gateway does. It is the floor for stores and gateways.

use std::time::{Duration, Instant};

use futures::future::{join_all, try_join, try_join3, try_join4};
use hdrhistogram::Histogram;
use rosterd_bench::graph::Chance;
use rosterd_bench::tally::histogram;
use tokio::time::sleep_until;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, NoTls, Statement, connect};

use super::written::{WAITING, Written, micros};

/// How many accounts there are.
const ACCOUNTS: u32 = 20_000;
/// The bytes of one change in the log.
const CHANGE: usize = 100;

/// The columns of a profile besides the account: texts, and then numbers that all are the revision or the time.
const TABLES: &str = r#"
    CREATE TABLE sequencer (id smallint NOT NULL PRIMARY KEY);
    INSERT INTO sequencer VALUES (1);
    CREATE TABLE users (
        account text COLLATE "C" NOT NULL PRIMARY KEY, nick text NOT NULL, avatar text NOT NULL, sign text NOT NULL,
        custom bytea NOT NULL, create_time bigint NOT NULL, update_time bigint NOT NULL, version bigint NOT NULL,
        friends_version bigint NOT NULL, friends_time bigint NOT NULL,
        everyone_version bigint NOT NULL, everyone_time bigint NOT NULL
    ) WITH (fillfactor = 80);
    CREATE TABLE feed (
        first bigint NOT NULL PRIMARY KEY, last bigint NOT NULL, writer bigint NOT NULL, time bigint NOT NULL,
        changes bytea NOT NULL
    );
    ALTER TABLE feed ALTER changes SET STORAGE EXTERNAL;
    INSERT INTO feed VALUES (0, 0, 0, 0, '');
"#;
const FILL: &str = "INSERT INTO users
    SELECT 'user-' || g, 'Nick', 'http://avatar/' || g, 'hello, world', '', 1, 1, 0, 0, 1, 0, 1
    FROM generate_series(0, $1::bigint - 1) g";
const LOCK: &str = "SELECT id FROM sequencer WHERE id = 1 FOR UPDATE";
const HEAD: &str =
    "SELECT last, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM feed ORDER BY first DESC LIMIT 1";
const READ: &str = "SELECT account, nick, avatar, sign, custom, create_time, update_time, version, friends_version,
    friends_time, everyone_version, everyone_time FROM users WHERE account = ANY($1)";
const PUT: &str =
    "INSERT INTO users SELECT account, nick, avatar, sign, custom, created, time, version, version, time, version, time
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[])
        AS given (account, nick, avatar, sign, custom, created, time, version)
    ON CONFLICT (account) DO UPDATE SET nick = excluded.nick, avatar = excluded.avatar, sign = excluded.sign,
        custom = excluded.custom, create_time = excluded.create_time, update_time = excluded.update_time,
        version = excluded.version, friends_version = excluded.friends_version, friends_time = excluded.friends_time,
        everyone_version = excluded.everyone_version, everyone_time = excluded.everyone_time";
const LOG: &str = "INSERT INTO feed VALUES ($1, $2, $3, $4, $5)";

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

/// A connection with its statements.
struct AloneWriter {
    client: Client,
    lock: Statement,
    head: Statement,
    read: Statement,
    put: Statement,
    log: Statement,
    number: i64,
    chance: Chance,
}

/// Makes the tables.
pub(crate) async fn prepare(url: &str) -> Result<(), Error> {
    let client = open(url).await?;
    client.batch_execute(TABLES).await?;
    client.execute(FILL, &[&i64::from(ACCOUNTS)]).await?;
    Ok(())
}

/// Has so many writers write for this long: batches of as many updates as would wait on a node, or so many updates in all.
pub(crate) async fn measure(
    url: &str,
    writers: u32,
    per_second: Option<u32>,
    length: Duration,
) -> Result<Written, Error> {
    let opened = join_all((0..writers).map(|number| AloneWriter::open(url, number))).await;
    let opened = opened.into_iter().collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let step = |at: usize| {
        let every = Duration::from_secs_f64(f64::from(writers) / f64::from(per_second?));
        Some((begun + every.mul_f64(at as f64 / f64::from(writers)), every))
    };
    let writing =
        opened.into_iter().enumerate().map(|(at, writer)| tokio::spawn(writer.write(step(at), begun + length)));
    let mut latency = histogram();
    for each in join_all(writing.collect::<Vec<_>>()).await {
        latency.add(each.expect("no panic")?).expect("the same bounds");
    }
    Ok(Written { latency, lag: histogram(), seconds: begun.elapsed().as_secs_f64() })
}

async fn open(url: &str) -> Result<Client, Error> {
    let (client, connection) = connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl AloneWriter {
    async fn open(url: &str, number: u32) -> Result<Self, Error> {
        let client = open(url).await?;
        let (lock, head) = try_join(client.prepare(LOCK), client.prepare(HEAD)).await?;
        let (read, put, log) = try_join3(client.prepare(READ), client.prepare(PUT), client.prepare(LOG)).await?;
        let chance = Chance::new(u64::from(number) + 1);
        Ok(Self { client, lock, head, read, put, log, number: number.into(), chance })
    }

    /// Writes until the time is over: full batches, or what is due by the time of the first update and the step to the next.
    async fn write(mut self, pace: Option<(Instant, Duration)>, end: Instant) -> Result<Histogram<u64>, Error> {
        let mut latency = histogram();
        let mut pace = pace;
        loop {
            let due = match &mut pace {
                None => vec![Instant::now(); WAITING],
                Some((next, step)) => {
                    sleep_until((*next).into()).await;
                    let mut due = Vec::new();
                    while *next <= Instant::now() && due.len() < WAITING {
                        due.push(*next);
                        *next += *step;
                    }
                    due
                }
            };
            if Instant::now() >= end {
                return Ok(latency);
            }
            self.transact(due.len()).await?;
            for due in due {
                latency.saturating_record(micros(due.elapsed()));
            }
        }
    }

    /// One batch that changes so many accounts.
    async fn transact(&mut self, size: usize) -> Result<(), Error> {
        let mut accounts = std::collections::BTreeSet::new();
        while accounts.len() < size {
            accounts.insert(format!("user-{}", self.chance.below(ACCOUNTS)));
        }
        let accounts: Vec<_> = accounts.into_iter().collect();
        let (none, given): (&Parameters, &Parameters) = (&[], &[&accounts]);
        let Self { client, .. } = self;
        let begin = client.batch_execute("BEGIN");
        let (lock, head, read) =
            (client.query(&self.lock, none), client.query_one(&self.head, none), client.query(&self.read, given));
        let ((), _, head, rows) = try_join4(begin, lock, head, read).await?;
        let (last, now): (i64, i64) = (head.get(0), head.get(1));
        let text = |column: usize| rows.iter().map(|row| row.get::<_, String>(column)).collect::<Vec<_>>();
        let nicks: Vec<_> = rows.iter().map(|_| format!("Nick {:06}", self.chance.below(1_000_000))).collect();
        let custom: Vec<Vec<u8>> = rows.iter().map(|row| row.get(4)).collect();
        let created: Vec<i64> = rows.iter().map(|row| row.get(5)).collect();
        let versions: Vec<_> = (last + 1..).take(rows.len()).collect();
        let (first, end) = (last + 1, last + rows.len() as i64);
        // Not compressible, as what is compressed.
        let changes: Vec<u8> = (0..CHANGE * rows.len()).map(|_| self.chance.below(256) as u8).collect();
        let (names, avatars, signs, times) = (text(0), text(2), text(3), vec![now; rows.len()]);
        let put: &Parameters = &[&names, &nicks, &avatars, &signs, &custom, &created, &times, &versions];
        let log: &Parameters = &[&first, &end, &self.number, &now, &changes];
        let put = self.client.execute(&self.put, put);
        let log = self.client.execute(&self.log, log);
        let (put, _, ()) = try_join3(put, log, self.client.batch_execute("COMMIT")).await?;
        assert_eq!(put as usize, size, "every account is there, and is written");
        Ok(())
    }
}
