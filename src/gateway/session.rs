//! One connection's life in a straight line: log in, catch up, live, close.
//!
//! One task, generic over the stream. Commands are carried out one after the other, and no mark is drained while
//! one is: so a reply and what follows from it reach the client in order, a cursor never runs ahead of a reply, and
//! a client that sends faster than it reads is held back by TCP.

use std::sync::Arc;
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
    loop {
        let step = tokio::select! {
            wake = seat.wake() => match wake {
                // Boxed, like an answer: what it needs must not stay in the task of a session that is idle.
                Wake::Marks => Box::pin(drain(link, service, &mut seat)).await,
                Wake::End(reason) => Err(reason),
            },
            inbound = link.receive() => match inbound {
                Ok(inbound) => Box::pin(answer(link, service, &mut seat, &mut clock, inbound)).await,
                Err(reason) => Err(reason),
            },
            () = clock.timer.as_mut() => tick(link, &mut clock).await,
        };
        if let Err(reason) = step {
            return reason;
        }
    }
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
