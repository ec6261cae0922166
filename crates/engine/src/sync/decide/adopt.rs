//! Decides the commands that bring what was in another store.
//!
//! They say how something is to be, so the same command changes nothing a second time. Nothing of it is older than the
//! commands that made it here: a record has the version of its adoption, and only the times at which it was made are kept.

use std::sync::Arc;

use super::decision::{CommitPoint, CurrentRows, Decision};
use super::relations::{BOTH_SIDES, Decided, asked, at_limit, close_all, two_who_exist};
use super::{blocks, users};
use crate::model::limits::{FRIENDS, REQUESTS};
use crate::model::{
    Account, Command, Credential, Edge, FriendUpdate, Millis, Outcome, PresenceChange, Profile, Request, RequestState,
    Row, SeenPresence, Visibility,
};

pub(super) fn adopt(current: &CurrentRows, command: &Command, at: CommitPoint, visibility: &Visibility) -> Decided {
    match command {
        Command::AdoptUser { .. } => user(current, command, at, visibility),
        Command::AdoptFriend { account, peer, note, create_time } => {
            friend(current, account, peer, note, *create_time, at)
        }
        Command::AdoptRequest { account, peer, message, create_time } => {
            request(current, account, peer, message, *create_time, at)
        }
        Command::AdoptBlock { .. } => block(current, command, at, visibility),
        Command::AdoptCredential { account, credential: adopted } => Ok(credential(current, account, adopted)),
        _ => Ok(Decision::unchanged()),
    }
}

fn user(current: &CurrentRows, command: &Command, at: CommitPoint, visibility: &Visibility) -> Decided {
    let Command::AdoptUser { account, patch, create_time, invisible, last_seen } = command else {
        return Ok(Decision::unchanged());
    };
    let mut decision = users::set_profile(current, account, patch, true, None, at, visibility)?;
    if let (None, [Row::Profile(made)]) = (current.user(account), &mut decision.rows[..]) {
        let create_time = create_time.unwrap_or(made.create_time);
        let adopted = Profile { create_time, update_time: made.update_time.max(create_time), ..Profile::clone(made) };
        *made = Arc::new(adopted);
        decision.answer.profile = Some(made.clone());
        decision.last_seen = *last_seen;
    }
    let set = PresenceChange { invisible: *invisible, ..PresenceChange::default() };
    if let Some(row) = users::presence_row(&current.presence.chosen, account, &set, at)? {
        decision.rows.push(row);
        if decision.answer.outcome == Outcome::Unchanged {
            decision.answer.outcome = Outcome::Changed;
        }
    }
    Ok(decision)
}

fn friend(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    note: &FriendUpdate,
    create_time: Option<Millis>,
    at: CommitPoint,
) -> Decided {
    two_who_exist(current, a, b, "friend")?;
    let noted = |edge: Edge| {
        let edge = Edge { create_time: create_time.unwrap_or(edge.create_time), ..edge };
        let edge = note.apply(&edge).unwrap_or(edge);
        Edge { update_time: edge.update_time.max(edge.create_time), ..edge }
    };
    if let Some(held) = current.edge(a, b) {
        let next = noted(held.clone());
        if next == *held {
            return Ok(Decision::unchanged());
        }
        let next = Edge { version: at.revision, update_time: at.now.max(next.update_time), ..next };
        return Ok(Decision::new(vec![Row::Edge(next)], Outcome::Changed));
    }
    at_limit(a, current.counts(a).friends, FRIENDS, "friends")?;
    let mut rows = vec![Row::Edge(noted(Edge::new(a.clone(), b.clone(), at.revision, at.now)))];
    let is_blocked = current.blocks(b, a).is_some();
    if current.edge(b, a).is_none() && !is_blocked {
        at_limit(b, current.counts(b).friends, FRIENDS, "friends")?;
        let other = Edge::new(b.clone(), a.clone(), at.revision, at.now);
        let create_time = create_time.unwrap_or(at.now);
        rows.push(Row::Edge(Edge { create_time, update_time: at.now.max(create_time), ..other }));
    }
    let closed = close_all(current, a, b, RequestState::Accepted, at);
    // One that blocks the account does not learn of it.
    rows.extend(closed.filter(|row| !is_blocked || matches!(row, Row::Request(request) if request.owner() == a)));
    Ok(Decision::new(rows, Outcome::Created))
}

fn request(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    message: &str,
    create_time: Option<Millis>,
    at: CommitPoint,
) -> Decided {
    two_who_exist(current, a, b, "request")?;
    let is_over = current.edge(a, b).is_some() || current.blocks(a, b).is_some();
    if is_over || current.open(a, b).is_some() || current.open(b, a).is_some() {
        return Ok(Decision::unchanged());
    }
    at_limit(a, current.counts(a).sent, REQUESTS, "open requests")?;
    at_limit(b, current.counts(b).received, REQUESTS, "requests to answer")?;
    let sides = if current.blocks(b, a).is_some() { &BOTH_SIDES[..1] } else { &BOTH_SIDES };
    let create_time = create_time.unwrap_or(at.now);
    let made = sides.iter().map(|side| {
        let update_time = at.now.max(create_time);
        Row::Request(Request { create_time, update_time, ..asked(a, b, *side, message, at) })
    });
    Ok(Decision::new(made.collect(), Outcome::Created))
}

/// Makes a block. The peer sees the frozen copy as it would see the profile that others see: with the same versions and
/// times, which tell it nothing.
fn block(current: &CurrentRows, command: &Command, at: CommitPoint, visibility: &Visibility) -> Decided {
    let Command::AdoptBlock { account, peer, create_time, last_seen, frozen: given } = command else {
        return Ok(Decision::unchanged());
    };
    let mut decision = blocks::block(current, account, peer, None, at, visibility)?;
    for row in &mut decision.rows {
        let Row::Block { block, frozen } = row else { continue };
        block.create_time = create_time.unwrap_or(block.create_time);
        block.update_time = block.update_time.max(block.create_time);
        if let Some(last_seen) = *last_seen {
            block.presence = Some(SeenPresence { online: false, last_seen });
        }
        let adopted = given.as_ref().zip(frozen.as_ref()).map(|(given, profile)| given.apply(profile, &visibility.own));
        if let Some(adopted) = adopted.transpose()?.flatten() {
            *frozen = Some(Arc::new(adopted));
        }
    }
    Ok(decision)
}

fn credential(current: &CurrentRows, account: &Account, adopted: &Credential) -> Decision {
    if current.credential == *adopted {
        return Decision::unchanged();
    }
    let row = Row::Credential { account: account.clone(), credential: adopted.clone() };
    Decision::new(vec![row], Outcome::Changed)
}
