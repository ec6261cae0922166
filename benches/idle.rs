//! What an idle session costs: resident memory of a gateway before and after many sessions log in, each with its
//! friends, and stay. `cargo bench --bench idle -- [SESSIONS [FRIENDS]]`
#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a report")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use futures::future::try_join_all;
use rosterd::client::{Client, Replica};
use rosterd::wire::Encoding;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let (sessions, friends) = (numbers.next().unwrap_or(4000), numbers.next().unwrap_or(50));
    let directory = tempfile::tempdir()?;
    let (mut gateway, url) = start(directory.path(), &world(sessions, friends))?;
    // The first logins warm up what is there once: code, thread stacks, the store's cache.
    let mut clients = log_in(&url, 0..200).await?;
    let before = resident(&gateway)?;
    let mut at = 200;
    while at < sessions {
        clients.extend(log_in(&url, at..(at + 100).min(sessions)).await?);
        at += 100;
    }
    // One more round trip each: nothing is on its way, and the allocator had its second to give pages back.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let after = resident(&gateway)?;
    let each = (after - before) as f64 / (sessions - 200) as f64;
    println!("{sessions} sessions with {friends} friends each: {:.2} KiB resident per idle session", each / 1024.0);
    gateway.kill()?;
    gateway.wait()?;
    Ok(())
}

fn account(n: usize) -> String {
    format!("u{n:06}")
}

/// Everyone is a friend of the next `friends / 2` around a circle.
fn world(sessions: usize, friends: usize) -> String {
    let mut text = String::new();
    for n in 0..sessions {
        let account = account(n);
        let _ = writeln!(text, r#"{{"user": {{"account": "{account}", "nick": "User {n}"}}}}"#);
    }
    for n in 0..sessions {
        for step in 1..=friends / 2 {
            let _ = writeln!(text, r#"{{"friendship": ["{}", "{}"]}}"#, account(n), account((n + step) % sessions));
        }
    }
    text
}

fn start(directory: &std::path::Path, world: &str) -> Result<(Child, String), Failure> {
    let lines = directory.join("world.ndjson");
    std::fs::write(&lines, world)?;
    let store = format!("store.url=sqlite:{}", directory.join("rosterd.db").display());
    let rosterd = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        let set = ["--set", &store, "--set", "ops.listen=127.0.0.1:0", "--set", "clients.listen=127.0.0.1:0"];
        command.current_dir(directory).args(arguments).args(set);
        command
    };
    let imported = rosterd(&["import", "world.ndjson"]).stdout(Stdio::null()).status()?;
    if !imported.success() {
        return Err("the import failed".into());
    }
    let mut gateway = rosterd(&["serve"]).stdout(Stdio::piped()).spawn()?;
    let output = BufReader::new(gateway.stdout.take().ok_or("no output")?);
    let url = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.trim().strip_prefix("clients")?.trim().to_owned()));
    Ok((gateway, url.ok_or("the gateway did not start")?))
}

async fn log_in(url: &str, some: std::ops::Range<usize>) -> Result<Vec<Client>, Failure> {
    let logins = some.map(|n| async move {
        let mut client = Client::connect(url, Encoding::Json).await?;
        client.login(&account(n), &mut Replica::default()).await?;
        Ok::<_, Failure>(client)
    });
    try_join_all(logins).await
}

fn resident(gateway: &Child) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
