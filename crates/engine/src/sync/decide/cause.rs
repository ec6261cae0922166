//! Says what a decision is about, and which versions its rows replace: for those who read the change log.

use std::collections::HashMap;

use super::decision::CurrentRows;
use crate::model::{Added, Cause, ChangedFields, Command, Request, Revision, Row};

/// Returns what the rows of a decided command are about.
#[must_use]
pub fn cause(current: &CurrentRows, command: &Command, rows: &[Row]) -> Cause {
    match command {
        Command::AdoptUser { .. } if !rows.iter().any(|row| matches!(row, Row::Profile(_))) => Cause::PresenceSet,
        Command::SetProfile { account, .. }
        | Command::SetMuted { account, .. }
        | Command::AdoptUser { account, .. } => match current.user(account) {
            Some(_) => Cause::UserUpdated(changed_fields(current, rows)),
            None => Cause::UserCreated,
        },
        Command::MoveViews { .. } | Command::MoveFrozenViews { .. } => Cause::ViewsMoved,
        Command::DeleteUser { .. } => Cause::UserDeleted,
        Command::AdoptFriend { account, peer, .. } if current.edge(account, peer).is_some() => {
            Cause::FriendUpdated(changed_fields(current, rows))
        }
        Command::Befriend { .. } | Command::AdoptFriend { .. } => Cause::FriendAdded(Added::Backend),
        Command::AddFriend { .. } => Cause::FriendAdded(Added::Direct),
        Command::RequestFriend { .. } if rows.iter().any(|row| matches!(row, Row::Edge(_))) => {
            Cause::FriendAdded(Added::Request)
        }
        Command::RequestFriend { .. } | Command::AdoptRequest { .. } => Cause::RequestCreated,
        Command::AcceptFriend { .. } => Cause::RequestAccepted,
        Command::RejectFriend { .. } => Cause::RequestRejected,
        Command::CancelRequest { .. } => Cause::RequestCancelled,
        Command::ExpireRequest { .. } => Cause::RequestExpired,
        Command::DeleteFriend { .. } | Command::Unfriend { .. } => Cause::FriendRemoved,
        Command::UpdateFriend { .. } => Cause::FriendUpdated(changed_fields(current, rows)),
        Command::Block { .. } | Command::AdoptBlock { .. } => Cause::BlockAdded,
        Command::Unblock { .. } => Cause::BlockRemoved,
        Command::SetPresence { .. } => Cause::PresenceSet,
        Command::RevokeTokens { .. } => Cause::TokensRevoked,
        Command::SetToken { token: Some(_), .. } => Cause::TokenSet,
        Command::SetToken { token: None, .. } => Cause::TokenRemoved,
        Command::AdoptCredential { credential, .. } => match (&current.credential.token, &credential.token) {
            (held, Some(token)) if held.as_ref() != Some(token) => Cause::TokenSet,
            (Some(_), None) if current.credential.revoked_before == credential.revoked_before => Cause::TokenRemoved,
            _ => Cause::TokensRevoked,
        },
    }
}

/// Returns the version that each row replaces, in their order; 0 where there was none, or where rows have no version.
#[must_use]
pub fn replaced(current: &CurrentRows, rows: &[Row]) -> Vec<Revision> {
    // The deletion of an account has thousands of rows.
    let edges: HashMap<_, _> = current.edges.iter().map(|held| ((&held.owner, &held.peer), held.version)).collect();
    let blocks: HashMap<_, _> = current.blocks.iter().map(|held| ((&held.owner, &held.peer), held.version)).collect();
    let held = |row: &Row| match row {
        Row::Edge(edge) => edges.get(&(&edge.owner, &edge.peer)).copied().unwrap_or_default(),
        Row::Block { block, .. } => blocks.get(&(&block.owner, &block.peer)).copied().unwrap_or_default(),
        _ => current.replaced(row),
    };
    rows.iter().map(held).collect()
}

fn changed_fields(current: &CurrentRows, rows: &[Row]) -> ChangedFields {
    let changed = rows.iter().find_map(|row| match row {
        Row::Profile(profile) => Some(current.user(&profile.account)?.changed_fields(profile)),
        Row::Edge(edge) => {
            let held = current.edge(&edge.owner, &edge.peer)?;
            Some(held.changed_fields(edge).into_iter().map(Into::into).collect())
        }
        _ => None,
    });
    changed.unwrap_or_default()
}

impl CurrentRows {
    /// The version that a row replaces, except of edges and blocks.
    fn replaced(&self, row: &Row) -> Revision {
        let held = match row {
            Row::Profile(profile) => self.user(&profile.account).map(|held| held.version),
            Row::Gone { account, .. } => self.user(account).map(|held| held.version),
            Row::Request(request) => {
                let same = |held: &&Request| {
                    held.side == request.side && held.sender == request.sender && held.receiver == request.receiver
                };
                self.requests.iter().find(same).map(|held| held.version)
            }
            Row::Presence { .. } => Some(self.presence.chosen.version),
            Row::Edge(_) | Row::Block { .. } | Row::Credential { .. } => None,
        };
        held.unwrap_or_default()
    }
}
