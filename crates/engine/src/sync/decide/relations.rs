//! Decides the commands about friendships and requests.
//!
//! Two accounts have at most one open request between them, friends have none.

use super::decision::{CommitPoint, CurrentRows, Decision, expect_version};
use crate::model::limits::{FRIENDS, REQUESTS};
use crate::model::{
    Account, Edge, FriendUpdate, Millis, Outcome, Reason, Request, RequestError, RequestSide, RequestState, Row,
};

pub(super) const BOTH_SIDES: [RequestSide; 2] = [RequestSide::Sender, RequestSide::Receiver];

pub(super) type Decided = Result<Decision, RequestError>;

/// Makes two accounts friends for the backend, despite blocks and requests. Harmless if they are friends.
pub(super) fn befriend(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Decided {
    two_who_exist(current, a, b, "peer")?;
    let mut rows = edges(current, a, b, at)?;
    if rows.is_empty() {
        return Ok(Decision::unchanged());
    }
    rows.extend(close_all(current, a, b, RequestState::Accepted, at));
    Ok(Decision::new(rows, Outcome::Created))
}

pub(super) fn add(current: &CurrentRows, a: &Account, b: &Account, message: &str, at: CommitPoint) -> Decided {
    strangers(current, a, b)?;
    let blocked = current.blocks(b, a).is_some();
    let mut rows = edges(current, a, b, at)?;
    if message.is_empty() {
        rows.extend(close_all(current, a, b, RequestState::Accepted, at));
    } else {
        rows.extend(close_copies(current, b, a, RequestState::Accepted, at));
        let asked = BOTH_SIDES.map(|side| asked(a, b, side, message, at));
        rows.extend(asked.map(|request| Row::Request(Request { state: RequestState::Accepted, ..request })));
    }
    if blocked {
        // It succeeds as for anyone, and all of it stays on this side: a client must not learn that it is blocked.
        rows.retain(|row| match row {
            Row::Edge(edge) => edge.owner == *a,
            Row::Request(request) => request.owner() == a,
            _ => true,
        });
    }
    Ok(Decision::new(rows, Outcome::Created))
}

pub(super) fn request(current: &CurrentRows, a: &Account, b: &Account, message: &str, at: CommitPoint) -> Decided {
    strangers(current, a, b)?;
    if current.open(a, b).is_some() {
        let message = format!("the request to \"{b}\" is open already");
        return Err(RequestError::new(Reason::AlreadyExists, message).field("account"));
    }
    if current.open(b, a).is_some() {
        let mut rows = edges(current, a, b, at)?;
        rows.extend(close_copies(current, b, a, RequestState::Accepted, at));
        return Ok(Decision::new(rows, Outcome::Created));
    }
    at_limit(a, current.counts(a).sent, REQUESTS, "open requests")?;
    at_limit(b, current.counts(b).received, REQUESTS, "requests to answer")?;
    // One that blocks the sender does not learn of the request, and the sender does not learn of that.
    let sides = if current.blocks(b, a).is_some() { &BOTH_SIDES[..1] } else { &BOTH_SIDES };
    let rows = sides.iter().map(|side| Row::Request(asked(a, b, *side, message, at))).collect();
    Ok(Decision::new(rows, Outcome::Created))
}

pub(super) fn accept(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Decided {
    strangers(current, a, b)?;
    to_answer(current, a, b)?;
    let mut rows = edges(current, a, b, at)?;
    rows.extend(close_copies(current, b, a, RequestState::Accepted, at));
    Ok(Decision::new(rows, Outcome::Changed))
}

pub(super) fn reject(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Decided {
    two_who_exist(current, a, b, "account")?;
    to_answer(current, a, b)?;
    Ok(Decision::new(close_copies(current, b, a, RequestState::Rejected, at), Outcome::Changed))
}

pub(super) fn cancel(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Decided {
    two_who_exist(current, a, b, "account")?;
    current.open(a, b).ok_or_else(|| no_such(format!("there is no open request to \"{b}\"")))?;
    Ok(Decision::new(close_copies(current, a, b, RequestState::Cancelled, at), Outcome::Changed))
}

pub(super) fn expire(
    current: &CurrentRows,
    sender: &Account,
    receiver: &Account,
    before: Millis,
    at: CommitPoint,
) -> Decision {
    match current.open(sender, receiver) {
        Some(stale) if stale.create_time < before => {
            Decision::new(close_copies(current, sender, receiver, RequestState::Expired, at), Outcome::Changed)
        }
        _ => Decision::unchanged(),
    }
}

/// Ends a friendship for the backend. Harmless if there is none.
pub(super) fn unfriend(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Decided {
    two_who_exist(current, a, b, "peer")?;
    if current.edge(a, b).is_none() && current.edge(b, a).is_none() {
        return Ok(Decision::unchanged());
    }
    Ok(Decision::new(ended_edges(current, a, b, at), Outcome::Changed))
}

pub(super) fn delete(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Decided {
    two_who_exist(current, a, b, "account")?;
    listed(current, a, b)?;
    Ok(Decision::new(ended_edges(current, a, b, at), Outcome::Changed))
}

pub(super) fn update(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    update: &FriendUpdate,
    if_version: Option<u64>,
    at: CommitPoint,
) -> Decided {
    two_who_exist(current, a, b, "account")?;
    let edge = listed(current, a, b)?;
    expect_version("the friend record", edge.version, if_version)?;
    let Some(next) = update.apply(edge) else {
        return Ok(Decision::unchanged());
    };
    let next = Edge { version: at.revision, update_time: at.now.max(edge.update_time), ..next };
    Ok(Decision::new(vec![Row::Edge(next)], Outcome::Changed))
}

/// Checks that two accounts exist, are no friends, and that the first does not block the second.
fn strangers(current: &CurrentRows, a: &Account, b: &Account) -> Result<(), RequestError> {
    two_who_exist(current, a, b, "account")?;
    if current.edge(a, b).is_some() {
        let message = format!("\"{b}\" is a friend already");
        return Err(RequestError::new(Reason::AlreadyExists, message).field("account"));
    }
    if current.blocks(a, b).is_some() {
        let message = format!("\"{a}\" blocks \"{b}\": unblock first");
        return Err(RequestError::new(Reason::PermissionDenied, message).field("account"));
    }
    Ok(())
}

/// Checks that both accounts exist and are distinct; `field` is the peer's field in the command.
pub(super) fn two_who_exist(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    field: &'static str,
) -> Result<(), RequestError> {
    not_oneself(a, b, field)?;
    current.known(a).map_err(|e| e.field("account"))?;
    current.known(b).map_err(|e| e.field(field))?;
    Ok(())
}

pub(super) fn not_oneself(a: &Account, b: &Account, field: &'static str) -> Result<(), RequestError> {
    if a == b {
        let message = format!("\"{a}\" cannot be a friend of itself, nor block itself");
        return Err(RequestError::new(Reason::InvalidArgument, message).field(field));
    }
    Ok(())
}

fn to_answer<'a>(current: &'a CurrentRows, a: &Account, b: &Account) -> Result<&'a Request, RequestError> {
    current.received(b, a).ok_or_else(|| no_such(format!("there is no open request of \"{b}\"")))
}

fn listed<'a>(current: &'a CurrentRows, a: &Account, b: &Account) -> Result<&'a Edge, RequestError> {
    current.edge(a, b).ok_or_else(|| no_such(format!("\"{b}\" is no friend")))
}

fn no_such(message: String) -> RequestError {
    RequestError::new(Reason::NotFound, message).field("account")
}

pub(super) fn at_limit(account: &Account, count: u64, most: u64, what: &str) -> Result<(), RequestError> {
    if count < most {
        return Ok(());
    }
    let message = format!("account \"{account}\" has {most} {what}, which is the limit");
    Err(RequestError::new(Reason::LimitExceeded, message).field("account"))
}

/// Makes the edges that are missing between two accounts; none if they are friends.
fn edges(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Result<Vec<Row>, RequestError> {
    let missing = [(a, b), (b, a)].into_iter().filter(|(owner, peer)| current.edge(owner, peer).is_none());
    let mut rows = Vec::new();
    for (owner, peer) in missing {
        at_limit(owner, current.counts(owner).friends, FRIENDS, "friends")?;
        rows.push(Row::Edge(Edge::new(owner.clone(), peer.clone(), at.revision, at.now)));
    }
    Ok(rows)
}

pub(super) fn asked(
    sender: &Account,
    receiver: &Account,
    side: RequestSide,
    message: &str,
    at: CommitPoint,
) -> Request {
    Request {
        sender: sender.clone(),
        receiver: receiver.clone(),
        side,
        message: message.into(),
        state: RequestState::Open,
        create_time: at.now,
        update_time: at.now,
        version: at.revision,
    }
}

/// Closes the open requests between the two, in both directions.
pub(super) fn close_all(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    state: RequestState,
    at: CommitPoint,
) -> impl Iterator<Item = Row> + use<> {
    [(a, b), (b, a)].map(|(sender, receiver)| close_copies(current, sender, receiver, state, at)).into_iter().flatten()
}

/// Closes the open request of one to the other, in the copies of both.
pub(super) fn close_copies(
    current: &CurrentRows,
    sender: &Account,
    receiver: &Account,
    state: RequestState,
    at: CommitPoint,
) -> Vec<Row> {
    current.copies(sender, receiver).map(|request| close(request, state, at)).collect()
}

pub(super) fn close(request: &Request, state: RequestState, at: CommitPoint) -> Row {
    let update_time = at.now.max(request.update_time);
    Row::Request(Request { state, update_time, version: at.revision, ..request.clone() })
}

/// Ends the edges that are there between two accounts. One that was added by an account that is blocked has no other.
fn ended_edges(current: &CurrentRows, a: &Account, b: &Account, at: CommitPoint) -> Vec<Row> {
    let both = [(a, b), (b, a)].into_iter().filter(|(owner, peer)| current.edge(owner, peer).is_some());
    both.map(|(owner, peer)| Row::Edge(Edge::tombstone(owner.clone(), peer.clone(), at.revision, at.now))).collect()
}

pub(super) fn tombstones(a: &Account, b: &Account, at: CommitPoint) -> [Row; 2] {
    [(a, b), (b, a)].map(|(owner, peer)| Row::Edge(Edge::tombstone(owner.clone(), peer.clone(), at.revision, at.now)))
}
