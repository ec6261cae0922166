//! One line of an import: `{"user": {"account": "alice", "nick": "Alice"}}` or `{"friendship": ["alice", "bob"]}`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::parse;
use super::{fields, v1};
use crate::model::{Account, Command, Reason, RequestError};

/// Reads a line. A user's fields that are not given stay as they are where the account exists.
///
/// # Errors
/// 414, with the field where there is one.
pub fn import_line(line: &str) -> Result<Command, RequestError> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        user: Option<&'a RawValue>,
        #[serde(borrow)]
        friendship: Option<&'a RawValue>,
    }
    let invalid = |message: &str| RequestError::new(Reason::InvalidArgument, message);
    let line: Line<'_> =
        serde_json::from_str(line).map_err(|error| invalid(&format!("not readable as JSON: {}", place(&error))))?;
    match (line.user, line.friendship) {
        (Some(user), None) => import_user(user),
        (None, Some(pair)) => import_friendship(pair),
        _ => Err(invalid("a line holds either \"user\" or \"friendship\"")),
    }
}

fn import_user(user: &RawValue) -> Result<Command, RequestError> {
    #[derive(Deserialize)]
    struct Named {
        account: String,
    }
    let account = Account::parse(&parse::<Named>("user", user)?.account, "account")?;
    let patch = fields(parse::<v1::UpdateMyInfo>("user", user)?)?.check()?;
    Ok(Command::SetProfile { account, patch, create: true, if_version: None })
}

fn import_friendship(pair: &RawValue) -> Result<Command, RequestError> {
    let wrong = |_| RequestError::new(Reason::InvalidArgument, "friendship: expected two accounts").field("friendship");
    let [account, peer]: [String; 2] = serde_json::from_str(pair.get()).map_err(wrong)?;
    let account = Account::parse(&account, "friendship")?;
    let peer = Account::parse(&peer, "friendship")?;
    if account == peer {
        let message = format!("\"{account}\" cannot be a friend of itself");
        return Err(RequestError::new(Reason::InvalidArgument, message).field("friendship"));
    }
    Ok(Command::Befriend { account, peer })
}

/// Where reading failed; serde's own text may quote what it found.
fn place(error: &serde_json::Error) -> String {
    format!("column {}", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_or_say_what_is_wrong() {
        assert!(matches!(
            import_line(r#"{"user": {"account": "alice", "nick": "Alice", "gender": "female"}}"#),
            Ok(Command::SetProfile { account, create: true, .. }) if account.as_str() == "alice"
        ));
        assert!(matches!(import_line(r#"{"friendship": ["alice", "bob"]}"#), Ok(Command::Befriend { .. })));
        for (line, says) in [
            ("", "not readable as JSON"),
            ("{", "not readable as JSON"),
            ("{}", "either"),
            (r#"{"user": {}, "friendship": []}"#, "either"),
            (r#"{"user": {"nick": "x"}}"#, "account"),
            (r#"{"user": {"account": "a b"}}"#, "account must be"),
            (r#"{"user": {"account": "a", "birth": "soon"}}"#, "birth must be"),
            (r#"{"user": {"account": "a", "nick": 7}}"#, "nick: expected a string"),
            (r#"{"friendship": ["a"]}"#, "two accounts"),
            (r#"{"friendship": ["a", "a"]}"#, "itself"),
        ] {
            let message = import_line(line).unwrap_err().message;
            assert!(message.contains(says), "{line}: {message}");
        }
    }
}
