//! Tells a session what it is owed: the newest state of every marked key, and how far the client then is.

use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Link;
use super::outgoing::Outgoing;
use super::{FRAME, fill};
use crate::hub::{Seat, UserRef};
use crate::model::{CloseReason, Cursor};
use crate::service::Service;
use crate::sync::outbox::Kinds;
use crate::wire::Changes;

/// Relations looked up at a time.
const RELATIONS: usize = 200;

/// Tells everything that is owed now, and how far the client then is.
pub(super) async fn drain<S>(link: &mut Link<S>, service: &Service, seat: &mut Seat) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // In this order: what is marked up to the horizon is then in the marks, or was told before.
    let horizon = seat.horizon();
    let seen = seat.relations();
    let marks = seat.take();
    // Relations first: they decide which cards may be seen.
    let mut edges = marks.iter().filter(is_edge as IsKind).peekable();
    let mut cards = marks.iter().filter(is_card as IsKind);
    let mut changes = Changes::new(link.encoding());
    let mut unsent = Vec::new();
    while edges.peek().is_some() {
        if changes.records() > 0 {
            changes = send_changes(link, service, &changes, None).await?;
        }
        unsent = edges.by_ref().take(RELATIONS).collect();
        let peers = unsent.iter().map(|(user, _)| user.account().clone()).collect();
        let told = service.relations(seat, peers).await?;
        if seat.relations() != seen {
            seat.put_back(unsent.into_iter().chain(edges).chain(cards));
            return Ok(());
        }
        let mut records = told.records();
        while fill(&mut changes, &mut records) {
            changes = send_changes(link, service, &changes, None).await?;
        }
    }
    loop {
        let rest = cards.clone();
        let full = fill_cards(&mut changes, seat, &mut cards);
        // A relation that changed meanwhile may have taken the right to see one of these cards: nothing of them
        // is sent, they are owed again, and the relation is looked at first.
        if seat.relations() != seen {
            seat.put_back(unsent.into_iter().chain(rest));
            return Ok(());
        }
        let cursor = (!full).then(|| service.cursor(horizon));
        if changes.records() > 0 || !unsent.is_empty() {
            changes = send_changes(link, service, &changes, cursor).await?;
        }
        if !full {
            return Ok(());
        }
        unsent.clear();
    }
}

/// Named, because a closure in an iterator that lives across an await is not general enough to be spawned.
type IsKind = for<'a, 'b, 'c> fn(&'a (&'b UserRef, &'c Kinds)) -> bool;

fn is_edge((_, kinds): &(&UserRef, &Kinds)) -> bool {
    kinds.has(Kinds::EDGE)
}

/// A relation brings the card with it, so a card alone is one whose relation is not marked.
fn is_card(mark: &(&UserRef, &Kinds)) -> bool {
    !is_edge(mark)
}

/// Adds marked cards that may be seen until the frame is full (true) or there are no more (false).
fn fill_cards<'a>(
    changes: &mut Changes,
    seat: &Seat,
    marks: &mut impl Iterator<Item = (&'a UserRef, &'a Kinds)>,
) -> bool {
    for (user, _) in marks {
        let Some(card) = seat.visible(user) else { continue };
        if user == seat.me() {
            changes.me(&card);
        } else {
            changes.user(&card);
        }
        if changes.size() >= FRAME {
            return true;
        }
    }
    false
}

/// Sends a frame and answers the next one, empty.
async fn send_changes<S>(
    link: &mut Link<S>,
    service: &Service,
    changes: &Changes,
    cursor: Option<Cursor>,
) -> Result<Changes, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The records, and some for the frame around them and the cursor.
    let mut out = Outgoing::with_capacity(link.encoding(), changes.size() + 128);
    out.message(|payload| changes.finish(cursor, payload));
    service.metrics().records.inc_by(changes.records() as u64);
    link.send(&out).await?;
    Ok(Changes::new(link.encoding()))
}
