//! The parts of the table: what is run, and which lines come of it.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use rosterd::store::postgres::PostgresUrl;
use rosterd_bench::goals::{Goal, TableEntry};
use rosterd_bench::outcome::Unit;
use rosterd_postgres_server::{Database, Server};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::gateways::Gateways;
use super::nats::NatsProcess;
use super::written::{WAITING, WriteLine, Written};
use super::{alone, stores};

/// How many writers, stores and gateways there are in turn.
const NODES: [usize; 4] = [1, 2, 4, 8];
/// The gateways of the paced load, and its updates a second in all.
const PACED: (usize, u32) = (4, 1000);
/// The gateways of which one is killed.
const BEFORE_KILL: u32 = 3;

const ALONE: &str = "PostgreSQL alone";
const STORES: &str = "stores";
const GATEWAYS: &str = "gateways";
const WITH_NATS: &str = "gateways, NATS";

/// How much is done: a table that is quick is not to be quoted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// How long each load is measured.
    pub(crate) length: Duration,
    /// The users who log in under the paced load.
    pub(crate) logins: u32,
    /// The sessions of the gateway that is killed.
    pub(crate) lost: u32,
    /// How long to look afterwards what friends are told, in seconds: a gateway counts as dead after 15 s, and its accounts as
    /// offline 10 s later.
    pub(crate) rest: u32,
}

type Done = Result<(), Box<dyn Error>>;
type Work = fn(&mut ClusterTable) -> Done;

/// What can be done, by name.
pub(crate) const WORK: [(&str, Work); 3] =
    [("writes", ClusterTable::writes), ("pace", ClusterTable::pace), ("killed", ClusterTable::killed)];

/// A table in the making.
pub(crate) struct ClusterTable {
    runtime: Runtime,
    server: &'static Server,
    directory: PathBuf,
    size: Size,
    pub(crate) writes: Vec<WriteLine>,
    pub(crate) goals: Vec<TableEntry>,
    /// Parts that did not go well.
    pub(crate) problems: Vec<String>,
}

impl ClusterTable {
    pub(crate) fn new(server: &'static Server, directory: PathBuf, size: Size) -> std::io::Result<Self> {
        let (writes, goals, problems) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { runtime: Runtime::new()?, server, directory, size, writes, goals, problems })
    }

    fn start(&self, count: usize, database: &Database, settings: &[String]) -> Result<Gateways, Box<dyn Error>> {
        Gateways::start(count, &database.url, &self.directory, settings)
    }

    fn alone(&self, database: &Database, writers: usize, per_second: Option<u32>) -> Result<Written, Box<dyn Error>> {
        eprintln!("   {writers} writer(s) alone");
        Ok(self.runtime.block_on(alone::measure(&database.url, writers as u32, per_second, self.size.length))?)
    }

    fn stores(&self, database: &Database, nodes: usize, per_second: Option<u32>) -> Result<Written, Box<dyn Error>> {
        eprintln!("   {nodes} store(s)");
        let url = PostgresUrl::parse(&database.url)?;
        Ok(self.runtime.block_on(stores::measure(&url, nodes, per_second, self.size.length))?)
    }

    fn goal(&mut self, work: &str, figure: &str, unit: Unit, measured: Option<f64>, goal: Goal) {
        self.beside(work, figure, unit, None, measured, goal);
    }

    fn beside(&mut self, work: &str, figure: &str, unit: Unit, floor: Option<f64>, measured: Option<f64>, goal: Goal) {
        let floor = floor.map(|floor| ("alone", floor));
        let entry = TableEntry { work: work.to_owned(), figure: figure.to_owned(), unit, floor, measured, goal };
        self.goals.push(entry);
    }

    /// As many durable updates as there can be.
    fn writes(&mut self) -> Done {
        let [bare, plain, whole] = [(); 3].map(|()| self.server.database());
        self.runtime.block_on(alone::prepare(&bare.url))?;
        // The accounts are made.
        self.stores(&plain, 1, None)?;
        let load = format!("{WAITING} waiting on each");
        for nodes in NODES {
            let floor = WriteLine::of_written(&load, ALONE, nodes, &self.alone(&bare, nodes, None)?);
            let stores = WriteLine::of_written(&load, STORES, nodes, &self.stores(&plain, nodes, None)?);
            let gateways = self.start(nodes, &whole, &[])?;
            let (writers, seconds) = (WAITING * nodes, self.size.length.as_secs());
            let rows = gateways.bench(&format!("write --writers {writers} --seconds {seconds}"))?;
            let keys = [["p50_us", "p99_us"], ["", ""]];
            let per_second = rows[1]["updates_per_second"].as_f64().ok_or("no updates")?;
            let line = WriteLine::of_row(&load, GATEWAYS, nodes, per_second, &rows[1], keys).ok_or("no figures")?;
            let goal = if nodes <= 2 { Goal::Above(20_000.0) } else { Goal::Open };
            let work = format!("{nodes} gateway(s), {load}");
            self.beside(&work, "durable updates", Unit::PerSecond, Some(floor.per_second), Some(per_second), goal);
            self.writes.extend([floor, stores, line]);
        }
        Ok(())
    }

    /// So many updates a second in all: how soon each is answered, and is at a friend of another gateway.
    fn pace(&mut self) -> Done {
        let (nodes, rate) = PACED;
        let load = format!("{rate}/s in all");
        let [bare, plain] = [(); 2].map(|()| self.server.database());
        self.runtime.block_on(alone::prepare(&bare.url))?;
        self.stores(&plain, 1, None)?;
        let floor = WriteLine::of_written(&load, ALONE, nodes, &self.alone(&bare, nodes, Some(rate))?);
        let alone = floor.answer;
        self.writes.push(floor);
        for nodes in NODES {
            let written = self.stores(&plain, nodes, Some(rate))?;
            self.writes.push(WriteLine::of_written(&load, STORES, nodes, &written));
        }
        let whole = self.server.database();
        let gateways = self.start(nodes, &whole, &[])?;
        self.paced(&gateways, GATEWAYS, alone)?;
        drop(gateways);
        let nats = NatsProcess::start()?;
        let gateways = self.start(nodes, &whole, &[nats.setting()])?;
        self.paced(&gateways, WITH_NATS, alone)
    }

    fn paced(&mut self, gateways: &Gateways, what: &'static str, alone: [f64; 2]) -> Done {
        let ((nodes, rate), seconds) = (PACED, self.size.length.as_secs());
        let fanout = |seconds| {
            format!("fanout --users 400 --friends 10 --rate {rate} --warm-up 1 --seconds {seconds} --parallel 16")
        };
        let rows = gateways.bench(&fanout(2 * seconds))?;
        let figure = |key: &str| rows[0][key].as_f64();
        let keys = [["reply_p50_us", "reply_p99_us"], ["behind_p50_us", "behind_p99_us"]];
        let per_second = figure("updates").ok_or("no updates")? / (2 * seconds) as f64;
        let load = format!("{rate}/s in all");
        let line = WriteLine::of_row(&load, what, nodes, per_second, &rows[0], keys).ok_or("no figures")?;
        let ([p50, p99], behind) = (line.answer, line.elsewhere.ok_or("nothing came to another gateway")?);
        self.writes.push(line);
        let work = format!("{nodes} {what}, {rate} updates/s in all");
        let (there, most) = (figure("elsewhere_p99_us"), Goal::Below(10_000.0));
        self.beside(&work, "half answered within", Unit::Micros, Some(alone[0]), Some(p50), Goal::Below(5000.0));
        self.beside(&work, "99 % answered within", Unit::Micros, Some(alone[1]), Some(p99), Goal::Open);
        self.goal(&work, "99 % at another gateway's friend, after the answer", Unit::Micros, Some(behind[1]), most);
        self.goal(&work, "99 % there, since it was due", Unit::Micros, there, Goal::Open);

        // The accounts are made, and nothing else goes on.
        let users = self.size.logins;
        let login = format!("login --users {users} --friends 10 --parallel 16");
        gateways.bench(&login)?;
        let before = gateways.buckets("rosterd_login_wait_seconds")?;
        let [_, rows] = gateways.bench_both(&fanout(8 + 2 * seconds), &login)?;
        let after = gateways.buckets("rosterd_login_wait_seconds")?;
        let waited = least_bound(&before, &after, 0.99, f64::from(users)).map(|seconds| seconds * 1e6);
        let warm = rows[2]["p99_us"].as_f64();
        self.goal(&work, "99 % of logins wait for what they read, at most", Unit::Micros, waited, most);
        self.goal(&work, "99 % of logins with nothing new within", Unit::Micros, warm, Goal::Open);
        Ok(())
    }

    /// One of several gateways is killed.
    fn killed(&mut self) -> Done {
        let Size { lost, rest, .. } = self.size;
        let (database, sessions) = (self.server.database(), lost * BEFORE_KILL);
        let mut gateways = self.start(BEFORE_KILL as usize, &database, &[])?;
        let arguments = format!("failover --users {sessions} --friends 20 --seconds {rest}");
        let rows = gateways.bench_and_kill(&arguments, sessions)?;
        let row: &Value = &rows[0];
        let figure = |key: &str| row[key].as_f64();
        if figure("sessions") != Some(f64::from(lost)) || figure("back") != figure("sessions") {
            return Err(format!("not {lost} sessions were lost and came back: {row}").into());
        }
        let work = format!("a gateway of {lost} sessions killed, of {BEFORE_KILL}");
        self.goal(&work, "all in sync again after", Unit::Seconds, figure("seconds"), Goal::Below(10.0));
        self.goal(&work, "the last attempt began after", Unit::Seconds, figure("last_attempt_seconds"), Goal::Open);
        for (name, key) in [("half back within", "p50_us"), ("99 % back within", "p99_us")] {
            self.goal(&work, name, Unit::Micros, figure(key), Goal::Open);
        }
        self.goal(&work, "friends shown offline", Unit::Count, figure("offline"), Goal::Below(0.0));
        self.goal(&work, "full syncs", Unit::Count, figure("full_syncs"), Goal::Below(0.0));
        Ok(())
    }
}

/// The least bound of a histogram that this share of the values since `before` is not above; none if there are fewer of them
/// than `least`.
fn least_bound(before: &[(f64, f64)], after: &[(f64, f64)], share: f64, least: f64) -> Option<f64> {
    let counts: Vec<_> = after.iter().zip(before).map(|((bound, now), (_, then))| (*bound, now - then)).collect();
    let all = counts.last()?.1;
    let bound = counts.iter().find(|(_, count)| *count >= all * share)?.0;
    (all >= least).then_some(bound)
}
