//! Flushes pending updates to idle sessions, one after the other, without waking their tasks.
//!
//! A flusher sends only what the registry knows. Most updates are one profile, the same for every friend: so a flusher
//! keeps its last frame, and sends it to all sessions with the same update pending. After a few sessions it yields to
//! all other tasks: the more there is to do, the more is pending for a session by the time it is flushed.

use std::future::poll_fn;
use std::sync::Arc;

use super::flush::{FrozenProfiles, fill_profiles};
use super::frame_writer::FrameWriter;
use super::frames::{FRAME, add_presences};
use crate::hub::{FlushPermit, Session, VisibleProfile};
use crate::service::Service;
use rosterd_engine::model::Revision;
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::{Changes, EncodedProfile, Encoding};

/// How many sessions are flushed in a row.
const SLICE: usize = 32;

/// The buffers of one flusher, which it keeps.
struct Flusher<'a> {
    service: &'a Service,
    changes: Changes,
    writer: FrameWriter,
    /// What `writer` holds, if it holds one profile and nothing else.
    single: Option<(Arc<EncodedProfile>, Encoding, Revision)>,
}

/// Flushes whichever sessions are due, for ever.
pub(crate) async fn flush_sleeping(service: &Service) {
    let mut due = Vec::with_capacity(SLICE);
    let (changes, writer) = (Changes::new(Encoding::Json), FrameWriter::new(Encoding::Json));
    let mut flusher = Flusher { service, changes, writer, single: None };
    loop {
        poll_fn(|cx| service.hub().poll_flush_queue(cx, SLICE, &mut due)).await;
        for session in due.drain(..) {
            flusher.flush(&session);
        }
        tokio::task::yield_now().await;
    }
}

impl Flusher<'_> {
    /// Flushes one session. What cannot be sent from here is left to the session's task.
    fn flush(&mut self, session: &Arc<Session>) {
        let Some(permit) = self.service.hub().flush_permit(session) else {
            return;
        };
        match single(&permit) {
            Some(profile) => self.flush_one(permit, profile),
            None => self.flush_several(permit),
        }
    }

    fn flush_one(&mut self, permit: FlushPermit<'_>, profile: Arc<EncodedProfile>) {
        let (encoding, watermark) = (permit.encoding(), permit.taken().watermark);
        let is_same = |(last, of, at): &(Arc<EncodedProfile>, _, _)| {
            Arc::ptr_eq(last, &profile) && (*of, *at) == (encoding, watermark)
        };
        if !self.single.as_ref().is_some_and(is_same) {
            self.begin(encoding);
            self.changes.user(&profile);
            self.frame(watermark);
            self.single = Some((profile, encoding, watermark));
        }
        self.write(permit, 1);
    }

    fn flush_several(&mut self, permit: FlushPermit<'_>) {
        let (view, taken) = (permit.view(), permit.taken());
        self.begin(permit.encoding());
        let mut look_ups = Vec::new();
        let mut profiles = taken.marks.iter().filter(|(_, kinds)| kinds.has(RecordKinds::PROFILE));
        let is_full = fill_profiles(&mut self.changes, view, &mut profiles, &FrozenProfiles::new(), &mut look_ups);
        if is_full || !look_ups.is_empty() {
            return;
        }
        let records = self.changes.records();
        if records > 0 {
            self.frame(taken.watermark);
        }
        let marked = taken.marks.iter().filter(|(_, kinds)| kinds.has(RecordKinds::PRESENCE));
        let mut presences = marked.filter_map(|(user, _)| view.presence(&view.entry(user)));
        while add_presences(&mut self.writer, &mut presences) {
            if self.writer.bytes().len() >= 2 * FRAME {
                return;
            }
        }
        drop(presences);
        self.write(permit, records);
    }

    fn begin(&mut self, encoding: Encoding) {
        self.changes.clear(encoding);
        self.writer.restart(encoding);
        self.single = None;
    }

    fn frame(&mut self, watermark: Revision) {
        let (changes, cursor) = (&self.changes, self.service.cursor(watermark));
        self.writer.message(|payload| changes.finish(Some(cursor), payload));
    }

    /// Writes the frames. If they hold records, the client is then up to date with the watermark.
    fn write(&self, permit: FlushPermit<'_>, records: usize) {
        let watermark = (records > 0).then_some(permit.taken().watermark);
        let written = permit.write(self.writer.bytes(), watermark);
        if written > 0 {
            self.service.metrics().records.inc_by(records as u64);
            self.service.metrics().bytes.inc_by(written as u64);
        }
    }
}

/// Returns the profile of a friend, if nothing else is pending.
fn single(permit: &FlushPermit<'_>) -> Option<Arc<EncodedProfile>> {
    let mut marks = permit.taken().marks.iter();
    let (user, _) =
        marks.next().filter(|(user, kinds)| **kinds == RecordKinds::PROFILE && !permit.view().is_me(user))?;
    match permit.view().visible_profile_of_marked(user) {
        (true, VisibleProfile::EncodedProfile(profile)) if marks.next().is_none() => Some(profile),
        _ => None,
    }
}
