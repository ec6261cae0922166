//! The endpoints that are sent events, at the start and by a reload.

use std::sync::Arc;

use super::reload::{PreparedChange, ReloadablePart};
use crate::callback::{EndpointSettings, Webhooks};
use crate::config::{Config, WebhookConfig, WebhookFormat, WebhookStart};

/// Returns the settings of all endpoints.
pub(super) fn endpoints(config: &Config) -> Result<Vec<EndpointSettings>, String> {
    config.webhooks.iter().map(|(name, webhook)| endpoint(name, webhook)).collect()
}

fn endpoint(name: &str, webhook: &WebhookConfig) -> Result<EndpointSettings, String> {
    let because = |(key, why): (&str, String)| format!("webhooks.{name}.{key}: {why}");
    Ok(EndpointSettings {
        name: name.to_owned(),
        outbound: webhook.outbound().map_err(because)?,
        secrets: webhook.secrets().map_err(because)?,
        types: webhook.types().map_err(because)?,
        fields: webhook.fields().map_err(because)?,
        from_start: webhook.from == WebhookStart::Start,
        batch: webhook.batch,
        batch_bytes: webhook.batch_bytes,
        cloudevents: webhook.format == WebhookFormat::CloudEvents,
        authorization: webhook.authorization().map_err(because)?,
        enabled: webhook.enabled,
    })
}

/// Creates the part that replaces the endpoints.
pub(super) fn part(webhooks: Arc<Webhooks>) -> ReloadablePart {
    ReloadablePart::new(&["webhooks."], move |config| {
        let (webhooks, endpoints) = (webhooks.clone(), endpoints(config)?);
        Ok(PreparedChange::live(move || webhooks.apply(endpoints)))
    })
}
