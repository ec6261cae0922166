//! A gateway on PostgreSQL, through its public doors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use rosterd_client::{Client, ClientError, Replica};
use rosterd_postgres_server::{self as postgres_server, ROLE, Server};
use rosterd_protocol::Encoding;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, World, finished, nick_command};

/// A gateway's settings for a database of a server.
fn on(server: &Server, database: &str) -> String {
    format!("store.url={}", server.url(ROLE, database))
}

/// Reads an account's profile from the server API, trying again while the store is away.
async fn nick_of(gateway: &Gateway, account: &str) -> u64 {
    let user: Value = gateway.user(account).await;
    user["nick"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_postgresql_keeps_everything_over_kill_9() {
    let Some(server) = postgres_server::shared() else { return };
    let database = server.database();
    let store = on(server, &database.name);
    let world = World::new();
    let gateway = world.start_with(&[&store]);
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut ann = gateway.login("ann", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    ann.request(nick_command("Anna")).await;
    bob.until(|replica| replica.users().get("ann").is_some_and(|ann| ann.nick == "Anna")).await;
    gateway.kill();
    let gateway = world.start_with(&[&store]);
    assert_eq!(gateway.user("ann").await["nick"], "Anna");
    let back = gateway.resume("bob", Encoding::Protobuf, bob.replica).await;
    assert_eq!(back.reply.sync, rosterd_protocol::v1::SyncMode::Current as i32);
    let (status, _) = gateway.call(Method::GET, "/v1/users/bob/friends", String::new()).await;
    assert_eq!(status, 200);
    // Another gateway on the same database ends with a sentence, and without the password.
    let second = World::new();
    let said = second.run_badly(&["serve", "--set", &store]);
    assert!(said.contains("another gateway uses it") && !said.contains("secret"), "{said}");
    // Its own tools are for files.
    let said = second.run_badly(&["backup", "copy.db", "--set", &store]);
    assert!(said.contains("pg_dump") && !said.contains("secret"), "{said}");
    assert!(!world.log().contains("secret"), "{}", world.log());
    assert_eq!(gateway.terminate().await, Some(0));
}

/// Changes its nick as fast as it is answered until it is to stop, and comes back when its session ends. Returns the last
/// nick that was answered, and the last that was sent.
async fn write_on(gateway: String, account: String, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut answered, mut sent) = (0, 0);
    let mut replica = Replica::default();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(&gateway, Encoding::Json).await else { continue };
        if client.login(&account, &mut replica).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        while !stop.load(Ordering::Relaxed) {
            sent += 1;
            match client.request(nick_command(&sent.to_string())).await {
                Ok(_) => {
                    answered = sent;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Err(ClientError::Refused(error)) => assert_eq!(error.code, 503, "{error:?}"),
                Err(_) => break,
            }
        }
    }
    (answered, sent)
}

/// PostgreSQL is killed under load: nobody is told anything that is not so, and everything goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_lives_through_a_killed_server_and_loses_no_answered_write() {
    let Some(server) = Server::start(&[]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let world = World::new();
    let gateway = world.start_with(&[&on(&server, "x"), "store.write_timeout=2s"]);
    let accounts: Vec<_> = (0..6).map(|n| format!("w{n}")).collect();
    gateway.populate(&accounts.iter().map(String::as_str).collect::<Vec<_>>(), &[("w0", "w1")]).await;
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = accounts
        .iter()
        .map(|account| tokio::spawn(write_on(gateway.url(), account.clone(), done.clone(), stop.clone())))
        .collect();
    let more = async |count: u64| {
        let before = done.load(Ordering::Relaxed);
        let waited = async {
            while done.load(Ordering::Relaxed) < before + count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waited).await.expect("writes are answered");
    };
    more(50).await;
    for _ in 0..2 {
        server.kill();
        // Away: a write gets 503 within the timeout, a login as well, and the gateway lives.
        let (status, answer) = gateway.call(Method::PATCH, "/v1/users/w0", json!({"nick": "0"}).to_string()).await;
        assert!(matches!(status, 503 | 504), "{status} {answer}");
        let refused = gateway.try_resume("w1", Encoding::Json, Replica::default()).await;
        assert!(refused.is_err());
        server.run();
        more(50).await;
    }
    stop.store(true, Ordering::Relaxed);
    for (account, writer) in accounts.iter().zip(writers) {
        let (answered, sent) = timeout(PATIENCE, writer).await.expect("an end in time").unwrap();
        let nick = nick_of(&gateway, account).await;
        assert!(nick >= answered && nick <= sent, "{account} has {nick}, answered was {answered} of {sent}");
    }
    for once in ["the store cannot write; it keeps trying", "the store can write again"] {
        let count = world.log().matches(once).count();
        assert!((1..=8).contains(&count), "{once:?} is in the log {count} times:\n{}", world.log());
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

/// A deployment moves from its file to a database server, and takes everything along.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_copied_from_sqlite_and_clients_sync_in_full_once() {
    let Some(server) = postgres_server::shared() else { return };
    let database = server.database();
    let store = on(server, &database.name);
    let world = World::new();
    let from = format!("sqlite:{}", world.path().join("rosterd.db").display());
    let copy = ["store", "copy", from.as_str(), "--set", store.as_str()];
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cid"], &[("ann", "bob")]).await;
    let mut ann = gateway.login("ann", Encoding::Json).await;
    ann.request(nick_command("tab\t, \\ and 'quote'")).await;
    let said = world.run_badly(&copy);
    assert!(said.contains("is used by another"), "{said}");
    assert_eq!(gateway.terminate().await, Some(0));
    let said = world.run_well(&copy);
    assert!(said.contains("rows of sqlite:") && said.contains("clients will sync in full once"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    let said = world.run_badly(&copy);
    assert!(said.contains("is not empty"), "{said}");
    let gateway = world.start_with(&[&store]);
    let back = gateway.resume("ann", Encoding::Json, ann.replica).await;
    assert_eq!(back.reply.sync, rosterd_protocol::v1::SyncMode::Full as i32);
    assert_eq!(back.replica.me().unwrap().nick, "tab\t, \\ and 'quote'");
    let mut back = gateway.resume("ann", Encoding::Json, back.replica).await;
    assert_eq!(back.reply.sync, rosterd_protocol::v1::SyncMode::Current as i32);
    back.request(nick_command("Ann")).await;
    assert_eq!(gateway.terminate().await, Some(0));
    // What works straight on a store works here, too.
    let exported =
        world.run_well(&["export", "-", "--credentials", "--set", &store, "--set", "ops.listen=127.0.0.1:1"]);
    assert_eq!(exported.lines().filter(|line| line.contains("\"nick\":\"Ann\"")).count(), 1, "{exported}");
    // The file is as it was.
    let gateway = world.start();
    assert_eq!(gateway.user("ann").await["nick"], "tab\t, \\ and 'quote'");
}

/// Over the network with TLS and a password: the server must be who its certificate says, and the gateway who it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_proves_who_it_is_and_the_gateway_knows_a_password() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
    let access = format!(
        "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhostssl all {ROLE} 127.0.0.1/32 scram-sha-256\n"
    );
    let files =
        [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem()), ("pg_hba.conf", access)];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let Some(server) = Server::start_with(&["ssl = on"], &files) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let store = on(&server, "x");
    let world = World::new();
    let list = world.path().join("authorities.pem");
    std::fs::write(&list, made.cert.pem()).unwrap();
    let world = World { through: Some(format!("SSL_CERT_FILE='{}' exec \"$@\"", list.display())), ..world };
    let gateway = world.start_with(&[&format!("{store}?sslmode=require")]);
    gateway.populate(&["ann"], &[]).await;
    assert_eq!(gateway.user("ann").await["account"], "ann");
    let sessions = "SELECT ssl, count(*) > 1 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE application_name LIKE 'rosterd%' GROUP BY ssl";
    assert_eq!(server.sql("postgres", sessions), "t|t");
    assert_eq!(gateway.terminate().await, Some(0));
    // Whoever does not know the authority, or comes without TLS or with another password, is told so.
    let wary = World::new();
    for (store, told) in
        [(format!("{store}?sslmode=require"), "certificate"), (format!("{store}?sslmode=disable"), "no encryption")]
    {
        let said = wary.run_badly(&["serve", "--set", &store]);
        assert!(said.contains(told) && !said.contains("secret"), "{told}: {said}");
    }
    let guessed = store.replace("secret", "hunter2");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rosterd"));
    command.env("SSL_CERT_FILE", &list).args(["serve", "--set", &guessed, "--config"]).arg(wary.config());
    let output = finished(&mut command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("password") && !said.contains("hunter2"), "{said}");
}
