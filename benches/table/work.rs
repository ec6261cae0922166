//! The work of the table, one function each: what is run, against what, and which lines come of it.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use rosterd_bench::goals::{Goal, TableEntry};
use rosterd_bench::outcome::Unit;
use rosterd_bench::run::Load;
use rosterd_bench::scenario::Scenario;
use serde_json::Value;

use super::commits;
use super::servers::{Cores, Server};

/// How much is done: a table that is quick is not to be quoted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// How often each figure is taken; the middle one counts.
    pub(crate) times: usize,
    /// How long each load is measured, in seconds.
    pub(crate) seconds: u32,
    /// Users of the storm and of the idle sessions.
    pub(crate) many: u32,
    /// Users with 500 friends each.
    pub(crate) few: u32,
    /// How long clients do not read, in seconds.
    pub(crate) stall: u32,
}

/// A table in the making.
pub(crate) struct Table {
    pub(crate) cores: Cores,
    pub(crate) directory: PathBuf,
    pub(crate) size: Size,
    pub(crate) entries: Vec<TableEntry>,
    /// Other work on the machine in each run, in cores.
    pub(crate) foreign: Vec<f64>,
    /// Runs that did not go well.
    pub(crate) problems: Vec<String>,
    /// What a login costs that brings nothing new; the storm is measured by it. In microseconds.
    warm_login: Option<f64>,
}

type Done = Result<(), Box<dyn Error>>;

type Work = fn(&mut Table) -> Done;

/// What can be done, by name.
pub(crate) const WORK: [(&str, Work); 9] = [
    ("fanout", Table::fanout),
    ("celebrity", Table::celebrity),
    ("login", Table::login),
    ("idle", Table::idle_and_storm),
    ("idle500", Table::idle_with_many_friends),
    ("tls", Table::tls),
    ("write", Table::write),
    ("slow", Table::slow),
    ("footprint", Table::footprint),
];

impl Table {
    pub(crate) fn new(cores: Cores, directory: PathBuf, size: Size) -> Self {
        let (entries, foreign, problems) = (Vec::new(), Vec::new(), Vec::new());
        Self { cores, directory, size, entries, foreign, problems, warm_login: None }
    }

    fn gateway(&self, scenario: &Scenario) -> Result<Server, Box<dyn Error>> {
        Server::gateway(self.cores, &self.directory.join("gateway"), scenario, &[])
    }

    fn limit(&self, mode: &'static str, scenario: &Scenario) -> Result<Server, Box<dyn Error>> {
        Server::limit(self.cores, mode, scenario)
    }

    /// One run; what went wrong in it, and what else was going on, is noted.
    pub(crate) fn run(&mut self, server: &Server, arguments: &str) -> Result<Value, Box<dyn Error>> {
        let found = server.bench(arguments)?;
        if found["verdict"] != "passed" {
            self.problems
                .push(format!("`{arguments}` against {}: {}, {}", server.name, found["verdict"], found["problems"]));
        }
        for row in found["rows"].as_array().into_iter().flatten() {
            self.foreign.extend(row["foreign_cores"].as_f64());
        }
        Ok(found)
    }

    /// The same against each server in turn, so often as the table's size says: for each server its runs.
    fn in_turn(&mut self, servers: &[&Server], arguments: &str) -> Result<Vec<Vec<Value>>, Box<dyn Error>> {
        let mut found = vec![Vec::new(); servers.len()];
        for _ in 0..self.size.times {
            for (server, found) in servers.iter().zip(&mut found) {
                found.push(self.run(server, arguments)?);
            }
        }
        Ok(found)
    }

    fn add(
        &mut self,
        work: &str,
        figure: &str,
        unit: Unit,
        floor: Option<(&'static str, f64)>,
        measured: Option<f64>,
        goal: Goal,
    ) {
        let entry = TableEntry { work: work.to_owned(), figure: figure.to_owned(), unit, floor, measured, goal };
        self.entries.push(entry);
    }

    fn fanout(&mut self) -> Done {
        let scenario = fanout(2000, 50);
        let (write, coalesce) = (self.limit("write", &scenario)?, self.limit("coalesce", &scenario)?);
        let gateway = self.gateway(&scenario)?;
        let seconds = self.size.seconds;
        let load = |load: &str| format!("fanout --users 2000 --friends 50 {load} --warm-up 1 --seconds {seconds}");
        // The first run of a gateway finds nothing warm.
        self.run(&gateway, "login --users 2000 --friends 50")?;

        let found = self.in_turn(&[&write, &coalesce, &gateway], &load("--outstanding 512"))?;
        let work = "fan-out, 2,000 × 50, 512 outstanding";
        let (rate, cpu) = ("deliveries_per_second", "server_us_per_delivery");
        let floor = |key: &str| middle(&found[1], 0, key).map(|value| ("coalesce", value));
        self.add(work, "deliveries", Unit::PerSecond, floor(rate), middle(&found[2], 0, rate), Goal::AtLeast(0.5));
        self.add(work, "CPU for each", Unit::Micros, floor(cpu), middle(&found[2], 0, cpu), Goal::AtMost(2.0));
        let write_floor = |found: &[Vec<Value>], key: &str| middle(&found[0], 0, key).map(|value| ("write", value));
        self.add(work, "CPU for each", Unit::Micros, write_floor(&found, cpu), middle(&found[2], 0, cpu), Goal::Open);

        // At these rates the gateway waits for the disk, and so has its floor.
        drop(write);
        let durable = self.limit("durable", &scenario)?;
        let floor = |found: &[Vec<Value>], key: &str| middle(&found[0], 0, key).map(|value| ("durable", value));
        for (rate, goals) in [(1000, [1.3, 2.0]), (100, [1.3, f64::INFINITY])] {
            let found = self.in_turn(&[&durable, &gateway], &load(&format!("--rate {rate}")))?;
            let work = format!("fan-out, 2,000 × 50, {rate} updates/s");
            for (figure, key, goal) in [
                ("CPU for each", cpu, Goal::AtMost(goals[0])),
                ("99 % within", "p99_us", Goal::AtMost(goals[1])),
                ("half within", "p50_us", Goal::Open),
            ] {
                let goal = if matches!(goal, Goal::AtMost(most) if most.is_infinite()) { Goal::Open } else { goal };
                self.add(&work, figure, Unit::Micros, floor(&found, key), middle(&found[1], 0, key), goal);
            }
        }
        Ok(())
    }

    /// What TLS adds: beside the same gateway without it.
    fn tls(&mut self) -> Done {
        let seconds = self.size.seconds;
        let directory = self.directory.join("gateway");
        let scenario = fanout(2000, 50);
        let with_tls = Server::gateway_with_tls(self.cores, &directory, &scenario)?;
        let plain = Server::gateway(self.cores, &directory.with_extension("plain"), &scenario, &[])?;
        let beside = |found: &[Vec<Value>], row, key: &str| middle(&found[0], row, key).map(|v| ("without TLS", v));
        let load = format!("fanout --users 2000 --friends 50 --rate 1000 --warm-up 1 --seconds {seconds}");
        let found = self.in_turn(&[&plain, &with_tls], &load)?;
        for (figure, key) in [("CPU for each", "server_us_per_delivery"), ("99 % within", "p99_us")] {
            let (floor, measured) = (beside(&found, 0, key), middle(&found[1], 0, key));
            self.add("TLS: fan-out, 2,000 × 50, 1000 updates/s", figure, Unit::Micros, floor, measured, Goal::Open);
        }
        drop((with_tls, plain));
        let scenario = Scenario::Login { users: 2000, friends: 50 };
        let with_tls = Server::gateway_with_tls(self.cores, &directory, &scenario)?;
        let plain = Server::gateway(self.cores, &directory.with_extension("plain"), &scenario, &[])?;
        let found = self.in_turn(&[&plain, &with_tls], "login --users 2000 --friends 50")?;
        for (row, name) in [(1, "CPU, cold"), (2, "CPU, warm, current")] {
            let key = "server_us_per_login";
            let (floor, measured) = (beside(&found, row, key), middle(&found[1], row, key));
            self.add("TLS: login with 50 friends", name, Unit::Micros, floor, measured, Goal::Open);
        }
        drop((with_tls, plain));
        let many = self.size.many.min(8000);
        let scenario = Scenario::Idle { users: many, friends: 50, rest: Duration::ZERO };
        let with_tls = Server::gateway_with_tls(self.cores, &directory, &scenario)?;
        let found = self.run(&with_tls, &format!("idle --users {many} --friends 50 --seconds 10"))?;
        let work = format!("TLS: {many} idle sessions, 50 friends");
        let (each, goal) = (figure(&found, 0, "bytes_per_session"), Goal::Below(12.0 * 1024.0));
        self.add(&work, "memory for each", Unit::Bytes, None, each, goal);
        Ok(())
    }

    fn celebrity(&mut self) -> Done {
        let scenario = Scenario::Celebrity { friends: 5000, updates: 20 };
        let (limit, gateway) = (self.limit("write", &scenario)?, self.gateway(&scenario)?);
        let found = self.in_turn(&[&limit, &gateway], "celebrity --friends 5000 --updates 20")?;
        for (figure, key) in [("CPU for each", "server_us_per_delivery"), ("last friend", "last_p50_us")] {
            let floor = middle(&found[0], 0, key).map(|value| ("write", value));
            self.add(
                "celebrity, 5,000 friends online",
                figure,
                Unit::Micros,
                floor,
                middle(&found[1], 0, key),
                Goal::AtMost(1.2),
            );
        }
        Ok(())
    }

    fn login(&mut self) -> Done {
        let scenario = Scenario::Login { users: 2000, friends: 50 };
        let (limit, gateway) = (self.limit("write", &scenario)?, self.gateway(&scenario)?);
        let found = self.in_turn(&[&limit, &gateway], "login --users 2000 --friends 50")?;
        let key = "server_us_per_login";
        // One floor for all, the login with the whole list.
        let floor = middle(&found[0], 1, key).map(|value| ("write", value));
        for (row, name, goal) in [
            (0, "first, sent to friends", Goal::Open),
            (1, "cold", Goal::AtMost(4.0)),
            (2, "warm, current", Goal::AtMost(3.0)),
            (3, "warm, delta of 5", Goal::AtMost(3.0)),
        ] {
            self.add(
                "login with 50 friends",
                &format!("CPU, {name}"),
                Unit::Micros,
                floor,
                middle(&found[1], row, key),
                goal,
            );
        }
        self.warm_login = middle(&found[1], 2, key);
        Ok(())
    }

    fn idle_and_storm(&mut self) -> Done {
        let many = self.size.many;
        let scenario = Scenario::Idle { users: many, friends: 50, rest: Duration::ZERO };
        let idle = format!("idle --users {many} --friends 50 --seconds 10");
        let limit = self.limit("write", &scenario)?;
        let floor = figure(&self.run(&limit, &idle)?, 0, "bytes_per_session").map(|value| ("write", value));
        drop(limit);
        let gateway = self.gateway(&scenario)?;
        let found = figure(&self.run(&gateway, &idle)?, 0, "bytes_per_session");
        self.add(
            &format!("{many} idle sessions, 50 friends"),
            "memory for each",
            Unit::Bytes,
            floor,
            found,
            Goal::Below(6.0 * 1024.0),
        );
        let found = self.run(&gateway, &format!("storm --users {many} --friends 50"))?;
        let floor = self.warm_login.map(|each| ("logins' CPU", each * f64::from(many) / 1e6));
        let work = format!("storm of {many} sessions, warm");
        self.add(&work, "all live again after", Unit::Seconds, floor, figure(&found, 1, "seconds"), Goal::AtMost(1.5));
        Ok(())
    }

    fn idle_with_many_friends(&mut self) -> Done {
        let few = self.size.few;
        let scenario = Scenario::Idle { users: few, friends: 500, rest: Duration::ZERO };
        let idle = format!("idle --users {few} --friends 500 --seconds 10");
        let gateway = self.gateway(&scenario)?;
        let found = figure(&self.run(&gateway, &idle)?, 0, "bytes_per_session");
        self.add(
            &format!("{few} idle sessions, 500 friends"),
            "memory for each",
            Unit::Bytes,
            None,
            found,
            Goal::Below(12.0 * 1024.0),
        );
        Ok(())
    }

    fn write(&mut self) -> Done {
        let scenario = Scenario::Write { writers: 256, length: Duration::ZERO };
        let gateway = self.gateway(&scenario)?;
        let length = Duration::from_secs(self.size.seconds.into());
        let directory = self.directory.clone();
        let floor = self.cores.beside_server(|| commits::measure(&directory, length))?;
        let found = self.run(&gateway, &format!("write --writers 256 --seconds {}", self.size.seconds))?;
        let commits = Some(("a commit for each", floor.commits_per_second));
        self.add(
            "durable updates, 256 writers",
            "updates",
            Unit::PerSecond,
            commits,
            figure(&found, 1, "updates_per_second"),
            Goal::AtLeast(10.0),
        );
        let fsync = Some(("fsync", floor.fsync_p50_us));
        self.add(
            "durable updates, one writer",
            "half within",
            Unit::Micros,
            fsync,
            figure(&found, 0, "p50_us"),
            Goal::AtMost(4.0),
        );
        Ok(())
    }

    fn slow(&mut self) -> Done {
        let Size { stall, seconds, .. } = self.size;
        let (length, stall_time) = (Duration::from_secs(seconds.into()), Duration::from_secs(stall.into()));
        let scenario =
            Scenario::Slow { users: 4000, friends: 100, rate: 400.0, stalled: 400, length, stall: stall_time };
        let gateway = self.gateway(&scenario)?;
        let arguments =
            format!("slow --users 4000 --friends 100 --rate 400 --stalled 10 --seconds {seconds} --stall {stall}");
        let found = self.run(&gateway, &arguments)?;
        let work = format!("10 % of 4,000 do not read for {stall} s");
        let ended = figure(&found, 2, "sessions").map(|sessions| 4000.0 - sessions);
        self.add(&work, "sessions ended", Unit::Count, None, ended, Goal::Below(0.0));
        self.add(
            &work,
            "memory per pending record",
            Unit::Bytes,
            None,
            figure(&found, 1, "bytes_per_owed"),
            Goal::Below(64.0),
        );
        let before = figure(&found, 0, "p99_us").map(|value| ("all read", value));
        self.add(
            &work,
            "the others' 99 % within",
            Unit::Micros,
            before,
            figure(&found, 1, "p99_us"),
            Goal::AtMost(1.25),
        );
        self.add(&work, "records never delivered", Unit::Count, None, figure(&found, 2, "lost"), Goal::Below(0.0));
        Ok(())
    }

    /// What an operator asks first, and no goal says.
    #[allow(clippy::cast_precision_loss, reason = "a size in bytes")]
    fn footprint(&mut self) -> Done {
        let binary = std::fs::metadata(env!("CARGO_BIN_EXE_rosterd"))?.len() as f64;
        self.add("the binary", "with symbols", Unit::Bytes, None, Some(binary), Goal::Open);
        Ok(())
    }
}

/// Everyone online, for servers that need to know only who is friends with whom.
pub(crate) fn fanout(users: u32, friends: u32) -> Scenario {
    Scenario::Fanout { users, friends, load: Load::Rate(1.0), warm_up: Duration::ZERO, length: Duration::ZERO }
}

/// One figure of one run.
pub(crate) fn figure(found: &Value, row: usize, key: &str) -> Option<f64> {
    found["rows"][row][key].as_f64()
}

/// The middle one of several runs.
fn middle(found: &[Value], row: usize, key: &str) -> Option<f64> {
    let mut values: Vec<_> = found.iter().filter_map(|run| figure(run, row, key)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
