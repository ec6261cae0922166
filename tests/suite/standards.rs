//! What standards ask for, and what they allow: header lists, schemes, formats of metrics, streams that are full or closed.

use std::fs::File;
use std::process::{Command as Process, Stdio};

use hyper::Method;
use rosterd_client::Backend;
use rosterd_protocol::Encoding;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::Raw;
use crate::support::{API_KEY, Gateway, PATIENCE, World, finished};

/// The answer to one request on the ops listener, with these header lines.
async fn answer(gateway: &Gateway, path: &str, lines: &str) -> String {
    let mut stream = TcpStream::connect(gateway.ops).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("an answer in time").unwrap();
    text
}

#[tokio::test]
async fn an_upgrade_may_say_its_lists_in_several_lines_and_values() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let rest = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for lists in [
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Connection: ,Upgrade,\r\nUpgrade: h2c\r\nupgrade: websocket\r\n",
    ] {
        let request = format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\n{lists}{rest}");
        let (mut raw, head) = Raw::request(gateway.clients, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{lists}{head}");
        assert!(raw.log_in("alice").await.login_reply.is_some(), "{lists}");
    }
    for lists in ["Connection: keep-alive\r\nUpgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: websockets\r\n"]
    {
        let request = format!("GET /v1/ws HTTP/1.1\r\nHost: test\r\n{lists}{rest}");
        let (_, head) = Raw::request(gateway.clients, request.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 400"), "{lists}{head}");
    }
}

#[tokio::test]
async fn who_speaks_another_version_of_websocket_learns_which_one_is_spoken_here() {
    let world = World::new();
    let gateway = world.start();
    for version in ["8", "14", "13, 8", ""] {
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let (_, head) = Raw::request(gateway.clients, request.as_bytes()).await;
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 426 "), "{version}: {head}");
        assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{version}: {head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{version}: {head}");
    }
}

#[tokio::test]
async fn the_scheme_of_a_key_has_no_case() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    for (line, status) in [
        (format!("Authorization: Bearer {API_KEY}\r\n"), 200),
        (format!("authorization: bearer {API_KEY}\r\n"), 200),
        (format!("Authorization: BEARER   {API_KEY} \r\n"), 200),
        (format!("Authorization: Bearer {}\r\n", API_KEY.to_uppercase()), 401),
        (format!("Authorization: Basic {API_KEY}\r\n"), 401),
        (format!("Authorization: Bearer{API_KEY}\r\n"), 401),
        ("Authorization: Bearer\r\n".to_owned(), 401),
        ("Authorization: Bear\u{fc}r x\r\n".to_owned(), 401),
    ] {
        let answer = answer(&gateway, "/v1/users/ann", &line).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}{answer}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let _ann = gateway.login("ann", Encoding::Json).await;
    let open = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    let classic = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    let mut last = String::new();
    for (accept, kind) in [
        // What Prometheus sends.
        (
            "Accept: application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
            open,
        ),
        ("Accept: text/html\r\nAccept: Application/OpenMetrics-Text\r\n", open),
        ("Accept: application/openmetrics-text;q=0.1, text/plain;q=0.9\r\n", classic),
        ("Accept: application/openmetrics-text;q=0\r\n", classic),
        ("Accept: text/plain\r\n", classic),
        ("Accept: */*\r\n", classic),
        ("", classic),
    ] {
        let answer = answer(&gateway, "/metrics", accept).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(format!("{head}\r\n").to_ascii_lowercase().contains(kind), "{accept}{head}");
        assert_eq!(body.contains("# EOF\n"), kind == open, "{accept}");
        assert!(body.contains("\nrosterd_logins_total{kind=\"FULL\"} 1\n"), "{accept}{body}");
        let typed =
            if kind == open { "# TYPE rosterd_logins counter\n" } else { "# TYPE rosterd_logins_total counter\n" };
        assert!(body.contains(typed), "{accept}{body}");
        body.clone_into(&mut last);
    }
    // Where the tool is, it finds nothing to complain about.
    let mut tool = Process::new("promtool");
    let Ok(mut tool) = tool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        return;
    };
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), last.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a command whose standard output nobody takes: a disk that is full, or a pipe that is closed.
#[test]
fn a_command_whose_output_gets_nowhere_says_so_and_fails() {
    let world = World::new();
    let config = world.config();
    let file = world.path().join("users.ndjson");
    std::fs::write(&file, "{\"user\": {\"account\": \"ann\"}}\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["config", "default"][..],
        &["config", "check"],
        &["token", "ann"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
        &["import", file, "--set", "ops.listen=127.0.0.1:1"],
    ] {
        for full in [true, false] {
            let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
            command.args(arguments).arg("--config").arg(&config);
            let output = if full {
                command.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
                command.output().unwrap()
            } else {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                command.stdout(writer).stderr(Stdio::piped()).output().unwrap()
            };
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {full}: {said}");
            let why = if full { "No space left on device" } else { "Broken pipe" };
            assert!(
                said.contains(&format!("rosterd: cannot write to standard output: {why}")),
                "{arguments:?}: {said}"
            );
            assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        }
    }
}

/// A full standard error hides the message; the exit code is still that of a failure, not of a panic.
#[test]
fn an_error_that_cannot_be_said_is_no_panic() {
    let world = World::new();
    let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
    command.args(["token", "a b", "--config"]).arg(world.config());
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(command.stderr(full).stdout(Stdio::null()).status().unwrap().code(), Some(1));
}

#[tokio::test]
async fn of_json_logs_every_line_is_json_and_standard_output_stays_empty() {
    let world = World::with("[log]\nformat = \"json\"");
    let mut command = Process::new("bash");
    // One stream, as a container's runtime keeps it.
    let script = "exec \"$@\" > log 2>&1";
    command.args(["-c", script, "x", env!("CARGO_BIN_EXE_rosterd"), "serve", "--config"]).arg(world.config());
    let mut process = command.current_dir(world.path()).spawn().unwrap();
    world.until_logged("rosterd is ready").await;
    let lines = || {
        let log = world.log();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")));
        lines.collect::<Vec<Value>>()
    };
    let ready = lines().into_iter().find(|line| line["fields"]["message"] == "rosterd is ready").unwrap();
    let ops = ready["fields"]["ops"].as_str().unwrap().parse().unwrap();
    let (status, _) =
        Backend::connect(ops, API_KEY).await.unwrap().send(Method::GET, "/readyz", String::new()).await.unwrap();
    assert_eq!(status, 200);
    let clients = ready["fields"]["clients"].as_str().unwrap().to_owned();
    // A second one cannot start, and says so in the same way.
    let taken = format!("clients.listen={clients}");
    let other = World::with("[log]\nformat = \"json\"");
    let output = other.run(&["serve", "--set", &taken]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    let said = String::from_utf8(output.stderr).unwrap();
    let parse = |line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not JSON: {said}"));
    let end = said.lines().map(parse).find(|line| line["fields"]["message"] == "the gateway ends");
    let end = end.unwrap_or_else(|| panic!("no line of the end: {said}"));
    assert_eq!(end["level"], "ERROR", "{said}");
    assert!(end["fields"]["why"].as_str().unwrap().contains("clients.listen: cannot listen"), "{said}");
    let killed = finished(Process::new("kill").args(["-TERM", &process.id().to_string()]));
    assert!(killed.status.success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(lines().len() > 1);
}
