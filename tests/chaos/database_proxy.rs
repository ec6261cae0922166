//! What is between one gateway and the database: lets everything through, keeps one direction back, or cuts everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyFlow {
    Pass,
    HoldToDatabase,
    HoldFromDatabase,
    /// All connections end, and new ones at once.
    Cut,
}

/// A proxy in this process.
pub struct DatabaseProxy {
    pub address: SocketAddr,
    flow: watch::Sender<ProxyFlow>,
    database: watch::Sender<SocketAddr>,
    /// How many pieces were kept back.
    held: Arc<AtomicUsize>,
}

impl DatabaseProxy {
    /// Listens for a gateway.
    pub async fn start(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (flow, database) = (watch::Sender::new(ProxyFlow::Pass), watch::Sender::new(database));
        let (flowing, to, held) = (flow.subscribe(), database.subscribe(), Arc::<AtomicUsize>::default());
        let holds = held.clone();
        tokio::spawn(async move {
            while let Ok((gateway, _)) = listener.accept().await {
                let database = *to.borrow();
                tokio::spawn(carry(gateway, database, flowing.clone(), holds.clone()));
            }
        });
        Self { address, flow, database, held }
    }

    pub fn set(&self, flow: ProxyFlow) {
        self.held.store(0, Ordering::Relaxed);
        self.flow.send_replace(flow);
    }

    /// How many connections have had something kept back since the flow was set.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Where connections go from now on.
    pub fn lead_to(&self, database: SocketAddr) {
        self.database.send_replace(database);
    }
}

async fn carry(gateway: TcpStream, database: SocketAddr, flow: watch::Receiver<ProxyFlow>, held: Arc<AtomicUsize>) {
    if *flow.borrow() == ProxyFlow::Cut {
        return;
    }
    let Ok(database) = TcpStream::connect(database).await else { return };
    let _ = (gateway.set_nodelay(true), database.set_nodelay(true));
    let ((from_gateway, to_gateway), (from_database, to_database)) = (gateway.into_split(), database.into_split());
    tokio::select! {
        () = pump(from_gateway, to_database, ProxyFlow::HoldToDatabase, flow.clone(), &held) => {}
        () = pump(from_database, to_gateway, ProxyFlow::HoldFromDatabase, flow, &held) => {}
    }
}

/// Carries one direction until it ends. What is kept back, also the end, is carried on later.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    keeps_back: ProxyFlow,
    mut flow: watch::Receiver<ProxyFlow>,
    held: &AtomicUsize,
) {
    let (mut buffer, mut cut) = (vec![0; 64 << 10], flow.clone());
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = cut.wait_for(|flow| *flow == ProxyFlow::Cut) => return,
        };
        if *flow.borrow() == keeps_back {
            held.fetch_add(1, Ordering::Relaxed);
        }
        let went_on = flow.wait_for(|flow| *flow != keeps_back).await.is_ok_and(|flow| *flow != ProxyFlow::Cut);
        if length == 0 || !went_on || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
