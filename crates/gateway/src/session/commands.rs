//! Carries out commands: from the wire to the service, and the answer back.

use std::sync::Arc;
use std::time::Instant;

use super::friend_commands::friend_command;
use crate::hub::SessionHandle;
use crate::metrics::{Commanded, Kind};
use crate::service::{PostponedSignal, Repair, Service};
use rosterd_engine::model::{Account, Answer, GivenStatus, Millis, PresenceChange, Reason, RequestError, WriteOrigin};
use rosterd_protocol::{ClientCommand, v1};

/// The result of a command.
pub(super) struct CommandResult {
    pub(super) reply: v1::ServerFrame,
    pub(super) then: AfterReply,
}

/// The step that the session takes after the reply.
#[derive(Debug)]
pub(super) enum AfterReply {
    Stay,
    /// Go by a token that ends at this time, or never.
    Renew(Option<Millis>),
    /// Send what differs.
    Repair(Box<Repair>),
    /// Hand over a signal whose sender may not know who receives it.
    HandOver(Box<PostponedSignal>),
    Leave,
    /// Send no reply and end: whether the command was carried out is not known.
    End,
}

/// Carries out a command of a session that is logged in.
pub(super) async fn execute(
    service: &Service,
    handle: &mut SessionHandle,
    id: u64,
    command: ClientCommand,
) -> CommandResult {
    let run = CommandRun { id, name: command.name(), begun: Instant::now() };
    run.finish(service, carry_out(service, handle, command).await)
}

/// A command that is carried out.
pub(super) struct CommandRun {
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) begun: Instant,
}

impl CommandRun {
    /// Makes the answer, and counts.
    pub(super) fn finish(
        &self,
        service: &Service,
        result: Result<(v1::ServerFrame, AfterReply), RequestError>,
    ) -> CommandResult {
        let (id, name) = (self.id, self.name);
        let (result, executed) = match result {
            Ok((reply, then)) => ("OK", CommandResult { reply: v1::ServerFrame { id, ..reply }, then }),
            Err(error) => {
                let then = if error.reason == Reason::OutcomeUnknown { AfterReply::End } else { AfterReply::Stay };
                (error.reason.word(), CommandResult { reply: refusal(Some(id), &error), then })
            }
        };
        let metrics = service.metrics();
        metrics.commands.get_or_create(&Commanded { command: name, result }).inc();
        metrics.command_times.get_or_create(&Kind { kind: name }).observe(self.begun.elapsed().as_secs_f64());
        executed
    }
}

async fn carry_out(
    service: &Service,
    handle: &mut SessionHandle,
    command: ClientCommand,
) -> Result<(v1::ServerFrame, AfterReply), RequestError> {
    let mut then = AfterReply::Stay;
    let reply = match command {
        ClientCommand::Login(_) => {
            return Err(RequestError::new(Reason::AlreadyExists, "this connection is logged in"));
        }
        ClientCommand::Refresh(refresh) => {
            let expires_at = service.refresh(handle.session(), &refresh.token).await?;
            then = AfterReply::Renew(expires_at);
            v1::ServerFrame { refresh_reply: Some(v1::RefreshReply { expires_at }), ..Default::default() }
        }
        ClientCommand::Logout(_) => {
            then = AfterReply::Leave;
            v1::ServerFrame { logout_reply: Some(v1::LogoutReply {}), ..Default::default() }
        }
        ClientCommand::UpdateMyInfo(update) => update_my_info(service, handle, update).await?,
        ClientCommand::GetUsers(get) => get_users(service, handle, &get.accounts).await?,
        ClientCommand::GetSessions(_) => get_sessions(service, handle),
        ClientCommand::Kick(kick) => kick_others(service, handle, &kick.sessions).await?,
        ClientCommand::Watch(watch) => {
            let missing = names(&service.watch(handle, &watch.accounts).await?);
            v1::ServerFrame { watch_reply: Some(v1::WatchReply { missing }), ..Default::default() }
        }
        ClientCommand::Signal(signal) => {
            let (handed, postponed) = service.signal_from(handle, &signal.to, signal.payload).await?;
            then = postponed.map_or(AfterReply::Stay, |signal| AfterReply::HandOver(Box::new(signal)));
            let reply = v1::SignalReply { delivered: handed.delivered, dropped: handed.dropped };
            v1::ServerFrame { signal_reply: Some(reply), ..Default::default() }
        }
        ClientCommand::SetPresence(presence) => set_presence(service, handle, presence).await?,
        ClientCommand::SetMuted(v1::SetMuted { account, muted, if_version }) => {
            let origin = WriteOrigin::Client(handle.session().id());
            let answer = service.set_muted(handle.account(), &account, muted, if_version, origin).await?;
            let reply = v1::SetMutedReply { user: own_user(service, &answer) };
            v1::ServerFrame { set_muted_reply: Some(reply.into()), ..Default::default() }
        }
        ClientCommand::GetSchema(_) => {
            v1::ServerFrame { get_schema_reply: Some(Arc::unwrap_or_clone(service.schema())), ..Default::default() }
        }
        ClientCommand::Repair(asked) => {
            let repair = service.compare(handle, &asked.leaves).await?;
            let parts = repair.buckets().numbers();
            then = AfterReply::Repair(Box::new(repair));
            v1::ServerFrame { repair_reply: Some(v1::RepairReply { parts }), ..Default::default() }
        }
        command @ (ClientCommand::AddFriend(_)
        | ClientCommand::RequestFriend(_)
        | ClientCommand::AcceptFriend(_)
        | ClientCommand::RejectFriend(_)
        | ClientCommand::CancelRequest(_)
        | ClientCommand::DeleteFriend(_)
        | ClientCommand::UpdateFriend(_)
        | ClientCommand::Block(_)
        | ClientCommand::Unblock(_)) => {
            let (command, reply) = friend_command(handle.account().clone(), command)?;
            service.relate(command, WriteOrigin::Client(handle.session().id())).await?;
            reply
        }
    };
    Ok((reply, then))
}

async fn set_presence(
    service: &Service,
    handle: &SessionHandle,
    set: v1::SetPresence,
) -> Result<v1::ServerFrame, RequestError> {
    let (set, if_version) = presence_change(set)?;
    if set != PresenceChange::default() {
        let origin = WriteOrigin::Client(handle.session().id());
        service.set_presence(handle.account(), set, if_version, origin).await?;
    }
    Ok(presence_reply())
}

/// Checks a change of what an account chose about its presence.
pub(super) fn presence_change(set: v1::SetPresence) -> Result<(PresenceChange, Option<u64>), RequestError> {
    let v1::SetPresence { invisible, if_version, status, until } = set;
    let status = GivenStatus::check(status, until)?;
    Ok((PresenceChange { invisible, status, ..PresenceChange::default() }, if_version))
}

/// Makes the reply to such a change.
pub(super) fn presence_reply() -> v1::ServerFrame {
    v1::ServerFrame { set_presence_reply: Some(v1::SetPresenceReply {}), ..Default::default() }
}

async fn update_my_info(
    service: &Service,
    handle: &SessionHandle,
    update: v1::UpdateMyInfo,
) -> Result<v1::ServerFrame, RequestError> {
    let if_version = update.if_version;
    let fields = rosterd_protocol::fields(update)?;
    let answer = service
        .set_profile(handle.account(), fields, if_version, false, WriteOrigin::Client(handle.session().id()))
        .await?;
    Ok(my_info(service, &answer))
}

/// Makes the reply to a change of the profile.
pub(super) fn my_info(service: &Service, answer: &Answer) -> v1::ServerFrame {
    let reply = v1::UpdateMyInfoReply { user: own_user(service, answer) };
    v1::ServerFrame { update_my_info_reply: Some(reply.into()), ..Default::default() }
}

/// Returns the own profile after a change, as the account's clients see it.
fn own_user(service: &Service, answer: &Answer) -> Option<v1::User> {
    answer.profile.as_ref().map(|profile| v1::User::from(&*service.own_view(profile)))
}

async fn get_users(
    service: &Service,
    handle: &SessionHandle,
    accounts: &[String],
) -> Result<v1::ServerFrame, RequestError> {
    let (users, missing) = service.see_users(handle, accounts).await?;
    let users = users.iter().map(|profile| v1::User::from(&**profile.profile())).collect();
    let reply = v1::GetUsersReply { users, missing: names(&missing) };
    Ok(v1::ServerFrame { get_users_reply: Some(reply), ..Default::default() })
}

fn get_sessions(service: &Service, handle: &SessionHandle) -> v1::ServerFrame {
    let own = handle.session().id();
    let sessions = service.sessions(handle.account()).into_iter().map(|session| session.record(Some(own))).collect();
    v1::ServerFrame { get_sessions_reply: Some(v1::GetSessionsReply { sessions }), ..Default::default() }
}

async fn kick_others(
    service: &Service,
    handle: &SessionHandle,
    sessions: &[String],
) -> Result<v1::ServerFrame, RequestError> {
    let named = rosterd_protocol::sessions(sessions)?;
    if named.contains(&handle.session().id()) {
        let message = "sessions names the one that asks; it ends itself with logout";
        return Err(RequestError::new(Reason::InvalidArgument, message).field("sessions"));
    }
    let kicked = service.kick(handle.account(), Some(&named)).await.sessions.iter().map(ToString::to_string).collect();
    Ok(v1::ServerFrame { kick_reply: Some(v1::KickReply { kicked }), ..Default::default() })
}

fn names(accounts: &[Account]) -> Vec<String> {
    accounts.iter().map(ToString::to_string).collect()
}

/// Makes the answer to a command that was not carried out.
pub(super) fn refusal(id: Option<u64>, error: &RequestError) -> v1::ServerFrame {
    v1::ServerFrame { id: id.unwrap_or_default(), error: Some(rosterd_protocol::error(error)), ..Default::default() }
}
