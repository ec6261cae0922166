//! Delivers to one endpoint: does what `sync::delivery` decides.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::redelivery::redeliver;
use super::report::{DeliveryReport, EndpointMetrics, changes_behind};
use super::request::{RequestResult, SignedRequest};
use super::settings::EndpointSettings;
use crate::outbound::{OutboundClient, system_lookup};
use crate::service::{EndpointFailure, FeedError, FeedEvents, FeedQuery, FeedStart, Service};
use crate::store::{DeadLetter, DeliveryStore, StoreError};
use rosterd_engine::model::{FeedPosition, Millis, Revision, SeenNumber};
use rosterd_engine::sync::delivery::{
    Delivery, DeliveryBatch, DeliveryContent, DeliveryEffect, DeliveryOutcome, DeliveryState, DeliveryStep,
    KeptDelivery,
};
use rosterd_protocol::{GapReason, gap_json};

/// How often the position is kept while it moves.
const KEEP: Duration = Duration::from_secs(1);
/// How often the metrics are brought up to date while nothing happens, and how long after the store failed it is tried
/// again.
const TICK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// How long a request may still take when the gateway stops.
const LAST: Duration = Duration::from_secs(2);

/// What an operator or a reload wants.
pub(super) enum Order {
    Pause,
    Resume,
    Replay(FeedPosition),
    /// Sends dead letters once more.
    Dead,
    Settings(Arc<EndpointSettings>),
    /// Ends the task after its request.
    Stop,
}

/// An order, and where to say that it is carried out and kept.
pub(super) struct GivenOrder {
    pub order: Order,
    pub done: oneshot::Sender<Result<(), StoreError>>,
}

/// What the task of an endpoint needs.
pub(super) struct Driver {
    pub service: Arc<Service>,
    pub deliveries: Arc<dyn DeliveryStore>,
    pub settings: Arc<EndpointSettings>,
    /// The position after the newest change when the endpoint came into the settings.
    pub now: Option<FeedPosition>,
    pub orders: mpsc::Receiver<GivenOrder>,
    pub report: Arc<DeliveryReport>,
}

/// The task of an endpoint.
struct RunningDriver {
    driver: Driver,
    client: Arc<OutboundClient>,
    delivery: Delivery,
    applied: watch::Receiver<Revision>,
    /// `None` if presence is not in the feed.
    seen: Option<watch::Receiver<SeenNumber>>,
    /// How many events of the request that is out have lost personal data.
    sent_erased: usize,
    /// Whether the delivery is not kept as it is, and when it was kept last.
    unkept: (bool, Instant),
    /// A skipped event that is not kept yet: nothing is sent before that.
    dead: Option<DeadLetter>,
    /// The status of the last answer.
    last_status: u16,
    /// The time of the oldest event that the endpoint lacks.
    behind_since: Option<Millis>,
    /// Whether dead letters are sent once more.
    redelivers: bool,
}

/// A request that can go out.
struct PreparedRequest {
    batch: DeliveryBatch,
    signed: SignedRequest,
}

fn client_of(settings: &EndpointSettings) -> Arc<OutboundClient> {
    Arc::new(OutboundClient::new(settings.outbound.clone(), system_lookup()))
}

impl Driver {
    /// Delivers until it is told to stop.
    pub(super) async fn run(mut self) {
        let kept = loop {
            match self.begin().await {
                Ok(kept) => break kept,
                Err(error) => {
                    tracing::warn!(endpoint = self.settings.name, %error, "the delivery cannot begin; it is tried again");
                }
            }
            // Orders that come before are as good as not given, except the one to stop.
            let wait = timeout(TICK.1, self.orders.recv()).await;
            if let Ok(None | Some(GivenOrder { order: Order::Stop, .. })) = wait {
                return;
            }
        };
        let mut running = RunningDriver {
            client: client_of(&self.settings),
            delivery: Delivery::new(kept, self.settings.batch),
            applied: self.service.applied(),
            seen: self.service.seen(),
            sent_erased: 0,
            unkept: (true, Instant::now()),
            dead: None,
            last_status: 0,
            behind_since: None,
            redelivers: false,
            driver: self,
        };
        let _ = running.keep().await;
        while running.turn().await {}
        if let Err(error) = running.keep().await {
            let endpoint = &running.driver.settings.name;
            tracing::warn!(endpoint, %error, "the position could not be kept; some events come again");
        }
    }

    /// Reads where the delivery was left, or finds where it begins.
    async fn begin(&self) -> Result<KeptDelivery, String> {
        let kept = self.deliveries.delivery(self.settings.name.clone()).await.map_err(|error| error.to_string())?;
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let position = match self.now {
            Some(now) if !self.settings.from_start => Ok(now),
            _ => self.service.feed_oldest().await,
        };
        let position = position.map_err(|error| error.to_string())?;
        let since = self.service.now();
        Ok(KeptDelivery { position, state: DeliveryState::Running, since, failures: 0, failing_since: 0 })
    }
}

/// Waits for another value, and returns false if there will be none.
async fn changed(seen: Option<&mut watch::Receiver<SeenNumber>>) -> bool {
    match seen {
        Some(seen) => seen.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

impl RunningDriver {
    fn metrics(&self) -> EndpointMetrics<'_> {
        EndpointMetrics { metrics: self.driver.service.metrics(), endpoint: &self.driver.settings.name }
    }

    /// Does one thing, and returns false once it is to stop.
    async fn turn(&mut self) -> bool {
        while let Ok(order) = self.driver.orders.try_recv() {
            if !self.obey(order).await {
                return false;
            }
        }
        if !self.driver.service.delivers() {
            // Another gateway goes on; this one is told to stop.
            return self.rest(TICK.1, false).await;
        }
        if (self.dead.is_some() || self.unkept.0 && self.unkept.1.elapsed() >= KEEP) && self.keep().await.is_err() {
            return self.rest(TICK.1, false).await;
        }
        self.show();
        if self.redelivers {
            let context = (&*self.driver.service, &*self.driver.deliveries);
            let redelivered = redeliver(context, &self.driver.settings, &self.client).await;
            if let Some((result, took)) = &redelivered.result {
                self.note(result, *took);
            }
            self.redelivers = redelivered.goes_on;
            return true;
        }
        let now = self.driver.service.now();
        match self.delivery.step(now) {
            DeliveryStep::Send(most) if self.driver.settings.enabled => match self.next(most).await {
                Ok(Some(request)) => self.send(request).await,
                Ok(None) => self.rest(TICK.0, true).await,
                Err(()) => self.rest(TICK.1, false).await,
            },
            DeliveryStep::Wait(until) => self.rest(Duration::from_millis(until.saturating_sub(now)), false).await,
            DeliveryStep::Rest | DeliveryStep::Send(_) => {
                // Nothing is sent, but operators see what waits.
                if self.behind_since.is_none() && self.next(1).await.is_ok_and(|found| found.is_some()) {
                    self.show();
                }
                self.rest(TICK.0, false).await
            }
        }
    }

    fn show(&mut self) {
        self.driver.report.put(&self.delivery, self.behind_since);
        let Ok(head) = self.driver.service.feed_head() else { return };
        let since = self.behind_since.map_or(0, |since| self.driver.service.now().saturating_sub(since));
        self.metrics().show(self.delivery.kept(), (changes_behind(self.delivery.kept(), head), since));
    }

    /// Waits for an order, or a change, or for so long; not longer than until the position is to be kept.
    async fn rest(&mut self, most: Duration, for_changes: bool) -> bool {
        let most = most.min(if self.unkept.0 { KEEP } else { TICK.0 });
        let wants_presence = self.driver.settings.types.has_presence();
        tokio::select! {
            order = self.driver.orders.recv() => match order {
                Some(order) => self.obey(order).await,
                None => false,
            },
            changed = self.applied.changed(), if for_changes => changed.is_ok(),
            changed = changed(self.seen.as_mut()), if for_changes && wants_presence => changed,
            () = sleep(most) => true,
        }
    }

    /// Prepares the next request. `None` if there is nothing to send.
    async fn next(&mut self, most: usize) -> Result<Option<PreparedRequest>, ()> {
        self.applied.borrow_and_update();
        self.seen.as_mut().map(|seen| *seen.borrow_and_update());
        loop {
            let position = self.delivery.kept().position;
            let settings = &self.driver.settings;
            let query = FeedQuery {
                start: FeedStart::At(position),
                limit: most,
                bytes: settings.batch_bytes,
                types: settings.types.clone(),
                account: None,
                fields: settings.fields.clone(),
            };
            let found = match self.read(query).await {
                Ok(found) => found,
                Err(FeedError::Expired(oldest)) => return Ok(Some(self.gap(GapReason::Retention, oldest))),
                Err(FeedError::Foreign | FeedError::FromFuture) => {
                    let oldest = self.driver.service.feed_oldest().await.map_err(drop)?;
                    return Ok(Some(self.gap(GapReason::History, oldest)));
                }
                Err(FeedError::Refused(_)) => return Err(()),
            };
            if let Some(first) = found.events.first() {
                // Presence waits since it was found, because it is a state and has no time.
                let now = self.driver.service.now();
                self.behind_since = first.time.or(self.behind_since).or(Some(now));
                let id = first.key.id(first.position.history);
                let content = DeliveryContent::Events(found.events.len(), first.key);
                let batch = DeliveryBatch { content, end: found.position };
                self.sent_erased = found.events.iter().filter(|event| event.erased).count();
                let events: Vec<_> = found.events.into_iter().map(|event| event.json).collect();
                return Ok(Some(self.prepare(batch, &id, &events)));
            }
            if found.position != position {
                self.delivery.skip(found.position);
                self.unkept.0 = true;
            }
            let has_all = found.position.revision >= found.head.revision;
            if has_all {
                self.behind_since = None;
            }
            // What is left comes with a change that is yet to be applied.
            if has_all && found.position.seen >= found.head.seen || found.position == position {
                return Ok(None);
            }
        }
    }

    async fn read(&self, query: FeedQuery) -> Result<FeedEvents, FeedError> {
        self.driver.service.clone().feed_reader(query, false)?.next(Duration::ZERO).await
    }

    fn gap(&mut self, because: GapReason, to: FeedPosition) -> PreparedRequest {
        let now = self.driver.service.now();
        self.behind_since.get_or_insert(now);
        let event = gap_json(because, self.delivery.kept().position, to, now);
        let id = format!("{}-{}-gap", to.history, to.revision);
        self.prepare(DeliveryBatch { content: DeliveryContent::Gap, end: to }, &id, &[event])
    }

    fn prepare(&self, batch: DeliveryBatch, id: &str, events: &[String]) -> PreparedRequest {
        let (settings, now) = (&self.driver.settings, self.driver.service.now());
        let is_replay = self.delivery.replay_end().is_some();
        PreparedRequest { batch, signed: SignedRequest::new(settings, id, events, now, is_replay) }
    }

    /// Posts, while orders are carried out.
    async fn send(&mut self, request: PreparedRequest) -> bool {
        self.delivery.begin(request.batch);
        let (client, begun) = (self.client.clone(), Instant::now());
        let SignedRequest { headers, body } = request.signed;
        let mut call: BoxFuture<'static, _> = Box::pin(async move { client.post(headers, body).await });
        let mut goes_on = true;
        let answer = loop {
            tokio::select! {
                answer = &mut call => break Some(answer),
                order = self.driver.orders.recv() => {
                    goes_on = match order {
                        Some(order) => self.obey(order).await,
                        None => false,
                    };
                    if !goes_on {
                        break timeout(LAST, &mut call).await.ok();
                    }
                }
            }
        };
        if let Some(answer) = answer {
            self.take(&RequestResult::of(answer), begun.elapsed());
        }
        goes_on
    }

    fn take(&mut self, result: &RequestResult, took: Duration) {
        let now = self.driver.service.now();
        self.note(result, took);
        let chance = self.driver.service.random() % 1001;
        let endpoint = &self.driver.settings.name;
        match self.delivery.finish(result.outcome, now, chance) {
            DeliveryEffect::Delivered(content) => {
                self.metrics().delivered(content, self.sent_erased);
                if let DeliveryContent::Gap = content {
                    tracing::warn!(endpoint, "events are missing, and the endpoint knows; it can take a snapshot");
                    // So that it is not said twice.
                    self.unkept.1 = self.unkept.1.checked_sub(KEEP).unwrap_or(self.unkept.1);
                }
            }
            DeliveryEffect::Dead(event) => {
                tracing::warn!(endpoint, ?event, "the endpoint refused an event, which is skipped");
                self.dead = Some(DeadLetter { event, time: now, status: self.last_status });
                self.metrics().dead();
            }
            DeliveryEffect::Ended(state, dead) => {
                tracing::error!(endpoint, state = state.name(), "no more events are sent; an operator has to resume");
                if let Some(event) = dead {
                    self.dead = Some(DeadLetter { event, time: now, status: self.last_status });
                    self.metrics().dead();
                }
            }
            DeliveryEffect::Nothing | DeliveryEffect::Retried => {}
        }
        self.unkept.0 = true;
    }

    /// Shows the result of a request to operators.
    fn note(&mut self, result: &RequestResult, took: Duration) {
        let now = self.driver.service.now();
        self.metrics().requested(result.word, took);
        self.last_status = result.seen.status.unwrap_or(0);
        if result.outcome == DeliveryOutcome::Accepted {
            self.driver.report.succeeded(now);
        } else {
            let (status, text) = (result.seen.status, result.seen.text.clone());
            self.driver.report.failed(EndpointFailure { time: now, status, text });
        }
    }

    /// Keeps where the delivery is.
    async fn keep(&mut self) -> Result<(), StoreError> {
        if !self.driver.service.delivers() {
            // Another gateway may be further by now.
            return Ok(());
        }
        let (name, kept) = (self.driver.settings.name.clone(), self.delivery.kept().clone());
        self.driver.deliveries.put_delivery(name, kept, self.dead).await?;
        (self.unkept, self.dead) = ((false, Instant::now()), None);
        Ok(())
    }

    /// Carries out an order, and returns false if it is to stop.
    async fn obey(&mut self, given: GivenOrder) -> bool {
        let now = self.driver.service.now();
        match given.order {
            Order::Pause => self.delivery.pause(now),
            Order::Resume => self.delivery.resume(now),
            Order::Replay(from) => self.delivery.replay(from),
            Order::Dead => self.redelivers = true,
            Order::Settings(settings) => {
                self.client = client_of(&settings);
                self.delivery.set_batch(settings.batch);
                self.driver.settings = settings;
            }
            Order::Stop => return false,
        }
        let kept = self.keep().await;
        self.show();
        let _ = given.done.send(kept);
        true
    }
}
