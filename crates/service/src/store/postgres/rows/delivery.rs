//! The rows of deliveries to endpoints.

use tokio_postgres::Row as Record;

use super::values::{int, number, value};
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{Call, PgSession, call};
use crate::store::{DEAD_LETTERS, DeadLetter};
use rosterd_engine::model::{FeedPosition, LogHistory, Millis};
use rosterd_engine::sync::delivery::{DeliveryState, EventKey, KeptDelivery};

/// Reads what is kept of a delivery.
pub(in crate::store::postgres) async fn delivery(session: &PgSession, name: String) -> PgResult<Option<KeptDelivery>> {
    let sql = "SELECT history, stamp, idx, state, since, failures, failing_since, seen FROM webhook WHERE name = $1";
    session.query(call!(sql, name)).await?.first().map(kept).transpose()
}

fn kept(record: &Record) -> PgResult<KeptDelivery> {
    let state: i16 = value(record, 3)?;
    let state = usize::try_from(state).ok().and_then(|state| DeliveryState::ALL.get(state)).copied();
    Ok(KeptDelivery {
        position: FeedPosition {
            history: LogHistory(value::<i64>(record, 0)?.cast_unsigned()),
            revision: number(record, 1)?,
            index: u32::try_from(value::<i64>(record, 2)?).ok(),
            seen: number(record, 7)?,
        },
        // A state of a later release is one that an operator looks at.
        state: state.unwrap_or(DeliveryState::Held),
        since: number(record, 4)?,
        failures: u32::try_from(value::<i64>(record, 5)?).unwrap_or(u32::MAX),
        failing_since: number(record, 6)?,
    })
}

/// Writes what is kept of a delivery, and the event that it skips.
pub(in crate::store::postgres) fn put_delivery(
    (name, now): (&str, Millis),
    kept: &KeptDelivery,
    dead: Option<&DeadLetter>,
) -> Vec<Call> {
    let sql = "INSERT INTO webhook
                   (name, history, stamp, idx, seen, state, since, failures, failing_since, fence, kept)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)
               ON CONFLICT (name) DO UPDATE SET history = excluded.history, stamp = excluded.stamp, idx = excluded.idx,
                   seen = excluded.seen, state = excluded.state, since = excluded.since,
                   failures = excluded.failures, failing_since = excluded.failing_since, kept = excluded.kept";
    let position = kept.position;
    let mut calls = vec![call!(
        sql,
        name.to_owned(),
        position.history.0.cast_signed(),
        int(position.revision),
        position.index.map_or(-1, i64::from),
        int(position.seen),
        i16::from(kept.state.number()),
        int(kept.since),
        i64::from(kept.failures),
        int(kept.failing_since),
        int(now),
    )];
    if let Some(dead) = dead {
        let sql = "INSERT INTO dead (name, stamp, idx, time, status) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (name, stamp, idx) DO UPDATE SET time = excluded.time, status = excluded.status";
        let (number, index) = columns(dead.event);
        calls.push(call!(sql, name.to_owned(), number, index, int(dead.time), i32::from(dead.status)));
        let sql = "DELETE FROM dead WHERE name = $1 AND (stamp, idx) <= (
                       SELECT stamp, idx FROM dead WHERE name = $1 ORDER BY stamp DESC, idx DESC OFFSET $2 LIMIT 1)";
        calls.push(call!(sql, name.to_owned(), DEAD_LETTERS as i64));
    }
    calls
}

/// Returns `stamp` and `idx` of an event; presence, which is no part of a change, has no index.
fn columns(event: EventKey) -> (i64, i64) {
    match event {
        EventKey::Change { revision, index } => (int(revision), i64::from(index)),
        EventKey::Presence(seen) => (int(seen), -1),
    }
}

/// Forgets the deliveries last written before a time, except those of these names.
pub(in crate::store::postgres) fn forget(except: &[String], before: Millis) -> [Call; 2] {
    let old = "DELETE FROM dead USING webhook
               WHERE dead.name = webhook.name AND kept < $1 AND NOT webhook.name = ANY($2)";
    let except = except.to_vec();
    [
        call!(old, int(before), except.clone()),
        call!("DELETE FROM webhook WHERE kept < $1 AND NOT name = ANY($2)", int(before), except),
    ]
}

/// Reads dead letters after an event.
pub(in crate::store::postgres) async fn dead_letters(
    session: &PgSession,
    name: String,
    after: Option<EventKey>,
    limit: usize,
) -> PgResult<Vec<DeadLetter>> {
    // Those of changes come first.
    let sql = "SELECT stamp, idx, time, status FROM dead
               WHERE name = $1 AND (idx < 0, stamp, idx) > ($2::bigint < 0, $3, $2)
               ORDER BY idx < 0, stamp, idx LIMIT $4";
    let (after, index) = after.map_or((-1, 0), columns);
    let found = session.query(call!(sql, name, index, after, int(limit as u64))).await?;
    let letter = |record: &Record| {
        let key = number(record, 0)?;
        let event = match u32::try_from(value::<i64>(record, 1)?) {
            Ok(index) => EventKey::Change { revision: key, index },
            Err(_) => EventKey::Presence(key),
        };
        let status = u16::try_from(value::<i32>(record, 3)?).unwrap_or_default();
        Ok(DeadLetter { event, time: number(record, 2)?, status })
    };
    found.iter().map(letter).collect()
}

/// Counts the dead letters of an endpoint.
pub(in crate::store::postgres) async fn count(session: &PgSession, name: String) -> PgResult<u64> {
    number(&session.row(call!("SELECT count(*) FROM dead WHERE name = $1", name)).await?, 0)
}

/// Removes a dead letter, and returns its row if it was there.
pub(in crate::store::postgres) fn remove(name: &str, event: EventKey) -> Call {
    let (number, index) = columns(event);
    let sql = "DELETE FROM dead WHERE name = $1 AND stamp = $2 AND idx = $3 RETURNING status";
    call!(sql, name.to_owned(), number, index)
}

/// Removes all dead letters: the log that they refer to is gone.
pub(in crate::store::postgres) fn clear_dead() -> Call {
    call!("DELETE FROM dead")
}
