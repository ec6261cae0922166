//! The limits of the protocol, each in one place.
//!
//! Limits that an operator sets are settings instead. Those of profile fields are in
//! [`for_each_profile_field!`](crate::for_each_profile_field).

use super::Millis;

/// The most characters of an account (NIM's limit for an accid).
pub const ACCOUNT_CHARS: usize = 32;

/// The most accounts that one lookup or one batch of changes may name (NIM's limit).
pub const ACCOUNTS_PER_BATCH: usize = 150;

/// The most accounts that one session may watch.
pub const WATCHED_ACCOUNTS: usize = 500;

/// The most sessions that an account may have, and so that one command may name. A setting may ask for fewer.
pub const SESSIONS_PER_ACCOUNT: usize = 1000;

/// The most bytes of a signal's payload.
pub const SIGNAL_PAYLOAD_BYTES: usize = 4096;

/// The most friends that an account may have (NIM's highest plan).
pub const FRIENDS: u64 = 10_000;

/// The most open requests that an account may have sent, and the most that it may have to answer.
pub const REQUESTS: u64 = 100;

/// The most accounts that an account may block (NIM's limit).
pub const BLOCKS: u64 = 3_000;

/// The most accounts that an account may mute (NIM's limit).
pub const MUTED: usize = 3_000;

/// The most characters of an account's own name for a friend (NIM's limit).
pub const ALIAS_CHARS: usize = 128;

/// The most characters of what an account notes about a friend (NIM's limit).
pub const FRIEND_CUSTOM_CHARS: usize = 256;

/// The most characters of the message that goes with a request.
pub const MESSAGE_CHARS: usize = 256;

/// The most characters of a status.
pub const STATUS_CHARS: usize = 256;

/// How far ahead the end of a status may be: 366 days.
pub const STATUS_LASTS: Millis = 366 * 24 * 60 * 60 * 1000;

/// The most characters of the kind of a device that friends see.
pub const DEVICE_KIND_CHARS: usize = 16;

/// The most kinds of devices of one account that friends see.
pub const DEVICE_KINDS: usize = 8;

/// The most own fields that a deployment may have.
pub const OWN_FIELDS: usize = 32;

/// The most bytes of all own fields of one profile, as JSON.
pub const OWN_FIELD_BYTES: usize = 8192;

/// The greatest whole number up to which a JSON number is exact everywhere: 2^53 - 1.
pub const SAFE_INTEGER: i64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_documents_the_limits() {
        let schema = include_str!("../../../../proto/rosterd/v1/gateway.proto");
        let after = |text: &str, comment: &str| {
            let (_, rest) = schema.split_once(text).expect(text);
            let (message, _) = rest.split_once("\n}").expect(text);
            assert!(message.contains(comment), "{text}: {comment}");
        };
        let most = |limit: usize| format!("// At most {limit}");
        after("message GetUsers {", &most(ACCOUNTS_PER_BATCH));
        after("message Watch {", &most(WATCHED_ACCOUNTS));
        after("message AddFriend {", &most(MESSAGE_CHARS));
        after("message RequestFriend {", &most(MESSAGE_CHARS));
        after("message UpdateFriend {", &most(ALIAS_CHARS));
        after("message UpdateFriend {", &most(FRIEND_CUSTOM_CHARS));
        after("message Signal {", &format!("// At most {} KiB", SIGNAL_PAYLOAD_BYTES / 1024));
    }
}
