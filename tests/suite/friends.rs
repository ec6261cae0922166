//! How clients become friends, and stop: what is allowed, what is refused and why, and who learns of it.

use hyper::Method;
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Gateway, Peer, World, open_requests, to};

const JSON: Encoding = Encoding::Json;

/// An error's code, word and field.
fn why(error: &v1::Error) -> (u32, &str, Option<&str>) {
    (error.code, &error.reason, error.field.as_deref())
}

/// A gateway with users `ann`, `bob` and `cat`, and the first two logged in.
async fn two(world: &World, overrides: &[&str]) -> (Gateway, Peer, Peer) {
    let gateway = world.start_with(overrides);
    gateway.populate(&["ann", "bob", "cat"], &[]).await;
    let (ann, bob) = (gateway.login("ann", JSON).await, gateway.login("bob", Encoding::Protobuf).await);
    (gateway, ann, bob)
}

/// Waits for the outcome of a request, if it came since the login.
async fn outcome(peer: &mut Peer, other: &str) -> (v1::RequestState, String) {
    loop {
        let changes = peer.changes().await;
        if let Some(request) = changes.requests.iter().find(|request| request.account == other) {
            return (request.state(), request.message.clone());
        }
    }
}

#[tokio::test]
async fn the_policy_says_how_clients_become_friends_and_binds_not_the_backend() {
    for (policy, may_add, may_ask) in [("request", false, true), ("direct", true, false), ("both", true, true)] {
        let world = World::new();
        let (gateway, mut ann, mut bob) = two(&world, &[&format!("friends.policy={policy}")]).await;
        for (command, may, instead, undo) in [
            (to::add("bob"), may_add, "requestFriend", to::delete("bob")),
            (to::ask("bob"), may_ask, "addFriend", to::cancel("bob")),
        ] {
            if may {
                ann.request(command).await;
                ann.request(undo).await;
            } else {
                let error = ann.refused(command).await;
                assert_eq!(why(&error), (403, "PERMISSION_DENIED", None), "{policy}");
                assert!(error.message.contains(instead), "{error:?}");
            }
        }
        bob.agrees(&gateway, JSON).await;
        for path in ["/v1/users/ann/requests/bob", "/v1/users/ann/friends/bob"] {
            assert_eq!(gateway.call(Method::PUT, path, "").await, (201, json!({})), "{policy} {path}");
        }
        bob.until(|replica| replica.friends().contains_key("ann")).await;
    }
}

#[tokio::test]
async fn a_request_reaches_every_device_of_both_sides_and_so_does_what_becomes_of_it() {
    let world = World::new();
    let (gateway, mut ann, mut bob) = two(&world, &[]).await;
    let mut devices = [gateway.login("ann", Encoding::Protobuf).await, gateway.login("bob", JSON).await];
    let mut away: [Replica; 2] = [ann.replica.clone(), bob.replica.clone()];
    for (answer, by_bob, state) in [
        (to::reject("ann"), true, v1::RequestState::Rejected),
        (to::cancel("bob"), false, v1::RequestState::Cancelled),
        (to::accept("ann"), true, v1::RequestState::Accepted),
    ] {
        let message = format!("will it be {state:?}?");
        ann.request(ClientCommand::RequestFriend(v1::RequestFriend {
            account: "bob".into(),
            message: message.clone(),
        }))
        .await;
        let open = |direction| vec![((if direction { "ann" } else { "bob" }).to_owned(), direction, message.clone())];
        for (at, device) in [&mut ann, &mut bob].into_iter().chain(&mut devices).enumerate() {
            device.until(|replica| open_requests(replica) == open(at % 2 == 1)).await;
            device.agrees(&gateway, JSON).await;
        }
        // Who was away all the time finds it at the next login, by what it held and afresh.
        for (at, account) in ["ann", "bob"].into_iter().enumerate() {
            for replica in [away[at].clone(), Replica::default()] {
                let back = gateway.resume(account, JSON, replica).await;
                assert_eq!(open_requests(&back.replica), open(at == 1));
                away[at] = back.replica;
            }
        }
        if by_bob {
            bob.request(answer).await
        } else {
            ann.request(answer).await
        };
        for (at, device) in [&mut ann, &mut bob].into_iter().chain(&mut devices).enumerate() {
            let other = if at % 2 == 1 { "ann" } else { "bob" };
            assert_eq!(outcome(device, other).await, (state, message.clone()));
            device.agrees(&gateway, JSON).await;
            assert_eq!(device.replica.friends().contains_key(other), state == v1::RequestState::Accepted);
        }
        for (at, account) in ["ann", "bob"].into_iter().enumerate() {
            let back = gateway.resume(account, JSON, away[at].clone()).await;
            assert_eq!(open_requests(&back.replica), []);
            away[at] = back.replica;
        }
    }
}

#[tokio::test]
async fn a_request_that_nobody_answers_expires_and_can_be_answered_no_more() {
    let world = World::new();
    let (gateway, mut ann, mut bob) = two(&world, &["friends.request_expiry=1s"]).await;
    let (before, held) = (bob.replica.clone(), ann.replica.clone());
    ann.request(to::ask("bob")).await;
    assert_eq!(outcome(&mut ann, "bob").await.0, v1::RequestState::Open);
    assert_eq!(outcome(&mut bob, "ann").await.0, v1::RequestState::Open);
    assert_eq!(outcome(&mut ann, "bob").await.0, v1::RequestState::Expired);
    assert_eq!(outcome(&mut bob, "ann").await.0, v1::RequestState::Expired);
    for command in [to::accept("ann"), to::reject("ann")] {
        assert_eq!(why(&bob.refused(command).await), (404, "NOT_FOUND", Some("account")));
    }
    assert_eq!(why(&ann.refused(to::cancel("bob")).await), (404, "NOT_FOUND", Some("account")));
    for (account, replica) in [("bob", before), ("ann", held)] {
        assert_eq!(open_requests(&gateway.resume(account, JSON, replica).await.replica), []);
    }
    // She may ask again.
    ann.request(to::ask("bob")).await;
    bob.request(to::accept("ann")).await;
    ann.until(|replica| replica.friends().contains_key("bob")).await;
}

/// A command about an account.
type On = fn(&str) -> ClientCommand;

#[tokio::test]
async fn every_refusal_is_one_of_its_own_and_names_the_field() {
    let world = World::new();
    let (gateway, mut ann, mut bob) = two(&world, &[]).await;
    let none = (404, "NOT_FOUND", Some("account"));
    let all: [On; 9] =
        [to::add, to::ask, to::accept, to::reject, to::cancel, to::delete, to::note, to::block, to::unblock];
    for command in all {
        let oneself = ann.refused(command("ann")).await;
        assert_eq!(why(&oneself), (414, "INVALID_ARGUMENT", Some("account")));
        assert!(oneself.message.contains("itself"), "{oneself:?}");
    }
    // An unblock of one who is no more is as harmless as any.
    for command in &all[..8] {
        let unknown = ann.refused(command("nobody")).await;
        assert_eq!(why(&unknown), none);
        assert!(unknown.message.contains("\"nobody\" does not exist"), "{unknown:?}");
    }
    for command in [to::accept, to::reject, to::cancel, to::delete, to::note] as [On; 5] {
        let missing = ann.refused(command("bob")).await;
        assert_eq!(why(&missing), none);
        assert!(missing.message.contains("no open request") || missing.message.contains("no friend"), "{missing:?}");
    }
    ann.request(to::ask("bob")).await;
    let open = ann.refused(to::ask("bob")).await;
    assert_eq!(why(&open), (417, "ALREADY_EXISTS", Some("account")));
    assert!(open.message.contains("open already"), "{open:?}");
    // Who asked cannot accept.
    assert_eq!(why(&ann.refused(to::accept("bob")).await), none);
    bob.request(to::accept("ann")).await;
    for command in [to::add, to::ask, to::accept] as [On; 3] {
        let friends = ann.refused(command("bob")).await;
        assert_eq!(why(&friends), (417, "ALREADY_EXISTS", Some("account")));
        assert!(friends.message.contains("a friend already"), "{friends:?}");
    }
    // The account that blocks is asked to unblock first; the blocked one cannot notice that it is.
    bob.request(to::block("cat")).await;
    for command in [to::add, to::ask, to::accept] as [On; 3] {
        let blocked = bob.refused(command("cat")).await;
        assert_eq!(why(&blocked), (403, "PERMISSION_DENIED", Some("account")));
        assert!(blocked.message.contains("unblock first"), "{blocked:?}");
    }
    let mut cat = gateway.login("cat", JSON).await;
    cat.request(to::ask("bob")).await;
    assert_eq!(outcome(&mut cat, "bob").await.0, v1::RequestState::Open);
    bob.marked(&gateway, "1").await;
    bob.agrees(&gateway, JSON).await;
    assert_eq!(open_requests(&bob.replica), []);
    assert_eq!(why(&bob.refused(to::reject("cat")).await), none);
}

#[tokio::test]
async fn texts_are_limited_in_characters_and_what_fits_is_kept() {
    let world = World::new();
    let (gateway, mut ann, mut bob) = two(&world, &[]).await;
    let ask = |n| ClientCommand::RequestFriend(v1::RequestFriend { account: "bob".into(), message: "漢".repeat(n) });
    let add = |n| ClientCommand::AddFriend(v1::AddFriend { account: "cat".into(), message: "😀".repeat(n) });
    let note = |alias: Option<String>, custom: Option<String>| {
        ClientCommand::UpdateFriend(v1::UpdateFriend { account: "bob".into(), alias, custom, if_version: None })
    };
    for command in [ask(257), add(257)] {
        assert_eq!(why(&ann.refused(command).await), (414, "INVALID_ARGUMENT", Some("message")));
    }
    let nul = v1::RequestFriend { account: "bob".into(), message: "a\0b".into() };
    assert_eq!(ann.refused(ClientCommand::RequestFriend(nul)).await.field.as_deref(), Some("message"));
    bob.quiet().await;
    ann.request(ask(256)).await;
    assert_eq!(outcome(&mut bob, "ann").await.1, "漢".repeat(256));
    bob.request(to::accept("ann")).await;
    // A message that goes with a friendship made at once arrives as a request that is accepted.
    ann.request(add(256)).await;
    let cat = gateway.login("cat", JSON).await;
    assert!(cat.replica.friends().contains_key("ann"));
    for (alias, custom, field) in
        [(129, 1, "alias"), (1, 257, "custom")].map(|(a, c, f)| (Some("漢".repeat(a)), Some("漢".repeat(c)), f))
    {
        assert_eq!(ann.refused(note(alias, custom)).await.field.as_deref(), Some(field));
    }
    ann.until(|replica| replica.friends().len() == 2).await;
    assert_eq!(ann.replica.friends()["bob"].alias, "");
    let (alias, custom) = ("漢".repeat(128), format!("\0{}", "😀".repeat(255)));
    ann.request(note(Some(alias.clone()), Some(custom.clone()))).await;
    ann.until(|replica| replica.friends()["bob"].alias == alias && replica.friends()["bob"].custom == custom).await;
    // Only what is given changes, and what changes nothing is sent to nobody.
    ann.request(note(Some(String::new()), None)).await;
    ann.until(|replica| replica.friends()["bob"].alias.is_empty() && replica.friends()["bob"].custom == custom).await;
    ann.request(note(None, Some(custom))).await;
    ann.quiet().await;
    ann.agrees(&gateway, JSON).await;
    bob.marked(&gateway, "1").await;
    assert_eq!((bob.replica.friends()["ann"].alias.as_str(), bob.replica.friends()["ann"].custom.as_str()), ("", ""));
}

#[tokio::test]
async fn a_friend_who_is_away_comes_with_when_it_was_last_seen() {
    let world = World::new();
    let (gateway, mut ann, bob) = two(&world, &["presence.linger=100ms"]).await;
    let cat = gateway.login("cat", JSON).await;
    gateway.put("/v1/users/ann/friends/cat", Value::Null).await;
    drop((cat, bob));
    ann.until(|replica| replica.presence().get("cat").is_some_and(|cat| !cat.online)).await;
    let last_seen =
        async |account: &str| gateway.call(Method::GET, &format!("/v1/users/{account}/presence"), "").await.1;
    // Nobody follows him when he becomes a friend.
    while last_seen("bob").await["lastSeen"] == 0 || last_seen("bob").await["online"] == true {
        tokio::task::yield_now().await;
    }
    gateway.put("/v1/users/ann/friends/bob", Value::Null).await;
    ann.until(|replica| replica.presence().contains_key("bob")).await;
    let fresh = gateway.login("ann", JSON).await;
    assert_eq!(ann.replica.presence().get("bob"), fresh.replica.presence().get("bob"));
    assert!(fresh.replica.presence()["bob"].last_seen > 0 && !fresh.sees_online("bob"));
}

/// Lines of an import that make `hub` friends, or anything else, of many accounts.
fn lines(count: usize, line: impl Fn(&str) -> Value) -> Vec<String> {
    let names = (0..count).map(|n| format!("u{n:05}"));
    names.map(|name| format!("{}\n{}", json!({"user": {"account": name}}), line(&name))).collect()
}

async fn import(gateway: &Gateway, lines: &[String]) {
    let mut backend = gateway.backend().await;
    for some in lines.chunks(2000) {
        backend.request(Method::POST, "/v1/import", some.join("\n")).await.unwrap();
    }
}

#[tokio::test]
async fn who_has_100_requests_open_or_to_answer_is_named() {
    let world = World::new();
    let (gateway, mut ann, mut bob) = two(&world, &[]).await;
    let users: Vec<_> = (0..101).map(|n| format!("u{n}")).collect();
    gateway.populate(&users.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
    for user in &users[..100] {
        ann.request(to::ask(user)).await;
        gateway.put(&format!("/v1/users/{user}/requests/bob"), Value::Null).await;
    }
    let (mut last, mut cat) = (gateway.login("u100", JSON).await, gateway.login("cat", JSON).await);
    for (error, full) in [
        (ann.refused(to::ask("u100")).await, "\"ann\""),
        (cat.refused(to::ask("bob")).await, "\"bob\""),
        (last.refused(to::ask("bob")).await, "\"bob\""),
    ] {
        assert_eq!(why(&error), (419, "LIMIT_EXCEEDED", Some("account")));
        assert!(error.message.contains(full) && error.message.contains("100"), "{error:?}");
    }
    // The other direction has room, and so has this one once a request is over.
    cat.request(to::ask("ann")).await;
    bob.request(to::ask("u100")).await;
    bob.request(to::reject("u0")).await;
    cat.request(to::ask("bob")).await;
    ann.request(to::cancel("u1")).await;
    ann.request(to::ask("u100")).await;
    assert_eq!(open_requests(&gateway.login("bob", JSON).await.replica).len(), 101);
}

#[tokio::test]
async fn who_has_10000_friends_takes_no_more_from_either_side() {
    let world = World::new();
    let (gateway, mut ann, mut bob) = two(&world, &[]).await;
    import(&gateway, &lines(10_000, |name| json!({"friendship": ["bob", name]}))).await;
    bob.until(|replica| replica.friends().len() == 10_000).await;
    ann.request(to::ask("bob")).await;
    let (status, body) = gateway.call(Method::PUT, "/v1/users/ann/friends/bob", "").await;
    let said = body["error"]["message"].as_str().unwrap();
    assert!(status == 422 && body["error"]["code"] == 419 && said.contains("\"bob\""), "{body}");
    for error in
        [bob.refused(to::accept("ann")).await, bob.refused(to::add("cat")).await, ann.refused(to::add("bob")).await]
    {
        assert_eq!(why(&error), (419, "LIMIT_EXCEEDED", Some("account")));
        assert!(error.message.contains("\"bob\"") && error.message.contains("10000"), "{error:?}");
    }
    // The request is open still, and can be accepted once there is room.
    bob.request(to::delete("u00000")).await;
    bob.request(to::accept("ann")).await;
    bob.until(|replica| replica.friends().contains_key("ann") && replica.friends().len() == 10_000).await;
    assert_eq!(gateway.login("bob", Encoding::Protobuf).await.replica.friends().len(), 10_000);
}

#[tokio::test]
async fn unless_set_otherwise_nobody_becomes_a_friend_without_consent() {
    let world = World::with("[friends]");
    let (gateway, mut ann, mut bob) = two(&world, &[]).await;
    let refused = bob.refused(to::add("ann")).await;
    assert_eq!(why(&refused), (403, "PERMISSION_DENIED", None));
    bob.request(to::ask("ann")).await;
    ann.until(|replica| !open_requests(replica).is_empty()).await;
    bob.marked(&gateway, "1").await;
    assert!(bob.replica.friends().is_empty() && ann.replica.friends().is_empty());
}

#[tokio::test]
async fn a_policy_that_opens_what_is_for_friends_is_warned_of() {
    let world = World::with("[profile.visibility]\ntel = \"friends\"");
    for (policy, warns) in [("both", true), ("direct", true), ("request", false)] {
        let _gateway = world.start_with(&[&format!("friends.policy={policy}")]);
        assert_eq!(world.log().contains("profile.visibility.tel"), warns, "{}", world.log());
    }
}
