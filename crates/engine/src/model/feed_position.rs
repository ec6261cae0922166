//! The position of a reader of the change feed. It is opaque to readers.

use std::fmt;
use std::str::FromStr;

use super::{LogHistory, Revision, SeenNumber};

/// How far a reader has come: it has all events of the changes up to a revision, and the presence transitions up to a
/// number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPosition {
    /// The log that it belongs to.
    pub history: LogHistory,
    /// The revision.
    pub revision: Revision,
    /// If more events of that change follow: the number of the last one that the reader has.
    pub index: Option<u32>,
    /// The presence transitions that the reader has, or that newer ones of the same accounts replaced.
    pub seen: SeenNumber,
}

impl FeedPosition {
    /// The revision after which the log is read.
    #[must_use]
    pub fn after(&self) -> Revision {
        self.revision.saturating_sub(u64::from(self.index.is_some()))
    }

    /// Whether the reader has this event.
    #[must_use]
    pub fn has(&self, revision: Revision, index: u32) -> bool {
        match self.index {
            Some(last) if revision == self.revision => index <= last,
            _ => revision <= self.revision,
        }
    }
}

impl fmt::Display for FeedPosition {
    /// `HISTORY-REVISION[.INDEX]-SEEN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}-{}.{index}-{}", self.history, self.revision, self.seen),
            None => write!(f, "{}-{}-{}", self.history, self.revision, self.seen),
        }
    }
}

impl FromStr for FeedPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let (Some(history), Some(at), Some(seen), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let (revision, index) = at.split_once('.').map_or((at, None), |(revision, index)| (revision, Some(index)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(revision) || !digits(seen) || index.is_some_and(|index| !digits(index)) {
            return Err(());
        }
        let index = index.map(str::parse).transpose().map_err(drop)?;
        let [revision, seen] = [revision, seen].map(|number| number.parse().map_err(drop));
        Ok(Self { history: history.parse()?, revision: revision?, index, seen: seen? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(history: u64, revision: u64, index: Option<u32>, seen: u64) {
            let position = FeedPosition { history: LogHistory(history), revision, index, seen };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<FeedPosition>();
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "now",
            "0-1-0",
            "000000000000000a-1",
            "000000000000000a-1-",
            "000000000000000a-1-+1",
            "000000000000000a-1-99999999999999999999",
            "000000000000000a-+1-0",
            "000000000000000a-1.-0",
            "000000000000000a-1.+2-0",
            "000000000000000a-1-0-0",
            "000000000000000A-1-0",
        ] {
            assert_eq!(text.parse::<FeedPosition>(), Err(()), "{text}");
        }
    }

    #[test]
    fn a_position_within_a_change_has_a_part_of_its_events() {
        let position = |index| FeedPosition { history: LogHistory(1), revision: 5, index, seen: 0 };
        assert_eq!((position(None).after(), position(Some(1)).after()), (5, 4));
        assert!(position(None).has(5, 9) && !position(None).has(6, 0));
        assert!(position(Some(1)).has(4, 9) && position(Some(1)).has(5, 1) && !position(Some(1)).has(5, 2));
    }
}
