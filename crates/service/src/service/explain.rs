//! Explains why a viewer has, or has not, got another account's change: everything that decides it, side by side.

use std::borrow::Cow;

use super::sessions::SessionStatus;
use super::state::{Service, unavailable};
use crate::hub;
use rosterd_engine::model::{Account, Audience, Block, Edge, LastChange, OWN_PREFIX, RequestError, Revision, User};
use rosterd_engine::sync::outbox::RecordKinds;

/// Everything that decides what `viewer` sees of `account`.
#[derive(Debug)]
pub struct Explanation {
    /// Whether the viewer lists the account: then it gets the account's changes.
    pub lists: Relation,
    /// Whether the account lists the viewer; that brings the viewer nothing.
    pub listed: Relation,
    /// The account's block of the viewer: since then the viewer sees the account as it was.
    pub blocked: Option<Block>,
    /// The viewer's own block of the account, which keeps the account from reaching it and does nothing else.
    pub blocks: Option<Block>,
    /// The audience that the viewer belongs to.
    pub audience: Audience,
    /// Each field, who may see it, and whether the viewer is among them.
    pub fields: Vec<(Cow<'static, str>, Audience, bool)>,
    /// The last change that each audience could see, in the store.
    pub views: [(Audience, LastChange); 3],
    /// The version of the copy that a blocked viewer sees.
    pub frozen: Option<u64>,
    /// The version of the whole profile in the registry; none if no session follows it here.
    pub live: Option<u64>,
    /// The viewer's sessions.
    pub sessions: Vec<ExplainedSession>,
    /// The obstacles between a change and the viewer. Without any, the viewer has got everything that it may see.
    pub obstacles: Vec<Obstacle>,
    /// The last change that is applied wherever the viewer has sessions, and here.
    pub applied: Revision,
    /// The nodes that may have sessions of the viewer and did not answer.
    pub unreached: Vec<String>,
}

/// Whether one account lists another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It never did, or the record of it was dropped.
    None,
    /// Since this revision.
    Friend(u64),
    /// No longer, since this revision.
    Removed(u64),
}

impl Relation {
    fn version(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Friend(version) | Self::Removed(version) => version,
        }
    }
}

/// The part of an account that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedField {
    /// A field of its profile.
    Profile(String),
    /// Whether it is online.
    Presence,
}

/// The state of one session of the viewer.
#[derive(Debug)]
pub struct ExplainedSession {
    /// The session.
    pub status: SessionStatus,
    /// Whether it follows the account as a friend's.
    pub as_friend: bool,
    /// Whether it watches the account.
    pub watches: bool,
    /// The kinds of the account's records that are pending for it.
    pub pending: RecordKinds,
}

/// An obstacle between a change and the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The account blocks the viewer.
    Blocked,
    /// The viewer has no session.
    Offline,
    /// No session of the viewer follows the account, as a friend's or by watching it.
    NotFollowed,
    /// Some fields are not for the viewer's audience: a change of them alone is not sent to it. If one field was asked
    /// about, it is that one.
    HiddenFields,
    /// Updates are pending for a session.
    Pending,
    /// A change is committed that is not applied yet where it has to be.
    NotApplied,
    /// The account shows as offline.
    Invisible,
    /// Another node may have sessions of the viewer, and did not answer.
    Unreached,
}

impl Service {
    /// Returns everything that decides what `viewer` gets of `account`.
    ///
    /// # Errors
    /// 404 if one of them does not exist, 503.
    pub async fn explain(
        &self,
        account: &Account,
        viewer: &Account,
        asked: Option<&AskedField>,
    ) -> Result<Explanation, RequestError> {
        let found = self.store.users(vec![account.clone(), viewer.clone()]).await.map_err(|e| unavailable(&e))?;
        let of = |name: &Account, field| {
            let user = found.iter().find(|user| user.profile.account == *name);
            user.ok_or_else(|| RequestError::unknown_account(name).field(field))
        };
        let (user, other) = (of(account, "account")?, of(viewer, "viewer")?);
        let lists = self.relation(viewer, account).await?;
        let listed = self.relation(account, viewer).await?;
        let (blocked, blocks) = (block_of(user, viewer), block_of(other, account));
        let frozen = self.store.frozen(viewer.clone(), vec![account.clone()]).await.map_err(|e| unavailable(&e))?;
        let audience = match lists {
            _ if account == viewer => Audience::Own,
            Relation::Friend(_) => Audience::Friends,
            Relation::None | Relation::Removed(_) => Audience::Everyone,
        };
        let rules = self.hub.visibility();
        let own = rules.own.iter().map(|(name, field)| (format!("{OWN_PREFIX}{name}").into(), field.audience));
        let fields = rules.fields().into_iter().map(|(name, to)| (Cow::from(name), to)).chain(own);
        let fields: Vec<_> = fields.map(|(name, to)| (name, to, to >= audience)).collect();
        let views = [Audience::Everyone, Audience::Friends, Audience::Own].map(|to| (to, user.profile.last_change(to)));
        let live = self.hub.user(account).and_then(|user| user.profile()).map(|profile| profile.version);
        let (others, applied, unreached) = self.explain_elsewhere(viewer, account).await;
        let mut sessions = self.explained_sessions(viewer, account);
        sessions.extend(others);
        let mut obstacles = obstacles(account == viewer, blocked.is_some(), &sessions);
        if !unreached.is_empty() {
            // Whether it is offline, or what it follows, is not known.
            obstacles.retain(|obstacle| !matches!(obstacle, Obstacle::Offline | Obstacle::NotFollowed));
            obstacles.push(Obstacle::Unreached);
        }
        let is_hidden = |(name, _, sees): &(Cow<'static, str>, Audience, bool)| match asked {
            None => !sees,
            Some(AskedField::Profile(field)) => !sees && name == field,
            Some(AskedField::Presence) => false,
        };
        let newest = user.profile.last_change(Audience::Own).version.max(lists.version()).max(listed.version());
        let further = [
            (Obstacle::HiddenFields, fields.iter().any(is_hidden)),
            (Obstacle::NotApplied, newest > applied),
            (Obstacle::Invisible, user.chosen.hides && asked == Some(&AskedField::Presence) && account != viewer),
        ];
        obstacles.extend(further.into_iter().filter(|(_, stands)| *stands).map(|(obstacle, _)| obstacle));
        obstacles.sort();
        let frozen = frozen.first().map(|profile| profile.version);
        Ok(Explanation {
            lists,
            listed,
            blocked,
            blocks,
            audience,
            fields,
            views,
            frozen,
            live,
            sessions,
            obstacles,
            applied,
            unreached,
        })
    }

    /// The viewer's sessions on this node.
    pub(in crate::service) fn explained_sessions(&self, viewer: &Account, account: &Account) -> Vec<ExplainedSession> {
        self.hub.flush_states(viewer, account).iter().map(ExplainedSession::of).collect()
    }

    async fn relation(&self, owner: &Account, peer: &Account) -> Result<Relation, RequestError> {
        let read = self.store.relations(owner.clone(), vec![peer.clone()]).await.map_err(|e| unavailable(&e))?;
        Ok(match read.edges.first() {
            None => Relation::None,
            Some(Edge { removed: false, version, .. }) => Relation::Friend(*version),
            Some(Edge { removed: true, version, .. }) => Relation::Removed(*version),
        })
    }
}

impl ExplainedSession {
    fn of(state: &hub::FlushState) -> Self {
        let hub::FlushState { session, as_friend, watches, pending } = state;
        Self { status: SessionStatus::of(session), as_friend: *as_friend, watches: *watches, pending: *pending }
    }
}

fn block_of(owner: &User, peer: &Account) -> Option<Block> {
    owner.blocks.iter().find(|block| block.peer == *peer && !block.removed).cloned()
}

fn obstacles(is_own: bool, is_blocked: bool, sessions: &[ExplainedSession]) -> Vec<Obstacle> {
    let follows = |view: &ExplainedSession| is_own || view.as_friend || view.watches;
    let found = [
        (Obstacle::Blocked, is_blocked),
        (Obstacle::Offline, sessions.is_empty()),
        (Obstacle::NotFollowed, !sessions.is_empty() && !sessions.iter().any(follows)),
        (Obstacle::Pending, sessions.iter().any(|view| view.pending != RecordKinds::default())),
    ];
    found.into_iter().filter(|(_, stands)| *stands).map(|(obstacle, _)| obstacle).collect()
}
