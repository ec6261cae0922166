//! The server API's answer to "why did B not receive A's change?".

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Refusal, Reply, ok};
use super::live::LiveSession;
use super::request::{One, Shared, ViewerOf, account, viewer};
use crate::service::{self, AskedField, Obstacle, Relation};
use rosterd_engine::model::{Account, Audience, OWN_PREFIX, Reason, RequestError, Visibility};

/// Everything that decides which changes of `account` the viewer receives.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Explanation)]
pub(super) struct ExplanationBody {
    account: String,
    viewer: String,
    /// The reasons why a change does not reach the viewer, as sentences; one sentence that says so if there are none.
    because: Vec<String>,
    /// The same reasons as fixed words: `BLOCKED`, `OFFLINE`, `NOT_FOLLOWED`, `HIDDEN_FIELDS`, `PENDING`, `NOT_APPLIED`,
    /// `INVISIBLE`, `UNREACHED`. With `field`, `HIDDEN_FIELDS` is about that field alone, and `INVISIBLE` about presence.
    reasons: Vec<&'static str>,
    /// Whether the viewer lists the account as a friend, and so receives its changes.
    viewer_lists: Listed,
    /// Whether the account lists the viewer as a friend.
    account_lists: Listed,
    /// Since when the account blocks the viewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_since: Option<u64>,
    /// Since when the viewer blocks the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_since: Option<u64>,
    /// As whom the viewer sees the account: `self`, `friends`, `everyone`.
    audience: &'static str,
    fields: Vec<Field>,
    /// What each audience could see change last.
    views: Vec<ViewExplanation>,
    /// The version of the copy that the viewer sees because it is blocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen_version: Option<u64>,
    /// The version of the whole profile that this gateway has in memory; none if no session here follows the account. Once
    /// a change is applied it is that of the view `self`.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_version: Option<u64>,
    /// The stamp up to which every change has been marked for its watchers.
    #[serde(rename = "horizon")]
    watermark: u64,
    /// The stamp of the last change that is committed, and of the last that is applied wherever the viewer is, and here.
    committed: u64,
    applied: u64,
    /// The viewer's sessions.
    sessions: Vec<SessionExplanation>,
    /// The names of gateways that may have more of them and did not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreached: Vec<String>,
}

/// Whether one lists the other, and the version of that relation.
#[derive(Debug, Serialize, ToSchema)]
struct Listed {
    /// `friend`, `removed` or `none`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// Who may see a field.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Field {
    name: String,
    visible_to: &'static str,
    viewer_sees: bool,
}

/// The last change that an audience could see.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = View)]
struct ViewExplanation {
    audience: &'static str,
    version: u64,
    update_time: u64,
}

/// What a session of the viewer follows, and what waits for it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionView)]
struct SessionExplanation {
    #[serde(flatten)]
    session: LiveSession,
    /// Whether it follows the account because the viewer lists it as a friend.
    as_friend: bool,
    /// Whether it watches the account.
    watches: bool,
    /// The updates of the account that wait for this session: `card`, `friend`, `request`, `block`, `presence`,
    /// `sessions`, `hint`.
    waiting: Vec<&'static str>,
}

/// Explains why one account received, or did not receive, another's change.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/explain", tag = "operations", operation_id = "explainDelivery",
    params(
        ("account" = String, Path),
        ("viewer" = String, Query, description = "the account that should have received it"),
        ("field" = Option<String>, Query, pattern = "^(fields\\.)?[a-z0-9_]{1,32}$",
            description = "The field that it should have received, or `presence`; all unless given"),
    ),
    responses((status = 200, description = "everything that decides it", body = ExplanationBody))
)]
pub(super) async fn explain(api: Shared, name: One, query: ViewerOf) -> Reply<ExplanationBody> {
    let account = account(name)?;
    let (viewer, field) = viewer(query)?;
    let asked = field.map(|field| asked_field(&field)).transpose()?;
    let found = api.service.explain(&account, &viewer, asked.as_ref()).await?;
    known_field(&found, asked.as_ref())?;
    let because = because(&account, &viewer, &found, asked.as_ref());
    let fields = found.fields.iter().map(|(name, to, sees)| Field {
        name: name.to_string(),
        visible_to: to.word(),
        viewer_sees: *sees,
    });
    let views = found.views.iter().map(|(audience, moved)| ViewExplanation {
        audience: audience.word(),
        version: moved.version,
        update_time: moved.time,
    });
    let (fields, views) = (fields.collect(), views.collect());
    let sessions = found.sessions.into_iter().map(|view| SessionExplanation {
        session: LiveSession::of(view.status),
        as_friend: view.as_friend,
        watches: view.watches,
        waiting: view.pending.words(),
    });
    ok(ExplanationBody {
        because,
        reasons: found.obstacles.iter().map(|obstacle| word(*obstacle)).collect(),
        viewer_lists: Listed::of(found.lists),
        account_lists: Listed::of(found.listed),
        blocked_since: found.blocked.map(|block| block.create_time),
        blocks_since: found.blocks.map(|block| block.create_time),
        audience: found.audience.word(),
        fields,
        views,
        frozen_version: found.frozen,
        live_version: found.live,
        watermark: api.service.watermark(),
        committed: api.service.head(),
        applied: found.applied,
        unreached: found.unreached,
        sessions: sessions.collect(),
        account: account.to_string(),
        viewer: viewer.to_string(),
    })
}

impl Listed {
    fn of(relation: Relation) -> Self {
        let (state, version) = match relation {
            Relation::None => ("none", None),
            Relation::Friend(version) => ("friend", Some(version)),
            Relation::Removed(version) => ("removed", Some(version)),
        };
        Self { state, version }
    }
}

fn word(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Blocked => "BLOCKED",
        Obstacle::Offline => "OFFLINE",
        Obstacle::NotFollowed => "NOT_FOLLOWED",
        Obstacle::HiddenFields => "HIDDEN_FIELDS",
        Obstacle::Pending => "PENDING",
        Obstacle::NotApplied => "NOT_APPLIED",
        Obstacle::Invisible => "INVISIBLE",
        Obstacle::Unreached => "UNREACHED",
    }
}

/// Reads the field that is asked about; a slip of the pen would be an answer about nothing.
fn asked_field(field: &str) -> Result<AskedField, Refusal> {
    if field == "presence" {
        return Ok(AskedField::Presence);
    }
    if field.starts_with(OWN_PREFIX) || Visibility::default().fields().iter().any(|(name, _)| *name == field) {
        return Ok(AskedField::Profile(field.to_owned()));
    }
    let message = "field must be presence, or the name of a field of a profile";
    Err(RequestError::new(Reason::InvalidArgument, message).field("field").into())
}

/// Checks that an own field that is asked about is one.
fn known_field(found: &service::Explanation, asked: Option<&AskedField>) -> Result<(), Refusal> {
    match asked {
        Some(AskedField::Profile(field)) if found.fields.iter().all(|(name, ..)| name != field) => {
            let message = format!("there is no field {field}");
            Err(RequestError::new(Reason::InvalidArgument, message).field("field").into())
        }
        _ => Ok(()),
    }
}

fn because(
    account: &Account,
    viewer: &Account,
    found: &service::Explanation,
    asked: Option<&AskedField>,
) -> Vec<String> {
    let sentence = |obstacle: &Obstacle| match obstacle {
        Obstacle::Blocked => format!("{account} blocks {viewer}, who sees {account} as it was when that began"),
        Obstacle::Offline => format!("{viewer} has no session; it is told at its next login"),
        Obstacle::NotFollowed => {
            format!("{viewer} neither lists {account} as a friend nor watches it, and is told only when it asks")
        }
        Obstacle::HiddenFields => {
            let is_asked = |name: &str| asked.is_none_or(|asked| *asked == AskedField::Profile(name.to_owned()));
            let hidden =
                found.fields.iter().filter(|(name, _, sees)| !sees && is_asked(name)).map(|(name, _, _)| &**name);
            let hidden = hidden.collect::<Vec<_>>().join(", ");
            let whom = if found.audience == Audience::Friends { "a friend" } else { "a stranger" };
            format!("{viewer} sees {account} as {whom} does: a change of {hidden} alone is not told")
        }
        Obstacle::Pending => {
            format!("something of {account} waits for a session of {viewer}, which has not read it yet")
        }
        Obstacle::NotApplied => {
            format!("a change of {account} is committed that is not applied yet where it has to be")
        }
        Obstacle::Unreached => {
            let names = found.unreached.join(", ");
            format!("{viewer} may have sessions on gateways that did not answer: {names}; ask again")
        }
        Obstacle::Invisible => format!("{account} shows as offline to everyone else"),
    };
    if found.obstacles.is_empty() {
        return vec![format!("nothing stands in the way: {viewer} has been told all it may see of {account}")];
    }
    found.obstacles.iter().map(sentence).collect()
}
