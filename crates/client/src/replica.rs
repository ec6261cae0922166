//! A client's copy of its records: its own profile, profiles of others, friends, requests, blocks, and presence.
//!
//! It follows the rules of the protocol: apply a record only if its version is greater, stage a full sync and swap it in
//! at `synced`, check count and digest. Presence is sent anew at every login.

use std::collections::BTreeMap;

use rosterd_engine::sync::repair::{BucketDigests, BucketSet, ListDigest};
use rosterd_protocol::v1;

/// The friend list held does not have the count and digest of `synced`, so the client must repair it or sync in full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("synced says {count} friends with digest {digest:#010x}, held are {held_count} with {held_digest:#010x}")]
pub struct SyncError {
    count: u32,
    digest: u32,
    held_count: u32,
    held_digest: u32,
}

/// The records of an account, presence aside.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lists {
    me: Option<v1::User>,
    users: BTreeMap<String, v1::User>,
    friends: BTreeMap<String, v1::Friend>,
    /// By peer and direction. Closed requests stay, so that an older record does not open them again.
    requests: BTreeMap<(String, i32), v1::Request>,
    /// Ended blocks stay for the same reason.
    blocks: BTreeMap<String, v1::BlockRecord>,
}

/// One client's copy, which survives reconnects: its cursor says how far it has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replica {
    lists: Lists,
    /// The records of an unfinished full sync or repair; `lists` does not change before it is complete.
    staged: Option<Lists>,
    presence: BTreeMap<String, v1::Presence>,
    /// The presence received since the login; `presence` does not change before the catch-up is complete.
    staged_presence: Option<BTreeMap<String, v1::Presence>>,
    sessions: Vec<v1::Session>,
    cursor: Option<String>,
    synced: bool,
}

impl Replica {
    /// The account's own profile, once received.
    #[must_use]
    pub fn me(&self) -> Option<&v1::User> {
        self.lists.me.as_ref()
    }

    /// The friends, by account.
    #[must_use]
    pub fn friends(&self) -> &BTreeMap<String, v1::Friend> {
        &self.lists.friends
    }

    /// The profiles held, by account.
    #[must_use]
    pub fn users(&self) -> &BTreeMap<String, v1::User> {
        &self.lists.users
    }

    /// The open requests, in order of the peer.
    pub fn requests(&self) -> impl Iterator<Item = &v1::Request> {
        self.lists.requests.values().filter(|request| request.state == v1::RequestState::Open as i32)
    }

    /// The blocks in force, in order of the account.
    pub fn blocks(&self) -> impl Iterator<Item = &v1::BlockRecord> {
        self.lists.blocks.values().filter(|block| !block.removed)
    }

    /// The version of the block of an account, or of the end of the last one that this replica knows of; else 0. It is
    /// what `block` and `unblock` rest on.
    #[must_use]
    pub fn block_version(&self, account: &str) -> u64 {
        self.lists.blocks.get(account).map_or(0, |block| block.version)
    }

    /// The presence of friends and of the account itself, by account. An account without an entry was never online.
    #[must_use]
    pub fn presence(&self) -> &BTreeMap<String, v1::Presence> {
        &self.presence
    }

    /// All sessions of the account; empty while this is the only one.
    #[must_use]
    pub fn sessions(&self) -> &[v1::Session] {
        &self.sessions
    }

    /// The cursor to send with the next login.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Returns whether the catch-up of this connection is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Starts the catch-up that follows a login's reply.
    pub fn begin(&mut self, reply: &v1::LoginReply) {
        self.synced = false;
        self.staged = (reply.sync == v1::SyncMode::Full as i32).then(Lists::default);
        // Nothing keeps strangers up to date before this connection watches them, and one may have been deleted.
        self.lists.users.retain(|account, _| self.lists.friends.contains_key(account));
        self.staged_presence = Some(BTreeMap::new());
        // A session that is alone receives no list.
        self.sessions.clear();
    }

    /// Applies a frame of any kind; a frame without records changes nothing.
    ///
    /// # Errors
    /// The frame is a `synced` that does not match. The cursor is dropped, so that the next login syncs in full unless a
    /// repair succeeds first.
    pub fn apply(&mut self, frame: &v1::ServerFrame) -> Result<(), SyncError> {
        if let Some(changes) = &frame.changes {
            self.changes(changes);
        }
        if let Some(user) = frame.update_my_info_reply.as_ref().and_then(|reply| reply.user.as_ref()) {
            self.current().own(user);
        }
        if let Some(update) = &frame.presence {
            let presence = self.staged_presence.as_mut().unwrap_or(&mut self.presence);
            presence.extend(update.users.iter().map(|user| (user.account.clone(), user.clone())));
        }
        if let Some(list) = &frame.sessions {
            self.sessions.clone_from(&list.sessions);
        }
        for account in frame.watch_reply.iter().flat_map(|reply| &reply.missing) {
            let lists = self.current();
            if !lists.friends.contains_key(account) {
                lists.users.remove(account);
            }
        }
        if let Some(reply) = &frame.repair_reply {
            self.staged = Some(self.lists.without(BucketSet::of(&reply.parts)));
        }
        match &frame.synced {
            Some(synced) => self.synced(synced),
            None => Ok(()),
        }
    }

    /// Computes the digest of the friend list.
    #[must_use]
    pub fn digest(&self) -> u32 {
        self.lists.sum().digest.value()
    }

    /// Computes the bucket digests of the friend list, to send with `repair` after a `synced` that does not match.
    #[must_use]
    pub fn leaves(&self) -> Vec<u32> {
        let mut buckets = BucketDigests::default();
        for (account, friend, user) in self.lists.versions() {
            buckets.add(account, friend, user);
        }
        buckets.leaves().to_vec()
    }

    fn changes(&mut self, changes: &v1::Changes) {
        let presence = self.staged_presence.as_mut().unwrap_or(&mut self.presence);
        for account in &changes.removed {
            presence.remove(account);
        }
        self.current().apply(changes);
        if let Some(cursor) = &changes.cursor {
            self.cursor = Some(cursor.clone());
        }
    }

    /// Returns the lists that records are applied to: during a full sync the staged ones, because after a restored backup
    /// even lower versions are right.
    fn current(&mut self) -> &mut Lists {
        self.staged.as_mut().unwrap_or(&mut self.lists)
    }

    fn synced(&mut self, synced: &v1::Synced) -> Result<(), SyncError> {
        if let Some(staged) = self.staged.take() {
            self.lists = staged;
        }
        match self.staged_presence.take() {
            Some(staged) => self.presence = staged,
            // A repair brings no presence, and may have removed friends.
            None => self
                .presence
                .retain(|account, presence| self.lists.friends.contains_key(account) || presence.invisible.is_some()),
        }
        let ListDigest { count: held_count, digest } = self.lists.sum();
        let held_digest = digest.value();
        if (held_count, held_digest) != (synced.count, synced.digest) {
            self.cursor = None;
            return Err(SyncError { count: synced.count, digest: synced.digest, held_count, held_digest });
        }
        self.cursor = Some(synced.cursor.clone());
        self.synced = true;
        Ok(())
    }
}

impl Lists {
    /// Applies a frame's records, each only if it is newer than the one held.
    fn apply(&mut self, changes: &v1::Changes) {
        changes.me.iter().for_each(|me| self.own(me));
        for account in &changes.removed {
            self.friends.remove(account);
            self.users.remove(account);
        }
        for friend in &changes.friends {
            if newer(&mut self.friends, friend.account.clone(), friend, |held| held.version) {
                // The profile is in this frame too, perhaps as another view with versions of its own.
                self.users.remove(&friend.account);
            }
        }
        for user in &changes.users {
            newer(&mut self.users, user.account.clone(), user, |held| held.version);
        }
        for request in &changes.requests {
            newer(&mut self.requests, (request.account.clone(), request.direction), request, |held| held.version);
        }
        for block in &changes.blocks {
            newer(&mut self.blocks, block.account.clone(), block, |held| held.version);
        }
    }

    fn own(&mut self, user: &v1::User) {
        if self.me.as_ref().is_none_or(|me| user.version > me.version) {
            self.me = Some(user.clone());
        }
    }

    /// Copies the lists without the friends in these buckets and their profiles.
    fn without(&self, buckets: BucketSet) -> Self {
        let mut copy = self.clone();
        copy.users.retain(|account, _| !(buckets.hold(account) && self.friends.contains_key(account)));
        copy.friends.retain(|account, _| !buckets.hold(account));
        copy
    }

    fn sum(&self) -> ListDigest {
        let mut sum = ListDigest::default();
        for (account, friend, user) in self.versions() {
            sum.add(account, friend, user);
        }
        sum
    }

    /// Every friend, with the versions of the relation and of the profile; 0 for a profile that is missing.
    fn versions(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let user = |account| self.users.get(account).map_or(0, |user| user.version);
        self.friends.iter().map(move |(account, friend)| (account.as_str(), friend.version, user(account)))
    }
}

/// Replaces the record held if the new one has a greater version, and returns whether it did.
fn newer<K: Ord, R: Clone>(held: &mut BTreeMap<K, R>, key: K, record: &R, version: impl Fn(&R) -> u64) -> bool {
    let newer = held.get(&key).is_none_or(|held| version(record) > version(held));
    if newer {
        held.insert(key, record.clone());
    }
    newer
}
