//! Runs one connection's life in a straight line: log in, catch up, live, close.
//!
//! It is one task, generic over the stream. Commands are carried out one after the other, and nothing is flushed
//! meanwhile: so a reply and what follows from it reach the client in order, a cursor never runs ahead of a reply, and
//! a client that sends faster than it reads is held back by TCP. While a hook is asked about a command the session goes
//! on, except that no further command is carried out.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::catch_up::catch_up;
use super::commands::{AfterReply, CommandResult, execute, refusal};
use super::context::SessionContext;
use super::flush::flush;
use super::hooked::{self, AskedCommand, HookedResult};
use super::repair::repair;
use super::socket::{ClientSocket, too_fast};
use super::timers::{SessionTimers, tick};
use crate::admission::Permit;
use crate::hub::{SessionHandle, WakeReason, WriteHandle};
use crate::metrics::Kind;
use crate::service::{LoggedIn, Service};
use rosterd_engine::model::{Account, CloseReason, Reason, RequestError};
use rosterd_protocol::{ClientCommand, Encoding, Inbound, v1};

/// A session that is logged in and up to date.
struct LoggedInSession {
    handle: SessionHandle,
    timers: SessionTimers,
}

/// Serves one connection to its end.
///
/// There are many such tasks, nearly all of them idle. So what only some steps need is boxed, and nothing is moved from
/// one place in the task to another: the task would then have room for both.
pub(crate) fn run<S>(
    websocket: WebSocketStream<S>,
    write_handle: Option<Box<dyn WriteHandle>>,
    encoding: Encoding,
    context: Arc<SessionContext>,
    permit: Arc<Permit>,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut socket = ClientSocket::new(websocket, encoding, context.clone(), permit);
    async move {
        let metrics = context.service.metrics();
        metrics.connections.inc();
        metrics.opened.inc();
        let mut logged_in = Box::pin(log_in(&mut socket, &context, write_handle)).await;
        let reason = match &mut logged_in {
            Ok(session) => live(&mut socket, &context.service, session).await,
            Err(reason) => *reason,
        };
        // The session leaves before the goodbye, which may take its time.
        drop(logged_in);
        metrics.closed.get_or_create(&Kind { kind: reason.word() }).inc();
        metrics.connections.dec();
        Box::pin(socket.close(reason)).await;
    }
}

/// Logs in and catches up, from the first frame to `synced`.
async fn log_in<S>(
    socket: &mut ClientSocket<S>,
    context: &SessionContext,
    write_handle: Option<Box<dyn WriteHandle>>,
) -> Result<LoggedInSession, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = tokio::select! {
        first = timeout(context.admission.policy().login_timeout, first_login(socket)) => first,
        () = context.lifecycle.closing() => return Err(CloseReason::Shutdown),
    };
    let (id, login) = first.map_err(|_| CloseReason::LoginTimeout)??;
    // Before the token is looked at.
    if let Err(wait) = socket.permit().log_in() {
        context.refused("LOGINS");
        let error = too_fast("too many logins from this address", wait);
        socket.send_one(&refusal(Some(id), &error)).await?;
        return Err(CloseReason::TooManyRequests);
    }
    match context.service.login(login, |account| may_log_in(context, account)).await {
        // A session that joined after closing began is not among those that `Gateway::close` ends.
        Ok(_) if context.lifecycle.is_closing() => Err(CloseReason::Shutdown),
        Ok(mut logged_in) => {
            socket.belongs_to(logged_in.handle.account());
            catch_up(socket, context, id, &mut logged_in).await?;
            let LoggedIn { mut handle, expires_at, .. } = logged_in;
            handle.hand_over(write_handle);
            let timers = SessionTimers::new(context, &handle, expires_at);
            Ok(LoggedInSession { handle, timers })
        }
        Err((error, reason)) => {
            log_refusal(socket.permit(), &error);
            socket.send_one(&refusal(Some(id), &error)).await?;
            Err(reason)
        }
    }
}

/// Checks what a login costs beyond the rate of logins.
fn may_log_in(context: &SessionContext, account: &Account) -> Result<(), RequestError> {
    context.admission.may_read_list(account).map_err(|wait| {
        context.refused("LIST_READS");
        too_fast("too many logins of this account, for the length of its friend list", wait)
    })
}

/// Logs why a login was refused, and from which address it came.
///
/// At debug level, because anyone who can connect can cause the line. The error's text has nothing of the token in it.
fn log_refusal(permit: &Permit, error: &RequestError) {
    let (reason, address) = (error.reason.word(), permit.client().map(tracing::field::display));
    tracing::debug!(reason, address, why = error.message, "a login was refused");
}

/// Waits for the login, and refuses every other command.
async fn first_login<S>(socket: &mut ClientSocket<S>) -> Result<(u64, v1::Login), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match socket.receive().await? {
            Inbound::Heartbeat => {}
            Inbound::Command { id, command: ClientCommand::Login(login) } => {
                match Service::check_device(login.device.as_ref()) {
                    Ok(()) => return Ok((id, login)),
                    Err(error) => socket.send_one(&refusal(Some(id), &error)).await?,
                }
            }
            Inbound::Command { id, .. } => {
                let error = RequestError::new(Reason::Unauthenticated, "log in first");
                socket.send_one(&refusal(Some(id), &error)).await?;
            }
            Inbound::Refused { id, error } => socket.send_one(&refusal(id, &error)).await?,
        }
    }
}

/// Serves a session that is up to date, until the client leaves, falls silent or is ended.
async fn live<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    LoggedInSession { handle, timers }: &mut LoggedInSession,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut flushed = false;
    // A command that a hook is asked about. It ends with the session, and has written nothing then.
    let mut asked: Option<Box<AskedCommand>> = None;
    loop {
        let event = next(socket, handle, timers, &mut asked, std::mem::take(&mut flushed)).await;
        if let Some(rest) = handle.take_rest() {
            socket.finish_frame(&rest);
        }
        let step = match event {
            Event::Woken(WakeReason::DirtyMarks) => {
                flushed = true;
                Box::pin(flush(socket, service, handle)).await
            }
            // Pending updates go out first: a client that comes back then lacks none of them.
            Event::Woken(WakeReason::End(CloseReason::Shutdown)) => {
                Box::pin(flush(socket, service, handle)).await.and(Err(CloseReason::Shutdown))
            }
            Event::Inbound(Ok(inbound)) => match &mut asked {
                // Answers come in the order of their commands.
                Some(asked) => {
                    asked.keep(inbound);
                    Ok(())
                }
                None => Box::pin(answer(socket, service, (handle, timers), &mut asked, inbound)).await,
            },
            Event::Decided => Box::pin(decided(socket, service, (handle, timers), &mut asked)).await,
            Event::Woken(WakeReason::End(reason)) | Event::Inbound(Err(reason)) => Err(reason),
            Event::Timer => {
                // A client whose frames are not read because of a hook is not silent.
                socket.heard |= asked.is_some();
                Box::pin(tick(socket, timers)).await
            }
        };
        if let Err(reason) = step {
            return reason;
        }
    }
}

/// An event that a live session waits for.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, and a box would be one for each command")]
enum Event {
    Woken(WakeReason),
    Inbound(Result<Inbound, CloseReason>),
    /// The hook has answered.
    Decided,
    Timer,
}

/// Waits for the next event.
///
/// Nearly always it is a mark, so marks are looked for first, before the socket and the timer are touched; but not right
/// after a flush, so that a client's commands are read however much changes. Most of what is pending for a session that
/// waits here is sent by a flusher, without waking its task.
async fn next<S>(
    socket: &mut ClientSocket<S>,
    handle: &mut SessionHandle,
    timers: &mut SessionTimers,
    asked: &mut Option<Box<AskedCommand>>,
    mut flushed: bool,
) -> Event
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let has_pong_due = socket.has_pong_due();
    let mut receive = pin!(socket.receive());
    poll_fn(|cx| {
        let wake = ready!(handle.poll_resume(cx));
        if !std::mem::take(&mut flushed)
            && let Some(wake) = wake
        {
            return Poll::Ready(Event::Woken(wake));
        }
        if let Some(asked) = asked
            && asked.poll_answer(cx).is_ready()
        {
            return Poll::Ready(Event::Decided);
        }
        if asked.as_ref().is_none_or(|asked| asked.reads_on())
            && let Poll::Ready(inbound) = receive.as_mut().poll(cx)
        {
            return Poll::Ready(Event::Inbound(inbound));
        }
        if timers.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Timer);
        }
        handle.poll_sleep(cx, has_pong_due).map(Event::Woken)
    })
    .await
}

/// Checks what a command costs beyond the rate of commands.
fn may_begin<S>(
    socket: &mut ClientSocket<S>,
    handle: &SessionHandle,
    command: &ClientCommand,
) -> Result<(), RequestError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(command, ClientCommand::Repair(_)) { socket.may_repair(handle.account()) } else { Ok(()) }
}

/// Goes on with the command whose hook has answered, and then with the frame that came next.
async fn decided<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    (handle, timers): (&mut SessionHandle, &mut SessionTimers),
    asked: &mut Option<Box<AskedCommand>>,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(mut command) = asked.take() else { return Ok(()) };
    let next = command.take_next();
    match command.proceed(service).await {
        HookedResult::Asks(mut again) => {
            if let Some(next) = next {
                again.keep(next);
            }
            *asked = Some(again);
            Ok(())
        }
        HookedResult::Done(done) => {
            reply(socket, service, (handle, timers), *done).await?;
            // Without a next frame there is the reply to send.
            answer(socket, service, (handle, timers), asked, next.unwrap_or(Inbound::Heartbeat)).await
        }
    }
}

/// Defers the reply of a command to the next write, and takes the step after it.
async fn reply<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    (handle, timers): (&mut SessionHandle, &mut SessionTimers),
    CommandResult { reply, then }: CommandResult,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(then, AfterReply::End) {
        return socket.send_deferred().await.and(Err(CloseReason::Internal));
    }
    socket.defer(&reply);
    // It may be large, and a slow client takes long for its bytes.
    drop(reply);
    match then {
        AfterReply::Stay | AfterReply::End => {}
        AfterReply::Renew(expires_at) => timers.renew(expires_at, service.now()),
        AfterReply::Repair(found) => Box::pin(repair(socket, service, handle, *found)).await?,
        AfterReply::HandOver(signal) => {
            // It is handed over even if the sender has gone meanwhile.
            let sent = socket.send_deferred().await;
            service.hand_over(&signal);
            sent?;
        }
        AfterReply::Leave => return socket.send_deferred().await.and(Err(CloseReason::ClientLeft)),
    }
    Ok(())
}

/// Answers one frame.
async fn answer<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    (handle, timers): (&mut SessionHandle, &mut SessionTimers),
    asked: &mut Option<Box<AskedCommand>>,
    inbound: Inbound,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match inbound {
        Inbound::Heartbeat => {}
        Inbound::Refused { id, error } => socket.defer(&refusal(id, &error)),
        Inbound::Command { id, command } => {
            let result = match may_begin(socket, handle, &command) {
                Ok(()) if hooked::asks(service, &command) => {
                    match Box::pin(hooked::begin(service, handle, id, command)).await {
                        HookedResult::Done(result) => Some(*result),
                        HookedResult::Asks(command) => {
                            *asked = Some(command);
                            None
                        }
                    }
                }
                Ok(()) => Some(execute(service, handle, id, command).await),
                Err(error) => Some(CommandResult { reply: refusal(Some(id), &error), then: AfterReply::Stay }),
            };
            if let Some(result) = result {
                reply(socket, service, (handle, timers), result).await?;
            }
        }
    }
    // A busy session has something pending by now: the answer and that are one write.
    if handle.has_pending() { flush(socket, service, handle).await } else { socket.send_deferred().await }
}
