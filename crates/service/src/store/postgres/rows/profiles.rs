//! Accounts and their profiles, frozen ones included.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use tokio_postgres::Row as Record;
use tokio_postgres::types::ToSql;

use super::relations;
use super::values::{RowColumns, account, further_fields, int, meaning, names, number, pairs, plain, text, value};
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{Call, PgSession, call};
use crate::store::postgres::staged::UserRow;
use crate::store::{PresenceRow, columns};
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::{
    Account, Block, ChosenPresence, DeviceKind, LastChange, NumberedPresence, OnlineAccount, Profile, SeenNumber,
    SeenPresence, Status,
};
use rosterd_engine::sync::decide::StoredPresence;
use rosterd_protocol::further_fields_to_bytes;

/// The column of the own fields, and the type of arrays of it.
const OWN: (&str, &str) = (Profile::OWN, "bytea[]");

/// The columns of a profile that are no fields.
const COUNTED: [&str; 7] =
    ["create_time", "update_time", "version", "friends_version", "friends_time", "everyone_version", "everyone_time"];

/// Defines what depends on the fields of a profile out of the table of them.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// The columns of the fields, and the types of arrays of them.
        const FIELDS: [(&str, &str); Profile::FIELDS.len()] = [$((stringify!($name), array!($kind))),+];

        /// Returns an array for each column of profiles.
        fn arrays(profiles: &[&Profile]) -> Vec<Box<dyn ToSql + Sync + Send>> {
            let numbers = |of: fn(&Profile) -> u64| -> Box<dyn ToSql + Sync + Send> {
                Box::new(profiles.iter().map(|profile| int(of(profile))).collect::<Vec<i64>>())
            };
            vec![
                $(Box::new(profiles.iter().map(|profile| given!($kind, profile.$name)).collect::<Vec<_>>()),)+
                Box::new(profiles.iter().map(|profile| further_fields_to_bytes(&profile.own, &profile.muted)).collect::<Vec<_>>()),
                numbers(|profile| profile.create_time),
                numbers(|profile| profile.update_time),
                numbers(|profile| profile.version),
                numbers(|profile| profile.friends.version),
                numbers(|profile| profile.friends.time),
                numbers(|profile| profile.everyone.version),
                numbers(|profile| profile.everyone.time),
            ]
        }

        /// Reads a profile from the first columns of a record.
        pub(super) fn profile(account: Account, record: &impl RowColumns) -> PgResult<Profile> {
            let mut columns = 0..COLUMNS;
            let mut next = || columns.next().unwrap_or(COLUMNS);
            // Their column is the first after those of the fields.
            let (own, muted) = further_fields(record, FIELDS.len())?;
            Ok(Profile {
                account,
                $($name: read!($kind, record, next()),)+
                own: { next(); own },
                muted,
                create_time: number(record, next())?,
                update_time: number(record, next())?,
                version: number(record, next())?,
                friends: LastChange { version: number(record, next())?, time: number(record, next())? },
                everyone: LastChange { version: number(record, next())?, time: number(record, next())? },
            })
        }
    };
}

/// The type of an array of a field, by its kind.
macro_rules! array {
    (text) => {
        "text[]"
    };
    (raw_text) => {
        "bytea[]"
    };
    (gender) => {
        "smallint[]"
    };
}

/// What a field's column holds, by its kind. A text that may hold U+0000 is stored as bytes.
macro_rules! given {
    (text, $field:expr) => {
        $field.to_string()
    };
    (raw_text, $field:expr) => {
        $field.as_bytes().to_vec()
    };
    (gender, $field:expr) => {
        columns::gender_number($field)
    };
}

/// Reads a field's column, by its kind.
macro_rules! read {
    (text, $record:expr, $column:expr) => {
        plain($record, $column)?
    };
    (raw_text, $record:expr, $column:expr) => {
        text($record, $column)?
    };
    (gender, $record:expr, $column:expr) => {
        meaning($record, $column, columns::gender)?
    };
}

for_each_profile_field!(define);

/// The number of columns of a profile.
pub(super) const COLUMNS: usize = FIELDS.len() + 1 + COUNTED.len();

pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().chain([&OWN]).map(|(name, _)| *name).chain(COUNTED)
}

/// Returns the columns of a profile, and the types of arrays of them.
pub(in crate::store::postgres) fn profile_columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.iter().copied().chain([OWN]).chain(COUNTED.map(|name| (name, "bigint[]")))
}

/// The columns of a profile, in the order of [`arrays`] and [`profile`].
pub(super) static LIST: LazyLock<String> = LazyLock::new(|| columns().collect::<Vec<_>>().join(", "));

/// Makes a statement that puts profiles, given as arrays, with further columns of a name and a type of array.
fn put_statement(table: &str, key: &str, more: &[(&'static str, &'static str)]) -> String {
    let all: Vec<_> = profile_columns().chain(more.iter().copied()).collect();
    let names = all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let given = all.iter().enumerate().map(|(at, (_, array))| format!("${}::{array}", at + 1));
    let given = given.collect::<Vec<_>>().join(", ");
    let is_key = |name: &str| key.split(", ").any(|part| part == name);
    let set = all.iter().filter(|(name, _)| !is_key(name)).map(|(name, _)| format!("{name} = excluded.{name}"));
    let set = set.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {table} ({names}) SELECT * FROM unnest({given}) ON CONFLICT ({key}) DO UPDATE SET {set}")
}

static PUT: LazyLock<String> = LazyLock::new(|| {
    let more = [
        ("account", "text[]"),
        ("invisible", "boolean[]"),
        ("invisible_version", "bigint[]"),
        ("status", "text[]"),
        ("status_until", "bigint[]"),
        ("status_time", "bigint[]"),
        ("online", "boolean[]"),
        ("last_seen", "bigint[]"),
    ];
    put_statement("users", "account", &more)
});

static FREEZE: LazyLock<String> =
    LazyLock::new(|| put_statement("frozen", "viewer, account", &[("account", "text[]"), ("viewer", "text[]")]));

/// Puts rows, each account once.
pub(in crate::store::postgres) fn put(rows: &[UserRow]) -> Call {
    let profiles: Vec<&Profile> = rows.iter().map(|row| &*row.profile).collect();
    let mut given = arrays(&profiles);
    given.push(Box::new(names(profiles.iter().map(|profile| &profile.account))));
    let chosen = || rows.iter().map(|row| &row.presence.chosen);
    let status = || chosen().map(|chosen| chosen.status.as_deref());
    given.push(Box::new(chosen().map(|chosen| chosen.hides).collect::<Vec<_>>()));
    given.push(Box::new(chosen().map(|chosen| int(chosen.version)).collect::<Vec<_>>()));
    given.push(Box::new(
        status().map(|status| status.map_or_else(String::new, |status| status.text.to_string())).collect::<Vec<_>>(),
    ));
    let until = |status: &Status| int(status.until.unwrap_or_default());
    given.push(Box::new(status().map(|status| status.map_or(0, until)).collect::<Vec<_>>()));
    given.push(Box::new(status().map(|status| status.map_or(0, |status| int(status.time))).collect::<Vec<_>>()));
    given.push(Box::new(rows.iter().map(|row| row.presence.seen.online).collect::<Vec<_>>()));
    given.push(Box::new(rows.iter().map(|row| int(row.presence.seen.last_seen)).collect::<Vec<_>>()));
    Call::new(PUT.as_str(), given)
}

/// Keeps profiles as they are for accounts that their owners block, each pair once.
pub(in crate::store::postgres) fn freeze(copies: &[(Account, Arc<Profile>)]) -> Call {
    let profiles: Vec<&Profile> = copies.iter().map(|(_, profile)| &**profile).collect();
    let mut given = arrays(&profiles);
    given.push(Box::new(names(profiles.iter().map(|profile| &profile.account))));
    given.push(Box::new(names(copies.iter().map(|(viewer, _)| viewer))));
    Call::new(FREEZE.as_str(), given)
}

/// Forgets the copies for these viewers of these accounts.
pub(in crate::store::postgres) fn thaw(keys: &[(Account, Account)]) -> Call {
    let (viewers, accounts) = pairs(keys);
    call!(
        "DELETE FROM frozen USING unnest($1::text[], $2::text[]) AS given (v, a) WHERE viewer = v AND account = a",
        viewers,
        accounts
    )
}

/// Deletes the accounts' own rows.
pub(in crate::store::postgres) fn delete(accounts: &[Account]) -> Call {
    call!("DELETE FROM users WHERE account = ANY($1)", names(accounts))
}

/// Reads rows for decisions; [`row`] takes each.
pub(in crate::store::postgres) fn rows(accounts: &[Account]) -> Call {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("SELECT {}, account, online, last_seen, {CHOSEN} FROM users WHERE account = ANY($1)", *LIST)
    });
    call!(SQL.as_str(), names(accounts))
}

/// Reads a row of [`rows`].
pub(in crate::store::postgres) fn row(record: &Record) -> PgResult<UserRow> {
    let seen = SeenPresence { online: value(record, COLUMNS + 1)?, last_seen: number(record, COLUMNS + 2)? };
    let presence = StoredPresence { chosen: chosen(record, COLUMNS + 3)?, seen };
    Ok(UserRow { profile: Arc::new(profile(account(record, COLUMNS)?, record)?), presence })
}

/// Reads the frozen copies of these keys, viewer and account; [`copy`] takes each.
pub(in crate::store::postgres) fn copies(keys: &[(Account, Account)]) -> Call {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let list = columns().map(|name| format!("frozen.{name}")).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT {list}, account, viewer FROM unnest($1::text[], $2::text[]) AS given (v, a)
             JOIN frozen ON viewer = v AND account = a"
        )
    });
    let (viewers, accounts) = pairs(keys);
    call!(SQL.as_str(), viewers, accounts)
}

/// Reads a frozen copy and its viewer.
pub(in crate::store::postgres) fn copy(record: &Record) -> PgResult<(Account, Arc<Profile>)> {
    Ok((account(record, COLUMNS + 1)?, Arc::new(profile(account(record, COLUMNS)?, record)?)))
}

/// Reads the profiles kept for `viewer` of those owners that block it.
pub(in crate::store::postgres) async fn frozen(
    session: &PgSession,
    viewer: &Account,
    owners: &[Account],
) -> PgResult<Vec<Arc<Profile>>> {
    let keys: Vec<_> = owners.iter().map(|owner| (viewer.clone(), owner.clone())).collect();
    let found = session.query(copies(&keys)).await?;
    found.iter().map(|record| Ok(copy(record)?.1)).collect()
}

/// Reads the profiles after an account, in order of the account, and how friends see each.
pub(super) async fn users_after(
    session: &PgSession,
    after: &str,
    limit: usize,
) -> PgResult<Vec<(Arc<Profile>, StoredPresence)>> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {}, account, online, last_seen, {CHOSEN}
             FROM users WHERE account > $1 ORDER BY account LIMIT $2",
            *LIST
        )
    });
    let found = session.query(call!(SQL.as_str(), after.to_owned(), int(limit as u64))).await?;
    found.iter().map(|record| row(record).map(|row| (row.profile, row.presence))).collect()
}

/// Reads the profiles after an account whose accounts begin with a text, in order of the account.
pub(in crate::store::postgres) async fn profiles_from(
    session: &PgSession,
    prefix: &str,
    after: &str,
    limit: usize,
) -> PgResult<Vec<Profile>> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {}, account FROM users WHERE account > $1 AND account >= $2 AND account < $3
             ORDER BY account LIMIT $4",
            *LIST
        )
    });
    if prefix.contains('\0') {
        return Ok(Vec::new());
    }
    // Accounts are ASCII, so this is behind all that begin so.
    let end = format!("{prefix}\u{7f}");
    let found = call!(SQL.as_str(), after.to_owned(), prefix.to_owned(), end, int(limit as u64));
    let found = session.query(found).await?;
    found.iter().map(|record| profile(account(record, COLUMNS)?, record)).collect()
}

/// Returns whether no account exists.
pub(in crate::store::postgres) async fn is_empty(session: &PgSession) -> PgResult<bool> {
    value(&session.row(call!("SELECT NOT EXISTS (SELECT 1 FROM users)")).await?, 0)
}

/// Reads the accounts noted as online.
pub(in crate::store::postgres) async fn online(session: &PgSession) -> PgResult<Vec<OnlineAccount>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("SELECT account, last_seen, {CHOSEN} FROM users WHERE online"));
    let accounts = call!(SQL.as_str());
    let found =
        session.pipeline(&[call!(super::SNAPSHOT), accounts, relations::shown_blocks(), call!("COMMIT")]).await?;
    let mut found = found.into_iter().skip(1);
    let (accounts, shown) = (found.next().unwrap_or_default(), found.next().unwrap_or_default());
    let mut blocks: HashMap<Account, Vec<Block>> = HashMap::new();
    for record in &shown {
        let block = relations::block(record)?;
        blocks.entry(block.owner.clone()).or_default().push(block);
    }
    accounts
        .iter()
        .map(|record| {
            let account = account(record, 0)?;
            let blocks = blocks.remove(&account).unwrap_or_default();
            Ok(OnlineAccount { account, chosen: chosen(record, 2)?, last_seen: number(record, 1)?, blocks })
        })
        .collect()
}

/// Stores how accounts are seen now by friends. With `numbers` each that exists takes the next number, and the call
/// returns the last one.
pub(in crate::store::postgres) fn put_seen(seen: &[PresenceRow], numbers: bool, is_shared: bool) -> Option<Call> {
    // A statement may touch a row once: the last one wins.
    let mut last: HashMap<&Account, usize> = HashMap::new();
    let of_friends = |row: &&PresenceRow| row.peer.is_none();
    for (at, row) in seen.iter().enumerate().filter(|(_, row)| of_friends(row)) {
        last.insert(&row.account, at);
    }
    let rows = seen.iter().enumerate().filter(|(at, row)| of_friends(row) && last.get(&row.account) == Some(at));
    let rows: Vec<_> = rows.map(|(_, row)| row).collect();
    if rows.is_empty() {
        return None;
    }
    let seen = |row: &&PresenceRow| row.seen.unwrap_or_default();
    let online: Vec<bool> = rows.iter().map(|row| seen(row).online).collect();
    let times: Vec<i64> = rows.iter().map(|row| int(seen(row).last_seen)).collect();
    let devices: Vec<String> = rows.iter().map(|row| DeviceKind::written(&row.devices)).collect();
    let accounts: Vec<String> = rows.iter().map(|row| row.account.to_string()).collect();
    let sql = if numbers && is_shared {
        // Several gateways may say the same, and only what moves gets a number.
        "WITH given AS (SELECT * FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[])
                     WITH ORDINALITY AS t (a, o, s, d, n)),
              found AS (SELECT given.*, online <> o OR devices <> d OR NOT o AND last_seen < s AS moves FROM given JOIN users ON account = a
                        WHERE o OR invisible OR NOT EXISTS (
                            SELECT FROM live_session WHERE live_session.account = a AND ended_at IS NULL)),
              counted AS (SELECT found.*, count(*) FILTER (WHERE moves) OVER (ORDER BY n) AS k FROM found),
              raised AS (UPDATE meta SET seen = seen + (SELECT count(*) FROM found WHERE moves) RETURNING seen),
              put AS (UPDATE users SET online = o, last_seen = greatest(last_seen, s), devices = d,
                          seen_stamp = CASE WHEN moves THEN raised.seen - (SELECT count(*) FROM found WHERE moves) + k
                                       ELSE seen_stamp END
                      FROM counted, raised WHERE account = a)
         SELECT seen FROM raised"
    } else if numbers {
        "WITH given AS (SELECT * FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[])
                     WITH ORDINALITY AS t (a, o, s, d, n)),
              found AS (SELECT given.*, row_number() OVER (ORDER BY n) AS k FROM given JOIN users ON account = a),
              raised AS (UPDATE meta SET seen = seen + (SELECT count(*) FROM found) RETURNING seen),
              put AS (UPDATE users SET online = o, last_seen = s, devices = d,
                          seen_stamp = raised.seen - (SELECT count(*) FROM found) + k
                      FROM found, raised WHERE account = a)
         SELECT seen FROM raised"
    } else if is_shared {
        // An account is offline once no gateway has it.
        "UPDATE users SET online = o, last_seen = greatest(last_seen, s), devices = d
         FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[]) AS given (a, o, s, d)
         WHERE account = a AND (o OR invisible OR NOT EXISTS (
             SELECT FROM live_session WHERE live_session.account = a AND ended_at IS NULL))"
    } else {
        "UPDATE users SET online = o, last_seen = s, devices = d
         FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[]) AS given (a, o, s, d) WHERE account = a"
    };
    Some(call!(sql, accounts, online, times, devices))
}

/// Gives accounts that exist the next numbers, and returns the last one.
pub(in crate::store::postgres) fn put_numbers(accounts: &[Account]) -> Call {
    call!(
        "WITH given AS (SELECT * FROM unnest($1::text[]) WITH ORDINALITY AS t (a, n)),
              found AS (SELECT given.*, row_number() OVER (ORDER BY n) AS k FROM given JOIN users ON account = a),
              raised AS (UPDATE meta SET seen = seen + (SELECT count(*) FROM found) RETURNING seen),
              put AS (UPDATE users SET seen_stamp = raised.seen - (SELECT count(*) FROM found) + k
                      FROM found, raised WHERE account = a)
         SELECT seen FROM raised",
        names(accounts)
    )
}

/// Gives a number to each account that is online, and anew to each that has one.
pub(in crate::store::postgres) fn number_all() -> Call {
    call!(
        "WITH found AS (SELECT account AS a, row_number() OVER (ORDER BY account) AS k FROM users
                        WHERE online OR seen_stamp > 0),
              raised AS (UPDATE meta SET seen = seen + (SELECT count(*) FROM found) RETURNING seen)
         UPDATE users SET seen_stamp = raised.seen - (SELECT count(*) FROM found) + k
         FROM found, raised WHERE account = a"
    )
}

/// Reads the presence of accounts whose last transition came after a number and not after another.
pub(in crate::store::postgres) async fn seen_page(
    session: &PgSession,
    after: SeenNumber,
    until: SeenNumber,
    limit: usize,
) -> PgResult<Vec<NumberedPresence>> {
    // The first condition is that of the index.
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT account, online, last_seen, greatest(version, invisible_version), seen_stamp, devices, {CHOSEN} FROM users
             WHERE seen_stamp > 0 AND seen_stamp > $1 AND seen_stamp <= $2 ORDER BY seen_stamp LIMIT $3"
        )
    });
    let found = session.query(call!(SQL.as_str(), int(after), int(until), int(limit as u64))).await?;
    found
        .iter()
        .map(|record| {
            Ok(NumberedPresence {
                account: account(record, 0)?,
                presence: SeenPresence { online: value(record, 1)?, last_seen: number(record, 2)? },
                devices: DeviceKind::read(&value::<String>(record, 5)?),
                chosen: chosen(record, 6)?,
                revision: number(record, 3)?,
                seen: number(record, 4)?,
            })
        })
        .collect()
}

/// The columns of what an account chose about its presence, as [`chosen`] reads them.
pub(super) const CHOSEN: &str = "invisible, invisible_version, status, status_until, status_time";

/// Reads the columns of [`CHOSEN`], which begin at `first`.
pub(super) fn chosen(record: &impl RowColumns, first: usize) -> PgResult<ChosenPresence> {
    let text: String = value(record, first + 2)?;
    let status = if text.is_empty() {
        None
    } else {
        let until = Some(number(record, first + 3)?).filter(|until| *until > 0);
        Some(Arc::new(Status { text: text.into(), until, time: number(record, first + 4)? }))
    };
    Ok(ChosenPresence { hides: value(record, first)?, version: number(record, first + 1)?, status })
}
