//! The ops listener's sockets, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::tls::{Tls, TlsStream};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The most handshakes at a time; further callers wait in the system's queue.
const HANDSHAKES: usize = 64;

/// Serves the routes until the future is dropped.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, routes: Router, tls: Option<Arc<Tls>>) -> io::Result<()> {
    match tls {
        None => axum::serve(listener, routes).await,
        Some(tls) => axum::serve(Handshakes { listener, tls, under_way: JoinSet::new() }, routes).await,
    }
}

/// A listener that yields connections once their TLS handshake is done; a slow one delays no other.
struct Handshakes {
    listener: TcpListener,
    tls: Arc<Tls>,
    under_way: JoinSet<Option<(TlsStream, SocketAddr)>>,
}

impl Listener for Handshakes {
    type Io = TlsStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsStream, SocketAddr) {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.listener), if self.under_way.len() < HANDSHAKES => {
                    let tls = self.tls.clone();
                    self.under_way.spawn(async move {
                        let shaken = tls.accept(stream, HANDSHAKE).await;
                        let shaken = shaken.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed"));
                        Some((shaken.ok()?, address))
                    });
                }
                Some(shaken) = self.under_way.join_next() => {
                    if let Ok(Some(accepted)) = shaken {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
