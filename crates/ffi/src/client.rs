//! The client object: its methods are those of the Rust client.

use std::sync::{Arc, OnceLock};

use rosterd_client::{ClientChange, ClientChanges, RosterdClient, RosterdError, UpdateOptions, WatchHold};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

use crate::error::{ErrorDetail, ForeignError};
use crate::options::{ForeignOptions, TokenProvider};
use crate::records::{ForeignSession, ForeignUpdate, ForeignUser};
use crate::schema::ForeignSchema;
use crate::snapshot::{ForeignSnapshot, ForeignSnapshotChange};

/// Profiles that were looked up.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[uniffi(name = "FoundUsers")]
pub struct ForeignFound {
    /// The profiles, in the order of the question.
    pub users: Vec<ForeignUser>,
    /// The accounts that do not exist.
    pub missing: Vec<String>,
}

/// How many sessions a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "SignalDelivery")]
pub struct ForeignSignalled {
    /// The sessions that will receive it.
    pub delivered: u32,
    /// Those that read too slowly.
    pub dropped: u32,
}

/// Something that happened.
#[derive(Debug, Clone, uniffi::Enum)]
#[uniffi(name = "Change")]
pub enum ForeignChange {
    /// What the client holds, or its connection, is otherwise.
    Snapshot {
        /// What differs.
        change: Arc<ForeignSnapshotChange>,
    },
    /// Another account sent a signal.
    Signal {
        /// Who sent it.
        sender: String,
        /// Its text.
        payload: String,
    },
    /// Something failed that no caller waits for.
    Failure {
        /// What.
        error: ErrorDetail,
    },
    /// The reader was so slow that so many signals and errors are lost for it.
    Missed {
        /// How many.
        count: u64,
    },
}

/// A reader of changes.
#[derive(Debug, uniffi::Object)]
#[uniffi(name = "Changes")]
pub struct ForeignChanges(Mutex<ClientChanges>);

#[uniffi::export(name = "Changes")]
impl ForeignChanges {
    /// Waits for the next change; nothing comes once the client is gone. One caller at a time has it.
    pub async fn next(&self) -> Option<ForeignChange> {
        Some(match self.0.lock().await.next().await? {
            ClientChange::Snapshot(change) => {
                ForeignChange::Snapshot { change: Arc::new(ForeignSnapshotChange(change)) }
            }
            ClientChange::Signal { from, payload } => ForeignChange::Signal { sender: from, payload },
            ClientChange::Error(error) => ForeignChange::Failure { error: (&error).into() },
            ClientChange::Missed(count) => ForeignChange::Missed { count },
        })
    }
}

/// Watches strangers until it is released, or nobody has it any more.
#[derive(Debug, uniffi::Object)]
#[uniffi(name = "Hold")]
pub struct ForeignHold(Mutex<Option<WatchHold>>);

#[uniffi::export(name = "Hold")]
impl ForeignHold {
    /// Ends it.
    pub async fn release(&self) {
        self.0.lock().await.take();
    }
}

/// Keeps the records of one account in sync with the gateway. When nobody has it any more, its connection ends.
#[derive(Debug, uniffi::Object)]
#[uniffi(name = "RosterdClient")]
pub struct ForeignClient(RosterdClient);

/// The threads of all clients in this process.
fn runtime() -> Result<&'static Runtime, ForeignError> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let start = || {
        let threads = Builder::new_multi_thread().worker_threads(2).thread_name("rosterd").enable_all().build();
        threads.map_err(|error| error.to_string())
    };
    RUNTIME.get_or_init(start).as_ref().map_err(|why| {
        let (reason, message) = ("NO_CONNECTION".to_owned(), format!("the client has no threads: {why}"));
        RosterdError { code: 500, reason, message, field: None, retry_after_ms: None, detail: None }.into()
    })
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[uniffi::export(name = "RosterdClient")]
impl ForeignClient {
    /// Makes a client that is not connected yet.
    #[uniffi::constructor]
    pub fn new(options: ForeignOptions, tokens: Option<Arc<dyn TokenProvider>>) -> Result<Arc<Self>, ForeignError> {
        let _threads = runtime()?.enter();
        Ok(Arc::new(Self(RosterdClient::new(options.build(tokens)?)?)))
    }

    /// Everything that the client holds now.
    pub fn snapshot(&self) -> Arc<ForeignSnapshot> {
        Arc::new(ForeignSnapshot(self.0.snapshot()))
    }

    /// A reader of all changes from now on.
    pub fn changes(&self) -> Arc<ForeignChanges> {
        Arc::new(ForeignChanges(Mutex::new(self.0.changes())))
    }

    /// Reads the cache, connects, and stays connected.
    pub async fn connect(&self) -> Result<(), ForeignError> {
        Ok(self.0.connect().await?)
    }

    /// Closes the connection until the next `connect`.
    pub async fn disconnect(&self) {
        self.0.disconnect().await;
    }

    /// Ends the session in an orderly way.
    pub async fn logout(&self) {
        self.0.logout().await;
    }

    /// Ends the session, and wipes all records of the account.
    pub async fn forget(&self) -> Result<(), ForeignError> {
        Ok(self.0.forget().await?)
    }

    /// Says that the network is back, or that the application is.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Drops the connection as a bad network would.
    pub fn cut(&self) {
        self.0.cut();
    }

    /// Changes the given fields of the account's own profile, and returns the new profile.
    ///
    /// `optimistic` shows the change before the gateway has answered. With `keep` it also waits for a connection, in the cache
    /// too: cancelling this call then ends the wait for it only.
    #[uniffi::method(default(optimistic = false, keep = false))]
    pub async fn update_my_info(
        &self,
        update: ForeignUpdate,
        optimistic: bool,
        keep: bool,
    ) -> Result<ForeignUser, ForeignError> {
        let options = UpdateOptions { optimistic, keep };
        Ok((&self.0.update_my_info_with(update.into(), options).await?).into())
    }

    /// Mutes an account, or mutes it no longer: the list is in the own profile.
    pub async fn set_muted(&self, account: String, muted: bool) -> Result<(), ForeignError> {
        Ok(self.0.set_muted(&account, muted).await?)
    }

    /// Returns the fields of the deployment's profiles. From then on `update_my_info` sends nothing that is against that.
    pub async fn get_schema(&self) -> Result<ForeignSchema, ForeignError> {
        Ok(self.0.get_schema().await?.into())
    }

    /// Returns profiles of any accounts.
    pub async fn get_users(&self, accounts: Vec<String>, fresh: bool) -> Result<ForeignFound, ForeignError> {
        let found = self.0.get_users(&borrowed(&accounts), fresh).await?;
        Ok(ForeignFound { users: found.users.iter().map(ForeignUser::from).collect(), missing: found.missing })
    }

    /// Returns one profile.
    pub async fn get_user(&self, account: String, fresh: bool) -> Result<ForeignUser, ForeignError> {
        Ok((&self.0.get_user(&account, fresh).await?).into())
    }

    /// Requests a friendship.
    pub async fn request_friend(&self, account: String, message: String) -> Result<(), ForeignError> {
        Ok(self.0.request_friend(&account, &message).await?)
    }

    /// Accepts the other side's request.
    pub async fn accept_friend(&self, account: String) -> Result<(), ForeignError> {
        Ok(self.0.accept_friend(&account).await?)
    }

    /// Rejects the other side's request.
    pub async fn reject_friend(&self, account: String) -> Result<(), ForeignError> {
        Ok(self.0.reject_friend(&account).await?)
    }

    /// Withdraws this account's request.
    pub async fn cancel_request(&self, account: String) -> Result<(), ForeignError> {
        Ok(self.0.cancel_request(&account).await?)
    }

    /// Makes two accounts friends without a request, where the deployment allows that.
    pub async fn add_friend(&self, account: String, message: String) -> Result<(), ForeignError> {
        Ok(self.0.add_friend(&account, &message).await?)
    }

    /// Ends a friendship in both directions.
    pub async fn delete_friend(&self, account: String) -> Result<(), ForeignError> {
        Ok(self.0.delete_friend(&account).await?)
    }

    /// Changes the notes about a friend.
    pub async fn update_friend(
        &self,
        account: String,
        alias: Option<String>,
        custom: Option<String>,
    ) -> Result<(), ForeignError> {
        Ok(self.0.update_friend(&account, alias.as_deref(), custom.as_deref()).await?)
    }

    /// Stops everything that this account sends to the other.
    pub async fn block(&self, account: String) -> Result<(), ForeignError> {
        Ok(self.0.block(&account).await?)
    }

    /// Ends a block.
    pub async fn unblock(&self, account: String) -> Result<(), ForeignError> {
        Ok(self.0.unblock(&account).await?)
    }

    /// Makes this account appear offline to its friends.
    pub async fn set_presence(&self, invisible: bool) -> Result<(), ForeignError> {
        Ok(self.0.set_presence(invisible).await?)
    }

    /// Shows a text beside this account's presence, until a time or until the account goes offline; an empty one ends it.
    pub async fn set_status(&self, status: String, until: Option<u64>) -> Result<(), ForeignError> {
        Ok(self.0.set_status(&status, until).await?)
    }

    /// Returns the sessions of this account, the oldest first.
    pub async fn get_sessions(&self) -> Result<Vec<ForeignSession>, ForeignError> {
        Ok(self.0.get_sessions().await?.iter().map(ForeignSession::from).collect())
    }

    /// Ends other sessions of this account, and returns those that existed.
    pub async fn kick(&self, sessions: Vec<String>) -> Result<Vec<String>, ForeignError> {
        Ok(self.0.kick(&borrowed(&sessions)).await?)
    }

    /// Sends a text, at most once, to all sessions of an account.
    pub async fn signal(&self, to: String, payload: String) -> Result<ForeignSignalled, ForeignError> {
        let reached = self.0.signal(&to, &payload).await?;
        Ok(ForeignSignalled { delivered: reached.delivered, dropped: reached.dropped })
    }

    /// Replaces the list of strangers whose profiles the client receives, and returns those that do not exist yet.
    pub async fn watch(&self, accounts: Vec<String>) -> Result<Vec<String>, ForeignError> {
        Ok(self.0.watch(&borrowed(&accounts)).await?)
    }

    /// Watches strangers besides those of `watch`, by count.
    pub fn hold(&self, accounts: Vec<String>) -> Arc<ForeignHold> {
        Arc::new(ForeignHold(Mutex::new(Some(self.0.hold(&borrowed(&accounts))))))
    }
}
