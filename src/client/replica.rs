//! What a client holds of its own profile, its friends and their profiles, kept by the protocol's rules: apply a
//! record only if its version is greater, stage a full sync and swap at `synced`, check count and digest.

use std::collections::BTreeMap;

use crate::sync::digest::Digest;
use crate::wire::v1;

/// What was synced does not add up: the client is to ask for everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("synced says {count} friends with digest {digest:#010x}, held are {held_count} with {held_digest:#010x}")]
pub struct SyncError {
    count: u32,
    digest: u32,
    held_count: u32,
    held_digest: u32,
}

/// The own profile, and a friend list with its profiles.
#[derive(Debug, Clone, Default, PartialEq)]
struct Lists {
    me: Option<v1::User>,
    users: BTreeMap<String, v1::User>,
    friends: BTreeMap<String, v1::Friend>,
}

/// One client's copy. Survives reconnects; a cursor says how far it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replica {
    lists: Lists,
    /// What a full sync has brought so far; until it is whole, `lists` stays as it was.
    staged: Option<Lists>,
    cursor: Option<String>,
    synced: bool,
}

impl Replica {
    /// The own profile, once known.
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

    /// What to show at the next login.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Whether the catch-up of the present connection is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// A login was answered: its catch-up begins.
    pub fn begin(&mut self, reply: &v1::LoginReply) {
        self.synced = false;
        self.staged = (reply.sync == v1::SyncMode::Full as i32).then(Lists::default);
    }

    /// Applies a frame, whatever it is; others than `changes`, `synced` and profile replies change nothing.
    ///
    /// # Errors
    /// A `synced` that does not match what is held. The cursor is dropped, so that the next login syncs in full.
    pub fn apply(&mut self, frame: &v1::ServerFrame) -> Result<(), SyncError> {
        if let Some(changes) = &frame.changes {
            self.changes(changes);
        }
        if let Some(user) = frame.update_my_info_reply.as_ref().and_then(|reply| reply.user.as_ref()) {
            self.current().own(user);
        }
        match &frame.synced {
            Some(synced) => self.synced(synced),
            None => Ok(()),
        }
    }

    /// The digest of the friend list held.
    #[must_use]
    pub fn digest(&self) -> u32 {
        self.lists.digest()
    }

    fn changes(&mut self, changes: &v1::Changes) {
        let lists = self.current();
        changes.me.iter().for_each(|me| lists.own(me));
        for account in &changes.removed {
            lists.friends.remove(account);
            lists.users.remove(account);
        }
        for friend in &changes.friends {
            let held = lists.friends.entry(friend.account.clone()).or_default();
            if friend.version > held.version {
                *held = friend.clone();
            }
        }
        for user in &changes.users {
            let held = lists.users.entry(user.account.clone()).or_default();
            if user.version > held.version {
                *held = user.clone();
            }
        }
        if let Some(cursor) = &changes.cursor {
            self.cursor = Some(cursor.clone());
        }
    }

    /// What records are applied to: during a full sync a copy of its own, for in another history of the gateway's even
    /// lower versions are right.
    fn current(&mut self) -> &mut Lists {
        self.staged.as_mut().unwrap_or(&mut self.lists)
    }

    fn synced(&mut self, synced: &v1::Synced) -> Result<(), SyncError> {
        if let Some(staged) = self.staged.take() {
            self.lists = staged;
        }
        let (held_count, held_digest) = (self.lists.friends.len() as u32, self.lists.digest());
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
    fn own(&mut self, user: &v1::User) {
        if self.me.as_ref().is_none_or(|me| user.version > me.version) {
            self.me = Some(user.clone());
        }
    }

    fn digest(&self) -> u32 {
        let mut digest = Digest::default();
        for (account, friend) in &self.friends {
            digest.add(account, friend.version, self.users.get(account).map_or(0, |user| user.version));
        }
        digest.value()
    }
}
