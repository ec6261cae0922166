//! `rosterd bench SCENARIO` runs the load generator and prints its results.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{CliError, reachable, say, token, trust, trust_file};
use crate::config::Config;
use rosterd_bench::outcome::{BenchOutcome, Verdict};
use rosterd_bench::run::Load;
use rosterd_bench::scenario::Scenario;
use rosterd_bench::target::GatewayUrl;
use rosterd_bench::{BenchSettings, report};
use rosterd_client::Trust;
use rosterd_protocol::Encoding;

/// What to measure, and where.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What is done
    #[command(subcommand)]
    scenario: Chosen,
    #[command(flatten)]
    common: BenchCommon,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every scenario")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
struct BenchCommon {
    /// The gateway's client listener; by default the one of the settings. Of several gateways give each, and the users are
    /// spread over them
    #[arg(long, global = true, value_name = "URL")]
    url: Vec<String>,
    /// A PEM file with the authorities to trust, for `wss://`; by default the certificate of the settings
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Its ops listener; by default the one of the settings. The first one makes the users
    #[arg(long, global = true, value_name = "URL")]
    ops: Vec<String>,
    /// Take CPU and memory of this process, instead of asking the gateway's metrics
    #[arg(long, global = true)]
    pid: Vec<u32>,
    /// Speak protobuf instead of JSON
    #[arg(long, global = true)]
    protobuf: bool,
    /// Which graph of friendships, among those of the same size
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// What the names of the accounts begin with
    #[arg(long, global = true, default_value = "bench")]
    prefix: String,
    /// Leave the accounts there for the next run
    #[arg(long, global = true)]
    keep: bool,
    /// The accounts are there: do not use the ops listener at all
    #[arg(long, global = true)]
    no_setup: bool,
    /// Logins under way at once
    #[arg(long, global = true, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    parallel: u32,
    /// Print the figures as one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Write the figures and plots as a page for a browser
    #[arg(long, global = true, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// The target is mine, although it is neither this machine nor in a private network
    #[arg(long, global = true)]
    i_own_this_target: bool,
}

#[derive(Debug, Subcommand)]
enum Chosen {
    /// Everyone is online, and profile changes go to all friends
    Fanout {
        #[command(flatten)]
        crowd: CrowdArguments,
        #[command(flatten)]
        load: LoadArguments,
        #[command(flatten)]
        length: Length,
    },
    /// Everyone logs in: first, cold, warm with nothing new, warm with a tenth of the friends changed
    Login {
        #[command(flatten)]
        crowd: CrowdArguments,
    },
    /// Everyone is online and nothing happens: the memory of a session
    Idle {
        #[command(flatten)]
        crowd: CrowdArguments,
        /// How long nothing happens
        #[arg(long, default_value_t = 10.0, value_parser = positive)]
        seconds: f64,
    },
    /// One user changes, and very many friends are online
    Celebrity {
        /// How many friends
        #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        friends: u32,
        /// How many changes
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        updates: u32,
    },
    /// Every connection breaks, and all come back at once
    Storm {
        #[command(flatten)]
        crowd: CrowdArguments,
    },
    /// A share of the clients stop reading under load, and later go on
    Slow {
        #[command(flatten)]
        crowd: CrowdArguments,
        /// Updates a second
        #[arg(long, default_value_t = 500.0, value_parser = positive)]
        rate: f64,
        /// How many of a hundred clients stop reading
        #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=90))]
        stalled: u32,
        /// How long to measure before they stop
        #[arg(long, default_value_t = 10.0, value_parser = positive)]
        seconds: f64,
        /// How long they do not read
        #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = positive)]
        stall: f64,
    },
    /// One of several gateways is killed, by you, and its clients come back to the others
    Failover {
        #[command(flatten)]
        crowd: CrowdArguments,
        /// How long to wait until you have killed a gateway
        #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = positive)]
        patience: f64,
        /// How long to look afterwards whether friends are told that somebody left
        #[arg(long, default_value_t = 35.0, value_parser = positive)]
        seconds: f64,
    },
    /// Updates that are answered once they are on the disk: one writer alone, then all together
    Write {
        /// How many write together
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        writers: u32,
        /// How long to measure each
        #[arg(long, default_value_t = 5.0, value_parser = positive)]
        seconds: f64,
    },
}

#[derive(Debug, Args)]
struct CrowdArguments {
    /// How many users
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// How many friends each of them has
    #[arg(long, default_value_t = 50)]
    friends: u32,
}

#[derive(Debug, Args)]
struct LoadArguments {
    /// Keep so many updates on their way; as fast as the gateway can
    #[arg(long, value_name = "UPDATES", conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    outstanding: Option<u32>,
    /// Send so many updates a second, whatever becomes of them
    #[arg(long, value_name = "UPDATES", value_parser = positive)]
    rate: Option<f64>,
}

#[derive(Debug, Args)]
struct Length {
    /// How long to measure
    #[arg(long, default_value_t = 8.0, value_parser = positive)]
    seconds: f64,
    /// How long the load runs before that
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = positive)]
    warm_up: f64,
}

impl LoadArguments {
    fn or(&self, outstanding: u32) -> Load {
        match (self.outstanding, self.rate) {
            (_, Some(rate)) => Load::Rate(rate),
            (given, None) => Load::Outstanding(given.unwrap_or(outstanding)),
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e6 => Ok(number),
        _ => Err("must be a number above 0, and at most a million".to_owned()),
    }
}

impl Chosen {
    fn scenario(&self) -> Scenario {
        let time = Duration::from_secs_f64;
        match self {
            Self::Fanout { crowd: CrowdArguments { users, friends }, load, length } => Scenario::Fanout {
                users: *users,
                friends: *friends,
                load: load.or(512),
                warm_up: time(length.warm_up),
                length: time(length.seconds),
            },
            Self::Login { crowd } => Scenario::Login { users: crowd.users, friends: crowd.friends },
            Self::Idle { crowd: CrowdArguments { users, friends }, seconds } => {
                Scenario::Idle { users: *users, friends: *friends, rest: time(*seconds) }
            }
            Self::Celebrity { friends, updates } => Scenario::Celebrity { friends: *friends, updates: *updates },
            Self::Storm { crowd } => Scenario::Storm { users: crowd.users, friends: crowd.friends },
            Self::Slow { crowd: CrowdArguments { users, friends }, rate, stalled, seconds, stall } => Scenario::Slow {
                users: *users,
                friends: *friends,
                rate: *rate,
                stalled: (users * stalled / 100).max(1),
                length: time(*seconds),
                stall: time(*stall),
            },
            Self::Failover { crowd: CrowdArguments { users, friends }, patience, seconds } => {
                Scenario::Failover { users: *users, friends: *friends, patience: time(*patience), rest: time(*seconds) }
            }
            Self::Write { writers, seconds } => Scenario::Write { writers: *writers, length: time(*seconds) },
        }
    }
}

/// Runs the scenario and prints its results.
///
/// # Errors
/// The run cannot start, lost something, or ended early; results up to then are printed all the same.
pub fn run(config: &Config, arguments: &BenchArguments) -> Result<(), CliError> {
    let common = &arguments.common;
    let files = config.clients.tls_files();
    let own = if files.is_some() { "wss" } else { "ws" };
    let or_own = |given: &[String], own: String| if given.is_empty() { vec![own] } else { given.to_vec() };
    let urls = or_own(&common.url, format!("{own}://{}/v1/ws", reachable(config.clients.listen)));
    let (scheme, trust) = match (urls[0].starts_with("wss://"), &common.ca) {
        (false, _) => ("ws", None),
        (true, Some(ca)) => ("wss", Some(trust_file(ca, |pem| Trust::authorities(pem, None))?)),
        (true, None) if files.is_some() => ("wss", trust(files.as_ref())?),
        (true, None) => {
            return Err(CliError("wss:// needs --ca FILE, or the gateway's settings with clients.tls".to_owned()));
        }
    };
    let ops = or_own(&common.ops, format!("http://{}", reachable(config.ops.listen)));
    let measured = match (common.pid.len(), common.no_setup) {
        (0, true) => None,
        (0, false) => Some(ops.len()),
        (pids, _) => Some(pids),
    };
    if measured.is_some_and(|measured| measured != urls.len()) {
        let what = "give --ops, or --pid, as often as --url, so that all gateways are measured";
        return Err(CliError(what.to_owned()));
    }
    let find = |urls: &[String], scheme| {
        let found = urls.iter().map(|url| GatewayUrl::find(url, scheme, common.i_own_this_target));
        found.collect::<Result<Vec<_>, _>>().map_err(CliError::of)
    };
    let settings = BenchSettings {
        clients: find(&urls, scheme)?,
        trust,
        ops: if common.no_setup { Vec::new() } else { find(&ops, "http")? },
        key: config.ops.api_key.expose(),
        pids: common.pid.clone(),
        encoding: if common.protobuf { Encoding::Protobuf } else { Encoding::Json },
        seed: common.seed,
        prefix: &common.prefix,
        keep: common.keep,
        parallel: common.parallel,
        token: &|account| token::token(config, account, None),
    };
    let outcome = rosterd_bench::run(&settings, &arguments.scenario.scenario()).map_err(CliError::of)?;
    say(&if common.json { outcome.json().to_string() } else { outcome.table() })?;
    if let Some(file) = &common.report {
        let written = std::fs::write(file, report::html(&outcome));
        written.map_err(|error| CliError(format!("{} cannot be written: {error}", file.display())))?;
    }
    verdict(&outcome)
}

fn verdict(outcome: &BenchOutcome) -> Result<(), CliError> {
    match outcome.verdict() {
        Verdict::Passed => Ok(()),
        verdict => Err(CliError(format!("{}: {}", verdict.word(), outcome.problems.join("; ")))),
    }
}
