//! Reads the records of a snapshot or an export, for an import: what they are in another store.
//!
//! What only that store knows is passed over: versions, the times of changes, and whether a request is hidden, which
//! follows from the blocks.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::parse;
use super::strict::known_fields;
use super::{fields, v1};
use rosterd_engine::model::limits::MUTED;
use rosterd_engine::model::{
    Account, Command, Credential, FriendUpdate, Millis, Muted, Patch, Reason, Request, RequestError, StaticToken,
    TokenHash,
};

/// The last moment of the year 9999.
const LAST_TIME: Millis = 253_402_300_799_999;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdoptedUser {
    account: String,
    create_time: Option<Millis>,
    invisible: Option<bool>,
    last_seen: Option<Millis>,
    muted: Option<Vec<String>>,
}

/// Reads a user: one with what only a store knows is adopted, any other is a change to a profile.
pub(super) fn user(user: &RawValue) -> Result<Command, RequestError> {
    let ours = ["account", "createTime", "updateTime", "version", "invisible", "lastSeen", "muted"];
    known_fields::<v1::UpdateMyInfo>(user, &ours)?;
    let AdoptedUser { account, create_time, invisible, last_seen, muted } = parse("user", user)?;
    let account = Account::parse(&account, "account")?;
    let mut fields = fields(parse::<v1::UpdateMyInfo>("user", user)?)?;
    fields.muted = muted.map(|names| muted_accounts(&account, &names)).transpose()?;
    let patch = fields.check()?;
    if create_time.is_none() && invisible.is_none() && last_seen.is_none() {
        return Ok(Command::SetProfile { account, patch, create: true, if_version: None });
    }
    let (create_time, last_seen) = (time("createTime", create_time)?, time("lastSeen", last_seen)?);
    Ok(Command::AdoptUser { account, patch, create_time, invisible, last_seen })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdoptedEdge {
    owner: String,
    peer: String,
    alias: Option<String>,
    custom: Option<String>,
    create_time: Option<Millis>,
}

/// Reads one direction of a friendship.
pub(super) fn friend(edge: &RawValue) -> Result<Command, RequestError> {
    known_fields::<AdoptedEdge>(edge, &["version"])?;
    let AdoptedEdge { owner, peer, alias, custom, create_time } = parse("friend", edge)?;
    let (account, peer) = two("friend", ("owner", &owner), ("peer", &peer))?;
    let (note, create_time) = (FriendUpdate::check(alias, custom)?, time("createTime", create_time)?);
    Ok(Command::AdoptFriend { account, peer, note, create_time })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdoptedRequest {
    sender: String,
    receiver: String,
    #[serde(default)]
    message: String,
    state: Option<String>,
    create_time: Option<Millis>,
}

/// Reads a request.
pub(super) fn request(request: &RawValue) -> Result<Command, RequestError> {
    known_fields::<AdoptedRequest>(request, &["hidden", "updateTime", "version"])?;
    let AdoptedRequest { sender, receiver, message, state, create_time } = parse("request", request)?;
    let (account, peer) = two("request", ("sender", &sender), ("receiver", &receiver))?;
    if state.is_some_and(|state| state != "open") {
        return Err(invalid("state must be open: a request that is over is not imported").field("state"));
    }
    let (message, create_time) = (Request::check(message)?, time("createTime", create_time)?);
    Ok(Command::AdoptRequest { account, peer, message, create_time })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdoptedBlock<'a> {
    owner: String,
    peer: String,
    create_time: Option<Millis>,
    last_seen: Option<Millis>,
    #[serde(borrow)]
    frozen: Option<&'a RawValue>,
}

/// Reads a block.
pub(super) fn block(block: &RawValue) -> Result<Command, RequestError> {
    known_fields::<AdoptedBlock<'_>>(block, &["version"])?;
    let AdoptedBlock { owner, peer, create_time, last_seen, frozen } = parse("block", block)?;
    let (account, peer) = two("block", ("owner", &owner), ("peer", &peer))?;
    let read = |frozen| known_fields::<v1::UpdateMyInfo>(frozen, &[]).and_then(|()| frozen_patch(frozen));
    let frozen = frozen.map(read).transpose()?;
    let (create_time, last_seen) = (time("createTime", create_time)?, time("lastSeen", last_seen)?);
    Ok(Command::AdoptBlock { account, peer, create_time, last_seen, frozen })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdoptedCredential {
    account: String,
    #[serde(default)]
    revoked_before: Millis,
    token: Option<AdoptedToken>,
}

#[derive(Deserialize)]
struct AdoptedToken {
    salt: String,
    hash: String,
    issued: Millis,
}

/// Reads what is kept about an account's tokens.
pub(super) fn credential(credential: &RawValue) -> Result<Command, RequestError> {
    known_fields::<AdoptedCredential>(credential, &[])?;
    let AdoptedCredential { account, revoked_before, token } = parse("credential", credential)?;
    let account = Account::parse(&account, "account")?;
    let bad = || invalid("token must have salt and hash, of 32 and 64 hexadecimal digits").field("token");
    let token = token.map(|AdoptedToken { salt, hash, issued }| {
        let hash = TokenHash { salt: bytes(&salt).ok_or_else(bad)?, hash: bytes(&hash).ok_or_else(bad)? };
        Ok(StaticToken { hash, issued: time("issued", Some(issued))?.unwrap_or_default() })
    });
    let revoked_before = time("revokedBefore", Some(revoked_before))?.unwrap_or_default();
    Ok(Command::AdoptCredential { account, credential: Credential { revoked_before, token: token.transpose()? } })
}

/// Reads whom an account mutes. They need not exist.
fn muted_accounts(account: &Account, names: &[String]) -> Result<Muted, RequestError> {
    if names.len() > MUTED {
        return Err(invalid(&format!("muted names {}, at most {MUTED} are possible", names.len())).field("muted"));
    }
    let muted = names.iter().map(|name| Account::parse(name, "muted")).collect::<Result<Muted, _>>()?;
    if muted.has(account) {
        return Err(invalid(&format!("muted: \"{account}\" cannot mute itself")).field("muted"));
    }
    Ok(muted)
}

/// Reads the fields of a frozen profile, which has no other own fields than these.
fn frozen_patch(body: &RawValue) -> Result<Patch, RequestError> {
    let mut frozen = fields(parse::<v1::UpdateMyInfo>("frozen", body)?)?;
    frozen.own.clears_others = true;
    frozen.check()
}

fn two(
    what: &'static str,
    one: (&'static str, &str),
    other: (&'static str, &str),
) -> Result<(Account, Account), RequestError> {
    let (a, b) = (Account::parse(one.1, one.0)?, Account::parse(other.1, other.0)?);
    if a == b {
        return Err(invalid(&format!("{what}: \"{a}\" is named twice")).field(what));
    }
    Ok((a, b))
}

fn time(field: &'static str, time: Option<Millis>) -> Result<Option<Millis>, RequestError> {
    if time.is_some_and(|time| time > LAST_TIME) {
        return Err(invalid(&format!("{field} must be milliseconds since 1970, before the year 10000")).field(field));
    }
    Ok(time)
}

/// Reads bytes in hexadecimal digits.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn invalid(message: &str) -> RequestError {
    RequestError::new(Reason::InvalidArgument, message)
}
