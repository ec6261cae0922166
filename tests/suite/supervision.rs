//! A gateway ends when a task ends that it needs, and after a restart nobody lacks anything.
//!
//! The faults are injected from outside, into a real process: see `rosterd::supervisor::fault`, which debug builds have.

use std::time::{Duration, Instant};

use hyper::Method;
use rosterd::app::App;
use rosterd::config::{self, SettingsOptions};
use rosterd_client::{Backend, ClientError, Trust};
use rosterd_protocol::Encoding;
use tokio::time::{sleep, timeout};

use crate::support::{API_KEY, PATIENCE, Peer, World, nick_command};

/// The exit code of a gateway that a task has failed.
const FAILED: Option<i32> = Some(70);
/// How long the end may take at most. Without other work it is some 20 ms, and a machine that is busy for all tries is not
/// a machine to run a gateway on.
const SOON: Duration = Duration::from_secs(2);
const TRIES: usize = 5;

/// A world whose gateways have the faults that are put into its folder.
fn world() -> World {
    let mut world = World::new();
    let faults = world.path().join("faults");
    std::fs::create_dir(&faults).unwrap();
    world.through = Some(format!("ROSTERD_FAULTS={} exec \"$@\"", faults.display()));
    world
}

fn inject(world: &World, task: &str, fault: &str) {
    std::fs::write(world.path().join("faults").join(task), fault).unwrap();
}

/// Writes numbers into the account's nick until the connection breaks. Returns the last number that was answered.
async fn write_on(peer: &mut Peer) -> u64 {
    for number in 1.. {
        match timeout(PATIENCE, peer.client.request(nick_command(&number.to_string()))).await.expect("an end in time") {
            Ok(reply) => peer.replica.apply(&reply).unwrap(),
            // The store may be gone for a moment before the process is.
            Err(ClientError::Refused(error)) if error.code == 503 => return number - 1,
            Err(ClientError::Refused(error)) => panic!("{error:?}"),
            Err(_) => return number - 1,
        }
        sleep(Duration::from_millis(5)).await;
    }
    unreachable!("numbers do not end")
}

/// A world with the certificate of one listener, and whom its callers trust.
fn with_certificate(section: &str) -> (World, Trust) {
    let mut world = world();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (world.path().join("certificate.pem"), world.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    world.settings =
        format!("[{section}.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    (world, Trust::exactly(made.cert.pem().as_bytes()).unwrap())
}

/// Injects a fault into the task; the gateway has to end soon, and the next one has to serve everyone.
async fn ends_soon_and_comes_back(task: &str, fault: &str) {
    let mut took = Vec::new();
    while took.len() < TRIES {
        let (world, trusts) = match task.strip_suffix("_certificate") {
            None => (world(), [None, None]),
            Some(section) => {
                let (world, trust) = with_certificate(section);
                (world, if section == "ops" { [None, Some(trust)] } else { [Some(trust), None] })
            }
        };
        took.push(ends_and_comes_back(world, trusts, task, fault).await);
        if took.last() < Some(&SOON) {
            eprintln!("{task}: {took:?}");
            return;
        }
    }
    panic!("{task}: the gateway took {took:?} to end");
}

/// Injects a fault while a client writes. Returns how long the gateway took to end.
async fn ends_and_comes_back(
    mut world: World,
    [trust, ops_trust]: [Option<Trust>; 2],
    task: &str,
    fault: &str,
) -> Duration {
    let start = |world: &World| {
        let mut gateway = world.start();
        (gateway.trust, gateway.ops_trust) = (trust.clone(), ops_trust.clone());
        gateway
    };
    let gateway = start(&world);
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let bob = gateway.login("bob", Encoding::Protobuf).await;
    inject(&world, task, fault);
    let begun = Instant::now();
    let (answered, code) = tokio::join!(write_on(&mut alice), gateway.exit());
    assert_eq!(code, FAILED, "{task}: {}", world.log());
    let took = begun.elapsed();
    let log = world.log();
    assert!(log.contains("a task that the gateway needs has ended"), "{log}");
    // That the store's thread is gone may show in the feed first.
    let named = if task == "writer" { "the fault panic of writer".to_owned() } else { format!("task=\"{task}\"") };
    assert!(log.contains(&named), "{named}: {log}");

    world.through = None;
    let gateway = start(&world);
    // What was answered is there, and perhaps the write that was under way.
    let stored: u64 = gateway.user("alice").await["nick"].as_str().unwrap().parse().unwrap_or_default();
    assert!(stored == answered || stored == answered + 1, "{task}: {answered} was answered and {stored} is stored");
    let mut alice = gateway.resume("alice", Encoding::Protobuf, alice.replica).await;
    let mut bob = gateway.resume("bob", Encoding::Json, bob.replica).await;
    assert_eq!(bob.replica.users()["alice"].nick, gateway.user("alice").await["nick"]);
    alice.nick("again").await;
    bob.until(|replica| replica.users()["alice"].nick == "again").await;
    alice.agrees(&gateway, Encoding::Json).await;
    bob.agrees(&gateway, Encoding::Protobuf).await;
    took
}

#[cfg_attr(not(debug_assertions), ignore = "only debug builds have faults")]
#[tokio::test]
async fn the_end_of_any_task_that_the_gateway_needs_ends_the_process_and_a_restart_brings_everything_back() {
    let tasks = [
        "feed",
        "writer",
        "flusher",
        "clients_listener",
        "ops_listener",
        "presence",
        "presence_sweep",
        "compaction",
        "keys",
        "expiry",
        "webhooks",
        "live_numbers",
    ];
    for task in tasks {
        ends_soon_and_comes_back(task, "panic").await;
    }
    // Quiet ends are as bad.
    ends_soon_and_comes_back("feed", "end").await;
    ends_soon_and_comes_back("clients_listener", "end").await;
}

#[cfg_attr(not(debug_assertions), ignore = "only debug builds have faults")]
#[tokio::test]
async fn the_end_of_a_task_that_reads_certificates_ends_the_process() {
    ends_soon_and_comes_back("clients_certificate", "panic").await;
    ends_soon_and_comes_back("ops_certificate", "panic").await;
}

#[cfg_attr(not(debug_assertions), ignore = "only debug builds have faults")]
#[tokio::test]
async fn a_gateway_that_does_not_apply_what_it_commits_is_not_alive() {
    let mut world = world();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut backend = gateway.backend().await;
    inject(&world, "feed", "stall");
    // The fault has happened once a write is not answered, however busy the machine is.
    let mut nick = String::new();
    for number in 0.. {
        nick = format!("number {number}");
        if timeout(PATIENCE / 4, alice.client.request(nick_command(&nick))).await.is_err() {
            break;
        }
    }
    let begun = Instant::now();
    loop {
        let (status, text) = backend.send(Method::GET, "/livez", String::new()).await.unwrap();
        if status == 503 {
            assert_eq!(text, "committed changes are not applied\n");
            break;
        }
        assert_eq!((status, text.as_str()), (200, "ok\n"));
        assert!(begun.elapsed() < 2 * PATIENCE, "it is alive for {:?}", begun.elapsed());
        sleep(Duration::from_millis(200)).await;
    }
    gateway.kill();
    world.through = None;
    let gateway = world.start();
    let back = gateway.resume("alice", Encoding::Json, alice.replica).await;
    assert_eq!(back.replica.me().unwrap().nick, nick);
    assert_eq!(gateway.backend().await.send(Method::GET, "/livez", String::new()).await.unwrap().0, 200);
}

#[tokio::test]
async fn a_gateway_that_has_failed_is_not_ready() {
    let world = World::new();
    let options = SettingsOptions { file: Some(world.config()), overrides: Vec::new() };
    let app = App::start(&config::load(&options).unwrap().config).await.unwrap();
    let mut backend = Backend::connect(app.ops, API_KEY).await.unwrap();
    assert_eq!(backend.send(Method::GET, "/readyz", String::new()).await.unwrap(), (200, "ready\n".to_owned()));
    app.lifecycle().fail();
    assert_eq!(backend.send(Method::GET, "/readyz", String::new()).await.unwrap(), (503, "failed\n".to_owned()));
    app.stop().await;
}
