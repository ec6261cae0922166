//! Webhooks of several gateways: one of them delivers, and another goes on when it ends.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::time::timeout;

use super::rig::Cluster;
use crate::support::{Gateway, PATIENCE, reason};
use crate::webhooks::{Receiver, SECRETS, stamps, unique};

/// How long it takes at most until another gateway delivers after a kill: the lease, and time for a busy machine.
const TAKE_OVER: Duration = Duration::from_mins(1);

/// Which of the gateways delivers, once one of them does.
async fn deliverer(gateways: &[Gateway], patience: Duration) -> usize {
    let found = async {
        loop {
            for (at, gateway) in gateways.iter().enumerate() {
                let (status, body) = gateway.call(Method::GET, "/v1/webhooks/crm", "").await;
                if status == 200 {
                    return at;
                }
                assert_eq!((status, reason(&body.to_string())), (503, "UNAVAILABLE".to_owned()));
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
    // Those that do not deliver say who does.
    let leads = |at: usize| cluster.gateways[at].metric_of("rosterd_leads", "WEBHOOKS");
    assert_eq!((leads(first).await, leads((first + 1) % 3).await), (1.0, 0.0));
    let (_, body) = cluster.gateways[(first + 1) % 3].call(Method::GET, "/v1/webhooks/crm", "").await;
    assert!(body["error"]["message"].as_str().unwrap().contains("delivers webhooks"), "{body}");
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
