//! The endpoints of the settings, with their tasks, and what operators do with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::driver::{Driver, GivenOrder, Order};
use super::report::DeliveryReport;
use super::request::{RequestResult, SignedRequest};
use super::settings::EndpointSettings;
use crate::outbound::{OutboundClient, system_lookup};
use crate::service::{EndpointStatus, EndpointTest, Endpoints, FeedError, Replay, ReplayError, Service};
use crate::store::{DeadLetter, DeliveryStore, StoreError};
use rosterd_engine::model::{LogHistory, Millis, Reason, RequestError};
use rosterd_engine::sync::delivery::EventKey;
use rosterd_protocol::test_json;

/// How long an endpoint that is no more in the settings is remembered.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);
/// The orders that may wait for a task.
const ORDERS: usize = 16;
/// How often a gateway that shares its database says that it delivers, or asks whether it may.
const RENEWAL: Duration = Duration::from_secs(3);
/// When a caller may try again what could not be done now.
const RETRY_MS: u64 = 1000;

/// The endpoints of the settings.
pub struct Webhooks {
    service: Arc<Service>,
    deliveries: Arc<dyn DeliveryStore>,
    /// What the settings say; it is carried out while this gateway delivers.
    wanted: Mutex<Vec<EndpointSettings>>,
    running: Mutex<BTreeMap<String, RunningEndpoint>>,
    /// The tasks that are to begin; `None` once all are to end.
    begun: Mutex<Option<mpsc::UnboundedSender<Driver>>>,
}

#[derive(Clone)]
struct RunningEndpoint {
    settings: Arc<EndpointSettings>,
    orders: mpsc::Sender<GivenOrder>,
    report: Arc<DeliveryReport>,
}

impl Webhooks {
    /// Creates the endpoints, and the work that delivers to them. The work ends once all of them have stopped, after
    /// [`Webhooks::stop`].
    #[must_use]
    pub fn new(service: Arc<Service>, deliveries: Arc<dyn DeliveryStore>) -> (Arc<Self>, BoxFuture<'static, ()>) {
        let (begun, drivers) = mpsc::unbounded_channel();
        let webhooks = Arc::new(Self {
            service,
            deliveries,
            wanted: Mutex::default(),
            running: Mutex::default(),
            begun: Mutex::new(Some(begun)),
        });
        (webhooks, Box::pin(work(drivers)))
    }

    /// Takes these settings over: begins what is new, ends what is gone. Of several gateways one delivers.
    pub fn apply(&self, settings: Vec<EndpointSettings>) {
        self.wanted.lock().clone_from(&settings);
        self.carry_out(if self.service.delivers() { settings } else { Vec::new() });
    }

    /// Sees to it that one of several gateways delivers, until all tasks are to end.
    pub async fn take_turns(self: Arc<Self>) {
        let mut delivers = self.service.delivers();
        while self.begun.lock().is_some() {
            let had = std::mem::replace(&mut delivers, self.service.renew_delivery().await);
            if had != delivers {
                tracing::info!(delivers, "which gateway delivers webhooks has changed");
                let wanted = self.wanted.lock().clone();
                self.carry_out(if delivers { wanted } else { Vec::new() });
            }
            tokio::time::sleep(RENEWAL).await;
        }
    }

    /// Begins and ends tasks until these run.
    fn carry_out(&self, settings: Vec<EndpointSettings>) {
        let mut running = self.running.lock();
        let mut before = std::mem::take(&mut *running);
        for settings in settings {
            let (name, settings) = (settings.name.clone(), Arc::new(settings));
            let endpoint = match before.remove(&name) {
                Some(endpoint) => {
                    if endpoint.settings != settings {
                        give(&endpoint, Order::Settings(settings.clone()));
                    }
                    RunningEndpoint { settings, ..endpoint }
                }
                None => self.begin(settings),
            };
            running.insert(name, endpoint);
        }
        for gone in before.values() {
            give(gone, Order::Stop);
        }
    }

    /// Forgets the endpoints that have not been in the settings for long.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        let before = self.service.now().saturating_sub(REMEMBERED.as_millis() as Millis);
        let names = self.wanted.lock().iter().map(|settings| settings.name.clone()).collect();
        self.deliveries.forget_deliveries(names, before).await
    }

    /// Lets all tasks end after the requests that are out.
    pub fn stop(&self) {
        self.begun.lock().take();
        self.apply(Vec::new());
    }

    fn begin(&self, settings: Arc<EndpointSettings>) -> RunningEndpoint {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let report = Arc::new(DeliveryReport::default());
        let driver = Driver {
            service: self.service.clone(),
            deliveries: self.deliveries.clone(),
            settings: settings.clone(),
            now: self.service.feed_head().ok(),
            orders: inbox,
            report: report.clone(),
        };
        // Nobody takes it once the gateway stops.
        let _ = self.begun.lock().as_ref().map(|begun| begun.send(driver));
        RunningEndpoint { settings, orders, report }
    }

    /// Returns an error if another gateway delivers.
    fn is_here(&self) -> Result<(), RequestError> {
        let Some(other) = self.service.other_deliverer() else { return Ok(()) };
        let message = match other.as_str() {
            "" => "no gateway delivers webhooks at this moment".to_owned(),
            name => format!("the gateway \"{name}\" delivers webhooks: ask that one"),
        };
        Err(RequestError::new(Reason::Unavailable, message).retry_after(RETRY_MS))
    }

    fn find(&self, name: &str) -> Result<RunningEndpoint, RequestError> {
        self.is_here()?;
        let found = self.running.lock().get(name).cloned();
        found.ok_or_else(|| {
            RequestError::new(Reason::NotFound, "there is no such webhook: it would be a section [webhooks.NAME]")
        })
    }

    async fn order(&self, name: &str, order: Order) -> Result<(), RequestError> {
        let endpoint = self.find(name)?;
        let (done, answer) = oneshot::channel();
        endpoint.orders.send(GivenOrder { order, done }).await.map_err(|_| unavailable())?;
        answer.await.map_err(|_| unavailable())?.map_err(|_| unavailable())
    }

    async fn status(&self, endpoint: &RunningEndpoint) -> Result<EndpointStatus, RequestError> {
        let dead = self.deliveries.count_dead_letters(endpoint.settings.name.clone()).await;
        let (dead, head) = (dead.map_err(|_| unavailable())?, self.service.feed_head()?);
        let status = endpoint.report.status(&endpoint.settings, head, self.service.now(), dead).await;
        status.ok_or_else(unavailable)
    }

    async fn replay_from(&self, name: &str, replay: Replay) -> Result<(), ReplayError> {
        self.find(name)?;
        let order = match replay {
            Replay::Dead => Order::Dead,
            Replay::After(position) => {
                let (head, oldest) = (self.service.feed_head()?, self.service.feed_oldest().await?);
                if position.history != head.history || position.revision > head.revision {
                    return Err(ReplayError::Foreign);
                }
                if position.after() < oldest.revision {
                    return Err(ReplayError::Expired(oldest));
                }
                Order::Replay(position)
            }
            Replay::Since(time) => {
                if time > self.service.now() {
                    let error = RequestError::new(Reason::InvalidArgument, "since must not be in the future");
                    return Err(error.field("since").into());
                }
                Order::Replay(self.service.feed_position_at(time).await.map_err(|error| match error {
                    FeedError::Expired(oldest) => ReplayError::Expired(oldest),
                    FeedError::Refused(error) => ReplayError::Refused(error),
                    FeedError::Foreign | FeedError::FromFuture => ReplayError::Foreign,
                })?)
            }
        };
        Ok(self.order(name, order).await?)
    }

    async fn test_of(&self, name: &str) -> Result<EndpointTest, RequestError> {
        let settings = self.find(name)?.settings;
        let (history, now) = (self.service.feed_head()?.history, self.service.now());
        let event = test_json(history, name, now);
        let request = SignedRequest::new(&settings, &format!("{history}-{now}-test"), &[event], now, false);
        let client = OutboundClient::new(settings.outbound.clone(), system_lookup());
        Ok(RequestResult::of(client.post(request.headers, request.body).await).seen)
    }
}

/// Runs the tasks. A panic in one of them is one here.
async fn work(mut drivers: mpsc::UnboundedReceiver<Driver>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            driver = drivers.recv() => match driver {
                Some(driver) => drop(tasks.spawn(driver.run())),
                None => break,
            },
            Some(ended) = tasks.join_next() => ended.expect("the task of an endpoint does not panic"),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the task of an endpoint does not panic");
    }
}

/// Gives an order that nobody waits for. A task that has so many orders waiting has ended or will be asked again.
fn give(endpoint: &RunningEndpoint, order: Order) {
    let (done, _) = oneshot::channel();
    if endpoint.orders.try_send(GivenOrder { order, done }).is_err() {
        tracing::warn!(
            endpoint = endpoint.settings.name,
            "the endpoint's task is too busy for new settings; reload again"
        );
    }
}

fn unavailable() -> RequestError {
    RequestError::new(Reason::Unavailable, "this cannot be done now; try again later").retry_after(RETRY_MS)
}

impl Endpoints for Webhooks {
    fn endpoints(&self) -> BoxFuture<'_, Result<Vec<EndpointStatus>, RequestError>> {
        Box::pin(async {
            self.is_here()?;
            let running: Vec<_> = self.running.lock().values().cloned().collect();
            let mut found = Vec::new();
            for endpoint in &running {
                found.push(self.status(endpoint).await?);
            }
            Ok(found)
        })
    }

    fn endpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<EndpointStatus, RequestError>> {
        Box::pin(async move { self.status(&self.find(name)?).await })
    }

    fn pause<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RequestError>> {
        Box::pin(self.order(name, Order::Pause))
    }

    fn resume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RequestError>> {
        Box::pin(self.order(name, Order::Resume))
    }

    fn test<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<EndpointTest, RequestError>> {
        Box::pin(self.test_of(name))
    }

    fn replay<'a>(&'a self, name: &'a str, replay: Replay) -> BoxFuture<'a, Result<(), ReplayError>> {
        Box::pin(self.replay_from(name, replay))
    }

    fn dead_letters<'a>(
        &'a self,
        name: &'a str,
        after: Option<EventKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(LogHistory, Vec<DeadLetter>), RequestError>> {
        Box::pin(async move {
            self.find(name)?;
            let letters = self.deliveries.dead_letters(name.to_owned(), after, limit).await;
            Ok((self.service.feed_head()?.history, letters.map_err(|_| unavailable())?))
        })
    }

    fn remove_dead<'a>(&'a self, name: &'a str, event: EventKey) -> BoxFuture<'a, Result<(), RequestError>> {
        Box::pin(async move {
            self.find(name)?;
            let removed = self.deliveries.remove_dead_letter(name.to_owned(), event).await;
            removed.map(drop).map_err(|_| unavailable())
        })
    }
}
