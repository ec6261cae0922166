//! Checks a database before it is used, and migrates it: a server that keeps what it confirms, and a schema that is ours.

use std::sync::Arc;
use std::time::Duration;

use super::database::Standing;
use super::options::{PostgresOptions, Sharing};
use super::pg_error::PgError;
use super::rows::values::{number, value};
use super::rows::{LOCK, change_log, delivery, nodes, profiles, rules};
use super::session::{PgSession, call};
use super::url::PostgresUrl;
use crate::store::log_rows::{READ_FORM, WRITTEN_FORM};
use crate::store::{StoreError, StoredRules};
use rosterd_engine::model::{Visibility, WriteRights};
use rosterd_protocol::own_schema_to_bytes;

/// The migrations: number `n` brings the schema from version `n - 1` to `n`. Released ones are never edited.
pub(super) const MIGRATIONS: [&str; 7] = [
    include_str!("../schema/postgres/0001_one_node.sql"),
    include_str!("../schema/postgres/0002_own_fields.sql"),
    include_str!("../schema/postgres/0003_nodes.sql"),
    include_str!("../schema/postgres/0004_forms.sql"),
    include_str!("../schema/postgres/0005_status.sql"),
    include_str!("../schema/postgres/0006_rules.sql"),
    include_str!("../schema/postgres/0007_devices.sql"),
];

/// The oldest server that has all that is asked of it.
const OLDEST: i32 = 130_000;

/// The advisory lock that the one gateway of a database holds: the bytes "rosterd".
pub(super) const GATEWAY_LOCK: i64 = 0x0072_6f73_7465_7264;

/// The advisory lock that everybody holds who follows the log: unlike the one of its writer, no session for that is ever ended
/// because its process stands still.
pub(super) const FOLLOWER_LOCK: i64 = GATEWAY_LOCK + 3;

/// How long a migration waits for a table that is in use. Whoever comes later waits behind it meanwhile, and it gives up before
/// the server looks for sessions that wait for each other.
const MIGRATION_PATIENCE: [&str; 2] = ["SET LOCAL lock_timeout = '300ms'", "SET LOCAL lock_timeout = '3s'"];

/// The history of a log that nobody follows.
const NO_HISTORY: i64 = 0;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PgSchemaError {
    #[error("its server has version {0}, and rosterd needs PostgreSQL 13 or later")]
    OldServer(String),
    #[error("its server runs with fsync = off, which loses answered writes when the power fails: set it to on")]
    NoFsync,
    #[error("its server is a standby, which takes no writes: name the primary in store.url")]
    Standby,
    #[error(
        "it is behind a pooler that gives each transaction another session of the server: connect to the server itself, or \
         set pool_mode = session"
    )]
    Pooler,
    #[error("its encoding is {0}: create it with ENCODING 'UTF8'")]
    Encoding(String),
    #[error("it has a schema \"rosterd\" that is not rosterd's: use another database")]
    Foreign,
    #[error("its schema has version {found}, this rosterd knows versions up to {known}: use a newer rosterd")]
    Newer { found: i32, known: usize },
    #[error("its change log has form {found}, this rosterd reads forms up to {READ_FORM}: use a newer rosterd")]
    NewerLog { found: i32 },
    #[error(
        "another gateway uses it: to run several, set cluster.enabled for all of them; one that was killed leaves within seconds"
    )]
    Used,
    #[error("a gateway uses it: stop all of them first")]
    Busy,
    #[error("a gateway that is alone uses it: change its settings, and send it SIGHUP")]
    Alone,
    #[error("a gateway starts just now: try again")]
    Opening,
    #[error(
        "its schema has version {found}, and this rosterd works on version {known}: use the version of the gateways"
    )]
    OtherVersion { found: i32, known: usize },
    #[error("the gateway \"{0}\" has a version that takes no rules over while it runs: upgrade it first")]
    OldGateway(String),
    #[error("its rules about who sees what cannot be read: stop all gateways, change their settings, and start them")]
    UnknownRules,
    #[error("whether the rules were changed is not known, run this again: {0}")]
    InDoubt(PgError),
    #[error("other gateways use it with another {0}: give all of them the same, or stop them first")]
    Contradicts(&'static str),
    #[error(
        "other gateways use it with another {0}: give all of them the same, or change it for all with rosterd rules apply"
    )]
    ContradictsRules(&'static str),
    #[error("{0}")]
    Contradicted(String),
    #[error("its tables are in use for too long to change them, as by pg_dump: try again once that has ended: {0}")]
    InUse(PgError),
    #[error("the role has no right to {what}: run {remedy}")]
    NoRight { what: &'static str, remedy: String },
    #[error(transparent)]
    Database(#[from] PgError),
}

impl PgSchemaError {
    /// Returns whether another try may go better: a table was in use, or the session was ended because this process stood
    /// still, as on a machine that has too much to do.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::InUse(_) => true,
            Self::Database(error) => matches!(error.code(), Some("25P03" | "57P01")),
            _ => false,
        }
    }
}

/// Puts an error into one sentence for the operator.
pub(super) fn explain(url: &PostgresUrl, error: &PgSchemaError) -> StoreError {
    let remedy = match error {
        PgSchemaError::Database(error) => match error.code() {
            Some("28P01" | "28000") => ": check user and password of store.url, and pg_hba.conf of the server",
            Some("3D000") => ": create it with CREATE DATABASE",
            Some("42P01") => ": no gateway has used it yet",
            Some("42501") => ": the role needs to own the schema \"rosterd\" and what is in it",
            _ => "",
        },
        _ => "",
    };
    StoreError(format!("cannot use the database {url}: {error}{remedy}"))
}

/// The facts that a store keeps about itself.
pub(super) struct PgMeta {
    pub epoch: i64,
    /// Unless nobody follows the log.
    pub history: Option<i64>,
    pub salt: Arc<[u8]>,
    /// Which server, database and schema it is.
    pub system: String,
    /// The number of this process in the log; another at each start.
    pub writer: i64,
    /// The rules about who sees what, with those before if a change of them is not complete.
    pub rules: Visibility,
    /// Which ones these are.
    pub rules_number: i64,
}

/// Verifies the server, takes the lock of the one gateway, and brings schema and facts up to date.
pub(super) async fn prepare(session: &PgSession, options: &PostgresOptions) -> Result<PgMeta, PgSchemaError> {
    verify_server(session).await?;
    session
        .run("BEGIN; SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'")
        .await?;
    // One gateway at a time opens the database.
    let opening = session.query(call!("SELECT pg_advisory_xact_lock($1)", GATEWAY_LOCK + 1)).await.map(drop);
    let locked = match opening {
        Ok(()) => session.query(call!(gateway_lock(options.sharing), GATEWAY_LOCK)).await.map(drop),
        failed => failed,
    };
    locked.map_err(|error| if error.is_lock_timeout() { PgSchemaError::Used } else { error.into() })?;
    migrate(session).await?;
    if let Some(node) = &options.joining
        && let Some(why) = nodes::contradiction(session, node).await?
    {
        return Err(PgSchemaError::Contradicted(why));
    }
    if !options.sharing.is_shared() {
        // Whoever shared it is no more.
        session.run("DELETE FROM node").await?;
    }
    session.run(LOCK).await?;
    let system = system(session).await?;
    let timeline = session.row(call!("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")).await?;
    let identity = format!("{system}/{}", value::<String>(&timeline, 0).map_err(PgSchemaError::from)?);
    let rules = begin_histories(session, options, &identity).await?;
    number_presence(session, options.keeps_log && options.numbers_presence).await?;
    let meta = session.row(call!("SELECT epoch, history, audit_salt, format, rules FROM meta")).await?;
    let found = value(&meta, 3)?;
    if found > READ_FORM {
        return Err(PgSchemaError::NewerLog { found });
    }
    // What is in the log stays readable for whoever knows this.
    session.query(call!("UPDATE meta SET format = $1 WHERE format < $1", WRITTEN_FORM)).await?;
    let history = value(&meta, 1)?;
    let salt: Vec<u8> = value(&meta, 2)?;
    session.run("COMMIT").await?;
    Ok(PgMeta {
        epoch: value(&meta, 0)?,
        history: Some(history).filter(|history| *history != NO_HISTORY),
        salt: salt.into(),
        system,
        writer: random()?,
        rules,
        rules_number: value(&meta, 4)?,
    })
}

/// The statement that takes the lock of the one gateway, or that of one of several.
pub(super) fn gateway_lock(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Alone => "SELECT pg_advisory_lock($1)",
        Sharing::Shared { .. } => "SELECT pg_advisory_lock_shared($1)",
    }
}

/// Returns an error if the server cannot be used.
async fn verify_server(session: &PgSession) -> Result<(), PgSchemaError> {
    let facts = session
        .row(call!(
            "SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
                    current_setting('fsync'), pg_is_in_recovery(), current_setting('server_encoding')"
        ))
        .await?;
    if value::<i32>(&facts, 0)? < OLDEST {
        return Err(PgSchemaError::OldServer(value(&facts, 1)?));
    }
    if value::<String>(&facts, 2)? == "off" {
        return Err(PgSchemaError::NoFsync);
    }
    if value(&facts, 3)? {
        return Err(PgSchemaError::Standby);
    }
    let encoding: String = value(&facts, 4)?;
    if encoding != "UTF8" {
        return Err(PgSchemaError::Encoding(encoding));
    }
    Ok(())
}

/// Runs the missing migrations.
async fn migrate(session: &PgSession) -> Result<(), PgSchemaError> {
    let found = session
        .row(call!(
            "SELECT to_regnamespace('rosterd') IS NOT NULL,
                    has_database_privilege(current_database(), 'CREATE'),
                    coalesce(has_schema_privilege(to_regnamespace('rosterd')::oid, 'CREATE'), false),
                    (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('rosterd')),
                    (SELECT count(*) FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
                     WHERE relnamespace = to_regnamespace('rosterd') AND relname = 'meta'
                         AND attname IN ('epoch', 'identity', 'schema', 'audit_salt')),
                    current_database()::text, current_user::text"
        ))
        .await?;
    let (exists, may_create, may_fill): (bool, bool, bool) = (value(&found, 0)?, value(&found, 1)?, value(&found, 2)?);
    let (things, known_columns): (i64, i64) = (value(&found, 3)?, value(&found, 4)?);
    let (database, role): (String, String) = (value(&found, 5)?, value(&found, 6)?);
    if !exists && !may_create {
        let remedy = format!("GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\"");
        return Err(PgSchemaError::NoRight { what: "create a schema", remedy });
    }
    if !exists {
        session.run("CREATE SCHEMA rosterd").await?;
    } else if things > 0 && known_columns != 4 {
        return Err(PgSchemaError::Foreign);
    }
    let version: i32 = if things > 0 { value(&session.row(call!("SELECT schema FROM meta")).await?, 0)? } else { 0 };
    let missing = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..));
    let Some(missing) = missing else {
        return Err(PgSchemaError::Newer { found: version, known: MIGRATIONS.len() });
    };
    if exists && !missing.is_empty() && !may_fill {
        let remedy = format!("ALTER SCHEMA rosterd OWNER TO \"{role}\"");
        return Err(PgSchemaError::NoRight { what: "create tables in the schema rosterd", remedy });
    }
    if version > 0 && !missing.is_empty() {
        // Before the tables, as writers do: otherwise the two would wait for each other.
        run_if_free(session, LOCK).await?;
    }
    session.run(MIGRATION_PATIENCE[0]).await?;
    for migration in missing {
        run_if_free(session, migration).await?;
    }
    session.run(MIGRATION_PATIENCE[1]).await?;
    if version == 0 {
        begin_store(session).await?;
    }
    if !missing.is_empty() {
        let sql = "UPDATE meta SET schema = $1";
        session.query(call!(sql, MIGRATIONS.len() as i32)).await?;
    }
    Ok(())
}

/// Runs statements, unless others are in the way.
async fn run_if_free(session: &PgSession, sql: &str) -> Result<(), PgSchemaError> {
    session
        .run(sql)
        .await
        .map_err(|error| if error.is_in_the_way() { PgSchemaError::InUse(error) } else { error.into() })
}

/// Puts the facts of a new store.
async fn begin_store(session: &PgSession) -> Result<(), PgSchemaError> {
    let mut salt = vec![0; 32];
    getrandom::fill(&mut salt).map_err(PgError::from)?;
    let sql = "INSERT INTO meta (id, epoch, identity, floor, visibility, schema, format, history, feed_floor, seen,
                                 numbers_seen, audit_salt)
               VALUES (1, $1, '', 0, '', 0, 1, 0, 0, 0, false, $2)";
    session.query(call!(sql, random()?, salt)).await?;
    Ok(())
}

/// Returns which server, which database and which schema this is: a dump that was restored is in another one, and may lack
/// commits.
pub(super) async fn system(session: &PgSession) -> Result<String, PgError> {
    let sql = "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || pg_database.oid || '/'
                      || to_regnamespace('rosterd')::oid
               FROM pg_database WHERE datname = current_database()";
    value(&session.row(call!(sql)).await?, 0)
}

/// Begins a new epoch where clients that come back must sync in full, and a new change log where changes may be missing in
/// the old one.
///
/// Both are so on another database system, as after a dump was restored, and after a failover that may have lost commits.
/// Clients also sync in full where it cannot be read by which rules they saw what they hold. Under other rules that can be
/// read a change of the rules begins, which is complete once all views are in line.
///
/// A gateway that joins others begins neither, unless the database is another one for all of them: it has to have their
/// settings.
async fn begin_histories(
    session: &PgSession,
    options: &PostgresOptions,
    identity: &str,
) -> Result<Visibility, PgSchemaError> {
    let sql = "SELECT identity, visibility, history, numbers_seen, own_fields, write_rights FROM meta";
    let meta = session.row(call!(sql)).await?;
    let (known, stored): (String, String) = (value(&meta, 0)?, value(&meta, 1)?);
    let moved = known != identity;
    let lost = moved && !options.failover.loses_nothing(&known, identity);
    if lost && !known.is_empty() {
        tracing::warn!("the database is another one, or failed over: clients sync in full, followers begin anew");
    }
    if !lost && joins_others(session).await? {
        let has_log = value::<i64>(&meta, 2)? != NO_HISTORY;
        let (has_numbers, numbers): (bool, _) = (value(&meta, 3)?, options.keeps_log && options.numbers_presence);
        compare_rules(options, &stored, (value(&meta, 4)?, value(&meta, 5)?))?;
        let others = [("feed.retention", has_log == options.keeps_log), ("feed.presence", has_numbers == numbers)];
        if let Some((key, _)) = others.into_iter().find(|(_, is_same)| !is_same) {
            return Err(PgSchemaError::Contradicts(key));
        }
    }
    let newest = session.row(call!("SELECT last FROM feed ORDER BY first DESC LIMIT 1")).await?;
    let head = number(&newest, 0)?;
    let opening = options.visibility.clone().opening(&stored, head);
    if lost || opening.is_none() {
        session.query(call!("UPDATE meta SET epoch = $1", random()?)).await?;
    }
    let visibility = opening.unwrap_or_else(|| options.visibility.clone());
    rules::replace(session, &StoredRules::of(&visibility, &options.write, head, &stored)).await?;
    let sql = "UPDATE meta SET identity = $1 WHERE identity <> $1";
    session.query(call!(sql, identity.to_owned())).await?;
    if lost || !options.keeps_log || value::<i64>(&meta, 2)? == NO_HISTORY {
        let history = if options.keeps_log { random()? } else { NO_HISTORY };
        session.pipeline(&change_log::begin(history)).await?;
        session.query(delivery::clear_dead()).await?;
    }
    Ok(visibility)
}

/// Returns an error if the rules of the settings are not those of the database. Own fields and rights are `None` where no
/// gateway has kept them yet.
fn compare_rules(
    options: &PostgresOptions,
    visibility: &str,
    (fields, write): (Option<Vec<u8>>, Option<String>),
) -> Result<(), PgSchemaError> {
    let same_fields = |fields: Vec<u8>| fields == own_schema_to_bytes(&options.visibility.own);
    let same_write = |write: String| WriteRights::from_text(&write).as_ref() == Some(&options.write);
    let rules = [
        ("profile.visibility", options.visibility.is_that_of(visibility)),
        ("profile.fields", fields.is_none_or(same_fields)),
        ("profile.write", write.is_none_or(same_write)),
    ];
    match rules.into_iter().find(|(_, is_same)| !is_same) {
        Some((key, _)) => Err(PgSchemaError::ContradictsRules(key)),
        None => Ok(()),
    }
}

/// Returns whether other gateways use the database now.
async fn joins_others(session: &PgSession) -> Result<bool, PgError> {
    let sql = "SELECT EXISTS (
                   SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                       AND (classid::bigint << 32 | objid::bigint) = $1)";
    value(&session.row(call!(sql, GATEWAY_LOCK)).await?, 0)
}

/// Begins to number presence transitions, or ends that.
async fn number_presence(session: &PgSession, numbers: bool) -> Result<(), PgError> {
    let numbered: bool = value(&session.row(call!("SELECT numbers_seen FROM meta")).await?, 0)?;
    if numbered != numbers {
        if numbers {
            session.query(profiles::number_all()).await?;
        }
        session.query(call!("UPDATE meta SET numbers_seen = $1", numbers)).await?;
    }
    Ok(())
}

/// Makes 64 random bits, as they are stored; never 0.
pub(super) fn random() -> Result<i64, PgError> {
    Ok(getrandom::u64()?.max(1).cast_signed())
}

/// Reads where the history stands. It must be a statement of its own: one that waited for the lock would read what was
/// before its wait.
pub(super) const STANDING: &str = "
    SELECT newest.last, newest.nonce, newest.time, (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
           left(pg_walfile_name(pg_current_wal_lsn()), 8), meta.epoch, floor, seen, identity,
           (extract(epoch FROM clock_timestamp() - transaction_timestamp()) * 1000000)::bigint, rules
    FROM (SELECT last, nonce, time FROM feed ORDER BY first DESC LIMIT 1) AS newest, meta";

/// Reads a result of [`STANDING`].
pub(super) fn standing_of(record: Option<&tokio_postgres::Row>) -> Result<Standing, PgError> {
    let record = record.ok_or_else(|| PgError::Damaged("there is no row in meta or in feed".into()))?;
    Ok(Standing {
        head: number(record, 0)?,
        nonce: value(record, 1)?,
        time: number(record, 2)?,
        clock: number(record, 3)?,
        timeline: value(record, 4)?,
        epoch: value(record, 5)?,
        compacted: number(record, 6)?,
        seen: number(record, 7)?,
        identity: value(record, 8)?,
        waited: Duration::from_micros(number(record, 9)?),
        rules: value(record, 10)?,
    })
}
