//! A whole run: makes the accounts, plays the scenario, and cleans up.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::crowd::{Crowd, Way};
use super::error::BenchError;
use super::gauge::{self, Gauge};
use super::graph::{Chance, Graph};
use super::ops::OpsConnection;
use super::outcome::BenchOutcome;
use super::run::{Run, bar};
use super::scenario::Scenario;
use super::target::{self, GatewayUrl};
use super::world::World;
use rosterd_client::Trust;
use rosterd_protocol::Encoding;

/// How long to wait for a gateway that is still busy with the new accounts.
const SETTLE: Duration = Duration::from_secs(20);

/// The settings that all scenarios share.
pub struct BenchSettings<'a> {
    /// The gateways' client listeners, one or more. The users are spread over them in turn.
    pub clients: Vec<GatewayUrl>,
    /// The certificates to accept, if the client listeners speak TLS.
    pub trust: Option<Trust>,
    /// Their ops listeners; none if the accounts exist already. The first one makes the accounts.
    pub ops: Vec<GatewayUrl>,
    /// The key of its server API; may be empty.
    pub key: &'a str,
    /// The processes whose CPU and memory are measured; without them the gateways' metrics are used.
    pub pids: Vec<u32>,
    /// The encoding of the sessions.
    pub encoding: Encoding,
    /// The seed that chooses among graphs of the same size.
    pub seed: u64,
    /// The prefix of the accounts' names.
    pub prefix: &'a str,
    /// Whether the accounts stay for the next run.
    pub keep: bool,
    /// Logins under way at once, where a scenario does not say otherwise.
    pub parallel: u32,
    /// Makes a token for an account.
    pub token: &'a dyn Fn(&str) -> Result<String, String>,
}

/// Makes the accounts, runs the scenario, and removes the accounts.
///
/// # Errors
/// The run cannot start. Later failures are in the outcome, beside the figures up to then.
pub fn run(settings: &BenchSettings<'_>, scenario: &Scenario) -> Result<BenchOutcome, BenchError> {
    let (graph, kind) = scenario.graph(settings.seed).map_err(BenchError)?;
    let users = graph.users();
    if matches!(scenario, Scenario::Failover { .. }) && settings.clients.len() < 2 {
        return Err(BenchError(
            "there must be a gateway to come back to: give --url once for each of several".to_owned(),
        ));
    }
    target::allow_files(users)?;
    for gateway in &settings.clients {
        target::probe(gateway, settings.encoding, settings.trust.as_ref())?;
    }
    let connect = |ops: &GatewayUrl| OpsConnection::connect(ops.address, settings.key);
    let mut ops = settings.ops.first().map(connect).transpose()?;
    let mut world = World::new(graph, settings.prefix, &kind)?;
    if let Some(ops) = &mut ops {
        world.fill(&ops.schema()?);
    }
    let tokens = (0..users).map(|user| (settings.token)(&world.account(user))).collect::<Result<Vec<_>, _>>();
    let tokens = tokens.map_err(BenchError)?;
    if let Some(ops) = &mut ops {
        target::gateway_allows_files(users, ops.metrics()?.value("process_max_fds"))?;
        let making = bar("making users", world.size() as u64);
        world.make(ops, || making.inc(1))?;
        making.finish_and_clear();
    }
    let crowd = Crowd::new(way(settings, tokens), world.graph.clone()).map_err(BenchError::of)?;
    let gauge = match (settings.pids.is_empty(), settings.ops.is_empty()) {
        (false, _) => Gauge::Processes(settings.pids.clone()),
        (true, false) => Gauge::Metrics(settings.ops.iter().map(connect).collect::<Result<_, _>>()?),
        (true, true) => Gauge::Blind,
    };
    let outcome = BenchOutcome::new(scenario.name(), setup(settings, &world.graph));
    let chance = Chance::new(settings.seed);
    let mut run = Run { crowd, gauge, ops, world, chance, parallel: settings.parallel, outcome };
    run.gauge.settle(SETTLE)?;
    if let Err(BenchError(why)) = scenario.play(&mut run) {
        run.outcome.cut_short = true;
        run.outcome.problems.push(why);
    }
    run.crowd.leave();
    clean_up(settings, &mut run);
    Ok(run.outcome)
}

fn way(settings: &BenchSettings<'_>, tokens: Vec<String>) -> Way {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Way {
        gateways: settings.clients.clone(),
        trust: settings.trust.clone(),
        encoding: settings.encoding,
        tokens,
        run: since.as_millis() as u32,
    }
}

fn setup(settings: &BenchSettings<'_>, graph: &Graph) -> Vec<(&'static str, String)> {
    let encoding = settings.encoding.subprotocol();
    let addresses: Vec<_> = settings.clients.iter().map(|gateway| gateway.address.to_string()).collect();
    let each = graph.edges() / (graph.users() as usize).max(1);
    vec![
        ("gateway", format!("{} ({encoding})", addresses.join(", "))),
        ("users", format!("{}, {each} friends each on average, seed {}", graph.users(), settings.seed)),
        ("machine", gauge::machine()),
    ]
}

/// Removes the accounts unless they are to be kept; a failure is reported and leaves the figures valid.
fn clean_up(settings: &BenchSettings<'_>, run: &mut Run) {
    let Some(target) = settings.ops.first().filter(|_| !settings.keep) else { return };
    let removing = bar("removing users", u64::from(run.world.graph.users()));
    let connected = OpsConnection::connect(target.address, settings.key);
    if let Err(why) = connected.and_then(|mut ops| run.world.remove(&mut ops, || removing.inc(1))) {
        run.outcome.setup.push(("left behind", format!("the accounts could not be removed: {why}")));
    }
    removing.finish_and_clear();
}
