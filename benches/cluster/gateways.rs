//! Whole gateways on one database, each a process of the binary that ships, and the generator that measures them.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rosterd_bench::ops::OpsConnection;
use serde_json::Value;

/// How long some sessions may take to come about.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often gateways are asked for their sessions.
const LOOK: Duration = Duration::from_millis(250);
/// How long a generator is given to notice that all its sessions are live.
const BREATH: Duration = Duration::from_secs(3);

/// The gateway that is measured: the one of this checkout, or the one that `ROSTERD` names.
fn rosterd() -> PathBuf {
    std::env::var_os("ROSTERD").map_or_else(|| env!("CARGO_BIN_EXE_rosterd").into(), PathBuf::from)
}

/// A gateway, killed when dropped.
struct GatewayProcess {
    process: Child,
    url: String,
    ops: SocketAddr,
}

impl GatewayProcess {
    fn start(directory: &Path, settings: &[String]) -> Result<Self, Box<dyn Error>> {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory)?;
        let mut command = Command::new(rosterd());
        command.current_dir(directory).arg("serve");
        for setting in settings {
            command.args(["--set", setting]);
        }
        let log = File::create(directory.join("log"))?;
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let (mut url, mut ops) = (None, None);
        for line in output.lines().map_while(Result::ok) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["clients", given] => url = Some(given.to_owned()),
                ["ops", given] => ops = given.strip_prefix("http://").and_then(|address| address.parse().ok()),
                _ => {}
            }
            if let (Some(url), Some(ops)) = (&url, ops) {
                return Ok(Self { process, url: url.clone(), ops });
            }
        }
        let _ = process.wait();
        Err(format!("a gateway did not start: {}", fs::read_to_string(directory.join("log"))?.trim()).into())
    }

    fn metrics(&self) -> Result<rosterd_bench::ops::Readings, Box<dyn Error>> {
        Ok(OpsConnection::connect(self.ops, "")?.metrics()?)
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Some gateways.
pub(crate) struct Gateways(Vec<GatewayProcess>);

impl Gateways {
    pub(crate) fn start(
        count: usize,
        database: &str,
        directory: &Path,
        settings: &[String],
    ) -> Result<Self, Box<dyn Error>> {
        let own = [&format!("store.url={database}"), "clients.listen=127.0.0.1:0", "ops.listen=127.0.0.1:0"];
        let own = own.into_iter().chain(["cluster.enabled=true", "log.level=warn"]).map(str::to_owned);
        let settings: Vec<_> = own.chain(settings.iter().cloned()).collect();
        let start = |at: usize| GatewayProcess::start(&directory.join(at.to_string()), &settings);
        Ok(Self((0..count).map(start).collect::<Result<_, _>>()?))
    }

    /// `rosterd bench` against them all.
    fn command(&self, arguments: &str, setup: bool) -> Command {
        eprintln!("   {arguments} against {} gateway(s)", self.0.len());
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        command.arg("bench").args(arguments.split_whitespace()).args(["--protobuf", "--json", "--keep"]);
        for gateway in &self.0 {
            command.args(["--url", &gateway.url]);
            if setup {
                command.args(["--ops", &format!("http://{}", gateway.ops)]);
                command.args(["--pid", &gateway.process.id().to_string()]);
            }
        }
        if !setup {
            command.arg("--no-setup");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it, and returns its rows.
    pub(crate) fn bench(&self, arguments: &str) -> Result<Value, Box<dyn Error>> {
        rows(arguments, &self.command(arguments, true).output()?)
    }

    /// Runs one for accounts that are there already, while another one runs, and returns the rows of both.
    pub(crate) fn bench_both(&self, load: &str, during: &str) -> Result<[Value; 2], Box<dyn Error>> {
        let mut loading = self.command(load, true).spawn()?;
        std::thread::sleep(BREATH + BREATH);
        let output = self.command(during, false).output()?;
        let is_over = loading.try_wait()?.is_some();
        let load_output = loading.wait_with_output()?;
        let both = [rows(load, &load_output)?, rows(during, &output)?];
        if is_over { Err(format!("`{load}` was over before `{during}`").into()) } else { Ok(both) }
    }

    /// Runs one that puts `sessions` on them, and kills the last of them when they are there.
    pub(crate) fn bench_and_kill(&mut self, arguments: &str, sessions: u32) -> Result<Value, Box<dyn Error>> {
        let mut running = self.command(arguments, true).spawn()?;
        let begun = Instant::now();
        while self.sessions()? < f64::from(sessions) {
            if running.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let _ = running.kill();
                let output = running.wait_with_output()?;
                return Err(format!("{sessions} sessions did not come about: {}", said(&output)).into());
            }
            std::thread::sleep(LOOK);
        }
        std::thread::sleep(BREATH);
        eprintln!("   killing a gateway");
        drop(self.0.pop());
        rows(arguments, &running.wait_with_output()?)
    }

    fn sessions(&self) -> Result<f64, Box<dyn Error>> {
        let sessions =
            self.0.iter().map(|gateway| Ok(gateway.metrics()?.value("rosterd_sessions").unwrap_or_default()));
        sessions.sum()
    }

    /// The buckets of a histogram, summed over the gateways.
    pub(crate) fn buckets(&self, name: &str) -> Result<Vec<(f64, f64)>, Box<dyn Error>> {
        let mut sum: Vec<(f64, f64)> = Vec::new();
        for gateway in &self.0 {
            let found = gateway.metrics()?.buckets(name);
            if sum.is_empty() {
                sum = found;
            } else {
                sum.iter_mut().zip(found).for_each(|(sum, (_, count))| sum.1 += count);
            }
        }
        Ok(sum)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// The rows of a run that went well.
fn rows(arguments: &str, output: &Output) -> Result<Value, Box<dyn Error>> {
    let found: Value =
        serde_json::from_slice(&output.stdout).map_err(|_| format!("`{arguments}`: {}", said(output)))?;
    if found["verdict"] != "passed" {
        return Err(format!("`{arguments}`: {}, {}", found["verdict"], found["problems"]).into());
    }
    Ok(found["rows"].clone())
}
