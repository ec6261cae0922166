//! Webhooks of several gateways: one of them delivers, and another goes on when it ends.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::time::timeout;

use super::rig::Cluster;
use crate::support::{Gateway, PATIENCE};
use crate::webhooks::{Receiver, SECRETS, stamps, unique, until_status};

/// How long it takes at most until another gateway delivers after a kill: the lease, and time for a busy machine.
const TAKE_OVER: Duration = Duration::from_mins(1);

/// Which of the gateways delivers, once one of them does.
async fn deliverer(gateways: &[Gateway], patience: Duration) -> usize {
    let found = async {
        loop {
            for (at, gateway) in gateways.iter().enumerate() {
                if gateway.metric_of("rosterd_leads", "WEBHOOKS").await > 0.0 {
                    return at;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(patience, found).await.expect("one delivers")
}

async fn nick(gateway: &Gateway, nick: &str) {
    gateway.put("/v1/users/ann", json!({"nick": nick})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_comes_once_from_one_gateway_and_another_goes_on_when_that_one_ends() {
    let crm = Receiver::start().await;
    let section = crm.section("crm", SECRETS[0], "events = [\"user.*\"]\nfields = [\"nick\"]");
    let Some(mut cluster) = Cluster::start_with(3, &[], &section) else { return };
    let first = deliverer(&cluster.gateways, PATIENCE).await;
    let leads = |at: usize| cluster.gateways[at].metric_of("rosterd_leads", "WEBHOOKS");
    assert_eq!((leads(first).await, leads((first + 1) % 3).await), (1.0, 0.0));
    for turn in 0..60 {
        nick(&cluster.gateways[turn % 3], &format!("first {turn}")).await;
    }
    let events = crm.until_nick("first 59").await;
    assert_eq!(stamps(&events), (1..=60).collect::<Vec<_>>(), "each once, in order, whoever wrote it");
    // It stops: another goes on at once, with what was not sent yet.
    assert_eq!(cluster.gateways.remove(first).terminate().await, Some(0));
    for turn in 0..20 {
        nick(&cluster.gateways[turn % 2], &format!("second {turn}")).await;
    }
    let events = crm.until_nick("second 19").await;
    assert_eq!(stamps(&events), (1..=80).collect::<Vec<_>>(), "each once, although another sends");
    // It is killed: the other goes on once the lease is over. What was not noted as sent may come again, and nothing is lost.
    let second = deliverer(&cluster.gateways, PATIENCE).await;
    cluster.gateways.remove(second).kill();
    let last = &cluster.gateways[0];
    for turn in 0..20 {
        nick(last, &format!("third {turn}")).await;
    }
    deliverer(&cluster.gateways, TAKE_OVER).await;
    let events = crm.until_nick("third 19").await;
    assert_eq!(unique(stamps(&events)), (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_shown_and_controlled_on_any_gateway() {
    let crm = Receiver::start().await;
    let section = crm.section("crm", SECRETS[0], "events = [\"user.*\"]");
    let Some(mut cluster) = Cluster::start_with(2, &[], &section) else { return };
    let first = deliverer(&cluster.gateways, PATIENCE).await;
    let other = &cluster.gateways[1 - first];
    nick(other, "Ann").await;
    crm.until_nick("Ann").await;
    // The state is that of the gateway that delivers, whoever is asked.
    until_status(other, "crm", |status| status["lastSuccess"].is_number() && status["state"] == "running").await;
    let listed = async |gateway: &Gateway| gateway.call(Method::GET, "/v1/webhooks", "").await;
    let (here, there) = (listed(&cluster.gateways[first]).await, listed(other).await);
    assert_eq!((here.0, &here.1["webhooks"][0]["position"]), (200, &there.1["webhooks"][0]["position"]));
    // Controls, their errors, and who did it.
    let post = |path: &'static str| other.call(Method::POST, path, "");
    assert_eq!(post("/v1/webhooks/crm/pause").await.0, 200);
    until_status(&cluster.gateways[first], "crm", |status| status["state"] == "paused").await;
    assert_eq!(post("/v1/webhooks/nobody/pause").await.0, 404);
    let (status, refused) = other.call(Method::POST, "/v1/webhooks/crm/replay", "{\"after\": 7}").await;
    assert_eq!((status, refused["error"]["reason"].as_str()), (400, Some("INVALID_ARGUMENT")), "{refused}");
    let (status, tested) = post("/v1/webhooks/crm/test").await;
    assert_eq!((status, &tested["status"]), (200, &json!(200)), "{tested}");
    assert_eq!(post("/v1/webhooks/crm/resume").await.0, 200);
    let (_, audit) = other.call(Method::GET, "/v1/audit", "").await;
    let done = audit["entries"].as_array().unwrap().iter();
    let done: Vec<_> =
        done.map(|entry| (entry["action"].as_str().unwrap(), entry["caller"].as_str().unwrap())).collect();
    let by_key = ["webhook.paused", "webhook.tested", "webhook.resumed"].map(|action| (action, "default"));
    assert_eq!(done, by_key, "once, by whoever asked the other gateway");
    // A gateway that delivers and does not answer: a question is unavailable, a control is not known to be done.
    let pid = cluster.gateways[first].pid().to_string();
    let signal = |name: &str| {
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let (status, body) = other.call(Method::GET, "/v1/webhooks/crm", "").await;
    assert_eq!((status, body["error"]["reason"].as_str()), (503, Some("UNAVAILABLE")), "{body}");
    signal("-CONT");
    until_status(other, "crm", |status| status["state"] == "running").await;
    assert_eq!(cluster.terminate().await, [Some(0), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_do_no_more_on_another_gateway() {
    let crm = Receiver::start().await;
    let hash = rosterd::keys::hash(b"a-key-that-only-reads-things");
    let key = format!("[ops.keys.viewer]\nsha256 = \"{hash}\"\nscopes = [\"read\"]\n");
    let section = crm.section("crm", SECRETS[0], "") + &key;
    let Some(cluster) = Cluster::start_with(2, &[], &section) else { return };
    let first = deliverer(&cluster.gateways, PATIENCE).await;
    for gateway in [&cluster.gateways[first], &cluster.gateways[1 - first]] {
        // Each learns within seconds who delivers.
        until_status(gateway, "crm", |status| status["state"] == "running").await;
        let mut viewer = gateway.backend_with_key("a-key-that-only-reads-things").await;
        let mut asks = async |method, path: &str| viewer.send(method, path, String::new()).await.unwrap().0;
        assert_eq!(asks(Method::GET, "/v1/webhooks").await, 200);
        assert_eq!(asks(Method::POST, "/v1/webhooks/crm/pause").await, 403);
    }
    until_status(&cluster.gateways[1 - first], "crm", |status| status["state"] == "running").await;
}
