//! Fills frames: records up to a frame's size, and presences.

use super::frame_writer::FrameWriter;
use crate::hub::PresenceView;
use crate::service::{Record, presence_record};
use rosterd_engine::model::Account;
use rosterd_protocol::{Changes, v1};

/// Record bytes after which a `changes` frame is full. A client's receive buffer need not be larger than a frame.
pub(super) const FRAME: usize = 16 * 1024;
/// How many presences a frame holds at most.
const PRESENCES: usize = 150;

/// Adds records until the frame is full (true) or there are no more (false), as `viewer` is to be told them.
pub(super) fn fill<'a>(
    changes: &mut Changes,
    records: &mut impl Iterator<Item = Record<'a>>,
    viewer: &Account,
) -> bool {
    for record in records {
        match record {
            Record::Removed(account) => changes.removed(account),
            Record::Friend(edge, card) => {
                changes.friend(edge);
                changes.user(card);
            }
            Record::EncodedProfile(card) => changes.user(card),
            Record::Request(request) => changes.request(request, viewer),
            Record::Block(block) => changes.block(block),
        }
        if changes.size() >= FRAME {
            return true;
        }
    }
    false
}

/// Adds a frame of presences; false if there are no more.
pub(super) fn add_presences(out: &mut FrameWriter, seen: &mut impl Iterator<Item = PresenceView>) -> bool {
    let users: Vec<_> = seen.take(PRESENCES).map(|seen| presence_record(&seen)).collect();
    let some = !users.is_empty();
    if some {
        let presence = Some(v1::PresenceChanges { users });
        out.server(&v1::ServerFrame { presence, ..Default::default() });
    }
    some
}
