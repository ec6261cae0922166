//! Carries batches over NATS, without storage: what does not arrive is read from the database.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::batch_network::{BatchNetwork, CourierEnd};
use super::nats_servers::{NatsLogin, NatsServers};
use super::pause::{PAUSE, part_of};
use super::schema::random;
use super::tls::client_config;

/// How long the server may take to do something.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many messages wait in the client for the server, and how many for this program.
const WAITING: usize = 64;
/// How many reasons are logged why it is away, until it is back.
const REASONS: usize = 8;
/// The most bytes of a file of credentials.
const CREDENTIALS: u64 = 64 << 10;

/// The NATS servers of the settings.
#[derive(Clone)]
pub struct NatsNetwork {
    servers: NatsServers,
    credentials: Option<PathBuf>,
}

/// A connection.
struct NatsLink {
    client: Client,
    messages: Subscriber,
    events: mpsc::Receiver<Event>,
}

impl NatsNetwork {
    /// Creates it; it does not connect yet. A file says who logs in, unless the URLs of the servers do. It is read again for
    /// each connection, so that one that was renewed counts from the next on.
    ///
    /// # Errors
    /// The file cannot be used; the text shows nothing of it.
    pub fn new(servers: NatsServers, credentials: Option<PathBuf>) -> Result<Self, String> {
        let network = Self { servers, credentials };
        network.login()?;
        Ok(network)
    }

    /// Reads how to log in.
    fn login(&self) -> Result<ConnectOptions, String> {
        if let Some(file) = &self.credentials {
            return read_credentials(file);
        }
        Ok(match self.servers.login() {
            Some(NatsLogin::User(user, password)) => {
                ConnectOptions::with_user_and_password(user.clone(), password.clone())
            }
            Some(NatsLogin::Token(token)) => ConnectOptions::with_token(token.clone()),
            None => ConnectOptions::new(),
        })
    }
}

fn read_credentials(file: &Path) -> Result<ConnectOptions, String> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(CREDENTIALS).read_to_string(&mut text));
    read.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    // The library's error might show a part of it.
    ConnectOptions::with_credentials(&text).map_err(|_| {
        format!(
            "{} holds no NATS credentials: a user's JWT and the seed of its key, as nsc writes them",
            file.display()
        )
    })
}

impl BatchNetwork for NatsNetwork {
    fn carry(&self, end: CourierEnd) -> BoxFuture<'static, ()> {
        Box::pin(carry(self.clone(), end))
    }
}

async fn carry(network: NatsNetwork, mut end: CourierEnd) {
    let servers = &network.servers;
    let (mut pause, mut said) = (Duration::ZERO, Vec::new());
    while !end.outgoing.is_closed() {
        let error = match connect(&network, &end.subject).await {
            Ok(link) => {
                end.set_connected(true);
                let lasts = || {
                    pause = Duration::ZERO;
                    said.clear();
                    tracing::info!(%servers, "gateways hand each other changes over NATS");
                };
                let outcome = link.run(&mut end, lasts).await;
                end.set_connected(false);
                match outcome {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // What ended it may be over, and another reason be why it does not come back.
        if said.len() < REASONS && !said.contains(&error) {
            tracing::warn!(%servers, error, "NATS is away: changes of other gateways are read from the database");
            said.push(error);
        }
        // It would come too late.
        while end.outgoing.try_recv().is_ok() {}
        pause = (pause * 2).clamp(PAUSE.0, PAUSE.1);
        sleep(part_of(pause, random().unwrap_or(1))).await;
    }
}

/// Connects once, and listens.
async fn connect(network: &NatsNetwork, subject: &str) -> Result<NatsLink, String> {
    let (events, happened) = mpsc::channel(WAITING);
    let urls = network.servers.urls();
    let reading = network.clone();
    let login = spawn_blocking(move || reading.login()).await;
    let options = login
        .map_err(|error| error.to_string())??
        .name("rosterd")
        .tls_client_config(client_config())
        .connection_timeout(PATIENCE)
        .ping_interval(PATIENCE)
        .client_capacity(WAITING)
        .subscription_capacity(WAITING)
        .ignore_discovered_servers()
        // Whoever connects anew does so here, and sends nothing that waited meanwhile.
        .max_reconnects(urls.len())
        .event_callback(move |event| {
            let events = events.clone();
            async move { drop(events.try_send(event)) }
        });
    let connecting = async {
        let client = options.connect(urls).await.map_err(|error| error.to_string())?;
        let messages = client.subscribe(subject.to_owned()).await.map_err(|error| error.to_string())?;
        client.flush().await.map_err(|error| error.to_string())?;
        Ok(NatsLink { client, messages, events: happened })
    };
    timeout(PATIENCE * 4, connecting).await.unwrap_or_else(|_| Err("it does not answer".into()))
}

impl NatsLink {
    /// Carries messages until the connection is over; `Ok` once nobody hands it any more. Calls `lasts` once it has lasted: a
    /// server that refuses what we do there says so only when we do it.
    async fn run(mut self, end: &mut CourierEnd, lasts: impl FnOnce()) -> Result<(), String> {
        let (mut lasting, mut lasts) = (pin!(sleep(PATIENCE)), Some(lasts));
        loop {
            tokio::select! {
                biased;
                () = &mut lasting, if lasts.is_some() => lasts.take().into_iter().for_each(|lasts| lasts()),
                event = self.events.recv() => match event {
                    Some(Event::Connected) => {}
                    Some(Event::SlowConsumer(_)) => end.missed(),
                    Some(Event::ServerError(error)) => return Err(error.to_string()),
                    Some(event) => return Err(event.to_string()),
                    None => return Err("the connection is over".into()),
                },
                message = end.outgoing.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    let sent = self.client.publish(end.subject.clone(), message.into());
                    match timeout(PATIENCE, sent).await {
                        Ok(Ok(())) => {}
                        // Where the server takes only smaller ones. Others read it from the log.
                        Ok(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {}
                        Ok(Err(error)) => return Err(error.to_string()),
                        Err(_) => return Err("it takes nothing".into()),
                    }
                }
                message = self.messages.next() => {
                    let Some(message) = message else { return Err("the connection is over".into()) };
                    end.deliver(&message.payload);
                }
            }
        }
    }
}
