//! Tells sessions that sleep what the registry knows, one after the other, without waking their tasks.
//!
//! Most of what is ever told is one profile, the same for every friend: so the last frame is kept, and told to all
//! who are owed the same. After a few sessions it lets everybody else go first: the more there is to do, the more
//! a session is told at a time.

use std::future::poll_fn;
use std::sync::Arc;

use super::flush::fill_cards;
use super::frame_writer::Outgoing;
use super::frames::{FRAME, add_presences};
use crate::hub::{Session, Sight, Turn};
use crate::service::Service;
use rosterd_engine::model::Stamp;
use rosterd_engine::sync::outbox::Kinds;
use rosterd_protocol::{Card, Changes, Encoding};

/// How many sessions are told in a row.
const SLICE: usize = 32;

/// What a teller writes, in buffers that it keeps.
struct Teller<'a> {
    service: &'a Service,
    changes: Changes,
    out: Outgoing,
    /// What `out` is, if it tells one card and nothing else.
    single: Option<(Arc<Card>, Encoding, Stamp)>,
}

/// Tells whoever is due, for ever.
pub(crate) async fn tell(service: &Service) {
    let mut due = Vec::with_capacity(SLICE);
    let (changes, out) = (Changes::new(Encoding::Json), Outgoing::new(Encoding::Json));
    let mut teller = Teller { service, changes, out, single: None };
    loop {
        poll_fn(|cx| service.hub().poll_due(cx, SLICE, &mut due)).await;
        for session in due.drain(..) {
            teller.tell(&session);
        }
        tokio::task::yield_now().await;
    }
}

impl Teller<'_> {
    /// What cannot be told here is left to the session's task.
    fn tell(&mut self, session: &Arc<Session>) {
        let Some(turn) = self.service.hub().turn(session) else {
            return;
        };
        match single(&turn) {
            Some(card) => self.tell_one(turn, card),
            None => self.tell_several(turn),
        }
    }

    fn tell_one(&mut self, turn: Turn<'_>, card: Arc<Card>) {
        let (encoding, horizon) = (turn.encoding(), turn.taken().horizon);
        let is_same =
            |(held, of, at): &(Arc<Card>, _, _)| Arc::ptr_eq(held, &card) && (*of, *at) == (encoding, horizon);
        if !self.single.as_ref().is_some_and(is_same) {
            self.begin(encoding);
            self.changes.user(&card);
            self.frame(horizon);
            self.single = Some((card, encoding, horizon));
        }
        self.write(turn, 1);
    }

    fn tell_several(&mut self, turn: Turn<'_>) {
        let (view, taken) = (turn.view(), turn.taken());
        self.begin(turn.encoding());
        let mut look_ups = Vec::new();
        let mut cards = taken.marks.iter().filter(|(_, kinds)| kinds.has(Kinds::CARD));
        let is_full = fill_cards(&mut self.changes, view, &mut cards, &mut look_ups);
        if is_full || !look_ups.is_empty() {
            return;
        }
        let records = self.changes.records();
        if records > 0 {
            self.frame(taken.horizon);
        }
        let marked = taken.marks.iter().filter(|(_, kinds)| kinds.has(Kinds::PRESENCE));
        let mut seen = marked.filter_map(|(user, _)| view.presence(&view.entry(user)));
        while add_presences(&mut self.out, &mut seen) {
            if self.out.bytes().len() >= 2 * FRAME {
                return;
            }
        }
        drop(seen);
        self.write(turn, records);
    }

    fn begin(&mut self, encoding: Encoding) {
        self.changes.clear(encoding);
        self.out.restart(encoding);
        self.single = None;
    }

    fn frame(&mut self, horizon: Stamp) {
        let (changes, cursor) = (&self.changes, self.service.cursor(horizon));
        self.out.message(|payload| changes.finish(Some(cursor), payload));
    }

    /// Records come with how far the client then is.
    fn write(&self, turn: Turn<'_>, records: usize) {
        let horizon = (records > 0).then_some(turn.taken().horizon);
        let written = turn.write(self.out.bytes(), horizon);
        if written > 0 {
            self.service.metrics().records.inc_by(records as u64);
            self.service.metrics().bytes.inc_by(written as u64);
        }
    }
}

/// The card of a friend, if that is all that is owed.
fn single(turn: &Turn<'_>) -> Option<Arc<Card>> {
    let mut marks = turn.taken().marks.iter();
    let (user, _) = marks.next().filter(|(user, kinds)| **kinds == Kinds::CARD && !turn.view().is_me(user))?;
    match turn.view().sight_of_marked(user) {
        (true, Sight::Card(card)) if marks.next().is_none() => Some(card),
        _ => None,
    }
}
