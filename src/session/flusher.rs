//! Tells sessions that sleep what the registry knows, one after the other, without waking their tasks.
//!
//! Most of what is ever told is one profile, the same for every friend: so the last frame is kept, and told to all
//! who are owed the same. After a few sessions it lets everybody else go first: the more there is to do, the more
//! a session is told at a time.

use std::future::poll_fn;
use std::sync::Arc;

use super::flush::fill_profiles;
use super::frame_writer::FrameWriter;
use super::frames::{FRAME, add_presences};
use crate::hub::{FlushPermit, Session, VisibleProfile};
use crate::service::Service;
use rosterd_engine::model::Revision;
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::{Changes, EncodedProfile, Encoding};

/// How many sessions are told in a row.
const SLICE: usize = 32;

/// What a teller writes, in buffers that it keeps.
struct Flusher<'a> {
    service: &'a Service,
    changes: Changes,
    out: FrameWriter,
    /// What `out` is, if it tells one card and nothing else.
    single: Option<(Arc<EncodedProfile>, Encoding, Revision)>,
}

/// Tells whoever is due, for ever.
pub(crate) async fn flush_sleeping(service: &Service) {
    let mut due = Vec::with_capacity(SLICE);
    let (changes, out) = (Changes::new(Encoding::Json), FrameWriter::new(Encoding::Json));
    let mut teller = Flusher { service, changes, out, single: None };
    loop {
        poll_fn(|cx| service.hub().poll_flush_queue(cx, SLICE, &mut due)).await;
        for session in due.drain(..) {
            teller.tell(&session);
        }
        tokio::task::yield_now().await;
    }
}

impl Flusher<'_> {
    /// What cannot be told here is left to the session's task.
    fn tell(&mut self, session: &Arc<Session>) {
        let Some(turn) = self.service.hub().flush_permit(session) else {
            return;
        };
        match single(&turn) {
            Some(card) => self.tell_one(turn, card),
            None => self.tell_several(turn),
        }
    }

    fn tell_one(&mut self, turn: FlushPermit<'_>, card: Arc<EncodedProfile>) {
        let (encoding, horizon) = (turn.encoding(), turn.taken().horizon);
        let is_same = |(held, of, at): &(Arc<EncodedProfile>, _, _)| {
            Arc::ptr_eq(held, &card) && (*of, *at) == (encoding, horizon)
        };
        if !self.single.as_ref().is_some_and(is_same) {
            self.begin(encoding);
            self.changes.user(&card);
            self.frame(horizon);
            self.single = Some((card, encoding, horizon));
        }
        self.write(turn, 1);
    }

    fn tell_several(&mut self, turn: FlushPermit<'_>) {
        let (view, taken) = (turn.view(), turn.taken());
        self.begin(turn.encoding());
        let mut look_ups = Vec::new();
        let mut cards = taken.marks.iter().filter(|(_, kinds)| kinds.has(RecordKinds::PROFILE));
        let is_full = fill_profiles(&mut self.changes, view, &mut cards, &mut look_ups);
        if is_full || !look_ups.is_empty() {
            return;
        }
        let records = self.changes.records();
        if records > 0 {
            self.frame(taken.horizon);
        }
        let marked = taken.marks.iter().filter(|(_, kinds)| kinds.has(RecordKinds::PRESENCE));
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

    fn frame(&mut self, horizon: Revision) {
        let (changes, cursor) = (&self.changes, self.service.cursor(horizon));
        self.out.message(|payload| changes.finish(Some(cursor), payload));
    }

    /// Records come with how far the client then is.
    fn write(&self, turn: FlushPermit<'_>, records: usize) {
        let horizon = (records > 0).then_some(turn.taken().horizon);
        let written = turn.write(self.out.bytes(), horizon);
        if written > 0 {
            self.service.metrics().records.inc_by(records as u64);
            self.service.metrics().bytes.inc_by(written as u64);
        }
    }
}

/// The card of a friend, if that is all that is owed.
fn single(turn: &FlushPermit<'_>) -> Option<Arc<EncodedProfile>> {
    let mut marks = turn.taken().marks.iter();
    let (user, _) = marks.next().filter(|(user, kinds)| **kinds == RecordKinds::PROFILE && !turn.view().is_me(user))?;
    match turn.view().visible_profile_of_marked(user) {
        (true, VisibleProfile::EncodedProfile(card)) if marks.next().is_none() => Some(card),
        _ => None,
    }
}
