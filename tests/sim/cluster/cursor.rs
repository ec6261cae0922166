//! What a cursor promises: its client holds every record as it was then, or newer.

use std::str::FromStr;

use futures::FutureExt;
use rosterd_client::Replica;
use rosterd_engine::model::{Account, Block, Cursor, Revision, User};

use super::server::Server;

/// The most rows that a client has here.
const ALL: usize = 1000;

/// Demands that a client was told what its cursor covers: a row that has not changed since is held as it is.
///
/// # Errors
/// What it was not told.
pub fn untold(server: &Server, account: &str, replica: &Replica) -> Result<(), String> {
    let Some(cursor) = replica.cursor().and_then(|text| Cursor::from_str(text).ok()) else { return Ok(()) };
    let account = Account::parse(account, "account").unwrap();
    let rows = server.view();
    let Some(own) = now(rows.users(vec![account.clone()])).pop() else { return Ok(()) };
    if server.is_over() || cursor.epoch != rows.lineage().epoch || cursor.watermark < rows.lineage().compacted {
        return Ok(());
    }
    let covered = |version: Revision| version <= cursor.watermark;
    if cursor.watermark > server.head() {
        return Err(format!("it is ahead of the log, at {}", cursor.watermark));
    }
    if covered(own.profile.version) && replica.me().is_none_or(|me| *me.nick != *own.profile.nick) {
        return Err(format!("the own profile of {}", own.profile.version));
    }
    let edges = now(rows.page(account.clone(), None, ALL, Some(0)));
    for friend in replica.friends().keys() {
        if !edges.iter().any(|edge| edge.peer.as_str() == friend) {
            return Err(format!("the end of the friendship with {friend}"));
        }
    }
    for edge in edges.iter().filter(|edge| covered(edge.version)) {
        let held = replica.friends().get(edge.peer.as_str());
        if edge.removed != held.is_none() || held.is_some_and(|held| held.version != edge.version) {
            return Err(format!("{edge:?}, and holds {held:?}"));
        }
        if edge.removed {
            continue;
        }
        let friend = now(rows.users_seen_by(account.clone(), vec![edge.peer.clone()])).pop();
        check_friend(friend, (cursor.watermark, replica))?;
    }
    Ok(())
}

/// The same for the profile of a friend, unless there is or was a block.
fn check_friend(friend: Option<User>, (watermark, replica): (Revision, &Replica)) -> Result<(), String> {
    let Some(User { profile, blocks, ended, .. }) = friend else { return Ok(()) };
    let any: Vec<&Block> = blocks.iter().chain(&ended).collect();
    if !any.is_empty() || profile.friends.version > watermark {
        return Ok(());
    }
    let held = replica.users().get(profile.account.as_str());
    if held.is_none_or(|held| *held.nick != *profile.nick) {
        return Err(format!("{profile:?}, and holds {held:?}"));
    }
    Ok(())
}

fn now<T>(read: impl Future<Output = Result<T, rosterd::store::StoreError>>) -> T {
    read.now_or_never().expect("the store in memory waits for nothing").unwrap()
}
