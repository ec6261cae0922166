//! Checks what every store must keep of requests, blocks and presence, and which account sees it.

use rosterd::store::PresenceRow;
use rosterd_engine::model::{
    Audience, ChosenPresence, Command, Fields, GivenStatus, Millis, OnlineAccount, PresenceChange, Request,
    RequestSide, RequestState, SeenPresence, User,
};

use super::Place;
use super::rig::{Running, accept, account, ask, befriend, block, delete, nick, profile, reject, unblock};

on_every_store! {
    both_sides_find_a_request_and_only_open_ones_without_since
    a_request_of_one_who_is_blocked_is_the_senders_alone
    who_is_blocked_sees_what_was_until_the_block_ends
    a_block_is_the_owners_alone_and_comes_in_pages
    the_oldest_open_requests_are_found
    who_is_online_is_stored_beside_the_history
    what_a_peer_sees_is_stored_with_the_block_and_outlives_it
    closed_requests_and_ended_blocks_are_compacted
    an_erased_account_leaves_nothing_of_itself
    users_come_with_all_blocks_or_with_those_of_one_viewer
    users_who_block_many_come_to_a_follower_with_the_block_of_its_account_alone
}

async fn with(place: &Place, names: &[&str]) -> Running {
    let db = place.open();
    db.write(names.iter().map(|name| nick(name, name))).await.unwrap();
    db
}

async fn requests(db: &Running, name: &str, since: Option<u64>) -> Vec<Request> {
    db.store.requests(account(name), since).await.unwrap()
}

async fn both_sides_find_a_request_and_only_open_ones_without_since(place: Place) {
    let db = with(&place, &["a", "b", "c"]).await;
    db.run(ask("b", "a", "let's")).await;
    let seen = requests(&db, "a", None).await;
    assert_eq!((seen.len(), &*seen[0].message, seen[0].state), (1, "let's", RequestState::Open));
    assert_eq!(seen[0].side, RequestSide::Receiver);
    let sent = requests(&db, "b", None).await;
    assert_eq!(sent, [Request { side: RequestSide::Sender, ..seen[0].clone() }]);
    assert_eq!(requests(&db, "c", Some(0)).await, []);
    db.run(reject("a", "b")).await;
    for name in ["a", "b"] {
        assert_eq!(requests(&db, name, None).await, []);
        assert_eq!(requests(&db, name, Some(4)).await[0].state, RequestState::Rejected);
        assert_eq!(requests(&db, name, Some(5)).await, []);
    }
    db.write([ask("a", "b", ""), accept("b", "a")]).await.unwrap();
    let between = db.store.relations(account("a"), vec![account("b"), account("c")]).await.unwrap();
    assert_eq!((between.edges.len(), between.requests.len(), between.blocks.len()), (1, 2, 0));
    db.close().await;
}

async fn a_request_of_one_who_is_blocked_is_the_senders_alone(place: Place) {
    let db = with(&place, &["a", "b"]).await;
    db.write([block("a", "b"), ask("b", "a", "")]).await.unwrap();
    assert_eq!(requests(&db, "a", Some(0)).await, []);
    assert_eq!(db.store.relations(account("a"), vec![account("b")]).await.unwrap().requests, []);
    assert_eq!(requests(&db, "b", None).await.len(), 1);
    assert_eq!(db.store.relations(account("b"), vec![account("a")]).await.unwrap().requests.len(), 1);
    // The receiver's copy comes with the end of the block; the sender's stays as it is.
    let sent = requests(&db, "b", None).await;
    db.run(unblock("a", "b")).await;
    let received = requests(&db, "a", Some(4)).await;
    assert_eq!(received, [Request { side: RequestSide::Receiver, version: 5, ..sent[0].clone() }]);
    assert_eq!(db.store.relations(account("a"), vec![account("b")]).await.unwrap().requests, received);
    assert_eq!(requests(&db, "b", None).await, sent);
    // Blocked again, it is asked anew: what the receiver's clients are yet to learn of the first is kept.
    db.write([block("a", "b"), ask("b", "a", "")]).await.unwrap();
    let states =
        async |name| requests(&db, name, Some(5)).await.iter().map(|r| (r.state, r.version)).collect::<Vec<_>>();
    assert_eq!(states("a").await, [(RequestState::Rejected, 6)]);
    assert_eq!(states("b").await, [(RequestState::Open, 7)]);
    db.close().await;
}

async fn who_is_blocked_sees_what_was_until_the_block_ends(place: Place) {
    let db = with(&place, &["a", "b", "c"]).await;
    db.write([befriend("a", "b"), block("a", "b"), nick("a", "news")]).await.unwrap();
    let frozen = db.store.frozen(account("b"), vec![account("a"), account("c")]).await.unwrap();
    assert_eq!((frozen.len(), &*frozen[0].nick, frozen[0].version), (1, "a", 1));
    assert_eq!(db.store.frozen(account("a"), vec![account("b")]).await.unwrap(), []);
    assert_eq!(db.user("a").await.unwrap().blocks.len(), 1);
    let (mine, theirs) = (db.edge("a", "b").await, db.edge("b", "a").await);
    db.run(unblock("a", "b")).await;
    assert_eq!(db.store.frozen(account("b"), vec![account("a")]).await.unwrap(), []);
    assert_eq!(db.user("a").await.unwrap().blocks, []);
    assert_eq!(db.edge("a", "b").await, mine);
    assert_eq!(db.edge("b", "a").await, theirs, "nothing that he sees of it has changed");
    // He sees the news as a change that was made when the block ended.
    let ended = db.user("a").await.unwrap().ended;
    assert_eq!((ended.len(), ended[0].version, ended[0].brings_profile(Audience::Friends)), (1, 7, true));
    db.close().await;
}

async fn a_block_is_the_owners_alone_and_comes_in_pages(place: Place) {
    let db = with(&place, &["a", "b", "c", "d"]).await;
    db.write([block("a", "b"), block("a", "c"), block("a", "d"), unblock("a", "c")]).await.unwrap();
    let page = async |after: Option<&str>, limit, since| {
        let page = db.store.blocks(account("a"), after.map(account), limit, since).await.unwrap();
        page.rows.iter().map(|block| (block.peer.to_string(), block.removed)).collect::<Vec<_>>()
    };
    let (b, c, d) = (("b".to_owned(), false), ("c".to_owned(), true), ("d".to_owned(), false));
    assert_eq!(page(None, 9, None).await, [b.clone(), d.clone()]);
    assert_eq!(page(None, 2, Some(7)).await, [b, c]);
    assert_eq!(page(Some("b"), 9, Some(8)).await, [d]);
    assert_eq!(db.store.blocks(account("b"), None, 9, Some(0)).await.unwrap().rows, []);
    db.close().await;
}

async fn the_oldest_open_requests_are_found(place: Place) {
    let db = with(&place, &["a", "b", "c", "d"]).await;
    for (at, from) in [(3000, "c"), (2000, "b"), (4000, "d")] {
        place.at(at);
        db.run(ask(from, "a", "")).await;
    }
    let stale = async |before, limit| {
        let found = db.store.stale_requests(before, limit).await.unwrap();
        found.iter().map(|request| request.sender.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(stale(4000, 9).await, ["b", "c"]);
    assert_eq!(stale(Millis::MAX, 1).await, ["b"]);
    db.run(reject("a", "b")).await;
    assert_eq!(stale(4000, 9).await, ["c"]);
    db.close().await;
}

async fn who_is_online_is_stored_beside_the_history(place: Place) {
    let db = with(&place, &["a", "b"]).await;
    let seen = |name: &str, online, last_seen| PresenceRow {
        account: account(name),
        peer: None,
        seen: Some(SeenPresence { online, last_seen }),
        devices: Vec::new(),
    };
    db.store.put_seen(vec![seen("a", true, 5), seen("b", true, 6), seen("nobody", true, 7)]).await.unwrap();
    db.store.put_seen(vec![seen("b", false, 8)]).await.unwrap();
    db.run(nick("a", "next")).await;
    assert_eq!(
        db.store.online().await.unwrap(),
        [OnlineAccount { account: account("a"), chosen: ChosenPresence::default(), last_seen: 5, blocks: vec![] }]
    );
    assert_eq!((db.user("a").await.unwrap().last_seen, db.user("b").await.unwrap().last_seen), (5, 8));
    // Whether it hides has a version, which neither profile nor presence moves.
    assert_eq!(db.user("a").await.unwrap().chosen, ChosenPresence::default());
    db.run(Command::SetPresence { account: account("a"), set: PresenceChange::hides(true), if_version: None }).await;
    db.run(nick("a", "last")).await;
    db.store.put_seen(vec![seen("a", true, 9)]).await.unwrap();
    let hides = ChosenPresence { hides: true, version: 4, status: None };
    assert_eq!(db.user("a").await.unwrap().chosen, hides);
    assert_eq!(db.store.online().await.unwrap()[0].chosen, hides);
    // A status is kept with it.
    let status = GivenStatus::check(Some("lunch".into()), Some(1_000_000)).unwrap();
    let set = PresenceChange { status, ..PresenceChange::default() };
    db.run(Command::SetPresence { account: account("a"), set, if_version: None }).await;
    let chosen = db.user("a").await.unwrap().chosen;
    let held = chosen.status.clone().unwrap();
    assert_eq!((chosen.hides, chosen.version, &*held.text, held.until), (true, 6, "lunch", Some(1_000_000)));
    assert_eq!(db.store.online().await.unwrap()[0].chosen, chosen);
    assert_eq!(db.close().await.changes.last().unwrap().revision, 6);
}

async fn what_a_peer_sees_is_stored_with_the_block_and_outlives_it(place: Place) {
    let db = with(&place, &["a", "b", "c"]).await;
    let seen = |peer: Option<&str>, seen: Option<(bool, u64)>| PresenceRow {
        account: account("a"),
        peer: peer.map(account),
        seen: seen.map(|(online, last_seen)| SeenPresence { online, last_seen }),
        devices: Vec::new(),
    };
    let shown = async || db.store.relations(account("a"), vec![account("b")]).await.unwrap().blocks[0].presence;
    db.store.put_seen(vec![seen(None, Some((true, 5)))]).await.unwrap();
    db.write([befriend("a", "b"), block("a", "b"), block("a", "c")]).await.unwrap();
    let online = db.store.online().await.unwrap();
    let peers: Vec<_> = online[0].blocks.iter().map(|block| block.peer.as_str()).collect();
    assert_eq!((online.len(), peers), (1, vec!["b", "c"]));
    assert_eq!(shown().await, Some(SeenPresence { online: true, last_seen: 5 }));
    // Offline grace ends for b; nobody sees otherwise than the others while the block lasts.
    db.store.put_seen(vec![seen(Some("b"), Some((false, 9))), seen(Some("nobody"), Some((true, 9)))]).await.unwrap();
    db.store.put_seen(vec![seen(Some("c"), None)]).await.unwrap();
    assert_eq!(db.store.online().await.unwrap()[0].blocks.len(), 1);
    assert_eq!(shown().await, Some(SeenPresence { online: false, last_seen: 9 }));
    // She comes back for him, and nothing may be forgotten before everyone sees the same.
    db.run(unblock("a", "b")).await;
    assert!(shown().await.is_some_and(|seen| seen.online && seen.last_seen > 9));
    assert_eq!(db.store.online().await.unwrap()[0].blocks.len(), 2);
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 0);
    db.store.put_seen(vec![seen(Some("b"), None)]).await.unwrap();
    assert_eq!((shown().await, db.user("a").await.unwrap().ended.len()), (None, 0));
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 1);
    // The same for what he sees of her profile.
    db.write([nick("a", "news"), unblock("a", "c"), nick("b", "b")]).await.unwrap();
    assert_eq!((db.user("a").await.unwrap().ended.len(), db.store.compact(Millis::MAX).await.unwrap()), (1, 0));
    db.run(nick("a", "later")).await;
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 1);
    db.close().await;
}

async fn closed_requests_and_ended_blocks_are_compacted(place: Place) {
    let db = with(&place, &["a", "b", "c"]).await;
    db.write([ask("b", "a", ""), reject("a", "b"), block("a", "c"), unblock("a", "c"), ask("c", "a", "")])
        .await
        .unwrap();
    assert_eq!(db.store.compact(1001).await.unwrap(), 3);
    assert_eq!(db.store.lineage().compacted, 7);
    assert_eq!(requests(&db, "a", Some(0)).await.len(), 1, "an open request stays");
    assert_eq!(db.store.blocks(account("a"), None, 9, Some(0)).await.unwrap().rows, []);
    db.close().await;
}

async fn an_erased_account_leaves_nothing_of_itself(place: Place) {
    let db = place.open();
    let secret = |name| profile(name, Fields { sign: Some("a secret".into()), ..Fields::default() });
    db.write([secret("a"), secret("b"), nick("c", ""), nick("d", "")]).await.unwrap();
    db.write([befriend("a", "b"), ask("a", "c", "a secret"), block("a", "b"), block("d", "a")]).await.unwrap();
    db.run(delete("a")).await;
    assert_eq!(db.user("a").await, None);
    assert_eq!(db.store.frozen(account("b"), vec![account("a")]).await.unwrap(), []);
    let request = &requests(&db, "c", Some(0)).await[0];
    assert_eq!((&*request.message, request.state), ("", RequestState::Cancelled));
    let of_d = db.store.relations(account("d"), vec![account("a")]).await.unwrap();
    assert!(of_d.blocks[0].removed);
    db.run(nick("a", "again")).await;
    // For an account that is made again no relation is in force, but a client that comes back learns of ended ones.
    let of_a = db.store.relations(account("a"), vec![account("b"), account("c")]).await.unwrap();
    assert!(of_a.edges.iter().all(|edge| edge.removed) && of_a.blocks.iter().all(|block| block.removed));
    assert_eq!((of_a.edges.len(), of_a.blocks.len()), (1, 1));
    assert_eq!(requests(&db, "a", None).await, []);
    assert_eq!(db.user("a").await.unwrap().blocks, []);
    db.close().await;
}

async fn users_come_with_all_blocks_or_with_those_of_one_viewer(place: Place) {
    let db = with(&place, &["a", "b", "c", "d"]).await;
    db.write([block("a", "b"), block("a", "c"), block("d", "b"), unblock("d", "b")]).await.unwrap();
    let accounts = || ["a", "d", "nobody"].map(account).to_vec();
    let blocked = |users: Vec<User>| -> Vec<(String, Vec<String>)> {
        let peers = |user: &User| user.blocks.iter().map(|block| block.peer.to_string()).collect();
        users.iter().map(|user| (user.profile.account.to_string(), peers(user))).collect()
    };
    let all = db.store.users(accounts()).await.unwrap();
    assert_eq!(all[0].blocks.len(), 2);
    for (viewer, of_a) in [("b", vec!["b"]), ("c", vec!["c"]), ("d", vec![]), ("nobody", vec![])] {
        let seen = db.store.users_seen_by(account(viewer), accounts()).await.unwrap();
        assert_eq!(
            seen.iter().map(|user| &user.profile).collect::<Vec<_>>(),
            all.iter().map(|user| &user.profile).collect::<Vec<_>>()
        );
        let of_a = of_a.into_iter().map(str::to_owned).collect();
        assert_eq!(blocked(seen), [("a".to_owned(), of_a), ("d".to_owned(), vec![])]);
    }
    db.close().await;
}

async fn users_who_block_many_come_to_a_follower_with_the_block_of_its_account_alone(place: Place) {
    let others: Vec<_> = (0..3000).map(|n| format!("other{n:04}")).collect();
    let db = with(&place, &["a", "b", "c", "d"]).await;
    db.write(others.iter().map(|name| nick(name, ""))).await.unwrap();
    db.write(others[..2998].iter().map(|name| block("a", name))).await.unwrap();
    // Of the one that has ended it still decides what the peer sees.
    db.write([block("a", "b"), block("a", "c"), unblock("a", "c"), block("d", "b"), block("d", "c")]).await.unwrap();
    for (viewer, of_a, few) in
        [("b", vec!["b"], 2), ("c", vec![], 2), ("d", vec![], 2), ("other0007", vec!["other0007"], 2)]
    {
        let found = db.store.users_followed_by(account(viewer), vec![account("a"), account("d")], few).await.unwrap();
        let peers = |user: &User| user.blocks.iter().map(|block| block.peer.to_string()).collect::<Vec<_>>();
        assert_eq!((peers(&found[0]), found[0].has_more_blocks), (of_a.into_iter().map(str::to_owned).collect(), true));
        assert_eq!((peers(&found[1]), found[1].has_more_blocks), (vec!["b".to_owned(), "c".to_owned()], false));
        let all = db.store.users(vec![account("a")]).await.unwrap().remove(0);
        assert_eq!((&found[0].profile, &found[0].ended), (&all.profile, &all.ended));
        assert_eq!(all.blocks.len(), 2999);
    }
    // One whose peer sees the account online is to go offline for it, so every follower brings it.
    let seen = SeenPresence { online: true, last_seen: 5 };
    let row = PresenceRow { account: account("a"), peer: Some(account("b")), seen: Some(seen), devices: Vec::new() };
    db.store.put_seen(vec![row]).await.unwrap();
    let found = db.store.users_followed_by(account("d"), vec![account("a")], 2).await.unwrap();
    assert_eq!(found[0].blocks.iter().map(|block| block.peer.as_str()).collect::<Vec<_>>(), ["b"]);
    db.close().await;
}
