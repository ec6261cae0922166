//! What carries batches between gateways besides the log: it loses, repeats and reorders them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use rosterd::metrics::DatabaseMetrics;
use rosterd::store::postgres::{BatchNetwork, CourierEnd};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::server::SharedServer;
use crate::random::Random;

/// A network that all gateways reach, whoever is cut off from the database.
pub struct SimNetwork {
    ends: Mutex<Vec<mpsc::UnboundedSender<Vec<u8>>>>,
    server: SharedServer,
    random: Random,
    pub metrics: DatabaseMetrics,
}

/// The network, as one gateway reaches it.
pub struct NetworkLine(pub Arc<SimNetwork>);

impl SimNetwork {
    pub fn new(server: SharedServer, random: Random) -> Arc<Self> {
        Arc::new(Self { ends: Mutex::default(), server, random, metrics: DatabaseMetrics::default() })
    }

    /// Sends a message to all gateways, to each in its own time, if at all.
    fn send(&self, message: &[u8]) {
        let mut ends = self.ends.lock().unwrap();
        ends.retain(|end| !end.is_closed());
        for end in &*ends {
            let times = match self.random.below(20) {
                0..2 => 0,
                2..4 => 2,
                _ => 1,
            };
            if times != 1 {
                let what = if times == 0 { "a batch was lost between gateways" } else { "a batch came twice" };
                self.server.lock().unwrap().happened.push(what);
            }
            for _ in 0..times {
                let (end, message) = (end.clone(), message.to_vec());
                let takes = if self.random.percent(80) { self.random.below(4) } else { self.random.below(60) };
                tokio::spawn(async move {
                    sleep(Duration::from_millis(takes)).await;
                    drop(end.send(message));
                });
            }
        }
    }
}

impl BatchNetwork for NetworkLine {
    fn carry(&self, mut end: CourierEnd) -> BoxFuture<'static, ()> {
        let network = self.0.clone();
        let (sender, mut came) = mpsc::unbounded_channel();
        network.ends.lock().unwrap().push(sender);
        Box::pin(async move {
            end.set_connected(true);
            loop {
                tokio::select! {
                    biased;
                    message = end.outgoing.recv() => match message {
                        Some(message) => network.send(&message),
                        None => return,
                    },
                    Some(message) = came.recv() => end.deliver(&message),
                }
            }
        })
    }
}
