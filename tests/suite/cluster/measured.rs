//! The load generator against several gateways: what it measures of the way between them, and a gateway that is killed.

use std::process::{Command as Process, Output, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::rig::Cluster;
use crate::support::{API_KEY, Gateway, PATIENCE, finished, spawn};

/// Before it begins, the load generator waits until gateways have next to nothing to do.
const CALM: [&str; 2] = ["cluster.beat=3s", "cluster.dead_after=15s"];

/// `rosterd bench` against all gateways of a cluster.
fn against_all(cluster: &Cluster, arguments: &str) -> Process {
    let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
    command.arg("bench").args(arguments.split_whitespace()).arg("--json").env("ROSTERD_OPS__API_KEY", API_KEY);
    for gateway in &cluster.gateways {
        command.args(["--url", &gateway.url(), "--ops", &format!("http://{}", gateway.ops)]);
    }
    command
}

/// The one row of a run that went well.
fn row(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    serde_json::from_str::<Value>(&out).unwrap()["rows"][0].take()
}

/// Waits until these users of the load generator are online for a gateway.
async fn until_online(gateway: &Gateway, users: impl Iterator<Item = usize>) {
    let mut backend = gateway.backend().await;
    for user in users {
        let path = format!("/v1/users/bench-30x6s1-{user:06}/presence");
        let begun = Instant::now();
        while !backend.send(Method::GET, &path, String::new()).await.unwrap().1.contains("\"online\":true") {
            assert!(begun.elapsed() < PATIENCE, "{path}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn what_comes_to_other_gateways_has_figures_of_its_own() {
    let Some(cluster) = Cluster::start(2, &CALM) else { return };
    let crowd = "fanout --users 12 --friends 4 --rate 50 --seconds 0.5 --warm-up 0.1";
    let found = row(&finished(&mut against_all(&cluster, crowd)));
    for key in
        ["reply_p50_us", "reply_p99_us", "elsewhere_p50_us", "elsewhere_p99_us", "behind_p50_us", "behind_p99_us"]
    {
        assert!(found[key].as_f64() > Some(0.0), "{key} in {found}");
    }
}

#[tokio::test]
async fn the_clients_of_a_gateway_that_is_killed_are_measured_as_they_come_back() {
    let Some(mut cluster) = Cluster::start(3, &CALM) else { return };
    let mut command = against_all(&cluster, "failover --users 30 --friends 6 --seconds 0.5");
    let running = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    for gateway in &cluster.gateways {
        gateway.until_metric("rosterd_catch_up_duration_seconds_count", "", |found| found >= 10.0).await;
        assert!(gateway.metric("rosterd_login_wait_seconds_count").await >= 10.0);
    }
    // The others know who is there.
    for gateway in &cluster.gateways[..2] {
        until_online(gateway, (2..30).step_by(3)).await;
    }
    drop(cluster.gateways.pop());
    let output = tokio::task::spawn_blocking(|| running.wait_with_output().unwrap()).await.unwrap();
    let found = row(&output);
    let figure = |key: &str| found[key].as_f64();
    assert_eq!((figure("sessions"), figure("back")), (Some(10.0), Some(10.0)), "{found}");
    assert!(figure("attempts") >= Some(10.0), "{found}");
    for key in ["full_syncs", "offline", "lost", "regressed", "strangers"] {
        assert_eq!(figure(key), Some(0.0), "{key} in {found}");
    }
    for key in ["seconds", "last_attempt_seconds", "p50_us", "max_us"] {
        assert!(figure(key) > Some(0.0), "{key} in {found}");
    }
}

#[tokio::test]
async fn no_gateway_that_dies_in_time_is_no_figure() {
    let Some(cluster) = Cluster::start(2, &CALM) else { return };
    let output = finished(&mut against_all(&cluster, "failover --users 6 --friends 2 --patience 0.3"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("PARTIAL: no gateway ended within 0.3 s: kill one"), "{said}");
}
