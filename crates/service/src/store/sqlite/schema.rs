//! Checks a database file before it is used, and migrates it: ours, of a known version, and writable.
//!
//! A file that is not ours is recognized before anything is written to it. Called once, by `open`.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::rows::{self, change_log, delivery, number, profiles};
use crate::store::StoreError;
use rosterd_engine::model::{Epoch, LogHistory, Revision, SeenNumber, Visibility};

/// The bytes "rstd", which `SQLite` keeps in the header of the file.
const APPLICATION: i32 = 0x7273_7464;

/// The migrations: number `n` brings the schema from version `n - 1` to `n`. Released ones are never edited.
const MIGRATIONS: [&str; 16] = [
    include_str!("../schema/sqlite/0001_profiles_and_edges.sql"),
    include_str!("../schema/sqlite/0002_relations_views_presence.sql"),
    include_str!("../schema/sqlite/0003_credentials.sql"),
    include_str!("../schema/sqlite/0004_relation_counts.sql"),
    include_str!("../schema/sqlite/0005_request_copies.sql"),
    include_str!("../schema/sqlite/0006_what_a_peer_sees.sql"),
    include_str!("../schema/sqlite/0007_version_of_invisible.sql"),
    include_str!("../schema/sqlite/0008_change_log.sql"),
    include_str!("../schema/sqlite/0009_audit.sql"),
    include_str!("../schema/sqlite/0010_webhooks.sql"),
    include_str!("../schema/sqlite/0011_presence_numbers.sql"),
    include_str!("../schema/sqlite/0012_compressed_log.sql"),
    include_str!("../schema/sqlite/0013_head_of_the_log.sql"),
    include_str!("../schema/sqlite/0014_own_fields.sql"),
    include_str!("../schema/sqlite/0015_status.sql"),
    include_str!("../schema/sqlite/0016_devices.sql"),
];

/// The epoch and the history in a copy, which gets its own when it is opened first.
pub(super) const COPIED: i64 = 0;

/// The pages of the write-ahead log at which it is copied back into the database.
const CHECKPOINT_PAGES: u64 = 4000;

/// The most bytes that the write-ahead log keeps once it is copied back: 16 MB.
pub(super) const LOG_BYTES: u64 = CHECKPOINT_PAGES * 4096;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("it is an SQLite database, but not one of rosterd's")]
    Foreign,
    #[error("its schema has version {found}, this rosterd knows versions up to {known}: use a newer rosterd")]
    Newer { found: i64, known: usize },
    #[error("it cannot be written: check the permissions of the file and its directory")]
    ReadOnly,
    #[error("its file system does not support a write-ahead log (journal mode is \"{0}\")")]
    NoLog(String),
    #[error("there is nothing in it")]
    Empty,
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("no randomness for an epoch: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Puts an error into one sentence for the operator.
pub(super) fn explain(path: &Path, error: &SchemaError) -> StoreError {
    let code = match error {
        SchemaError::Sqlite(error) => error.sqlite_error_code(),
        _ => None,
    };
    let why = match code {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite database".into(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "it is locked by another process".into(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => SchemaError::ReadOnly.to_string(),
        _ => error.to_string(),
    };
    StoreError(format!("cannot use the database {}: {why}", path.display()))
}

/// The facts that a store keeps about itself.
pub(super) struct Meta {
    pub epoch: Epoch,
    pub revision: Revision,
    pub compacted: Revision,
    /// The identity of the change log, unless none is kept.
    pub history: Option<LogHistory>,
    /// The size of the change log.
    pub log_bytes: u64,
    /// The number of the last presence transition, unless they get none.
    pub seen: Option<SeenNumber>,
}

/// What is kept for those who follow the store from outside.
#[derive(Clone, Copy)]
pub(super) struct KeptForFollowers {
    pub log: bool,
    pub presence: bool,
}

/// Verifies and migrates the database, and sets the connection up for writing.
pub(super) fn prepare(
    conn: &mut Connection,
    visibility: &Visibility,
    keeps: KeptForFollowers,
) -> Result<(Meta, Visibility), SchemaError> {
    // Closing must not touch even the log of a database that turns out not to be ours.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    verify(conn)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    // SQLite opens a file that it may not write for reading, and even begins a write transaction on it.
    if conn.is_readonly("main")? {
        return Err(SchemaError::ReadOnly);
    }
    let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |record| record.get::<_, String>(0))?;
    if mode != "wal" {
        return Err(SchemaError::NoLog(mode));
    }
    // NORMAL would lose the last commits, already answered, when the power fails.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES as i64)?;
    // A reader that stayed long, such as a backup, lets the log grow; afterwards it is cut off again.
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES as i64)?;
    // What is erased is overwritten, and does not stay in a free part of the file.
    conn.pragma_update(None, "secure_delete", true)?;
    migrate(conn)?;
    begin_log(conn, keeps.log)?;
    number_presence(conn, keeps.log && keeps.presence)?;
    rule(conn, visibility)
}

/// Verifies and migrates the database, and changes nothing else.
pub(super) fn bring_up_to_date(conn: &mut Connection) -> Result<(), SchemaError> {
    verify_used(conn)?;
    migrate(conn)
}

/// Begins a new history where clients that come back must sync in full: after a copy was put back, because they may hold
/// what came after it, and where it cannot be read by which rules they saw what they hold.
///
/// Otherwise a change of the rules about who sees what begins here: it is complete once all views are in line.
fn rule(conn: &mut Connection, visibility: &Visibility) -> Result<(Meta, Visibility), SchemaError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let stored: String = tx.query_row("SELECT visibility FROM meta", [], |record| record.get(0))?;
    tx.execute("UPDATE meta SET epoch = ?1 WHERE epoch = ?2", [epoch()?, COPIED])?;
    let opening = visibility.clone().opening(&stored, meta(&tx)?.revision);
    if opening.is_none() {
        tx.execute("UPDATE meta SET epoch = ?1", [epoch()?])?;
    }
    let rules = opening.unwrap_or_else(|| visibility.clone());
    keep_rules(&tx, &rules)?;
    let meta = meta(&tx)?;
    tx.commit()?;
    Ok((meta, rules))
}

/// Keeps the rules about who sees what.
pub(super) fn keep_rules(conn: &Connection, rules: &Visibility) -> Result<(), rusqlite::Error> {
    let stored: String = conn.query_row("SELECT visibility FROM meta", [], |record| record.get(0))?;
    let text = rules.to_text(&stored);
    if stored != text {
        conn.execute("UPDATE meta SET visibility = ?1", [text])?;
    }
    Ok(())
}

/// Begins a new change log where changes may be missing in the old one: in a copy that was put back, and after no log was
/// kept.
fn begin_log(conn: &mut Connection, keeps_log: bool) -> Result<(), SchemaError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let history: i64 = tx.query_row("SELECT history FROM meta", [], |record| record.get(0))?;
    if history == COPIED || !keeps_log {
        change_log::clear(&tx)?;
        delivery::clear_dead(&tx)?;
        let history = if keeps_log { epoch()? } else { COPIED };
        tx.execute("UPDATE meta SET history = ?1", [history])?;
    }
    Ok(tx.commit()?)
}

/// Begins to number presence transitions, or ends that. Where it begins, all accounts that are online or that a follower may
/// think to be take a number: nobody saw what they did meanwhile.
fn number_presence(conn: &mut Connection, numbers: bool) -> Result<(), SchemaError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let numbered: bool = tx.query_row("SELECT numbers_seen FROM meta", [], |record| record.get(0))?;
    if numbered != numbers {
        if numbers {
            profiles::number_all(&tx)?;
        }
        tx.execute("UPDATE meta SET numbers_seen = ?1", [numbers])?;
    }
    Ok(tx.commit()?)
}

/// Makes a random epoch, as it is stored.
fn epoch() -> Result<i64, SchemaError> {
    getrandom::u64().map(u64::cast_signed).map_err(SchemaError::Random)
}

fn verify(conn: &Connection) -> Result<(), SchemaError> {
    let (application, version) = (header(conn, "application_id")?, header(conn, "user_version")?);
    let things: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |record| record.get(0))?;
    let fresh = (application, version, things) == (0, 0, 0);
    if !fresh && application != i64::from(APPLICATION) {
        return Err(SchemaError::Foreign);
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(()),
        _ => Err(SchemaError::Newer { found: version, known: MIGRATIONS.len() }),
    }
}

/// Verifies a database that is only to be read. An empty file is one that nobody has opened yet.
pub(super) fn verify_used(conn: &Connection) -> Result<(), SchemaError> {
    verify(conn)?;
    if header(conn, "user_version")? == 0 { Err(SchemaError::Empty) } else { Ok(()) }
}

fn header(conn: &Connection, field: &str) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, field, |record| record.get(0))
}

/// Runs the missing migrations.
///
/// Even if none is missing, this takes the write lock once, so that another writing process is noticed here and not at
/// the first write.
fn migrate(conn: &mut Connection) -> Result<(), SchemaError> {
    loop {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = header(&tx, "user_version")?;
        let next = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version));
        let Some(migration) = next else {
            return Ok(());
        };
        tx.execute_batch(migration)?;
        if version == 0 {
            tx.pragma_update(None, "application_id", APPLICATION)?;
            tx.execute("INSERT INTO meta (id, epoch, stamp, floor) VALUES (1, ?1, 0, 0)", [epoch()?])?;
        }
        tx.pragma_update(None, "user_version", version + 1)?;
        tx.commit()?;
    }
}

fn meta(conn: &Connection) -> rusqlite::Result<Meta> {
    let (lineage, revision) = rows::extent(conn)?;
    let log_bytes = change_log::bytes(conn)?;
    conn.query_row("SELECT history, seen, numbers_seen FROM meta", [], |record| {
        Ok(Meta {
            epoch: lineage.epoch,
            revision,
            compacted: lineage.compacted,
            history: Some(record.get::<_, i64>(0)?).filter(|it| *it != COPIED).map(|it| LogHistory(it.cast_unsigned())),
            log_bytes,
            seen: if record.get(2)? { Some(number(record, 1)?) } else { None },
        })
    })
}
