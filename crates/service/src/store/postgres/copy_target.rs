//! Fills an empty database with the rows of another store, all in one transaction.

use std::thread;

use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::options::PostgresOptions;
use super::pg_error::{PgError, PgResult};
use super::pooler::connect_first;
use super::rows::profiles::profile_columns;
use super::rows::values::{int, value};
use super::rows::{LOCK, change_log};
use super::schema::{self, random};
use super::session::{Connector, PgSession, call};
use super::url::PostgresUrl;
use crate::store::StoreError;
use crate::store::copied_rows::{CopiedFacts, CopiedValue, CopySource};
use rosterd_engine::model::Visibility;

/// The bytes that are sent at a time.
const PIECE: usize = 256 * 1024;

/// The pieces that wait to be sent.
const WAITING: usize = 4;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    Number,
    Flag,
    Text,
    Bytes,
}

/// A table in both stores.
struct CopiedTable {
    from: &'static str,
    to: &'static str,
    columns: Vec<(&'static str, ColumnKind)>,
}

/// A piece of a table, or its end.
enum Piece {
    Rows(Vec<u8>, u64),
    End,
}

/// Returns the tables that are copied. The counts come with the others, because triggers do not see the rows.
fn tables() -> Vec<CopiedTable> {
    use ColumnKind::{Bytes, Flag, Number, Text};
    let profile = || {
        let kind = |array| match array {
            "text[]" => Text,
            "bytea[]" => Bytes,
            _ => Number,
        };
        profile_columns().map(move |(name, array)| (name, kind(array))).collect::<Vec<_>>()
    };
    let times = [("create_time", Number), ("update_time", Number), ("version", Number)];
    let table =
        |from, to, columns: &[&[(&'static str, ColumnKind)]]| CopiedTable { from, to, columns: columns.concat() };
    let presence = [
        ("account", Text),
        ("invisible", Flag),
        ("invisible_version", Number),
        ("status", Text),
        ("status_until", Number),
        ("status_time", Number),
        ("online", Flag),
        ("last_seen", Number),
        ("seen_stamp", Number),
        ("devices", Text),
    ];
    let views =
        ["shown", "friends_version", "friends_time", "everyone_version", "everyone_time"].map(|name| (name, Number));
    let counts = ["friends", "sent", "received", "blocks"].map(|name| (name, Number));
    let positions = ["history", "stamp", "idx", "seen", "state", "since", "failures", "failing_since", "fence", "kept"];
    let sides: [(&'static str, ColumnKind); 5] =
        [("sender", Text), ("receiver", Text), ("side", Number), ("message", Bytes), ("state", Number)];
    let edge = [("owner", Text), ("peer", Text), ("removed", Flag), ("alias", Text), ("custom", Bytes)];
    let block = [("owner", Text), ("peer", Text), ("removed", Flag), ("last_seen", Number)];
    let credential =
        [("account", Text), ("revoked_before", Number), ("salt", Bytes), ("hash", Bytes), ("issued", Number)];
    let audit =
        [("number", Number), ("time", Number), ("caller", Text), ("action", Text), ("subject", Text), ("detail", Text)];
    vec![
        table("user", "users", &[&profile(), &presence]),
        table("edge", "edge", &[&edge, &times]),
        table("request", "request", &[&sides, &times]),
        table("block", "block", &[&block, &times, &views]),
        table("frozen", "frozen", &[&[("viewer", Text), ("account", Text)], &profile()]),
        table("credential", "credential", &[&credential]),
        table("relation_count", "relation_count", &[&[("account", Text)], &counts]),
        table("audit", "audit", &[&audit]),
        table("webhook", "webhook", &[&[("name", Text)], &positions.map(|name| (name, Number))]),
    ]
}

/// Copies all rows into an empty database, and returns how many there were. `progress` is told how many are copied, of how
/// many. Blocks for as long as that takes; until the end, the database stays empty for all others.
///
/// # Errors
/// One sentence for the operator: either store cannot be used, or the database is not empty. It is as empty as before.
pub fn copy_into(
    url: &PostgresUrl,
    source: impl CopySource,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, StoreError> {
    let facts = source.facts()?;
    let (pieces, incoming) = mpsc::channel(WAITING);
    let reader = thread::Builder::new().name("rosterd-copy".into());
    let reader = reader.spawn(move || read(&source, &pieces));
    let reader = reader.map_err(|error| StoreError(format!("cannot start a thread to read with: {error}")))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError(format!("cannot start the copy: {error}")))?;
    let filled = runtime.block_on(fill(url, &facts, incoming, progress));
    // What went wrong in reading is the cause of what went wrong in writing.
    match reader.join() {
        Ok(Ok(())) => filled.map(|()| facts.rows),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StoreError("the reading of the store broke off".into())),
    }
}

/// Reads all tables, in order. It ends early if nobody takes the rows any more.
fn read(source: &impl CopySource, pieces: &mpsc::Sender<Piece>) -> Result<(), StoreError> {
    for table in tables() {
        let (mut piece, mut count) = (Vec::with_capacity(PIECE), 0);
        let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
        let mut is_over = false;
        source.rows(table.from, &columns, &mut |values| {
            put_row(&mut piece, &table, values)?;
            count += 1;
            if piece.len() >= PIECE && !is_over {
                is_over =
                    pieces.blocking_send(Piece::Rows(std::mem::take(&mut piece), std::mem::take(&mut count))).is_err();
            }
            Ok(())
        })?;
        let sent = pieces.blocking_send(Piece::Rows(piece, count)).and_then(|()| pieces.blocking_send(Piece::End));
        if sent.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes a row in the text form of COPY.
fn put_row(out: &mut Vec<u8>, table: &CopiedTable, values: &[CopiedValue<'_>]) -> Result<(), StoreError> {
    for (at, (value, (name, kind))) in values.iter().zip(&table.columns).enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        match (value, kind) {
            (CopiedValue::Null, _) => out.extend_from_slice(b"\\N"),
            (CopiedValue::Number(number), ColumnKind::Flag) => out.push(if *number == 0 { b'f' } else { b't' }),
            (CopiedValue::Number(number), _) => out.extend_from_slice(number.to_string().as_bytes()),
            (CopiedValue::Bytes(bytes), ColumnKind::Bytes) => put_hex(out, bytes),
            (CopiedValue::Bytes(text), _) if text.contains(&0) || std::str::from_utf8(text).is_err() => {
                let what = "holds U+0000 or is no UTF-8, which PostgreSQL cannot keep";
                return Err(StoreError(format!("a text in the column {name} of {} {what}", table.from)));
            }
            (CopiedValue::Bytes(text), _) => put_text(out, text),
        }
    }
    out.push(b'\n');
    Ok(())
}

fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\\\x");
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            other => out.push(*other),
        }
    }
}

async fn fill(
    url: &PostgresUrl,
    facts: &CopiedFacts,
    mut incoming: mpsc::Receiver<Piece>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), StoreError> {
    let visibility = Visibility::from_line(&facts.visibility).unwrap_or_default();
    let options = PostgresOptions { visibility, ..PostgresOptions::default() };
    let prepared = async {
        let session = connect_first(&Connector::new(url)).await?;
        schema::prepare(&session, &options).await?;
        Ok(session)
    };
    let session = prepared.await.map_err(|error| schema::explain(url, &error))?;
    let explained = |error: PgError| schema::explain(url, &error.into());
    if !is_empty(&session).await.map_err(explained)? {
        return Err(StoreError(format!("the database {url} is not empty: a copy goes into an empty one")));
    }
    let filled = async {
        session.run("SET idle_in_transaction_session_timeout = 0").await?;
        session
            .run("BEGIN; SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'")
            .await?;
        session.run(LOCK).await?;
        session.run("ALTER TABLE edge DISABLE TRIGGER USER; ALTER TABLE request DISABLE TRIGGER USER; ALTER TABLE block DISABLE TRIGGER USER").await?;
        let mut copied = 0;
        for table in tables() {
            copied = copy_table(&session, &table, &mut incoming, (copied, facts.rows), progress).await?;
        }
        session.run("ALTER TABLE edge ENABLE TRIGGER USER; ALTER TABLE request ENABLE TRIGGER USER; ALTER TABLE block ENABLE TRIGGER USER").await?;
        put_facts(&session, facts).await?;
        session.run("COMMIT; ANALYZE users, edge, request, block, frozen, credential, relation_count").await
    };
    filled.await.map_err(explained)
}

async fn is_empty(session: &PgSession) -> PgResult<bool> {
    let sql = "SELECT (SELECT max(last) FROM feed) = 0 AND NOT EXISTS (SELECT 1 FROM users)
                   AND NOT EXISTS (SELECT 1 FROM credential) AND NOT EXISTS (SELECT 1 FROM audit)
                   AND NOT EXISTS (SELECT 1 FROM webhook)";
    value(&session.row(call!(sql)).await?, 0)
}

/// Copies a table, and returns the rows so far.
async fn copy_table(
    session: &PgSession,
    table: &CopiedTable,
    incoming: &mut mpsc::Receiver<Piece>,
    (mut copied, all): (u64, u64),
    progress: &mut dyn FnMut(u64, u64),
) -> PgResult<u64> {
    let columns = table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let mut sink = session.copy_in(&format!("COPY {} ({columns}) FROM STDIN", table.to)).await?;
    loop {
        match incoming.recv().await {
            Some(Piece::Rows(rows, count)) => {
                sink.send(rows).await?;
                copied += count;
                progress(copied, all);
            }
            Some(Piece::End) => break,
            None => return Err(PgError::Damaged("the rows broke off".into())),
        }
    }
    sink.finish().await?;
    Ok(copied)
}

/// Takes the facts over. The log of changes begins after the last revision.
async fn put_facts(session: &PgSession, facts: &CopiedFacts) -> PgResult<()> {
    let sql = "UPDATE meta SET floor = $1, visibility = $2, seen = $3, numbers_seen = $4, audit_salt = $5";
    let (floor, seen) = (int(facts.compacted), int(facts.seen));
    let (visibility, salt) = (facts.visibility.clone(), facts.audit_salt.clone());
    session.query(call!(sql, floor, visibility, seen, facts.numbers_seen, salt)).await?;
    session.query(call!("UPDATE audit_last SET number = $1", int(facts.last_entry))).await?;
    session.query(call!("UPDATE feed SET first = $1, last = $1, nonce = $2", int(facts.head), random()?)).await?;
    session.pipeline(&change_log::begin(random()?)).await.map(drop)
}
