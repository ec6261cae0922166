//! The server API's routes for live state: sessions, presence, hints and signals.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Reply, ok};
use super::request::{Body, One, Shared, Two, account, account_and, named, position, read, sessions_page};
use super::users::Accounts;
use crate::service::{Kicked, SessionFilter, SessionStatus};
use rosterd_engine::model::{Account, GivenStatus, Millis, PresenceChange, Reason, RequestError};
use rosterd_protocol::v1;

/// The sessions of an account, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<v1::Session>,
}

/// The sessions of an account.
#[utoipa::path(
    get, path = "/v1/users/{account}/sessions", tag = "sessions", operation_id = "listSessions", params(("account" = String, Path)),
    responses((status = 200, description = "all of them", body = Sessions))
)]
pub(super) async fn sessions(api: Shared, name: One) -> Reply<Sessions> {
    let account = account(name)?;
    api.service.get_user(&account).await?;
    let sessions = api.service.sessions(&account).into_iter().map(|session| session.record(None)).collect();
    ok(Sessions { sessions })
}

/// One session of the gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LiveSession {
    account: String,
    session: String,
    device: v1::Device,
    /// When it logged in.
    connected_at: u64,
    /// Accounts with updates that wait for this session. If the number stays above a few, the session reads slowly.
    pending: usize,
    /// The stamp up to which this session has received everything, as last reported to it; none while it is catching up.
    /// Stamps number all changes, so this may be behind `horizon` although nothing waits for the session.
    told: Option<u64>,
}

impl LiveSession {
    pub(super) fn of(status: SessionStatus) -> Self {
        let SessionStatus { info, account, pending, delivered_up_to: told } = status;
        let (session, account) = (info.id.to_string(), account.to_string());
        Self { account, session, device: info.device, connected_at: info.connected_at, pending, told }
    }
}

/// A page of sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveSessions {
    sessions: Vec<LiveSession>,
    /// The stamp up to which every change has been marked for its watchers.
    #[serde(rename = "horizon")]
    watermark: u64,
    /// `after` of the next page, unless this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The names of gateways that did not answer: their sessions are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreached: Vec<String>,
}

/// The query of all sessions.
#[derive(Debug, Deserialize)]
pub(super) struct SessionsQuery {
    after: Option<String>,
    limit: Option<String>,
    prefix: Option<String>,
    device: Option<String>,
    pending: Option<String>,
}

/// All sessions of all gateways, in no order that means anything, but always the same.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "sessions", operation_id = "listAllSessions",
    params(("after" = Option<String>, Query, description = "the session after which to go on"),
           ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given"),
           ("prefix" = Option<String>, Query, pattern = r"^[A-Za-z0-9_@.-]{0,32}$",
               description = "Only sessions of accounts that begin with this"),
           ("device" = Option<String>, Query, max_length = 64, pattern = ".*",
               description = "Only sessions on devices of this type"),
           ("pending" = Option<u64>, Query, minimum = 0, maximum = 1_000_000_000,
               description = "Only sessions for which updates of so many accounts wait, or more")),
    responses((status = 200, description = "a page", body = LiveSessions))
)]
pub(super) async fn all_sessions(
    api: Shared,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Reply<LiveSessions> {
    let Query(SessionsQuery { after, limit, prefix, device, pending }) = named(query)?;
    let (after, limit) = sessions_page(after, limit.as_deref())?;
    let prefix = prefix.unwrap_or_default();
    if !prefix.is_empty() && prefix.bytes().any(|byte| byte != b'.') {
        Account::parse(&prefix, "prefix")?;
    }
    let pending = pending.as_deref().map_or(Ok(0), |pending| position("pending", pending))?;
    let pending = usize::try_from(pending).unwrap_or(usize::MAX);
    let filter = SessionFilter { prefix, device: device.unwrap_or_default(), pending };
    let (found, unreached) = api.service.sessions_everywhere(after, limit, &filter).await;
    let next = (found.len() == limit).then(|| found.last().map(|last| last.info.id.to_string())).flatten();
    let sessions = found.into_iter().map(LiveSession::of).collect();
    ok(LiveSessions { sessions, watermark: api.service.watermark(), next, unreached })
}

/// A session, beside how far this gateway is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionDetail {
    #[serde(flatten)]
    session: LiveSession,
    /// The stamp up to which every change has been marked for its watchers.
    #[serde(rename = "horizon")]
    watermark: u64,
}

/// One session, on whichever gateway.
#[utoipa::path(
    get, path = "/v1/sessions/{session}", tag = "sessions", operation_id = "getSession", params(("session" = String, Path)),
    responses((status = 200, description = "it is connected", body = SessionDetail))
)]
pub(super) async fn session(api: Shared, id: One) -> Reply<SessionDetail> {
    let Path(id) = named(id)?;
    let ids = rosterd_protocol::sessions(&[id]).map_err(|error| error.field("session"))?;
    let found = match ids.first() {
        Some(id) => api.service.session_anywhere(*id).await,
        None => None,
    };
    let gone = || RequestError::new(Reason::NotFound, "no such session is connected").field("session");
    let session = LiveSession::of(found.ok_or_else(gone)?);
    ok(SessionDetail { session, watermark: api.service.watermark() })
}

/// The sessions that were there and are ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Kicked)]
pub(super) struct KickedSessions {
    kicked: Vec<String>,
    /// The names of gateways that may have more of them and did not answer. Ask again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreached: Vec<String>,
}

impl KickedSessions {
    fn of(kicked: Kicked) -> Self {
        let Kicked { sessions, unreached } = kicked;
        Self { kicked: sessions.iter().map(ToString::to_string).collect(), unreached }
    }
}

/// Ends every session of an account. They do not come back by themselves.
#[utoipa::path(
    delete, path = "/v1/users/{account}/sessions", tag = "sessions", operation_id = "endSessions", params(("account" = String, Path)),
    responses((status = 200, description = "ended", body = KickedSessions))
)]
pub(super) async fn kick_all(api: Shared, caller: Caller, name: One) -> Reply<KickedSessions> {
    let account = account(name)?;
    api.service.get_user(&account).await?;
    let kicked = api.service.kick_for(&caller.origin(), &account, None).await?;
    ok(KickedSessions::of(kicked))
}

/// Ends one session of an account, if it is there.
#[utoipa::path(
    delete, path = "/v1/users/{account}/sessions/{session}", tag = "sessions", operation_id = "endSession",
    params(("account" = String, Path), ("session" = String, Path)),
    responses((status = 200, description = "ended", body = KickedSessions))
)]
pub(super) async fn kick(api: Shared, caller: Caller, names: Two) -> Reply<KickedSessions> {
    let (account, session) = account_and(names)?;
    let sessions = rosterd_protocol::sessions(&[session]).map_err(|error| error.field("session"))?;
    api.service.get_user(&account).await?;
    let kicked = api.service.kick_for(&caller.origin(), &account, Some(&sessions)).await?;
    ok(KickedSessions::of(kicked))
}

/// The presence of an account, as its own clients see it.
#[utoipa::path(
    get, path = "/v1/users/{account}/presence", tag = "presence", operation_id = "getPresence", params(("account" = String, Path)),
    responses((status = 200, description = "with `invisible`, and with its status", body = v1::Presence))
)]
pub(super) async fn presence(api: Shared, name: One) -> Reply<v1::Presence> {
    ok(api.service.presence(&account(name)?).await?)
}

/// What is to change of what an account chose about its presence; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PresenceUpdate {
    /// Whether it shows as offline.
    invisible: Option<bool>,
    /// The text that it shows beside it, at most 256 characters; an empty one ends it.
    #[schema(max_length = 256)]
    status: Option<String>,
    /// When the status ends, in milliseconds since 1970; without it when the account goes offline.
    until: Option<Millis>,
}

/// Shows an account as offline, or no longer, and sets its status.
#[utoipa::path(
    put, path = "/v1/users/{account}/presence", tag = "presence", operation_id = "setPresence", params(("account" = String, Path)),
    request_body = PresenceUpdate, responses((status = 200, description = "as it now is", body = v1::Presence))
)]
pub(super) async fn set_presence(api: Shared, caller: Caller, name: One, body: Body) -> Reply<v1::Presence> {
    let account = account(name)?;
    let PresenceUpdate { invisible, status, until } = read(body)?;
    let set = PresenceChange { invisible, status: GivenStatus::check(status, until)?, ..PresenceChange::default() };
    if set == PresenceChange::default() {
        let message = "nothing is to change: give invisible or status";
        return Err(RequestError::new(Reason::InvalidArgument, message).field("invisible").into());
    }
    api.service.set_presence(&account, set, None, caller.origin()).await?;
    ok(api.service.presence(&account).await?)
}

/// Accounts that do not exist.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Missing {
    missing: Vec<String>,
}

/// Brings the newest profiles of some accounts to the sessions of one that will need them in a moment.
#[utoipa::path(
    post, path = "/v1/users/{account}/hints", tag = "signals", operation_id = "sendHint", params(("account" = String, Path)),
    request_body = Accounts, responses((status = 200, description = "on their way, but for these", body = Missing))
)]
pub(super) async fn hint(api: Shared, name: One, body: Body) -> Reply<Missing> {
    let viewer = account(name)?;
    let asked: Accounts = read(body)?;
    api.service.get_user(&viewer).await.map_err(|error| error.field("account"))?;
    let missing = api.service.prefetch(&viewer, &asked.accounts).await?;
    ok(Missing { missing: missing.iter().map(ToString::to_string).collect() })
}

/// A small message, at most 4 KiB.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Signal)]
pub(super) struct SignalBody {
    to: String,
    payload: String,
}

/// What became of a signal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Signalled {
    /// Sessions that will receive it.
    delivered: u32,
    /// Sessions that read so slowly that they will not.
    dropped: u32,
}

/// Sends a small message in the name of an account to whoever is logged in as another; nothing of it is kept.
#[utoipa::path(
    post, path = "/v1/users/{account}/signals", tag = "signals", operation_id = "sendSignal", params(("account" = String, Path)),
    request_body = SignalBody, responses((status = 200, description = "handed over", body = Signalled))
)]
pub(super) async fn signal(api: Shared, name: One, body: Body) -> Reply<Signalled> {
    let from = account(name)?;
    let SignalBody { to, payload } = read(body)?;
    api.service.get_user(&from).await.map_err(|error| error.field("account"))?;
    let sent = api.service.signal(&from, &to, payload).await?;
    ok(Signalled { delivered: sent.delivered, dropped: sent.dropped })
}
