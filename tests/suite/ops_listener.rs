//! The ops listener under strangers who hold connections: health and the server API stay reachable.

use std::path::PathBuf;
use std::process::Command as Process;

use futures::future::join_all;
use hyper::Method;
use rosterd_client::{Backend, Trust};
use rosterd_protocol::Encoding;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::raw::Raw;
use crate::support::{API_KEY, Gateway, PATIENCE, World, finished};

/// More than the listener serves at a time.
const STRANGERS: usize = 400;

async fn strangers(gateway: &Gateway) -> Vec<TcpStream> {
    join_all((0..STRANGERS).map(async |_| TcpStream::connect(gateway.ops).await.unwrap())).await
}

/// A new connection is served.
async fn is_served(gateway: &Gateway, trust: Option<&Trust>) {
    let served = async {
        let mut backend = Backend::connect_trusting(gateway.ops, API_KEY, trust).await.unwrap();
        for path in ["/livez", "/readyz", "/v1/sessions"] {
            assert_eq!(backend.send(Method::GET, path, String::new()).await.unwrap().0, 200, "{path}");
        }
    };
    timeout(Duration::from_secs(5), served).await.expect("an answer in time");
}

/// Reads to the end, which has to come.
async fn ends(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("an end in time");
    String::from_utf8_lossy(&got).into_owned()
}

/// A pair for this machine, in the world's folder and in the settings of this listener; the file of the certificate.
pub fn with_tls(world: &mut World, listener: &str) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (world.path().join("certificate.pem"), world.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    world.settings =
        format!("[{listener}.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    certificate
}

/// Strangers hold connections, and health is served on new ones.
async fn strangers_keep_nobody_out(world: &World, trust: Option<&Trust>) {
    let gateway = world.start_with(&["limits.handshake_timeout=1m"]);
    // Some have begun a request, which is no handshake and ends those over TLS. The silent ones alone are too many.
    let mut silent = strangers(&gateway).await;
    for stream in silent.iter_mut().step_by(4) {
        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost:").await;
    }
    is_served(&gateway, trust).await;
    // The oldest made room for the newest.
    assert_eq!(ends(&mut silent[1]).await, "");
    let more = strangers(&gateway).await;
    is_served(&gateway, trust).await;
    drop((silent, more));
    is_served(&gateway, trust).await;
}

#[tokio::test]
async fn strangers_who_hold_connections_keep_nobody_from_health() {
    strangers_keep_nobody_out(&World::new(), None).await;
}

#[tokio::test]
async fn strangers_who_hold_connections_keep_nobody_from_health_over_tls() {
    let mut world = World::new();
    let certificate = std::fs::read(with_tls(&mut world, "ops")).unwrap();
    let trust = Trust::exactly(&certificate).unwrap();
    strangers_keep_nobody_out(&world, Some(&trust)).await;
}

#[tokio::test]
async fn a_request_that_does_not_come_in_time_ends_its_connection() {
    let world = World::new();
    let gateway = world.start_with(&["limits.handshake_timeout=500ms"]);
    let mut head = TcpStream::connect(gateway.ops).await.unwrap();
    head.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    assert_eq!(ends(&mut head).await, "");
    let mut silent = TcpStream::connect(gateway.ops).await.unwrap();
    assert_eq!(ends(&mut silent).await, "");
    let mut body = TcpStream::connect(gateway.ops).await.unwrap();
    let request = format!(
        "POST /v1/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 1000\r\n\r\n{{"
    );
    body.write_all(request.as_bytes()).await.unwrap();
    let answer = ends(&mut body).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    is_served(&gateway, None).await;
}

#[tokio::test]
async fn health_is_reachable_when_clients_have_taken_the_open_files() {
    const FILES: usize = 256;
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let mut ann = Raw::login(&gateway, "ann", Encoding::Json).await;
    let limit = format!("--nofile={FILES}:{FILES}");
    assert!(finished(Process::new("prlimit").args(["--pid", &gateway.pid().to_string(), &limit])).status.success());
    let mut clients = Vec::new();
    for _ in 0..FILES {
        clients.push(TcpStream::connect(gateway.clients).await.unwrap());
    }
    gateway.until_metric("rosterd_refused_total", "OPEN_FILES", |refused| refused > 10.0).await;
    is_served(&gateway, None).await;
    ann.assert_alive("a client who was there before").await;
    // Strangers take the rest of the files, and make room for each other.
    let strangers = strangers(&gateway).await;
    is_served(&gateway, None).await;
    ann.assert_alive("a client who was there before").await;
    drop((clients, strangers));
    Raw::login(&gateway, "ann", Encoding::Json).await.assert_alive("one who comes later").await;
}
