//! What gateways hand each other besides the log: its rows, sealed.
//!
//! Whoever carries them need not be trusted. The key comes from what only the database holds, so a message that opens is from
//! a gateway of the same database, as it was written, and nobody else can read it. It may still be late, lost or repeated.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

use super::pg_error::PgResult;
use crate::store::log_rows::PackedChanges;
use rosterd_engine::model::Revision;

/// The form of a message, and the first byte of each. Another form gets another subject, too.
const FORM: u8 = 1;
/// What the keys are for, so that nothing else which is made of the same secret has them.
const LABELS: [&[u8]; 2] = [b"rosterd batches 1 key ", b"rosterd batches 1 subject "];
/// The most bytes of changes in a message. A row with more is announced without them.
const MOST_CHANGES: usize = 512 * 1024;
/// The bytes of what precedes the changes in a message that is open: six numbers of eight bytes, and a format of two.
const HEAD: usize = 50;
/// The most bytes of a message.
pub(super) const LARGEST: usize = 1 + NONCE_LEN + HEAD + MOST_CHANGES + 16;

/// A row of the log, as a gateway hands it to others.
#[derive(Debug)]
pub(super) struct CarriedRow {
    pub epoch: i64,
    /// Which process wrote it.
    pub writer: i64,
    /// That of its batch.
    pub nonce: i64,
    /// The number of the rules about who sees what that it was decided by.
    pub rules: i64,
    /// Its first revision.
    pub first: Revision,
    /// Its last revision.
    pub last: Revision,
    /// Its changes, unless they are too many.
    pub packed: Option<PackedChanges>,
}

/// Seals rows and opens them.
pub(super) struct BatchSeal {
    key: LessSafeKey,
    subject: String,
}

impl BatchSeal {
    /// Makes the seal of a database. `system` says which one it is: a copy of it has the same secret.
    pub(super) fn new(secret: &[u8], system: &str) -> Self {
        let secret = Key::new(HMAC_SHA256, secret);
        let [key, subject] = LABELS.map(|label| sign(&secret, &[label, system.as_bytes()].concat()));
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.as_ref()).expect("as long as the cipher's key");
        let id = subject.as_ref()[..8].try_into().map_or(0, u64::from_be_bytes);
        Self { key: LessSafeKey::new(key), subject: format!("rosterd.{id:016x}.feed") }
    }

    /// Where the gateways of this database hand each other rows.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Seals a row.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn seal(&self, row: &CarriedRow) -> PgResult<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let packed = row.packed.as_ref().filter(|packed| packed.bytes.len() <= MOST_CHANGES);
        let format = packed.map_or(0, |packed| u16::try_from(packed.format).unwrap_or_default());
        let changes = packed.filter(|_| format > 0).map_or(&[][..], |packed| &packed.bytes);
        let mut sealed = Vec::with_capacity(HEAD + changes.len() + 16);
        for number in [row.epoch, row.writer, row.nonce, row.rules] {
            sealed.extend(number.to_be_bytes());
        }
        sealed.extend(row.first.to_be_bytes());
        sealed.extend(row.last.to_be_bytes());
        sealed.extend(format.to_be_bytes());
        sealed.extend(changes);
        let aad = Aad::from([FORM]);
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .expect("shorter than the cipher's limit");
        Ok([&[FORM][..], &nonce, &sealed].concat())
    }

    /// Opens a message; `None` if no gateway of this database has sealed it like that.
    pub(super) fn open(&self, message: &[u8]) -> Option<CarriedRow> {
        let (form, rest) = message.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        if message.len() > LARGEST || *form != FORM {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = &*self.key.open_in_place(nonce, Aad::from([FORM]), &mut sealed).ok()?;
        let (head, changes) = opened.split_at_checked(HEAD)?;
        let number = |at: usize| head[at * 8..][..8].try_into().map_or(0, u64::from_be_bytes);
        let format = u16::from_be_bytes([head[HEAD - 2], head[HEAD - 1]]);
        Some(CarriedRow {
            epoch: number(0).cast_signed(),
            writer: number(1).cast_signed(),
            nonce: number(2).cast_signed(),
            rules: number(3).cast_signed(),
            first: number(4),
            last: number(5),
            packed: (format > 0).then(|| PackedChanges { format: format.into(), bytes: changes.to_vec() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: Vec<u8>) -> CarriedRow {
        let packed = Some(PackedChanges { format: 2, bytes });
        CarriedRow { epoch: -5, writer: 7, nonce: i64::MIN, rules: 3, first: 41, last: 44, packed }
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_database_alone_and_only_as_it_was() {
        let seal = BatchSeal::new(b"secret", "1/2/3");
        let message = seal.seal(&row(b"abc".to_vec())).unwrap();
        let opened = BatchSeal::new(b"secret", "1/2/3").open(&message).unwrap();
        let CarriedRow { epoch, writer, nonce, rules, first, last, packed } = opened;
        assert_eq!((epoch, writer, nonce, rules, first, last), (-5, 7, i64::MIN, 3, 41, 44));
        assert_eq!(packed.map(|packed| (packed.format, packed.bytes)), Some((2, b"abc".to_vec())));
        assert!(!message.windows(3).any(|part| part == b"abc"), "nobody reads it on the way");
        for other in [BatchSeal::new(b"secret", "1/2/4"), BatchSeal::new(b"Secret", "1/2/3")] {
            assert!(other.open(&message).is_none());
            assert_ne!(other.subject(), seal.subject());
        }
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert!(seal.open(&changed).is_none(), "{at}");
            assert!(seal.open(&message[..at]).is_none(), "{at}");
        }
        assert!(seal.open(&[&message[..], b"x"].concat()).is_none());
        assert!(seal.open(&vec![FORM; LARGEST + 1]).is_none());
    }

    #[test]
    fn a_row_that_is_too_large_is_announced_without_its_changes() {
        let seal = BatchSeal::new(b"secret", "1/2/3");
        let largest = seal.seal(&row(vec![1; MOST_CHANGES])).unwrap();
        assert_eq!(largest.len(), LARGEST);
        assert!(seal.open(&largest).unwrap().packed.is_some());
        let message = seal.seal(&row(vec![1; MOST_CHANGES + 1])).unwrap();
        assert!(message.len() < 100);
        let opened = seal.open(&message).unwrap();
        assert_eq!((opened.first, opened.last, opened.packed.is_none()), (41, 44, true));
    }
}
