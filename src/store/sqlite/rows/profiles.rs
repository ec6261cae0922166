//! Accounts and their profiles, frozen ones included.

use std::sync::Arc;

use rusqlite::{Connection, Error, OptionalExtension, Result, Row as Record, ToSql, params};

use super::{account, int, number, relations, text};
use crate::store::PresenceRow;
use rosterd_engine::model::{Account, Gender, LastChange, OnlineAccount, Profile, User};
use rosterd_engine::sync::decide::StoredPresence;

/// The columns of a profile, in the order of [`profile`].
macro_rules! columns {
    () => {
        "nick, avatar, sign, gender, email, birth, tel, custom, create_time, update_time, version,
         friends_version, friends_time, everyone_version, everyone_time"
    };
}

/// How many there are.
const COLUMNS: usize = 15;

/// The profiles of those accounts that exist.
pub(in crate::store::sqlite) fn profiles(conn: &Connection, accounts: &[Account]) -> Result<Vec<Arc<Profile>>> {
    let mut select = conn.prepare_cached(concat!("SELECT ", columns!(), " FROM user WHERE account = ?1"))?;
    let mut found = Vec::with_capacity(accounts.len());
    for account in accounts {
        let profile = select.query_row([account.as_str()], |record| profile(account, record)).optional()?;
        found.extend(profile.map(Arc::new));
    }
    Ok(found)
}

/// Those of the accounts that exist.
pub(in crate::store::sqlite) fn users(conn: &Connection, accounts: &[Account]) -> Result<Vec<User>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        ", invisible, last_seen, EXISTS (SELECT 1 FROM block WHERE owner = ?1 AND removed = 0)
         FROM user WHERE account = ?1"
    ))?;
    let mut found = Vec::with_capacity(accounts.len());
    for account in accounts {
        let user = select.query_row([account.as_str()], |record| {
            let blocks: bool = record.get(COLUMNS + 2)?;
            let profile = Arc::new(profile(account, record)?);
            let (invisible, last_seen) = (record.get(COLUMNS)?, number(record, COLUMNS + 1)?);
            Ok((User { profile, invisible, last_seen, blocks: Vec::new() }, blocks))
        });
        if let Some((mut user, blocks)) = user.optional()? {
            if blocks {
                user.blocks = relations::blocks(conn, account, None, usize::MAX, None)?;
            }
            found.push(user);
        }
    }
    Ok(found)
}

/// Whether no account exists.
pub(in crate::store::sqlite) fn is_empty(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM user)")?.query_row([], |record| record.get(0))
}

/// The accounts noted as online.
pub(in crate::store::sqlite) fn online(conn: &Connection) -> Result<Vec<OnlineAccount>> {
    let mut select = conn.prepare_cached("SELECT account, invisible, last_seen FROM user WHERE online = 1")?;
    let online = |record: &Record<'_>| {
        Ok(OnlineAccount { account: account(record, 0)?, invisible: record.get(1)?, last_seen: number(record, 2)? })
    };
    select.query_map([], online)?.collect()
}

/// Notes who came and went.
pub(in crate::store::sqlite) fn put_seen(conn: &Connection, seen: &[PresenceRow]) -> Result<()> {
    let mut update = conn.prepare_cached("UPDATE user SET online = ?2, last_seen = ?3 WHERE account = ?1")?;
    for seen in seen {
        update.execute(params![seen.account.as_str(), seen.online, int(seen.time)])?;
    }
    Ok(())
}

pub(super) fn noted(conn: &Connection, account: &Account) -> Result<StoredPresence> {
    let mut select = conn.prepare_cached("SELECT invisible, online, last_seen FROM user WHERE account = ?1")?;
    let noted = |record: &Record<'_>| {
        Ok(StoredPresence { invisible: record.get(0)?, online: record.get(1)?, last_seen: number(record, 2)? })
    };
    Ok(select.query_row([account.as_str()], noted).optional()?.unwrap_or_default())
}

pub(super) fn put_invisible(conn: &Connection, account: &Account, invisible: bool) -> Result<()> {
    let mut update = conn.prepare_cached("UPDATE user SET invisible = ?2 WHERE account = ?1")?;
    update.execute(params![account.as_str(), invisible]).map(drop)
}

pub(super) fn put(conn: &Connection, profile: &Profile) -> Result<()> {
    let mut insert = conn.prepare_cached(concat!(
        "INSERT INTO user (",
        columns!(),
        ", account)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (account) DO UPDATE SET
             nick = excluded.nick, avatar = excluded.avatar, sign = excluded.sign, gender = excluded.gender,
             email = excluded.email, birth = excluded.birth, tel = excluded.tel, custom = excluded.custom,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version,
             friends_version = excluded.friends_version, friends_time = excluded.friends_time,
             everyone_version = excluded.everyone_version, everyone_time = excluded.everyone_time"
    ))?;
    with_values(profile, |values| {
        let account = profile.account.as_str();
        let values: Vec<&dyn ToSql> = values.iter().copied().chain([&account as &dyn ToSql]).collect();
        insert.execute(values.as_slice()).map(drop)
    })
}

/// Deletes an account's own row.
pub(super) fn delete(conn: &Connection, account: &Account) -> Result<()> {
    conn.prepare_cached("DELETE FROM user WHERE account = ?1")?.execute([account.as_str()]).map(drop)
}

/// Keeps a profile as it is for one who is blocked.
pub(super) fn freeze(conn: &Connection, viewer: &Account, profile: &Profile) -> Result<()> {
    let mut insert = conn.prepare_cached(concat!(
        "INSERT OR REPLACE INTO frozen (",
        columns!(),
        ", account, viewer)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
    ))?;
    with_values(profile, |values| {
        let (account, viewer) = (profile.account.as_str(), viewer.as_str());
        let names: [&dyn ToSql; 2] = [&account, &viewer];
        let values: Vec<&dyn ToSql> = values.iter().copied().chain(names).collect();
        insert.execute(values.as_slice()).map(drop)
    })
}

/// Forgets what was kept for one who was blocked.
pub(super) fn thaw(conn: &Connection, viewer: &Account, account: &Account) -> Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM frozen WHERE viewer = ?1 AND account = ?2")?;
    delete.execute([viewer.as_str(), account.as_str()]).map(drop)
}

/// The profiles kept for `viewer` of those owners that block it.
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

/// The values of a profile's columns.
fn with_values<T>(profile: &Profile, put: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
    let Profile { nick, avatar, sign, email, birth, tel, friends, everyone, .. } = profile;
    let (gender, custom) = (gender_number(profile.gender), profile.custom.as_bytes());
    let [created, updated, version] = [profile.create_time, profile.update_time, profile.version].map(int);
    let [fv, ft, ev, et] = [friends.version, friends.time, everyone.version, everyone.time].map(int);
    put(&[nick, avatar, sign, &gender, email, birth, tel, &custom, &created, &updated, &version, &fv, &ft, &ev, &et])
}

fn profile(account: &Account, record: &Record<'_>) -> Result<Profile> {
    Ok(Profile {
        account: account.clone(),
        nick: record.get(0)?,
        avatar: record.get(1)?,
        sign: record.get(2)?,
        gender: gender(record, 3)?,
        email: record.get(4)?,
        birth: record.get(5)?,
        tel: record.get(6)?,
        custom: text(record, 7)?,
        create_time: number(record, 8)?,
        update_time: number(record, 9)?,
        version: number(record, 10)?,
        friends: LastChange { version: number(record, 11)?, time: number(record, 12)? },
        everyone: LastChange { version: number(record, 13)?, time: number(record, 14)? },
    })
}

fn gender_number(gender: Gender) -> i64 {
    match gender {
        Gender::Unknown => 0,
        Gender::Male => 1,
        Gender::Female => 2,
    }
}

fn gender(record: &Record<'_>, column: usize) -> Result<Gender> {
    match record.get(column)? {
        0 => Ok(Gender::Unknown),
        1 => Ok(Gender::Male),
        2 => Ok(Gender::Female),
        other => Err(Error::IntegralValueOutOfRange(column, other)),
    }
}
