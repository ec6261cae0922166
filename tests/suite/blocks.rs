//! Blocks: what the blocked side sees from then on, that it cannot notice, and how it is brought up to date.

use hyper::Method;
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Gateway, Peer, World, live_blocks, open_requests, to};

const JSON: Encoding = Encoding::Json;

/// `ann`, who will block `bob`, her friend, and `eve`, who watches her.
struct Three {
    gateway: Gateway,
    ann: Peer,
    bob: Peer,
    eve: Peer,
}

async fn three(world: &World, encoding: Encoding) -> Three {
    let gateway = world.start_with(&["presence.linger=100ms"]);
    gateway.populate(&["ann", "bob", "cat", "eve"], &[("ann", "bob"), ("ann", "cat")]).await;
    if encoding != JSON {
        // So many that nobody else's are read for one who follows her.
        let names: Vec<_> = (0..40).map(|n| format!("other{n}")).collect();
        gateway.populate(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
        let blocks: Vec<_> = names.iter().map(|name| json!({"block": ["ann", name]}).to_string()).collect();
        gateway.backend().await.request(Method::POST, "/v1/import", blocks.join("\n")).await.unwrap();
    }
    let (ann, bob) = (gateway.login("ann", JSON).await, gateway.login("bob", encoding).await);
    let mut eve = gateway.login("eve", encoding).await;
    eve.watch(&["ann"]).await;
    eve.until(|replica| replica.users().contains_key("ann")).await;
    Three { gateway, ann, bob, eve }
}

/// Everything ann does that others might learn of.
async fn stirs(gateway: &Gateway, ann: &mut Peer, n: usize) {
    ann.nick(&format!("ann {n}")).await;
    for account in ["bob", "eve"] {
        ann.signal(account, "psst").await;
        let body = json!({"to": account, "payload": "psst"}).to_string();
        gateway.call(Method::POST, "/v1/users/ann/signals", body).await;
    }
    ann.hide(true).await;
    ann.hide(false).await;
    gateway.patch("/v1/users/ann", json!({"sign": format!("sign {n}")})).await;
}

#[tokio::test]
async fn from_the_block_on_nothing_more_comes_by_any_way() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let Three { gateway, mut ann, mut bob, mut eve } = three(&world, encoding).await;
        let cat = gateway.login("cat", JSON).await;
        let away: Vec<Replica> = vec![bob.replica.clone(), Replica::default()];
        bob.until(|replica| replica.presence().get("ann").is_some_and(|ann| ann.online)).await;
        for account in ["bob", "eve"] {
            ann.request(to::block(account)).await;
        }
        // He sees her go, and that is all; she only watches and sees nothing.
        bob.until(|replica| replica.presence().get("ann").is_some_and(|ann| !ann.online)).await;
        let (frozen, presence) = (bob.replica.users()["ann"].clone(), bob.replica.presence()["ann"].clone());
        for n in 0..3 {
            stirs(&gateway, &mut ann, n).await;
        }
        for peer in [&mut bob, &mut eve] {
            let before = peer.replica.clone();
            let mark = format!("{n}", n = before.users().len());
            peer.marked(&gateway, &mark).await;
            assert_eq!(peer.replica.users(), before.users());
            assert_eq!(peer.replica.presence(), before.presence());
            assert_eq!(peer.look_up("ann").await, frozen);
            assert!(live_blocks(&peer.replica).is_empty());
            peer.quiet().await;
        }
        // Nor on another device, nor to one that was away, nor by the digest; nor once the gateway has come back.
        for replica in &away {
            let back = gateway.resume("bob", encoding, replica.clone()).await;
            assert_eq!((&back.replica.users()["ann"], &back.replica.presence()["ann"]), (&frozen, &presence));
        }
        let address = format!("clients.listen={}", gateway.clients);
        let (bobs, eves) = (bob.replica.clone(), eve.replica.clone());
        drop((ann, bob, cat, eve));
        assert_eq!(gateway.terminate().await, Some(0));
        let gateway = world.start_with(&[&address, "presence.linger=100ms"]);
        let mut ann = gateway.login("ann", JSON).await;
        let mut bob = gateway.resume("bob", encoding, bobs).await;
        let mut eve = gateway.resume("eve", encoding, eves).await;
        eve.watch(&["ann"]).await;
        eve.until(|replica| replica.users().get("ann") == Some(&frozen)).await;
        stirs(&gateway, &mut ann, 9).await;
        bob.marked(&gateway, "after").await;
        eve.marked(&gateway, "after").await;
        assert_eq!((&bob.replica.users()["ann"], &bob.replica.presence()["ann"]), (&frozen, &presence));
        assert_eq!((bob.look_up("ann").await, eve.look_up("ann").await), (frozen.clone(), frozen.clone()));
        // Others go on as before.
        let cat = gateway.login("cat", encoding).await;
        assert_eq!((cat.replica.users()["ann"].sign.as_str(), cat.sees_online("ann")), ("sign 9", true));
    }
}

#[tokio::test]
async fn when_it_ends_everyone_is_up_to_date_again_who_was_there_and_who_was_away() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let Three { gateway, mut ann, mut bob, mut eve } = three(&world, encoding).await;
        let mut away = gateway.login("bob", encoding).await.replica;
        for account in ["bob", "eve"] {
            ann.request(to::block(account)).await;
        }
        stirs(&gateway, &mut ann, 1).await;
        let during = gateway.resume("bob", encoding, away.clone()).await.replica;
        assert_ne!(during.users()["ann"].nick, "ann 1");
        for account in ["bob", "eve"] {
            ann.request(to::unblock(account)).await;
        }
        for peer in [&mut bob, &mut eve] {
            peer.until(|replica| replica.users()["ann"].sign == "sign 1").await;
        }
        bob.until(|replica| replica.presence()["ann"].online).await;
        bob.agrees(&gateway, encoding).await;
        for replica in [&mut away, &mut during.clone()] {
            let back = gateway.resume("bob", encoding, replica.clone()).await;
            assert_eq!(back.replica.users()["ann"].sign, "sign 1");
            assert!(back.sees_online("ann"));
        }
        ann.nick("live").await;
        for peer in [&mut bob, &mut eve] {
            peer.until(|replica| replica.users()["ann"].nick == "live").await;
        }
        ann.signal("bob", "hi").await;
        while bob.next().await.signal.is_none() {}
    }
}

#[tokio::test]
async fn the_list_is_synced_to_own_devices_and_ends_open_requests() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cat"], &[]).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        let mut tab = gateway.login("ann", JSON).await;
        let (mut bob, mut cat) = (gateway.login("bob", encoding).await, gateway.login("cat", JSON).await);
        let before = ann.replica.clone();
        ann.request(to::ask("bob")).await;
        cat.request(to::ask("ann")).await;
        tab.until(|replica| open_requests(replica).len() == 2).await;
        for account in ["bob", "cat"] {
            ann.request(to::block(account)).await;
            // Again is as good as once.
            ann.request(to::block(account)).await;
        }
        for device in [&mut ann, &mut tab] {
            device.until(|replica| live_blocks(replica) == ["bob", "cat"] && open_requests(replica).is_empty()).await;
            device.agrees(&gateway, encoding).await;
        }
        for peer in [&mut bob, &mut cat] {
            peer.until(|replica| open_requests(replica).is_empty()).await;
            peer.agrees(&gateway, encoding).await;
            assert!(live_blocks(&peer.replica).is_empty());
        }
        assert_eq!(live_blocks(&gateway.resume("ann", encoding, before.clone()).await.replica), ["bob", "cat"]);
        // What he asks from now on is his alone, and hers too once the block ends.
        bob.request(to::ask("ann")).await;
        bob.until(|replica| open_requests(replica).len() == 1).await;
        for account in ["bob", "cat", "cat"] {
            ann.request(to::unblock(account)).await;
        }
        for device in [&mut ann, &mut tab] {
            device.until(|replica| live_blocks(replica).is_empty()).await;
            device.agrees(&gateway, encoding).await;
            assert_eq!(open_requests(&device.replica), [("bob".to_owned(), true, String::new())]);
        }
        ann.request(to::ask("bob")).await;
        for (peer, other) in [(&mut ann, "bob"), (&mut bob, "ann")] {
            peer.until(|replica| replica.friends().contains_key(other)).await;
            peer.agrees(&gateway, encoding).await;
        }
        ann.request(to::delete("bob")).await;
    }
}

/// Everything that a client is sent and answered, by command, until now.
async fn received(peer: &mut Peer, gateway: &Gateway, mark: &str) -> Vec<v1::ServerFrame> {
    let mut frames = Vec::new();
    gateway.patch(&format!("/v1/users/{}", peer.reply.account), json!({"tel": mark})).await;
    while peer.replica.me().is_none_or(|me| me.tel != mark) {
        frames.push(peer.next_of_all().await);
    }
    frames.pop();
    frames
}

/// Bob asks ann, who blocks him, and cat, who does not react. He sees no difference, whatever he does and whatever ann
/// does about the block; and once it has ended, ann has his request.
#[tokio::test]
async fn a_request_to_one_that_blocks_is_like_one_that_is_not_answered_and_arrives_when_the_block_ends() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let gateway = world.start_with(&["friends.policy=both"]);
        gateway.populate(&["ann", "bob", "cat"], &[]).await;
        let (mut ann, mut bob) = (gateway.login("ann", JSON).await, gateway.login("bob", encoding).await);
        let away = ann.replica.clone();
        ann.request(to::block("bob")).await;
        for account in ["ann", "cat"] {
            let ask = v1::RequestFriend { account: account.to_owned(), message: "We met".to_owned() };
            bob.request(ClientCommand::RequestFriend(ask)).await;
        }
        bob.until(|replica| open_requests(replica).len() == 2).await;
        let sent: Vec<_> = bob.replica.requests().cloned().collect();
        ann.request(to::unblock("bob")).await;
        // Nothing comes to bob, and his record of it stays as it was.
        assert_eq!(received(&mut bob, &gateway, "1").await, []);
        assert!(bob.replica.requests().eq(&sent));
        let again: Vec<_> = [bob.refused(to::ask("ann")).await, bob.refused(to::ask("cat")).await].into();
        assert_eq!(again[0].code, 417);
        assert_eq!(again[0].message.replace("ann", "cat"), again[1].message);
        bob.agrees(&gateway, encoding).await;
        // It comes to ann, whether she was here or away.
        let expected = [("bob".to_owned(), true, "We met".to_owned())];
        ann.until(|replica| open_requests(replica) == expected).await;
        ann.agrees(&gateway, encoding).await;
        assert_eq!(open_requests(&gateway.resume("ann", encoding, away).await.replica), expected);
        ann.request(to::accept("bob")).await;
        for (peer, other) in [(&mut ann, "bob"), (&mut bob, "ann")] {
            peer.until(|replica| replica.friends().contains_key(other)).await;
        }
    }
}

#[tokio::test]
async fn a_full_inbox_answers_all_alike() {
    let world = World::new();
    let gateway = world.start();
    let others: Vec<_> = (0..100).map(|n| format!("x{n}")).collect();
    gateway.populate(&["ann", "bob", "eve"], &[]).await;
    gateway.populate(&others.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
    gateway.put("/v1/users/ann/blocks/bob", Value::Null).await;
    for other in &others[1..] {
        gateway.put(&format!("/v1/users/{other}/requests/ann"), Value::Null).await;
    }
    let (mut bob, mut eve) = (gateway.login("bob", JSON).await, gateway.login("eve", JSON).await);
    // With room for one, either of them fills it.
    bob.request(to::ask("ann")).await;
    let refused = eve.refused(to::ask("ann")).await;
    assert_eq!(refused.code, 419);
    bob.request(to::cancel("ann")).await;
    eve.request(to::ask("ann")).await;
    assert_eq!(bob.refused(to::ask("ann")).await, refused);
}

/// What one receives and what one is answered, with the names of the two whom it is about made equal.
fn same(frames: impl std::fmt::Debug, who: &str) -> String {
    let text = format!("{frames:?}").replace(&format!("\"{who}\""), "\"x\"");
    let mut out = String::new();
    let mut rest = text.as_str();
    // Times and versions differ for any two accounts.
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        out.push('0');
    }
    out + rest
}

/// Bob adds ann, who blocks him, and cat, who does not; neither was ever online. He sees no difference until the block ends,
/// and then only what cat could have done too; ann sees nothing at all.
#[tokio::test]
async fn adding_one_that_blocks_is_for_the_one_who_adds_as_if_it_did_not() {
    for encoding in Encoding::ALL {
        let world = World::with("[profile.visibility]\ntel = \"friends\"");
        let gateway = world.start_with(&["presence.enabled=false"]);
        gateway.populate(&["ann", "bob", "cat"], &[]).await;
        gateway.patch("/v1/users/ann", json!({"tel": "1"})).await;
        gateway.put("/v1/users/ann/blocks/bob", Value::Null).await;
        let (mut ann, mut bob) = (gateway.login("ann", JSON).await, gateway.login("bob", encoding).await);
        let mut seen = Vec::new();
        for (mark, account) in [("1", "ann"), ("2", "cat")] {
            let add = v1::AddFriend { account: account.to_owned(), message: "We met".to_owned() };
            let reply = bob.request(ClientCommand::AddFriend(add)).await;
            let frames = received(&mut bob, &gateway, mark).await;
            let again = [bob.refused(to::add(account)).await, bob.refused(to::ask(account)).await];
            assert!(again.iter().all(|again| again.code == 417), "{again:?}");
            let again = again.map(|again| again.message.replace(account, "x"));
            seen.push((same(reply, account), same(frames, account).replace(account, "x"), again));
        }
        assert_eq!(seen[0], seen[1]);
        // He is no friend of hers, and sees nothing that is for friends.
        assert_eq!(bob.replica.users()["ann"].tel, "");
        bob.agrees(&gateway, encoding).await;
        assert!(ann.replica.friends().is_empty());
        ann.quiet().await;
        gateway.delete("/v1/users/ann/blocks/bob").await;
        bob.until(|replica| !replica.friends().contains_key("ann")).await;
        bob.agrees(&gateway, encoding).await;
        assert!(received(&mut ann, &gateway, "3").await.iter().all(|frame| {
            let changes = frame.changes.as_ref().unwrap();
            changes.friends.is_empty() && changes.removed.is_empty() && changes.requests.is_empty()
        }));
    }
}

#[tokio::test]
async fn a_friend_who_is_blocked_stays_one_and_may_leave() {
    let world = World::with("[profile.visibility]\ntel = \"friends\"");
    let Three { gateway, mut ann, mut bob, .. } = three(&world, JSON).await;
    gateway.patch("/v1/users/ann", json!({"tel": "5"})).await;
    bob.until(|replica| replica.users()["ann"].tel == "5").await;
    ann.request(to::block("bob")).await;
    ann.until(|replica| live_blocks(replica) == ["bob"]).await;
    ann.nick("unseen").await;
    // She sees him as ever.
    bob.nick("Bobby").await;
    ann.until(|replica| replica.users()["bob"].nick == "Bobby").await;
    // The backend makes and ends friendships whatever stands between them; he goes on seeing the state from before.
    gateway.delete("/v1/users/ann/friends/bob").await;
    bob.until(|replica| replica.friends().is_empty()).await;
    let stranger = bob.look_up("ann").await;
    assert_eq!((stranger.nick.as_str(), stranger.tel.as_str()), ("ann", ""));
    gateway.put("/v1/users/ann/friends/bob", Value::Null).await;
    bob.until(|replica| replica.friends().contains_key("ann")).await;
    let friend = bob.replica.users()["ann"].clone();
    assert_eq!((friend.nick.as_str(), friend.tel.as_str()), ("ann", "5"));
    bob.agrees(&gateway, JSON).await;
    let note = v1::UpdateFriend { account: "ann".into(), alias: Some("A".into()), ..Default::default() };
    bob.request(ClientCommand::UpdateFriend(note)).await;
    bob.until(|replica| replica.friends()["ann"].alias == "A").await;
    bob.request(to::delete("ann")).await;
    ann.until(|replica| !replica.friends().contains_key("bob")).await;
    assert_eq!(live_blocks(&ann.replica), ["bob"]);
}

#[tokio::test]
async fn who_was_offline_when_it_blocked_does_not_seem_to_have_been_there_since() {
    let world = World::new();
    let Three { gateway, ann, mut bob, .. } = three(&world, JSON).await;
    drop(ann);
    bob.until(|replica| replica.presence().get("ann").is_some_and(|ann| !ann.online)).await;
    let seen = bob.replica.presence()["ann"].clone();
    // Until the gateway has written down that she went.
    let noted = || {
        let file = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
        file.query_row("SELECT online FROM user WHERE account = 'ann'", [], |row| row.get::<_, bool>(0)).unwrap()
    };
    while noted() {
        tokio::task::yield_now().await;
    }
    gateway.put("/v1/users/ann/blocks/bob", Value::Null).await;
    assert_eq!(gateway.login("bob", JSON).await.replica.presence()["ann"], seen);
    // She comes and goes, and he does not learn of it.
    drop(gateway.login("ann", JSON).await);
    while gateway.call(Method::GET, "/v1/users/ann/presence", "").await.1["online"] == true {
        tokio::task::yield_now().await;
    }
    bob.marked(&gateway, "1").await;
    assert_eq!(bob.replica.presence()["ann"], seen);
    assert_eq!(gateway.login("bob", Encoding::Protobuf).await.replica.presence()["ann"], seen);
}

#[tokio::test]
async fn an_account_that_blocks_3000_cannot_block_more() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let names: Vec<_> = (0..3000).map(|n| format!("u{n:04}")).collect();
    let lines =
        names.iter().map(|name| format!("{}\n{}", json!({"user": {"account": name}}), json!({"block": ["ann", name]})));
    let lines: Vec<_> = lines.collect();
    gateway.backend().await.request(Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    let mut ann = gateway.login("ann", JSON).await;
    assert_eq!(live_blocks(&ann.replica), names);
    let error = ann.refused(to::block("bob")).await;
    assert_eq!((error.code, error.field.as_deref()), (419, Some("account")));
    assert!(error.message.contains("\"ann\"") && error.message.contains("3000"), "{error:?}");
    ann.request(to::unblock("u0000")).await;
    ann.request(to::block("bob")).await;
    ann.until(|replica| live_blocks(replica).first().is_some_and(|first| first == "bob")).await;
    assert_eq!(live_blocks(&ann.replica).len(), 3000);
    ann.agrees(&gateway, Encoding::Protobuf).await;
}
