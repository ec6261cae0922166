//! The position of a client: its cursor, and the lineage of the store that gave it.

use std::fmt;
use std::str::FromStr;

use super::Revision;

/// The identity of a store's history.
///
/// A store that is new, or was restored to an earlier state, has another epoch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The identity of a store's history, and how far back it reaches.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lineage {
    /// The history's identity.
    pub epoch: Epoch,
    /// Tombstones up to this revision may have been dropped: a cursor below it cannot be answered with a delta.
    pub compacted: Revision,
}

/// The position up to which a client has received everything, which it shows at its next login.
///
/// Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The history that it belongs to.
    pub epoch: Epoch,
    /// The watermark when it was given: every revision up to it has been delivered.
    pub watermark: Revision,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.watermark)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, watermark) = text.split_once('-').ok_or(())?;
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
        if epoch.len() != 16 || !digits(epoch) || !digits(watermark) {
            return Err(());
        }
        let epoch = Epoch(u64::from_str_radix(epoch, 16).map_err(drop)?);
        Ok(Self { epoch, watermark: watermark.parse().map_err(drop)? })
    }
}

/// One session's id, unique among all gateways and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // An id has one written form, so that it can also be compared as text.
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits { u64::from_str_radix(text, 16).map(Self).map_err(drop) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(epoch: u64, watermark: u64) {
            let cursor = Cursor { epoch: Epoch(epoch), watermark };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn a_session_id_is_read_as_it_was_written(id: u64) {
            prop_assert_eq!(SessionId(id).to_string().parse(), Ok(SessionId(id)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Cursor>();
            let _ = text.parse::<SessionId>();
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "-",
            "0-1",
            "00000000000000zz-1",
            "0000000000000000-",
            "0000000000000000-+1",
            "0000000000000000-99999999999999999999",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
        for text in ["", "7", "00000000000000zz", "00000000000000AA", "+000000000000001", "00000000000000001"] {
            assert_eq!(text.parse::<SessionId>(), Err(()), "{text}");
        }
    }
}
