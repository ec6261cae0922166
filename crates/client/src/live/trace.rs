//! What happens on a client's connections, for a program that shows or records it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rosterd_protocol::v1;

use super::error::RosterdError;
use super::snapshot::ConnectionState;

/// Something that happened on a client's connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClientTrace<'a> {
    /// A command is on its way to the gateway. Tokens are left out.
    Sent(&'a v1::ClientFrame),
    /// A frame came, and is applied next.
    Received(&'a v1::ServerFrame),
    /// The connection is otherwise.
    Connection(&'a ConnectionState),
    /// Something failed that no caller waits for.
    Error(&'a RosterdError),
}

/// A function of the application's that sees what happens.
type TraceFunction = dyn Fn(ClientTrace<'_>) + Send + Sync;

/// That function, if there is one.
#[derive(Clone, Default)]
pub(super) struct TraceSink(Option<Arc<TraceFunction>>);

impl TraceSink {
    pub(super) fn new(sink: impl Fn(ClientTrace<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Shows what happened. A panic of the application's is its own: the runtime has reported it, and the client goes on.
    pub(super) fn show(&self, happened: ClientTrace<'_>) {
        if let Some(sink) = &self.0 {
            let _ = catch_unwind(AssertUnwindSafe(|| sink(happened)));
        }
    }

    /// Shows a command, without the tokens in it.
    pub(super) fn sent(&self, frame: &v1::ClientFrame) {
        if self.0.is_none() {
            return;
        }
        let mut frame = frame.clone();
        frame.login.iter_mut().for_each(|login| login.token.clear());
        frame.refresh.iter_mut().for_each(|refresh| refresh.token.clear());
        self.show(ClientTrace::Sent(&frame));
    }
}

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceSink").field(&self.0.is_some()).finish()
    }
}
