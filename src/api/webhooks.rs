//! The server API's routes for endpoints that are sent events. The settings say which there are.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Done, Refusal, Reply, ok};
use super::request::{Body, One, Shared, Two, limit, named, read};
use super::state::Api;
use crate::service::{EndpointFailure, EndpointStatus, Replay, ReplayError};
use rosterd_engine::model::{FeedPosition, LogHistory, Millis, Reason, RequestError};
use rosterd_engine::sync::delivery::EventKey;

/// How far an endpoint has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhook {
    name: String,
    /// Without its query.
    url: String,
    enabled: bool,
    /// `running`, `paused` by an operator, `stopped` by a 410, `held` because it refused one event after the other.
    state: &'static str,
    /// Since when, in milliseconds since 1970.
    since: Millis,
    position: String,
    behind: Behind,
    last_success: Option<Millis>,
    last_failure: Option<WebhookFailure>,
    /// When the next request goes out, while it fails.
    next_try: Option<Millis>,
    /// The position up to which events come once more.
    replay_until: Option<String>,
    /// The number of events that it refused, which were skipped.
    dead: u64,
}

/// What an endpoint lacks.
#[derive(Serialize, ToSchema)]
pub(super) struct Behind {
    /// The changes after its position.
    changes: u64,
    /// The age of the oldest event among them.
    seconds: u64,
}

/// A request that failed.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookFailure {
    time: Millis,
    /// `null` if there was no answer.
    status: Option<u16>,
    /// What was wrong, or the beginning of the answer.
    text: String,
}

impl From<EndpointFailure> for WebhookFailure {
    fn from(failure: EndpointFailure) -> Self {
        Self { time: failure.time, status: failure.status, text: failure.text }
    }
}

impl From<EndpointStatus> for Webhook {
    fn from(status: EndpointStatus) -> Self {
        Self {
            name: status.name,
            url: status.url,
            enabled: status.enabled,
            state: status.kept.state.name(),
            since: status.kept.since,
            position: status.kept.position.to_string(),
            behind: Behind { changes: status.behind, seconds: status.behind_ms / 1000 },
            last_success: status.last_success,
            last_failure: status.last_failure.map(WebhookFailure::from),
            next_try: status.next_try,
            replay_until: status.replay_end.map(|end| end.to_string()),
            dead: status.dead,
        }
    }
}

/// All endpoints.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    webhooks: Vec<Webhook>,
}

/// The endpoints of the settings, and how far each has come.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    responses((status = 200, description = "all endpoints", body = WebhookList))
)]
pub(super) async fn list(api: Shared) -> Reply<WebhookList> {
    let endpoints = api.endpoints.endpoints().await?;
    ok(WebhookList { webhooks: endpoints.into_iter().map(Webhook::from).collect() })
}

/// An endpoint, and how far it has come.
#[utoipa::path(
    get, path = "/v1/webhooks/{name}", tag = "webhooks", operation_id = "getWebhook", params(("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$")),
    responses((status = 200, description = "the endpoint", body = Webhook))
)]
pub(super) async fn one(api: Shared, name: One) -> Reply<Webhook> {
    let Path(name) = named(name)?;
    ok(api.endpoints.endpoint(&name).await?.into())
}

/// Sends an endpoint no events until it is resumed, over restarts too.
#[utoipa::path(
    post, path = "/v1/webhooks/{name}/pause", tag = "webhooks", operation_id = "pauseWebhook",
    params(("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$")), responses((status = 200, description = "paused", body = Done))
)]
pub(super) async fn pause(api: Shared, caller: Caller, name: One) -> Reply<Done> {
    let Path(name) = named(name)?;
    audit(&api, &caller, "webhook.paused", &name).await?;
    api.endpoints.pause(&name).await?;
    ok(Done {})
}

/// Sends an endpoint events again, at once, whatever made them stop.
#[utoipa::path(
    post, path = "/v1/webhooks/{name}/resume", tag = "webhooks", operation_id = "resumeWebhook",
    params(("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$")), responses((status = 200, description = "resumed", body = Done))
)]
pub(super) async fn resume(api: Shared, caller: Caller, name: One) -> Reply<Done> {
    let Path(name) = named(name)?;
    audit(&api, &caller, "webhook.resumed", &name).await?;
    api.endpoints.resume(&name).await?;
    ok(Done {})
}

/// What an endpoint answered.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookAnswer {
    /// `null` if there was no answer.
    status: Option<u16>,
    /// What was wrong, or the beginning of the answer.
    text: String,
}

/// Sends an endpoint an event of the type `webhook.test`, at once and beside all others.
#[utoipa::path(
    post, path = "/v1/webhooks/{name}/test", tag = "webhooks", operation_id = "testWebhook",
    params(("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$")),
    responses((status = 200, description = "what the endpoint answered", body = WebhookAnswer))
)]
pub(super) async fn test(api: Shared, caller: Caller, name: One) -> Reply<WebhookAnswer> {
    let Path(name) = named(name)?;
    audit(&api, &caller, "webhook.tested", &name).await?;
    let tested = api.endpoints.test(&name).await?;
    ok(WebhookAnswer { status: tested.status, text: tested.text })
}

/// Which events come once more: one of the three.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct WebhookReplay {
    /// Those after a position.
    after: Option<String>,
    /// Those since a time, such as 2026-03-01T00:00:00Z.
    since: Option<String>,
    /// Those that the endpoint refused.
    dead: Option<bool>,
}

impl WebhookReplay {
    fn read(&self) -> Result<Replay, RequestError> {
        let wrong =
            |field: &'static str, message: &str| RequestError::new(Reason::InvalidArgument, message).field(field);
        match (&self.after, &self.since, self.dead.unwrap_or(false)) {
            (Some(after), None, false) => {
                after.parse::<FeedPosition>().map(Replay::After).map_err(|()| wrong("after", "after is no position"))
            }
            (None, Some(since), false) => {
                let time = humantime::parse_rfc3339(since).ok();
                let time = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                let time =
                    time.ok_or_else(|| wrong("since", "since is no time; write one such as 2026-03-01T00:00:00Z"))?;
                Ok(Replay::Since(time.as_millis() as Millis))
            }
            (None, None, true) => Ok(Replay::Dead),
            _ => Err(RequestError::new(Reason::InvalidArgument, "give one of after, since and \"dead\": true")),
        }
    }
}

/// Sends an endpoint events once more, before all later ones. One that is paused gets them when it is resumed.
#[utoipa::path(
    post, path = "/v1/webhooks/{name}/replay", tag = "webhooks", operation_id = "replayWebhook",
    params(("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$")), request_body = WebhookReplay,
    responses(
        (status = 200, description = "they come", body = Done),
        (status = 410, description = "they are not kept any more; `oldest` is the oldest position",
            body = serde_json::Value, content_type = "application/json"),
    )
)]
pub(super) async fn replay(api: Shared, caller: Caller, name: One, body: Body) -> Response {
    let replay = async {
        let Path(name) = named(name)?;
        let replay = read::<WebhookReplay>(body)?.read()?;
        audit(&api, &caller, "webhook.replayed", &name).await?;
        Ok::<_, Refusal>((name, replay))
    };
    let (name, replay) = match replay.await {
        Ok(replay) => replay,
        Err(refusal) => return refusal.into_response(),
    };
    let (reason, message, oldest) = match api.endpoints.replay(&name, replay).await {
        Ok(()) => return axum::Json(Done {}).into_response(),
        Err(ReplayError::Refused(error)) => return Refusal(error).into_response(),
        Err(ReplayError::Expired(oldest)) => ("CURSOR_EXPIRED", "these events are not kept any more", Some(oldest)),
        Err(ReplayError::Foreign) => ("CURSOR_FOREIGN", "this position is not one of this store", None),
    };
    let mut answer = json!({"error": {"code": 410, "reason": reason, "message": message}});
    if let Some(oldest) = oldest {
        answer["oldest"] = oldest.to_string().into();
    }
    (StatusCode::GONE, axum::Json(answer)).into_response()
}

/// An event that an endpoint refused.
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedEvent {
    /// The id of the event.
    event: String,
    /// When it was skipped, in milliseconds since 1970.
    time: Millis,
    /// The status of the last answer.
    status: u16,
}

/// Events that an endpoint refused, oldest first. `next` is there if there may be more.
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedEvents {
    dead: Vec<RefusedEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The query of the events that an endpoint refused.
#[derive(Debug, Deserialize)]
pub(super) struct RefusedQuery {
    after: Option<String>,
    limit: Option<String>,
}

/// The events that an endpoint refused by themselves, which were skipped. `replay` sends them once more.
#[utoipa::path(
    get, path = "/v1/webhooks/{name}/dead", tag = "webhooks", operation_id = "listDeadEvents",
    params(
        ("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$"),
        ("after" = Option<String>, Query, pattern = r"^[0-9a-f]{16}-([0-9]{1,16}-[0-9]{1,9}|p[0-9]{1,16})$",
            description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given"),
    ),
    responses((status = 200, description = "a page of them", body = RefusedEvents))
)]
pub(super) async fn dead(
    api: Shared,
    name: One,
    query: Result<Query<RefusedQuery>, QueryRejection>,
) -> Reply<RefusedEvents> {
    let (Path(name), Query(query)) = (named(name)?, named(query)?);
    let limit = limit(query.limit.as_deref())?;
    let after = query.after.as_deref().map(|after| event_key(after, "after")).transpose()?;
    let (history, letters) = api.endpoints.dead_letters(&name, after.map(|(_, key)| key), limit).await?;
    let id = |key: EventKey| key.id(history);
    let next = letters.last().filter(|_| letters.len() == limit).map(|last| id(last.event));
    let dead =
        letters.iter().map(|letter| RefusedEvent { event: id(letter.event), time: letter.time, status: letter.status });
    ok(RefusedEvents { dead: dead.collect(), next })
}

/// Forgets an event that an endpoint refused.
#[utoipa::path(
    delete, path = "/v1/webhooks/{name}/dead/{event}", tag = "webhooks", operation_id = "deleteDeadEvent",
    params(("name" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$"), ("event" = String, Path, pattern = r"^[0-9a-f]{16}-[0-9]{1,16}-[0-9]{1,9}$")),
    responses((status = 200, description = "forgotten", body = Done))
)]
pub(super) async fn remove_dead(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let Path((name, event)) = named(names)?;
    let (_, key) = event_key(&event, "event")?;
    audit(&api, &caller, "webhook.dead_removed", &name).await?;
    api.endpoints.remove_dead(&name, key).await?;
    ok(Done {})
}

/// Writes down what is about to be done to an endpoint, if there is one.
async fn audit(api: &Api, caller: &Caller, action: &'static str, name: &str) -> Result<(), RequestError> {
    api.endpoints.endpoint(name).await?;
    api.service.audit_webhook(&caller.origin(), action, name).await
}

/// Reads the id of an event.
fn event_key(id: &str, field: &'static str) -> Result<(LogHistory, EventKey), RequestError> {
    EventKey::of_id(id)
        .ok_or_else(|| RequestError::new(Reason::InvalidArgument, format!("{field} is no id of an event")).field(field))
}
