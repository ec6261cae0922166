//! The commands about relations: what each asks for, and the empty reply that says that it was done. What they
//! changed comes as `changes`, to the session that asked as to all others.

use rosterd_engine::model::{Account, Command as Asked, FriendUpdate, Request, RequestError};
use rosterd_protocol::{ClientCommand, v1};

/// What `account` asks for with a command about relations, and the reply once that is done.
///
/// # Errors
/// 414 with the offending field.
pub(super) fn asked(account: Account, command: ClientCommand) -> Result<(Asked, v1::ServerFrame), RequestError> {
    let mut reply = v1::ServerFrame::default();
    let asked = match command {
        ClientCommand::AddFriend(add) => {
            reply.add_friend_reply = Some(v1::AddFriendReply {});
            Asked::AddFriend { account, peer: peer(&add.account)?, message: Request::check(add.message)? }
        }
        ClientCommand::RequestFriend(request) => {
            reply.request_friend_reply = Some(v1::RequestFriendReply {});
            Asked::RequestFriend { account, peer: peer(&request.account)?, message: Request::check(request.message)? }
        }
        ClientCommand::AcceptFriend(accept) => {
            reply.accept_friend_reply = Some(v1::AcceptFriendReply {});
            Asked::AcceptFriend { account, peer: peer(&accept.account)? }
        }
        ClientCommand::RejectFriend(reject) => {
            reply.reject_friend_reply = Some(v1::RejectFriendReply {});
            Asked::RejectFriend { account, peer: peer(&reject.account)? }
        }
        ClientCommand::CancelRequest(cancel) => {
            reply.cancel_request_reply = Some(v1::CancelRequestReply {});
            Asked::CancelRequest { account, peer: peer(&cancel.account)? }
        }
        ClientCommand::DeleteFriend(delete) => {
            reply.delete_friend_reply = Some(v1::DeleteFriendReply {});
            Asked::DeleteFriend { account, peer: peer(&delete.account)? }
        }
        ClientCommand::UpdateFriend(update) => {
            reply.update_friend_reply = Some(v1::UpdateFriendReply {});
            Asked::UpdateFriend {
                account,
                peer: peer(&update.account)?,
                note: FriendUpdate::check(update.alias, update.custom)?,
            }
        }
        ClientCommand::Block(block) => {
            reply.block_reply = Some(v1::BlockReply {});
            Asked::Block { account, peer: peer(&block.account)? }
        }
        ClientCommand::Unblock(unblock) => {
            reply.unblock_reply = Some(v1::UnblockReply {});
            Asked::Unblock { account, peer: peer(&unblock.account)? }
        }
        other => unreachable!("{} is no command about relations", other.name()),
    };
    Ok((asked, reply))
}

fn peer(name: &str) -> Result<Account, RequestError> {
    Account::parse(name, "account")
}
