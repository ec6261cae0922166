//! Changes the rules about who sees and who writes what for all gateways of a database, while they run.
//!
//! It is one transaction under the lock of all writes. Then it waits until every gateway shows profiles by the new rules.

use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::pooler::connect_first;
use super::rows::values::{int, number, value};
use super::rows::{LOCK, rules};
use super::schema::{FOLLOWER_LOCK, GATEWAY_LOCK, MIGRATIONS, PgSchemaError, explain};
use super::session::{Connector, PgSession, call};
use super::url::PostgresUrl;
use crate::store::{StoreError, StoredRules};
use rosterd_engine::model::{Revision, Visibility, WriteRights};

/// How often it looks how far the gateways are.
const LOOK: Duration = Duration::from_millis(50);

/// How long it waits for them, besides the time after which one counts as dead.
const MORE: Duration = Duration::from_secs(10);

/// What a change of the rules came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesApplied {
    /// Whether the rules were others before.
    pub changed: bool,
    /// How many gateways show profiles by them.
    pub gateways: usize,
}

/// Changes the rules for all gateways, and waits until each has taken them over. One whose beat stands still for `dead_after` is
/// waited for only while it is connected. Blocks for as long as that takes; it may be done again with the same rules.
///
/// # Errors
/// One sentence for the operator: the database cannot be reached, is not rosterd's, or is used by a gateway that cannot take
/// rules over; or it is done, and some have not taken them over yet.
pub fn apply_rules(
    url: &PostgresUrl,
    (visibility, write): (&Visibility, &WriteRights),
    dead_after: Duration,
) -> Result<RulesApplied, StoreError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError(format!("cannot connect: {error}")))?;
    runtime.block_on(async {
        let failed = |error| explain(url, &error);
        let session = connect_first(&Connector::new(url)).await.map_err(failed)?;
        let (changed, number) = change(&session, visibility, write).await.map_err(failed)?;
        let deadline = Instant::now() + dead_after + MORE;
        loop {
            let found = look(&session, number, dead_after).await.map_err(|error| {
                let StoreError(why) = failed(error);
                StoreError(format!(
                    "the rules were changed; run this again to see that every gateway goes by them: {why}"
                ))
            })?;
            if !found.waits && found.connected <= found.gateways {
                return Ok(RulesApplied { changed, gateways: found.gateways });
            }
            if Instant::now() >= deadline {
                return Err(StoreError(found.in_words()));
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// Changes the rules in one transaction. Returns whether they were others, and their number.
async fn change(session: &PgSession, rules: &Visibility, write: &WriteRights) -> Result<(bool, i64), PgSchemaError> {
    session.run("BEGIN").await?;
    // No gateway opens the database meanwhile.
    let opening = session.query(call!("SELECT pg_advisory_xact_lock($1)", GATEWAY_LOCK + 1)).await;
    opening.map_err(|error| if error.is_lock_timeout() { PgSchemaError::Opening } else { error.into() })?;
    let shared = session.row(call!("SELECT pg_try_advisory_xact_lock_shared($1)", GATEWAY_LOCK)).await?;
    if !value::<bool>(&shared, 0)? {
        return Err(PgSchemaError::Alone);
    }
    let found: i32 = value(&session.row(call!("SELECT schema FROM meta")).await?, 0)?;
    if usize::try_from(found).ok() != Some(MIGRATIONS.len()) {
        return Err(PgSchemaError::OtherVersion { found, known: MIGRATIONS.len() });
    }
    session.query(call!(LOCK)).await?;
    let old = "SELECT name FROM node WHERE state < 2 AND shows = 0 ORDER BY name LIMIT 1";
    if let Some(node) = session.query(call!(old)).await?.first() {
        return Err(PgSchemaError::OldGateway(value(node, 0)?));
    }
    let newest = session.row(call!("SELECT last FROM feed ORDER BY first DESC LIMIT 1")).await?;
    let head: Revision = number(&newest, 0)?;
    let before = rules::stored(session).await?;
    let next = rules.clone().opening(&before.visibility, head).ok_or(PgSchemaError::UnknownRules)?;
    let next = StoredRules::of(&next, write, head, &before.visibility);
    let number = rules::replace(session, &next).await?;
    session.run("COMMIT").await.map_err(PgSchemaError::InDoubt)?;
    // Whom it does not reach looks anyway.
    let _ = session.query(call!("SELECT pg_notify('rosterd', '')")).await;
    Ok((number != before.number, number))
}

/// How far the gateways are.
struct RulesProgress {
    /// How many live and show profiles by the new rules.
    gateways: usize,
    /// Whether one lives that does not yet.
    waits: bool,
    /// Those that do not yet, whether or not they live.
    late: Vec<String>,
    /// How many are connected, also such as stand still and were called dead.
    connected: usize,
}

impl RulesProgress {
    fn in_words(&self) -> String {
        let late = match &*self.late {
            [] => format!("{} of {} connected ones", self.connected - self.gateways, self.connected),
            late => late.join(", "),
        };
        format!(
            "the rules were changed, but not every gateway shows profiles by them yet: not {late}. One that stands still takes \
             them over when it goes on: stop it, or run this again to wait for it"
        )
    }
}

async fn look(session: &PgSession, rules: i64, dead_after: Duration) -> Result<RulesProgress, PgSchemaError> {
    let sql = "SELECT name, shows >= $1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - beat_time < $2
               FROM node WHERE state < 2 ORDER BY name";
    let dead_after = int(u64::try_from(dead_after.as_millis()).unwrap_or(u64::MAX));
    let (mut gateways, mut waits, mut late) = (0, false, Vec::new());
    for node in session.query(call!(sql, rules, dead_after)).await? {
        let (shows, lives): (bool, bool) = (value(&node, 1)?, value(&node, 2)?);
        gateways += usize::from(shows && lives);
        waits |= lives && !shows;
        if !shows {
            late.push(value(&node, 0)?);
        }
    }
    let sql = "SELECT greatest(count(*) FILTER (WHERE key = $1), count(*) FILTER (WHERE key = $2)) FROM (
                   SELECT classid::bigint << 32 | objid::bigint AS key FROM pg_locks
                   WHERE locktype = 'advisory' AND objsubid = 1 AND granted
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS held";
    let connected = number(&session.row(call!(sql, GATEWAY_LOCK, FOLLOWER_LOCK)).await?, 0)?;
    Ok(RulesProgress { gateways, waits, late, connected: usize::try_from(connected).unwrap_or(usize::MAX) })
}
