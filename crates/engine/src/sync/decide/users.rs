//! Decides the commands about one account: its profile, its deletion, and whether it hides that it is online.

use std::sync::Arc;

use super::blocks::ended;
use super::decision::{CommitPoint, CurrentRows, Decision, expect_version};
use super::relations::{at_limit, close, tombstones};
use super::views::moved;
use crate::model::limits::MUTED;
use crate::model::{
    Account, Answer, ChosenPresence, Edge, Outcome, Patch, PresenceChange, Profile, Reason, Request, RequestError,
    RequestState, Row, Visibility,
};

pub(super) fn set_profile(
    current: &CurrentRows,
    account: &Account,
    patch: &Patch,
    create: bool,
    if_version: Option<u64>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Result<Decision, RequestError> {
    let before = match current.user(account) {
        None if !create => return Err(RequestError::unknown_account(account)),
        before => before,
    };
    expect_version("the profile", before.map_or(0, |profile| profile.version), if_version)?;
    let (next, outcome) = match before {
        None => {
            let own = visibility.own.defaults();
            let empty = Profile { own, ..Profile::new(account.clone(), at.revision, at.now) };
            (patch.apply(&empty, &visibility.own)?.unwrap_or(empty), Outcome::Created)
        }
        Some(before) => match patch.apply(before, &visibility.own)? {
            None => {
                let answer = Answer { outcome: Outcome::Unchanged, profile: Some(before.clone()) };
                return Ok(Decision { answer, ..Decision::unchanged() });
            }
            Some(next) => (moved(before, next, at, visibility), Outcome::Changed),
        },
    };
    let next = Arc::new(next);
    let answer = Answer { outcome, profile: Some(next.clone()) };
    Ok(Decision { rows: vec![Row::Profile(next)], answer, last_seen: None })
}

/// Makes an account mute another, or no longer. One that is gone can be taken off the list.
pub(super) fn set_muted(
    current: &CurrentRows,
    account: &Account,
    (peer, muted): (&Account, bool),
    if_version: Option<u64>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Result<Decision, RequestError> {
    let before = current.user(account).ok_or_else(|| RequestError::unknown_account(account).field("account"))?;
    if account == peer {
        let message = format!("\"{account}\" cannot mute itself");
        return Err(RequestError::new(Reason::InvalidArgument, message).field("account"));
    }
    if before.muted.has(peer) == muted {
        let answer = Answer { outcome: Outcome::Unchanged, profile: Some(before.clone()) };
        return Ok(Decision { answer, ..Decision::unchanged() });
    }
    if muted {
        current.known(peer).map_err(|error| error.field("account"))?;
        at_limit(account, before.muted.len() as u64, MUTED as u64, "muted accounts")?;
    }
    expect_version("the profile", before.version, if_version)?;
    let next = Profile { muted: before.muted.with(peer, muted), ..Profile::clone(before) };
    let next = Arc::new(moved(before, next, at, visibility));
    let answer = Answer { outcome: Outcome::Changed, profile: Some(next.clone()) };
    Ok(Decision { rows: vec![Row::Profile(next)], answer, last_seen: None })
}

pub(super) fn set_presence(
    current: &CurrentRows,
    account: &Account,
    set: &PresenceChange,
    if_version: Option<u64>,
    at: CommitPoint,
) -> Result<Decision, RequestError> {
    current.known(account)?;
    let held = &current.presence.chosen;
    let Some(row) = presence_row(held, account, set, at)? else { return Ok(Decision::unchanged()) };
    expect_version("the account's own presence", held.version, if_version)?;
    Ok(Decision::new(vec![row], Outcome::Changed))
}

/// Makes the row of a change to what an account chose about its presence; `None` if it changes nothing.
pub(super) fn presence_row(
    held: &ChosenPresence,
    account: &Account,
    set: &PresenceChange,
    at: CommitPoint,
) -> Result<Option<Row>, RequestError> {
    let chosen = held.after(set, at.revision, at.now)?;
    Ok(chosen.map(|chosen| {
        let turned = (chosen.hides != held.hides).then_some(at.now);
        Row::Presence { account: account.clone(), chosen, turned }
    }))
}

/// Deletes an account: ends its friendships, its open requests, and the blocks by it and of it.
///
/// Their tombstones stay for a while, because the name may be given to a new account, one of whose clients may come back
/// with what it held of the old one.
pub(super) fn delete(current: &CurrentRows, account: &Account, at: CommitPoint) -> Result<Decision, RequestError> {
    current.known(account)?;
    let mut rows = vec![Row::Gone { account: account.clone(), version: at.revision }];
    for edge in current.edges.iter().filter(|e| !e.removed && e.owner == *account) {
        rows.extend(tombstones(account, &edge.peer, at));
    }
    let alone = |edge: &&Edge| !edge.removed && edge.peer == *account && current.edge(account, &edge.owner).is_none();
    for edge in current.edges.iter().filter(alone) {
        rows.push(Row::Edge(Edge::tombstone(edge.owner.clone(), account.clone(), at.revision, at.now)));
    }
    for request in current.requests.iter().filter(|r| r.state == RequestState::Open) {
        // The message is personal data, which a deletion erases.
        let bare = Request { message: Box::default(), ..request.clone() };
        rows.push(close(&bare, RequestState::Cancelled, at));
    }
    for block in current.blocks.iter().filter(|b| !b.removed) {
        rows.push(ended(block, at));
    }
    rows.extend(super::tokens::forgotten(current, account));
    Ok(Decision::new(rows, Outcome::Changed))
}
