//! One connection's life in a straight line: log in, catch up, live, close.
//!
//! One task, generic over the stream. Commands are carried out one after the other, and no mark is drained while
//! one is: so a reply and what follows from it reach the client in order, a cursor never runs ahead of a reply, and
//! a client that sends faster than it reads is held back by TCP.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::Gateway;
use super::catch_up::catch_up;
use super::clock::{Clock, tick};
use super::commands::{Then, execute, refusal};
use super::drain::drain;
use super::link::Link;
use super::repair::repair;
use crate::hub::{Seat, Wake};
use crate::lifecycle::Phase;
use crate::metrics::Kind;
use crate::model::{CloseReason, Millis, Reason, RequestError};
use crate::service::Service;
use crate::wire::{Command, Encoding, Inbound, v1};

/// Serves one connection to its end.
pub(super) async fn run<S>(socket: WebSocketStream<S>, encoding: Encoding, gateway: Arc<Gateway>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let metrics = gateway.service.metrics().clone();
    metrics.connections.inc();
    let mut link = Link::new(socket, encoding, gateway.settings.stall_timeout, metrics.clone());
    // Boxed: what a login needs must not stay in the task of a session that is idle.
    let reason = match Box::pin(log_in(&mut link, &gateway)).await {
        Ok((seat, expires_at)) => live(&mut link, &gateway, seat, expires_at).await,
        Err(reason) => reason,
    };
    metrics.closed.get_or_create(&Kind { kind: reason.word() }).inc();
    metrics.connections.dec();
    Box::pin(link.close(reason)).await;
}

/// From the first frame to `synced`.
async fn log_in<S>(link: &mut Link<S>, gateway: &Gateway) -> Result<(Seat, Option<Millis>), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let first = tokio::select! {
        first = timeout(gateway.settings.login_timeout, first_login(link)) => first,
        () = gateway.lifecycle.draining() => return Err(CloseReason::Shutdown),
    };
    let (id, login) = first.map_err(|_| CloseReason::LoginTimeout)??;
    match gateway.service.login(login).await {
        // A session that sat down after draining began is not among those that were told.
        Ok(_) if gateway.lifecycle.phase() == Phase::Draining => Err(CloseReason::Shutdown),
        Ok(mut logged_in) => {
            catch_up(link, gateway, id, &mut logged_in).await?;
            Ok((logged_in.seat, logged_in.expires_at))
        }
        Err((error, reason)) => {
            link.send_one(&refusal(Some(id), &error)).await?;
            Err(reason)
        }
    }
}

/// Waits for the login; anything else is told that it comes too early.
async fn first_login<S>(link: &mut Link<S>) -> Result<(u64, v1::Login), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match link.receive().await? {
            Inbound::Heartbeat => {}
            Inbound::Command { id, command: Command::Login(login) } => {
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
async fn live<S>(link: &mut Link<S>, gateway: &Gateway, mut seat: Seat, expires_at: Option<Millis>) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = &*gateway.service;
    let mut clock = Clock::new(gateway, &seat, expires_at);
    for turn in (0..3).cycle() {
        let step = match next(link, &seat, &mut clock, turn).await {
            // Boxed, like an answer: what it needs must not stay in the task of a session that is idle.
            Next::Woken(Wake::Marks) => Box::pin(drain(link, service, &mut seat)).await,
            Next::Woken(Wake::End(reason)) | Next::Frame(Err(reason)) => Err(reason),
            Next::Frame(Ok(inbound)) => Box::pin(answer(link, service, &mut seat, &mut clock, inbound)).await,
            Next::Timer => tick(link, &mut clock).await,
        };
        if let Err(reason) = step {
            return reason;
        }
    }
    unreachable!("the turns have no end")
}

/// What a session turns to.
enum Next {
    Woken(Wake),
    Frame(Result<Inbound, CloseReason>),
    Timer,
}

/// Waits for what comes first. Of what is there at once, that whose turn it is: so neither a client that never stops
/// asking nor changes that never end keep the other waiting, and a simulation can be played again.
async fn next<S>(link: &mut Link<S>, seat: &Seat, clock: &mut Clock, turn: usize) -> Next
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut wake, mut receive) = (pin!(seat.wake()), pin!(link.receive()));
    poll_fn(|cx| {
        let mut poll = |which| match which % 3 {
            0 => wake.as_mut().poll(cx).map(Next::Woken),
            1 => receive.as_mut().poll(cx).map(Next::Frame),
            _ => clock.timer.as_mut().poll(cx).map(|()| Next::Timer),
        };
        (turn..turn + 3).map(&mut poll).find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// Answers one frame.
async fn answer<S>(
    link: &mut Link<S>,
    service: &Service,
    seat: &mut Seat,
    clock: &mut Clock,
    inbound: Inbound,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match inbound {
        Inbound::Heartbeat => Ok(()),
        Inbound::Refused { id, error } => link.send_one(&refusal(id, &error)).await,
        Inbound::Command { id, command } => {
            let executed = execute(service, seat, id, command).await;
            link.send_one(&executed.reply).await?;
            match executed.then {
                Then::Stay => {}
                Then::Renew(expires_at) => clock.renew(expires_at, service.now()),
                Then::Repair(parts) => repair(link, service, seat, *parts).await?,
                Then::Leave => return Err(CloseReason::ClientLeft),
            }
            Ok(())
        }
    }
}
