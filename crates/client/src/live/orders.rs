//! What handles ask of the task that does the work.

use std::collections::BTreeSet;

use rosterd_protocol::{ClientCommand, v1};
use tokio::sync::oneshot;

use super::calls::CallResult;
use super::edits::UpdateOptions;
use super::error::RosterdError;

/// Something that a handle asks for.
pub(super) enum ClientOrder {
    /// Be connected, and stay so; the answer comes at the first `synced`, or when there is no point in trying.
    Connect(oneshot::Sender<Result<(), RosterdError>>),
    /// Be disconnected.
    Disconnect(oneshot::Sender<()>),
    /// End the session in an orderly way, and perhaps wipe everything of the account.
    Logout { forget: bool, done: oneshot::Sender<Result<(), RosterdError>> },
    /// Carry out a command.
    Call { command: ClientCommand, reply: oneshot::Sender<CallResult> },
    /// Change the own profile, and show that before the gateway has answered.
    Edit { update: v1::UpdateMyInfo, options: UpdateOptions, reply: oneshot::Sender<CallResult> },
    /// The caller of a call is gone: look which.
    Abandoned,
    /// Watch these strangers, besides those that are held.
    Watch { accounts: BTreeSet<String>, reply: oneshot::Sender<CallResult> },
    /// Watch these strangers too, until they are released as often as they were held.
    Hold(BTreeSet<String>),
    /// Undo a hold.
    Release(BTreeSet<String>),
    /// The network is back, or the application: look whether the connection lives.
    Wake,
    /// Drop the connection as a bad network would.
    Cut,
}
