//! The task of a live client: attempts to connect, logins, catch-ups, waits, and the final end.
//!
//! One event after the other: an order of a handle, a frame, the end of a connection, a time that has come. Whatever an
//! event changes is in the snapshot before any caller hears of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rosterd_protocol::{ClientCommand, v1};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::calls::{CallResult, PendingCalls};
use super::changes::ClientNotice;
use super::edits::ProfileEdits;
use super::error::RosterdError;
use super::options::{ClientOptions, TokenError};
use super::orders::ClientOrder;
use super::saver::CacheSaver;
use super::snapshot::{ClientSnapshot, ConnectionPhase};
use super::tokens::{TokenKeeper, TokenRequest};
use super::trace::ClientTrace;
use super::watch_list::WatchList;
use super::wire::{ConnectionEnd, Wire};
use crate::Replica;
use crate::replica::Lists;

/// What the task waits for beside orders.
pub(super) enum LinkStage {
    /// Nothing: nobody wants a connection.
    Idle,
    /// The time of the next attempt; the gateway may have chosen it, for all clients.
    Waiting { until: Instant, by_gateway: bool },
    /// The application's token.
    Token(TokenRequest),
    /// An open connection.
    Opening(BoxFuture<'static, Result<Wire, ConnectionEnd>>),
    /// The next frame.
    Open(Box<Wire>),
}

/// What happened to the connection.
pub(super) enum LinkEvent {
    Due,
    Token(Result<String, TokenError>),
    Opened(Result<Box<Wire>, ConnectionEnd>),
    Frame(Box<v1::ServerFrame>),
    Ended(ConnectionEnd),
}

impl LinkStage {
    /// Waits for the next event. Cancel safe.
    async fn next(&mut self) -> LinkEvent {
        match self {
            Self::Idle => std::future::pending().await,
            Self::Waiting { until, .. } => {
                sleep_until(*until).await;
                LinkEvent::Due
            }
            Self::Token(request) => LinkEvent::Token(request.answer().await),
            Self::Opening(opening) => LinkEvent::Opened(opening.await.map(Box::new)),
            Self::Open(wire) => match wire.next().await {
                Ok(frame) => LinkEvent::Frame(Box::new(frame)),
                Err(end) => LinkEvent::Ended(end),
            },
        }
    }
}

/// What to do if the friend list is not what the gateway has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListDoubt {
    /// Ask for the parts that differ.
    None,
    /// That was asked for: get everything anew, on another connection.
    Repairing,
    /// That was done: show what there is.
    Refetching,
    /// The same, since the last catch-up.
    Unsure,
}

/// The ids of the task's own commands on this connection; 0 if there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OwnCommands {
    pub(super) login: u64,
    pub(super) watch: u64,
    pub(super) repair: u64,
    pub(super) refresh: u64,
    pub(super) probe: u64,
}

/// Everything that one account's client is.
#[allow(clippy::struct_excessive_bools, reason = "they are independent")]
pub(super) struct ClientTask {
    pub(super) options: Arc<ClientOptions>,
    pub(super) orders: mpsc::UnboundedReceiver<ClientOrder>,
    pub(super) published: watch::Sender<Arc<ClientSnapshot>>,
    pub(super) notices: broadcast::Sender<ClientNotice>,
    pub(super) replica: Replica,
    /// The lists that the published snapshot shows.
    pub(super) shown: Lists,
    pub(super) snapshot: ClientSnapshot,
    pub(super) calls: PendingCalls,
    pub(super) edits: ProfileEdits,
    pub(super) watches: WatchList,
    /// Lists of watched strangers that were sent and not answered, with their callers.
    pub(super) lists_sent: Vec<SentWatch>,
    pub(super) tokens: TokenKeeper,
    pub(super) saver: CacheSaver,
    pub(super) stage: LinkStage,
    /// Whether the cache was read since the beginning, or since it was wiped.
    pub(super) is_restored: bool,
    /// The application wants a connection: from `connect` to `disconnect`, `logout` or a final end.
    pub(super) is_wanted: bool,
    /// Callers of `connect`.
    pub(super) connecting: Vec<oneshot::Sender<Result<(), RosterdError>>>,
    /// Callers of `connect` that are to hear that there is no point, once the snapshot says so.
    pub(super) refused_connects: Vec<(oneshot::Sender<Result<(), RosterdError>>, RosterdError)>,
    /// Attempts since the last `synced`.
    pub(super) attempt: u32,
    pub(super) doubt: ListDoubt,
    pub(super) is_logged_in: bool,
    pub(super) own: OwnCommands,
    /// The token of the attempt that is under way.
    pub(super) login_token: String,
    pub(super) login_error: Option<RosterdError>,
    /// The connection is dropped in order to get everything anew.
    pub(super) is_refetching: bool,
    /// A catch-up has begun and none is complete since: the lists may have some of what it brings.
    pub(super) is_partial: bool,
}

/// A list of strangers that was sent, and what is to happen with the answer.
pub(super) struct SentWatch {
    pub(super) sent: BTreeSet<String>,
    /// The application's part of it, if it is another one.
    pub(super) listed: Option<BTreeSet<String>>,
    pub(super) answer: oneshot::Receiver<CallResult>,
    pub(super) caller: Option<oneshot::Sender<CallResult>>,
}

impl ClientTask {
    pub(super) fn new(
        options: Arc<ClientOptions>,
        orders: mpsc::UnboundedReceiver<ClientOrder>,
        published: watch::Sender<Arc<ClientSnapshot>>,
        notices: broadcast::Sender<ClientNotice>,
    ) -> Self {
        Self {
            replica: Replica::default(),
            shown: Lists::default(),
            snapshot: ClientSnapshot::empty(&options.account),
            calls: PendingCalls::new(&options.account),
            edits: ProfileEdits::default(),
            watches: WatchList::default(),
            lists_sent: Vec::new(),
            tokens: TokenKeeper::new(options.credentials.clone()),
            saver: CacheSaver::new(&options),
            stage: LinkStage::Idle,
            is_restored: false,
            is_wanted: false,
            connecting: Vec::new(),
            refused_connects: Vec::new(),
            attempt: 0,
            doubt: ListDoubt::None,
            is_logged_in: false,
            own: OwnCommands::default(),
            login_token: String::new(),
            login_error: None,
            is_refetching: false,
            is_partial: false,
            options,
            orders,
            published,
            notices,
        }
    }

    /// Works until the last handle is gone.
    pub(super) async fn run(mut self) {
        loop {
            let timer = self.next_time();
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.order(order).await,
                    None => break,
                },
                event = self.stage.next() => self.link(event),
                token = self.tokens.renewed() => self.renewed(token),
                written = self.saver.written() => self.notice_failure(written),
                () = sleep_until(timer) => self.tick(),
            }
            self.settle();
        }
        self.leave().await;
    }

    /// The end of an event: shows what it has changed, and then tells the callers.
    pub(super) fn settle(&mut self) {
        self.publish();
        let unheard = self.calls.deliver();
        self.notice_all(unheard);
        for (caller, error) in self.refused_connects.drain(..) {
            let _ = caller.send(Err(error));
        }
        self.answer_watches();
        self.saver.save(&self.replica, self.edits.kept());
    }

    /// Makes what has changed visible. During a catch-up that is the connection only: no list is shown in part.
    ///
    /// The own profile shows what is pending of it at any time.
    pub(super) fn publish(&mut self) {
        self.edits.settle(&self.calls.ended_edits(), self.calls.bases());
        if !self.is_partial {
            self.snapshot = self.snapshot.with_records(&self.replica, &mut self.shown);
        }
        self.snapshot.me = self.edits.shown(self.shown.me.as_ref());
        self.snapshot.pending = self.edits.pending();
        let published = self.published.borrow().clone();
        if !published.shares_records(&self.snapshot) || published.connection != self.snapshot.connection {
            self.published.send_replace(Arc::new(self.snapshot.clone()));
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.snapshot.connection.phase == ConnectionPhase::Live
    }

    pub(super) fn notice(&self, error: RosterdError) {
        self.options.trace.show(ClientTrace::Error(&error));
        // Nobody may listen.
        let _ = self.notices.send(ClientNotice::Error(error));
    }

    pub(super) fn notice_all(&self, errors: Vec<RosterdError>) {
        for error in errors {
            self.notice(error);
        }
    }

    pub(super) fn notice_failure(&self, result: Result<(), RosterdError>) {
        if let Err(error) = result {
            self.notice(error);
        }
    }

    /// Sends waiting commands; after a catch-up also settles those that are in doubt.
    pub(super) fn flush_calls(&mut self) {
        let LinkStage::Open(wire) = &mut self.stage else { return };
        let mut send = |id, command| wire.send(id, command);
        if self.snapshot.connection.phase == ConnectionPhase::Live {
            self.calls.reconsider(&self.replica, &mut send);
        } else if self.is_logged_in {
            self.calls.flush(&self.replica, &mut send);
        }
    }

    /// Sends a command of the task's own; 0 without a connection.
    pub(super) fn send_own(&mut self, command: ClientCommand) -> u64 {
        let LinkStage::Open(wire) = &mut self.stage else { return 0 };
        let id = self.calls.next_id();
        wire.send(id, command);
        id
    }

    /// Asks for something small. A connection over which nothing comes within this time is dead.
    pub(super) fn probe(&mut self, time: Duration) {
        if !self.is_logged_in {
            return;
        }
        let account = self.options.account.clone();
        self.own.probe = self.send_own(ClientCommand::GetUsers(v1::GetUsers { accounts: vec![account] }));
        if let LinkStage::Open(wire) = &mut self.stage {
            wire.expect_within(time);
        }
    }

    /// When something is due that no event brings.
    fn next_time(&self) -> Instant {
        let times = [self.calls.next_time(), self.tokens.next_time(), self.watches.due];
        // Without one, some time that has no meaning.
        times.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + super::FAR)
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.calls.expire(now, &self.replica) {
            self.probe(super::PROBE);
        }
        self.tokens.renew(now);
        if self.watches.due.is_some_and(|due| due <= now) {
            self.watches.due = None;
            self.send_watches(None);
        }
    }

    /// The last handle is gone, and every caller with it.
    async fn leave(mut self) {
        if let LinkStage::Open(wire) = std::mem::replace(&mut self.stage, LinkStage::Idle) {
            wire.close().await;
        }
        self.saver.save(&self.replica, self.edits.kept());
        self.saver.idle(&self.replica, self.edits.kept()).await;
    }
}
