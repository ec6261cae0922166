//! Fills frames with records, up to a frame's size, and with presences.

use super::frame_writer::FrameWriter;
use crate::hub::PresenceView;
use crate::service::{Record, presence_record};
use rosterd_protocol::{Changes, v1};

/// Record bytes after which a `changes` frame is full. A client's receive buffer need not be larger than a frame.
pub(super) const FRAME: usize = 16 * 1024;
/// The most presences in a frame.
const PRESENCES: usize = 150;

/// Adds records until the frame is full (true) or there are no more (false).
pub(super) fn fill<'a>(changes: &mut Changes, records: &mut impl Iterator<Item = Record<'a>>) -> bool {
    for record in records {
        match record {
            Record::Removed(account) => changes.removed(account),
            Record::Friend(edge, profile) => {
                changes.friend(edge);
                changes.user(profile);
            }
            Record::Profile(profile) => changes.user(profile),
            Record::Request(request) => changes.request(request),
            Record::Block(block) => changes.block(block),
        }
        if changes.size() >= FRAME {
            return true;
        }
    }
    false
}

/// Adds a frame of presences. Returns false if there are no more.
pub(super) fn add_presences(writer: &mut FrameWriter, presences: &mut impl Iterator<Item = PresenceView>) -> bool {
    let users: Vec<_> = presences.take(PRESENCES).map(|presence| presence_record(&presence)).collect();
    let some = !users.is_empty();
    if some {
        let presence = Some(v1::PresenceChanges { users });
        writer.server(&v1::ServerFrame { presence, ..Default::default() });
    }
    some
}
