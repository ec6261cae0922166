//! TLS: real clients over it, certificates exchanged under live connections, and who is let in.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rosterd_client::{Backend, Client, ClientOptions, ConnectionPhase, Replica, RosterdClient, Trust};
use rosterd_protocol::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{API_KEY, Gateway, PATIENCE, World};

/// An authority that tests make for themselves.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this machine, and its key.
    pub fn server(&self) -> (String, String) {
        self.issue(for_this_machine(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same, which has ended.
    pub fn former_server(&self) -> (String, String) {
        let mut params = for_this_machine();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate to show as a caller, and its key.
    fn caller(&self) -> (String, String) {
        self.issue(CertificateParams::new(Vec::new()).unwrap(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn trust(&self) -> Trust {
        Trust::authorities(self.pem.as_bytes(), None).unwrap()
    }
}

fn for_this_machine() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

/// Puts a pair where the settings name it.
fn put(folder: &Path, (certificate, key): &(String, String)) {
    std::fs::write(folder.join("certificate.pem"), certificate).unwrap();
    std::fs::write(folder.join("key.pem"), key).unwrap();
}

/// A world whose `section` has TLS with this pair.
fn world(sections: &[&str], pair: &(String, String)) -> World {
    let mut world = World::new();
    put(world.path(), pair);
    for section in sections {
        let folder = world.path().display().to_string();
        let pair = format!("certificate = \"{folder}/certificate.pem\"\nkey = \"{folder}/key.pem\"\n");
        let _ = write!(world.settings, "[{section}.tls]\n{pair}");
    }
    world
}

fn exactly(pair: &(String, String)) -> Trust {
    Trust::exactly(pair.0.as_bytes()).unwrap()
}

/// Whether the gateway shows a certificate that is trusted.
async fn is_shown(gateway: &Gateway, trust: &Trust) -> bool {
    Client::connect_trusting(&gateway.url(), Encoding::Json, Some(trust)).await.is_ok()
}

async fn until_shown(gateway: &Gateway, trust: &Trust) {
    let begun = Instant::now();
    while !is_shown(gateway, trust).await {
        assert!(begun.elapsed() < PATIENCE, "the new certificate was not taken into use");
    }
}

#[tokio::test]
async fn a_client_that_stays_connected_accepts_what_it_is_told_to_trust_and_nothing_else() {
    let authority = Authority::new();
    let world = world(&["clients"], &authority.server());
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let options = || ClientOptions::new(gateway.url(), "alice").backoff(Duration::ZERO, Duration::from_millis(50));
    let trusting = RosterdClient::new(options().trust(authority.trust())).unwrap();
    timeout(PATIENCE, trusting.connect()).await.expect("a connection in time").unwrap();
    // The platform knows nothing of an authority that a test has made; nor does another authority.
    for options in [options(), options().trust(Authority::new().trust())] {
        let client = RosterdClient::new(options).unwrap();
        let connecting = client.clone();
        let connecting = tokio::spawn(async move { connecting.connect().await });
        let refused = client.until(|held| held.connection.phase == ConnectionPhase::Reconnecting);
        let refused = timeout(PATIENCE, refused).await.expect("an end of the attempt").unwrap();
        let why = refused.connection.last_error.clone().unwrap().message;
        assert!(why.contains("certificate"), "{why}");
        connecting.abort();
    }
}

#[tokio::test]
async fn clients_sync_over_tls_as_they_do_without_it() {
    let authority = Authority::new();
    let world = world(&["clients"], &authority.server());
    let mut gateway = world.start();
    gateway.trust = Some(authority.trust());
    assert!(gateway.url().starts_with("wss://"));
    let many: Vec<_> = (0..400).map(|n| format!("friend-{n:04}")).collect();
    let names: Vec<_> = many.iter().map(String::as_str).chain(["alice", "bob"]).collect();
    let pairs: Vec<_> = many.iter().map(|name| ("alice", name.as_str())).chain([("alice", "bob")]).collect();
    gateway.populate(&names, &pairs).await;
    for encoding in Encoding::ALL {
        // A list of several records of TLS, read whole; the digest is checked at the end of it.
        let mut alice = gateway.login("alice", encoding).await;
        assert_eq!(alice.replica.friends().len(), 401);
        let mut bob = gateway.login("bob", encoding).await;
        let updated = bob.nick(&format!("Bob in {encoding:?}")).await;
        assert_eq!(alice.changes().await.users, [updated]);
        alice.agrees(&gateway, encoding).await;
    }
    // Without TLS there is nothing to be had, and the gateway lives on.
    let mut plain = TcpStream::connect(gateway.clients).await.unwrap();
    plain.write_all(b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("an end in time");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(gateway.metric("rosterd_tls_failed_handshakes_total").await, 1.0);
    gateway.login("alice", Encoding::Json).await;
}

#[tokio::test]
async fn a_stop_says_goodbye_over_tls_too() {
    let authority = Authority::new();
    let world = world(&["clients"], &authority.server());
    let mut gateway = world.start();
    gateway.trust = Some(authority.trust());
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    gateway.signal();
    let goodbye = alice.next().await.goodbye.expect("a goodbye");
    assert_eq!((goodbye.code, goodbye.retry_after_ms.is_some()), (3000, true));
    drop(alice);
    assert_eq!(gateway.exit().await, Some(0));
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_sighup_and_nobody_is_dropped() {
    let authority = Authority::new();
    let (first, second) = (authority.server(), authority.server());
    let world = world(&["clients"], &first);
    let mut gateway = world.start();
    gateway.trust = Some(authority.trust());
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    assert!(is_shown(&gateway, &exactly(&first)).await);
    // Half of a pair is reported, and the old one stays in use.
    std::fs::write(world.path().join("certificate.pem"), &second.0).unwrap();
    gateway.hang_up();
    world.until_logged("nothing was changed").await;
    world.until_logged("key.pem").await;
    assert!(is_shown(&gateway, &exactly(&first)).await && !is_shown(&gateway, &exactly(&second)).await);
    put(world.path(), &second);
    gateway.hang_up();
    world.until_logged("settings are read again").await;
    assert!(is_shown(&gateway, &exactly(&second)).await && !is_shown(&gateway, &exactly(&first)).await);
    // The session from before all that.
    alice.nick("still here").await;
    assert_eq!(gateway.metric("rosterd_config_reloads_total").await, 2.0);
}

#[tokio::test]
async fn a_certificate_that_changes_is_found_without_a_reload() {
    let authority = Authority::new();
    let (first, second) = (authority.server(), authority.server());
    let world = world(&["clients"], &first);
    let gateway = world.start();
    assert!(is_shown(&gateway, &exactly(&first)).await);
    put(world.path(), &second);
    until_shown(&gateway, &exactly(&second)).await;
}

#[tokio::test]
async fn who_does_not_shake_hands_is_dropped_and_others_are_not_held_up() {
    let authority = Authority::new();
    let world = world(&["clients"], &authority.server());
    let mut gateway = world.start();
    gateway.trust = Some(authority.trust());
    gateway.populate(&["alice"], &[]).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(gateway.clients).await.unwrap());
    }
    gateway.login("alice", Encoding::Json).await;
    for mut stream in idle {
        // An end, by a close or a reset.
        let _ = timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("dropped in time");
    }
    assert_eq!(gateway.metric("rosterd_tls_failed_handshakes_total").await, 200.0);
}

#[tokio::test]
async fn the_ops_listener_takes_only_callers_with_a_certificate_if_it_is_set_so() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut world = world(&["ops"], &authority.server());
    let ca = world.path().join("callers.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let _ = writeln!(world.settings, "client_ca = \"{}\"", ca.display());
    let gateway = world.start();
    let trust = |caller: &Authority| {
        let (certificate, key) = caller.caller();
        Trust::authorities(authority.pem.as_bytes(), Some((certificate.as_bytes(), key.as_bytes()))).unwrap()
    };
    let ready = async |trust: Option<&Trust>, key: &str| -> Option<(u16, String)> {
        let mut backend = Backend::connect_trusting(gateway.ops, key, trust).await.ok()?;
        backend.send(Method::GET, "/v1/users/nobody", String::new()).await.ok()
    };
    assert_eq!(ready(Some(&trust(&authority)), API_KEY).await.map(|(status, _)| status), Some(404));
    // A certificate does not replace the key.
    assert_eq!(ready(Some(&trust(&authority)), "another").await.map(|(status, _)| status), Some(401));
    assert_eq!(ready(Some(&trust(&other)), API_KEY).await, None);
    assert_eq!(ready(Some(&authority.trust()), API_KEY).await, None);
    assert_eq!(ready(None, API_KEY).await, None);
}

#[tokio::test]
async fn the_commands_find_a_gateway_that_speaks_tls() {
    let authority = Authority::new();
    let mut world = world(&["clients", "ops"], &authority.server());
    let gateway = world.start();
    // The port that was free, for the commands to find it.
    let overrides = format!("ops.listen={}", gateway.ops);
    std::fs::write(world.path().join("some.ndjson"), r#"{"user": {"account": "alice", "nick": "Ally"}}"#).unwrap();
    let file = world.path().join("some.ndjson");
    let said = world.run_well(&["import", file.to_str().unwrap(), "--set", &overrides]);
    assert!(said.contains("through the gateway at"), "{said}");
    let mut client = Client::connect_trusting(&gateway.url(), Encoding::Json, Some(&authority.trust())).await.unwrap();
    let mut replica = Replica::default();
    client.login("alice", &mut replica).await.unwrap();
    assert_eq!(replica.me().unwrap().nick, "Ally");
    world.settings.clear();
    let refused = world.run_badly(&["import", file.to_str().unwrap(), "--set", &overrides]);
    assert!(refused.contains(&gateway.ops.to_string()), "{refused}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_reported_before_anything_starts() {
    let pair = Authority::new().server();
    let world = world(&["clients"], &pair);
    let file = world.path().join("key.pem");
    std::fs::write(&file, Authority::new().server().1).unwrap();
    for command in [&["config", "check"][..], &["serve"]] {
        let said = world.run_badly(command);
        assert!(said.contains("clients.tls") && said.contains("key.pem"), "{said}");
    }
    std::fs::write(&file, &pair.1).unwrap();
    assert!(world.run_well(&["config", "check"]).contains("is good"));
}
