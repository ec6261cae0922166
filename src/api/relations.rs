//! The server API's routes for friends, requests, blocks and muted accounts.
//!
//! A second PUT or DELETE of the same friend or block is no error: it answers 200 and changes nothing. So is a second
//! DELETE of a request; a second PUT of one answers 200 while it is open, and 409 once the two are friends.
//! All of them answer 404 if an account does not exist, except that a block of an account that is gone can be deleted, and one
//! that is muted taken off the list.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Done, Refusal, Reply, done, ok};
use super::private::ForCaller;
use super::request::{Body, One, PageOf, Shared, Two, account, page, parties, read, read_if_any};
use super::state::Api;
use rosterd_engine::model::{Account, Command, FriendUpdate, Outcome, Reason, Request, RequestError};
use rosterd_protocol::v1;

/// Carries out a command as if a client of `account` had sent it.
///
/// In such a command the field `account` names the peer, so an error about that field is one about `peer` here.
async fn relate(api: &Api, caller: &Caller, account: &Account, command: Command) -> Result<Outcome, RequestError> {
    api.service.get_user(account).await.map_err(|error| error.field("account"))?;
    let related = api.service.relate(command, caller.origin()).await;
    related.map_err(|error| if error.field.as_deref() == Some("account") { error.field("peer") } else { error })
}

/// A page of a friend list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Friends {
    #[schema(value_type = Vec<v1::Friend>)]
    friends: Vec<ForCaller<v1::Friend>>,
    /// Where the next page begins: its `after`. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The friends of an account, in pages.
#[utoipa::path(
    get, path = "/v1/users/{account}/friends", tag = "friends", operation_id = "listFriends",
    params(
        ("account" = String, Path),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given"),
    ),
    responses((status = 200, description = "a page", body = Friends))
)]
pub(super) async fn friends(api: Shared, caller: Caller, name: One, query: PageOf) -> Reply<Friends> {
    let account = account(name)?;
    let (after, limit) = page(query)?;
    let page = api.service.friends(&account, after, limit).await?;
    let friends = page.friends.iter().map(|friend| caller.sees(v1::Friend::from(friend))).collect();
    ok(Friends { friends, next: page.next.map(|next| next.to_string()) })
}

/// Makes two accounts friends of each other, whatever stands between them.
#[utoipa::path(
    put, path = "/v1/users/{account}/friends/{peer}", tag = "friends", operation_id = "addFriend",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "they are", body = Done), (status = 201, description = "now they are", body = Done))
)]
pub(super) async fn befriend(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    done(api.service.relate(Command::Befriend { account, peer }, caller.origin()).await?)
}

/// Ends a friendship, in both directions.
#[utoipa::path(
    delete, path = "/v1/users/{account}/friends/{peer}", tag = "friends", operation_id = "deleteFriend",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "they are none", body = Done))
)]
pub(super) async fn unfriend(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    api.service.relate(Command::Unfriend { account, peer }, caller.origin()).await?;
    ok(Done {})
}

/// What an account notes about a friend. Only the given fields change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = FriendUpdate)]
pub(super) struct FriendUpdateBody {
    #[schema(max_length = 128)]
    alias: Option<String>,
    #[schema(max_length = 256)]
    custom: Option<String>,
}

/// Changes what an account notes about a friend.
#[utoipa::path(
    patch, path = "/v1/users/{account}/friends/{peer}", tag = "friends", operation_id = "updateFriend",
    params(("account" = String, Path), ("peer" = String, Path)), request_body = FriendUpdateBody,
    responses((status = 200, description = "the relation", body = v1::Friend))
)]
pub(super) async fn update_friend(api: Shared, caller: Caller, names: Two, body: Body) -> Reply<ForCaller<v1::Friend>> {
    let (account, peer) = parties(names)?;
    let update: FriendUpdateBody = read(body)?;
    let note = FriendUpdate::check(update.alias, update.custom)?;
    let update = Command::UpdateFriend { account: account.clone(), peer: peer.clone(), note, if_version: None };
    relate(&api, &caller, &account, update).await?;
    let friend = api.service.friend(&account, &peer).await.map_err(|error| error.field("peer"))?;
    ok(caller.sees(v1::Friend::from(&friend)))
}

/// Open requests, in order of the other side.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Requests {
    #[schema(value_type = Vec<v1::Request>)]
    requests: Vec<ForCaller<v1::Request>>,
}

/// The open requests from and to an account.
#[utoipa::path(
    get, path = "/v1/users/{account}/requests", tag = "requests", operation_id = "listRequests", params(("account" = String, Path)),
    responses((status = 200, description = "all of them", body = Requests))
)]
pub(super) async fn requests(api: Shared, caller: Caller, name: One) -> Reply<Requests> {
    let account = account(name)?;
    let requests = api.service.requests(&account).await?;
    ok(Requests { requests: requests.iter().map(|request| caller.sees(v1::Request::from(request))).collect() })
}

/// What goes with a request.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Ask {
    #[schema(max_length = 256)]
    #[serde(deserialize_with = "rosterd_protocol::or_default")]
    message: String,
}

/// Lets an account ask the peer for friendship. If the peer asks too, they are friends. The message of a request that
/// is open already stays.
#[utoipa::path(
    put, path = "/v1/users/{account}/requests/{peer}", tag = "requests", operation_id = "requestFriend",
    params(("account" = String, Path), ("peer" = String, Path)), request_body = Option<Ask>,
    responses((status = 200, description = "it is open", body = Done), (status = 201, description = "made", body = Done))
)]
pub(super) async fn ask(api: Shared, caller: Caller, names: Two, body: Body) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    let message = Request::check(read_if_any::<Ask>(body)?.message)?;
    let command = Command::RequestFriend { account: account.clone(), peer: peer.clone(), message };
    match relate(&api, &caller, &account, command).await {
        Err(error) if error.reason == Reason::AlreadyExists && is_open(&api, &account, &peer).await? => ok(Done {}),
        asked => done(asked?),
    }
}

/// Takes back the open request of an account to the peer.
#[utoipa::path(
    delete, path = "/v1/users/{account}/requests/{peer}", tag = "requests", operation_id = "cancelRequest",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "none is open", body = Done))
)]
pub(super) async fn cancel(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    api.service.get_user(&peer).await.map_err(|error| error.field("peer"))?;
    match relate(&api, &caller, &account, Command::CancelRequest { account: account.clone(), peer }).await {
        // Both accounts exist, so the request is what does not.
        Err(error) if error.reason == Reason::NotFound && error.field.as_deref() != Some("account") => ok(Done {}),
        Err(error) => Err(Refusal(error)),
        Ok(_) => ok(Done {}),
    }
}

/// Accepts the open request of the peer to an account.
#[utoipa::path(
    post, path = "/v1/users/{account}/requests/{peer}/accept", tag = "requests", operation_id = "acceptFriend",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "they are friends", body = Done))
)]
pub(super) async fn accept(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    relate(&api, &caller, &account, Command::AcceptFriend { account: account.clone(), peer }).await?;
    ok(Done {})
}

/// Rejects the open request of the peer to an account.
#[utoipa::path(
    post, path = "/v1/users/{account}/requests/{peer}/reject", tag = "requests", operation_id = "rejectFriend",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "rejected", body = Done))
)]
pub(super) async fn reject(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    relate(&api, &caller, &account, Command::RejectFriend { account: account.clone(), peer }).await?;
    ok(Done {})
}

async fn is_open(api: &Api, account: &Account, peer: &Account) -> Result<bool, RequestError> {
    let requests = api.service.requests(account).await?;
    Ok(requests.iter().any(|request| request.sender == *account && request.receiver == *peer))
}

/// A page of the accounts that an account blocks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Blocks {
    blocks: Vec<v1::BlockRecord>,
    /// Where the next page begins: its `after`. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The accounts that an account blocks, in pages.
#[utoipa::path(
    get, path = "/v1/users/{account}/blocks", tag = "blocks", operation_id = "listBlocks",
    params(
        ("account" = String, Path),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given"),
    ),
    responses((status = 200, description = "a page", body = Blocks))
)]
pub(super) async fn blocks(api: Shared, name: One, query: PageOf) -> Reply<Blocks> {
    let account = account(name)?;
    let (after, limit) = page(query)?;
    let page = api.service.blocks(&account, after, limit).await?;
    let blocks = page.blocks.iter().map(v1::BlockRecord::from).collect();
    ok(Blocks { blocks, next: page.next.map(|next| next.to_string()) })
}

/// Lets an account block the peer: the peer gets nothing more of it.
#[utoipa::path(
    put, path = "/v1/users/{account}/blocks/{peer}", tag = "blocks", operation_id = "blockUser",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "it did", body = Done), (status = 201, description = "now it does", body = Done))
)]
pub(super) async fn block(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    done(relate(&api, &caller, &account, Command::Block { account: account.clone(), peer, if_version: None }).await?)
}

/// Lets an account mute the peer: its clients may show less of it. Whom it mutes is `muted` of its profile.
#[utoipa::path(
    put, path = "/v1/users/{account}/muted/{peer}", tag = "users", operation_id = "muteUser",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "it does", body = Done))
)]
pub(super) async fn mute(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    set_muted(&api, &caller, names, true).await
}

/// Lets an account mute the peer no longer.
#[utoipa::path(
    delete, path = "/v1/users/{account}/muted/{peer}", tag = "users", operation_id = "unmuteUser",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "it does not", body = Done))
)]
pub(super) async fn unmute(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    set_muted(&api, &caller, names, false).await
}

async fn set_muted(api: &Api, caller: &Caller, names: Two, muted: bool) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    relate(api, caller, &account, Command::SetMuted { account: account.clone(), peer, muted, if_version: None })
        .await?;
    ok(Done {})
}

/// Ends a block.
#[utoipa::path(
    delete, path = "/v1/users/{account}/blocks/{peer}", tag = "blocks", operation_id = "unblockUser",
    params(("account" = String, Path), ("peer" = String, Path)),
    responses((status = 200, description = "it does not", body = Done))
)]
pub(super) async fn unblock(api: Shared, caller: Caller, names: Two) -> Reply<Done> {
    let (account, peer) = parties(names)?;
    relate(&api, &caller, &account, Command::Unblock { account: account.clone(), peer, if_version: None }).await?;
    ok(Done {})
}
