//! What a client holds, in an SQLite file of its own: the friend list is there before the connection is.
//!
//! The file holds the account's own profile, friends with their profiles, open requests, blocks, and the cursor that
//! belongs to exactly these records. Presence, sessions and strangers are not in it. Beside them are changes of the own
//! profile that wait for a connection.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use rosterd_protocol::v1;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};

use super::edits::KeptUpdate;
use crate::Records;
use crate::replica::Lists;

/// The version of the layout. A file with an older one is emptied: the gateway has everything.
const LAYOUT: i64 = 1;
/// How long to wait for another process that uses the file.
const BUSY: Duration = Duration::from_millis(500);

/// The table of changes that wait. Files of earlier releases lack it.
const KEPT: &str = "CREATE TABLE IF NOT EXISTS kept (place INTEGER PRIMARY KEY, version INTEGER, value BLOB NOT NULL);";

/// Why a cache cannot be used. The client then continues in memory.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("{0} was written by a newer version of this library; it stays as it is and is not used")]
    Newer(PathBuf),
    #[error("{0} is in use by another client")]
    InUse(PathBuf),
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    #[error("{0}: {1}")]
    Sqlite(PathBuf, rusqlite::Error),
    #[error("{0} is damaged, and is written anew")]
    Damaged(PathBuf),
}

/// Everything that the file holds, or is to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct CacheImage {
    pub(super) lists: Lists,
    pub(super) cursor: Option<String>,
    /// Changes of the own profile that wait for a connection, the oldest first.
    pub(super) kept: Arc<Vec<KeptUpdate>>,
}

/// The kinds of records, as the table numbers them.
#[derive(Debug, Clone, Copy)]
enum CachedKind {
    Me = 0,
    User = 1,
    Friend = 2,
    Request = 3,
    Block = 4,
}

/// An open file. One client at a time has it.
#[derive(Debug)]
pub(super) struct CacheFile {
    path: PathBuf,
    file: Connection,
}

impl CacheFile {
    /// The file of an account of a gateway. Its name tells neither.
    pub(super) fn path(folder: &Path, url: &str, account: &str) -> PathBuf {
        folder.join(format!("rosterd-{:016x}{:016x}.db", fnv1a(0, url, account), fnv1a(1, url, account)))
    }

    /// Opens the file, or makes it, and reads what it holds. A damaged one is made anew, and the error is returned too.
    pub(super) fn open(
        path: &Path,
        url: &str,
        account: &str,
    ) -> Result<(Self, CacheImage, Option<CacheError>), CacheError> {
        match Self::try_open(path, url, account) {
            Ok((file, image)) => Ok((file, image, None)),
            Err(damaged @ CacheError::Damaged(_)) => {
                wipe(path)?;
                let (file, image) = Self::try_open(path, url, account)?;
                Ok((file, image, Some(damaged)))
            }
            Err(error) => Err(error),
        }
    }

    fn try_open(path: &Path, url: &str, account: &str) -> Result<(Self, CacheImage), CacheError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| CacheError::Io(folder.to_owned(), error))?;
        let failed = |error| explain(path, error);
        let file = Connection::open(path).map_err(failed)?;
        let owner = format!("{account} {url}");
        let image = set_up(&file, path, &owner)?.then(|| read(&file).map_err(failed)).transpose()?;
        Ok((Self { path: path.to_owned(), file }, image.unwrap_or_default()))
    }

    /// Writes what differs between what the file holds and what it is to hold: all of it, or nothing.
    pub(super) fn write(&mut self, before: &CacheImage, after: &CacheImage) -> Result<(), CacheError> {
        let path = self.path.clone();
        let write = |file: &mut Connection| {
            let transaction = file.transaction()?;
            write(&transaction, before, after)?;
            transaction.commit()
        };
        write(&mut self.file).map_err(|error| explain(&path, error))
    }

    /// Closes the file and deletes it, with all that belongs to it.
    pub(super) fn wipe(self) -> Result<(), CacheError> {
        drop(self.file);
        wipe(&self.path)
    }
}

/// Deletes a file and those that SQLite has beside it.
pub(super) fn wipe(path: &Path) -> Result<(), CacheError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(CacheError::Io(name.into(), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prepares the file. Returns whether it holds records of this owner.
fn set_up(file: &Connection, path: &Path, owner: &str) -> Result<bool, CacheError> {
    let failed = |error| explain(path, error);
    let layout = || -> rusqlite::Result<i64> {
        file.busy_timeout(BUSY)?;
        // Nobody else may have the file; removed records leave nothing behind.
        file.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA secure_delete = ON; PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 200;",
        )?;
        // Only a write takes the lock.
        file.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
        file.query_row("PRAGMA user_version", [], |row| row.get(0))
    };
    let layout = layout().map_err(failed)?;
    if layout > LAYOUT {
        return Err(CacheError::Newer(path.to_owned()));
    }
    let owner_now = if layout == LAYOUT { meta(file, "owner").map_err(failed)? } else { None };
    if owner_now.as_deref() == Some(owner) {
        return file.execute_batch(KEPT).map_err(failed).map(|()| true);
    }
    let begin = || -> rusqlite::Result<()> {
        file.execute_batch(&format!(
            "BEGIN IMMEDIATE; DROP TABLE IF EXISTS meta; DROP TABLE IF EXISTS record; DROP TABLE IF EXISTS kept;
             CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE record (kind INTEGER NOT NULL, account TEXT NOT NULL, direction INTEGER NOT NULL,
                 value BLOB NOT NULL, PRIMARY KEY (kind, account, direction)) WITHOUT ROWID;
             {KEPT} PRAGMA user_version = {LAYOUT}; COMMIT;"
        ))?;
        file.execute("INSERT INTO meta VALUES ('owner', ?1)", [owner]).map(drop)
    };
    begin().map_err(failed).map(|()| false)
}

fn meta(file: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    file.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn read(file: &Connection) -> rusqlite::Result<CacheImage> {
    let mut lists = Lists::default();
    let mut requests = BTreeMap::new();
    let mut rows = file.prepare("SELECT kind, value FROM record")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, value): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        match kind {
            0 => lists.me = Some(Arc::new(decode(&value)?)),
            1 => keep(&mut lists.users, &value, |user: &v1::User| &user.account)?,
            2 => keep(&mut lists.friends, &value, |friend: &v1::Friend| &friend.account)?,
            3 => {
                let request: v1::Request = decode(&value)?;
                requests.insert((request.account.clone(), request.direction), request);
            }
            _ => keep(&mut lists.blocks, &value, |block: &v1::BlockRecord| &block.account)?,
        }
    }
    lists.requests = Arc::new(requests);
    Ok(CacheImage { lists, cursor: meta(file, "cursor")?, kept: Arc::new(read_kept(file)?) })
}

fn read_kept(file: &Connection) -> rusqlite::Result<Vec<KeptUpdate>> {
    let mut rows = file.prepare("SELECT version, value FROM kept ORDER BY place")?;
    let rows = rows.query_map([], |row| {
        let (version, value): (Option<i64>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok(KeptUpdate { version: version.map(i64::cast_unsigned), update: decode(&value)? })
    })?;
    rows.collect()
}

/// There are few of them.
fn write_kept(to: &Transaction<'_>, kept: &[KeptUpdate]) -> rusqlite::Result<()> {
    to.execute("DELETE FROM kept", [])?;
    for KeptUpdate { version, update } in kept {
        let version = version.map(u64::cast_signed);
        to.execute("INSERT INTO kept (version, value) VALUES (?1, ?2)", params![version, update.encode_to_vec()])?;
    }
    Ok(())
}

fn keep<R: Message + Default>(into: &mut Records<R>, value: &[u8], account: fn(&R) -> &String) -> rusqlite::Result<()> {
    let record: R = decode(value)?;
    into.insert(account(&record).clone(), Arc::new(record));
    Ok(())
}

fn decode<R: Message + Default>(value: &[u8]) -> rusqlite::Result<R> {
    let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Blob, Box::new(error));
    R::decode(value).map_err(unreadable)
}

fn write(to: &Transaction<'_>, before: &CacheImage, after: &CacheImage) -> rusqlite::Result<()> {
    let (old, now) = (&before.lists, &after.lists);
    if old.me != now.me {
        put(to, CachedKind::Me, "", 0, now.me.as_deref())?;
    }
    // Strangers' profiles are not kept: nothing would keep them up to date.
    let is_kept = |lists: &Lists, account: &str| lists.friends.contains_key(account);
    let friends = now.friends.changed_since(&old.friends);
    let users = now.users.changed_since(&old.users).into_iter().chain(friends.iter().cloned());
    for account in users.filter(|account| is_kept(old, account) || is_kept(now, account)) {
        let user = now.users.get(&account).filter(|_| is_kept(now, &account));
        put(to, CachedKind::User, &account, 0, user)?;
    }
    for account in &friends {
        put(to, CachedKind::Friend, account, 0, now.friends.get(account))?;
    }
    for account in now.blocks.changed_since(&old.blocks) {
        put(to, CachedKind::Block, &account, 0, now.blocks.get(&account))?;
    }
    if !Arc::ptr_eq(&old.requests, &now.requests) {
        let is_open = |request: &&v1::Request| request.state == v1::RequestState::Open as i32;
        for (account, direction) in old.requests.keys().chain(now.requests.keys()) {
            let request = now.requests.get(&(account.clone(), *direction)).filter(is_open);
            put(to, CachedKind::Request, account, *direction, request)?;
        }
    }
    if before.kept != after.kept {
        write_kept(to, &after.kept)?;
    }
    match &after.cursor {
        _ if before.cursor == after.cursor => Ok(()),
        Some(cursor) => to.execute("INSERT OR REPLACE INTO meta VALUES ('cursor', ?1)", [cursor]).map(drop),
        None => to.execute("DELETE FROM meta WHERE name = 'cursor'", []).map(drop),
    }
}

/// Writes a record, or removes it.
fn put<R: Message>(
    to: &Transaction<'_>,
    kind: CachedKind,
    account: &str,
    direction: i32,
    record: Option<&R>,
) -> rusqlite::Result<()> {
    let kind = kind as i64;
    match record {
        Some(record) => to.prepare_cached("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            kind,
            account,
            direction,
            record.encode_to_vec()
        ]),
        None => to
            .prepare_cached("DELETE FROM record WHERE kind = ?1 AND account = ?2 AND direction = ?3")?
            .execute(params![kind, account, direction]),
    }
    .map(drop)
}

fn explain(path: &Path, error: rusqlite::Error) -> CacheError {
    let path = path.to_owned();
    match &error {
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
            CacheError::Damaged(path)
        }
        rusqlite::Error::SqliteFailure(code, _) => match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => CacheError::InUse(path),
            // A table that is missing, say, is an `Unknown` error.
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => CacheError::Damaged(path),
            _ => CacheError::Sqlite(path, error),
        },
        _ => CacheError::Sqlite(path, error),
    }
}

fn fnv1a(seed: u8, url: &str, account: &str) -> u64 {
    let bytes = [seed].into_iter().chain(account.bytes()).chain([b' ']).chain(url.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ws://127.0.0.1:7678/v1/ws";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            CacheFile::path(&self.0.path().join("made"), URL, "alice")
        }

        fn open(&self) -> (CacheFile, CacheImage, Option<CacheError>) {
            CacheFile::open(&self.path(), URL, "alice").unwrap()
        }

        fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.0.path().join("made")).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    fn user(account: &str, nick: &str) -> v1::User {
        v1::User { account: account.to_owned(), nick: nick.to_owned(), version: 1, ..Default::default() }
    }

    fn image(friends: &[&str], strangers: &[&str], cursor: &str) -> CacheImage {
        let friend = |account: &&str| v1::Friend { account: (*account).to_owned(), version: 2, ..Default::default() };
        let everybody = friends.iter().chain(strangers);
        let lists = Lists {
            me: Some(Arc::new(user("alice", "Alice"))),
            users: everybody.map(|account| ((*account).to_owned(), user(account, "nick of a friend"))).collect(),
            friends: friends.iter().map(|account| ((*account).to_owned(), friend(account))).collect(),
            ..Lists::default()
        };
        CacheImage { lists, cursor: Some(cursor.to_owned()), ..CacheImage::default() }
    }

    #[test]
    fn what_is_written_is_there_the_next_time_without_strangers() {
        let folder = Folder::new();
        let (mut file, before, wrong) = folder.open();
        assert!(wrong.is_none() && before.cursor.is_none());
        let first = image(&["bob", "carol"], &["eve"], "e-1");
        file.write(&before, &first).unwrap();
        file.write(&first, &image(&["bob", "dave"], &["eve"], "e-2")).unwrap();
        drop(file);
        let (_, held, _) = folder.open();
        let expected = image(&["bob", "dave"], &[], "e-2");
        assert_eq!((held.lists, held.cursor), (expected.lists, expected.cursor));
    }

    #[test]
    fn requests_are_kept_while_they_are_open() {
        let folder = Folder::new();
        let request = |account: &str, state: v1::RequestState| {
            let request = v1::Request { account: account.to_owned(), state: state as i32, ..Default::default() };
            ((account.to_owned(), request.direction), request)
        };
        let with = |requests: Vec<_>| CacheImage {
            lists: Lists { requests: Arc::new(requests.into_iter().collect()), ..Lists::default() },
            ..CacheImage::default()
        };
        let (mut file, before, _) = folder.open();
        let open = with(vec![request("bob", v1::RequestState::Open), request("eve", v1::RequestState::Open)]);
        file.write(&before, &open).unwrap();
        file.write(
            &open,
            &with(vec![request("bob", v1::RequestState::Rejected), request("eve", v1::RequestState::Open)]),
        )
        .unwrap();
        drop(file);
        let (_, held, _) = folder.open();
        assert_eq!(held.lists.requests.keys().map(|(account, _)| account.as_str()).collect::<Vec<_>>(), ["eve"]);
    }

    #[test]
    fn changes_that_wait_are_kept_in_order_also_in_a_file_of_an_earlier_release() {
        let folder = Folder::new();
        let (mut file, before, _) = folder.open();
        let kept = |version, nick: &str| KeptUpdate {
            version,
            update: v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() },
        };
        let with = |kept: Vec<KeptUpdate>| CacheImage { kept: Arc::new(kept), ..image(&["bob"], &[], "e-1") };
        let first = with(vec![kept(None, "one"), kept(Some(5), "two"), kept(Some(u64::MAX), "three")]);
        file.write(&before, &first).unwrap();
        drop(file);
        let (mut file, held, _) = folder.open();
        assert_eq!(held.kept, first.kept);
        file.write(&held, &with(vec![kept(Some(5), "two")])).unwrap();
        drop(file);
        let (file, held, _) = folder.open();
        assert_eq!((held.kept.as_slice(), held.cursor.as_deref()), (&[kept(Some(5), "two")][..], Some("e-1")));
        file.file.execute_batch("DROP TABLE kept").unwrap();
        drop(file);
        let (_, held, wrong) = folder.open();
        assert!(wrong.is_none() && held.kept.is_empty() && held.lists.friends.contains_key("bob"));
    }

    #[test]
    fn a_file_has_one_user_at_a_time() {
        let folder = Folder::new();
        let (file, ..) = folder.open();
        let second = CacheFile::open(&folder.path(), URL, "alice");
        assert!(matches!(second, Err(CacheError::InUse(_))), "{second:?}");
        drop(file);
        folder.open();
    }

    #[test]
    fn a_damaged_file_is_made_anew_and_said_to_be() {
        let folder = Folder::new();
        let (mut file, before, _) = folder.open();
        file.write(&before, &image(&["bob"], &[], "e-1")).unwrap();
        drop(file);
        std::fs::write(folder.path(), "no database at all, but long enough to be read as one".repeat(200)).unwrap();
        let (mut file, held, wrong) = folder.open();
        assert!(matches!(wrong, Some(CacheError::Damaged(_))) && held.cursor.is_none(), "{wrong:?}");
        file.write(&held, &image(&["bob"], &[], "e-2")).unwrap();
        file.file.execute("UPDATE record SET value = x'ff' WHERE kind = 2", []).unwrap();
        drop(file);
        assert!(matches!(folder.open().2, Some(CacheError::Damaged(_))));
        let (_, held, wrong) = folder.open();
        assert!(wrong.is_none() && held.lists.friends.is_empty());
    }

    #[test]
    fn a_file_of_a_newer_version_stays_as_it_is() {
        let folder = Folder::new();
        let (file, ..) = folder.open();
        file.file.execute_batch("PRAGMA user_version = 99").unwrap();
        drop(file);
        let error = CacheFile::open(&folder.path(), URL, "alice").unwrap_err();
        assert!(matches!(error, CacheError::Newer(_)), "{error}");
        let layout: i64 =
            Connection::open(folder.path()).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(layout, 99);
    }

    #[test]
    fn a_wipe_leaves_nothing_and_names_tell_nothing() {
        let folder = Folder::new();
        let (mut file, before, _) = folder.open();
        file.write(&before, &image(&["bob"], &[], "e-1")).unwrap();
        assert!(folder.files().iter().all(|name| !name.contains("alice")), "{:?}", folder.files());
        file.wipe().unwrap();
        assert_eq!(folder.files(), [""; 0]);
    }

    #[test]
    fn a_removed_friend_leaves_no_bytes_behind() {
        let folder = Folder::new();
        let (mut file, before, _) = folder.open();
        let first = image(&["bob"], &[], "e-1");
        file.write(&before, &first).unwrap();
        file.write(&first, &image(&[], &[], "e-2")).unwrap();
        drop(file);
        let bytes: Vec<u8> = folder
            .files()
            .iter()
            .flat_map(|name| std::fs::read(folder.0.path().join("made").join(name)).unwrap())
            .collect();
        assert!(!bytes.windows(16).any(|window| window == b"nick of a friend"));
    }
}
