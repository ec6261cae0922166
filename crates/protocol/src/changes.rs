//! The `changes` push, joined from records that are encoded already.
//!
//! The frames of a flush or a catch-up differ for every session, but their records do not, so a frame is joined from
//! their bytes. The result equals an encoded [`crate::v1::Changes`]; a test compares the two.

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::Serialize;

use super::{EncodedProfile, Encoding, v1};
use rosterd_engine::model::{Account, Block, Cursor, Edge, Request};

// The field numbers of the schema; the test below fails if they change.
const FRAME_CHANGES: u32 = 32;
const ME: u32 = 1;
const USERS: u32 = 2;
const FRIENDS: u32 = 3;
const REMOVED: u32 = 4;
const REQUESTS: u32 = 5;
const BLOCKS: u32 = 6;
const CURSOR: u32 = 7;

/// A `changes` frame being filled.
#[derive(Debug)]
pub struct Changes {
    encoding: Encoding,
    me: Vec<u8>,
    users: Vec<u8>,
    friends: Vec<u8>,
    removed: Vec<u8>,
    requests: Vec<u8>,
    blocks: Vec<u8>,
    records: usize,
}

impl Changes {
    /// Makes an empty frame.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        let (me, users, friends, removed, requests, blocks) = Default::default();
        Self { encoding, me, users, friends, removed, requests, blocks, records: 0 }
    }

    /// Empties the frame for another one, and keeps its capacity.
    pub fn clear(&mut self, encoding: Encoding) {
        let lists =
            [&mut self.me, &mut self.users, &mut self.friends, &mut self.removed, &mut self.requests, &mut self.blocks];
        lists.into_iter().for_each(Vec::clear);
        (self.encoding, self.records) = (encoding, 0);
    }

    /// Adds the receiver's own profile.
    pub fn me(&mut self, profile: &EncodedProfile) {
        put(self.encoding, &mut self.me, ME, profile.bytes(self.encoding));
        self.records += 1;
    }

    /// Adds another user's profile.
    pub fn user(&mut self, profile: &EncodedProfile) {
        put(self.encoding, &mut self.users, USERS, profile.bytes(self.encoding));
        self.records += 1;
    }

    /// Adds a friend record.
    pub fn friend(&mut self, edge: &Edge) {
        encode(self.encoding, &mut self.friends, FRIENDS, &v1::Friend::from(edge));
        self.records += 1;
    }

    /// Adds an account that left the friend list.
    pub fn removed(&mut self, account: &Account) {
        match self.encoding {
            // No character of an account needs an escape.
            Encoding::Json => put(self.encoding, &mut self.removed, REMOVED, format!("\"{account}\"").as_bytes()),
            Encoding::Protobuf => put(self.encoding, &mut self.removed, REMOVED, account.as_str().as_bytes()),
        }
        self.records += 1;
    }

    /// Adds the receiver's copy of a request.
    pub fn request(&mut self, request: &Request) {
        encode(self.encoding, &mut self.requests, REQUESTS, &v1::Request::from(request));
        self.records += 1;
    }

    /// Adds a block that the receiver owns.
    pub fn block(&mut self, block: &Block) {
        encode(self.encoding, &mut self.blocks, BLOCKS, &v1::BlockRecord::from(block));
        self.records += 1;
    }

    /// Returns the number of records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Returns the size of the records, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lists().into_iter().map(Vec::len).sum()
    }

    /// Returns the lists in the order of the schema.
    fn lists(&self) -> [&Vec<u8>; 6] {
        [&self.me, &self.users, &self.friends, &self.removed, &self.requests, &self.blocks]
    }

    /// Appends the frame to `out`.
    pub fn finish(&self, cursor: Option<Cursor>, out: &mut Vec<u8>) {
        let cursor = cursor.map(|c| c.to_string());
        match self.encoding {
            Encoding::Json => self.finish_json(cursor.as_deref(), out),
            Encoding::Protobuf => self.finish_protobuf(cursor.as_deref(), out),
        }
    }

    fn finish_json(&self, cursor: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"changes\":{");
        let mut separator: &[u8] = b"";
        let around: [(&[u8], &[u8]); 6] = [
            (b"\"me\":", b""),
            (b"\"users\":[", b"]"),
            (b"\"friends\":[", b"]"),
            (b"\"removed\":[", b"]"),
            (b"\"requests\":[", b"]"),
            (b"\"blocks\":[", b"]"),
        ];
        for (records, (open, close)) in self.lists().into_iter().zip(around).filter(|(list, _)| !list.is_empty()) {
            for part in [separator, open, records, close] {
                out.extend_from_slice(part);
            }
            separator = b",";
        }
        if let Some(cursor) = cursor {
            for part in [separator, b"\"cursor\":\"", cursor.as_bytes(), b"\""] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"}}");
    }

    fn finish_protobuf(&self, cursor: Option<&str>, out: &mut Vec<u8>) {
        let mut tail = Vec::new();
        if let Some(cursor) = cursor {
            put(Encoding::Protobuf, &mut tail, CURSOR, cursor.as_bytes());
        }
        encode_key(FRAME_CHANGES, WireType::LengthDelimited, out);
        encode_varint((self.size() + tail.len()) as u64, out);
        for part in self.lists().into_iter().chain([&tail]) {
            out.extend_from_slice(part);
        }
    }
}

/// Encodes one record and appends it to its list.
fn encode(encoding: Encoding, list: &mut Vec<u8>, tag: u32, record: &(impl Message + Serialize)) {
    begin(encoding, list, tag, || record.encoded_len());
    encoding.encode(record, list);
}

/// Appends one encoded record to its list.
fn put(encoding: Encoding, list: &mut Vec<u8>, tag: u32, record: &[u8]) {
    // The record, and before it a comma, or a key and a length.
    list.reserve(record.len() + 8);
    begin(encoding, list, tag, || record.len());
    list.extend_from_slice(record);
}

/// Appends the separator, or key and length, before a record of this length.
fn begin(encoding: Encoding, list: &mut Vec<u8>, tag: u32, length: impl FnOnce() -> usize) {
    match encoding {
        Encoding::Json if list.is_empty() => {}
        Encoding::Json => list.push(b','),
        Encoding::Protobuf => {
            encode_key(tag, WireType::LengthDelimited, list);
            encode_varint(length() as u64, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::{Epoch, Gender, Profile, RequestSide, RequestState};
    use std::sync::Arc;

    fn encoded(name: &str) -> EncodedProfile {
        let account = Account::parse(name, "account").unwrap();
        EncodedProfile::new(Arc::new(Profile {
            nick: "\"n\u{1}ück\"\n".into(),
            gender: Gender::Female,
            custom: "{type: 'x'}".into(),
            ..Profile::new(account, 3, 5)
        }))
    }

    fn request(state: RequestState) -> Request {
        Request {
            sender: Account::stored("a").unwrap(),
            receiver: Account::stored("b").unwrap(),
            message: "\"hi\"\n漢".into(),
            state,
            side: RequestSide::Sender,
            create_time: 5,
            update_time: 6,
            version: 7,
        }
    }

    /// Makes the same frame twice, joined from these numbers of records, and as a message.
    fn both(encoding: Encoding, me: bool, lists: [usize; 5]) -> (Changes, v1::Changes) {
        let (mut joined, mut message) = (Changes::new(encoding), v1::Changes::default());
        let edge = Edge {
            alias: "ä\\".into(),
            ..Edge::new(Account::stored("a").unwrap(), Account::stored("b").unwrap(), 4, 5)
        };
        let [users, friends, removed, requests, blocks] = lists;
        if me {
            joined.me(&encoded("me"));
            message.me = Some(v1::User::from(&**encoded("me").profile()));
        }
        for _ in 0..users {
            joined.user(&encoded("b"));
            message.users.push(v1::User::from(&**encoded("b").profile()));
        }
        for _ in 0..friends {
            joined.friend(&edge);
            message.friends.push(v1::Friend::from(&edge));
        }
        for _ in 0..removed {
            joined.removed(&edge.peer);
            message.removed.push("b".into());
        }
        for n in 0..requests {
            let side = [RequestSide::Sender, RequestSide::Receiver][n % 2];
            let request = Request { side, ..request([RequestState::Open, RequestState::Expired][n % 2]) };
            joined.request(&request);
            message.requests.push(v1::Request::from(&request));
        }
        for n in 0..blocks {
            let (owner, peer) = (Account::stored("a").unwrap(), Account::stored("b").unwrap());
            let block = Block { owner, peer, removed: n > 0, last_seen: 0, create_time: 1, update_time: 2, version: 8 };
            joined.block(&block);
            message.blocks.push(v1::BlockRecord::from(&block));
        }
        (joined, message)
    }

    #[test]
    fn joined_bytes_equal_the_encoded_message() {
        let cursor = Cursor { epoch: Epoch(1), watermark: 9 };
        for encoding in Encoding::ALL {
            for (me, lists, with_cursor) in [
                (true, [2, 1, 2, 2, 2], true),
                (false, [1, 0, 0, 0, 0], true),
                (false, [0, 0, 1, 0, 0], false),
                (false, [0, 0, 0, 1, 0], true),
                (false, [0, 0, 0, 0, 1], false),
                (false, [0; 5], false),
                (true, [0; 5], false),
            ] {
                let (joined, mut message) = both(encoding, me, lists);
                message.cursor = with_cursor.then(|| cursor.to_string());
                assert_eq!(joined.records(), lists.iter().sum::<usize>() + usize::from(me));
                let (mut actual, mut expected) = (Vec::new(), Vec::new());
                joined.finish(with_cursor.then_some(cursor), &mut actual);
                let frame = v1::ServerFrame { changes: Some(message.clone().into()), ..Default::default() };
                encoding.encode(&frame, &mut expected);
                assert_eq!(String::from_utf8_lossy(&actual), String::from_utf8_lossy(&expected));
                assert_eq!(encoding.decode_server(&actual).unwrap().changes, Some(message.into()));
            }
        }
    }
}
