//! The server API's routes for accounts and their profiles.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Done, Reply, made, ok};
use super::private::ForCaller;
use super::request::{Body, One, PageQuery, Shared, account, bytes, named, page, read};
use crate::service::{IMPORT_SLICE, Service};
use rosterd_engine::model::{Account, Answer, Command, Reason, RequestError};
use rosterd_protocol::v1;

/// Makes an account, or replaces its whole profile: a field that is not given is cleared.
#[utoipa::path(
    put, path = "/v1/users/{account}", tag = "users", operation_id = "replaceUser", params(("account" = String, Path)),
    request_body = v1::UpdateMyInfo,
    responses((status = 200, description = "replaced", body = v1::User), (status = 201, description = "made", body = v1::User))
)]
pub(super) async fn put(api: Shared, caller: Caller, name: One, body: Body) -> Reply<ForCaller<v1::User>> {
    let account = account(name)?;
    let update: v1::UpdateMyInfo = read(body)?;
    let if_version = update.if_version;
    let fields = rosterd_protocol::fields(update)?.or_cleared();
    let answer = api.service.set_profile(&account, fields, if_version, true, caller.origin()).await?;
    Ok(user(&api.service, &caller, &answer))
}

/// Changes the given fields of a profile.
#[utoipa::path(
    patch, path = "/v1/users/{account}", tag = "users", operation_id = "updateUser", params(("account" = String, Path)),
    request_body = v1::UpdateMyInfo, responses((status = 200, description = "the whole profile", body = v1::User))
)]
pub(super) async fn patch(api: Shared, caller: Caller, name: One, body: Body) -> Reply<ForCaller<v1::User>> {
    let account = account(name)?;
    let update: v1::UpdateMyInfo = read(body)?;
    let if_version = update.if_version;
    let fields = rosterd_protocol::fields(update)?;
    let answer = api.service.set_profile(&account, fields, if_version, false, caller.origin()).await?;
    Ok(user(&api.service, &caller, &answer))
}

fn user(service: &Service, caller: &Caller, answer: &Answer) -> (StatusCode, Json<ForCaller<v1::User>>) {
    let profile = answer.profile.as_ref().expect("a profile that was set is answered");
    (made(answer.outcome), Json(caller.sees_user(service, profile)))
}

/// One profile, whole.
#[utoipa::path(
    get, path = "/v1/users/{account}", tag = "users", operation_id = "getUser", params(("account" = String, Path)),
    responses((status = 200, description = "the whole profile", body = v1::User))
)]
pub(super) async fn get(api: Shared, caller: Caller, name: One) -> Reply<ForCaller<v1::User>> {
    let profile = api.service.get_user(&account(name)?).await?;
    ok(caller.sees_user(&api.service, &profile))
}

/// The query of a page of accounts.
#[derive(Debug, Deserialize)]
pub(super) struct UsersQuery {
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsersPage {
    #[schema(value_type = Vec<v1::User>)]
    users: Vec<ForCaller<v1::User>>,
    /// `after` of the next page, unless this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// All profiles, or those whose account begins with a text, in order of the account, in pages.
///
/// There is no search by other fields: a search index that follows the feed answers that better.
#[utoipa::path(
    get, path = "/v1/users", tag = "users", operation_id = "listUsers",
    params(
        ("prefix" = Option<String>, Query, pattern = r"^[A-Za-z0-9_@.-]{0,32}$",
            description = "What the account begins with; all unless given"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given"),
    ),
    responses((status = 200, description = "a page", body = UsersPage))
)]
pub(super) async fn list(
    api: Shared,
    caller: Caller,
    query: Result<Query<UsersQuery>, QueryRejection>,
) -> Reply<UsersPage> {
    let Query(UsersQuery { prefix, after, limit }) = named(query)?;
    let prefix = prefix.unwrap_or_default();
    if !prefix.is_empty() && prefix.bytes().any(|byte| byte != b'.') {
        Account::parse(&prefix, "prefix")?;
    }
    let (after, limit) = page(Ok(Query(PageQuery { after, limit })))?;
    let (found, next) = api.service.users(&prefix, after, limit).await?;
    let users = found.iter().map(|profile| caller.sees_user(&api.service, profile)).collect();
    ok(UsersPage { users, next: next.map(|next| next.to_string()) })
}

/// Deletes an account and erases everything that is kept about it. Its sessions end, and its friends receive the removal.
#[utoipa::path(
    delete, path = "/v1/users/{account}", tag = "users", operation_id = "deleteUser", params(("account" = String, Path)),
    responses((status = 200, description = "gone", body = Done))
)]
pub(super) async fn delete(api: Shared, caller: Caller, name: One) -> Reply<Done> {
    api.service.delete_user(&account(name)?, caller.origin()).await?;
    ok(Done {})
}

/// Everything that is kept about one account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Export)]
pub(super) struct ExportBody {
    user: v1::User,
    friends: Vec<v1::Friend>,
    /// The open ones.
    requests: Vec<v1::Request>,
    blocks: Vec<v1::BlockRecord>,
    presence: v1::Presence,
}

/// Everything that is kept about an account, in one document.
#[utoipa::path(
    get, path = "/v1/users/{account}/export", tag = "users", operation_id = "exportUser", params(("account" = String, Path)),
    responses((status = 200, description = "all of it", body = ExportBody))
)]
pub(super) async fn export(api: Shared, name: One) -> Reply<ExportBody> {
    let account = account(name)?;
    let export = api.service.export(&account).await?;
    ok(ExportBody {
        user: v1::User::from(&*export.user),
        friends: export.friends.iter().map(v1::Friend::from).collect(),
        requests: export.requests.iter().map(v1::Request::from).collect(),
        blocks: export.blocks.iter().map(v1::BlockRecord::from).collect(),
        presence: export.presence,
    })
}

/// Accounts, at most 150.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Accounts {
    #[schema(max_items = 150)]
    #[serde(deserialize_with = "rosterd_protocol::or_default")]
    pub(super) accounts: Vec<String>,
}

/// What of the accounts asked for exists, and what does not; each once and in the order asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Found {
    #[schema(value_type = Vec<v1::User>)]
    users: Vec<ForCaller<v1::User>>,
    missing: Vec<String>,
}

/// Looks up profiles.
#[utoipa::path(
    post, path = "/v1/users:batchGet", tag = "users", operation_id = "getUsers", request_body = Accounts,
    responses((status = 200, description = "every account in one of the lists", body = Found))
)]
pub(super) async fn batch_get(api: Shared, caller: Caller, body: Body) -> Reply<Found> {
    let asked: Accounts = read(body)?;
    let (users, missing) = api.service.get_users(&asked.accounts).await?;
    let users = users.iter().map(|profile| caller.sees_user(&api.service, profile)).collect();
    ok(Found { users, missing: missing.iter().map(ToString::to_string).collect() })
}

/// Changes to one profile of a batch: the fields that are given.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "the shape, for the document; `rosterd_protocol::batch` reads it")]
pub(super) struct BatchUser {
    account: String,
    /// Make the account if it is not there.
    create: Option<bool>,
    #[schema(inline)]
    #[serde(flatten)]
    fields: v1::UpdateMyInfo,
}

/// Changes to profiles, at most 150, each account once.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape, for the document; `rosterd_protocol::batch` reads it")]
pub(super) struct Batch {
    #[schema(max_items = 150)]
    users: Vec<BatchUser>,
}

/// Profiles, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Users {
    #[schema(value_type = Vec<v1::User>)]
    users: Vec<ForCaller<v1::User>>,
}

/// Changes several profiles, all of them or none.
#[utoipa::path(
    post, path = "/v1/users:batchUpdate", tag = "users", operation_id = "updateUsers", request_body = Batch,
    responses((status = 200, description = "the whole profiles", body = Users))
)]
pub(super) async fn batch_update(api: Shared, caller: Caller, body: Body) -> Reply<Users> {
    let commands = rosterd_protocol::batch(&bytes(body)?)?;
    let profiles = api.service.set_profiles(commands, caller.origin()).await.map_err(|(at, error)| {
        if error.reason == Reason::Unavailable {
            return error;
        }
        let field = format!("users[{at}].{}", error.field.as_deref().unwrap_or("account"));
        error.field(field)
    })?;
    ok(Users { users: profiles.iter().map(|profile| caller.sees_user(&api.service, profile)).collect() })
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Imported {
    /// Lines read.
    lines: usize,
    /// Lines that changed something.
    changed: usize,
}

/// Imports lines: `{"user": {"account": "alice", "nick": "Alice"}}`, `{"friendship": ["alice", "bob"]}`,
/// `{"block": ["alice", "mallory"]}`, and the records of a snapshot: its users first, then its blocks, friends and
/// requests. If a line cannot be read, nothing is imported and the error names the line by its
/// number. Every 100 lines are one transaction, so that the writes of clients get their turn: if a line is refused, its
/// transaction is not done and those before it stay. To import the same lines again is harmless.
#[utoipa::path(
    post, path = "/v1/import", tag = "users", operation_id = "importLines", request_body(content((String = "application/x-ndjson"), (Vec<u8> = "application/octet-stream"))),
    responses((status = 200, description = "imported", body = Imported))
)]
pub(super) async fn import(api: Shared, caller: Caller, body: Body) -> Reply<Imported> {
    let body = bytes(body)?;
    let text =
        std::str::from_utf8(&body).map_err(|_| RequestError::new(Reason::InvalidArgument, "the body is not UTF-8"))?;
    let (mut commands, mut numbers) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let command = rosterd_protocol::import_line(line).map_err(|error| at_line(number, error))?;
        if matches!(command, Command::AdoptCredential { .. }) {
            let message = "token hashes do not go over HTTP: import them straight into the store";
            return Err(at_line(number, RequestError::new(Reason::PermissionDenied, message)).into());
        }
        commands.push(command);
        numbers.push(number);
    }
    let changed = api.service.import(commands, &caller.import_origin()).await.map_err(|(at, error)| {
        if error.reason == Reason::Unavailable {
            return error;
        }
        let stay = at - at % IMPORT_SLICE;
        let mut error = at_line(numbers[at], error);
        if stay > 0 {
            let _ = write!(error.message, "; the {stay} lines before line {} are imported", numbers[stay]);
        }
        error
    })?;
    ok(Imported { lines: numbers.len(), changed })
}

/// Makes the error one of a line, and its field the line.
fn at_line(number: usize, mut error: RequestError) -> RequestError {
    error.message = format!("line {number}: {}", error.message);
    error.field(format!("line {number}"))
}
