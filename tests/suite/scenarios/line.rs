//! The line between one client and the gateway, which can break in several ways. Its address stays the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a line does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    Good,
    /// Nothing arrives on either side, and nobody is told.
    Silent,
    /// Nothing comes back from the gateway.
    OneWay,
}

struct LineState {
    gateway: Option<SocketAddr>,
    quality: Quality,
    /// The bytes that were lost on purpose.
    lost: usize,
}

pub(super) struct Line {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<LineState>>,
    cut: watch::Sender<u32>,
}

impl Line {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(LineState { gateway: None, quality: Quality::Good, lost: 0 }));
        let (cut, cuts) = watch::channel(0);
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let gateway = shared.lock().gateway;
                tokio::spawn(carry(client, gateway, shared.clone(), cuts.clone()));
            }
        });
        Self { address, state, cut }
    }

    /// Leads to this gateway from now on, or nowhere.
    pub(super) fn leads_to(&self, gateway: Option<SocketAddr>) {
        self.state.lock().gateway = gateway;
    }

    pub(super) fn set(&self, quality: Quality) {
        self.state.lock().quality = quality;
    }

    /// Ends all connections.
    pub(super) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// How many bytes were lost on purpose.
    pub(super) fn lost(&self) -> usize {
        self.state.lock().lost
    }
}

async fn carry(
    client: TcpStream,
    gateway: Option<SocketAddr>,
    state: Arc<Mutex<LineState>>,
    mut cuts: watch::Receiver<u32>,
) {
    let Some(gateway) = gateway else { return };
    let Ok(gateway) = TcpStream::connect(gateway).await else { return };
    let _ = (client.set_nodelay(true), gateway.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_gateway, to_gateway) = gateway.into_split();
    cuts.borrow_and_update();
    tokio::select! {
        () = pump(from_client, to_gateway, &state, &[Quality::Silent]) => {}
        () = pump(from_gateway, to_client, &state, &[Quality::Silent, Quality::OneWay]) => {}
        _ = cuts.changed() => {}
    }
}

/// Carries bytes until one side ends. Under these qualities it loses them, and an end too: a cut that nobody sees.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &Mutex<LineState>, loses: &[Quality]) {
    let mut buffer = vec![0; 16 * 1024];
    let mut has_lost = false;
    loop {
        let read = from.read(&mut buffer).await;
        // What comes after a gap would be no stream.
        let is_lost = has_lost || loses.contains(&state.lock().quality);
        match read {
            Ok(0) | Err(_) if is_lost => tokio::time::sleep(Duration::from_mins(10)).await,
            Ok(0) | Err(_) => return,
            Ok(count) if is_lost => {
                has_lost = true;
                state.lock().lost += count;
            }
            Ok(count) => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
