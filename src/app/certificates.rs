//! The certificates of both listeners: opened at the start, read again at an interval, replaced by a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::reload::{PreparedChange, ReloadablePart};
use super::start_error::StartError;
use crate::config::Config;
use crate::metrics::{Kind, Metrics};
use crate::tls::{Files, Tls};

/// How often the files are read.
///
/// Reading costs next to nothing and needs no notification from the file system, so it works over a network and with
/// the links that Kubernetes replaces.
const LOOK: Duration = Duration::from_secs(5);

/// The listener that certificates are for.
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

/// Reads the files of a listener, if any are named.
pub(super) fn open(listener: Listener, config: &Config) -> Result<Option<Arc<Tls>>, StartError> {
    let checked = listener.files(config).map(|files| files.check()).transpose();
    let failed = |why: &dyn std::fmt::Display| StartError(format!("{}.tls: {why}", listener.name()));
    let checked = checked.map_err(|error| failed(&error))?;
    checked
        .map(Tls::new)
        .transpose()
        .map_err(|error| failed(&format_args!("cannot start threads for handshakes: {error}")))
}

/// Creates the part that replaces certificates. Turning TLS on or off needs a restart.
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

/// Reads the files again for ever, and shows in the metrics when the certificate in use ends. Each error is logged once.
pub(super) async fn watch(listener: Listener, tls: Arc<Tls>, metrics: Arc<Metrics>) {
    let name = listener.name();
    let mut logged = None;
    loop {
        metrics.certificate_end.get_or_create(&Kind { kind: name }).set(tls.not_after());
        tokio::time::sleep(LOOK).await;
        let tls_to_refresh = tls.clone();
        // A panic there ends this task, and the supervisor reports it.
        let Ok(refreshed) = spawn_blocking(move || tls_to_refresh.refresh()).await else { return };
        match refreshed {
            Ok(true) => tracing::info!(listener = name, "a new certificate is in use"),
            Ok(false) => {}
            Err(error) if logged.as_ref() == Some(&error) => continue,
            Err(error) => {
                tracing::warn!(listener = name, %error, "the new certificate cannot be used, the old one stays");
                logged = Some(error);
                continue;
            }
        }
        logged = None;
    }
}
