//! Carries out the commands that a hook is asked about.
//!
//! Only the call to the hook is out while the session goes on; everything before and after it is done in line, as for
//! any other command. There is one such command at a time, in a box that a session has only meanwhile.

use std::task::{Context, Poll};
use std::time::Instant;

use super::commands::{AfterReply, CommandResult, CommandRun, my_info, presence_change, presence_reply};
use super::friend_commands::friend_command;
use crate::hub::SessionHandle;
use crate::service::{AskedWrite, HookKind, HookStep, HookedWrite, Service};
use rosterd_engine::model::{Command, RequestError};
use rosterd_protocol::{ClientCommand, Inbound, v1};

/// A command that waits for the decision of a hook.
pub(super) struct AskedCommand {
    run: CommandRun,
    /// The reply once it is done; `None` for that to a change of the profile.
    reply: Option<v1::ServerFrame>,
    write: Box<AskedWrite>,
    /// The frame that came next, which is answered after this command. No more are read before that.
    next: Option<Inbound>,
}

/// How far a command has come.
pub(super) enum HookedResult {
    Done(Box<CommandResult>),
    Asks(Box<AskedCommand>),
}

/// Returns whether a hook wants to be asked about a command.
pub(super) fn asks(service: &Service, command: &ClientCommand) -> bool {
    kind(command).is_some_and(|kind| service.asks_hook(kind))
}

fn kind(command: &ClientCommand) -> Option<HookKind> {
    match command {
        ClientCommand::UpdateMyInfo(_) => Some(HookKind::Profile),
        ClientCommand::AddFriend(_) | ClientCommand::RequestFriend(_) => Some(HookKind::Friend),
        // To end a status, and to hide, is anybody's right.
        ClientCommand::SetPresence(set) => {
            set.status.as_ref().is_some_and(|status| !status.is_empty()).then_some(HookKind::Status)
        }
        _ => None,
    }
}

/// Begins a command that a hook wants to be asked about.
pub(super) async fn begin(service: &Service, handle: &SessionHandle, id: u64, command: ClientCommand) -> HookedResult {
    let run = CommandRun { id, name: command.name(), begun: Instant::now() };
    match prepare(service, handle, run.name, command) {
        Ok((write, reply)) => {
            let step = service.write_hooked(write).await;
            went(service, run, reply, step)
        }
        Err(error) => HookedResult::Done(Box::new(run.finish(service, Err(error)))),
    }
}

/// Checks the fields of a command, and makes the write.
fn prepare(
    service: &Service,
    handle: &SessionHandle,
    name: &'static str,
    command: ClientCommand,
) -> Result<(HookedWrite, Option<v1::ServerFrame>), RequestError> {
    let (account, session) = (handle.account().clone(), handle.session().clone());
    match command {
        ClientCommand::UpdateMyInfo(update) => {
            let if_version = update.if_version;
            let patch = rosterd_protocol::fields(update)?.check()?;
            let command = Command::SetProfile { account, patch, create: false, if_version };
            Ok((HookedWrite::new(HookKind::Profile, name, command, session), None))
        }
        ClientCommand::SetPresence(set) => {
            let (set, if_version) = presence_change(set)?;
            let command = service.presence_command(&account, set, if_version)?;
            Ok((HookedWrite::new(HookKind::Status, name, command, session), Some(presence_reply())))
        }
        other => {
            let (command, reply) = friend_command(account, other)?;
            Ok((HookedWrite::new(HookKind::Friend, name, command, session), Some(reply)))
        }
    }
}

impl AskedCommand {
    /// Waits for the hook.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.write.poll_answer(cx)
    }

    /// Returns whether the next frame may be read.
    pub(super) fn reads_on(&self) -> bool {
        self.next.is_none()
    }

    /// Keeps the frame that came next, unless there is nothing to answer.
    pub(super) fn keep(&mut self, inbound: Inbound) {
        if !matches!(inbound, Inbound::Heartbeat) {
            self.next = Some(inbound);
        }
    }

    /// Takes the frame that came next.
    pub(super) fn take_next(&mut self) -> Option<Inbound> {
        self.next.take()
    }

    /// Goes on once the hook has answered.
    pub(super) async fn proceed(self, service: &Service) -> HookedResult {
        let Self { run, reply, write, .. } = self;
        let step = service.write_decided(*write).await;
        went(service, run, reply, step)
    }
}

fn went(
    service: &Service,
    run: CommandRun,
    reply: Option<v1::ServerFrame>,
    step: Result<HookStep, RequestError>,
) -> HookedResult {
    match step {
        Ok(HookStep::Asks(write)) => HookedResult::Asks(Box::new(AskedCommand { run, reply, write, next: None })),
        Ok(HookStep::Done(answer)) => {
            let reply = reply.unwrap_or_else(|| my_info(service, &answer));
            HookedResult::Done(Box::new(run.finish(service, Ok((reply, AfterReply::Stay)))))
        }
        Err(error) => HookedResult::Done(Box::new(run.finish(service, Err(error)))),
    }
}
