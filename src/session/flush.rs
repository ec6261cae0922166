//! Tells a session what it is owed: the newest state of every marked key, how far the client then is, and signals.

use tokio::io::{AsyncRead, AsyncWrite};

use super::frame_writer::FrameWriter;
use super::frames::{FRAME, add_presences, fill};
use super::socket::ClientSocket;
use crate::hub::{SessionHandle, SessionView, Signal, TakenMarks, UserRef, VisibleProfile};
use crate::service::{Record, Service};
use rosterd_engine::model::{CloseReason, Cursor};
use rosterd_engine::sync::outbox::{DirtyMarks, RecordKinds};
use rosterd_protocol::{Changes, v1};

/// Relations, or profiles that are not followed, looked up at a time.
const LOOKED_UP: usize = 200;

/// What decides what may be seen, and comes from the store.
const RELATIONS: RecordKinds = RecordKinds::EDGE.with(RecordKinds::REQUEST).with(RecordKinds::BLOCK);

/// What brings a presence: of a new friend it is told, too.
const PRESENCES: RecordKinds = RecordKinds::EDGE.with(RecordKinds::PRESENCE);

/// Tells everything that is owed now, and how far the client then is; what was held goes out with it.
///
/// A client that reads slowly costs this future, so what is rarely needed is boxed.
pub(super) async fn drain<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &mut SessionHandle,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let taken = seat.take();
    if tell_records(link, service, seat, &taken).await? {
        seat.delivered();
        tell_rest(link, service, seat, &taken.marks).await?;
    }
    link.release().await
}

/// What comes after the records, whose friends and profiles it is about.
async fn tell_rest<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &mut SessionHandle,
    marks: &DirtyMarks<UserRef>,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tell_presence(link, seat, marks).await?;
    if marks.get(seat.me()).has(RecordKinds::SESSIONS) {
        Box::pin(tell_sessions(link, service, seat)).await?;
    }
    while let Some(signal) = seat.next_signal() {
        Box::pin(tell_signal(link, service, seat, &signal)).await?;
    }
    Ok(())
}

/// Records and the cursor. False if what may be seen changed meanwhile: what was not told is owed again.
async fn tell_records<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &mut SessionHandle,
    taken: &TakenMarks,
) -> Result<bool, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let TakenMarks { horizon, relations: seen, ref marks } = *taken;
    // Relations first: they decide which cards may be seen.
    let mut relations = marks.iter().filter(is_relation as IsKind).peekable();
    let mut cards = marks.iter().filter(is_profile as IsKind);
    let mut changes = Changes::new(link.encoding());
    let mut unsent = Vec::new();
    while relations.peek().is_some() {
        if changes.records() > 0 {
            changes = send_changes(link, service, &changes, None).await?;
        }
        unsent = relations.by_ref().take(LOOKED_UP).collect();
        let marked = unsent.iter().map(|(user, kinds)| (user.account().clone(), **kinds)).collect();
        let told = Box::pin(service.relations(seat, marked)).await?;
        if seat.relations_epoch() != seen {
            put_back(seat, marks, unsent.into_iter().chain(relations).chain(cards));
            return Ok(false);
        }
        let mut records = told.records();
        while fill(&mut changes, &mut records, seat.account()) {
            changes = send_changes(link, service, &changes, None).await?;
        }
    }
    let mut look_ups: Vec<(&UserRef, &RecordKinds)> = Vec::new();
    loop {
        let rest = cards.clone();
        let full = fill_profiles(&mut changes, seat.view(), &mut cards, &mut look_ups);
        // A relation that changed meanwhile may have taken the right to see one of these cards: nothing of them
        // is sent, they are owed again, and the relation is looked at first.
        if seat.relations_epoch() != seen {
            put_back(seat, marks, unsent.into_iter().chain(rest).chain(look_ups));
            return Ok(false);
        }
        let cursor = (!full && look_ups.is_empty()).then(|| service.cursor(horizon));
        if changes.records() > 0 || !unsent.is_empty() && cursor.is_some() {
            changes = send_changes(link, service, &changes, cursor).await?;
            if cursor.is_some() {
                seat.set_delivered_up_to(horizon);
            }
        }
        unsent.clear();
        if !full {
            break;
        }
    }
    for some in look_ups.chunks(LOOKED_UP) {
        let accounts: Vec<_> = some.iter().map(|(user, _)| user.account().clone()).collect();
        for card in Box::pin(service.profiles(seat, &accounts)).await? {
            if !seat.remember_sent(&card.profile().account, card.profile().version) {
                let _ = fill(&mut changes, &mut std::iter::once(Record::EncodedProfile(&card)), seat.account());
            }
        }
        if changes.records() > 0 {
            changes = send_changes(link, service, &changes, None).await?;
        }
    }
    Ok(true)
}

/// Named, because a closure in an iterator that lives across an await is not general enough to be spawned.
type IsKind = for<'a, 'b, 'c> fn(&'a (&'b UserRef, &'c RecordKinds)) -> bool;

fn is_relation((_, kinds): &(&UserRef, &RecordKinds)) -> bool {
    kinds.has_any(RELATIONS)
}

/// A friend that is marked brings its card with it, so a card alone is one whose edge is not marked.
fn is_profile((_, kinds): &(&UserRef, &RecordKinds)) -> bool {
    kinds.has(RecordKinds::LOOK_UP) || kinds.has(RecordKinds::PROFILE) && !kinds.has(RecordKinds::EDGE)
}

/// Owes again what was not told, and of everything else what comes after the records.
fn put_back<'a>(
    seat: &SessionHandle,
    marks: &'a DirtyMarks<UserRef>,
    untold: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>,
) {
    // A new friend's presence is told too.
    const LATER: [(RecordKinds, RecordKinds); 2] =
        [(PRESENCES, RecordKinds::PRESENCE), (RecordKinds::SESSIONS, RecordKinds::SESSIONS)];
    seat.put_back(untold);
    for (marked, later) in &LATER {
        seat.put_back(marks.iter().filter(|(_, kinds)| kinds.has_any(*marked)).map(|(user, _)| (user, later)));
    }
}

/// Adds marked cards that may be seen until the frame is full (true) or there are no more (false). Those that the
/// registry cannot tell are left to a look-up.
pub(super) fn fill_profiles<'a>(
    changes: &mut Changes,
    view: SessionView<'_>,
    marks: &mut impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>,
    look_ups: &mut Vec<(&'a UserRef, &'a RecordKinds)>,
) -> bool {
    for (marked, kinds) in marks {
        let (follows, sight) = view.visible_profile_of_marked(marked);
        match sight {
            VisibleProfile::EncodedProfile(card) if view.is_me(marked) => changes.me(&card),
            VisibleProfile::EncodedProfile(card) if follows => changes.user(&card),
            _ if follows || kinds.has(RecordKinds::LOOK_UP) => look_ups.push((marked, kinds)),
            _ => {}
        }
        if changes.size() >= FRAME {
            return true;
        }
    }
    false
}

async fn tell_presence<S>(
    link: &mut ClientSocket<S>,
    seat: &SessionHandle,
    marks: &DirtyMarks<UserRef>,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let marked = marks.iter().filter(|(_, kinds)| kinds.has_any(PRESENCES));
    let view = seat.view();
    let mut seen = marked.filter_map(|(user, _)| view.presence(&view.entry(user)));
    let mut out = FrameWriter::new(link.encoding());
    while add_presences(&mut out, &mut seen) {
        link.send(&out).await?;
        out.clear();
    }
    Ok(())
}

async fn tell_sessions<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &SessionHandle,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let id = seat.session().id();
    let sessions = service.sessions(seat.account()).into_iter().map(|session| session.record(Some(id))).collect();
    let sessions = Some(v1::Sessions { sessions });
    link.send_one(&v1::ServerFrame { sessions, ..Default::default() }).await
}

/// After its sender's newest profile: a friend's was told with the records, a stranger's is brought now unless it was
/// told before.
async fn tell_signal<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &mut SessionHandle,
    signal: &Signal,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = FrameWriter::new(link.encoding());
    if !seat.view().follows(&seat.view().entry(&signal.from)) {
        for card in service.profiles(seat, std::slice::from_ref(signal.from.account())).await? {
            if !seat.remember_sent(&card.profile().account, card.profile().version) {
                let mut changes = Changes::new(link.encoding());
                changes.user(&card);
                out.message(|payload| changes.finish(None, payload));
            }
        }
    }
    let signalled = v1::Signalled { from: signal.from.account().to_string(), payload: signal.payload.clone() };
    out.server(&v1::ServerFrame { signal: Some(signalled), ..Default::default() });
    link.send(&out).await
}

/// Sends a frame and answers the next one, empty.
async fn send_changes<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    changes: &Changes,
    cursor: Option<Cursor>,
) -> Result<Changes, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The records, and some for the frame around them and the cursor.
    let mut out = FrameWriter::with_capacity(link.encoding(), changes.size() + 128);
    out.message(|payload| changes.finish(cursor, payload));
    service.metrics().records.inc_by(changes.records() as u64);
    link.send(&out).await?;
    Ok(Changes::new(link.encoding()))
}
