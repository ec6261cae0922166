//! Reads the lines of an import, and batches of users.
//!
//! A line is `{"user": {"account": "alice", "nick": "Alice"}}`, `{"friendship": ["alice", "bob"]}`, or
//! `{"block": ["alice", "mallory"]}`, where the first account blocks the second; or it is a record of a snapshot, which
//! `import_records` reads.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::parse;
use super::strict::known_fields;
use super::{fields, import_records, v1};
use rosterd_engine::model::limits::ACCOUNTS_PER_BATCH;
use rosterd_engine::model::{Account, Command, Reason, RequestError};

/// Reads a line.
///
/// If the account exists, fields that are not given stay as they are.
///
/// # Errors
/// 414, with the field if there is one.
pub fn import_line(line: &str) -> Result<Command, RequestError> {
    #[derive(Deserialize)]
    struct ImportedLine<'a> {
        #[serde(borrow)]
        user: Option<&'a RawValue>,
        #[serde(borrow)]
        friendship: Option<&'a RawValue>,
        #[serde(borrow)]
        block: Option<&'a RawValue>,
        #[serde(borrow)]
        friend: Option<&'a RawValue>,
        #[serde(borrow)]
        request: Option<&'a RawValue>,
        #[serde(borrow)]
        credential: Option<&'a RawValue>,
    }
    let invalid = |message: &str| RequestError::new(Reason::InvalidArgument, message);
    let unreadable = |error: serde_json::Error| invalid(&format!("not readable as JSON: {}", place(&error)));
    known_fields::<ImportedLine<'_>>(serde_json::from_str(line).map_err(unreadable)?, &[])?;
    let line: ImportedLine<'_> = serde_json::from_str(line).map_err(unreadable)?;
    let ImportedLine { user, friendship, block, friend, request, credential } = line;
    match (user, friendship, block, friend, request, credential) {
        (Some(user), None, None, None, None, None) => import_records::user(user),
        (None, Some(friendship), None, None, None, None) => {
            let (account, peer) = pair("friendship", friendship)?;
            distinct("friendship", "cannot be a friend of itself", &account, &peer)?;
            Ok(Command::Befriend { account, peer })
        }
        (None, None, Some(block), None, None, None) if block.get().starts_with('{') => import_records::block(block),
        (None, None, Some(block), None, None, None) => {
            let (account, peer) = pair("block", block)?;
            distinct("block", "cannot block itself", &account, &peer)?;
            Ok(Command::Block { account, peer, if_version: None })
        }
        (None, None, None, Some(friend), None, None) => import_records::friend(friend),
        (None, None, None, None, Some(request), None) => import_records::request(request),
        (None, None, None, None, None, Some(credential)) => import_records::credential(credential),
        _ => {
            Err(invalid("a line holds either \"user\" or \"friendship\" or \"block\", or another record of an export"))
        }
    }
}

/// Reads a batch: `{"users": [{"account": "alice", "nick": "Alice", "ifVersion": 3}, …]}`.
///
/// `"create": true` allows a new account. There is one command for each user, in order.
///
/// # Errors
/// 414 with the field, 419 for more than [`ACCOUNTS_PER_BATCH`].
pub fn batch(body: &[u8]) -> Result<Vec<Command>, RequestError> {
    #[derive(Deserialize)]
    struct ProfileBatch<'a> {
        #[serde(borrow)]
        users: Vec<&'a RawValue>,
    }
    let body: &RawValue =
        serde_json::from_slice(body).map_err(|_| RequestError::new(Reason::InvalidArgument, "the body is not JSON"))?;
    known_fields::<ProfileBatch<'_>>(body, &[])?;
    let ProfileBatch { users } = parse("body", body)?;
    if users.len() > ACCOUNTS_PER_BATCH {
        let message = format!("users names {}, at most {ACCOUNTS_PER_BATCH} at a time", users.len());
        return Err(RequestError::new(Reason::LimitExceeded, message).field("users"));
    }
    let mut seen = HashSet::new();
    let commands = users.into_iter().enumerate().map(|(at, user)| {
        let command = batch_user(user, &mut seen);
        command.map_err(|error| match error.field.as_deref() {
            None | Some("user") => error.field(format!("users[{at}]")),
            Some(field) => {
                let field = format!("users[{at}].{field}");
                error.field(field)
            }
        })
    });
    commands.collect()
}

fn batch_user(user: &RawValue, seen: &mut HashSet<Account>) -> Result<Command, RequestError> {
    #[derive(Deserialize)]
    struct BatchedUser {
        account: String,
        #[serde(default, deserialize_with = "super::or_default")]
        create: bool,
    }
    known_fields::<v1::UpdateMyInfo>(user, &["account", "create"])?;
    let BatchedUser { account, create } = parse("user", user)?;
    let account = Account::parse(&account, "account")?;
    if !seen.insert(account.clone()) {
        let message = format!("account \"{account}\" is named twice");
        return Err(RequestError::new(Reason::InvalidArgument, message).field("account"));
    }
    let update: v1::UpdateMyInfo = parse("user", user)?;
    let if_version = update.if_version;
    Ok(Command::SetProfile { account, patch: fields(update)?.check()?, create, if_version })
}

fn pair(field: &'static str, accounts: &RawValue) -> Result<(Account, Account), RequestError> {
    let wrong = |_| RequestError::new(Reason::InvalidArgument, format!("{field}: expected two accounts")).field(field);
    let [account, peer]: [String; 2] = serde_json::from_str(accounts.get()).map_err(wrong)?;
    Ok((Account::parse(&account, field)?, Account::parse(&peer, field)?))
}

fn distinct(field: &'static str, what: &str, account: &Account, peer: &Account) -> Result<(), RequestError> {
    if account == peer {
        return Err(RequestError::new(Reason::InvalidArgument, format!("\"{account}\" {what}")).field(field));
    }
    Ok(())
}

/// Returns where reading failed; serde's own text may quote what it found.
fn place(error: &serde_json::Error) -> String {
    format!("column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_or_its_error_says_what_is_wrong() {
        assert!(matches!(
            import_line(r#"{"user": {"account": "alice", "nick": "Alice", "gender": "female"}}"#),
            Ok(Command::SetProfile { account, create: true, .. }) if account.as_str() == "alice"
        ));
        assert!(matches!(import_line(r#"{"friendship": ["alice", "bob"]}"#), Ok(Command::Befriend { .. })));
        assert!(matches!(
            import_line(r#"{"block": ["alice", "bob"]}"#),
            Ok(Command::Block { account, peer, .. }) if account.as_str() == "alice" && peer.as_str() == "bob"
        ));
        assert!(matches!(
            import_line(r#"{"user": {"account": "a", "version": 3, "updateTime": 2}}"#),
            Ok(Command::SetProfile { .. })
        ));
        assert!(matches!(
            import_line(r#"{"user": {"account": "a", "createTime": 7, "invisible": true, "lastSeen": 8}}"#),
            Ok(Command::AdoptUser { create_time: Some(7), invisible: Some(true), last_seen: Some(8), .. })
        ));
        for (line, says) in [
            ("", "not readable as JSON"),
            ("{", "not readable as JSON"),
            ("{}", "either"),
            (r#"{"user": {}, "friendship": []}"#, "either"),
            (r#"{"usr": {}}"#, "there is no field \"usr\"; did you mean user?"),
            (r#"{"user": {"account": "a", "nickname": "x"}}"#, "there is no field \"nickname\"; did you mean nick?"),
            (r#"{"user": {"nick": "x"}}"#, "account"),
            (r#"{"user": {"account": "a b"}}"#, "account must be"),
            (r#"{"user": {"account": "a", "birth": "soon"}}"#, "birth must be"),
            (r#"{"user": {"account": "a", "nick": 7}}"#, "nick: expected a string"),
            (r#"{"friendship": ["a"]}"#, "two accounts"),
            (r#"{"friendship": ["a", "a"]}"#, "itself"),
            (r#"{"block": ["a", "a"]}"#, "\"a\" cannot block itself"),
            (r#"{"block": "a"}"#, "block: expected two accounts"),
            (r#"{"block": ["a", "b c"]}"#, "block must be"),
            (r#"{"block": ["a", "b"], "friendship": ["a", "b"]}"#, "either"),
            (r#"{"user": {"account": "a", "createTime": "soon"}}"#, "createTime: expected u64"),
            (r#"{"user": {"account": "a", "lastSeen": 253402300800000}}"#, "lastSeen must be milliseconds since 1970"),
            (r#"{"friend": ["a", "b"]}"#, "friend: expected an object"),
            (r#"{"friend": {"owner": "a"}}"#, "missing field `peer`"),
            (r#"{"friend": {"owner": "a", "peer": "a"}}"#, "\"a\" is named twice"),
            (r#"{"friend": {"owner": "a", "peer": "b", "note": "x"}}"#, "there is no field \"note\""),
            (r#"{"friend": {"owner": "a", "peer": "b", "alias": "\u0000"}}"#, "alias"),
            (r#"{"request": {"sender": "a", "receiver": "b", "state": "accepted"}}"#, "state must be open"),
            (r#"{"request": {"sender": "a", "receiver": "b c"}}"#, "receiver must be"),
            (r#"{"block": {"owner": "a", "peer": "b", "frozen": {"birth": "soon"}}}"#, "birth must be"),
            (r#"{"block": {"owner": "a", "peer": "b", "frozen": {"account": "a"}}}"#, "no field \"account\""),
            (
                r#"{"credential": {"account": "a", "token": {"salt": "0", "hash": "0", "issued": 1}}}"#,
                "token must have",
            ),
            (r#"{"friend": {"owner": "a", "peer": "b"}, "user": {"account": "a"}}"#, "either"),
        ] {
            let message = import_line(line).unwrap_err().message;
            assert!(message.contains(says), "{line}: {message}");
        }
    }
}
