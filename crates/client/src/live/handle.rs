//! The handle of a live client: snapshots, changes, and commands.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rosterd_protocol::{ClientCommand, v1};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::changes::{ClientChanges, ClientNotice, NOTICES};
use super::edits::UpdateOptions;
use super::error::{INVALID, NOT_FOUND, RosterdError};
use super::options::ClientOptions;
use super::orders::ClientOrder;
use super::snapshot::ClientSnapshot;
use super::task::ClientTask;

/// The gateway's limit for accounts in one `getUsers`.
const LOOKUP_MAX: usize = 150;

/// Profiles that were looked up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoundUsers {
    /// The profiles, in the order of the question.
    pub users: Vec<v1::User>,
    /// The accounts that do not exist.
    pub missing: Vec<String>,
}

/// How many sessions a signal reaches; both are 0 unless the sender sees the presence of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalDelivery {
    /// The sessions that will receive it.
    pub delivered: u32,
    /// Those that read too slowly.
    pub dropped: u32,
}

/// Keeps the records of one account in sync with the gateway, over as many connections as that takes.
///
/// Clones are handles of the same client. Dropping the last one ends its connection and its task. Dropping the future of a
/// call cancels the call: a command that was not sent then is not sent any more; one that was sent may be carried out.
#[derive(Debug, Clone)]
pub struct RosterdClient {
    orders: mpsc::UnboundedSender<ClientOrder>,
    snapshots: watch::Receiver<Arc<ClientSnapshot>>,
    // A weak end: readers see the end of the client once its task is gone.
    notices: broadcast::WeakSender<ClientNotice>,
    schema: Arc<Mutex<Option<v1::GetSchemaReply>>>,
}

/// Watches strangers until it is dropped.
#[derive(Debug)]
pub struct WatchHold {
    accounts: BTreeSet<String>,
    orders: mpsc::WeakUnboundedSender<ClientOrder>,
}

impl Drop for WatchHold {
    fn drop(&mut self) {
        if let Some(orders) = self.orders.upgrade() {
            let _ = orders.send(ClientOrder::Release(std::mem::take(&mut self.accounts)));
        }
    }
}

/// Says that a call was dropped, unless it came to its end.
struct AbandonGuard(Option<mpsc::WeakUnboundedSender<ClientOrder>>);

impl AbandonGuard {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbandonGuard {
    fn drop(&mut self) {
        if let Some(orders) = self.0.take().and_then(|orders| orders.upgrade()) {
            let _ = orders.send(ClientOrder::Abandoned);
        }
    }
}

impl RosterdClient {
    /// Makes a client that is not connected yet. Its task runs on the tokio runtime that this is called on.
    ///
    /// # Errors
    /// An option cannot be right.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn new(options: ClientOptions) -> Result<Self, RosterdError> {
        options.check()?;
        let (orders, taken) = mpsc::unbounded_channel();
        let (published, snapshots) = watch::channel(Arc::new(ClientSnapshot::empty(&options.account)));
        let (sender, _) = broadcast::channel(NOTICES);
        let notices = sender.downgrade();
        tokio::spawn(ClientTask::new(Arc::new(options), taken, published, sender).run());
        Ok(Self { orders, snapshots, notices, schema: Arc::default() })
    }

    /// Returns everything that the client holds now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<ClientSnapshot> {
        self.snapshots.borrow().clone()
    }

    /// Returns a reader of all changes from now on.
    #[must_use]
    pub fn changes(&self) -> ClientChanges {
        let mut snapshots = self.snapshots.clone();
        let notices = self.notices.upgrade().map_or_else(|| broadcast::channel(1).1, |notices| notices.subscribe());
        let seen = snapshots.borrow_and_update().clone();
        ClientChanges { snapshots, notices, seen }
    }

    /// Waits until a snapshot is as wanted, and returns it; `None` if the client is gone before that.
    ///
    /// Snapshots that came and went meanwhile are not looked at.
    pub async fn until(&self, wanted: impl FnMut(&Arc<ClientSnapshot>) -> bool) -> Option<Arc<ClientSnapshot>> {
        self.snapshots.clone().wait_for(wanted).await.ok().map(|snapshot| snapshot.clone())
    }

    /// Reads the cache, connects, and stays connected. Returns once what is held is what the gateway holds.
    ///
    /// It tries again for ever, also if this future is dropped.
    ///
    /// # Errors
    /// Trying again is pointless, for instance after a refused token.
    pub async fn connect(&self) -> Result<(), RosterdError> {
        self.ordered(ClientOrder::Connect).await?
    }

    /// Closes the connection until the next [`RosterdClient::connect`]. Held and cached records stay.
    pub async fn disconnect(&self) {
        let _ = self.ordered(ClientOrder::Disconnect).await;
    }

    /// Ends the session in an orderly way. Held and cached records stay.
    pub async fn logout(&self) {
        let _ = self.ordered(|done| ClientOrder::Logout { forget: false, done }).await;
    }

    /// Ends the session like [`RosterdClient::logout`], and wipes all records of the account, cached ones too.
    ///
    /// # Errors
    /// The records are still in the cache.
    pub async fn forget(&self) -> Result<(), RosterdError> {
        self.ordered(|done| ClientOrder::Logout { forget: true, done }).await?
    }

    /// Says that the network is back, or that the application is: the client tries at once to connect, unless the gateway
    /// chose the time, and looks whether a connection that seems open is.
    pub fn wake(&self) {
        let _ = self.orders.send(ClientOrder::Wake);
    }

    /// Drops the connection as a bad network would. For tests and demonstrations.
    pub fn cut(&self) {
        let _ = self.orders.send(ClientOrder::Cut);
    }

    /// Sends any command of the protocol, with the care that the client takes of all commands, and returns its reply. A change
    /// of the profile is checked like that of [`RosterdClient::update_my_info`].
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come; also for commands that the client sends by itself: `login`,
    /// `logout`, `refresh`, `repair` and `watch`.
    pub async fn request(&self, command: ClientCommand) -> Result<v1::ServerFrame, RosterdError> {
        use ClientCommand::{Login, Logout, Refresh, Repair, Watch};
        if matches!(command, Login(_) | Logout(_) | Refresh(_) | Repair(_) | Watch(_)) {
            let message = format!("{} is sent by the client itself", command.name());
            return Err(RosterdError::new(INVALID, "INVALID_ARGUMENT", message));
        }
        if let ClientCommand::UpdateMyInfo(update) = &command {
            self.check_my_info(update)?;
        }
        let frame = self.ordered(|reply| ClientOrder::Call { command, reply }).await??;
        if let Some(schema) = &frame.get_schema_reply {
            *self.schema.lock().unwrap_or_else(PoisonError::into_inner) = Some(schema.clone());
        }
        Ok(frame)
    }

    /// Changes the given fields of the account's own profile, and returns the new profile.
    ///
    /// With `if_version` only if that is still its version (412 otherwise); such a call ends with `CONNECTION_LOST` if its
    /// answer is lost. What [`RosterdClient::get_schema`] says to be wrong is not sent.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn update_my_info(&self, update: v1::UpdateMyInfo) -> Result<v1::User, RosterdError> {
        let reply = self.request(ClientCommand::UpdateMyInfo(update)).await?.update_my_info_reply;
        answered(reply.and_then(|reply| reply.user))
    }

    /// Changes the given fields of the account's own profile like [`RosterdClient::update_my_info`], and shows the change
    /// before the gateway has answered: in [`ClientSnapshot::me`], and its fields in [`ClientSnapshot::pending`].
    ///
    /// A change that is kept has no limit of time. Dropping this future ends the wait for it only, and so do `disconnect` and
    /// a final end: it is sent after the next catch-up, or that of the next client with this cache. If nobody waits for it
    /// then, a failure is a [`ClientChange::Error`](crate::ClientChange).
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come: then the change is taken back.
    pub async fn update_my_info_with(
        &self,
        update: v1::UpdateMyInfo,
        options: UpdateOptions,
    ) -> Result<v1::User, RosterdError> {
        if options == UpdateOptions::default() {
            return self.update_my_info(update).await;
        }
        self.check_my_info(&update)?;
        let abandoned = AbandonGuard(Some(self.orders.downgrade()));
        let reply = self.ordered(|reply| ClientOrder::Edit { update, options, reply }).await;
        abandoned.disarm();
        answered(reply??.update_my_info_reply.and_then(|reply| reply.user))
    }

    /// Mutes an account, which need not be a friend, or mutes it no longer: on every device, and seen by no other account.
    ///
    /// The list is in the own profile. It decides nothing here or in the gateway: an application shows less of a muted
    /// account.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn set_muted(&self, account: &str, muted: bool) -> Result<(), RosterdError> {
        let account = account.to_owned();
        self.done(ClientCommand::SetMuted(v1::SetMuted { account, muted, if_version: None })).await
    }

    /// Returns the fields that the deployment adds to profiles, and which others only the backend may write. From then on,
    /// and until a login finds other fields, [`RosterdClient::update_my_info`] sends nothing that is against that.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn get_schema(&self) -> Result<v1::GetSchemaReply, RosterdError> {
        let reply = self.request(ClientCommand::GetSchema(v1::GetSchema {})).await?;
        answered(reply.get_schema_reply)
    }

    /// Returns what [`RosterdClient::get_schema`] brought, unless the deployment has other fields by now.
    #[must_use]
    pub fn schema(&self) -> Option<v1::GetSchemaReply> {
        let held = self.schema.lock().unwrap_or_else(PoisonError::into_inner).clone();
        held.filter(|schema| Some(&schema.hash) == self.snapshots.borrow().connection.schema.as_ref())
    }

    /// Checks a change of the profile as [`RosterdClient::update_my_info`] does before it sends one: by
    /// [`RosterdClient::schema`], and without that not at all.
    ///
    /// # Errors
    /// 403 for a field that only the backend may write, 414 for an own field that there is not, or that may not hold this.
    pub fn check_my_info(&self, update: &v1::UpdateMyInfo) -> Result<(), RosterdError> {
        let Some(schema) = self.schema() else { return Ok(()) };
        let own = rosterd_protocol::own_schema(&schema);
        let checked = rosterd_protocol::fields(update.clone()).and_then(|fields| {
            rosterd_protocol::write_rights(&schema).permit(&own, &fields)?;
            own.check(&fields.own)
        });
        checked.map_err(|error| rosterd_protocol::error(&error).into())
    }

    /// Returns profiles of any accounts. Its own and those of friends and watched accounts are those that the client
    /// holds, unless `fresh`; it asks the gateway for others each time.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn get_users(&self, accounts: &[&str], fresh: bool) -> Result<FoundUsers, RosterdError> {
        let snapshot = self.snapshot();
        let is_kept = |account: &str| snapshot.friends.contains_key(account) || snapshot.watched.contains(account);
        let held = |account: &str| match &snapshot.me {
            _ if fresh => None,
            Some(me) if me.account == account => Some(me.as_ref().clone()),
            _ => snapshot.users.get(account).filter(|_| is_kept(account)).cloned(),
        };
        let mut found: Vec<(&str, Option<v1::User>)> = Vec::new();
        for account in accounts {
            if !found.iter().any(|(known, _)| known == account) {
                found.push((account, held(account)));
            }
        }
        let asked: Vec<_> = found.iter().filter(|(_, user)| user.is_none()).map(|(account, _)| *account).collect();
        for part in asked.chunks(LOOKUP_MAX) {
            let accounts = part.iter().map(|account| (*account).to_owned()).collect();
            let reply = self.request(ClientCommand::GetUsers(v1::GetUsers { accounts })).await?;
            for user in answered(reply.get_users_reply)?.users {
                found.iter_mut().filter(|(account, _)| *account == user.account).for_each(|(_, held)| {
                    *held = Some(user.clone());
                });
            }
        }
        let missing = found.iter().filter(|(_, user)| user.is_none()).map(|(account, _)| (*account).to_owned());
        Ok(FoundUsers { missing: missing.collect(), users: found.into_iter().filter_map(|(_, user)| user).collect() })
    }

    /// Returns one profile.
    ///
    /// # Errors
    /// There is no such account (404), the gateway refuses, or the answer does not come.
    pub async fn get_user(&self, account: &str, fresh: bool) -> Result<v1::User, RosterdError> {
        let user = self.get_users(&[account], fresh).await?.users.pop();
        user.ok_or_else(|| RosterdError::new(NOT_FOUND, "NOT_FOUND", format!("there is no account {account}")))
    }

    /// Requests a friendship. If the other side has requested one too, both become friends.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn request_friend(&self, account: &str, message: &str) -> Result<(), RosterdError> {
        let (account, message) = (account.to_owned(), message.to_owned());
        self.done(ClientCommand::RequestFriend(v1::RequestFriend { account, message })).await
    }

    /// Accepts the other side's request.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn accept_friend(&self, account: &str) -> Result<(), RosterdError> {
        self.done(ClientCommand::AcceptFriend(v1::AcceptFriend { account: account.to_owned() })).await
    }

    /// Rejects the other side's request.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn reject_friend(&self, account: &str) -> Result<(), RosterdError> {
        self.done(ClientCommand::RejectFriend(v1::RejectFriend { account: account.to_owned() })).await
    }

    /// Withdraws this account's request.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn cancel_request(&self, account: &str) -> Result<(), RosterdError> {
        self.done(ClientCommand::CancelRequest(v1::CancelRequest { account: account.to_owned() })).await
    }

    /// Makes two accounts friends without a request, where the deployment allows that.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn add_friend(&self, account: &str, message: &str) -> Result<(), RosterdError> {
        let (account, message) = (account.to_owned(), message.to_owned());
        self.done(ClientCommand::AddFriend(v1::AddFriend { account, message })).await
    }

    /// Ends a friendship in both directions.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn delete_friend(&self, account: &str) -> Result<(), RosterdError> {
        self.done(ClientCommand::DeleteFriend(v1::DeleteFriend { account: account.to_owned() })).await
    }

    /// Changes the notes about a friend, which only this account sees. `None` leaves one as it is, an empty text clears it.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn update_friend(
        &self,
        account: &str,
        alias: Option<&str>,
        custom: Option<&str>,
    ) -> Result<(), RosterdError> {
        let (account, alias, custom) = (account.to_owned(), alias.map(str::to_owned), custom.map(str::to_owned));
        let update = v1::UpdateFriend { account, alias, custom, if_version: None };
        self.done(ClientCommand::UpdateFriend(update)).await
    }

    /// Stops everything that this account sends to the other, without notice. A friendship stays.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn block(&self, account: &str) -> Result<(), RosterdError> {
        self.done(ClientCommand::Block(v1::Block { account: account.to_owned(), if_version: None })).await
    }

    /// Ends a block.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn unblock(&self, account: &str) -> Result<(), RosterdError> {
        self.done(ClientCommand::Unblock(v1::Unblock { account: account.to_owned(), if_version: None })).await
    }

    /// Makes this account appear offline to its friends on every device, until it is set again.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn set_presence(&self, invisible: bool) -> Result<(), RosterdError> {
        let set = v1::SetPresence { invisible: Some(invisible), ..v1::SetPresence::default() };
        self.done(ClientCommand::SetPresence(set)).await
    }

    /// Shows a text of at most 256 characters beside this account's presence, until a time in milliseconds since 1970, or
    /// until the account goes offline. An empty text ends it.
    ///
    /// # Errors
    /// The gateway refuses, another device was faster, or the answer does not come.
    pub async fn set_status(&self, status: &str, until: Option<u64>) -> Result<(), RosterdError> {
        let set = v1::SetPresence { status: Some(status.to_owned()), until, ..v1::SetPresence::default() };
        self.done(ClientCommand::SetPresence(set)).await
    }

    /// Returns the sessions of this account, the oldest first.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn get_sessions(&self) -> Result<Vec<v1::Session>, RosterdError> {
        let reply = self.request(ClientCommand::GetSessions(v1::GetSessions {})).await?;
        Ok(answered(reply.get_sessions_reply)?.sessions)
    }

    /// Ends other sessions of this account, and returns those that existed.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn kick(&self, sessions: &[&str]) -> Result<Vec<String>, RosterdError> {
        let sessions = sessions.iter().map(|session| (*session).to_owned()).collect();
        Ok(answered(self.request(ClientCommand::Kick(v1::Kick { sessions })).await?.kick_reply)?.kicked)
    }

    /// Sends a text of at most 4096 bytes, at most once, to all sessions of `to`.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn signal(&self, to: &str, payload: &str) -> Result<SignalDelivery, RosterdError> {
        let signal = v1::Signal { to: to.to_owned(), payload: payload.to_owned() };
        let reply = answered(self.request(ClientCommand::Signal(signal)).await?.signal_reply)?;
        Ok(SignalDelivery { delivered: reply.delivered, dropped: reply.dropped })
    }

    /// Replaces the list of strangers whose profiles the client receives, at most 500, and returns those that do not exist
    /// yet. The list outlives connections.
    ///
    /// # Errors
    /// The gateway refuses, or the answer does not come.
    pub async fn watch(&self, accounts: &[&str]) -> Result<Vec<String>, RosterdError> {
        let accounts: BTreeSet<_> = accounts.iter().map(|account| (*account).to_owned()).collect();
        let listed = accounts.clone();
        let reply = self.ordered(|reply| ClientOrder::Watch { accounts, reply }).await??;
        let missing = answered(reply.watch_reply)?.missing;
        Ok(missing.into_iter().filter(|account| listed.contains(account)).collect())
    }

    /// Watches strangers besides those of [`RosterdClient::watch`] until the hold is dropped. Holds are counted, so that
    /// parts of an application do not overwrite each other's. A failure is a [`ClientChange::Error`](crate::ClientChange).
    #[must_use]
    pub fn hold(&self, accounts: &[&str]) -> WatchHold {
        let accounts: BTreeSet<_> = accounts.iter().map(|account| (*account).to_owned()).collect();
        let _ = self.orders.send(ClientOrder::Hold(accounts.clone()));
        WatchHold { accounts, orders: self.orders.downgrade() }
    }

    /// Sends a command whose reply says no more than that it was carried out.
    async fn done(&self, command: ClientCommand) -> Result<(), RosterdError> {
        self.request(command).await.map(drop)
    }

    async fn ordered<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> ClientOrder) -> Result<T, RosterdError> {
        let (done, answer) = oneshot::channel();
        let _ = self.orders.send(order(done));
        // Without a task, as after the end of its runtime, there is no answer.
        answer.await.map_err(|_| RosterdError::disconnected())
    }
}

/// Returns the expected reply.
fn answered<T>(reply: Option<T>) -> Result<T, RosterdError> {
    reply.ok_or_else(|| RosterdError::bad_frame("the reply is not one to this command"))
}
