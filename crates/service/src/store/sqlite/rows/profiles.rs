//! Accounts and their profiles, frozen ones included.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row as Record, ToSql, params};

use super::relations;
use super::values::{account, int, number, text};
use crate::store::{PresenceRow, columns};
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::{
    Account, Block, ChosenPresence, DeviceKind, Gender, LastChange, Muted, NumberedPresence, OnlineAccount, OwnFields,
    Profile, SeenNumber, SeenPresence, Status, User,
};
use rosterd_engine::sync::decide::StoredPresence;
use rosterd_protocol::{further_fields_from_bytes, further_fields_to_bytes};

/// Defines the columns of a profile out of the table of profile fields.
///
/// Statements are put together by `concat!`, so that each is one constant, and its text the key of the prepared
/// statement.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// The columns of a profile, in the order of [`with_values`] and [`profile`].
        macro_rules! columns {
            () => {
                concat!(
                    $(stringify!($name), ", ",)+
                    "fields, create_time, update_time, version, friends_version, friends_time, everyone_version, everyone_time"
                )
            };
        }

        /// A parameter for each column.
        macro_rules! parameters {
            () => {
                concat!($(parameter!($name),)+ "?, ?, ?, ?, ?, ?, ?, ?")
            };
        }

        /// The assignments that replace the columns of an existing row.
        macro_rules! assignments {
            () => {
                concat!(
                    $(stringify!($name), " = excluded.", stringify!($name), ", ",)+
                    "fields = excluded.fields, create_time = excluded.create_time, update_time = excluded.update_time,
                     version = excluded.version,
                     friends_version = excluded.friends_version, friends_time = excluded.friends_time,
                     everyone_version = excluded.everyone_version, everyone_time = excluded.everyone_time"
                )
            };
        }

        /// The number of columns.
        const COLUMNS: usize = Profile::FIELDS.len() + 8;

        /// Calls `put` with the values of a profile's columns, followed by `then`.
        fn with_values<T>(profile: &Profile, then: &[&str], put: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
            let [created, updated, version] = [profile.create_time, profile.update_time, profile.version].map(int);
            let Profile { friends, everyone, .. } = profile;
            let further = further_fields_to_bytes(&profile.own, &profile.muted);
            let [fv, ft, ev, et] = [friends.version, friends.time, everyone.version, everyone.time].map(int);
            let columns: [&dyn ToSql; COLUMNS] = [
                $(&value!($kind, profile.$name),)+
                &further, &created, &updated, &version, &fv, &ft, &ev, &et,
            ];
            let then = then.iter().map(|text| text as &dyn ToSql);
            put(&columns.into_iter().chain(then).collect::<Vec<_>>())
        }

        /// Reads a profile from the first columns of a record.
        fn profile(account: &Account, record: &Record<'_>) -> Result<Profile> {
            let mut columns = 0..COLUMNS;
            let mut next = || columns.next().expect("as many columns as fields");
            // Their column is the first after those of the fields.
            let (own, muted) = further_fields(record, Profile::FIELDS.len())?;
            Ok(Profile {
                account: account.clone(),
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

/// One field's parameter.
macro_rules! parameter {
    ($name:ident) => {
        "?, "
    };
}

/// What a field's column holds, by its kind. A text that may hold U+0000 is a BLOB.
macro_rules! value {
    (text, $field:expr) => {
        $field
    };
    (raw_text, $field:expr) => {
        $field.as_bytes()
    };
    (gender, $field:expr) => {
        columns::gender_number($field)
    };
}

/// Reads a field's column, by its kind.
macro_rules! read {
    (text, $record:expr, $column:expr) => {
        $record.get($column)?
    };
    (raw_text, $record:expr, $column:expr) => {
        text($record, $column)?
    };
    (gender, $record:expr, $column:expr) => {
        gender($record, $column)?
    };
}

for_each_profile_field!(define);

/// Reads the profiles of the accounts that exist.
pub(in crate::store::sqlite) fn profiles(conn: &Connection, accounts: &[Account]) -> Result<Vec<Arc<Profile>>> {
    let mut select = conn.prepare_cached(concat!("SELECT ", columns!(), " FROM user WHERE account = ?1"))?;
    let mut found = Vec::with_capacity(accounts.len());
    for account in accounts {
        let profile = select.query_row([account.as_str()], |record| profile(account, record)).optional()?;
        found.extend(profile.map(Arc::new));
    }
    Ok(found)
}

/// The columns of what an account chose about its presence, as [`chosen`] reads them.
macro_rules! chosen_columns {
    () => {
        "invisible, invisible_version, status, status_until, status_time"
    };
}

/// Reads the profiles after an account, in order of the account, and how friends see each.
pub(super) fn users_after(conn: &Connection, after: &str, limit: usize) -> Result<Vec<(Profile, StoredPresence)>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        ", account, online, last_seen, ",
        chosen_columns!(),
        " FROM user WHERE account > ?1 ORDER BY account LIMIT ?2"
    ))?;
    let rows = select.query_map(params![after, int(limit as u64)], |record| {
        let presence = noted_from(record, COLUMNS + 1)?;
        Ok((profile(&account(record, COLUMNS)?, record)?, presence))
    })?;
    rows.collect()
}

/// Reads the profiles after an account whose accounts begin with a text, in order of the account.
pub(in crate::store::sqlite) fn profiles_from(
    conn: &Connection,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Profile>> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", account FROM user WHERE account > ?1 AND account >= ?2 AND account < ?3 ORDER BY account LIMIT ?4"
    );
    // Accounts are ASCII, so this is behind all that begin so.
    let end = format!("{prefix}\u{7f}");
    let mut select = conn.prepare_cached(sql)?;
    let given = params![after, prefix, end, int(limit as u64)];
    let rows = select.query_map(given, |record| profile(&account(record, COLUMNS)?, record))?;
    rows.collect()
}

/// Reads the users of the accounts that exist, with all their blocks.
pub(in crate::store::sqlite) fn users(conn: &Connection, accounts: &[Account]) -> Result<Vec<User>> {
    users_with(conn, accounts, |account, _| {
        let mut blocks = relations::blocks(conn, account, None, usize::MAX, None)?;
        blocks.extend(relations::ended_blocks(conn, account)?);
        Ok((blocks, false))
    })
}

/// Reads the users of the accounts that exist. Of those with more than `few` live blocks, no others come than that of
/// `viewer` and those whose peer sees the owner online.
pub(in crate::store::sqlite) fn users_followed_by(
    conn: &Connection,
    viewer: &Account,
    accounts: &[Account],
    few: usize,
) -> Result<Vec<User>> {
    users_with(conn, accounts, |account, live| {
        let has_more = live > few as u64;
        let mut blocks = match live {
            0 => Vec::new(),
            _ if has_more => relations::blocks_shown_online(conn, account)?,
            _ => relations::blocks(conn, account, None, few, None)?,
        };
        if has_more {
            let own = relations::block(conn, account, viewer)?.filter(|block| !block.removed);
            blocks.extend(own.filter(|own| blocks.iter().all(|block| block.peer != own.peer)));
        }
        blocks.extend(relations::ended_blocks(conn, account)?);
        Ok((blocks, has_more))
    })
}

/// Reads the users of the accounts that exist, with their blocks of `viewer` alone.
pub(in crate::store::sqlite) fn users_seen_by(
    conn: &Connection,
    viewer: &Account,
    accounts: &[Account],
) -> Result<Vec<User>> {
    users_with(conn, accounts, |account, _| {
        let decides = |block: &Block| !block.removed || block.presence.is_some() || block.views.is_some();
        let block = relations::block(conn, account, viewer)?.filter(decides);
        Ok((block.into_iter().collect(), false))
    })
}

/// Reads the users of the accounts that exist. `blocks` reads those of an account that has so many live ones, or some that
/// have ended.
fn users_with(
    conn: &Connection,
    accounts: &[Account],
    blocks: impl Fn(&Account, u64) -> Result<(Vec<Block>, bool)>,
) -> Result<Vec<User>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        ", ",
        chosen_columns!(),
        ", last_seen,
         coalesce((SELECT blocks FROM relation_count WHERE account = ?1), 0),
         EXISTS (SELECT 1 FROM block WHERE owner = ?1 AND removed = 1 AND (shown <> 0 OR friends_version <> 0))
         FROM user WHERE account = ?1"
    ))?;
    let mut found = Vec::with_capacity(accounts.len());
    for account in accounts {
        let user = select.query_row([account.as_str()], |record| {
            let (live, has_ended) = (number(record, COLUMNS + 6)?, record.get(COLUMNS + 7)?);
            let profile = Arc::new(profile(account, record)?);
            let (chosen, last_seen) = (chosen(record, COLUMNS)?, number(record, COLUMNS + 5)?);
            let (blocks, ended) = Default::default();
            Ok((User { profile, chosen, last_seen, blocks, has_more_blocks: false, ended }, (live, has_ended)))
        });
        if let Some((mut user, (live, has_ended))) = user.optional()? {
            if live > 0 || has_ended {
                let (found, has_more) = blocks(account, live)?;
                (user.ended, user.blocks) = found.into_iter().partition(|block| block.removed);
                user.has_more_blocks = has_more;
            }
            found.push(user);
        }
    }
    Ok(found)
}

/// Returns whether no account exists.
pub(in crate::store::sqlite) fn is_empty(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM user)")?.query_row([], |record| record.get(0))
}

/// Reads the accounts noted as online.
pub(in crate::store::sqlite) fn online(conn: &Connection) -> Result<Vec<OnlineAccount>> {
    let mut blocks: HashMap<Account, Vec<Block>> = HashMap::new();
    for block in relations::shown_blocks(conn)? {
        blocks.entry(block.owner.clone()).or_default().push(block);
    }
    let mut select =
        conn.prepare_cached(concat!("SELECT account, last_seen, ", chosen_columns!(), " FROM user WHERE online = 1"))?;
    let mut online = |record: &Record<'_>| {
        let account = account(record, 0)?;
        let blocks = blocks.remove(&account).unwrap_or_default();
        Ok(OnlineAccount { account, chosen: chosen(record, 2)?, last_seen: number(record, 1)?, blocks })
    };
    select.query_map([], |record| online(record))?.collect()
}

/// Stores how accounts are seen now. What friends see takes the next number, if there is a last one.
pub(in crate::store::sqlite) fn put_seen(
    conn: &Connection,
    seen: &[PresenceRow],
    last: &mut Option<SeenNumber>,
) -> Result<()> {
    let mut update =
        conn.prepare_cached("UPDATE user SET online = ?2, last_seen = ?3, devices = ?4 WHERE account = ?1")?;
    for PresenceRow { account, peer, seen, devices } in seen {
        match (peer, seen) {
            (None, seen) => {
                let SeenPresence { online, last_seen } = seen.unwrap_or_default();
                update.execute(params![account.as_str(), online, int(last_seen), DeviceKind::written(devices)])?;
                put_number(conn, account, last)?;
            }
            (Some(peer), seen) => relations::put_seen(conn, account, peer, *seen)?,
        }
    }
    Ok(())
}

/// Gives an account that exists the next number, if there is a last one.
pub(in crate::store::sqlite) fn put_number(
    conn: &Connection,
    account: &Account,
    last: &mut Option<SeenNumber>,
) -> Result<()> {
    if let Some(last) = last {
        let mut update = conn.prepare_cached("UPDATE user SET seen_stamp = ?2 WHERE account = ?1")?;
        *last += update.execute(params![account.as_str(), int(*last + 1)])? as SeenNumber;
    }
    Ok(())
}

/// Stores the last number.
pub(in crate::store::sqlite) fn put_last_number(conn: &Connection, last: SeenNumber) -> Result<()> {
    conn.prepare_cached("UPDATE meta SET seen = ?1")?.execute([int(last)]).map(drop)
}

/// Gives a number to each account that is online, and anew to each that has one.
pub(in crate::store::sqlite) fn number_all(conn: &Connection) -> Result<()> {
    let last = conn.query_row("SELECT seen FROM meta", [], |record| number(record, 0))?;
    let sql = "UPDATE user SET seen_stamp = ?1 + numbered.row
               FROM (SELECT account AS name, row_number() OVER (ORDER BY account) AS row
                     FROM user WHERE online = 1 OR seen_stamp > 0) AS numbered
               WHERE user.account = numbered.name";
    let numbered = conn.execute(sql, [int(last)])?;
    put_last_number(conn, last + numbered as SeenNumber)
}

/// Reads the presence of accounts whose last transition came after a number and not after another.
pub(in crate::store::sqlite) fn seen_page(
    conn: &Connection,
    after: SeenNumber,
    until: SeenNumber,
    limit: usize,
) -> Result<Vec<NumberedPresence>> {
    // The first condition is that of the index.
    let sql = concat!(
        "SELECT account, online, last_seen, max(version, invisible_version), seen_stamp, devices, ",
        chosen_columns!(),
        " FROM user WHERE seen_stamp > 0 AND seen_stamp > ?1 AND seen_stamp <= ?2 ORDER BY seen_stamp LIMIT ?3"
    );
    let mut select = conn.prepare_cached(sql)?;
    let found = select.query_map([int(after), int(until), int(limit as u64)], |record| {
        Ok(NumberedPresence {
            account: account(record, 0)?,
            presence: SeenPresence { online: record.get(1)?, last_seen: number(record, 2)? },
            devices: DeviceKind::read(&record.get::<_, String>(5)?),
            chosen: chosen(record, 6)?,
            revision: number(record, 3)?,
            seen: number(record, 4)?,
        })
    })?;
    found.collect()
}

pub(super) fn noted(conn: &Connection, account: &Account) -> Result<StoredPresence> {
    let sql = concat!("SELECT online, last_seen, ", chosen_columns!(), " FROM user WHERE account = ?1");
    let noted = conn.prepare_cached(sql)?.query_row([account.as_str()], |record| noted_from(record, 0));
    Ok(noted.optional()?.unwrap_or_default())
}

/// Reads the columns `online` and `last_seen`, which begin at `first`, and those of [`chosen_columns!`] after them.
fn noted_from(record: &Record<'_>, first: usize) -> Result<StoredPresence> {
    let seen = SeenPresence { online: record.get(first)?, last_seen: number(record, first + 1)? };
    Ok(StoredPresence { chosen: chosen(record, first + 2)?, seen })
}

/// Reads the columns of [`chosen_columns!`], which begin at `first`.
fn chosen(record: &Record<'_>, first: usize) -> Result<ChosenPresence> {
    let text = record.get_ref(first + 2)?.as_str()?;
    let status = if text.is_empty() {
        None
    } else {
        let until = Some(number(record, first + 3)?).filter(|until| *until > 0);
        Some(Arc::new(Status { text: text.into(), until, time: number(record, first + 4)? }))
    };
    Ok(ChosenPresence { hides: record.get(first)?, version: number(record, first + 1)?, status })
}

pub(super) fn put_chosen(conn: &Connection, account: &Account, chosen: &ChosenPresence) -> Result<()> {
    let ChosenPresence { hides, version, status } = chosen;
    let mut update = conn.prepare_cached(
        "UPDATE user SET invisible = ?2, invisible_version = ?3, status = ?4, status_until = ?5, status_time = ?6
         WHERE account = ?1",
    )?;
    let (text, until, time) =
        status.as_deref().map_or(("", 0, 0), |status| (&*status.text, status.until.unwrap_or_default(), status.time));
    update.execute(params![account.as_str(), hides, int(*version), text, int(until), int(time)]).map(drop)
}

pub(super) fn put(conn: &Connection, profile: &Profile) -> Result<()> {
    let mut insert = conn.prepare_cached(concat!(
        "INSERT INTO user (",
        columns!(),
        ", account) VALUES (",
        parameters!(),
        ", ?) ON CONFLICT (account) DO UPDATE SET ",
        assignments!()
    ))?;
    with_values(profile, &[profile.account.as_str()], |values| insert.execute(values).map(drop))
}

/// Deletes an account's own row.
pub(super) fn delete(conn: &Connection, account: &Account) -> Result<()> {
    conn.prepare_cached("DELETE FROM user WHERE account = ?1")?.execute([account.as_str()]).map(drop)
}

/// Keeps a profile as it is for an account that its owner blocks.
pub(super) fn freeze(conn: &Connection, viewer: &Account, profile: &Profile) -> Result<()> {
    let mut insert = conn.prepare_cached(concat!(
        "INSERT OR REPLACE INTO frozen (",
        columns!(),
        ", account, viewer) VALUES (",
        parameters!(),
        ", ?, ?)"
    ))?;
    let keys = [profile.account.as_str(), viewer.as_str()];
    with_values(profile, &keys, |values| insert.execute(values).map(drop))
}

/// Forgets the copy that was kept for an account that was blocked.
pub(super) fn thaw(conn: &Connection, viewer: &Account, account: &Account) -> Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM frozen WHERE viewer = ?1 AND account = ?2")?;
    delete.execute([viewer.as_str(), account.as_str()]).map(drop)
}

/// Reads the profiles kept for `viewer` of those owners that block it.
pub(in crate::store::sqlite) fn frozen(
    conn: &Connection,
    viewer: &Account,
    owners: &[Account],
) -> Result<Vec<Arc<Profile>>> {
    let mut select =
        conn.prepare_cached(concat!("SELECT ", columns!(), " FROM frozen WHERE viewer = ?1 AND account = ?2"))?;
    let mut found = Vec::with_capacity(owners.len());
    for owner in owners {
        let profile =
            select.query_row([viewer.as_str(), owner.as_str()], |record| profile(owner, record)).optional()?;
        found.extend(profile.map(Arc::new));
    }
    Ok(found)
}

fn further_fields(record: &Record<'_>, column: usize) -> Result<(OwnFields, Muted)> {
    let damaged = || Error::FromSqlConversionFailure(column, Type::Blob, "they are no own fields".into());
    further_fields_from_bytes(record.get_ref(column)?.as_blob()?).ok_or_else(damaged)
}

fn gender(record: &Record<'_>, column: usize) -> Result<Gender> {
    let number = record.get(column)?;
    columns::gender(number).ok_or(Error::IntegralValueOutOfRange(column, number))
}
