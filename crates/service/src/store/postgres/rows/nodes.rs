//! The gateways that share the database, their sessions, and messages between them.

use crate::store::log_rows::{READ_FORM, WRITTEN_FORM};
use crate::store::nodes::{JoiningNode, NodeBeat, NodeLook, NodePhase, NodeRow, NodeSessionChange, NodeSessionsPage};
use crate::store::postgres::pg_error::{PgError, PgResult};
use crate::store::postgres::rows::LOCK;
use crate::store::postgres::rows::values::{account, int, meaning, number, value, without_nul};
use crate::store::postgres::session::{Call, PgSession, call};
use rosterd_engine::model::{Millis, NodeId, SessionId};
use rosterd_engine::sync::session_directory::{SessionChange, SessionState};
use rosterd_protocol::v1;

/// The advisory lock of a gateway that joins.
const JOINING: i64 = 0x0072_6f73_7465_7266;

/// The most changes of sessions of one node that are read at a time, and the most messages that are taken.
const SOME: i64 = 500;

/// How long a message may wait, in milliseconds.
const MESSAGES_KEPT: i64 = 60_000;

/// How many sessions of a dead node are removed at a time.
const SLICE: i64 = 1000;

/// Adds a node. The inner error says which setting of another node it contradicts.
pub(in crate::store::postgres) async fn join(
    session: &PgSession,
    node: &JoiningNode,
    (id, shows): (i64, i64),
) -> PgResult<Result<(), String>> {
    session.run("BEGIN").await?;
    session.query(call!("SELECT pg_advisory_xact_lock($1)", JOINING)).await?;
    if let Some(why) = contradiction(session, node).await? {
        session.run("ROLLBACK").await?;
        return Ok(Err(why));
    }
    if session.query(call!("SELECT FROM node WHERE state < 2 LIMIT 1")).await?.is_empty() {
        // Left by a gateway that was alone.
        session.query(call!(LOCK)).await?;
        let forget =
            "WITH gone AS (SELECT account AS a, row_number() OVER (ORDER BY account) AS k FROM users WHERE online),
                           raised AS (UPDATE meta SET seen = seen + (SELECT count(*) FROM gone)
                                      WHERE numbers_seen RETURNING seen)
                      UPDATE users SET online = false, devices = '',
                          seen_stamp = coalesce((SELECT seen FROM raised) - (SELECT count(*) FROM gone) + k, seen_stamp)
                      FROM gone WHERE account = a";
        session.query(call!(forget)).await?;
    }
    let sql = "INSERT INTO node (id, name, version, rules, started, beat, beat_time, applied, state, state_since, grace, status,
                                 reads, writes, shows)
               SELECT $1, $2, $3, $4, now, 0, now, 0, 0, now, 0, '{}', $5, $6, $7
               FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS clock";
    let (name, version, rules) = (without_nul(&node.name), without_nul(&node.version), node.rules.join("\n"));
    session.query(call!(sql, id, name, version, rules, READ_FORM, WRITTEN_FORM, shows)).await?;
    session.run("COMMIT").await?;
    Ok(Ok(()))
}

/// Returns why a node cannot join those that live.
pub(in crate::store::postgres) async fn contradiction(
    session: &PgSession,
    node: &JoiningNode,
) -> PgResult<Option<String>> {
    let living = "SELECT name, rules, version, reads, writes FROM node
                  WHERE state < 2 AND (extract(epoch FROM clock_timestamp()) * 1000)::bigint - beat_time < $1 ORDER BY name";
    for other in &session.query(call!(living, int(node.dead_after))).await? {
        let (name, rules, version): (String, String, String) = (value(other, 0)?, value(other, 1)?, value(other, 2)?);
        if let Some(why) = contradicts_forms(value(other, 3)?, value(other, 4)?) {
            return Ok(Some(format!("the gateway \"{name}\" has version {version} and {why}")));
        }
        if let Some(rule) = node.rules.iter().find(|rule| contradicts(rule, &rules)) {
            return Ok(Some(format!("the gateway \"{name}\" does not have {rule}: give all of them the same")));
        }
    }
    Ok(None)
}

/// Returns whether one of the lines says something else of the same key. A key that is in none of them is one that the other
/// node's version does not compare.
fn contradicts(rule: &str, lines: &str) -> bool {
    let key = rule.split('=').next();
    lines.split('\n').any(|line| line.split('=').next() == key && line != rule)
}

/// Returns what is wrong with the forms of the change log that another node reads and writes.
fn contradicts_forms(reads: i32, writes: i32) -> Option<String> {
    if writes > READ_FORM {
        let reads = format!("this one reads forms up to {READ_FORM}: use a newer version here");
        return Some(format!("writes form {writes} of the change log, and {reads}"));
    }
    (reads < WRITTEN_FORM).then(|| {
        let writes = format!("this one writes form {WRITTEN_FORM}: upgrade that one first, one release at a time");
        format!("reads forms of the change log up to {reads}, and {writes}")
    })
}

/// Counts a beat, and looks at the others.
pub(in crate::store::postgres) async fn beat(
    session: &PgSession,
    (me, shows): (NodeId, i64),
    beat: &NodeBeat,
) -> PgResult<NodeLook> {
    let sql = "WITH clock AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now),
                    own AS (UPDATE node SET beat = beat + 1, beat_time = now, applied = $2, status = $3,
                                state_since = CASE WHEN state = $4 THEN state_since ELSE now END,
                                state = $4, grace = $5, shows = $6
                            FROM clock WHERE id = $1 AND state < 2 RETURNING id)
               SELECT now, (SELECT count(*) FROM own), id, name, version, started, beat, beat_time, applied, state,
                      state_since, grace, status
               FROM clock LEFT JOIN node ON id <> $1";
    let (state, grace) = (i16::from(beat.stops.is_some()), beat.stops.map_or(0, int));
    let given = call!(sql, me.0.cast_signed(), int(beat.applied), without_nul(&beat.status), state, grace, shows);
    let found = session.query(given).await?;
    let old = "DELETE FROM live_session WHERE node = $1
                   AND ended_at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $2";
    session.query(call!(old, me.0.cast_signed(), int(beat.keep_ended))).await?;
    let lost = "DELETE FROM node_message WHERE time < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1";
    session.query(call!(lost, MESSAGES_KEPT)).await?;
    let first = found.first().ok_or_else(|| PgError::Damaged("no clock".into()))?;
    let (now, own): (u64, i64) = (number(first, 0)?, value(first, 1)?);
    let mut others = Vec::new();
    for record in &found {
        if let Some(id) = value::<Option<i64>>(record, 2)? {
            others.push(NodeRow {
                id: NodeId(id.cast_unsigned()),
                name: value(record, 3)?,
                version: value(record, 4)?,
                started: number(record, 5)?,
                beat: number(record, 6)?,
                beat_time: number(record, 7)?,
                applied: number(record, 8)?,
                phase: phase(record, 9)?,
                status: value(record, 12)?,
            });
        }
    }
    Ok(NodeLook { is_known: own > 0, now, others })
}

/// Reads three columns: the state, since when, and the grace.
fn phase(record: &tokio_postgres::Row, column: usize) -> PgResult<NodePhase> {
    let (since, grace) = (number(record, column + 1)?, number(record, column + 2)?);
    meaning(record, column, |state| match state {
        0 => Some(NodePhase::Serves),
        1 => Some(NodePhase::Stops { since, grace }),
        2 => Some(NodePhase::Dead),
        _ => None,
    })
}

/// Stores changes of the sessions of a node, and tells the others.
pub(in crate::store::postgres) async fn put_sessions(
    session: &PgSession,
    me: NodeId,
    changes: Vec<NodeSessionChange>,
) -> PgResult<()> {
    let rows = changes.len();
    let (mut ids, mut numbers, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut kinds, mut types, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    let (mut came, mut since, mut ended): (Vec<i64>, Vec<i64>, Vec<Option<i64>>) = Default::default();
    for SessionChange { number, id, account, state } in changes {
        ids.push(id.0.cast_signed());
        numbers.push(int(number));
        accounts.push(account.to_string());
        let (device, times, ended_at) = match state {
            SessionState::Live { connected_at, since, device } => (device, (int(connected_at), int(since)), None),
            SessionState::Ended { at } => (v1::Device::default(), (0, 0), Some(int(at))),
        };
        kinds.push(without_nul(&device.id));
        types.push(without_nul(&device.r#type));
        tags.push(without_nul(&device.tag));
        came.push(times.0);
        since.push(times.1);
        ended.push(ended_at);
    }
    let sql = "INSERT INTO live_session (node, id, number, account, device_id, device_type, device_tag, connected_at,
                                         since, ended_at)
               SELECT node.id, given.* FROM node,
                   unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
                          $10::bigint[])
                   AS given
               WHERE node.id = $1 AND state < 2
               ON CONFLICT (node, id) DO UPDATE SET number = excluded.number, ended_at = excluded.ended_at
               RETURNING 1";
    let me = me.0.cast_signed();
    let put = call!(sql, me, ids, numbers, accounts, kinds, types, tags, came, since, ended);
    if session.query(put).await?.len() < rows {
        return Err(PgError::Away("others have called this gateway dead".into()));
    }
    tell(session, call!("SELECT pg_notify('rosterd_live', '*' || $1::bigint)", me)).await;
    Ok(())
}

/// Tells other gateways that there is something to read. Whom it does not reach looks anyway, so a failure, as when the queue of
/// notifications is full, fails nothing.
async fn tell(session: &PgSession, notify: Call) {
    if let Err(error) = session.query(notify).await {
        tracing::debug!(%error, "other gateways were not told of something to read");
    }
}

/// Reads what the sessions of other nodes did after these numbers.
pub(in crate::store::postgres) async fn read_sessions(
    session: &PgSession,
    me: NodeId,
    read: &[(NodeId, u64)],
) -> PgResult<Vec<NodeSessionsPage>> {
    let sql = "SELECT node.id, node.state, node.state_since, node.grace, s.id, s.number, s.account, s.device_id,
                      s.device_type, s.device_tag, s.connected_at, s.since, s.ended_at
               FROM node LEFT JOIN unnest($2::bigint[], $3::bigint[]) AS known (id, number) ON known.id = node.id
               CROSS JOIN LATERAL (SELECT * FROM live_session WHERE live_session.node = node.id AND number > coalesce(known.number, 0)
                                   ORDER BY number LIMIT $4) AS s
               WHERE node.id <> $1 AND node.state < 2 ORDER BY node.id, s.number";
    let (nodes, numbers): (Vec<i64>, Vec<i64>) =
        read.iter().map(|(node, number)| (node.0.cast_signed(), int(*number))).unzip();
    let mut pages: Vec<NodeSessionsPage> = Vec::new();
    for record in session.query(call!(sql, me.0.cast_signed(), nodes, numbers, SOME)).await? {
        let node = NodeId(value::<i64>(&record, 0)?.cast_unsigned());
        if pages.last().is_none_or(|page| page.node != node) {
            pages.push(NodeSessionsPage { node, phase: phase(&record, 1)?, changes: Vec::new() });
        }
        let state = if let Some(at) = value::<Option<i64>>(&record, 12)? {
            SessionState::Ended { at: at.cast_unsigned() }
        } else {
            let device = v1::Device { id: value(&record, 7)?, r#type: value(&record, 8)?, tag: value(&record, 9)? };
            SessionState::Live { connected_at: number(&record, 10)?, since: number(&record, 11)?, device }
        };
        let id = SessionId(value::<i64>(&record, 4)?.cast_unsigned());
        let change = SessionChange { number: number(&record, 5)?, id, account: account(&record, 6)?, state };
        pages.last_mut().expect("it was pushed").changes.push(change);
    }
    Ok(pages)
}

/// Calls a node dead, unless its beat has moved. Returns whether it is dead.
pub(in crate::store::postgres) async fn call_dead(session: &PgSession, node: NodeId, beat: u64) -> PgResult<bool> {
    let id = node.0.cast_signed();
    session.query(call!("UPDATE node SET state = 2 WHERE id = $1 AND beat = $2 AND state < 2", id, int(beat))).await?;
    let lives = session.query(call!("SELECT FROM node WHERE id = $1 AND state < 2", id)).await?;
    Ok(lives.is_empty())
}

/// The calls that remove some sessions of a dead node, or the node itself once it has none. The accounts that are nowhere else
/// are noted as offline. The second answers whether the node is still there.
pub(in crate::store::postgres) fn bury_some(node: NodeId) -> [Call; 2] {
    let sessions = "WITH part AS (SELECT id FROM live_session WHERE node = $1 ORDER BY id LIMIT $2),
                     gone AS (DELETE FROM live_session WHERE node = $1 AND id IN (SELECT id FROM part)
                              RETURNING account, ended_at, since),
                     lost AS (SELECT account AS a, max(coalesce(ended_at, greatest(beat_time, since))) AS left_at
                              FROM gone, node WHERE node.id = $1 AND node.state = 2 GROUP BY account),
                     moved AS (SELECT a, left_at, row_number() OVER (ORDER BY a) AS k FROM lost JOIN users ON account = a
                               WHERE (online OR last_seen < left_at)
                                   AND NOT EXISTS (SELECT FROM live_session AS other WHERE other.account = a
                                                   AND other.node <> $1 AND other.ended_at IS NULL)),
                     raised AS (UPDATE meta SET seen = seen + (SELECT count(*) FROM moved)
                                WHERE numbers_seen RETURNING seen)
                UPDATE users SET online = false, devices = '', last_seen = greatest(last_seen, left_at),
                    seen_stamp = coalesce((SELECT seen FROM raised) - (SELECT count(*) FROM moved) + k, seen_stamp)
                FROM moved WHERE account = a";
    let rest = "WITH gone AS (DELETE FROM node WHERE id = $1 AND state = 2
                              AND NOT EXISTS (SELECT FROM live_session WHERE node = $1))
                SELECT FROM live_session WHERE node = $1 LIMIT 1";
    [call!(sessions, node.0.cast_signed(), SLICE), call!(rest, node.0.cast_signed())]
}

/// Sends messages.
pub(in crate::store::postgres) async fn send(session: &PgSession, messages: Vec<(NodeId, Vec<u8>)>) -> PgResult<()> {
    let (nodes, bodies): (Vec<i64>, Vec<Vec<u8>>) =
        messages.into_iter().map(|(node, body)| (node.0.cast_signed(), body)).unzip();
    let sql = "INSERT INTO node_message (node, time, body)
               SELECT n, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, b
               FROM unnest($1::bigint[], $2::bytea[]) AS given (n, b)";
    session.query(call!(sql, nodes.clone(), bodies)).await?;
    let notify = "SELECT pg_notify('rosterd_live', n::text) FROM (SELECT DISTINCT unnest($1::bigint[]) AS n) AS told";
    tell(session, call!(notify, nodes)).await;
    Ok(())
}

/// Takes messages, in the order in which they were sent.
pub(in crate::store::postgres) async fn receive(session: &PgSession, me: NodeId) -> PgResult<Vec<Vec<u8>>> {
    let sql = "DELETE FROM node_message WHERE number IN
                   (SELECT number FROM node_message WHERE node = $1 ORDER BY number LIMIT $2)
               RETURNING number, body";
    let found = session.query(call!(sql, me.0.cast_signed(), SOME)).await?;
    let mut messages = Vec::with_capacity(found.len());
    for record in &found {
        messages.push((value::<i64>(record, 0)?, value::<Vec<u8>>(record, 1)?));
    }
    messages.sort_by_key(|(number, _)| *number);
    Ok(messages.into_iter().map(|(_, body)| body).collect())
}

/// Takes or renews a lease, unless another node has it. Returns whose it is.
pub(in crate::store::postgres) async fn lease(
    session: &PgSession,
    me: NodeId,
    name: &str,
    length: Millis,
) -> PgResult<NodeId> {
    let take = "INSERT INTO lease AS held (name, node, until)
                SELECT $1, $2, now + $3 FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS clock
                ON CONFLICT (name) DO UPDATE SET node = excluded.node, until = excluded.until
                    WHERE held.node = excluded.node OR held.until < excluded.until - $3";
    session.query(call!(take, name.to_owned(), me.0.cast_signed(), int(length))).await?;
    let holder = session.row(call!("SELECT node FROM lease WHERE name = $1", name.to_owned())).await?;
    Ok(NodeId(value::<i64>(&holder, 0)?.cast_unsigned()))
}

/// Gives a lease up.
pub(in crate::store::postgres) async fn release(session: &PgSession, me: NodeId, name: &str) -> PgResult<()> {
    let sql = "DELETE FROM lease WHERE name = $1 AND node = $2";
    session.query(call!(sql, name.to_owned(), me.0.cast_signed())).await.map(drop)
}
