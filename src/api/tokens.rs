//! The server API's routes for tokens: static ones, and revocation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Done, Reply, ok};
use super::request::{Body, One, Shared, account, read_if_any};
use rosterd_engine::model::Millis;

/// A secret of your own, 16 to 128 visible ASCII characters that nobody can guess. Without one it is random.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct NewToken {
    #[serde(deserialize_with = "rosterd_protocol::or_default")]
    secret: Option<String>,
}

/// The token that the client logs in with: the account, a colon, and the secret. Only a hash is kept, so no other answer
/// contains the token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    token: String,
}

/// Sets the static token of an account, in the place of the one before. Sessions that are there stay.
#[utoipa::path(
    put, path = "/v1/users/{account}/token", tag = "tokens", operation_id = "setToken", params(("account" = String, Path)),
    request_body = Option<NewToken>, responses((status = 200, description = "good from now on", body = Token))
)]
pub(super) async fn set(api: Shared, caller: Caller, name: One, body: Body) -> Reply<Token> {
    let account = account(name)?;
    let NewToken { secret } = read_if_any(body)?;
    ok(Token { token: api.service.set_token(&account, secret, caller.origin()).await? })
}

/// Takes the static token of an account away. Sessions that are there stay.
#[utoipa::path(
    delete, path = "/v1/users/{account}/token", tag = "tokens", operation_id = "deleteToken", params(("account" = String, Path)),
    responses((status = 200, description = "it has none", body = Done))
)]
pub(super) async fn withdraw(api: Shared, caller: Caller, name: One) -> Reply<Done> {
    api.service.delete_token(&account(name)?, caller.origin()).await?;
    ok(Done {})
}

/// Which tokens.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Revocation {
    /// Those issued before this time, in milliseconds since 1970; now if not given.
    issued_before: Option<Millis>,
}

/// Tokens issued before this time are not accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Revoked {
    issued_before: Millis,
}

/// Accepts no token of an account that was issued before a time (`iat`, or when a static one was set), and ends the
/// sessions that go by one with 3500. A token without `iat` counts as issued before any time. The account need not exist.
#[utoipa::path(
    post, path = "/v1/users/{account}/tokens:revoke", tag = "tokens", operation_id = "revokeTokens", params(("account" = String, Path)),
    request_body = Option<Revocation>, responses((status = 200, description = "revoked", body = Revoked))
)]
pub(super) async fn revoke(api: Shared, caller: Caller, name: One, body: Body) -> Reply<Revoked> {
    let account = account(name)?;
    let Revocation { issued_before } = read_if_any(body)?;
    ok(Revoked { issued_before: api.service.revoke_tokens(&account, issued_before, caller.origin()).await? })
}
