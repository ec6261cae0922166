//! What browsers load from the client listener.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::World;

/// A secret of 32 bytes, for a gateway that is not in development mode.
const JWT: &str = "mode = \"jwt\"\nhs256_secret = \"0123456789abcdef0123456789abcdef\"";

/// An answer: its status, its header lines in lower case, and its body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

async fn ask(at: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

#[tokio::test]
async fn any_page_can_load_the_scripts() {
    let world = World::new();
    let gateway = world.start();
    for (path, text) in [
        ("/sdk/rosterd.js", include_str!("../../sdk/js/dist/rosterd.js")),
        ("/sdk/nim.js", include_str!("../../sdk/js/dist/nim.js")),
        ("/sdk/tabs.js", include_str!("../../sdk/js/dist/tabs.js")),
    ] {
        let answer = ask(gateway.clients, "GET", path, "origin: https://elsewhere.example\r\n").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        assert!(answer.body == text, "{path} is not what is in the repository");
    }
}

#[tokio::test]
async fn a_browser_that_has_the_script_gets_304() {
    let world = World::new();
    let gateway = world.start();
    let first = ask(gateway.clients, "GET", "/sdk/nim.js", "").await;
    let tag = first.header("etag").unwrap().to_owned();
    for held in [format!("\"other\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
        let again = ask(gateway.clients, "GET", "/sdk/nim.js", &format!("if-none-match: {held}\r\n")).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{held}");
        assert_eq!(again.header("etag"), Some(tag.as_str()), "{held}");
    }
    let old = ask(gateway.clients, "GET", "/sdk/nim.js", "if-none-match: \"other\"\r\n").await;
    assert_eq!(old.status, 200);
    let other = ask(gateway.clients, "GET", "/sdk/rosterd.js", &format!("if-none-match: {tag}\r\n")).await;
    assert_eq!(other.status, 200);
}

/// Asks for a script as a browser does, and returns its head in lower case with its body.
async fn ask_gzip(at: SocketAddr, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), answer[end + 4..].to_vec())
}

#[tokio::test]
async fn scripts_are_compressed_for_browsers_that_take_it() {
    let world = World::new();
    let gateway = world.start();
    for (path, wire, limit) in [
        ("/sdk/rosterd.js", &include_bytes!("../../sdk/js/dist/rosterd.js.gz")[..], 14 * 1024),
        ("/sdk/nim.js", &include_bytes!("../../sdk/js/dist/nim.js.gz")[..], 18 * 1024 + 512),
        ("/sdk/tabs.js", &include_bytes!("../../sdk/js/dist/tabs.js.gz")[..], 5 * 1024),
    ] {
        let plain = ask(gateway.clients, "GET", path, "").await;
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        for accepted in ["gzip, deflate, br", "br;q=1.0, GZIP;q=0.5"] {
            let (head, body) = ask_gzip(gateway.clients, path, &format!("accept-encoding: {accepted}\r\n")).await;
            assert!(
                head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"),
                "{path}: {head}"
            );
            assert!(head.contains("cross-origin-resource-policy: cross-origin"), "{path}: {head}");
            assert!(body == wire && body.len() <= limit, "{path}: {} bytes", body.len());
            // The two forms are two entities.
            assert!(!head.contains(&format!("etag: {}\r\n", plain.header("etag").unwrap())), "{path}: {head}");
        }
        for refused in ["br", "gzip;q=0", "identity, gzip;q=0.0"] {
            let other = ask(gateway.clients, "GET", path, &format!("accept-encoding: {refused}\r\n")).await;
            assert_eq!(other.header("content-encoding"), None, "{path}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_script_under_its_hash_may_be_kept_for_ever() {
    let world = World::new();
    let gateway = world.start();
    for name in ["rosterd", "nim", "tabs"] {
        let latest = ask(gateway.clients, "GET", &format!("/sdk/{name}.js"), "").await;
        let hash = latest.header("etag").unwrap().trim_matches('"').to_owned();
        let kept = ask(gateway.clients, "GET", &format!("/sdk/{name}.{hash}.js"), "").await;
        assert_eq!((kept.status, kept.body == latest.body), (200, true), "{name}");
        assert_eq!(kept.header("cache-control"), Some("public, max-age=31536000, immutable"), "{name}");
        // That of another version is not answered with this one.
        assert_eq!(ask(gateway.clients, "GET", &format!("/sdk/{name}.0123456789abcdef.js"), "").await.status, 404);
    }
}

#[tokio::test]
async fn the_demo_page_is_there_in_development_mode_only() {
    let mut world = World::new();
    let gateway = world.start();
    let page = ask(gateway.clients, "GET", "/", "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.starts_with("<!doctype html>"));
    gateway.kill();

    world.auth = JWT.to_owned();
    let gateway = world.start();
    assert_eq!(ask(gateway.clients, "GET", "/", "").await.status, 404);
    assert_eq!(ask(gateway.clients, "GET", "/sdk/rosterd.js", "").await.status, 200);
}

#[tokio::test]
async fn nothing_else_is_served() {
    let world = World::new();
    let gateway = world.start();
    for path in ["/sdk/", "/sdk/../Cargo.toml", "/index.html", "/demo/index.html"] {
        assert_eq!(ask(gateway.clients, "GET", path, "").await.status, 404, "{path}");
    }
    assert_eq!(ask(gateway.clients, "POST", "/", "content-length: 0\r\n").await.status, 405);
    let head = ask(gateway.clients, "HEAD", "/sdk/nim.js", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
