//! The certificates of both listeners: opened at the start, looked at again from time to time, exchanged by a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::reload::{PreparedChange, ReloadablePart};
use super::start_error::StartError;
use crate::config::Config;
use crate::metrics::{Kind, Metrics};
use crate::tls::{Files, Tls};

/// How often the files are looked at. Reading them costs next to nothing, and needs nothing of the file system: it
/// works over a network and with the links that Kubernetes exchanges.
const LOOK: Duration = Duration::from_secs(5);

/// Whose certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Clients,
    Ops,
}

impl Listener {
    fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Ops => "ops",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Clients => &["clients.tls.certificate", "clients.tls.key"],
            Self::Ops => &["ops.tls.certificate", "ops.tls.key", "ops.tls.client_ca"],
        }
    }

    fn files(self, config: &Config) -> Option<Files> {
        match self {
            Self::Clients => config.clients.tls_files(),
            Self::Ops => config.ops.tls_files(),
        }
    }
}

/// Reads the files that are named, if any are.
pub(super) fn open(listener: Listener, config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    let checked = listener.files(config).map(|files| files.check()).transpose();
    let checked = checked.map_err(|error| StartError(format!("{}.tls: {error}", listener.name())))?;
    Ok(checked.map(Tls::new))
}

/// Takes other certificates over; TLS as such comes and goes with a restart only.
pub(super) fn part(listener: Listener, tls: Option<Arc<Tls>>) -> ReloadablePart {
    ReloadablePart::new(listener.keys(), move |config| match (&tls, listener.files(config)) {
        (Some(tls), Some(files)) => {
            let checked = files.check().map_err(|error| format!("{}.tls: {error}", listener.name()))?;
            let tls = tls.clone();
            Ok(PreparedChange::live(move || tls.put(checked)))
        }
        _ => Ok(PreparedChange::needs_restart()),
    })
}

/// Looks at the files for ever, and shows when the certificate in use ends. What cannot be used is told once.
pub(super) async fn watch(listener: Listener, tls: Option<Arc<Tls>>, metrics: Arc<Metrics>) {
    let Some(tls) = tls else { return };
    let name = listener.name();
    let mut told = None;
    loop {
        metrics.certificate_end.get_or_create(&Kind { kind: name }).set(tls.not_after());
        tokio::time::sleep(LOOK).await;
        let looked = tls.clone();
        let Ok(refreshed) = spawn_blocking(move || looked.refresh()).await else { return };
        match refreshed {
            Ok(true) => tracing::info!(listener = name, "a new certificate is in use"),
            Ok(false) => {}
            Err(error) if told.as_ref() == Some(&error) => continue,
            Err(error) => {
                tracing::warn!(listener = name, %error, "the new certificate cannot be used, the old one stays");
                told = Some(error);
                continue;
            }
        }
        told = None;
    }
}
