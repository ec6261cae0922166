//! A stop under load, as operators see it: many clients, writes that go on, SIGTERM, and the next process in its place.
//! Prints connections, closes and logins for every second, and how high the highest second was against the rate that
//! was asked for. `make drain-demo`, or `cargo bench --bench drain -- [CLIENTS [RATE]]`
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a report")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use parking_lot::Mutex;
use rosterd_client::{Backend, Client, ClientError, Replica};
use rosterd_protocol::{Encoding, v1};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

type Failure = Box<dyn std::error::Error>;

/// Friends of each account, before it and after it around a circle.
const FRIENDS: usize = 10;
/// What the counts of events are kept in.
const BUCKET: Duration = Duration::from_millis(100);
/// Logins at a time while everyone comes for the first time.
const AT_A_TIME: usize = 100;

/// Counts of one kind of event over time.
#[derive(Default)]
struct Events(Mutex<Vec<usize>>);

impl Events {
    fn note(&self, at: Duration) {
        let bucket = (at.as_millis() / BUCKET.as_millis()) as usize;
        let mut counts = self.0.lock();
        if counts.len() <= bucket {
            counts.resize(bucket + 1, 0);
        }
        counts[bucket] += 1;
    }

    fn total(&self) -> usize {
        self.0.lock().iter().sum()
    }

    /// The most in any second, wherever it begins.
    fn peak(&self) -> usize {
        self.0.lock().windows(10).map(|second| second.iter().sum()).max().unwrap_or_default()
    }
}

/// What all clients share.
struct Crowd {
    url: String,
    begun: Instant,
    connected: AtomicUsize,
    closes: Events,
    logins: Events,
    /// When clients were told to come back; what a machine that is short of CPU makes of it is another matter.
    slots: Events,
    /// Connections that ended without being told when to come back, and attempts that failed.
    untold: AtomicUsize,
    /// The catch-ups of those who came back, by their mode.
    kinds: Mutex<[usize; 4]>,
    over: AtomicBool,
    first: Semaphore,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let (clients, rate) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(500));
    let directory = tempfile::tempdir()?;
    let (listen, ops) = (free_port()?, free_port()?);
    let deadline = clients / rate + 30;
    let settings = BenchSettings { directory: directory.path(), listen, ops, rate, deadline };
    settings.import(clients)?;
    let gateway = settings.start()?;
    let crowd = Arc::new(Crowd {
        url: format!("ws://{listen}/v1/ws"),
        begun: Instant::now(),
        connected: AtomicUsize::new(0),
        closes: Events::default(),
        logins: Events::default(),
        slots: Events::default(),
        untold: AtomicUsize::new(0),
        kinds: Mutex::default(),
        over: AtomicBool::new(false),
        first: Semaphore::new(AT_A_TIME),
    });
    let tasks: Vec<_> = (0..clients).map(|n| tokio::spawn(stay(crowd.clone(), n))).collect();
    while crowd.connected.load(Ordering::Relaxed) < clients {
        sleep(BUCKET).await;
    }
    println!("{clients} clients are in sync; stopping at {rate} sessions per second\n");
    let (seen, lost) = drain(&crowd, &settings, gateway, clients).await?;
    let mut missed = 0;
    for task in tasks {
        let replica = task.await?;
        missed += seen.iter().filter(|(account, nick)| is_missed(&replica, account, nick)).count();
    }
    report(&crowd, rate, seen.len(), lost, missed);
    Ok(())
}

/// Whether a client has the account as a friend, and not its newest nick.
fn is_missed(replica: &Replica, account: &str, nick: &str) -> bool {
    replica.friends().contains_key(account) && replica.users().get(account).is_none_or(|user| user.nick != nick)
}

type Acknowledged = std::collections::BTreeMap<String, String>;

/// Stops the gateway under writes, starts the next one once it has ended, and waits until everyone is back.
async fn drain(
    crowd: &Crowd,
    settings: &BenchSettings<'_>,
    mut gateway: Child,
    clients: usize,
) -> Result<(Acknowledged, bool), Failure> {
    let (stop, ops) = (Arc::new(AtomicBool::new(false)), settings.ops);
    let writing = tokio::spawn(write(ops, clients, stop.clone()));
    *crowd.closes.0.lock() = Vec::new();
    *crowd.logins.0.lock() = Vec::new();
    *crowd.kinds.lock() = [0; 4];
    let begun = Instant::now();
    Command::new("kill").args(["-TERM", &gateway.id().to_string()]).status()?;
    println!("second  connections  closes/s  logins/s");
    let (mut next, mut before, mut good) = (None, (0, 0), true);
    for second in 1.. {
        let until = begun + Duration::from_secs(second);
        while Instant::now() < until {
            if next.is_none()
                && let Some(status) = gateway.try_wait()?
            {
                good = status.success();
                println!("        -- the gateway has ended, {status}; the next one starts");
                next = Some(settings.start()?);
            }
            sleep(Duration::from_millis(10)).await;
        }
        let now = (crowd.closes.total(), crowd.logins.total());
        let connected = crowd.connected.load(Ordering::Relaxed);
        println!("{second:>6}  {connected:>11}  {:>8}  {:>8}", now.0 - before.0, now.1 - before.1);
        before = now;
        if next.is_some() && connected == clients && now.1 >= clients {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writing.await?;
    // What was written last is on its way.
    sleep(Duration::from_secs(2)).await;
    crowd.over.store(true, Ordering::Relaxed);
    if let Some(mut next) = next {
        next.kill()?;
        next.wait()?;
    }
    Ok((acknowledged, !good))
}

fn report(crowd: &Crowd, rate: usize, writes: usize, cut_off: bool, missed: usize) {
    let (closes, logins) = (crowd.closes.peak(), crowd.logins.peak());
    let share = |peak: usize| peak as f64 / rate as f64;
    let kind = |mode: v1::SyncMode| crowd.kinds.lock()[mode as usize];
    let (current, delta, full) = (kind(v1::SyncMode::Current), kind(v1::SyncMode::Delta), kind(v1::SyncMode::Full));
    let told = crowd.slots.peak();
    println!("\nhighest second, and against the rate of {rate}:");
    for (what, peak) in [("closed", closes), ("told to come back", told), ("logged in", logins)] {
        println!("  {peak:>6} {what} ({:.2})", share(peak));
    }
    println!("catch-ups: {current} current, {delta} delta, {full} full");
    println!("connections that were not told when to come back, and attempts that failed: {}", untold(crowd));
    println!("accounts written meanwhile: {writes}; records of them that a friend lacks: {missed}");
    println!("exit code of the stop: {}", if cut_off { "not 0" } else { "0" });
}

fn untold(crowd: &Crowd) -> usize {
    crowd.untold.load(Ordering::Relaxed)
}

/// One client: there, told to go, and back when it was told to.
async fn stay(crowd: Arc<Crowd>, n: usize) -> Replica {
    let (account, mut replica) = (account(n), Replica::default());
    let mut first = crowd.first.acquire().await.ok();
    while !crowd.over.load(Ordering::Relaxed) {
        let wait = match session(&crowd, &account, &mut replica, &mut first).await {
            Ok(wait) => wait,
            Err(_) if crowd.over.load(Ordering::Relaxed) => break,
            Err(_) => {
                crowd.untold.fetch_add(1, Ordering::Relaxed);
                Duration::from_millis(getrandom::u64().unwrap_or(0) % 3000)
            }
        };
        sleep(wait).await;
    }
    replica
}

/// One connection's life; how long to wait before the next.
async fn session(
    crowd: &Crowd,
    account: &str,
    replica: &mut Replica,
    first: &mut Option<tokio::sync::SemaphorePermit<'_>>,
) -> Result<Duration, ClientError> {
    let mut client = Client::connect(&crowd.url, Encoding::Json).await?;
    let reply = client.login(account, replica).await?;
    drop(first.take());
    crowd.kinds.lock()[reply.sync as usize % 4] += 1;
    crowd.logins.note(crowd.begun.elapsed());
    crowd.connected.fetch_add(1, Ordering::Relaxed);
    let told = loop {
        match timeout(Duration::from_secs(1), client.next()).await {
            Err(_) if crowd.over.load(Ordering::Relaxed) => break Ok(None),
            Err(_) => {}
            Ok(Err(error)) => break Err(error),
            Ok(Ok(frame)) => match frame.goodbye {
                Some(goodbye) => break Ok(goodbye.retry_after_ms),
                None => replica.apply(&frame).map_err(|error| ClientError::Malformed(error.to_string()))?,
            },
        }
    };
    if crowd.over.load(Ordering::Relaxed) {
        return Ok(Duration::ZERO);
    }
    crowd.connected.fetch_sub(1, Ordering::Relaxed);
    crowd.closes.note(crowd.begun.elapsed());
    let wait = Duration::from_millis(told?.unwrap_or(0));
    crowd.slots.note(crowd.begun.elapsed() + wait);
    Ok(wait)
}

/// Changes nicks for as long as there is a gateway to do it; what was answered.
async fn write(ops: SocketAddr, clients: usize, stop: Arc<AtomicBool>) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut backend) = Backend::connect(ops, "").await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            n += 1;
            let (account, nick) = (account(n * 7919 % clients), format!("nick {n}"));
            let body = format!(r#"{{"nick": "{nick}"}}"#);
            if !matches!(backend.send(Method::PATCH, &format!("/v1/users/{account}"), body).await, Ok((200, _))) {
                // Whether it was done is not known, so what the account is called now is not either.
                acknowledged.remove(&account);
                break;
            }
            acknowledged.insert(account, nick);
            sleep(Duration::from_millis(10)).await;
        }
    }
    acknowledged
}

fn account(n: usize) -> String {
    format!("u{n:06}")
}

fn free_port() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// How each gateway is started.
struct BenchSettings<'a> {
    directory: &'a Path,
    listen: SocketAddr,
    ops: SocketAddr,
    rate: usize,
    deadline: usize,
}

impl BenchSettings<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        command.current_dir(self.directory).args(arguments).args(["--set", "store.url=sqlite:rosterd.db"]);
        for setting in [
            format!("clients.listen={}", self.listen),
            format!("ops.listen={}", self.ops),
            format!("shutdown.rate={}", self.rate),
            format!("shutdown.deadline={}s", self.deadline),
            "log.level=warn".to_owned(),
        ] {
            command.args(["--set", &setting]);
        }
        command
    }

    fn import(&self, clients: usize) -> Result<(), Failure> {
        let mut world = String::new();
        for n in 0..clients {
            let _ = writeln!(world, r#"{{"user": {{"account": "{}", "nick": "User {n}"}}}}"#, account(n));
        }
        for n in 0..clients {
            for step in 1..=FRIENDS / 2 {
                let (a, b) = (account(n), account((n + step) % clients));
                let _ = writeln!(world, r#"{{"friendship": ["{a}", "{b}"]}}"#);
            }
        }
        std::fs::write(self.directory.join("world.ndjson"), world)?;
        let imported = self.command(&["import", "world.ndjson"]).stdout(Stdio::null()).status()?;
        if imported.success() { Ok(()) } else { Err("the import failed".into()) }
    }

    fn start(&self) -> Result<Child, Failure> {
        let mut gateway = self.command(&["serve"]).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(gateway.stdout.take().ok_or("no output")?).lines();
        let ready = output.by_ref().map_while(Result::ok).any(|line| line.trim_start().starts_with("tokens"));
        if ready { Ok(gateway) } else { Err("the gateway did not start".into()) }
    }
}
