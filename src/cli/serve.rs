//! `rosterd serve`: run the gateway until it is told to stop.

use std::fmt::Write as _;
use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, runtime, say};
use crate::app::App;
use crate::config::{Config, Loaded, Log, LogFormat, Mode};

/// Serves; returns after SIGTERM or SIGINT once every session has been told goodbye.
///
/// # Errors
/// The gateway cannot start.
pub fn run(loaded: &Loaded) -> Result<(), Failure> {
    logging(&loaded.config.log)?;
    runtime()?.block_on(serve(&loaded.config))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let app = App::start(config).await.map_err(Failure::of)?;
    say(&welcome(config, &app));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: every session gets a goodbye");
    tokio::select! {
        drained = app.stop() => {
            if !drained {
                tracing::warn!("some sessions did not close before the deadline");
            }
            Ok(())
        }
        _ = terminate.recv() => Err(Failure("stopped at once by a second signal".to_owned())),
        _ = interrupt.recv() => Err(Failure("stopped at once by a second signal".to_owned())),
    }
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(Failure::of)
}

fn logging(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.level).map_err(|error| Failure(format!("log.level: {error}")))?;
    // Standard output is for what the user asked to see.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let built = match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    built.map_err(Failure::of)
}

/// What someone who just started it needs to know.
fn welcome(config: &Config, app: &App) -> String {
    let tokens = match config.auth.mode {
        Mode::Development => "development mode: the token is the account itself".to_owned(),
        Mode::Static => "static, set by your backend".to_owned(),
        Mode::Jwt if config.auth.hs256_secret.is_empty() => "JWT, signed by your backend".to_owned(),
        Mode::Jwt => "JWT; `rosterd token ACCOUNT` makes one".to_owned(),
    };
    let mut text = format!(
        "rosterd {} is ready\n  clients  ws://{}/v1/ws\n  ops      http://{}\n  store    {}\n  tokens   {tokens}",
        env!("CARGO_PKG_VERSION"),
        app.clients,
        app.ops,
        config.store.url,
    );
    if config.auth.mode == Mode::Development {
        let _ = write!(text, "\n  page     http://{}/ shows it all in a browser", app.clients);
    }
    if let Some(first) = app.demo.first() {
        let names = app.demo.join(" ");
        let _ = write!(text, "\n  demo     made the users {names}; try: rosterd connect {first}");
    }
    text
}
