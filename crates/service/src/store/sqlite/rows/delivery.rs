//! The rows of deliveries to endpoints.

use rusqlite::{Connection, OptionalExtension, Result, Row as Record, params};

use super::values::{int, number};
use crate::store::{DEAD_LETTERS, DeadLetter};
use rosterd_engine::model::{FeedPosition, LogHistory, Millis};
use rosterd_engine::sync::delivery::{DeliveryState, EventKey, KeptDelivery};

/// Reads what is kept of a delivery.
pub(in crate::store::sqlite) fn delivery(conn: &Connection, name: &str) -> Result<Option<KeptDelivery>> {
    let sql = "SELECT history, stamp, idx, state, since, failures, failing_since, seen FROM webhook WHERE name = ?1";
    conn.prepare_cached(sql)?.query_row([name], kept).optional()
}

fn kept(record: &Record<'_>) -> Result<KeptDelivery> {
    let state = record.get::<_, u8>(3)?;
    Ok(KeptDelivery {
        position: FeedPosition {
            history: LogHistory(record.get::<_, i64>(0)?.cast_unsigned()),
            revision: number(record, 1)?,
            index: u32::try_from(record.get::<_, i64>(2)?).ok(),
            seen: number(record, 7)?,
        },
        // A state of a later release is one that an operator looks at.
        state: DeliveryState::ALL.get(usize::from(state)).copied().unwrap_or(DeliveryState::Held),
        since: number(record, 4)?,
        failures: record.get(5)?,
        failing_since: number(record, 6)?,
    })
}

/// Writes what is kept of a delivery, and the event that it skips.
pub(in crate::store::sqlite) fn put_delivery(
    conn: &Connection,
    (name, now): (&str, Millis),
    kept: &KeptDelivery,
    dead: Option<&DeadLetter>,
) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO webhook
               (name, history, stamp, idx, seen, state, since, failures, failing_since, fence, kept)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10)";
    let position = kept.position;
    conn.prepare_cached(sql)?.execute(params![
        name,
        position.history.0.cast_signed(),
        int(position.revision),
        position.index.map_or(-1, i64::from),
        int(position.seen),
        kept.state.number(),
        int(kept.since),
        kept.failures,
        int(kept.failing_since),
        int(now),
    ])?;
    let Some(dead) = dead else { return Ok(()) };
    let sql = "INSERT OR REPLACE INTO dead (name, stamp, idx, time, status) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (number, index) = columns(dead.event);
    conn.prepare_cached(sql)?.execute(params![name, number, index, int(dead.time), dead.status])?;
    let sql = "DELETE FROM dead WHERE name = ?1 AND (stamp, idx) IN
               (SELECT stamp, idx FROM dead WHERE name = ?1 ORDER BY stamp DESC, idx DESC LIMIT -1 OFFSET ?2)";
    conn.prepare_cached(sql)?.execute(params![name, DEAD_LETTERS as i64])?;
    Ok(())
}

/// Returns `stamp` and `idx` of an event; presence, which is no part of a change, has no index.
fn columns(event: EventKey) -> (i64, i64) {
    match event {
        EventKey::Change { revision, index } => (int(revision), i64::from(index)),
        EventKey::Presence(seen) => (int(seen), -1),
    }
}

/// Forgets the deliveries last written before a time, except those of these names.
pub(in crate::store::sqlite) fn forget(conn: &Connection, except: &[String], before: Millis) -> Result<()> {
    let mut select = conn.prepare_cached("SELECT name FROM webhook WHERE kept < ?1")?;
    let names: Vec<String> = select.query_map([int(before)], |record| record.get(0))?.collect::<Result<_>>()?;
    for name in names.iter().filter(|name| !except.contains(name)) {
        conn.execute("DELETE FROM webhook WHERE name = ?1", [name])?;
        conn.execute("DELETE FROM dead WHERE name = ?1", [name])?;
    }
    Ok(())
}

/// Reads dead letters after an event.
pub(in crate::store::sqlite) fn dead_letters(
    conn: &Connection,
    name: &str,
    after: Option<EventKey>,
    limit: usize,
) -> Result<Vec<DeadLetter>> {
    // Those of changes come first.
    let sql = "SELECT stamp, idx, time, status FROM dead WHERE name = ?1 AND (idx < 0, stamp, idx) > (?2 < 0, ?3, ?2)
               ORDER BY idx < 0, stamp, idx LIMIT ?4";
    let (after, index) = after.map_or((-1, 0), columns);
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map(params![name, index, after, int(limit as u64)], |record| {
        let key = number(record, 0)?;
        let event = match u32::try_from(record.get::<_, i64>(1)?) {
            Ok(index) => EventKey::Change { revision: key, index },
            Err(_) => EventKey::Presence(key),
        };
        Ok(DeadLetter { event, time: number(record, 2)?, status: record.get(3)? })
    })?;
    rows.collect()
}

/// Counts the dead letters of an endpoint.
pub(in crate::store::sqlite) fn count(conn: &Connection, name: &str) -> Result<u64> {
    conn.prepare_cached("SELECT count(*) FROM dead WHERE name = ?1")?.query_row([name], |record| number(record, 0))
}

/// Removes a dead letter, and returns whether it was there.
pub(in crate::store::sqlite) fn remove(conn: &Connection, name: &str, event: EventKey) -> Result<bool> {
    let mut delete = conn.prepare_cached("DELETE FROM dead WHERE name = ?1 AND stamp = ?2 AND idx = ?3")?;
    let (number, index) = columns(event);
    Ok(delete.execute(params![name, number, index])? > 0)
}

/// Removes all dead letters: the log that they refer to is gone.
pub(in crate::store::sqlite) fn clear_dead(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM dead", []).map(drop)
}
