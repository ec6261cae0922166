//! What logins read.

use super::friend_lists::{self, AskedRows};
use super::{EXTENT, SNAPSHOT, credentials, relations, users};
use crate::store::postgres::session::{Call, call};
use rosterd_engine::model::Account;

/// Reads what these logins need, all of one snapshot: the extent of the history, credentials, friends, requests, blocks, and
/// those of the accounts themselves that are asked for.
pub(in crate::store::postgres) fn calls(asked: &[AskedRows], limit: usize, own: &[Account]) -> Vec<Call> {
    let mut calls = vec![
        call!(SNAPSHOT),
        call!(EXTENT),
        credentials::credentials(asked.iter().map(|asked| &asked.owner)),
        friend_lists::listed(asked, limit),
        relations::requests(asked),
        relations::blocks(asked, limit),
    ];
    if !own.is_empty() {
        calls.push(users::without_blocks(own));
    }
    calls.push(call!("COMMIT"));
    calls
}
