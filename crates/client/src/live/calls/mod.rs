//! Pending commands. Each gets an answer or an error in time.
//!
//! A command that cannot be sent now waits for the next connection. The gateway answers first and sends the change
//! afterwards; a call ends when its change has come too.
//!
//! A command whose answer was lost may have been carried out, and another device may have written since. Commands that
//! only read are sent again. A command that sets state waits in doubt for the end of the next catch-up, and is then
//! settled by what came. Commands about the same record keep their order meanwhile.

use std::collections::{BTreeMap, HashSet};

use rosterd_protocol::{ClientCommand, v1};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::effects;
use super::error::{MISMATCH, RosterdError, TIMEOUT};
use crate::Replica;

/// The answer to a command: the frame that carries it.
pub(super) type CallResult = Result<v1::ServerFrame, RosterdError>;

/// Whether it is known what became of a command that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallDoubt {
    None,
    /// The answer was lost, and the catch-up is not complete.
    Lost,
    /// It was sent again.
    Repeated,
    /// The record has another version by now, which has not come yet.
    Mismatched,
}

/// What became of the call that carried a change of the own profile that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditEnd {
    /// It is done, or failed: what is held shows the outcome.
    Over,
    /// Nobody waits for it now, but the change does.
    Waits,
}

/// The change of the own profile that a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CallEdit {
    id: u64,
    keep: bool,
}

/// The version of a record; `None` if there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CallBase(Option<u64>);

/// A command with its caller.
#[derive(Debug)]
pub(super) struct PendingCall {
    command: ClientCommand,
    /// The record that it sets, if it can be repeated for a version of that.
    key: Option<String>,
    sent: bool,
    /// The version of the record when the command was first sent.
    base: Option<CallBase>,
    doubt: CallDoubt,
    /// The reply, while the call waits for its effect.
    answer: Option<v1::ServerFrame>,
    /// When the caller gives up.
    deadline: Instant,
    /// When to ask whether the connection lives.
    probe_at: Option<Instant>,
    reply: oneshot::Sender<CallResult>,
    edit: Option<CallEdit>,
}

impl PendingCall {
    pub(super) fn new(
        command: ClientCommand,
        deadline: Instant,
        probe_at: Option<Instant>,
        reply: oneshot::Sender<CallResult>,
    ) -> Self {
        let (key, doubt) = (effects::key(&command), CallDoubt::None);
        Self { command, key, sent: false, base: None, doubt, answer: None, deadline, probe_at, reply, edit: None }
    }

    /// The command is a change of the own profile that shows.
    pub(super) fn showing(self, edit: u64) -> Self {
        Self { edit: Some(CallEdit { id: edit, keep: false }), ..self }
    }

    /// The command is a change of the own profile that waits for a connection, and rests on this version of it.
    ///
    /// So it is in doubt from the beginning: it is compared after a catch-up, like one whose answer was lost.
    pub(super) fn keeping(self, edit: u64, version: Option<u64>) -> Self {
        let (key, base) = (Some(effects::ME.to_owned()), Some(CallBase(version)));
        Self { key, base, doubt: CallDoubt::Lost, edit: Some(CallEdit { id: edit, keep: true }), ..self }
    }

    fn is_kept(&self) -> bool {
        self.edit.is_some_and(|edit| edit.keep)
    }

    /// Nobody waits for it any more, and it was not sent.
    fn is_abandoned(&self) -> bool {
        !self.sent && !self.is_kept() && self.reply.is_closed()
    }
}

/// A call that has ended, until its caller hears of it.
#[derive(Debug)]
struct EndedCall {
    reply: oneshot::Sender<CallResult>,
    result: CallResult,
    /// Somebody must hear of a failure, also if the caller is gone.
    is_kept: bool,
}

/// Sends a command under an id.
pub(super) type SendCommand<'a> = &'a mut dyn FnMut(u64, ClientCommand);

/// The pending commands of one account.
#[derive(Debug, Default)]
pub(super) struct PendingCalls {
    account: String,
    calls: BTreeMap<u64, PendingCall>,
    last_id: u64,
    /// Calls that have ended, until the snapshot shows why.
    ended: Vec<EndedCall>,
    /// What became of changes of the own profile that show.
    ended_edits: Vec<(u64, EditEnd)>,
}

impl PendingCalls {
    pub(super) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), ..Self::default() }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds a command, which the next [`PendingCalls::flush`] sends.
    pub(super) fn add(&mut self, call: PendingCall) {
        let id = self.next_id();
        self.calls.insert(id, call);
    }

    /// Notes what a change rests on that was made before the profile was known.
    pub(super) fn rest(&mut self, edit: u64, version: Option<u64>) {
        for call in self.calls.values_mut().filter(|call| call.edit.is_some_and(|of| of.id == edit)) {
            if call.base == Some(CallBase(None)) {
                call.base = Some(CallBase(version));
            }
        }
    }

    /// Returns the versions that the changes rest on which wait for a connection.
    pub(super) fn bases(&self) -> impl Iterator<Item = (u64, Option<u64>)> {
        self.calls.values().filter(|call| call.is_kept()).filter_map(|call| {
            let (edit, CallBase(version)) = (call.edit?, call.base?);
            Some((edit.id, version))
        })
    }

    /// Returns what became of changes since the last time.
    pub(super) fn ended_edits(&mut self) -> Vec<(u64, EditEnd)> {
        std::mem::take(&mut self.ended_edits)
    }

    /// Drops the calls that nobody waits for any more and that were not sent.
    pub(super) fn drop_abandoned(&mut self) {
        let Self { calls, ended_edits, .. } = self;
        calls.retain(|_, call| {
            let is_abandoned = call.is_abandoned();
            ended_edits.extend(call.edit.filter(|_| is_abandoned).map(|edit| (edit.id, EditEnd::Over)));
            !is_abandoned
        });
    }

    /// Sends waiting commands, the oldest first; those about a record that is in doubt wait for its settlement.
    ///
    /// Calls that nobody waits for any more are not sent.
    pub(super) fn flush(&mut self, replica: &Replica, send: SendCommand<'_>) {
        self.drop_abandoned();
        let mut doubtful = HashSet::new();
        for (id, call) in &mut self.calls {
            let waits = call.key.as_ref().is_some_and(|key| doubtful.contains(key));
            if call.doubt != CallDoubt::None {
                doubtful.extend(call.key.clone());
            }
            if call.sent || call.doubt == CallDoubt::Lost || waits {
                continue;
            }
            if call.key.is_some() && call.base.is_none() {
                call.base = Some(CallBase(effects::version(&call.command, &self.account, replica)));
            }
            let command = match call.doubt {
                CallDoubt::Repeated => {
                    effects::resting_on(&call.command, call.base.and_then(|CallBase(version)| version))
                }
                _ => call.command.clone(),
            };
            send(*id, command);
            call.sent = true;
        }
    }

    /// Notes the versions of a complete catch-up: the gateway carries out what was sent before its end after it.
    pub(super) fn caught_up(&mut self, replica: &Replica) {
        for call in self.calls.values_mut() {
            if call.base.is_some() && call.sent && call.doubt == CallDoubt::None {
                call.base = Some(CallBase(effects::version(&call.command, &self.account, replica)));
            }
        }
    }

    /// Settles commands in doubt after a catch-up, the oldest of each record first, and sends what waits.
    pub(super) fn reconsider(&mut self, replica: &Replica, send: SendCommand<'_>) {
        let mut busy = HashSet::new();
        for id in self.ids() {
            let Some(call) = self.calls.get(&id) else { continue };
            let Some(key) = call.key.clone() else { continue };
            if call.doubt == CallDoubt::None && !call.sent {
                continue;
            }
            if call.doubt == CallDoubt::Lost && !busy.contains(&key) {
                if self.compare(id, replica) {
                    continue;
                }
                self.set_doubt(id, CallDoubt::Repeated);
            }
            busy.insert(key);
        }
        self.flush(replica, send);
    }

    /// Hands a reply or an error to its caller. `false` if there is none.
    pub(super) fn settle(&mut self, frame: &v1::ServerFrame, replica: &Replica, shows: bool) -> bool {
        let id = frame.id;
        let Some(call) = self.calls.get_mut(&id) else { return false };
        match &frame.error {
            Some(error) if call.doubt == CallDoubt::Repeated && error.code == MISMATCH => {
                // The first one was carried out after all, or somebody else was faster: the change may come after this.
                call.doubt = CallDoubt::Mismatched;
                let first_block =
                    matches!(call.command, ClientCommand::Block(_)) && call.base == Some(CallBase(Some(0)));
                // A block may have ended before this client knew of any: no change need come.
                if !self.compare(id, replica) && first_block {
                    self.end(id, Err(RosterdError::lost()), replica);
                }
            }
            Some(error) => self.end(id, Err(error.clone().into()), replica),
            None => {
                call.answer = Some(frame.clone());
                if shows && effects::is_over(&call.command, &self.account, replica) {
                    self.end_answered(id, replica);
                }
            }
        }
        true
    }

    /// Ends answered calls whose effect shows; with `all`, every answered one.
    pub(super) fn applied(&mut self, replica: &Replica, all: bool) {
        for id in self.ids() {
            let Some(call) = self.calls.get(&id) else { continue };
            if call.doubt == CallDoubt::Mismatched {
                self.compare(id, replica);
            } else if call.answer.is_some() && (all || effects::is_over(&call.command, &self.account, replica)) {
                self.end_answered(id, replica);
            }
        }
    }

    /// Handles a lost connection: calls wait for the next one, or for what it brings.
    pub(super) fn interrupted(&mut self, replica: &Replica) {
        for id in self.ids() {
            let Some(call) = self.calls.get_mut(&id).filter(|call| call.sent) else { continue };
            if call.answer.is_some() || !(effects::is_repeatable(&call.command) || call.key.is_some()) {
                self.end(id, Err(RosterdError::lost()), replica);
                continue;
            }
            call.sent = false;
            if call.key.is_some() {
                call.doubt = CallDoubt::Lost;
            }
        }
    }

    /// Ends all calls with an error. Changes that wait for a connection wait on, without their callers.
    pub(super) fn fail(&mut self, error: &RosterdError) {
        for (_, call) in std::mem::take(&mut self.calls) {
            let end = if call.is_kept() { EditEnd::Waits } else { EditEnd::Over };
            self.ended_edits.extend(call.edit.map(|edit| (edit.id, end)));
            self.ended.push(EndedCall { reply: call.reply, result: Err(error.clone()), is_kept: false });
        }
    }

    /// Returns when the next call runs out of time, or wants to know whether the connection lives.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.calls.values().flat_map(|call| [Some(call.deadline), call.probe_at]).flatten().min()
    }

    /// Ends the calls whose time is over. Returns whether one has waited so long that the connection may be dead.
    pub(super) fn expire(&mut self, now: Instant, replica: &Replica) -> bool {
        let mut probe = false;
        for id in self.ids() {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if call.deadline <= now {
                let what = if call.sent { "no answer" } else { "no connection" };
                let error = RosterdError::new(TIMEOUT, "TIMEOUT", format!("{what} in time"));
                self.end(id, Err(error), replica);
            } else if call.probe_at.is_some_and(|at| at <= now) {
                call.probe_at = None;
                probe |= call.sent && (call.is_kept() || !call.reply.is_closed());
            }
        }
        probe
    }

    /// Whether commands wait, for a connection or for others about the same record.
    pub(super) fn are_waiting(&self) -> bool {
        self.calls.values().any(|call| !call.sent)
    }

    /// Hands the results of ended calls to their callers. The snapshot shows their effects by now.
    ///
    /// Returns the failures of changes that waited, where no caller is left to hear of them.
    pub(super) fn deliver(&mut self) -> Vec<RosterdError> {
        let mut unheard = Vec::new();
        for EndedCall { reply, result, is_kept } in self.ended.drain(..) {
            // Any other caller that is gone has cancelled.
            if let Err(Err(error)) = reply.send(result)
                && is_kept
            {
                unheard.push(error);
            }
        }
        unheard
    }

    fn ids(&self) -> Vec<u64> {
        self.calls.keys().copied().collect()
    }

    fn set_doubt(&mut self, id: u64, doubt: CallDoubt) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.doubt = doubt;
        }
    }

    /// Ends a command in doubt if what is held shows it, or is not what the command rests on.
    fn compare(&mut self, id: u64, replica: &Replica) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return true };
        let version = effects::version(&call.command, &self.account, replica);
        if effects::is_shown(&call.command, &self.account, replica) {
            call.answer = Some(effects::lost_reply(&call.command, replica));
            self.end_answered(id, replica);
        } else if version.is_some() && Some(CallBase(version)) == call.base {
            return false;
        } else {
            self.end(id, Err(RosterdError::superseded()), replica);
        }
        true
    }

    fn end_answered(&mut self, id: u64, replica: &Replica) {
        let answer = self.calls.get_mut(&id).and_then(|call| call.answer.take());
        self.end(id, Ok(answer.unwrap_or_default()), replica);
    }

    fn end(&mut self, id: u64, result: CallResult, replica: &Replica) {
        let Some(call) = self.calls.remove(&id) else { return };
        if result.is_ok() && call.key.is_some() {
            // The record now has a version of this client's own: later commands that rest on the one before rest on that.
            for other in self.calls.values_mut().filter(|other| other.key == call.key && other.base == call.base) {
                if other.base.is_some() {
                    other.base = Some(CallBase(effects::version(&other.command, &self.account, replica)));
                }
            }
        }
        self.ended_edits.extend(call.edit.map(|edit| (edit.id, EditEnd::Over)));
        self.ended.push(EndedCall { is_kept: call.is_kept(), reply: call.reply, result });
    }
}

#[cfg(test)]
mod tests;
