//! Decides the commands about blocks.
//!
//! The blocked account must not tell a block from a departure, nor its end from a return. So a block keeps what the peer
//! sees of the owner: its presence, which the hub lets go offline after offline grace, and its profile, the frozen copy.
//! Where the two still differ from what others see when the block ends, its tombstone keeps the difference.

use std::sync::Arc;

use super::decision::{CommitPoint, CurrentRows, Decision, expect_version};
use super::relations::{Decided, at_limit, close_copies, not_oneself, two_who_exist};
use crate::model::limits::BLOCKS;
use crate::model::{
    Account, Audience, Block, Edge, LastChange, Muted, Outcome, Profile, Request, RequestSide, RequestState, Row,
    SeenChanges, SeenPresence, Visibility,
};

pub(super) fn block(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    if_version: Option<u64>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Decided {
    two_who_exist(current, a, b, "account")?;
    if current.blocks(a, b).is_some() {
        return Ok(Decision::unchanged());
    }
    let before = current.ended_block(a, b);
    expect_version("the end of the last block", before.map_or(0, |block| block.version), if_version)?;
    at_limit(a, current.counts(a).blocks, BLOCKS, "blocks")?;
    let block = Block {
        owner: a.clone(),
        peer: b.clone(),
        removed: false,
        presence: Some(before.and_then(|before| before.presence).unwrap_or(current.presence.seen)),
        views: None,
        create_time: at.now,
        update_time: at.now,
        version: at.revision,
    };
    let profile = frozen(current.known(a)?, before);
    // One who is no friend may add the account while it is blocked, and then still sees no more than it does now.
    let frozen = if current.edge(b, a).is_some() { profile } else { visibility.for_everyone(&profile) };
    let mut rows = vec![Row::Block { block, frozen: Some(frozen) }];
    rows.extend(close_copies(current, a, b, RequestState::Cancelled, at));
    rows.extend(close_copies(current, b, a, RequestState::Rejected, at));
    Ok(Decision::new(rows, Outcome::Created))
}

/// Ends a block.
///
/// The peer's edge stays as it is, because nothing that the peer sees of it has changed; but one that the peer made alone,
/// during the block, ends with it, because the owner has not agreed to it. A request that the peer made meanwhile reaches
/// its receiver now. The peer's own copy stays as it is, as if the receiver had only not reacted yet.
pub(super) fn unblock(
    current: &CurrentRows,
    a: &Account,
    b: &Account,
    if_version: Option<u64>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Decided {
    not_oneself(a, b, "account")?;
    let now = current.known(a)?;
    let Some(block) = current.blocks(a, b) else {
        return Ok(Decision::unchanged());
    };
    expect_version("the block", block.version, if_version)?;
    // Only a friend sees presence.
    let mutual = current.edge(b, a).filter(|_| current.edge(a, b).is_some());
    let presence = mutual.and_then(|_| presence(current, block, at));
    let views = current.frozen.as_ref().and_then(|frozen| views(frozen, now, mutual.is_some(), at, visibility));
    let update_time = at.now.max(block.update_time);
    let block = Block { removed: true, presence, views, update_time, version: at.revision, ..block.clone() };
    let mut rows = vec![Row::Block { block, frozen: None }];
    if mutual.is_none() && current.edge(b, a).is_some() {
        rows.push(Row::Edge(Edge::tombstone(b.clone(), a.clone(), at.revision, at.now)));
    }
    if let Some(sent) = current.open(b, a).filter(|_| current.received(b, a).is_none()) {
        let update_time = at.now.max(sent.update_time);
        let (side, version) = (RequestSide::Receiver, at.revision);
        rows.push(Row::Request(Request { side, update_time, version, ..sent.clone() }));
    }
    Ok(Decision::new(rows, Outcome::Changed))
}

/// Makes the tombstone of a block that ends because an account is deleted.
pub(super) fn ended(block: &Block, at: CommitPoint) -> Row {
    let update_time = at.now.max(block.update_time);
    let block =
        Block { removed: true, presence: None, views: None, update_time, version: at.revision, ..block.clone() };
    Row::Block { block, frozen: None }
}

/// The owner's presence that the peer sees after a block, unless it is what others see.
fn presence(current: &CurrentRows, block: &Block, at: CommitPoint) -> Option<SeenPresence> {
    let (public, held) = (current.presence.seen, block.presence?);
    let comes = !held.online && public.online && !current.presence.chosen.hides;
    let seen = if comes { SeenPresence { online: true, last_seen: at.now } } else { held };
    (seen != public).then_some(seen)
}

/// The last changes that the peer sees of the owner's profile after a block, unless they are those that others see. One that
/// is no friend has never seen what friends see.
fn views(
    frozen: &Profile,
    now: &Profile,
    is_friend: bool,
    at: CommitPoint,
    visibility: &Visibility,
) -> Option<SeenChanges> {
    let view = |audience| {
        let held = frozen.last_change(audience);
        let same = visibility.looks_same(frozen, now, audience);
        if same { held } else { LastChange { version: at.revision, time: at.now.max(held.time) } }
    };
    let friends = if is_friend { view(Audience::Friends) } else { now.friends };
    let seen = SeenChanges { friends, everyone: view(Audience::Everyone) };
    (seen != SeenChanges { friends: now.friends, everyone: now.everyone }).then_some(seen)
}

/// The owner's profile as the peer goes on seeing it, with the changes that it saw.
fn frozen(profile: &Arc<Profile>, before: Option<&Block>) -> Arc<Profile> {
    // Whom the owner mutes is for nobody else, so it is not kept with what they see.
    let profile = if profile.muted.is_empty() {
        profile.clone()
    } else {
        Arc::new(Profile { muted: Muted::default(), ..Profile::clone(profile) })
    };
    let seen = |audience| before.and_then(|before| before.last_change(&profile, audience));
    let (friends, everyone) = (seen(Audience::Friends), seen(Audience::Everyone));
    if friends.is_none() && everyone.is_none() {
        return profile;
    }
    let (friends, everyone) = (friends.unwrap_or(profile.friends), everyone.unwrap_or(profile.everyone));
    // Nobody sees the whole profile in this copy, unless friends do.
    let (version, update_time) = (friends.version, friends.time);
    Arc::new(Profile { update_time, version, friends, everyone, ..Profile::clone(&profile) })
}
