//! Users: accounts with their profiles and what of their blocks a reader needs.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::profiles::{CHOSEN, COLUMNS, LIST, chosen, columns, profile};
use super::relations;
use super::values::{RowColumns, account, names, number, value};
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{Call, PgSession, call};
use rosterd_engine::model::{Account, Block, User};

/// Which blocks come with a user.
#[derive(Clone)]
pub(in crate::store::postgres) enum BlocksOf {
    /// All of them.
    All,
    /// Those of accounts with few live ones; of others that of the viewer, and those shown online.
    Followed(Account, usize),
    /// Those of the viewer.
    Seen(Account),
}

/// The columns of a user that [`UsersFound`] takes.
pub(super) static SINGLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}, account, last_seen, (SELECT true FROM block WHERE owner = account LIMIT 1) IS NOT NULL, {CHOSEN}",
        *LIST
    )
});

/// Reads the users of the accounts that exist; [`UsersFound`] takes them. Most accounts block nobody, so that this is all
/// there is of them.
pub(in crate::store::postgres) fn without_blocks(accounts: &[Account]) -> Call {
    static SQL: LazyLock<String> = LazyLock::new(|| format!("SELECT {} FROM users WHERE account = ANY($1)", *SINGLE));
    call!(SQL.as_str(), names(accounts))
}

/// What was read of users without their blocks.
#[derive(Default)]
pub(in crate::store::postgres) struct UsersFound {
    pub users: Vec<User>,
    /// Those that have to be read with their blocks.
    pub blocking: Vec<Account>,
}

impl UsersFound {
    pub(super) fn take(&mut self, record: &impl RowColumns) -> PgResult<()> {
        let account = account(record, COLUMNS)?;
        if value(record, COLUMNS + 2)? {
            self.blocking.push(account);
        } else {
            self.users.push(user(account, record, Vec::new())?);
        }
        Ok(())
    }
}

/// Reads a user with these blocks from a record that has the columns of the profile, the account, `last_seen`, another, and
/// those of [`CHOSEN`].
fn user(account: Account, record: &impl RowColumns, blocks: Vec<Block>) -> PgResult<User> {
    let (ended, live) = blocks.into_iter().partition(|block| block.removed);
    Ok(User {
        profile: Arc::new(profile(account, record)?),
        chosen: chosen(record, COLUMNS + 3)?,
        last_seen: number(record, COLUMNS + 1)?,
        blocks: live,
        has_more_blocks: false,
        ended,
    })
}

/// Reads the users of the accounts that exist, each with blocks of its own.
pub(in crate::store::postgres) async fn users(
    session: &PgSession,
    accounts: &[Account],
    blocks: &BlocksOf,
) -> PgResult<Vec<User>> {
    let mut found = UsersFound::default();
    for record in session.query(without_blocks(accounts)).await? {
        found.take(&record)?;
    }
    if !found.blocking.is_empty() {
        found.users.extend(with_blocks(session, &found.blocking, blocks).await?);
    }
    Ok(found.users)
}

/// Does what [`users`] does for accounts that block others: reads them and their blocks in one snapshot.
pub(in crate::store::postgres) async fn with_blocks(
    session: &PgSession,
    accounts: &[Account],
    blocks: &BlocksOf,
) -> PgResult<Vec<User>> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let list = columns().map(|name| format!("users.{name}")).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT {list}, users.account, last_seen, coalesce(kept.blocks, 0), {CHOSEN}
             FROM users LEFT JOIN relation_count AS kept ON kept.account = users.account
             WHERE users.account = ANY($1)"
        )
    });
    let own = match blocks {
        BlocksOf::All => relations::deciding_blocks(accounts),
        BlocksOf::Followed(viewer, few) => relations::followed_blocks(accounts, viewer, *few),
        BlocksOf::Seen(viewer) => relations::seen_blocks(accounts, viewer),
    };
    let mut found = session
        .pipeline(&[call!(super::SNAPSHOT), call!(SQL.as_str(), names(accounts)), own, call!("COMMIT")])
        .await?
        .into_iter();
    let (users, blocks_found) = (found.nth(1).unwrap_or_default(), found.next().unwrap_or_default());
    let mut by_owner: HashMap<Account, Vec<Block>> = HashMap::new();
    for record in &blocks_found {
        let block = relations::block(record)?;
        by_owner.entry(block.owner.clone()).or_default().push(block);
    }
    users
        .iter()
        .map(|record| {
            let account = account(record, COLUMNS)?;
            let held = by_owner.remove(&account).unwrap_or_default();
            let count = number(record, COLUMNS + 2)?;
            let has_more_blocks = matches!(blocks, BlocksOf::Followed(_, few) if count > *few as u64);
            Ok(User { has_more_blocks, ..user(account, record, held)? })
        })
        .collect()
}
