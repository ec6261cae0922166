//! The history of one user: the events that the feed had of it, newest first.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use crate::api::{Api, error, with_users};
use crate::support::World;

/// The events of the feed about an account, in order.
async fn of_the_feed(api: &mut Api, account: &str) -> Vec<Value> {
    let (_, text) = api.send(Method::GET, &format!("/v1/feed?limit=5000&account={account}"), "").await;
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("id").is_some()).collect()
}

/// The history of an account in pages, oldest first.
async fn history(api: &mut Api, account: &str, limit: usize) -> Vec<Value> {
    let (mut changes, mut before) = (Vec::new(), String::new());
    loop {
        let (status, page) = api.get(&format!("/v1/users/{account}/changes?limit={limit}{before}")).await;
        assert_eq!((status, &page["cut"]), (200, &json!(false)), "{page}");
        changes.extend(page["changes"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    changes.reverse();
    changes
}

/// The same events as those of the feed, but for tokens, and for what friends note about the account.
#[tokio::test]
async fn the_history_of_a_user_is_what_the_feed_had_of_it() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &["ann", "bob", "cyd", "dan"]).await;
    for round in 0..3 {
        for (method, path, body) in [
            (Method::PATCH, "/v1/users/ann", format!("{{\"nick\": \"Ann {round}\"}}")),
            (Method::PATCH, "/v1/users/bob", format!("{{\"nick\": \"Bob {round}\"}}")),
            (Method::PUT, "/v1/users/ann/requests/bob", "{}".to_owned()),
            (Method::POST, "/v1/users/bob/requests/ann/accept", String::new()),
            (Method::PATCH, "/v1/users/ann/friends/bob", format!("{{\"alias\": \"{round}\"}}")),
            (Method::PUT, "/v1/users/ann/blocks/cyd", String::new()),
            (Method::PUT, "/v1/users/dan/requests/ann", "{}".to_owned()),
            (Method::POST, "/v1/users/ann/requests/dan/reject", String::new()),
            (Method::DELETE, "/v1/users/ann/blocks/cyd", String::new()),
            (Method::DELETE, "/v1/users/ann/friends/bob", String::new()),
        ] {
            let (status, text) = api.send(method.clone(), path, body).await;
            assert!((200..300).contains(&status), "{method} {path}: {text}");
        }
    }
    for account in ["ann", "bob"] {
        let fed: Vec<_> = of_the_feed(&mut api, account)
            .await
            .into_iter()
            .filter(|event| event["type"] != "friend.updated" || event["subject"] == account)
            .collect();
        let types: BTreeSet<_> = fed.iter().filter_map(|event| event["type"].as_str()).collect();
        assert!(types.len() >= 6, "{types:?}");
        let ids = |events: &[Value]| events.iter().map(|event| event["id"].to_string()).collect::<BTreeSet<_>>();
        for limit in [1, 7, 100] {
            let history = history(&mut api, account, limit).await;
            assert_eq!(ids(&history), ids(&fed), "{account}, {limit} at a time");
            assert_eq!(history.len(), fed.len());
            let stamps: Vec<_> = history.iter().map(|event| event["stamp"].as_u64().unwrap()).collect();
            assert!(stamps.is_sorted(), "{stamps:?}");
        }
        let first = &fed.iter().find(|event| event["type"] == "user.updated").unwrap();
        let of_it = history(&mut api, account, 100).await.into_iter().find(|event| event["id"] == first["id"]);
        assert_eq!(of_it.as_ref(), Some(*first));
    }
    assert_eq!(error(&api.get("/v1/users/nobody/changes").await), (404, 404, "NOT_FOUND", None));
    for (query, field) in [("before=x", "before"), ("limit=101", "limit"), ("fields=nik", "fields")] {
        let answer = api.get(&format!("/v1/users/ann/changes?{query}")).await;
        assert_eq!(error(&answer), (400, 414, "INVALID_ARGUMENT", Some(field)), "{query}");
    }
}
