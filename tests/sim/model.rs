//! Computes what every account should see from the list of commits, without the engine: with plain maps and sets, one
//! command after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};

use rosterd_engine::model::{Audience, Command, Edge, Millis, OwnValue, Profile, Visibility};
use rosterd_protocol::v1;

use crate::device::Kinds;
use crate::disk::Committed;

/// The fields of a profile that the histories change. Everyone sees nick and avatar; of the others the rules decide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenProfile {
    pub nick: String,
    /// Its length, which is large at times to fill frames.
    pub avatar: usize,
    pub tel: String,
    pub custom: String,
    /// The own fields.
    pub own: BTreeMap<String, i64>,
    /// The accounts that it mutes, which it alone sees.
    pub muted: BTreeSet<String>,
}

impl SeenProfile {
    /// What strangers see, and during a change of the rules also what they may have seen before it.
    fn seen_by_strangers(&self, rules: &Visibility) -> Self {
        let mut seen = self.seen_by(Audience::Everyone, rules);
        for before in rules.change.iter().flat_map(|change| &change.before) {
            let Self { tel, custom, own, .. } = self.seen_by(Audience::Everyone, before);
            seen.tel = if seen.tel.is_empty() { tel } else { seen.tel };
            seen.custom = if seen.custom.is_empty() { custom } else { seen.custom };
            seen.own.extend(own);
        }
        seen
    }

    /// The part that an audience sees.
    fn seen_by(&self, audience: Audience, rules: &Visibility) -> Self {
        let of = |to: Audience, text: &String| if to >= audience { text.clone() } else { String::new() };
        let is_shown = |name: &str| rules.own.audience(name).is_some_and(|to| to >= audience);
        Self {
            nick: self.nick.clone(),
            avatar: self.avatar,
            tel: of(rules.tel, &self.tel),
            custom: of(rules.custom, &self.custom),
            own: self
                .own
                .iter()
                .filter(|(name, _)| is_shown(name))
                .map(|(name, value)| (name.clone(), *value))
                .collect(),
            muted: if audience == Audience::Own { self.muted.clone() } else { BTreeSet::new() },
        }
    }

    pub fn of(user: &v1::User) -> Self {
        Self {
            nick: user.nick.clone(),
            avatar: user.avatar.chars().count(),
            tel: user.tel.clone(),
            custom: user.custom.clone(),
            own: user.fields.iter().map(|(name, value)| (name.clone(), value.integer.unwrap())).collect(),
            muted: user.muted.iter().cloned().collect(),
        }
    }
}

fn integer(value: &OwnValue) -> i64 {
    let OwnValue::Integer(integer) = value else { panic!("{value:?} is no integer") };
    *integer
}

/// Whether an account shows as online, its status, and its kinds of devices.
pub type Shown = (bool, Option<String>, Vec<String>);

/// The state that the clients of one account should hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    pub me: SeenProfile,
    /// Friends, with the alias that the account gives them.
    pub friends: BTreeMap<String, (String, SeenProfile)>,
    /// Open requests: the other side, and whether it is the sender.
    pub requests: BTreeSet<(String, bool)>,
    pub blocks: BTreeSet<String>,
    /// Those of the watched accounts that exist.
    pub watched: BTreeMap<String, SeenProfile>,
    /// Friends, whether each shows as online, with which status, and on which kinds of devices.
    pub shows: BTreeMap<String, Shown>,
    /// The statuses that may be there or have ended.
    pub may_have_ended: BTreeSet<String>,
}

impl Expected {
    /// Describes the differences; empty if there are none.
    pub fn differences(&self, held: &Self) -> String {
        let mut shows = self.shows.clone();
        for friend in &self.may_have_ended {
            if let Some((_, status, _)) = shows.get_mut(friend)
                && held.shows.get(friend).is_some_and(|(_, held, _)| held.is_none())
            {
                *status = None;
            }
        }
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
        compare("shows", &shows, &held.shows);
        text
    }
}

#[derive(Debug, Default)]
struct User {
    profile: Option<Profile>,
    invisible: bool,
    /// Its status, and when that ends, if it has an end of its own.
    status: Option<(String, Option<Millis>)>,
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
    /// Aliases, by owner and friend; both directions exist, unless the friend blocks the owner.
    friends: BTreeMap<(String, String), String>,
    /// Open requests, by sender and receiver.
    requests: BTreeMap<(String, String), Request>,
    /// By owner and blocked, the owner's profile as it was then.
    blocks: BTreeMap<(String, String), SeenProfile>,
    /// All accounts that ever had a relation to an account.
    related: BTreeMap<String, BTreeSet<String>>,
}

impl Model {
    pub fn of(log: &[Committed]) -> Self {
        let mut model = Self::default();
        for committed in log {
            for command in &committed.commands {
                model.apply(command, committed.now, &committed.rules);
            }
        }
        model
    }

    pub fn exists(&self, account: &str) -> bool {
        self.users.contains_key(account)
    }

    /// The accounts that a session of this one can have updates of, besides those that it watches or prefetches.
    pub fn related(&self, account: &str) -> BTreeSet<String> {
        self.related.get(account).cloned().unwrap_or_default()
    }

    pub fn profile(&self, account: &str) -> SeenProfile {
        let profile = self.users.get(account).and_then(|user| user.profile.as_ref());
        let text = |text: &str| text.to_owned();
        profile.map_or_else(SeenProfile::default, |p| SeenProfile {
            nick: text(&p.nick),
            avatar: p.avatar.chars().count(),
            tel: text(&p.tel),
            custom: text(&p.custom),
            own: p.own.iter().map(|(name, value)| (name.to_owned(), integer(value))).collect(),
            muted: p.muted.iter().map(ToString::to_string).collect(),
        })
    }

    /// The part of a profile that `viewer` sees; the profile before a block, if there is one.
    fn seen(&self, viewer: &str, account: &str, rules: &Visibility) -> SeenProfile {
        let frozen = self.blocks.get(&(account.to_owned(), viewer.to_owned()));
        let profile = frozen.cloned().unwrap_or_else(|| self.profile(account));
        let friends = self.friends.contains_key(&(viewer.to_owned(), account.to_owned()));
        profile.seen_by(if friends { Audience::Friends } else { Audience::Everyone }, rules)
    }

    pub fn expected(
        &self,
        account: &str,
        watched: &[String],
        (online, now, blurred): (&Kinds, Millis, Millis),
        rules: &Visibility,
    ) -> Expected {
        let own = self.friends.iter().filter(|((owner, _), _)| owner == account);
        let friends: BTreeMap<_, _> =
            own.map(|((_, peer), note)| (peer.clone(), (note.clone(), self.seen(account, peer, rules)))).collect();
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
            let kinds = online.get(friend).filter(|_| !blocked && !self.users[friend].invisible);
            let shows = kinds.is_some();
            let status = self.users[friend].status.as_ref();
            let status = status.filter(|(_, until)| shows && until.is_none_or(|until| until + blurred > now));
            (shows, status.map(|(text, _)| text.clone()), kinds.into_iter().flatten().cloned().collect())
        };
        // Whether the account was offline since is for the gateway to say.
        let may_have_ended = |friend: &&String| {
            let status = self.users[*friend].status.as_ref();
            status.is_some_and(|(_, until)| until.is_none_or(|until| until < now + blurred))
        };
        Expected {
            me: self.profile(account).seen_by(Audience::Own, rules),
            requests,
            blocks: self.blocks.keys().filter(|(owner, _)| owner == account).map(|(_, peer)| peer.clone()).collect(),
            watched: watched
                .iter()
                .filter(|watched| self.exists(watched) && *watched != account)
                .map(|watched| (watched.clone(), self.seen(account, watched, rules)))
                .collect(),
            shows: friends.keys().map(|friend| (friend.clone(), shows(friend))).collect(),
            may_have_ended: friends.keys().filter(may_have_ended).cloned().collect(),
            friends,
        }
    }

    fn lists(&self, owner: &str, peer: &str) -> bool {
        self.friends.contains_key(&(owner.to_owned(), peer.to_owned()))
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

    fn apply(&mut self, command: &Command, now: Millis, rules: &Visibility) {
        match command {
            Command::SetProfile { account, patch, .. } => {
                let user = self.users.entry(account.to_string()).or_default();
                let own = &rules.own;
                let new = || Profile { own: own.defaults(), ..Profile::new(account.clone(), 1, now) };
                let held = user.profile.take().unwrap_or_else(new);
                user.profile = Some(patch.apply(&held, own).unwrap().unwrap_or(held));
            }
            Command::SetMuted { account, peer, muted, .. } => {
                if let Some(profile) = self.users.get_mut(account.as_str()).and_then(|user| user.profile.as_mut()) {
                    profile.muted = profile.muted.with(peer, *muted);
                }
            }
            Command::SetPresence { account, set, .. } => {
                let user = self.users.entry(account.to_string()).or_default();
                let hides = set.invisible.unwrap_or(user.invisible);
                if hides && !user.invisible {
                    user.status.take_if(|(_, until)| until.is_none());
                }
                user.invisible = hides;
                if let Some(given) = &set.status {
                    user.status = Some((given.text.to_string(), given.until)).filter(|(text, _)| !text.is_empty());
                }
            }
            Command::DeleteUser { account } => self.delete(account.as_str()),
            Command::Befriend { account, peer } => {
                let (a, b) = self.relate(account.as_str(), peer.as_str());
                if !(self.lists(&a, &b) && self.lists(&b, &a)) {
                    self.befriend(&a, &b);
                }
            }
            Command::AddFriend { account, peer, .. } => {
                let (a, b) = self.relate(account.as_str(), peer.as_str());
                if self.blocks.contains_key(&(b.clone(), a.clone())) {
                    // It is so for the one who adds, and for nobody else.
                    self.close(&a, &b);
                    self.friends.entry((a, b)).or_default();
                } else {
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
            Command::UpdateFriend { account, peer, note, .. } => {
                let key = (account.to_string(), peer.to_string());
                let bare = Edge::new(account.clone(), peer.clone(), 1, 0);
                self.friends.insert(key, note.apply(&bare).unwrap_or(bare).alias.to_string());
            }
            Command::Block { account, peer, .. } => {
                let key = self.relate(account.as_str(), peer.as_str());
                let profile = self.profile(account.as_str());
                let is_friend = self.lists(peer.as_str(), account.as_str());
                let profile = if is_friend { profile } else { profile.seen_by_strangers(rules) };
                if !self.blocks.contains_key(&key) {
                    self.close(account.as_str(), peer.as_str());
                    self.blocks.insert(key, profile);
                }
            }
            Command::Unblock { account, peer, .. } => {
                self.blocks.remove(&(account.to_string(), peer.to_string()));
                if !self.lists(account.as_str(), peer.as_str()) {
                    self.part(account.as_str(), peer.as_str());
                }
                // What the other asked for meanwhile arrives.
                if let Some(request) = self.requests.get_mut(&(peer.to_string(), account.to_string())) {
                    request.hidden = false;
                }
            }
            // These bring no value that was not there, or decide who may log in, and not what anyone sees.
            Command::MoveViews { .. }
            | Command::MoveFrozenViews { .. }
            | Command::RevokeTokens { .. }
            | Command::SetToken { .. } => {}
            Command::AdoptUser { .. }
            | Command::AdoptFriend { .. }
            | Command::AdoptRequest { .. }
            | Command::AdoptBlock { .. }
            | Command::AdoptCredential { .. } => unreachable!("nothing is brought from another store here"),
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
