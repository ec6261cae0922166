//! Flushes what is pending for a session: the newest state of every marked key, then the cursor, then signals.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::frame_writer::FrameWriter;
use super::frames::{FRAME, add_presences, fill};
use super::socket::ClientSocket;
use crate::hub::{SessionHandle, SessionView, Signal, TakenMarks, UserRef, VisibleProfile};
use crate::service::{Record, Service};
use rosterd_engine::model::{Account, CloseReason, Cursor};
use rosterd_engine::sync::outbox::{DirtyMarks, RecordKinds};
use rosterd_protocol::{Changes, EncodedProfile, v1};

/// How many friends, requests and blocks, or profiles that are not followed, are looked up at a time.
const LOOKED_UP: usize = 200;

/// The kinds that decide what the session may see. They are read from the store.
const RELATIONS: RecordKinds = RecordKinds::EDGE.with(RecordKinds::REQUEST).with(RecordKinds::BLOCK);

/// The kinds that bring a presence: that of a new friend is sent too.
const PRESENCES: RecordKinds = RecordKinds::EDGE.with(RecordKinds::PRESENCE);

/// Flushes everything that is pending now, with the cursor that the client then has. Deferred frames go out with it.
///
/// A client that reads slowly keeps this future alive, so rarely needed parts are boxed.
pub(super) async fn flush<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let taken = handle.take();
    service.interleave().await;
    if flush_records(socket, service, handle, &taken).await? {
        handle.delivered();
        flush_rest(socket, service, handle, &taken.marks).await?;
    }
    socket.send_deferred().await
}

/// Flushes what comes after the records, because it is about their friends and profiles.
async fn flush_rest<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
    marks: &DirtyMarks<UserRef>,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    flush_presence(socket, handle, marks).await?;
    if marks.get(handle.me()).has(RecordKinds::SESSIONS) {
        Box::pin(flush_sessions(socket, service, handle)).await?;
    }
    while let Some(signal) = handle.next_signal() {
        Box::pin(flush_signal(socket, service, handle, &signal)).await?;
    }
    Ok(())
}

/// Flushes records and the cursor. Returns false if what the session may see changed meanwhile: then everything that was
/// not sent is pending again.
async fn flush_records<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
    taken: &TakenMarks,
) -> Result<bool, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let TakenMarks { watermark, relations: relations_epoch, ref marks } = *taken;
    if marks.iter().any(|(_, kinds)| kinds.has(RecordKinds::FORGET)) {
        Box::pin(flush_forgotten(socket, service, handle, marks)).await?;
    }
    // Friends, requests and blocks first: they decide which profiles the session may see.
    let mut relations = marks.iter().filter(is_relation as IsKind).peekable();
    let mut profiles = marks.iter().filter(is_profile as IsKind);
    let mut changes = Changes::new(socket.encoding());
    let mut unsent = Vec::new();
    while relations.peek().is_some() {
        if changes.records() > 0 {
            changes = send_changes(socket, service, &changes, None).await?;
        }
        unsent = relations.by_ref().take(LOOKED_UP).collect();
        let marked = unsent.iter().map(|(user, kinds)| (user.account().clone(), **kinds)).collect();
        let page = Box::pin(service.relations(handle, marked)).await?;
        if handle.relations_epoch() != relations_epoch {
            put_back(handle, marks, unsent.into_iter().chain(relations).chain(profiles));
            return Ok(false);
        }
        let mut records = page.records();
        while fill(&mut changes, &mut records) {
            changes = send_changes(socket, service, &changes, None).await?;
        }
    }
    let frozen = frozen_profiles(service, handle, profiles.clone()).await?;
    let mut look_ups: Vec<(&UserRef, &RecordKinds)> = Vec::new();
    loop {
        let rest = profiles.clone();
        let full = fill_profiles(&mut changes, handle.view(), &mut profiles, &frozen, &mut look_ups);
        // A change meanwhile may have taken the right to see one of these profiles: none of them is sent, they are
        // pending again, and that change is looked at first.
        if handle.relations_epoch() != relations_epoch {
            put_back(handle, marks, unsent.into_iter().chain(rest).chain(look_ups));
            return Ok(false);
        }
        let cursor = (!full && look_ups.is_empty()).then(|| service.cursor(watermark));
        if changes.records() > 0 || !unsent.is_empty() && cursor.is_some() {
            changes = send_changes(socket, service, &changes, cursor).await?;
            if cursor.is_some() {
                handle.set_delivered_up_to(watermark);
            }
        }
        unsent.clear();
        if !full {
            break;
        }
    }
    Box::pin(flush_look_ups(socket, service, handle, &look_ups, changes)).await?;
    Ok(true)
}

/// Looks profiles up, and flushes those that the session may see and does not have.
async fn flush_look_ups<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
    look_ups: &[(&UserRef, &RecordKinds)],
    mut changes: Changes,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for some in look_ups.chunks(LOOKED_UP) {
        let accounts: Vec<_> = some.iter().map(|(user, _)| user.account().clone()).collect();
        for account in &accounts {
            handle.hold(account);
        }
        for profile in Box::pin(service.profiles(handle, &accounts)).await? {
            if !handle.remember_sent(&profile.profile().account, profile.profile().version) {
                let _ = fill(&mut changes, &mut std::iter::once(Record::Profile(&profile)));
            }
        }
        if changes.records() > 0 {
            changes = send_changes(socket, service, &changes, None).await?;
        }
    }
    Ok(())
}

/// Flushes which profiles the client is to drop. Before all else, since the account may have been made again.
async fn flush_forgotten<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
    marks: &DirtyMarks<UserRef>,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut changes = Changes::new(socket.encoding());
    for (user, _) in marks.iter().filter(|(_, kinds)| kinds.has(RecordKinds::FORGET)) {
        // One that is there and followed by now is kept up to date.
        let (follows, visible) = handle.view().visible_profile_of_marked(user);
        if follows && !matches!(visible, VisibleProfile::Unknown) {
            continue;
        }
        handle.release(user.account());
        changes.removed(user.account());
        if changes.size() >= FRAME {
            changes = send_changes(socket, service, &changes, None).await?;
        }
    }
    if changes.records() > 0 {
        send_changes(socket, service, &changes, None).await?;
    }
    Ok(())
}

/// The frozen copies that a session sees of accounts that it follows.
pub(super) type FrozenProfiles = HashMap<Account, Arc<EncodedProfile>>;

/// Reads the frozen copies among the marked profiles. They go out in the same place of the same frame, and with the same
/// cursor, as the profiles of accounts that do not block the session's account.
async fn frozen_profiles<'a>(
    service: &Service,
    handle: &SessionHandle,
    marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>,
) -> Result<FrozenProfiles, CloseReason> {
    let is_frozen =
        |user: &UserRef| matches!(handle.view().visible_profile_of_marked(user), (true, VisibleProfile::Frozen));
    let accounts: Vec<_> = marks.filter(|(user, _)| is_frozen(user)).map(|(user, _)| user.account().clone()).collect();
    if accounts.is_empty() {
        return Ok(FrozenProfiles::new());
    }
    let found = Box::pin(service.profiles(handle, &accounts)).await?;
    Ok(found.into_iter().map(|profile| (profile.profile().account.clone(), profile)).collect())
}

/// The type is named, because a closure in an iterator that lives across an await is not general enough to be spawned.
type IsKind = for<'a, 'b, 'c> fn(&'a (&'b UserRef, &'c RecordKinds)) -> bool;

fn is_relation((_, kinds): &(&UserRef, &RecordKinds)) -> bool {
    kinds.has_any(RELATIONS)
}

/// Returns whether a profile is sent on its own: a friend whose edge is marked brings the profile with it.
fn is_profile((_, kinds): &(&UserRef, &RecordKinds)) -> bool {
    kinds.has(RecordKinds::LOOK_UP) || kinds.has(RecordKinds::PROFILE) && !kinds.has(RecordKinds::EDGE)
}

/// Marks `unsent` again, and of everything else the kinds that come after the records. Signals are pending again too.
fn put_back<'a>(
    handle: &mut SessionHandle,
    marks: &'a DirtyMarks<UserRef>,
    unsent: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>,
) {
    // A new friend's presence is sent too.
    const LATER: [(RecordKinds, RecordKinds); 2] =
        [(PRESENCES, RecordKinds::PRESENCE), (RecordKinds::SESSIONS, RecordKinds::SESSIONS)];
    handle.put_back(unsent);
    for (marked, later) in &LATER {
        handle.put_back(marks.iter().filter(|(_, kinds)| kinds.has_any(*marked)).map(|(user, _)| (user, later)));
    }
}

/// Adds marked profiles that the session may see, until the frame is full (true) or there are no more (false). Those
/// that neither the registry nor `frozen` has go to `look_ups`.
pub(super) fn fill_profiles<'a>(
    changes: &mut Changes,
    view: SessionView<'_>,
    marks: &mut impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>,
    frozen: &FrozenProfiles,
    look_ups: &mut Vec<(&'a UserRef, &'a RecordKinds)>,
) -> bool {
    for (marked, kinds) in marks {
        let (follows, visible) = view.visible_profile_of_marked(marked);
        match visible {
            VisibleProfile::EncodedProfile(profile) if view.is_me(marked) => changes.me(&profile),
            VisibleProfile::EncodedProfile(profile) if follows => changes.user(&profile),
            VisibleProfile::Frozen if follows && frozen.contains_key(marked.account()) => {
                changes.user(&frozen[marked.account()]);
            }
            _ if follows || kinds.has(RecordKinds::LOOK_UP) => look_ups.push((marked, kinds)),
            _ => {}
        }
        if changes.size() >= FRAME {
            return true;
        }
    }
    false
}

async fn flush_presence<S>(
    socket: &mut ClientSocket<S>,
    handle: &SessionHandle,
    marks: &DirtyMarks<UserRef>,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let marked = marks.iter().filter(|(_, kinds)| kinds.has_any(PRESENCES));
    let view = handle.view();
    let mut presences = marked.filter_map(|(user, _)| view.presence(&view.entry(user)));
    let mut writer = FrameWriter::new(socket.encoding());
    while add_presences(&mut writer, &mut presences) {
        socket.send(&mut writer).await?;
    }
    Ok(())
}

async fn flush_sessions<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &SessionHandle,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let id = handle.session().id();
    let sessions = service.sessions(handle.account()).into_iter().map(|session| session.record(Some(id))).collect();
    let sessions = Some(v1::Sessions { sessions });
    socket.send_one(&v1::ServerFrame { sessions, ..Default::default() }).await
}

/// Sends a signal after its sender's newest profile. A friend's profile went out with the records; a stranger's goes out
/// now, unless the client has this version.
async fn flush_signal<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
    signal: &Signal,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut writer = FrameWriter::new(socket.encoding());
    if !handle.view().follows(&handle.view().entry(&signal.from)) {
        handle.hold(signal.from.account());
        for profile in service.profiles(handle, std::slice::from_ref(signal.from.account())).await? {
            if !handle.remember_sent(&profile.profile().account, profile.profile().version) {
                let mut changes = Changes::new(socket.encoding());
                changes.user(&profile);
                writer.message(|payload| changes.finish(None, payload));
            }
        }
    }
    let signalled = v1::Signalled { from: signal.from.account().to_string(), payload: signal.payload.clone() };
    writer.server(&v1::ServerFrame { signal: Some(signalled), ..Default::default() });
    socket.send(&mut writer).await
}

/// Sends a frame of records, and returns the next one, empty.
async fn send_changes<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    changes: &Changes,
    cursor: Option<Cursor>,
) -> Result<Changes, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Room for the records, and for the cursor and the frame around them.
    let mut writer = FrameWriter::with_capacity(socket.encoding(), changes.size() + 128);
    writer.message(|payload| changes.finish(cursor, payload));
    service.metrics().records.inc_by(changes.records() as u64);
    socket.send(&mut writer).await?;
    Ok(Changes::new(socket.encoding()))
}
