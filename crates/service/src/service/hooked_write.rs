//! Carries out a client's write that a hook may want to decide: looks what it would come to, asks, and writes.
//!
//! Nothing is held meanwhile. The decision of the store is made again when the write is carried out, and a profile that
//! changed since the hook saw it is asked about once more.

use std::borrow::Cow;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::hooks::{HookDecisions, HookKind, HookStatus};
use super::roster::permit;
use super::state::{STORE_RETRY_MS, Service, unavailable};
use crate::hub::Session;
use crate::store::Rehearsal;
use rosterd_engine::model::{Answer, Command, Outcome, PresenceChange, Profile, Reason, RequestError, WriteOrigin};
use rosterd_protocol::{HookAnswer, HookQuestion, HookSubject};

/// How often a hook is asked anew at most, because the profile changed while it was asked.
const AGAIN: u32 = 3;

/// A client's write that a hook may want to decide.
pub struct HookedWrite {
    kind: HookKind,
    /// The name of the client's command.
    name: &'static str,
    command: Command,
    session: Arc<Session>,
    /// How often the hook was asked anew.
    again: u32,
}

/// A write whose hook is asked.
pub struct AskedWrite {
    write: HookedWrite,
    /// The version of the account's profile that the hook was shown.
    shown: u64,
    call: BoxFuture<'static, HookAnswer>,
    answer: Option<HookAnswer>,
}

/// How far a write has come.
pub enum HookStep {
    /// It is carried out.
    Done(Answer),
    /// The hook is asked; then [`Service::write_decided`] goes on.
    Asks(Box<AskedWrite>),
}

impl AskedWrite {
    /// Waits for the hook.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.answer.is_some() {
            return Poll::Ready(());
        }
        self.call.poll_unpin(cx).map(|answer| self.answer = Some(answer))
    }
}

impl HookedWrite {
    /// Creates the write of a session. `name` is that of its command.
    #[must_use]
    pub fn new(kind: HookKind, name: &'static str, command: Command, session: Arc<Session>) -> Self {
        Self { kind, name, command, session, again: 0 }
    }

    fn origin(&self) -> WriteOrigin {
        WriteOrigin::Client(self.session.id())
    }

    /// Returns the fields of a profile that the write gives, if it is about one.
    fn fields(&self) -> Option<Vec<&'static str>> {
        match &self.command {
            Command::SetProfile { patch, .. } => Some(patch.fields().given()),
            _ => None,
        }
    }

    fn question(&self, users: Vec<Arc<Profile>>) -> Option<HookQuestion> {
        let subject = match &self.command {
            Command::SetProfile { patch, .. } => {
                HookSubject::Profile { before: users.into_iter().next()?, set: patch.fields().clone() }
            }
            Command::AddFriend { peer, message, .. } | Command::RequestFriend { peer, message, .. } => {
                let (command, peer, message) = (self.name, peer.clone(), message.clone());
                HookSubject::Friend { command, peer, message, users }
            }
            Command::SetPresence { set: PresenceChange { status: Some(status), .. }, .. } => {
                HookSubject::Status { status: status.clone(), user: users.into_iter().next()? }
            }
            _ => return None,
        };
        let (account, session) = (self.session.account().clone(), self.session.id());
        Some(HookQuestion { account, session, device: self.session.device().cloned(), subject })
    }

    /// Returns the command as the hook wants it, resting on the profile that the hook saw.
    fn decided(&self, answer: HookAnswer, shown: u64) -> Result<Command, RequestError> {
        let mut command = self.command.clone();
        if let Command::SetProfile { if_version, .. } = &mut command {
            *if_version = Some(shown);
        }
        match (&mut command, answer) {
            (_, HookAnswer::Allow) => {}
            (_, HookAnswer::Deny(error)) => return Err(error),
            (Command::SetProfile { patch, .. }, HookAnswer::SetFields(set)) => *patch = set,
            (
                Command::AddFriend { message, .. } | Command::RequestFriend { message, .. },
                HookAnswer::SetMessage(set),
            ) => *message = set,
            (Command::SetPresence { set, .. }, HookAnswer::SetStatus(text)) => {
                set.status = set.status.take().map(|given| given.with_text(text));
            }
            (_, HookAnswer::SetFields(_) | HookAnswer::SetMessage(_) | HookAnswer::SetStatus(_)) => {
                return Err(RequestError::new(Reason::Unavailable, "the hook's decision is about something else"));
            }
        }
        Ok(command)
    }

    /// Whether the write may rest on another version of the profile than the hook saw.
    fn takes_any_version(&self) -> bool {
        matches!(self.command, Command::SetProfile { if_version: None, .. })
    }
}

impl Service {
    /// Lets hooks decide about clients' writes.
    #[must_use]
    pub fn with_hooks(self, hooks: Arc<dyn HookDecisions>) -> Self {
        Self { hooks: Some(hooks), ..self }
    }

    /// Returns whether a hook is asked about writes of this kind.
    #[must_use]
    pub fn asks_hook(&self, kind: HookKind) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.wants(kind))
    }

    /// Returns how each hook is doing.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookStatus> {
        self.hooks.as_ref().map_or_else(Vec::new, |hooks| hooks.hooks())
    }

    /// Begins a write: asks the hook, unless it would be refused or change nothing anyway.
    ///
    /// # Errors
    /// Those of the command, 403 if clients may not do this here, 503.
    pub async fn write_hooked(&self, write: HookedWrite) -> Result<HookStep, RequestError> {
        permit(self.settings.friends, &write.command)?;
        if let Command::SetProfile { patch, .. } = &write.command {
            self.permit_fields(patch.fields(), &write.origin())?;
        }
        if write.fields().is_some_and(|given| !self.wants_fields(&given)) {
            let origin = write.origin();
            return self.write_one(write.command, origin).await.map(HookStep::Done);
        }
        let Rehearsal { answer, users } = self.rehearse(write.command.clone()).await?;
        if answer.outcome == Outcome::Unchanged {
            return Ok(HookStep::Done(answer));
        }
        let shown = users.first().map_or(0, |user| user.version);
        let is_wanted = match (users.first(), &answer.profile) {
            (Some(before), Some(after)) => {
                let changed = before.changed_fields(after);
                let name = |field: &Cow<'static, str>| match field {
                    Cow::Borrowed(name) => *name,
                    Cow::Owned(_) => Profile::OWN,
                };
                self.wants_fields(&changed.iter().map(name).collect::<Vec<_>>())
            }
            _ => true,
        };
        let question = write.question(users).filter(|_| is_wanted);
        let asked = question.and_then(|question| self.hooks.as_ref()?.ask(write.kind, question));
        // What need not be asked about rests on this version of the profile, too.
        let call = asked.unwrap_or_else(|| Box::pin(ready(HookAnswer::Allow)));
        Ok(HookStep::Asks(Box::new(AskedWrite { write, shown, call, answer: None })))
    }

    /// Goes on with a write whose hook has answered.
    ///
    /// # Errors
    /// Those of the command, 451 if the hook refuses, 503.
    pub async fn write_decided(&self, asked: AskedWrite) -> Result<HookStep, RequestError> {
        let AskedWrite { mut write, shown, call, answer } = asked;
        let answer = match answer {
            Some(answer) => answer,
            None => call.await,
        };
        let sets = matches!(answer, HookAnswer::SetFields(_));
        match self.write_one(write.decided(answer, shown)?, write.origin()).await {
            // Only now it is known what an own field may hold.
            Err(error) if sets && error.reason == Reason::InvalidArgument => {
                Err(RequestError::new(Reason::Unavailable, "the hook's decision cannot be carried out"))
            }
            Err(error) if error.reason == Reason::VersionMismatch && write.takes_any_version() => {
                if write.again == AGAIN {
                    let message = "the profile kept changing while this change was checked; try again later";
                    return Err(RequestError::new(Reason::Unavailable, message).retry_after(STORE_RETRY_MS));
                }
                write.again += 1;
                self.write_hooked(write).await
            }
            written => written.map(HookStep::Done),
        }
    }

    fn wants_fields(&self, fields: &[&str]) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.wants_fields(fields))
    }

    /// Finds out what a command would come to. What is refused, or changes nothing, may be so because of a change that is
    /// still on its way to the hub: such an answer waits for that, as the answer to a write does.
    async fn rehearse(&self, command: Command) -> Result<Rehearsal, RequestError> {
        let rehearsed = self.store.rehearse(command).await.map_err(|error| unavailable(&error))?;
        if rehearsed.as_ref().map_or(true, |would| would.answer.outcome == Outcome::Unchanged) {
            self.hub.until_applied(self.store.head()).await;
        }
        rehearsed
    }
}
