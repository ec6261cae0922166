//! What a live client does about its connection: tokens, attempts, ends and waits.

use std::time::{Duration, SystemTime};

use futures::FutureExt;
use rosterd_protocol::{ClientCommand, v1};
use tokio::time::Instant;

use super::error::{INTERNAL, RosterdError, TIMEOUT, UNAUTHENTICATED};
use super::options::TokenError;
use super::snapshot::{ConnectionPhase, ConnectionState};
use super::task::{ClientTask, LinkEvent, LinkStage, ListDoubt, OwnCommands};
use super::trace::ClientTrace;
use super::wire::{ConnectionEnd, Wire};
use crate::backoff::random_wait;

/// The close code of a token that has expired.
const TOKEN_EXPIRED: u16 = 3506;
/// The close code of a token that is not accepted.
const BAD_TOKEN: u16 = 3500;

impl ClientTask {
    /// Begins an attempt.
    pub(super) fn begin(&mut self) {
        self.set_phase(ConnectionPhase::Connecting);
        match self.tokens.take() {
            Ok(token) => self.open(&token),
            Err(request) => self.stage = LinkStage::Token(request),
        }
    }

    fn open(&mut self, token: &str) {
        self.tokens.supplied(token);
        token.clone_into(&mut self.login_token);
        (self.login_error, self.is_refetching) = (None, false);
        let options = self.options.clone();
        self.stage = LinkStage::Opening(async move { Wire::open(&options).await }.boxed());
    }

    pub(super) fn link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Due => self.begin(),
            LinkEvent::Token(Ok(token)) => self.open(&token),
            LinkEvent::Token(Err(TokenError::Unauthorized(why))) => self.unauthorized(why),
            LinkEvent::Token(Err(TokenError::Failed(why))) => {
                let error = RosterdError::new(UNAUTHENTICATED, "NO_TOKEN", format!("there is no token: {why}"));
                self.notice(error.clone());
                self.ended(&ConnectionEnd::lost("there is no token"), Some(error));
            }
            LinkEvent::Opened(Ok(wire)) => self.log_in(wire),
            LinkEvent::Frame(frame) => self.frame(*frame),
            LinkEvent::Opened(Err(end)) | LinkEvent::Ended(end) if end.is_final => {
                let error = RosterdError::new(INTERNAL, "NO_CONNECTION", end.reason);
                self.give_up(error);
            }
            LinkEvent::Opened(Err(end)) | LinkEvent::Ended(end) => {
                if end.is_bad_frame {
                    self.notice(RosterdError::bad_frame(&end.reason));
                }
                self.ended(&end, None);
            }
        }
    }

    fn log_in(&mut self, wire: Box<Wire>) {
        self.stage = LinkStage::Open(wire);
        let token = std::mem::take(&mut self.login_token);
        let cursor = self.replica.cursor().map(str::to_owned);
        let login = v1::Login { token, cursor, device: self.options.device.clone() };
        self.own = OwnCommands { login: self.send_own(ClientCommand::Login(login)), ..OwnCommands::default() };
    }

    /// The token of a renewal has come, or none.
    pub(super) fn renewed(&mut self, token: Result<String, TokenError>) {
        match token {
            Ok(token) => self.own.refresh = self.send_own(ClientCommand::Refresh(v1::Refresh { token })),
            Err(TokenError::Unauthorized(why)) => self.unauthorized(why),
            Err(TokenError::Failed(why)) => self.not_refreshed(&why),
        }
    }

    pub(super) fn not_refreshed(&mut self, why: &str) {
        self.tokens.not_refreshed();
        let message = format!("the token could not be renewed, and the old one is used until it ends: {why}");
        self.notice(RosterdError::new(UNAUTHENTICATED, "REFRESH_FAILED", message));
    }

    /// Ends for good because the application says that it has no token.
    fn unauthorized(&mut self, why: String) {
        self.tokens.reset();
        let message = TokenError::Unauthorized(why).to_string();
        self.give_up(RosterdError::new(UNAUTHENTICATED, "UNAUTHORIZED", message));
    }

    /// A connection or an attempt has ended: decides whether there is another one, and when.
    pub(super) fn ended(&mut self, end: &ConnectionEnd, cause: Option<RosterdError>) {
        let refetching = std::mem::take(&mut self.is_refetching);
        self.detach();
        let login_error = self.login_error.take();
        let renew = end.code == TOKEN_EXPIRED && self.tokens.has_source();
        // The refusal of a login is enough, even if the goodbye was lost.
        let refused = !renew && login_error.as_ref().is_some_and(|error| error.code < 500);
        let comes_back = renew || comes_back(end.code);
        let requested = end.goodbye.as_ref().and_then(|goodbye| goodbye.retry_after_ms);
        let requested = requested.or(login_error.as_ref().and_then(|error| error.retry_after_ms));
        let error = cause.or(login_error).unwrap_or_else(|| close_error(end));
        if !refetching && (!self.options.reconnect || refused || !comes_back) {
            if error.code == UNAUTHENTICATED {
                self.tokens.reset();
            }
            return self.give_up(error);
        }
        // Only the first retry is immediate: a new token that has expired too would lead here again and again.
        let at_once = (renew && self.tokens.expired()) || refetching;
        let wait = match requested.map(Duration::from_millis) {
            _ if at_once => Duration::ZERO,
            Some(wait) => wait,
            None => random_wait(self.options.backoff, self.attempt),
        };
        let wait = wait.min(super::FAR);
        self.attempt += 1;
        self.stage = LinkStage::Waiting { until: Instant::now() + wait, by_gateway: requested.is_some() && !at_once };
        self.snapshot.connection.last_error = Some(error);
        self.enter(ConnectionPhase::Reconnecting, Some(SystemTime::now() + wait));
    }

    /// Ends until the next `connect`.
    pub(super) fn give_up(&mut self, error: RosterdError) {
        self.halt(&error);
        self.notice(error.clone());
        self.snapshot.connection.last_error = Some(error);
        self.set_phase(ConnectionPhase::Disconnected);
    }

    /// Ends everything that waits for a connection, with this error.
    pub(super) fn halt(&mut self, error: &RosterdError) {
        self.is_wanted = false;
        self.detach();
        self.calls.fail(error);
        self.refused_connects.extend(self.connecting.drain(..).map(|caller| (caller, error.clone())));
    }

    /// The connection is gone. An open one is closed.
    pub(super) fn detach(&mut self) {
        if let LinkStage::Open(wire) = std::mem::replace(&mut self.stage, LinkStage::Idle) {
            tokio::spawn(wire.close());
        }
        self.is_logged_in = false;
        self.own = OwnCommands::default();
        self.tokens.stop();
        self.calls.interrupted(&self.replica);
        if self.doubt == ListDoubt::Repairing {
            self.doubt = ListDoubt::Refetching;
        }
    }

    pub(super) fn set_phase(&mut self, phase: ConnectionPhase) {
        self.enter(phase, None);
    }

    fn enter(&mut self, phase: ConnectionPhase, retry_at: Option<SystemTime>) {
        let ConnectionState { last_error, session, schema, .. } = std::mem::take(&mut self.snapshot.connection);
        let last_error = last_error.filter(|_| phase != ConnectionPhase::Live);
        let session = session.filter(|_| matches!(phase, ConnectionPhase::Syncing | ConnectionPhase::Live));
        self.snapshot.connection = ConnectionState { phase, last_error, retry_at, session, schema };
        self.options.trace.show(ClientTrace::Connection(&self.snapshot.connection));
    }

    /// The network or the application is back: tries at once, unless the gateway chose the time, for all clients. A
    /// connection that looks open may have died silently, and any answer proves that it is alive.
    pub(super) fn wake(&mut self) {
        match self.stage {
            LinkStage::Waiting { by_gateway: false, .. } => self.begin(),
            _ => self.probe(super::PROBE),
        }
    }
}

/// Returns whether a client should reconnect after this close code.
fn comes_back(code: u16) -> bool {
    !(3500..4000).contains(&code)
}

/// Turns an end into the error that callers see if there is no better one.
fn close_error(end: &ConnectionEnd) -> RosterdError {
    let ConnectionEnd { code, reason, .. } = end;
    if comes_back(*code) {
        return RosterdError::new(TIMEOUT, "CONNECTION_LOST", format!("the connection ended: {code} {reason}"));
    }
    let number = if matches!(*code, BAD_TOKEN | TOKEN_EXPIRED) { UNAUTHENTICATED } else { u32::from(*code) };
    let reason = if reason.is_empty() { "CLOSED" } else { reason };
    RosterdError::new(number, reason, format!("the gateway closed the connection for good: {code} {reason}"))
}
