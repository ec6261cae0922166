//! A proxy before a database server, which loses on purpose what passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is to be lost once something passes.
#[derive(Default)]
struct Fault {
    /// After this has passed to the server, nothing comes back on its connection.
    swallow_after: Option<Vec<u8>>,
    /// A connection on which this is sent to the server breaks before it arrives.
    drop_from: Option<Vec<u8>>,
    /// What the server says, and what of the same length arrives.
    lie: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Default)]
struct Shared {
    fault: Mutex<Fault>,
    swallowed: AtomicUsize,
    dropped: AtomicUsize,
    closed: AtomicBool,
    silent: AtomicBool,
}

/// A running proxy.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
    cut: watch::Sender<usize>,
}

impl Proxy {
    /// Starts before a server.
    pub async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, cuts) = watch::channel(0);
        let shared = Arc::new(Shared::default());
        let (sharing, server) = (shared.clone(), server.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if sharing.closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(pass(client, server, sharing.clone(), cuts.clone()));
            }
        });
        Self { address, shared, cut }
    }

    /// From now on nothing comes back on a connection on which this passes, once.
    pub fn swallow_after(&self, text: &str) {
        self.shared.fault.lock().swallow_after = Some(text.as_bytes().to_vec());
    }

    /// Breaks a connection on which this is to pass, once.
    pub fn drop_from(&self, text: &str) {
        self.shared.fault.lock().drop_from = Some(text.as_bytes().to_vec());
    }

    /// Lets nothing come back on any connection. One on which something was lost so is of no use afterwards.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    /// From now on what the server says arrives as something else of the same length.
    pub fn lie(&self, truth: &[u8], lie: &[u8]) {
        assert_eq!(truth.len(), lie.len());
        self.shared.fault.lock().lie = Some((truth.to_vec(), lie.to_vec()));
    }

    /// How often answers were lost.
    pub fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// How often something was lost on its way to the server.
    pub fn dropped(&self) -> usize {
        self.shared.dropped.load(Ordering::SeqCst)
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Takes no further connections.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
    }

    /// Takes connections again.
    pub fn open(&self) {
        self.shared.closed.store(false, Ordering::SeqCst);
    }
}

/// Passes on what comes until either side is done, or the connection is cut.
async fn pass(client: TcpStream, server: TcpStream, shared: Arc<Shared>, mut cuts: watch::Receiver<usize>) {
    cuts.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let silent = Arc::new(AtomicBool::new(false));
    tokio::select! {
        () = forth(from_client, to_server, &shared, &silent) => {}
        () = back(from_server, to_client, &shared, &silent) => {}
        _ = cuts.changed() => {}
    }
}

async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, silent: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let part = &bytes[..count];
        {
            let mut fault = shared.fault.lock();
            if takes(&mut fault.drop_from, part) {
                shared.dropped.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if takes(&mut fault.swallow_after, part) {
                silent.store(true, Ordering::SeqCst);
            }
        }
        if to.write_all(part).await.is_err() {
            return;
        }
    }
    // The server does not learn that the client is gone.
    if silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}

/// Returns whether it is in these bytes, and forgets it then.
fn takes(wanted: &mut Option<Vec<u8>>, bytes: &[u8]) -> bool {
    let is_there = wanted.as_ref().is_some_and(|text| bytes.windows(text.len()).any(|part| part == text));
    if is_there {
        *wanted = None;
    }
    is_there
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, silent: &AtomicBool) {
    let mut bytes = vec![0; 1 << 16];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if lost || silent.load(Ordering::SeqCst) || shared.silent.load(Ordering::SeqCst) {
            if !lost {
                shared.swallowed.fetch_add(1, Ordering::SeqCst);
            }
            lost = true;
            continue;
        }
        if let Some((truth, lie)) = &shared.fault.lock().lie {
            replace(&mut bytes[..count], truth, lie);
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

fn replace(bytes: &mut [u8], truth: &[u8], lie: &[u8]) {
    for at in 0..(bytes.len() + 1).saturating_sub(truth.len()) {
        if bytes[at..].starts_with(truth) {
            bytes[at..at + lie.len()].copy_from_slice(lie);
        }
    }
}
