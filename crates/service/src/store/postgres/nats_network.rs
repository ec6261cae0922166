//! Carries batches over NATS, without storage: what does not arrive is read from the database.

use std::pin::pin;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
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

/// The NATS servers of the settings.
pub struct NatsNetwork(NatsServers);

/// A connection.
struct NatsLink {
    client: Client,
    messages: Subscriber,
    events: mpsc::Receiver<Event>,
}

impl NatsNetwork {
    /// Creates it; it does not connect yet.
    #[must_use]
    pub fn new(servers: NatsServers) -> Self {
        Self(servers)
    }
}

impl BatchNetwork for NatsNetwork {
    fn carry(&self, end: CourierEnd) -> BoxFuture<'static, ()> {
        Box::pin(carry(self.0.clone(), end))
    }
}

async fn carry(servers: NatsServers, mut end: CourierEnd) {
    let (mut pause, mut works) = (Duration::ZERO, None);
    while !end.outgoing.is_closed() {
        let error = match connect(&servers, &end.subject).await {
            Ok(link) => {
                end.set_connected(true);
                let lasts = || {
                    pause = Duration::ZERO;
                    if works.replace(true) != Some(true) {
                        tracing::info!(%servers, "gateways hand each other changes over NATS");
                    }
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
        if works.replace(false) != Some(false) {
            tracing::warn!(%servers, error, "NATS is away: changes of other gateways are read from the database");
        }
        // It would come too late.
        while end.outgoing.try_recv().is_ok() {}
        pause = (pause * 2).clamp(PAUSE.0, PAUSE.1);
        sleep(part_of(pause, random().unwrap_or(1))).await;
    }
}

/// Connects once, and listens.
async fn connect(servers: &NatsServers, subject: &str) -> Result<NatsLink, String> {
    let (events, happened) = mpsc::channel(WAITING);
    let urls = servers.urls();
    let options = match servers.login() {
        Some(NatsLogin::User(user, password)) => ConnectOptions::with_user_and_password(user.clone(), password.clone()),
        Some(NatsLogin::Token(token)) => ConnectOptions::with_token(token.clone()),
        None => ConnectOptions::new(),
    };
    let options = options
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
