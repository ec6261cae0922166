//! The form in which stores keep the change log: rows of some changes each, compressed.
//!
//! Every adapter writes these rows. Without compression the log is up to half of what a store writes; the changes of a
//! commit resemble each other.

use std::borrow::Cow;

use rosterd_engine::model::{Change, LoggedChange, Revision};
use rosterd_protocol::{MalformedChange, decode_changes, encode_changes, encode_logged};

/// The most changes and, unless one change has more, bytes of a row before it is compressed.
const MOST: (usize, usize) = (1000, 256 * 1024);
/// `rosterd.feed.v1.Changes` as it is. Every row of earlier releases has this form, and one that compression makes no
/// smaller.
const PLAIN: i64 = 1;
/// The same compressed with LZ4, behind its length in four bytes, the lowest first.
const COMPRESSED: i64 = 2;
/// The same backwards. No release writes it: it is what the next form has besides, in builds that test an upgrade to that.
const NEXT: i64 = 3;
/// The newest form of the whole log that this release reads, where several gateways write one. A form is a set of formats of
/// rows and of kinds of changes. A release that brings a new one reads it, and writes the one before: the next may write it.
///
/// No setting and no feature changes it, only a flag of the compiler that `tests/upgrade` gives to builds of its own.
pub const READ_FORM: i32 = if cfg!(rosterd_reads_next_form) { 2 } else { 1 };
/// The form that this release writes, at most [`READ_FORM`].
pub const WRITTEN_FORM: i32 = if cfg!(rosterd_writes_next_form) { 2 } else { 1 };
/// Fewer bytes than this are not worth compressing: they take a page whatever they are.
const SMALL: usize = 512;
/// LZ4 makes nothing smaller than by this factor. So a length that was damaged takes no memory.
const BEST_RATIO: usize = 255;

/// A row of the log.
#[derive(Debug)]
pub struct LogRow {
    /// The revisions of its first and last change.
    pub span: (Revision, Revision),
    /// Its changes, packed.
    pub packed: PackedChanges,
}

/// Changes as a row holds them.
#[derive(Debug)]
pub struct PackedChanges {
    /// The form of the bytes.
    pub format: i64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl PackedChanges {
    fn new(encoded: Vec<u8>) -> Self {
        if cfg!(rosterd_writes_next_form) {
            return Self { format: NEXT, bytes: encoded.into_iter().rev().collect() };
        }
        if encoded.len() < SMALL {
            return Self { format: PLAIN, bytes: encoded };
        }
        let compressed = lz4_flex::block::compress_prepend_size(&encoded);
        if compressed.len() < encoded.len() {
            Self { format: COMPRESSED, bytes: compressed }
        } else {
            Self { format: PLAIN, bytes: encoded }
        }
    }

    /// Packs changes that were in a log.
    #[must_use]
    pub fn of_logged(changes: &[LoggedChange]) -> Self {
        Self::new(encode_logged(changes))
    }
}

/// Puts the changes of a commit into rows.
#[must_use]
pub fn log_rows(changes: &[Change]) -> Vec<LogRow> {
    let mut rows = Vec::new();
    for changes in changes.chunks(MOST.0) {
        put_rows(&mut rows, changes);
    }
    rows
}

fn put_rows(rows: &mut Vec<LogRow>, changes: &[Change]) {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
    let encoded = encode_changes(changes);
    if encoded.len() > MOST.1 && changes.len() > 1 {
        let (half, rest) = changes.split_at(changes.len() / 2);
        put_rows(rows, half);
        return put_rows(rows, rest);
    }
    rows.push(LogRow { span: (first.revision, last.revision), packed: PackedChanges::new(encoded) });
}

/// Reads the changes of a row, and the bytes that they have when they are not compressed.
///
/// # Errors
/// The row is damaged, or of a later release.
pub fn unpack(format: i64, bytes: &[u8]) -> Result<(Vec<LoggedChange>, usize), MalformedChange> {
    let encoded = match format {
        PLAIN => Cow::Borrowed(bytes),
        COMPRESSED => {
            let (size, compressed) = lz4_flex::block::uncompressed_size(bytes).map_err(|_| MalformedChange)?;
            if size / BEST_RATIO > compressed.len() {
                return Err(MalformedChange);
            }
            Cow::Owned(lz4_flex::block::decompress(compressed, size).map_err(|_| MalformedChange)?)
        }
        NEXT if cfg!(rosterd_reads_next_form) => Cow::Owned(bytes.iter().rev().copied().collect()),
        _ => return Err(MalformedChange),
    };
    Ok((decode_changes(&encoded)?, encoded.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use rosterd_engine::model::{Account, Cause, Profile, Row, SessionId, WriteOrigin};

    fn change(revision: Revision, custom: &str) -> Change {
        let account = Account::parse("ann", "account").unwrap();
        let profile = Profile { custom: custom.into(), ..Profile::new(account, revision, 3) };
        let cause = Cause::UserUpdated(vec!["custom".into()]);
        let origin = WriteOrigin::Client(SessionId(7));
        Change { revision, time: 3, origin, cause, rows: vec![Row::Profile(Arc::new(profile))], replaced: vec![1] }
    }

    fn read(rows: &[LogRow]) -> Vec<Change> {
        let changes = rows.iter().flat_map(|row| unpack(row.packed.format, &row.packed.bytes).unwrap().0);
        changes.map(|logged| logged.change).collect()
    }

    #[test]
    fn changes_are_read_back_from_as_many_rows_as_they_need() {
        let many: Vec<_> = (1..=2500).map(|n| change(n, "x")).collect();
        let rows = log_rows(&many);
        assert_eq!(rows.iter().map(|row| row.span).collect::<Vec<_>>(), [(1, 1000), (1001, 2000), (2001, 2500)]);
        assert_eq!(read(&rows), many);
        let plain = encode_changes(&many).len();
        let packed: usize = rows.iter().map(|row| row.packed.bytes.len()).sum();
        assert!(packed * 3 < plain, "{packed} of {plain} bytes");
        // Rows of many bytes are halved, and one change is a row however large it is.
        let large: Vec<_> = (1..=4).map(|n| change(n, &"y".repeat(100_000 * n as usize))).collect();
        let rows = log_rows(&large);
        assert_eq!(rows.iter().map(|row| row.span).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3), (4, 4)]);
        assert_eq!(read(&rows), large);
        assert!(log_rows(&[]).is_empty());
    }

    #[test]
    fn what_compression_makes_no_smaller_and_rows_of_before_are_read_as_they_are() {
        let changes = [change(1, "")];
        let encoded = encode_changes(&changes);
        assert_eq!(unpack(PLAIN, &encoded).unwrap().0[0].change, changes[0]);
        assert_eq!(PackedChanges::new(b"abcdefgh".to_vec()).format, PLAIN);
    }

    #[test]
    fn nonsense_is_refused_and_takes_no_memory() {
        let row = log_rows(&[change(1, &"z".repeat(5000))]).remove(0).packed;
        assert_eq!(row.format, COMPRESSED);
        let mut lying = row.bytes.clone();
        lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        for bytes in [&lying[..], &row.bytes[..row.bytes.len() - 1], &row.bytes[..3], b""] {
            assert!(unpack(COMPRESSED, bytes).is_err());
        }
        assert!(unpack(COMPRESSED + 1, &row.bytes).is_err());
    }
}
