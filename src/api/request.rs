//! Reads requests: accounts in the path, a page in the query, an object in the body.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::answer::Refusal;
use super::state::Api;
use rosterd_engine::model::{Account, Reason, RequestError, SessionId};

pub(super) type Shared = State<Arc<Api>>;
pub(super) type Body = Result<Bytes, BytesRejection>;
pub(super) type One = Result<Path<String>, PathRejection>;
pub(super) type Two = Result<Path<(String, String)>, PathRejection>;
pub(super) type PageOf = Result<Query<PageQuery>, QueryRejection>;

/// How many records a page holds unless asked otherwise, and at most.
pub(super) const PAGE: (usize, usize) = (100, 1000);

/// Turns path and query that cannot be read into an error.
pub(super) fn named<T, R>(part: Result<T, R>) -> Result<T, Refusal> {
    part.map_err(|_| Refusal(RequestError::new(Reason::InvalidArgument, "the path or its query cannot be read")))
}

/// Reads the account in the path.
pub(super) fn account(name: One) -> Result<Account, Refusal> {
    let Path(name) = named(name)?;
    Ok(Account::parse(&name, "account")?)
}

/// Reads both accounts in the path.
pub(super) fn parties(names: Two) -> Result<(Account, Account), Refusal> {
    let Path((account, peer)) = named(names)?;
    Ok((Account::parse(&account, "account")?, Account::parse(&peer, "peer")?))
}

/// Reads the account in the path and the segment after it.
pub(super) fn account_and(names: Two) -> Result<(Account, String), Refusal> {
    let Path((account, rest)) = named(names)?;
    Ok((Account::parse(&account, "account")?, rest))
}

/// Returns the body, or an error about its size.
pub(super) fn bytes(body: Body) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        let (reason, message) = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => (Reason::LimitExceeded, "the body is too large"),
            _ => (Reason::InvalidArgument, "the body could not be read"),
        };
        Refusal(RequestError::new(reason, message))
    })
}

/// Reads the object in the body.
pub(super) fn read<T: for<'a> Deserialize<'a>>(body: Body) -> Result<T, Refusal> {
    Ok(rosterd_protocol::body(&bytes(body)?)?)
}

/// Reads the object in the body, which may be left out or `null`.
pub(super) fn read_if_any<T: for<'a> Deserialize<'a> + Default>(body: Body) -> Result<T, Refusal> {
    let body = bytes(body)?;
    if matches!(body.trim_ascii(), b"" | b"null") { Ok(T::default()) } else { Ok(rosterd_protocol::body(&body)?) }
}

/// `?after=` the `next` of the page before, `&limit=` at most 1000.
#[derive(Debug, Deserialize)]
pub(super) struct PageQuery {
    pub(super) after: Option<String>,
    pub(super) limit: Option<String>,
}

/// Reads the account that the page starts after, and the number of records asked for.
pub(super) fn page(query: PageOf) -> Result<(Option<Account>, usize), Refusal> {
    let Query(query) = named(query)?;
    let after = query.after.map(|after| Account::parse(&after, "after")).transpose()?;
    Ok((after, limit(query.limit.as_deref())?))
}

/// Reads the session that the page starts after, and the number of sessions asked for.
pub(super) fn sessions_page(after: Option<String>, asked: Option<&str>) -> Result<(Option<SessionId>, usize), Refusal> {
    let after =
        after.map(|after| rosterd_protocol::sessions(&[after]).map_err(|error| error.field("after"))).transpose()?;
    Ok((after.and_then(|after| after.first().copied()), limit(asked)?))
}

/// `?viewer=` the account whose view is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct ViewerQuery {
    viewer: Option<String>,
    field: Option<String>,
}

pub(super) type ViewerOf = Result<Query<ViewerQuery>, QueryRejection>;

/// Reads the account in `?viewer=`, and `&field=`, which of its parts is asked about, if one is.
pub(super) fn viewer(query: ViewerOf) -> Result<(Account, Option<String>), Refusal> {
    let Query(query) = named(query)?;
    Ok((Account::parse(query.viewer.as_deref().unwrap_or_default(), "viewer")?, query.field))
}

/// Reads the number of an entry or a change, as the server API writes them.
pub(super) fn position(field: &'static str, text: &str) -> Result<u64, Refusal> {
    let digits = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    let wrong = || RequestError::new(Reason::InvalidArgument, format!("{field} must be a number of at most 18 digits"));
    Ok(number.ok_or_else(|| wrong().field(field))?)
}

/// Reads how many records a page may have.
pub(super) fn limit(asked: Option<&str>) -> Result<usize, Refusal> {
    match asked.map(str::parse) {
        None => Ok(PAGE.0),
        Some(Ok(limit @ 1..)) if limit <= PAGE.1 => Ok(limit),
        Some(_) => {
            let message = format!("limit must be a whole number from 1 to {}", PAGE.1);
            Err(RequestError::new(Reason::InvalidArgument, message).field("limit").into())
        }
    }
}
