//! A client that does not read costs a bounded amount, disturbs nobody, is not disconnected, and converges.

use rosterd_protocol::{ClientCommand, Encoding, v1};

use crate::support::{World, nick_command};

const FRIENDS: usize = 20;
const UPDATES: usize = 400;

#[tokio::test]
async fn a_slow_reader_is_conflated_and_converges() {
    // Heartbeats fall due while it does not read; they must not be held against it.
    let world = World::new();
    let gateway = world.start_with(&["clients.heartbeat=1s"]);
    let names: Vec<_> = (0..FRIENDS).map(|n| format!("f{n:02}")).collect();
    let users: Vec<_> = names.iter().map(String::as_str).chain(["slow"]).collect();
    let pairs: Vec<_> = names.iter().map(|name| ("slow", name.as_str())).collect();
    gateway.populate(&users, &pairs).await;

    // Small buffers, so that the gateway notices soon.
    let (mut slow, mut replica) = gateway.login_with_small_buffer("slow").await;

    // It stops reading; its friends change their profiles, large ones, over and over.
    let mut friends = Vec::new();
    for name in &names {
        friends.push(gateway.login(name, Encoding::Protobuf).await);
    }
    let writing = friends.iter_mut().map(|friend| async {
        for round in 0..UPDATES {
            let update = v1::UpdateMyInfo { custom: Some(format!("{round:>1000}")), ..Default::default() };
            friend.request(ClientCommand::UpdateMyInfo(update)).await;
        }
    });
    futures::future::join_all(writing).await;
    // 8 MB of records were due to it; nearly all were conflated instead of queued.
    let conflated = gateway.metric("rosterd_marks_conflated_total").await as usize;
    assert!(conflated > FRIENDS * UPDATES / 2, "only {conflated} marks were conflated");

    // It reads again: the newest state of everyone, with far fewer records than there were updates.
    let newest: Vec<_> = friends.iter().map(|friend| friend.replica.me().unwrap().clone()).collect();
    let mut records = 0;
    while !newest.iter().all(|user| replica.users()[&user.account] == *user) {
        let frame = slow.next().await.expect("it is not disconnected");
        records += frame.changes.as_ref().map_or(0, |changes| changes.users.len());
        replica.apply(&frame).unwrap();
    }
    assert!(records < FRIENDS * UPDATES / 2, "{records} records for {} updates", FRIENDS * UPDATES);
    // And it is a client like any other.
    let reply = slow.request(nick_command("Awake")).await.unwrap();
    assert_eq!(reply.update_my_info_reply.unwrap().user.unwrap().nick, "Awake");
}
