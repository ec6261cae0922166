//! Decides what a command does to the current rows.
//!
//! In one transaction the store reads the rows that [`reads`] names, calls [`decide`], and writes the rows of the
//! decision. Every write of every origin passes through here; nothing else makes rows. `users` decides commands about
//! one account, `views` those that follow a change of the rules, `tokens` those about its tokens, `relations` and `blocks` those about two accounts, and
//! `adopt` those that bring what was in another store.

mod adopt;
mod blocks;
mod cause;
mod decision;
mod relations;
mod tokens;
mod users;
mod views;

pub use self::cause::{cause, replaced};
pub use self::decision::{CurrentRows, Decision, Reads, RelationCounts, StoredPresence};

use self::decision::CommitPoint;
use crate::model::{Account, Command, Millis, RequestError, Revision, Visibility};

/// Returns the rows that [`decide`] needs for a command.
#[must_use]
pub fn reads(command: &Command) -> Reads {
    match command {
        Command::SetProfile { account, .. } | Command::MoveViews { account, .. } => {
            Reads { users: vec![account.clone()], ..Reads::default() }
        }
        Command::SetPresence { account, .. } | Command::AdoptUser { account, .. } => {
            Reads { users: vec![account.clone()], presence: Some(account.clone()), ..Reads::default() }
        }
        Command::SetMuted { account, peer, .. } => {
            Reads { users: vec![account.clone(), peer.clone()], ..Reads::default() }
        }
        Command::DeleteUser { account } => Reads {
            users: vec![account.clone()],
            all_of: Some(account.clone()),
            credential: Some(account.clone()),
            ..Reads::default()
        },
        Command::RevokeTokens { account, .. } | Command::AdoptCredential { account, .. } => {
            Reads { credential: Some(account.clone()), ..Reads::default() }
        }
        Command::SetToken { account, .. } => {
            Reads { users: vec![account.clone()], credential: Some(account.clone()), ..Reads::default() }
        }
        Command::Befriend { account, peer }
        | Command::AddFriend { account, peer, .. }
        | Command::RequestFriend { account, peer, .. }
        | Command::AcceptFriend { account, peer }
        | Command::AdoptFriend { account, peer, .. }
        | Command::AdoptRequest { account, peer, .. } => {
            Reads { counts: vec![account.clone(), peer.clone()], ..pair(account, peer) }
        }
        Command::Block { account, peer, .. } | Command::AdoptBlock { account, peer, .. } => {
            Reads { counts: vec![account.clone()], presence: Some(account.clone()), ..pair(account, peer) }
        }
        Command::Unfriend { account, peer }
        | Command::RejectFriend { account, peer }
        | Command::CancelRequest { account, peer }
        | Command::ExpireRequest { sender: account, receiver: peer, .. }
        | Command::DeleteFriend { account, peer }
        | Command::UpdateFriend { account, peer, .. } => pair(account, peer),
        Command::MoveFrozenViews { account, peer, .. } => {
            Reads { frozen: Some((account.clone(), peer.clone())), ..pair(account, peer) }
        }
        Command::Unblock { account, peer, .. } => Reads {
            presence: Some(account.clone()),
            frozen: Some((account.clone(), peer.clone())),
            ..pair(account, peer)
        },
    }
}

fn pair(account: &Account, peer: &Account) -> Reads {
    Reads {
        users: vec![account.clone(), peer.clone()],
        pair: Some((account.clone(), peer.clone())),
        ..Reads::default()
    }
}

/// Decides a command.
///
/// `revision` becomes the version of the rows. It is greater than any before, so the version of a key never goes back,
/// not even if the key is deleted and made again.
///
/// # Errors
/// The command cannot be carried out, and nothing may be written.
pub fn decide(
    current: &CurrentRows,
    command: &Command,
    revision: Revision,
    now: Millis,
    visibility: &Visibility,
) -> Result<Decision, RequestError> {
    let at = CommitPoint { revision, now };
    match command {
        Command::SetProfile { account, patch, create, if_version } => {
            users::set_profile(current, account, patch, *create, *if_version, at, visibility)
        }
        Command::SetPresence { account, set, if_version } => {
            users::set_presence(current, account, set, *if_version, at)
        }
        Command::SetMuted { account, peer, muted, if_version } => {
            users::set_muted(current, account, (peer, *muted), *if_version, at, visibility)
        }
        Command::MoveViews { account, purges } => {
            Ok(views::profile(current, account, purges.as_deref(), at, visibility))
        }
        Command::MoveFrozenViews { account, peer, purges } => {
            Ok(views::frozen(current, (account, peer), purges.as_deref(), at, visibility))
        }
        Command::DeleteUser { account } => users::delete(current, account, at),
        Command::RevokeTokens { account, before } => Ok(tokens::revoke(current, account, *before, at)),
        Command::SetToken { account, token } => tokens::set(current, account, *token, at),
        Command::Befriend { account, peer } => relations::befriend(current, account, peer, at),
        Command::AddFriend { account, peer, message } => relations::add(current, account, peer, message, at),
        Command::RequestFriend { account, peer, message } => relations::request(current, account, peer, message, at),
        Command::AcceptFriend { account, peer } => relations::accept(current, account, peer, at),
        Command::RejectFriend { account, peer } => relations::reject(current, account, peer, at),
        Command::CancelRequest { account, peer } => relations::cancel(current, account, peer, at),
        Command::ExpireRequest { sender, receiver, before } => {
            Ok(relations::expire(current, sender, receiver, *before, at))
        }
        Command::Unfriend { account, peer } => relations::unfriend(current, account, peer, at),
        Command::DeleteFriend { account, peer } => relations::delete(current, account, peer, at),
        Command::UpdateFriend { account, peer, note, if_version } => {
            relations::update(current, account, peer, note, *if_version, at)
        }
        Command::Block { account, peer, if_version } => {
            blocks::block(current, account, peer, *if_version, at, visibility)
        }
        Command::Unblock { account, peer, if_version } => {
            blocks::unblock(current, account, peer, *if_version, at, visibility)
        }
        Command::AdoptUser { .. }
        | Command::AdoptFriend { .. }
        | Command::AdoptRequest { .. }
        | Command::AdoptBlock { .. }
        | Command::AdoptCredential { .. } => adopt::adopt(current, command, at, visibility),
    }
}

#[cfg(test)]
mod tests;
