//! The rows of a change.

use std::sync::Arc;

use super::malformed::MalformedChange;
use crate::feed_v1 as log;
use crate::feed_v1::row::Row as LoggedRow;
use crate::{own_values, v1};
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::{
    Account, Block, ChosenPresence, Credential, Edge, Gender, LastChange, Profile, Request, RequestSide, RequestState,
    Row, SeenChanges, SeenPresence, Status,
};

/// Defines how a profile is read back, out of the table of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        fn profile(logged: log::Profile) -> Result<Profile, MalformedChange> {
            let user = logged.user.ok_or(MalformedChange)?;
            Ok(Profile {
                account: account(&user.account)?,
                $($name: from_log!($kind, user.$name),)+
                own: own_values::from_stored(user.fields).ok_or(MalformedChange)?,
                muted: user.muted.iter().map(|name| account(name)).collect::<Result<_, _>>()?,
                create_time: user.create_time,
                update_time: user.update_time,
                version: user.version,
                friends: logged.friends.ok_or(MalformedChange)?.into(),
                everyone: logged.everyone.ok_or(MalformedChange)?.into(),
            })
        }
    };
}

/// A field as it was logged, by its kind.
macro_rules! from_log {
    (gender, $field:expr) => {
        match v1::Gender::try_from($field).map_err(|_| MalformedChange)? {
            v1::Gender::Unknown => Gender::Unknown,
            v1::Gender::Male => Gender::Male,
            v1::Gender::Female => Gender::Female,
        }
    };
    ($text:ident, $field:expr) => {
        $field.into()
    };
}

for_each_profile_field!(define);

fn account(name: &str) -> Result<Account, MalformedChange> {
    Account::stored(name).ok_or(MalformedChange)
}

impl From<LastChange> for log::LastChange {
    fn from(LastChange { version, time }: LastChange) -> Self {
        Self { version, time }
    }
}

impl From<log::LastChange> for LastChange {
    fn from(log::LastChange { version, time }: log::LastChange) -> Self {
        Self { version, time }
    }
}

/// Leaves out of a row what its change says already: nearly every row changed last when its change was made.
pub(super) fn leave_out(row: &mut LoggedRow, change: LastChange) {
    if let LoggedRow::Profile(profile) = row {
        for view in [&mut profile.friends, &mut profile.everyone] {
            view.take_if(|view| LastChange::from(*view) == change);
        }
    }
    if let Some((version, time)) = last_change(row)
        && (*version, *time) == (change.version, change.time)
    {
        (*version, *time) = (0, 0);
    }
}

/// Puts back what was left out. No record has the version 0.
pub(super) fn put_back(row: &mut LoggedRow, change: LastChange) {
    if let LoggedRow::Profile(profile) = row {
        for view in [&mut profile.friends, &mut profile.everyone] {
            view.get_or_insert(change.into());
        }
    }
    if let Some((version, time)) = last_change(row)
        && *version == 0
    {
        (*version, *time) = (change.version, change.time);
    }
}

/// Returns the version and the time of the last change of a record.
fn last_change(row: &mut LoggedRow) -> Option<(&mut u64, &mut u64)> {
    match row {
        LoggedRow::Profile(log::Profile { user, .. }) => {
            user.as_mut().map(|user| (&mut user.version, &mut user.update_time))
        }
        LoggedRow::Edge(edge) => Some((&mut edge.version, &mut edge.update_time)),
        LoggedRow::Request(request) => Some((&mut request.version, &mut request.update_time)),
        LoggedRow::Block(block) => Some((&mut block.version, &mut block.update_time)),
        LoggedRow::Gone(_) | LoggedRow::Invisible(_) | LoggedRow::Credential(_) => None,
    }
}

impl From<&Row> for LoggedRow {
    fn from(row: &Row) -> Self {
        match row {
            Row::Profile(profile) => Self::Profile(log::Profile {
                user: Some((&**profile).into()),
                friends: Some(profile.friends.into()),
                everyone: Some(profile.everyone.into()),
            }),
            Row::Gone { account, version } => Self::Gone(log::Gone { account: account.to_string(), version: *version }),
            Row::Edge(edge) => Self::Edge(edge.into()),
            Row::Request(request) => Self::Request(request.into()),
            Row::Block { block, .. } => Self::Block(block.into()),
            Row::Presence { account, chosen, turned } => Self::Invisible(log::Invisible {
                account: account.to_string(),
                hides: chosen.hides,
                time: turned.unwrap_or_default(),
                version: chosen.version,
                status: chosen.status.as_deref().map(Into::into),
            }),
            Row::Credential { account, credential } => Self::Credential(log::Credential {
                account: account.to_string(),
                revoked_before: credential.revoked_before,
            }),
        }
    }
}

impl TryFrom<LoggedRow> for Row {
    type Error = MalformedChange;

    fn try_from(row: LoggedRow) -> Result<Self, MalformedChange> {
        Ok(match row {
            LoggedRow::Profile(logged) => Self::Profile(Arc::new(profile(logged)?)),
            LoggedRow::Gone(gone) => Self::Gone { account: account(&gone.account)?, version: gone.version },
            LoggedRow::Edge(edge) => Self::Edge(edge.try_into()?),
            LoggedRow::Request(request) => Self::Request(request.try_into()?),
            LoggedRow::Block(block) => Self::Block { block: block.try_into()?, frozen: None },
            LoggedRow::Invisible(set) => {
                let status = set.status.map(|status| Arc::new(status.into()));
                let chosen = ChosenPresence { hides: set.hides, version: set.version, status };
                let turned = Some(set.time).filter(|time| *time > 0);
                Self::Presence { account: account(&set.account)?, chosen, turned }
            }
            LoggedRow::Credential(log::Credential { account: name, revoked_before }) => {
                Self::Credential { account: account(&name)?, credential: Credential { revoked_before, token: None } }
            }
        })
    }
}

impl From<&Status> for log::Status {
    fn from(Status { text, until, time }: &Status) -> Self {
        Self { text: text.to_string(), until: until.unwrap_or_default(), time: *time }
    }
}

impl From<log::Status> for Status {
    fn from(log::Status { text, until, time }: log::Status) -> Self {
        Self { text: text.into(), until: Some(until).filter(|until| *until > 0), time }
    }
}

impl From<&Edge> for log::Edge {
    fn from(edge: &Edge) -> Self {
        Self {
            owner: edge.owner.to_string(),
            peer: edge.peer.to_string(),
            removed: edge.removed,
            alias: edge.alias.to_string(),
            custom: edge.custom.to_string(),
            create_time: edge.create_time,
            update_time: edge.update_time,
            version: edge.version,
        }
    }
}

impl TryFrom<log::Edge> for Edge {
    type Error = MalformedChange;

    fn try_from(edge: log::Edge) -> Result<Self, MalformedChange> {
        Ok(Self {
            owner: account(&edge.owner)?,
            peer: account(&edge.peer)?,
            removed: edge.removed,
            alias: edge.alias.into(),
            custom: edge.custom.into(),
            create_time: edge.create_time,
            update_time: edge.update_time,
            version: edge.version,
        })
    }
}

impl From<&Request> for log::RequestCopy {
    fn from(request: &Request) -> Self {
        Self {
            sender: request.sender.to_string(),
            receiver: request.receiver.to_string(),
            of_receiver: request.side == RequestSide::Receiver,
            message: request.message.to_string(),
            state: v1::RequestState::from(request.state) as i32,
            create_time: request.create_time,
            update_time: request.update_time,
            version: request.version,
        }
    }
}

impl TryFrom<log::RequestCopy> for Request {
    type Error = MalformedChange;

    fn try_from(copy: log::RequestCopy) -> Result<Self, MalformedChange> {
        let state = match v1::RequestState::try_from(copy.state).map_err(|_| MalformedChange)? {
            v1::RequestState::Open => RequestState::Open,
            v1::RequestState::Accepted => RequestState::Accepted,
            v1::RequestState::Rejected => RequestState::Rejected,
            v1::RequestState::Cancelled => RequestState::Cancelled,
            v1::RequestState::Expired => RequestState::Expired,
        };
        Ok(Self {
            sender: account(&copy.sender)?,
            receiver: account(&copy.receiver)?,
            side: if copy.of_receiver { RequestSide::Receiver } else { RequestSide::Sender },
            message: copy.message.into(),
            state,
            create_time: copy.create_time,
            update_time: copy.update_time,
            version: copy.version,
        })
    }
}

impl From<&Block> for log::Block {
    fn from(block: &Block) -> Self {
        let SeenPresence { online, last_seen } = block.presence.unwrap_or_default();
        Self {
            owner: block.owner.to_string(),
            peer: block.peer.to_string(),
            removed: block.removed,
            presence: block.presence.map(|_| log::SeenPresence { online, last_seen }),
            friends: block.views.map(|views| views.friends.into()),
            everyone: block.views.map(|views| views.everyone.into()),
            create_time: block.create_time,
            update_time: block.update_time,
            version: block.version,
        }
    }
}

impl TryFrom<log::Block> for Block {
    type Error = MalformedChange;

    fn try_from(block: log::Block) -> Result<Self, MalformedChange> {
        let views = block.friends.zip(block.everyone);
        Ok(Self {
            owner: account(&block.owner)?,
            peer: account(&block.peer)?,
            removed: block.removed,
            presence: block.presence.map(|log::SeenPresence { online, last_seen }| SeenPresence { online, last_seen }),
            views: views.map(|(friends, everyone)| SeenChanges { friends: friends.into(), everyone: everyone.into() }),
            create_time: block.create_time,
            update_time: block.update_time,
            version: block.version,
        })
    }
}
