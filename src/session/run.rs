//! One connection's life in a straight line: log in, catch up, live, close.
//!
//! One task, generic over the stream. Commands are carried out one after the other, and no mark is drained while
//! one is: so a reply and what follows from it reach the client in order, a cursor never runs ahead of a reply, and
//! a client that sends faster than it reads is held back by TCP.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::catch_up::catch_up;
use super::commands::{AfterReply, execute, refusal};
use super::context::SessionContext;
use super::flush::drain;
use super::repair::repair;
use super::socket::{ClientSocket, too_fast};
use super::timers::{SessionTimers, tick};
use crate::admission::Permit;
use crate::hub::{SessionHandle, WakeReason, WriteHandle};
use crate::metrics::Kind;
use crate::service::{LoggedIn, Service};
use rosterd_engine::model::{CloseReason, Reason, RequestError};
use rosterd_protocol::{ClientCommand, Encoding, Inbound, v1};

/// A session that is logged in and up to date.
struct LoggedInSession {
    seat: SessionHandle,
    clock: SessionTimers,
}

/// Serves one connection to its end. There are many such tasks, nearly all of them idle: what only some steps need is
/// boxed, and nothing is moved from one place in the task to another, for it would then have both.
pub(crate) fn run<S>(
    socket: WebSocketStream<S>,
    out: Option<Box<dyn WriteHandle>>,
    encoding: Encoding,
    context: Arc<SessionContext>,
    permit: Arc<Permit>,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut link = ClientSocket::new(socket, encoding, context.clone(), permit);
    async move {
        let metrics = context.service.metrics();
        metrics.connections.inc();
        metrics.opened.inc();
        let mut logged_in = Box::pin(log_in(&mut link, &context, out)).await;
        let reason = match &mut logged_in {
            Ok(session) => live(&mut link, &context.service, session).await,
            Err(reason) => *reason,
        };
        // Before the goodbye, which may take its time.
        drop(logged_in);
        metrics.closed.get_or_create(&Kind { kind: reason.word() }).inc();
        metrics.connections.dec();
        Box::pin(link.close(reason)).await;
    }
}

/// From the first frame to `synced`.
async fn log_in<S>(
    link: &mut ClientSocket<S>,
    context: &SessionContext,
    out: Option<Box<dyn WriteHandle>>,
) -> Result<LoggedInSession, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = tokio::select! {
        first = timeout(context.admission.policy().login_timeout, first_login(link)) => first,
        () = context.lifecycle.closing() => return Err(CloseReason::Shutdown),
    };
    let (id, login) = first.map_err(|_| CloseReason::LoginTimeout)??;
    // Before the token is looked at.
    if let Err(wait) = link.permit().log_in() {
        context.refused("LOGINS");
        let error = too_fast("too many logins from this address", wait);
        link.send_one(&refusal(Some(id), &error)).await?;
        return Err(CloseReason::TooManyRequests);
    }
    match context.service.login(login).await {
        // A session that sat down after closing began is not among those that are told.
        Ok(_) if context.lifecycle.is_closing() => Err(CloseReason::Shutdown),
        Ok(mut logged_in) => {
            catch_up(link, context, id, &mut logged_in).await?;
            let LoggedIn { mut seat, expires_at, .. } = logged_in;
            seat.hand_over(out);
            let clock = SessionTimers::new(context, &seat, expires_at);
            Ok(LoggedInSession { seat, clock })
        }
        Err((error, reason)) => {
            log_refusal(link.permit(), &error);
            link.send_one(&refusal(Some(id), &error)).await?;
            Err(reason)
        }
    }
}

/// Logs why a login was refused, and from which address it came.
///
/// At debug level, because anyone who can connect can cause the line. The error's text has nothing of the token in it.
fn log_refusal(permit: &Permit, error: &RequestError) {
    let (reason, address) = (error.reason.word(), permit.client().map(tracing::field::display));
    tracing::debug!(reason, address, why = error.message, "a login was refused");
}

/// Waits for the login; anything else is told that it comes too early.
async fn first_login<S>(link: &mut ClientSocket<S>) -> Result<(u64, v1::Login), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match link.receive().await? {
            Inbound::Heartbeat => {}
            Inbound::Command { id, command: ClientCommand::Login(login) } => {
                match Service::check_device(login.device.as_ref()) {
                    Ok(()) => return Ok((id, login)),
                    Err(error) => link.send_one(&refusal(Some(id), &error)).await?,
                }
            }
            Inbound::Command { id, .. } => {
                let error = RequestError::new(Reason::Unauthenticated, "log in first");
                link.send_one(&refusal(Some(id), &error)).await?;
            }
            Inbound::Refused { id, error } => link.send_one(&refusal(id, &error)).await?,
        }
    }
}

/// The live loop: until the client leaves, falls silent, or is ended.
async fn live<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    LoggedInSession { seat, clock }: &mut LoggedInSession,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut told = false;
    loop {
        let event = next(link, seat, clock, std::mem::take(&mut told)).await;
        if let Some(rest) = seat.take_rest() {
            link.begun(&rest);
        }
        let step = match event {
            Event::Woken(WakeReason::DirtyMarks) => {
                told = true;
                Box::pin(drain(link, service, seat)).await
            }
            // What is owed goes first: who comes back then lacks nothing of it.
            Event::Woken(WakeReason::End(CloseReason::Shutdown)) => {
                Box::pin(drain(link, service, seat)).await.and(Err(CloseReason::Shutdown))
            }
            Event::Inbound(Ok(inbound)) => Box::pin(answer(link, service, seat, clock, inbound)).await,
            Event::Woken(WakeReason::End(reason)) | Event::Inbound(Err(reason)) => Err(reason),
            Event::Timer => Box::pin(tick(link, clock)).await,
        };
        if let Err(reason) = step {
            return reason;
        }
    }
}

/// What a live session waits for.
enum Event {
    Woken(WakeReason),
    Inbound(Result<Inbound, CloseReason>),
    Timer,
}

/// Waits for the next event. Nearly always it is a mark, which so is looked for first, before the socket and the timer
/// are touched; but not right after some were told, so that a client gets its turn however much changes. Most of what
/// is owed to one that waits here is told by others, without waking it.
async fn next<S>(
    link: &mut ClientSocket<S>,
    seat: &mut SessionHandle,
    clock: &mut SessionTimers,
    mut told: bool,
) -> Event
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let has_to_say = link.has_to_say();
    let mut receive = pin!(link.receive());
    poll_fn(|cx| {
        let wake = ready!(seat.poll_resume(cx));
        if !std::mem::take(&mut told)
            && let Some(wake) = wake
        {
            return Poll::Ready(Event::Woken(wake));
        }
        if let Poll::Ready(inbound) = receive.as_mut().poll(cx) {
            return Poll::Ready(Event::Inbound(inbound));
        }
        if clock.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        seat.poll_sleep(cx, has_to_say).map(Event::Woken)
    })
    .await
}

/// Answers one frame.
async fn answer<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &mut SessionHandle,
    clock: &mut SessionTimers,
    inbound: Inbound,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match inbound {
        Inbound::Heartbeat => {}
        Inbound::Refused { id, error } => link.hold(&refusal(id, &error)),
        Inbound::Command { id, command } => {
            let executed = execute(service, seat, id, command).await;
            link.hold(&executed.reply);
            match executed.then {
                AfterReply::Stay => {}
                AfterReply::Renew(expires_at) => clock.renew(expires_at, service.now()),
                AfterReply::Repair(parts) => Box::pin(repair(link, service, seat, *parts)).await?,
                AfterReply::Leave => return link.release().await.and(Err(CloseReason::ClientLeft)),
            }
        }
    }
    // A busy session is owed something by now: the answer and that are one write.
    if seat.has_pending() { drain(link, service, seat).await } else { link.release().await }
}
