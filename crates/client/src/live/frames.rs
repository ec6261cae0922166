//! What a live client does with the gateway's frames, and with the orders of its handles.

use std::collections::BTreeSet;
use std::time::Duration;

use rosterd_protocol::{ClientCommand, v1};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls::{CallResult, PendingCall};
use super::changes::ClientNotice;
use super::edits::UpdateOptions;
use super::error::{DENIED, INTERNAL, INVALID, RosterdError};
use super::orders::ClientOrder;
use super::snapshot::ConnectionPhase;
use super::task::{ClientTask, LinkStage, ListDoubt, SentWatch};
use super::wire::ConnectionEnd;
use crate::{Replica, SyncError};

/// How long a logout waits for its reply, which is only a courtesy.
const LOGOUT: Duration = Duration::from_secs(2);
/// How long after a refused login the gateway's goodbye may take.
const REFUSED: Duration = Duration::from_secs(2);
/// How long a call may wait before the client asks whether the connection lives.
const UNANSWERED: Duration = Duration::from_secs(3);

impl ClientTask {
    pub(super) fn frame(&mut self, frame: v1::ServerFrame) {
        if frame.id != 0 && frame.error.is_some() && self.own_failed(&frame) {
            return;
        }
        if let Some(login) = &frame.login_reply {
            if login.account != self.options.account {
                let message = format!("the token is {}'s, not {}'s", login.account, self.options.account);
                return self.give_up(RosterdError::new(DENIED, "OTHER_ACCOUNT", message));
            }
            self.replica.begin(login);
            self.is_partial = true;
        }
        let applied = self.replica.apply(&frame);
        if let Some(login) = &frame.login_reply {
            self.logged_in(login);
        }
        if frame.synced.is_some() {
            self.synced(applied);
        }
        if let Some(reply) = frame.refresh_reply.as_ref().filter(|_| frame.id == self.own.refresh) {
            self.tokens.refreshed(reply.expires_at);
        }
        let cursor = frame.changes.as_ref().is_some_and(|changes| changes.cursor.is_some());
        if !self.is_partial {
            self.calls.applied(&self.replica, cursor);
        }
        if let Some(changes) = &frame.changes
            && (!changes.friends.is_empty() || !changes.removed.is_empty())
        {
            // A friend comes without a watch; one who is no friend any more needs it again.
            self.watches.refresh();
        }
        if let Some(v1::Signalled { from, payload, .. }) = frame.signal.clone() {
            self.publish();
            let _ = self.notices.send(ClientNotice::Signal { from, payload });
        }
        let settled = frame.id != 0 && self.calls.settle(&frame, &self.replica, !self.is_partial);
        if let Some(error) = frame.error.filter(|_| !settled) {
            self.notice(error.into());
        }
        // What was settled may be what others about the same record waited for.
        if self.is_live() && self.calls.are_waiting() {
            self.flush_calls();
        }
    }

    /// Handles an error that answers one of the task's own commands. `false` if it answers another one.
    fn own_failed(&mut self, frame: &v1::ServerFrame) -> bool {
        let Some(error) = &frame.error else { return false };
        if frame.id == self.own.login {
            let error = RosterdError::from(error.clone());
            // A goodbye with the close code follows; not so for an invalid login, as another client could correct it.
            let time = if error.code == INVALID { Duration::ZERO } else { REFUSED };
            self.login_error = Some(error);
            if let LinkStage::Open(wire) = &mut self.stage {
                wire.expect_within(time);
            }
        } else if frame.id == self.own.repair {
            // The gateway cannot repair, or cannot now.
            self.start_over();
        } else if frame.id == self.own.refresh {
            self.not_refreshed(&error.message);
        } else {
            return frame.id == self.own.watch || frame.id == self.own.probe;
        }
        true
    }

    fn logged_in(&mut self, login: &v1::LoginReply) {
        self.is_logged_in = true;
        self.tokens.logged_in(login);
        if let LinkStage::Open(wire) = &mut self.stage {
            wire.logged_in(Duration::from_millis(login.heartbeat_ms));
        }
        self.set_phase(ConnectionPhase::Syncing);
        self.snapshot.connection.session = Some(login.session.clone());
        self.snapshot.connection.schema.clone_from(&login.schema);
        // Every connection starts without a watch list.
        let accounts: Vec<_> = self.replica.watched().iter().cloned().collect();
        if !accounts.is_empty() {
            self.own.watch = self.send_own(ClientCommand::Watch(v1::Watch { accounts }));
        }
        // The gateway answers these after `synced`; there is no need to wait for it.
        self.flush_calls();
    }

    fn synced(&mut self, applied: Result<(), SyncError>) {
        let remedy = match (&applied, self.doubt) {
            (Ok(()), _) => None,
            (Err(_), ListDoubt::None) => Some("asking for what differs"),
            (Err(_), ListDoubt::Repairing) => Some("that did not help, getting all of it anew"),
            (Err(_), _) => Some("it was got anew already"),
        };
        if let (Err(error), Some(remedy)) = (&applied, remedy) {
            self.notice(RosterdError::new(INTERNAL, "OUT_OF_STEP", format!("{error}; {remedy}")));
        }
        match (applied, self.doubt) {
            (Ok(()), _) => self.doubt = ListDoubt::None,
            (Err(_), ListDoubt::None) => {
                self.doubt = ListDoubt::Repairing;
                let leaves = self.replica.leaves();
                self.own.repair = self.send_own(ClientCommand::Repair(v1::Repair { leaves }));
                return;
            }
            (Err(_), ListDoubt::Repairing) => return self.start_over(),
            (Err(_), _) => {
                self.replica.accept();
                self.doubt = ListDoubt::Unsure;
            }
        }
        self.is_partial = false;
        self.attempt = 0;
        self.resume_edits();
        self.calls.caught_up(&self.replica);
        self.set_phase(ConnectionPhase::Live);
        self.watches.refresh();
        // What callers wait for is there before they hear of it.
        self.publish();
        for caller in self.connecting.drain(..) {
            let _ = caller.send(Ok(()));
        }
        self.flush_calls();
    }

    /// Reconnects at once and fetches everything.
    fn start_over(&mut self) {
        self.is_refetching = true;
        self.ended(&ConnectionEnd::lost("out of step"), None);
    }

    pub(super) async fn order(&mut self, order: ClientOrder) {
        match order {
            ClientOrder::Connect(done) => self.connect(done).await,
            ClientOrder::Disconnect(done) => {
                self.stop();
                self.settle();
                self.close_cache().await;
                let _ = done.send(());
            }
            ClientOrder::Logout { forget, done } => {
                let result = self.log_out(forget).await;
                let _ = done.send(result);
            }
            ClientOrder::Call { command, reply } => self.call(self.pending(command, reply)),
            ClientOrder::Edit { update, options, reply } => self.edit(update, options, reply).await,
            ClientOrder::Abandoned => self.calls.drop_abandoned(),
            ClientOrder::Watch { accounts, reply } => {
                self.send_watches(Some((accounts, reply)));
            }
            ClientOrder::Hold(accounts) => self.watches.hold(&accounts),
            ClientOrder::Release(accounts) => self.watches.release(&accounts),
            ClientOrder::Wake => self.wake(),
            ClientOrder::Cut => {
                if matches!(self.stage, LinkStage::Open(_)) {
                    self.ended(&ConnectionEnd::lost("cut"), None);
                }
            }
        }
    }

    async fn connect(&mut self, done: oneshot::Sender<Result<(), RosterdError>>) {
        if self.is_live() {
            let _ = done.send(Ok(()));
            return;
        }
        self.connecting.push(done);
        if self.is_wanted {
            if matches!(self.stage, LinkStage::Waiting { .. }) {
                self.begin();
            }
            return;
        }
        self.is_wanted = true;
        self.attempt = 0;
        self.tokens.restart();
        self.snapshot.connection.last_error = None;
        let errors = self.restore().await;
        self.begin();
        // The stored list shows before the connection is open.
        self.publish();
        self.notice_all(errors);
    }

    /// Opens the cache, and takes what it holds if that was not done before. Returns what is wrong with it.
    async fn restore(&mut self) -> Vec<RosterdError> {
        let restored = self.saver.load().await;
        if !std::mem::replace(&mut self.is_restored, true) {
            self.replica = restored.replica.unwrap_or_else(|| std::mem::take(&mut self.replica));
            self.edits.restore(&restored.kept);
        }
        restored.errors
    }

    fn call(&mut self, call: PendingCall) {
        self.calls.add(call);
        self.flush_calls();
    }

    fn pending(&self, command: ClientCommand, reply: oneshot::Sender<CallResult>) -> PendingCall {
        let now = Instant::now();
        let deadline = now + self.options.request_timeout.min(super::FAR);
        PendingCall::new(command, deadline, Some(now + UNANSWERED), reply)
    }

    /// Makes a change of the own profile that shows at once. One that is kept is in the cache too, which `connect` opens, and
    /// which is opened for it before that and after an end.
    async fn edit(&mut self, update: v1::UpdateMyInfo, options: UpdateOptions, reply: oneshot::Sender<CallResult>) {
        let errors = if options.keep && !self.is_wanted { self.restore().await } else { Vec::new() };
        let confirmed = self.replica.me().map(|me| me.version);
        let version = update.if_version.or(confirmed);
        let edit = self.edits.add(update.clone(), confirmed, options.keep);
        if options.keep {
            self.call(kept_call(update, edit, version, reply));
        } else {
            self.call(self.pending(ClientCommand::UpdateMyInfo(update), reply).showing(edit));
        }
        self.publish();
        self.notice_all(errors);
    }

    /// After a catch-up, sends the changes that wait. Nobody may wait for their answers.
    fn resume_edits(&mut self) {
        for (edit, kept, is_idle) in self.edits.resume(self.replica.me().map(|me| me.version)) {
            if is_idle {
                self.calls.add(kept_call(kept.update, edit, kept.version, oneshot::channel().0));
            } else {
                self.calls.rest(edit, kept.version);
            }
        }
    }

    fn stop(&mut self) {
        self.halt(&RosterdError::disconnected());
        self.snapshot.connection.last_error = None;
        self.set_phase(ConnectionPhase::Disconnected);
    }

    async fn close_cache(&mut self) {
        let errors = self.saver.idle(&self.replica, self.edits.kept()).await;
        self.notice_all(errors);
    }

    async fn log_out(&mut self, forget: bool) -> Result<(), RosterdError> {
        if self.is_logged_in {
            let id = self.send_own(ClientCommand::Logout(v1::Logout {}));
            self.until_logged_out(id).await;
        }
        self.stop();
        if !forget {
            self.settle();
            self.close_cache().await;
            return Ok(());
        }
        self.replica = Replica::default();
        self.edits.clear();
        self.watches.clear();
        (self.is_restored, self.is_partial, self.doubt) = (false, false, ListDoubt::None);
        self.tokens.reset();
        self.publish();
        self.saver.wipe().await
    }

    /// Waits for the reply to a logout, or for the end, and goes on to apply what comes.
    async fn until_logged_out(&mut self, id: u64) {
        let late = tokio::time::sleep(LOGOUT);
        tokio::pin!(late);
        loop {
            let LinkStage::Open(wire) = &mut self.stage else { return };
            tokio::select! {
                frame = wire.next() => match frame {
                    Ok(frame) if frame.id == id => return,
                    Ok(frame) => self.frame(frame),
                    Err(_) => return,
                },
                () = &mut late => return,
            }
        }
    }

    /// Sends the list of strangers: with another part of the application's, or if it is not what the gateway has.
    pub(super) fn send_watches(&mut self, asked: Option<(BTreeSet<String>, oneshot::Sender<CallResult>)>) {
        let (listed, caller) = asked.unzip();
        let account = &self.options.account;
        let sent = match &listed {
            Some(listed) => self.watches.with(listed, account, &self.replica),
            None => self.watches.wanted(account, &self.replica),
        };
        if listed.is_none() && (!self.is_live() || sent == *self.replica.watched()) {
            return;
        }
        let (reply, answer) = oneshot::channel();
        let accounts = sent.iter().cloned().collect();
        self.lists_sent.push(SentWatch { sent, listed, answer, caller });
        self.call(self.pending(ClientCommand::Watch(v1::Watch { accounts }), reply));
    }

    /// Takes the lists that the gateway has accepted, and tells their callers.
    pub(super) fn answer_watches(&mut self) {
        let mut answered = Vec::new();
        for mut list in std::mem::take(&mut self.lists_sent) {
            match list.answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => self.lists_sent.push(list),
                Err(oneshot::error::TryRecvError::Closed) => {}
                Ok(result) => {
                    if result.is_ok() {
                        self.replica.watch(list.sent);
                        list.listed.into_iter().for_each(|listed| self.watches.list(listed));
                    }
                    answered.push((list.caller, result));
                }
            }
        }
        if answered.is_empty() {
            return;
        }
        self.publish();
        for (caller, result) in answered {
            match (caller, result) {
                (Some(caller), result) => drop(caller.send(result)),
                (None, Err(error)) => self.notice(error),
                (None, Ok(_)) => {}
            }
        }
    }
}

/// The call of a change that waits for a connection as long as that takes.
fn kept_call(
    mut update: v1::UpdateMyInfo,
    edit: u64,
    version: Option<u64>,
    reply: oneshot::Sender<CallResult>,
) -> PendingCall {
    let now = Instant::now();
    update.if_version = None;
    let command = ClientCommand::UpdateMyInfo(update);
    PendingCall::new(command, now + super::FAR, Some(now + UNANSWERED), reply).keeping(edit, version)
}
