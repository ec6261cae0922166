//! The server API's routes for users, friends and imports.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{Refusal, bytes, made, named};
use crate::model::{Account, Reason, RequestError};
use crate::wire::{self, v1};

type Shared = State<Arc<Api>>;
type Body = Result<Bytes, BytesRejection>;
type One = Result<Path<String>, PathRejection>;
type Two = Result<Path<(String, String)>, PathRejection>;
type Answer<T> = Result<(StatusCode, Json<T>), Refusal>;

/// How many friends a page holds unless asked otherwise, and at most.
const PAGE: (usize, usize) = (100, 1000);

/// An empty answer: `{}`.
#[derive(Debug, Serialize)]
pub(super) struct Done {}

pub(super) async fn put(State(api): Shared, account: One, body: Body) -> Answer<v1::User> {
    let account = Account::parse(&named(account)?, "account")?;
    let update: v1::UpdateMyInfo = wire::body(&bytes(body)?)?;
    let if_version = update.if_version;
    let fields = wire::fields(update)?.or_cleared();
    Ok(user(&api.service.set_profile(&account, fields, if_version, true, None).await?))
}

pub(super) async fn patch(State(api): Shared, account: One, body: Body) -> Answer<v1::User> {
    let account = Account::parse(&named(account)?, "account")?;
    let update: v1::UpdateMyInfo = wire::body(&bytes(body)?)?;
    let if_version = update.if_version;
    Ok(user(&api.service.set_profile(&account, wire::fields(update)?, if_version, false, None).await?))
}

fn user(answer: &crate::model::Answer) -> (StatusCode, Json<v1::User>) {
    let profile = answer.profile.as_ref().expect("a profile that was set is answered");
    (made(answer.outcome), Json(v1::User::from(&**profile)))
}

pub(super) async fn get(State(api): Shared, account: One) -> Answer<v1::User> {
    let account = Account::parse(&named(account)?, "account")?;
    let profile = api.service.get_user(&account).await?;
    Ok((StatusCode::OK, Json(v1::User::from(&*profile))))
}

pub(super) async fn delete(State(api): Shared, account: One) -> Answer<Done> {
    let account = Account::parse(&named(account)?, "account")?;
    api.service.delete_user(&account).await?;
    Ok((StatusCode::OK, Json(Done {})))
}

pub(super) async fn batch_get(State(api): Shared, body: Body) -> Answer<v1::GetUsersReply> {
    let asked: v1::GetUsers = wire::body(&bytes(body)?)?;
    let (users, missing) = api.service.get_users(&asked.accounts).await?;
    let users = users.iter().map(|profile| v1::User::from(&**profile)).collect();
    let missing = missing.iter().map(ToString::to_string).collect();
    Ok((StatusCode::OK, Json(v1::GetUsersReply { users, missing })))
}

fn parties(pair: Two) -> Result<(Account, Account), Refusal> {
    let Path((account, peer)) = named(pair)?;
    Ok((Account::parse(&account, "account")?, Account::parse(&peer, "peer")?))
}

pub(super) async fn befriend(State(api): Shared, pair: Two) -> Answer<Done> {
    let (account, peer) = parties(pair)?;
    let outcome = api.service.befriend(&account, &peer).await?;
    Ok((made(outcome), Json(Done {})))
}

pub(super) async fn unfriend(State(api): Shared, pair: Two) -> Answer<Done> {
    let (account, peer) = parties(pair)?;
    api.service.unfriend(&account, &peer).await?;
    Ok((StatusCode::OK, Json(Done {})))
}

#[derive(Debug, Deserialize)]
pub(super) struct PageQuery {
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Friends {
    friends: Vec<v1::Friend>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// `?after=` the `next` of the page before, `&limit=` at most 1000.
pub(super) async fn friends(
    State(api): Shared,
    account: One,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Answer<Friends> {
    let account = Account::parse(&named(account)?, "account")?;
    let Query(query) = named(query)?;
    let after = query.after.map(|after| Account::parse(&after, "after")).transpose()?;
    let limit = match query.limit.as_deref().map(str::parse) {
        None => PAGE.0,
        Some(Ok(limit @ 1..)) if limit <= PAGE.1 => limit,
        Some(_) => {
            let message = format!("limit must be a whole number from 1 to {}", PAGE.1);
            return Err(RequestError::new(Reason::InvalidArgument, message).field("limit").into());
        }
    };
    let page = api.service.friends(&account, after, limit).await?;
    let friends = page.friends.iter().map(v1::Friend::from).collect();
    Ok((StatusCode::OK, Json(Friends { friends, next: page.next.map(|next| next.to_string()) })))
}

/// What an import did.
#[derive(Debug, Serialize)]
pub(super) struct Imported {
    /// Lines read.
    lines: usize,
    /// Lines that changed something.
    changed: usize,
}

/// One request is one transaction: a bad line, named by its number, and nothing is imported.
pub(super) async fn import(State(api): Shared, body: Body) -> Answer<Imported> {
    let body = bytes(body)?;
    let text =
        std::str::from_utf8(&body).map_err(|_| RequestError::new(Reason::InvalidArgument, "the body is not UTF-8"))?;
    let (mut commands, mut numbers) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        commands.push(wire::import_line(line).map_err(|error| at_line(number, error))?);
        numbers.push(number);
    }
    let changed = api.service.import(commands).await.map_err(|(at, error)| match error.reason {
        Reason::Unavailable => error,
        _ => at_line(numbers[at], error),
    })?;
    Ok((StatusCode::OK, Json(Imported { lines: numbers.len(), changed })))
}

/// The error of one line; its field is then the line.
fn at_line(number: usize, mut error: RequestError) -> RequestError {
    error.message = format!("line {number}: {}", error.message);
    error.field(format!("line {number}"))
}
