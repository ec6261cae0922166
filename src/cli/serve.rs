//! `rosterd serve` runs the gateway until a signal stops it.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log::{self, RunningLog};
use super::{CliError, runtime, say};
use crate::app::{App, ReloadablePart, Reloaded};
use crate::config::{Config, LoadedConfig, LogFormat, Mode, SettingsOptions, load};
use crate::metrics::Kind;

/// How often lines that were left out of the log are counted.
const COUNT: Duration = Duration::from_secs(1);

/// The exit code of a gateway that a task has failed: an internal error, as in `sysexits.h`.
const FAILED: u8 = 70;

/// Serves until SIGTERM or SIGINT, and returns once every session has received its goodbye. SIGHUP reloads the settings.
/// The exit code says how it ended.
///
/// # Errors
/// The gateway cannot start.
pub fn run(options: &SettingsOptions, loaded: LoadedConfig) -> Result<ExitCode, CliError> {
    let json = loaded.config.log.format == LogFormat::Json;
    let (mut log, level) = log::start(&loaded.config.log)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(serve(options, loaded, level, &mut log));
    // Not dropped: that would wait for whatever still runs, such as a look-up of a name, for as long as it takes.
    runtime.shutdown_background();
    let ended = match ended {
        // Every line of such a log is JSON, the last one too.
        Err(CliError(why)) if json && tracing::enabled!(tracing::Level::ERROR) => {
            tracing::error!(%why, "the gateway ends");
            Err(CliError(String::new()))
        }
        ended => ended,
    };
    log.finish();
    ended
}

async fn serve(
    options: &SettingsOptions,
    mut loaded: LoadedConfig,
    level: ReloadablePart,
    log: &mut RunningLog,
) -> Result<ExitCode, CliError> {
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut hangup = on(SignalKind::hangup())?;
    for warning in loaded.config.warnings() {
        tracing::warn!("{warning}");
    }
    let app = App::start(&loaded.config).await.map_err(CliError::of)?;
    app.show(&loaded);
    welcome(&loaded.config, &app);
    let mut parts = app.parts();
    parts.push(level);
    let (lifecycle, mut count) = (app.lifecycle().clone(), tokio::time::interval(COUNT));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = lifecycle.failed() => return Ok(ExitCode::from(FAILED)),
            () = app.cut_off() => {
                tokio::select! {
                    () = app.end_cut_off() => {}
                    () = lifecycle.failed() => {}
                    _ = terminate.recv() => tracing::error!("stopped at once by a signal"),
                    _ = interrupt.recv() => tracing::error!("stopped at once by a signal"),
                }
                return Ok(ExitCode::from(FAILED));
            }
            _ = count.tick() => log.report(app.metrics()),
            _ = hangup.recv() => {
                let kind = if reload(options, &parts, &mut loaded) { "OK" } else { "REFUSED" };
                app.metrics().reloads.get_or_create(&Kind { kind }).inc();
                app.show(&loaded);
            }
        }
    }
    tracing::info!("stopping: every session gets a goodbye");
    // From here on the log says what went wrong: printing would wait for whoever reads it.
    tokio::select! {
        cut_off = app.stop() => match cut_off {
            0 => return Ok(ExitCode::SUCCESS),
            some => tracing::error!("{some} connections did not close before shutdown.deadline and were cut off"),
        },
        () = lifecycle.failed() => return Ok(ExitCode::from(FAILED)),
        _ = terminate.recv() => tracing::error!("stopped at once by a second signal"),
        _ = interrupt.recv() => tracing::error!("stopped at once by a second signal"),
    }
    Ok(ExitCode::FAILURE)
}

/// Reads the settings and the files they name again. If anything is wrong with them, nothing changes.
fn reload(options: &SettingsOptions, parts: &[ReloadablePart], loaded: &mut LoadedConfig) -> bool {
    let read = load(options).map_err(|error| error.to_string());
    let taken = read.and_then(|new| Ok((Reloaded::take_over(parts, loaded, &new)?, new)));
    match taken {
        Ok((Reloaded { live, restart }, new)) => {
            tracing::info!(live = live.join(" "), "settings are read again");
            if !restart.is_empty() {
                tracing::warn!(keys = restart.join(" "), "these changed and need a restart");
            }
            // A setting that waits for a restart stays unloaded, so the next reload warns of it again.
            if restart.is_empty() {
                *loaded = new;
            }
            true
        }
        Err(why) => {
            tracing::error!(%why, "the settings cannot be used, nothing was changed");
            false
        }
    }
}

fn on(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(CliError::of)
}

/// Says that the gateway is ready, and where. Nothing is lost if nobody listens: in `rosterd | head -1` the gateway
/// outlives its reader.
fn welcome(config: &Config, app: &App) {
    match config.log.format {
        LogFormat::Text => drop(say(&welcome_text(config, app))),
        // Standard output often ends up among the log lines, each of which is JSON.
        LogFormat::Json => {
            let (store, version) = (&config.store.url, env!("CARGO_PKG_VERSION"));
            tracing::info!(clients = %app.clients, ops = %app.ops, %store, version, "rosterd is ready");
        }
    }
}

/// Returns the text that the gateway prints once it is ready.
fn welcome_text(config: &Config, app: &App) -> String {
    let tokens = match config.auth.mode {
        Mode::Development => "development mode: the token is the account itself".to_owned(),
        Mode::Static => "static, set by your backend".to_owned(),
        Mode::Jwt if config.auth.hs256_secret.is_empty() => "JWT, signed by your backend".to_owned(),
        Mode::Jwt => "JWT; `rosterd token ACCOUNT` makes one".to_owned(),
    };
    let secure = |tls| if tls { "s" } else { "" };
    let (clients, ops) = (secure(app.tls().0), secure(app.tls().1));
    let mut text = format!(
        "rosterd {} is ready\n  clients  ws{clients}://{}/v1/ws\n  ops      http{ops}://{}\n  store    {}\n  tokens   {tokens}",
        env!("CARGO_PKG_VERSION"),
        app.clients,
        app.ops,
        config.store.url,
    );
    if config.auth.mode == Mode::Development {
        let _ = write!(text, "\n  page     http{clients}://{}/ shows it all in a browser", app.clients);
    }
    if config.is_open() && config.ops.console.enabled {
        let _ =
            write!(text, "\n  console  http{ops}://{}/console shows what happens here, on this machine only", app.ops);
    }
    if let Some(first) = app.demo.first() {
        let names = app.demo.join(" ");
        let _ = write!(text, "\n  demo     made the users {names}; try: rosterd connect {first}");
    }
    text
}
