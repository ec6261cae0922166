//! What is measured, each in a process of its own on the first core, and the generator that measures it on the second.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rosterd_bench::graph::Graph;
use rosterd_bench::scenario::Scenario;
use rosterd_bench::world::World;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

/// Which graph, among those of the same size.
pub(crate) const SEED: u64 = 1;

/// The cores of this machine: one for what is measured, one for the generator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) generator: usize,
}

impl Cores {
    /// The first two, if there are two.
    pub(crate) fn find() -> Self {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let server = cores.next().unwrap_or(0);
        Self { server, generator: cores.next().unwrap_or(server) }
    }

    /// Does something on one core only; what it starts stays there.
    fn on<T>(core: usize, act: impl FnOnce() -> T) -> T {
        let before = sched_getaffinity(None);
        let mut only = CpuSet::new();
        only.set(core);
        let _ = sched_setaffinity(None, &only);
        let done = act();
        if let Ok(before) = before {
            let _ = sched_setaffinity(None, &before);
        }
        done
    }

    /// On the gateway's core.
    pub(crate) fn beside_server<T>(self, act: impl FnOnce() -> T) -> T {
        Self::on(self.server, act)
    }
}

/// The gateway that is measured: the one of this checkout, or the one that `ROSTERD` names.
fn rosterd() -> PathBuf {
    std::env::var_os("ROSTERD").map_or_else(|| env!("CARGO_BIN_EXE_rosterd").into(), PathBuf::from)
}

/// A server under measurement; ended when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) name: &'static str,
    url: String,
    ops: Option<String>,
    /// The certificate to trust, if it speaks TLS.
    ca: Option<PathBuf>,
    cores: Cores,
}

impl Server {
    /// A gateway with the accounts of a scenario and a store of its own. `settings` are `SECTION.KEY=VALUE`.
    pub(crate) fn gateway(
        cores: Cores,
        directory: &Path,
        scenario: &Scenario,
        settings: &[&str],
    ) -> Result<Self, Box<dyn Error>> {
        let _ = std::fs::remove_dir_all(directory);
        std::fs::create_dir_all(directory)?;
        let lines = directory.join("world.ndjson");
        let (graph, kind) = scenario.graph(SEED)?;
        let world = World::new(graph, "bench", &kind)?;
        let mut file = File::create(&lines)?;
        for piece in world.pieces() {
            file.write_all(piece.as_bytes())?;
        }
        let store = format!("store.url=sqlite:{}", directory.join("rosterd.db").display());
        let command = |arguments: &[&str]| {
            let mut command = Command::new(rosterd());
            command.current_dir(directory).args(arguments);
            for set in
                [&[&store, "clients.listen=127.0.0.1:0", "ops.listen=127.0.0.1:0", "log.level=warn"], settings].concat()
            {
                command.args(["--set", set]);
            }
            command
        };
        let imported = command(&["import", "world.ndjson"]).stdout(Stdio::null()).status()?;
        if !imported.success() {
            return Err("the import failed".into());
        }
        std::fs::remove_file(lines)?;
        let process = Cores::on(cores.server, || command(&["serve"]).stdout(Stdio::piped()).spawn())?;
        Self::started(process, "rosterd", cores)
    }

    /// A gateway that speaks TLS, with a key on the curve P-256.
    pub(crate) fn gateway_with_tls(
        cores: Cores,
        directory: &Path,
        scenario: &Scenario,
    ) -> Result<Self, Box<dyn Error>> {
        let folder = directory.with_extension("tls");
        std::fs::create_dir_all(&folder)?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let settings = [
            format!("clients.tls.certificate={}", certificate.display()),
            format!("clients.tls.key={}", key.display()),
        ];
        let mut server = Self::gateway(cores, directory, scenario, &[&settings[0], &settings[1]])?;
        server.ca = Some(certificate);
        Ok(server)
    }

    /// The floor, for the accounts of a scenario.
    pub(crate) fn limit(cores: Cores, mode: &'static str, scenario: &Scenario) -> Result<Self, Box<dyn Error>> {
        let (users, friends) = match *scenario {
            Scenario::Celebrity { friends, .. } => (None, friends),
            Scenario::Fanout { users, friends, .. }
            | Scenario::Login { users, friends }
            | Scenario::Idle { users, friends, .. } => (Some(users), friends),
            _ => return Err("there is no floor for this".into()),
        };
        let users = users.map_or("star".to_owned(), |users| users.to_string());
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["limit", mode, &users, &friends.to_string()]).stdout(Stdio::piped());
        let process = Cores::on(cores.server, || command.spawn())?;
        Self::started(process, mode, cores)
    }

    fn started(mut process: Child, name: &'static str, cores: Cores) -> Result<Self, Box<dyn Error>> {
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut server = Self { process, name, url: String::new(), ops: None, ca: None, cores };
        for line in output.lines().map_while(Result::ok) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["clients", url] => url.clone_into(&mut server.url),
                ["ops", url] => server.ops = Some(url.to_owned()),
                _ => {}
            }
            if !server.url.is_empty() && (server.ops.is_some() || name != "rosterd") {
                return Ok(server);
            }
        }
        Err(format!("{name} did not start").into())
    }

    /// Runs `rosterd bench` against it: what it printed as JSON, good or bad.
    pub(crate) fn bench(&self, arguments: &str) -> Result<Value, Box<dyn Error>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        command.arg("bench").args(arguments.split_whitespace()).args(["--json", "--keep", "--url", &self.url]);
        command.args(["--pid", &self.process.id().to_string(), "--seed", &SEED.to_string()]);
        if let Some(ca) = &self.ca {
            command.arg("--ca").arg(ca);
        }
        match &self.ops {
            Some(ops) => command.args(["--ops", ops]),
            None => command.arg("--no-setup"),
        };
        eprintln!("   {} against {}", arguments, self.name);
        let output = Cores::on(self.cores.generator, || command.output())?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|_| String::from_utf8_lossy(&output.stderr).trim().to_owned().into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The friendships that `limit USERS FRIENDS` gets.
pub(crate) fn graph(users: &str, friends: &str) -> Result<Graph, Box<dyn Error>> {
    let friends = friends.parse()?;
    if users == "star" {
        return Ok(Graph::star(friends));
    }
    Ok(Graph::regular(users.parse()?, friends, SEED)?)
}
