//! What logins read.

use super::friend_lists::{self, AskedRows};
use super::{EXTENT, SNAPSHOT, credentials, relations};
use crate::store::postgres::session::{Call, call};

/// Reads what these logins need, all of one snapshot: the extent of the history, credentials, friends,
/// requests, and blocks.
pub(in crate::store::postgres) fn calls(asked: &[AskedRows], limit: usize) -> [Call; 7] {
    [
        call!(SNAPSHOT),
        call!(EXTENT),
        credentials::credentials(asked.iter().map(|asked| &asked.owner)),
        friend_lists::listed(asked, limit),
        relations::requests(asked),
        relations::blocks(asked, limit),
        call!("COMMIT"),
    ]
}
