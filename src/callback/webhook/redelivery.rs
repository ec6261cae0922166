//! Sends dead letters once more, one at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::request::{RequestResult, SignedRequest};
use super::settings::EndpointSettings;
use crate::outbound::OutboundClient;
use crate::service::Service;
use crate::store::DeliveryStore;
use rosterd_engine::sync::delivery::DeliveryOutcome;

/// What came of a dead letter.
#[derive(Default)]
pub(super) struct Redelivered {
    /// The result of its request and how long that took, if there was one.
    pub result: Option<(RequestResult, Duration)>,
    /// Whether to go on with the next.
    pub goes_on: bool,
}

/// Sends the oldest dead letter, if there is one and the log still has it.
pub(super) async fn redeliver(
    (service, deliveries): (&Service, &dyn DeliveryStore),
    settings: &EndpointSettings,
    client: &OutboundClient,
) -> Redelivered {
    let name = || settings.name.clone();
    let Ok(letters) = deliveries.dead_letters(name(), None, 1).await else { return Redelivered::default() };
    let Some(letter) = letters.first() else { return Redelivered::default() };
    let (Ok(event), Ok(head)) = (service.event(letter.event, &settings.fields).await, service.feed_head()) else {
        return Redelivered::default();
    };
    let mut redelivered = Redelivered::default();
    if let Some(event) = event {
        let id = letter.event.id(head.history);
        let request = SignedRequest::new(settings, &id, &[event], service.now(), true);
        let begun = Instant::now();
        let result = RequestResult::of(client.post(request.headers, request.body).await);
        let is_accepted = result.outcome == DeliveryOutcome::Accepted;
        redelivered.result = Some((result, begun.elapsed()));
        if !is_accepted {
            return redelivered;
        }
    } else {
        tracing::warn!(endpoint = settings.name, event = ?letter.event, "a refused event is not kept any more");
    }
    redelivered.goes_on = deliveries.remove_dead_letter(name(), letter.event).await.is_ok();
    redelivered
}
