//! What everyone should see, worked out from the list of what was committed and by nothing of the engine: maps and
//! sets, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};

use rosterd_engine::model::{Command, Edge, Millis, Profile};
use rosterd_protocol::v1;

use crate::disk::Committed;

/// A card's fields as far as the histories change them: nick and avatar for everyone, tel for friends, custom for
/// oneself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncodedProfile {
    pub nick: String,
    /// How long it is: of many characters, to fill frames.
    pub avatar: usize,
    pub tel: String,
    pub custom: String,
}

impl EncodedProfile {
    fn for_friends(&self) -> Self {
        Self { custom: String::new(), ..self.clone() }
    }

    fn for_everyone(&self) -> Self {
        Self { tel: String::new(), ..self.for_friends() }
    }

    pub fn of(user: &v1::User) -> Self {
        Self {
            nick: user.nick.clone(),
            avatar: user.avatar.chars().count(),
            tel: user.tel.clone(),
            custom: user.custom.clone(),
        }
    }
}

/// What one account's clients should hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    pub me: EncodedProfile,
    /// Friends, with what the account notes about them.
    pub friends: BTreeMap<String, (String, EncodedProfile)>,
    /// Open requests: the other side, and whether it is the one that asks.
    pub requests: BTreeSet<(String, bool)>,
    pub blocks: BTreeSet<String>,
    /// Of the accounts asked for, those that exist.
    pub watched: BTreeMap<String, EncodedProfile>,
    /// Friends who show as online, if they are.
    pub shows: BTreeMap<String, bool>,
}

impl Expected {
    /// Where two differ, in words; empty if they do not.
    pub fn differences(&self, held: &Self) -> String {
        let mut text = String::new();
        let mut compare = |what, expected: &dyn Debug, held: &dyn Debug| {
            let (expected, held) = (format!("{expected:?}"), format!("{held:?}"));
            if expected != held {
                let _ = writeln!(text, "  {what}: {held}\n  and not {expected}");
            }
        };
        compare("me", &self.me, &held.me);
        compare("friends", &self.friends, &held.friends);
        compare("requests", &self.requests, &held.requests);
        compare("blocks", &self.blocks, &held.blocks);
        compare("watched", &self.watched, &held.watched);
        compare("shows", &self.shows, &held.shows);
        text
    }
}

#[derive(Debug, Default)]
struct User {
    profile: Option<Profile>,
    invisible: bool,
}

#[derive(Debug)]
struct Request {
    hidden: bool,
    made: Millis,
}

/// The state after a list of commits.
#[derive(Debug, Default)]
pub struct Model {
    users: BTreeMap<String, User>,
    /// By owner and friend, what is noted; both directions are always there.
    friends: BTreeMap<(String, String), String>,
    /// Open ones, by sender and receiver.
    requests: BTreeMap<(String, String), Request>,
    /// By owner and blocked, the owner's card as it was then.
    blocks: BTreeMap<(String, String), EncodedProfile>,
    /// Everyone who ever had to do with an account.
    related: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    pub fn of(log: &[Committed]) -> Self {
        let mut model = Self::default();
        for committed in log {
            for command in &committed.commands {
                model.apply(command, committed.now);
            }
        }
        model
    }

    pub fn exists(&self, account: &str) -> bool {
        self.users.contains_key(account)
    }

    /// How many accounts a session of this one can have to be told of, besides those that it watches or is hinted.
    pub fn related(&self, account: &str) -> BTreeSet<String> {
        self.related.get(account).cloned().unwrap_or_default()
    }

    pub fn card(&self, account: &str) -> EncodedProfile {
        let profile = self.users.get(account).and_then(|user| user.profile.as_ref());
        let text = |text: &str| text.to_owned();
        profile.map_or_else(EncodedProfile::default, |p| EncodedProfile {
            nick: text(&p.nick),
            avatar: p.avatar.chars().count(),
            tel: text(&p.tel),
            custom: text(&p.custom),
        })
    }

    /// What `viewer` sees of an account: what it was before a block, if there is one.
    fn seen(&self, viewer: &str, account: &str) -> EncodedProfile {
        let frozen = self.blocks.get(&(account.to_owned(), viewer.to_owned()));
        let card = frozen.cloned().unwrap_or_else(|| self.card(account));
        let friends = self.friends.contains_key(&(viewer.to_owned(), account.to_owned()));
        if friends { card.for_friends() } else { card.for_everyone() }
    }

    pub fn expected(&self, account: &str, watched: &[String], online: &BTreeSet<String>) -> Expected {
        let own = self.friends.iter().filter(|((owner, _), _)| owner == account);
        let friends: BTreeMap<_, _> =
            own.map(|((_, peer), note)| (peer.clone(), (note.clone(), self.seen(account, peer)))).collect();
        let mut requests = BTreeSet::new();
        for ((sender, receiver), request) in &self.requests {
            if sender == account {
                requests.insert((receiver.clone(), false));
            } else if receiver == account && !request.hidden {
                requests.insert((sender.clone(), true));
            }
        }
        let shows = |friend: &String| {
            let blocked = self.blocks.contains_key(&(friend.clone(), account.to_owned()));
            online.contains(friend) && !blocked && !self.users[friend].invisible
        };
        Expected {
            me: self.card(account),
            requests,
            blocks: self.blocks.keys().filter(|(owner, _)| owner == account).map(|(_, peer)| peer.clone()).collect(),
            watched: watched
                .iter()
                .filter(|watched| self.exists(watched) && *watched != account)
                .map(|watched| (watched.clone(), self.seen(account, watched)))
                .collect(),
            shows: friends.keys().map(|friend| (friend.clone(), shows(friend))).collect(),
            friends,
        }
    }

    fn befriend(&mut self, a: &str, b: &str) {
        self.close(a, b);
        for (owner, peer) in [(a, b), (b, a)] {
            self.friends.entry((owner.to_owned(), peer.to_owned())).or_default();
        }
    }

    fn part(&mut self, a: &str, b: &str) {
        self.friends.remove(&(a.to_owned(), b.to_owned()));
        self.friends.remove(&(b.to_owned(), a.to_owned()));
    }

    fn close(&mut self, a: &str, b: &str) {
        self.requests.remove(&(a.to_owned(), b.to_owned()));
        self.requests.remove(&(b.to_owned(), a.to_owned()));
    }

    fn relate(&mut self, a: &str, b: &str) -> (String, String) {
        for (one, other) in [(a, b), (b, a)] {
            self.related.entry(one.to_owned()).or_default().insert(other.to_owned());
        }
        (a.to_owned(), b.to_owned())
    }

    fn apply(&mut self, command: &Command, now: Millis) {
        match command {
            Command::SetProfile { account, patch, .. } => {
                let user = self.users.entry(account.to_string()).or_default();
                let held = user.profile.take().unwrap_or_else(|| Profile::new(account.clone(), 1, now));
                user.profile = Some(patch.apply(&held).unwrap_or(held));
            }
            Command::SetInvisible { account, invisible } => {
                self.users.entry(account.to_string()).or_default().invisible = *invisible;
            }
            Command::DeleteUser { account } => self.delete(account.as_str()),
            Command::Befriend { account, peer } | Command::AddFriend { account, peer, .. } => {
                let (a, b) = self.relate(account.as_str(), peer.as_str());
                if !self.friends.contains_key(&(a.clone(), b.clone())) {
                    self.befriend(&a, &b);
                }
            }
            Command::RequestFriend { account, peer, .. } => {
                let (a, b) = self.relate(account.as_str(), peer.as_str());
                if self.requests.contains_key(&(b.clone(), a.clone())) {
                    self.befriend(&a, &b);
                } else {
                    let hidden = self.blocks.contains_key(&(b.clone(), a.clone()));
                    self.requests.insert((a, b), Request { hidden, made: now });
                }
            }
            Command::AcceptFriend { account, peer } => self.befriend(account.as_str(), peer.as_str()),
            Command::RejectFriend { account, peer } | Command::CancelRequest { account, peer } => {
                self.close(account.as_str(), peer.as_str());
            }
            Command::ExpireRequest { sender, receiver, before } => {
                let key = (sender.to_string(), receiver.to_string());
                if self.requests.get(&key).is_some_and(|request| request.made < *before) {
                    self.requests.remove(&key);
                }
            }
            Command::DeleteFriend { account, peer } | Command::Unfriend { account, peer } => {
                self.part(account.as_str(), peer.as_str());
            }
            Command::UpdateFriend { account, peer, note } => {
                let key = (account.to_string(), peer.to_string());
                let bare = Edge::new(account.clone(), peer.clone(), 1, 0);
                self.friends.insert(key, note.apply(&bare).unwrap_or(bare).alias.to_string());
            }
            Command::Block { account, peer } => {
                let key = self.relate(account.as_str(), peer.as_str());
                let card = self.card(account.as_str());
                if !self.blocks.contains_key(&key) {
                    self.close(account.as_str(), peer.as_str());
                    self.blocks.insert(key, card);
                }
            }
            Command::Unblock { account, peer } => {
                self.blocks.remove(&(account.to_string(), peer.to_string()));
            }
            // Whoever may come in, what they see is the same.
            Command::RevokeTokens { .. } | Command::SetToken { .. } => {}
        }
    }

    fn delete(&mut self, account: &str) {
        self.users.remove(account);
        let concerns = |(a, b): &(String, String)| a == account || b == account;
        self.friends.retain(|key, _| !concerns(key));
        self.requests.retain(|key, _| !concerns(key));
        self.blocks.retain(|key, _| !concerns(key));
    }
}
