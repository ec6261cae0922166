//! The load generator against a real gateway, through its command line: every scenario in small, and what goes wrong.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command as Process, Output, Stdio};
use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use crate::ops_listener::with_tls;
use crate::support::{API_KEY, Gateway, World, finished, spawn};

/// `rosterd bench` against this gateway, with its key.
fn command(clients: SocketAddr, ops: SocketAddr, arguments: &str) -> Process {
    let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
    command.arg("bench").args(arguments.split_whitespace());
    command.args(["--url", &format!("ws://{clients}/v1/ws"), "--ops", &format!("http://{ops}")]);
    command.env("ROSTERD_OPS__API_KEY", API_KEY);
    command
}

fn bench(gateway: &Gateway, arguments: &str) -> Output {
    finished(&mut command(gateway.clients, gateway.ops, arguments))
}

/// The figures of a run that is to go well.
fn figures(gateway: &Gateway, arguments: &str) -> Value {
    let output = bench(gateway, &format!("{arguments} --json"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments}: {out}{err}");
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&figures["verdict"], figures["problems"].as_array().unwrap().len()), (&"passed".into(), 0));
    figures
}

/// What a run that is to fail says on standard error; exit code 1.
fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

/// A figure above zero.
fn positive(figures: &Value, row: usize, key: &str) {
    assert!(figures["rows"][row][key].as_f64().is_some_and(|value| value > 0.0), "{key} of row {row} in {figures}");
}

fn zero(figures: &Value, row: usize, key: &str) {
    assert_eq!(figures["rows"][row][key].as_f64(), Some(0.0), "{key} of row {row} in {figures}");
}

#[tokio::test]
async fn a_gateway_that_speaks_tls_is_measured_over_tls() {
    let mut world = World::new();
    let certificate = with_tls(&mut world, "clients");
    let gateway = world.start();
    assert!(gateway.url().starts_with("wss://"));
    let (url, ops) = (gateway.url(), format!("http://{}", gateway.ops));
    let measure = |scenario: &str, ca: &[&str]| {
        let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
        command.arg("bench").args(scenario.split_whitespace()).args(["--json", "--url", &url, "--ops", &ops]).args(ca);
        finished(command.env("ROSTERD_OPS__API_KEY", API_KEY))
    };
    let ca = ["--ca", certificate.to_str().unwrap()];
    for scenario in [
        "fanout --users 24 --friends 6 --outstanding 8 --seconds 0.5 --warm-up 0.2",
        "login --users 24 --friends 6",
        "idle --users 24 --friends 6 --seconds 0.2",
    ] {
        let output = measure(scenario, &ca);
        assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(figures["verdict"], "passed", "{scenario}: {figures}");
    }
    let shaken = gateway.metric("rosterd_tls_failed_handshakes_total").await;
    assert!(shaken <= 0.0, "{shaken}");
    assert!(complaint(&measure("login --users 24 --friends 6", &[])).contains("--ca"));
}

#[tokio::test]
async fn every_scenario_gives_its_figures_in_both_encodings_and_loses_nothing() {
    let world = World::new();
    let gateway = world.start();
    let crowd = "--users 24 --friends 6";
    for encoding in ["", "--protobuf"] {
        let fanout =
            figures(&gateway, &format!("fanout {crowd} --outstanding 8 --seconds 0.5 --warm-up 0.2 {encoding}"));
        for key in ["deliveries_per_second", "server_us_per_delivery", "p50_us", "resident_bytes", "updates"] {
            positive(&fanout, 0, key);
        }
        for key in ["lost", "duplicates", "regressed", "strangers"] {
            zero(&fanout, 0, key);
        }
        let login = figures(&gateway, &format!("login {crowd} {encoding}"));
        for row in 0..4 {
            positive(&login, row, "server_us_per_login");
            positive(&login, row, "logins_per_second");
        }
        let bytes = |row: usize| login["rows"][row]["bytes_per_login"].as_f64().unwrap();
        assert!(bytes(1) > bytes(3) && bytes(3) > bytes(2), "cold, delta, current: {login}");
        let star = figures(&gateway, &format!("celebrity --friends 20 --updates 3 {encoding}"));
        assert_eq!(star["rows"][0]["deliveries"].as_f64(), Some(60.0));
        positive(&star, 0, "last_p50_us");
        let write = figures(&gateway, &format!("write --writers 8 --seconds 0.3 {encoding}"));
        positive(&write, 0, "updates_per_second");
        positive(&write, 1, "updates_per_second");
    }
    let rated = figures(&gateway, &format!("fanout {crowd} --rate 40 --seconds 0.5 --warm-up 0.1"));
    positive(&rated, 0, "reply_p99_us");
    assert!(rated["rows"][0]["elsewhere_p50_us"].is_null(), "there is no other gateway: {rated}");
    assert!(rated["rows"][0]["updates"].as_f64().unwrap() >= 15.0, "{rated}");
    let idle = figures(&gateway, &format!("idle {crowd} --seconds 0.2"));
    assert_eq!(idle["rows"][0]["sessions"].as_f64(), Some(24.0));
    assert!(idle["rows"][0]["bytes_per_session"].is_number(), "{idle}");
    let storm = figures(&gateway, &format!("storm {crowd}"));
    positive(&storm, 1, "logins_per_second");
    let slow = figures(&gateway, &format!("slow {crowd} --rate 100 --stalled 25 --seconds 0.3 --stall 0.7"));
    positive(&slow, 1, "owed");
    assert_eq!((slow["rows"][2]["sessions"].as_f64(), slow["rows"][2]["lost"].as_f64()), (Some(24.0), Some(0.0)));
}

/// Two names of one gateway are enough to see that the users are spread, and that each gateway is asked for its cost.
#[tokio::test]
async fn several_gateways_are_measured_together() {
    let world = World::new();
    let gateway = world.start();
    let mut command = command(gateway.clients, gateway.ops, "idle --users 6 --friends 2 --seconds 0.1 --json");
    let other = format!("ws://localhost:{}/v1/ws", gateway.clients.port());
    command.args(["--url", &other, "--ops", &format!("http://{}", gateway.ops)]);
    let output = finished(&mut command);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let twice = format!("{}, {}", gateway.clients, gateway.clients);
    assert!(figures["setup"]["gateway"].as_str().unwrap().starts_with(&twice), "{figures}");
    assert_eq!(figures["rows"][0]["sessions"].as_f64(), Some(6.0));
    positive(&figures, 0, "resident_bytes");
}

#[tokio::test]
async fn it_makes_accounts_of_its_own_and_removes_them_unless_they_shall_stay() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bench-12x2s1"], &[("ann", "bench-12x2s1")]).await;
    let exists = async |account: &str| {
        let path = format!("/v1/users/{account}");
        gateway.backend().await.send(Method::GET, &path, String::new()).await.unwrap().0 == 200
    };
    figures(&gateway, "idle --users 12 --friends 2 --seconds 0.1");
    assert!(!exists("bench-12x2s1-000000").await && !exists("bench-12x2s1-000011").await);
    for _ in 0..2 {
        figures(&gateway, "idle --users 12 --friends 2 --seconds 0.1 --keep --prefix load");
        assert!(exists("load-12x2s1-000000").await && exists("load-12x2s1-000011").await);
    }
    // With what is there, nothing but the client listener is needed.
    let clients = gateway.clients.to_string();
    let url = format!("ws://{clients}/v1/ws");
    let mut alone = Process::new(env!("CARGO_BIN_EXE_rosterd"));
    alone.args([
        "bench",
        "idle",
        "--users",
        "12",
        "--friends",
        "2",
        "--seconds",
        "0.1",
        "--no-setup",
        "--prefix",
        "load",
    ]);
    let output = finished(alone.args(["--url", &url, "--json"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(exists("ann").await && exists("bench-12x2s1").await, "nobody else's are touched");
}

#[tokio::test]
async fn the_table_is_for_people_and_the_report_is_one_file() {
    let world = World::new();
    let gateway = world.start();
    let report = world.path().join("report.html");
    let arguments =
        format!("fanout --users 12 --friends 4 --rate 50 --seconds 0.5 --warm-up 0.1 --report {}", report.display());
    let output = bench(&gateway, &arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("fanout — passed\n") && said.contains("gateway's CPU for each"), "{said}");
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("99 % within") && page.matches("<svg").count() >= 2);
    let nowhere = bench(&gateway, &arguments.replace("report.html", "no/such/directory.html"));
    assert!(complaint(&nowhere).contains("cannot be written"));
}

#[tokio::test]
async fn tokens_are_made_with_the_secret_of_the_settings() {
    let secret = "0123456789abcdef0123456789abcdef";
    let world = World { auth: format!("mode = \"jwt\"\nhs256_secret = \"{secret}\""), ..World::new() };
    let gateway = world.start();
    let arguments = "login --users 6 --friends 2 --json";
    let mut signed = command(gateway.clients, gateway.ops, arguments);
    let signed = finished(signed.env("ROSTERD_AUTH__MODE", "jwt").env("ROSTERD_AUTH__HS256_SECRET", secret));
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let said = complaint(&bench(&gateway, arguments));
    assert!(said.contains("PARTIAL") && said.contains("the login was refused: 302 UNAUTHENTICATED"), "{said}");
}

#[tokio::test]
async fn what_is_not_a_gateway_gets_another_error_than_one_that_is_not_there() {
    let world = World::new();
    let gateway = world.start();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free().local_addr().unwrap();
    let run =
        |clients, ops| complaint(&finished(&mut command(clients, ops, "idle --users 4 --friends 2 --seconds 0.1")));

    let said = run(nobody, gateway.ops);
    assert!(said.contains(&format!("cannot connect to {nobody}")), "{said}");
    let said = run(gateway.clients, nobody);
    assert!(said.contains(&format!("the gateway at {nobody} did not answer")), "{said}");
    // The wrong one of its two listeners, and something that says nothing at all.
    let said = run(gateway.ops, gateway.ops);
    assert!(said.contains("is not a gateway that can be measured"), "{said}");
    let said = run(gateway.clients, gateway.clients);
    assert!(said.contains("is not the ops listener of a gateway"), "{said}");
    let silent = free();
    let said = run(silent.local_addr().unwrap(), gateway.ops);
    assert!(said.contains("does not answer: it is not a gateway"), "{said}");
}

#[test]
fn bad_arguments_are_refused_before_anything_is_loaded() {
    let world = World::new();
    for (arguments, says) in [
        (&["bench", "fanout", "--url", "ws://192.0.2.7/v1/ws"][..], "--i-own-this-target"),
        (&["bench", "fanout", "--ops", "http://192.0.2.7:1"], "--i-own-this-target"),
        (&["bench", "fanout", "--url", "http://127.0.0.1/"], "is not an address like ws://127.0.0.1:7678"),
        (&["bench", "fanout", "--url", "wss://127.0.0.1/"], "--ca"),
        (&["bench", "write", "--url", "ws://127.0.0.1:1/", "--url", "ws://127.0.0.1:2/"], "as often as --url"),
        (&["bench", "failover"], "give --url once for each of several"),
        (&["bench", "fanout", "--friends", "7"], "give an even number"),
        (&["bench", "fanout", "--friends", "0"], "there is nobody to tell"),
        (&["bench", "login", "--users", "10", "--friends", "10"], "give more than 10 users"),
        (&["bench", "write", "--writers", "1000000"], "1000064 open files"),
        (&["bench", "write", "--writers", "10", "--pid", "4194304"], "cannot connect"),
    ] {
        let said = world.run_badly(arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_reported_in_the_gateways_words() {
    let world = World::new();
    let gateway = world.start();
    let mut wrong = command(gateway.clients, gateway.ops, "idle --users 4 --friends 2");
    let said = complaint(&finished(wrong.env("ROSTERD_OPS__API_KEY", "not the key of this gateway")));
    assert!(said.contains("the server API needs the header"), "{said}");
}

#[tokio::test]
async fn a_gateway_that_may_not_open_so_many_files_is_reported_first() {
    let world = World { through: Some("ulimit -n 100; exec \"$@\"".to_owned()), ..World::new() };
    let gateway = world.start();
    let said = complaint(&bench(&gateway, "idle --users 60 --friends 2"));
    assert!(said.contains("60 sessions need 124 open files in the gateway, which may have 100"), "{said}");
}

#[tokio::test]
async fn a_gateway_that_dies_under_load_leaves_partial_results() {
    let world = World::new();
    let gateway = world.start();
    let mut long = command(
        gateway.clients,
        gateway.ops,
        "fanout --users 12 --friends 4 --rate 50 --warm-up 0.1 --seconds 60 --json",
    );
    let running = spawn(long.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    // It dies once the measured load is on its way.
    while gateway.metric("rosterd_records_sent_total").await < 400.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(gateway);
    let output = tokio::task::spawn_blocking(|| running.wait_with_output().unwrap()).await.unwrap();
    let said = complaint(&output);
    assert!(said.contains("PARTIAL") && said.contains("session(s) ended"), "{said}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["verdict"], "partial");
    positive(&figures, 0, "updates");
}

#[tokio::test]
async fn a_world_that_somebody_changed_is_no_world_to_measure() {
    let world = World::new();
    let gateway = world.start();
    figures(&gateway, "idle --users 12 --friends 2 --seconds 0.1 --keep");
    gateway.populate(&["ann"], &[("ann", "bench-12x2s1-000003")]).await;
    let output = bench(&gateway, "idle --users 12 --friends 2 --seconds 0.1 --keep --json");
    let said = complaint(&output);
    assert!(
        said.contains("FAILED: 1 friend lists were wrong: bench-12x2s1-000003 has 3 friends, and should have 2"),
        "{said}"
    );
}

#[tokio::test]
async fn updates_that_never_come_fail_the_run() {
    let world = World::new();
    let gateway = world.start();
    // One side of a friendship is blocked: it gets nothing more of the other, and the lists are still of the right length.
    figures(&gateway, "idle --users 12 --friends 2 --seconds 0.1 --keep");
    let mut backend = gateway.backend().await;
    let pairs: Vec<_> = (0..12u32).flat_map(|a| (0..12u32).map(move |b| (a, b))).filter(|(a, b)| a != b).collect();
    let lines = pairs.iter().map(|(a, b)| format!("{{\"block\":[\"bench-12x2s1-{a:06}\",\"bench-12x2s1-{b:06}\"]}}\n"));
    backend.request(Method::POST, "/v1/import", lines.collect()).await.unwrap();
    let output =
        bench(&gateway, "fanout --users 12 --friends 2 --outstanding 3 --seconds 0.2 --warm-up 0.1 --keep --json");
    let said = complaint(&output);
    assert!(said.contains("FAILED") && said.contains("updates never came"), "{said}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["verdict"], "failed");
    positive(&figures, 0, "lost");
}

#[tokio::test]
async fn an_ops_listener_that_says_something_else_is_not_one() {
    let world = World::new();
    let gateway = world.start();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let ops = other.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
        }
    });
    let said = complaint(&finished(&mut command(gateway.clients, ops, "idle --users 4 --friends 2")));
    assert!(said.contains("is not the ops listener of a gateway"), "{said}");
}

#[tokio::test]
async fn the_accounts_have_a_value_in_every_own_field_of_the_deployment() {
    let world = World::with("[profile.fields.level]\ntype = \"integer\"\nmin = 3\nwrite = \"backend\"\n");
    let gateway = world.start();
    let output = figures(&gateway, "idle --users 4 --friends 2 --seconds 0.1 --keep");
    assert_eq!(output["verdict"], "passed", "{output}");
    let (_, users) = gateway.call(hyper::Method::GET, "/v1/users?prefix=bench", "").await;
    let users = users["users"].as_array().unwrap().clone();
    assert!(users.len() == 4 && users.iter().all(|user| user["fields"]["level"] == 7), "{users:?}");
}
