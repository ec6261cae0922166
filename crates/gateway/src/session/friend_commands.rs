//! Translates the commands about friends, requests and blocks, each with the empty reply that says that it was done.
//! What they change comes as `changes`, to the session that asked as to all others.

use rosterd_engine::model::{Account, Command, FriendUpdate, Request, RequestError};
use rosterd_protocol::{ClientCommand, v1};

/// Returns the command that `account` asks for, and the reply once that is done.
///
/// # Errors
/// 414 with the offending field.
pub(super) fn friend_command(
    account: Account,
    command: ClientCommand,
) -> Result<(Command, v1::ServerFrame), RequestError> {
    let mut reply = v1::ServerFrame::default();
    let command = match command {
        ClientCommand::AddFriend(add) => {
            reply.add_friend_reply = Some(v1::AddFriendReply {});
            Command::AddFriend { account, peer: peer(&add.account)?, message: Request::check(add.message)? }
        }
        ClientCommand::RequestFriend(request) => {
            reply.request_friend_reply = Some(v1::RequestFriendReply {});
            Command::RequestFriend { account, peer: peer(&request.account)?, message: Request::check(request.message)? }
        }
        ClientCommand::AcceptFriend(accept) => {
            reply.accept_friend_reply = Some(v1::AcceptFriendReply {});
            Command::AcceptFriend { account, peer: peer(&accept.account)? }
        }
        ClientCommand::RejectFriend(reject) => {
            reply.reject_friend_reply = Some(v1::RejectFriendReply {});
            Command::RejectFriend { account, peer: peer(&reject.account)? }
        }
        ClientCommand::CancelRequest(cancel) => {
            reply.cancel_request_reply = Some(v1::CancelRequestReply {});
            Command::CancelRequest { account, peer: peer(&cancel.account)? }
        }
        ClientCommand::DeleteFriend(delete) => {
            reply.delete_friend_reply = Some(v1::DeleteFriendReply {});
            Command::DeleteFriend { account, peer: peer(&delete.account)? }
        }
        ClientCommand::UpdateFriend(update) => {
            reply.update_friend_reply = Some(v1::UpdateFriendReply {});
            Command::UpdateFriend {
                account,
                peer: peer(&update.account)?,
                note: FriendUpdate::check(update.alias, update.custom)?,
                if_version: update.if_version,
            }
        }
        ClientCommand::Block(block) => {
            reply.block_reply = Some(v1::BlockReply {});
            Command::Block { account, peer: peer(&block.account)?, if_version: block.if_version }
        }
        ClientCommand::Unblock(unblock) => {
            reply.unblock_reply = Some(v1::UnblockReply {});
            Command::Unblock { account, peer: peer(&unblock.account)?, if_version: unblock.if_version }
        }
        other => unreachable!("{} is no command about friends", other.name()),
    };
    Ok((command, reply))
}

fn peer(name: &str) -> Result<Account, RequestError> {
    Account::parse(name, "account")
}
