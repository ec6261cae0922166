//! What logins read.

use super::friend_lists::{self, AskedRows};
use super::{EXTENT, SNAPSHOT, credentials, relations};
use crate::store::postgres::session::{Call, call};
use rosterd_engine::model::Account;

/// Reads what the logins of these accounts need, all of one snapshot: the extent of the history, credentials, friends,
/// requests, and blocks.
pub(in crate::store::postgres) fn calls(accounts: &[Account], asked: &[AskedRows], limit: usize) -> [Call; 7] {
    [
        call!(SNAPSHOT),
        call!(EXTENT),
        credentials::credentials(accounts),
        friend_lists::listed(asked, limit),
        relations::requests(asked),
        relations::blocks(asked, limit),
        call!("COMMIT"),
    ]
}
