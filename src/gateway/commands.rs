//! From a command on the wire to the service, and its answer back.

use crate::hub::Seat;
use crate::metrics::Commanded;
use crate::model::{Millis, Reason, RequestError};
use crate::service::Service;
use crate::wire::{self, Command, v1};

/// What a command comes to.
pub(super) struct Executed {
    pub(super) reply: v1::ServerFrame,
    pub(super) then: Then,
}

/// What the session does after the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Stay,
    /// The token now ends at this time, or never.
    Renew(Option<Millis>),
    Leave,
}

/// Carries out a command of a session that is logged in.
pub(super) async fn execute(service: &Service, seat: &Seat, id: u64, command: Command) -> Executed {
    let name = command.name();
    let (result, executed) = match carry_out(service, seat, command).await {
        Ok((reply, then)) => ("OK", Executed { reply: v1::ServerFrame { id, ..reply }, then }),
        Err(error) => (error.reason.word(), Executed { reply: refusal(Some(id), &error), then: Then::Stay }),
    };
    service.metrics().commands.get_or_create(&Commanded { command: name, result }).inc();
    executed
}

async fn carry_out(service: &Service, seat: &Seat, command: Command) -> Result<(v1::ServerFrame, Then), RequestError> {
    let mut reply = v1::ServerFrame::default();
    let account = seat.session().account();
    match command {
        Command::Login(_) => return Err(RequestError::new(Reason::AlreadyExists, "this connection is logged in")),
        Command::Refresh(refresh) => {
            let expires_at = service.refresh(account, &refresh.token)?;
            reply.refresh_reply = Some(v1::RefreshReply { expires_at });
            return Ok((reply, Then::Renew(expires_at)));
        }
        Command::UpdateMyInfo(update) => {
            let if_version = update.if_version;
            let fields = wire::fields(update)?;
            let answer = service.set_profile(account, fields, if_version, false, Some(seat.session().id())).await?;
            let user = answer.profile.map(|profile| v1::User::from(&*profile));
            reply.update_my_info_reply = Some(v1::UpdateMyInfoReply { user });
        }
        Command::GetUsers(get) => {
            let (users, missing) = service.get_users(&get.accounts).await?;
            let users = users.iter().map(|profile| v1::User::from(&**profile)).collect();
            let missing = missing.iter().map(ToString::to_string).collect();
            reply.get_users_reply = Some(v1::GetUsersReply { users, missing });
        }
        Command::Logout(_) => {
            reply.logout_reply = Some(v1::LogoutReply {});
            return Ok((reply, Then::Leave));
        }
    }
    Ok((reply, Then::Stay))
}

/// The answer to a command that was not carried out.
pub(super) fn refusal(id: Option<u64>, error: &RequestError) -> v1::ServerFrame {
    v1::ServerFrame { id: id.unwrap_or_default(), error: Some(wire::error(error)), ..Default::default() }
}
