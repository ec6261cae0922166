//! The sessions of one account: what they know of each other, how they end each other, and how many there may be.

use hyper::Method;
use rosterd_client::{Client, ClientError, Replica};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, Peer, World};

const JSON: Encoding = Encoding::Json;

fn device(kind: &str) -> v1::Device {
    v1::Device { id: format!("{kind}-1"), r#type: kind.to_owned(), tag: format!("my {kind}") }
}

/// Logs in on a device, and is synced.
pub async fn log_in(gateway: &Gateway, account: &str, kind: &str, encoding: Encoding) -> Peer {
    let mut client = gateway.connect(encoding).await;
    let login = v1::Login { token: account.to_owned(), cursor: None, device: Some(device(kind)) };
    client.send(ClientCommand::Login(login)).await.unwrap();
    let mut replica = Replica::default();
    let mut reply = None;
    while !replica.is_synced() {
        let frame = timeout(PATIENCE, client.next()).await.expect("a frame in time").unwrap();
        if let Some(login) = frame.login_reply.clone() {
            replica.begin(&login);
            reply = Some(login);
        }
        replica.apply(&frame).unwrap();
    }
    Peer { client, replica, reply: *reply.unwrap() }
}

async fn sessions(peer: &mut Peer) -> Vec<v1::Session> {
    peer.request(ClientCommand::GetSessions(v1::GetSessions {})).await.get_sessions_reply.unwrap().sessions
}

fn ids(sessions: &[v1::Session]) -> Vec<&str> {
    sessions.iter().map(|session| session.session.as_str()).collect()
}

fn kick(sessions: &[&str]) -> ClientCommand {
    ClientCommand::Kick(v1::Kick { sessions: sessions.iter().map(|id| (*id).to_owned()).collect() })
}

#[tokio::test]
async fn devices_know_each_other_from_coming_to_going() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut phone = log_in(&gateway, "ann", "ios", JSON).await;
    let alone = sessions(&mut phone).await;
    assert_eq!((alone.len(), alone[0].current, alone[0].device.clone()), (1, true, Some(device("ios"))));
    assert!(alone[0].connected_at > 0 && alone[0].session == phone.reply.session);
    // A session that is alone gets no list.
    assert!(phone.replica.sessions().is_empty());

    let mut laptop = log_in(&gateway, "ann", "web", Encoding::Protobuf).await;
    let bob = gateway.login("bob", JSON).await;
    let both = [phone.reply.session.clone(), laptop.reply.session.clone()];
    for (at, peer) in [&mut phone, &mut laptop].into_iter().enumerate() {
        peer.until(|replica| replica.sessions().len() == 2).await;
        let listed = peer.replica.sessions().to_vec();
        assert_eq!(ids(&listed), both);
        assert_eq!(listed, sessions(peer).await);
        assert_eq!((listed[at].current, listed[1 - at].current), (true, false));
        assert_eq!((listed[0].device.clone(), listed[1].device.clone()), (Some(device("ios")), Some(device("web"))));
    }
    drop(laptop);
    phone.until(|replica| replica.sessions().len() == 1).await;
    assert_eq!(ids(phone.replica.sessions()), [&phone.reply.session]);
    // A friend learns nothing of devices.
    assert!(bob.replica.sessions().is_empty());
    // The backend sees them too.
    let (_, body) = gateway.call(Method::GET, "/v1/users/ann/sessions", "").await;
    assert_eq!(body["sessions"][0]["session"], phone.reply.session);
    assert_eq!(body["sessions"][0]["device"], json!({"id": "ios-1", "type": "ios", "tag": "my ios"}));
    assert_eq!(body["sessions"][0]["current"], false);
}

#[tokio::test]
async fn a_device_ends_others_of_its_account_and_no_one_elses_nor_itself() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    for encoding in Encoding::ALL {
        let mut phone = log_in(&gateway, "ann", "ios", encoding).await;
        let mut laptop = log_in(&gateway, "ann", "web", JSON).await;
        let mut bob = log_in(&gateway, "bob", "web", JSON).await;
        let [own, others, bobs] = [&phone, &laptop, &bob].map(|peer| peer.reply.session.clone());
        for (sessions, field) in [
            (vec![own.as_str()], "sessions"),
            (vec![&others, &own], "sessions"),
            (vec![&others, "not a session"], "sessions[1]"),
            (vec![""], "sessions[0]"),
        ] {
            let error = phone.refused(kick(&sessions)).await;
            assert_eq!((error.code, error.field.as_deref()), (414, Some(field)), "{sessions:?}: {error:?}");
        }
        laptop.quiet().await;
        let reply = phone.request(kick(&[&bobs, &others, "0000000000000000", &others])).await;
        assert_eq!(reply.kick_reply.unwrap().kicked, [others.as_str()]);
        let goodbye = loop {
            if let Some(goodbye) = laptop.next().await.goodbye {
                break goodbye;
            }
        };
        assert_eq!((goodbye.code, goodbye.reason.as_str(), goodbye.reconnect), (3503, "KICKED", false));
        assert_eq!(laptop.ended().await, (3503, "KICKED".to_owned()));
        assert_eq!(ids(&sessions(&mut phone).await), [&own]);
        assert_eq!(phone.request(kick(&[&others])).await.kick_reply.unwrap().kicked, [""; 0]);
        assert_eq!(phone.request(kick(&[])).await.kick_reply.unwrap().kicked, [""; 0]);
        bob.quiet().await;
    }
}

#[tokio::test]
async fn the_backend_ends_one_session_or_all_of_an_account() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let mut ann = [log_in(&gateway, "ann", "ios", JSON).await, log_in(&gateway, "ann", "web", JSON).await];
    let mut third = log_in(&gateway, "ann", "tv", JSON).await;
    let mut bob = log_in(&gateway, "bob", "web", JSON).await;
    let one = format!("/v1/users/ann/sessions/{}", third.reply.session);
    let (status, body) = gateway.call(Method::DELETE, &one, "").await;
    assert_eq!((status, body), (200, json!({"kicked": [third.reply.session]})));
    assert_eq!(third.ended().await, (3503, "KICKED".to_owned()));
    assert_eq!(gateway.call(Method::DELETE, &one, "").await, (200, json!({"kicked": []})));
    // Of another account it is none.
    let wrong = format!("/v1/users/ann/sessions/{}", bob.reply.session);
    assert_eq!(gateway.call(Method::DELETE, &wrong, "").await, (200, json!({"kicked": []})));
    let (status, body) = gateway.call(Method::DELETE, "/v1/users/ann/sessions", "").await;
    assert_eq!((status, body), (200, json!({"kicked": [ann[0].reply.session, ann[1].reply.session]})));
    for peer in &mut ann {
        assert_eq!(peer.ended().await, (3503, "KICKED".to_owned()));
    }
    assert_eq!(gateway.call(Method::GET, "/v1/users/ann/sessions", "").await, (200, json!({"sessions": []})));
    bob.quiet().await;
    // It is an end, not a ban.
    log_in(&gateway, "ann", "ios", JSON).await;
}

#[tokio::test]
async fn the_policy_says_which_devices_may_be_there_together() {
    // For each policy, who is left of web, ios, web, none, ios; the newest last.
    for (policy, left) in [
        ("all", vec![0, 1, 2, 3, 4]),
        ("one_per_device_type", vec![2, 3, 4]),
        ("one_per_device_id", vec![2, 3, 4]),
        ("one", vec![4]),
    ] {
        let world = World::new();
        let gateway = world.start_with(&[&format!("sessions.policy={policy}")]);
        gateway.populate(&["ann", "bob"], &[]).await;
        let mut bob = log_in(&gateway, "bob", "web", JSON).await;
        let mut devices = Vec::new();
        for (at, kind) in ["web", "ios", "web", "", "ios"].into_iter().enumerate() {
            devices.push(log_in(&gateway, "ann", kind, Encoding::ALL[at % 2]).await);
        }
        let names: Vec<_> = devices.iter().map(|peer| peer.reply.session.clone()).collect();
        for (at, device) in devices.iter_mut().enumerate() {
            if left.contains(&at) {
                let expected: Vec<_> = left.iter().map(|at| &names[*at]).collect();
                assert_eq!(ids(&sessions(device).await), expected, "{policy}");
            } else {
                assert_eq!(device.ended().await, (3503, "KICKED".to_owned()), "{policy} {at}");
            }
        }
        bob.quiet().await;
    }
}

#[tokio::test]
async fn beyond_the_most_sessions_the_oldest_ends() {
    let world = World::new();
    let gateway = world.start_with(&["sessions.max=2"]);
    gateway.populate(&["ann"], &[]).await;
    let mut devices = Vec::new();
    for _ in 0..4 {
        devices.push(log_in(&gateway, "ann", "web", JSON).await);
    }
    for device in &mut devices[..2] {
        let goodbye = loop {
            if let Some(goodbye) = device.next().await.goodbye {
                break goodbye;
            }
        };
        assert_eq!((goodbye.code, goodbye.reason.as_str(), goodbye.reconnect), (3504, "SESSION_LIMIT", false));
        assert_eq!(device.ended().await, (3504, "SESSION_LIMIT".to_owned()));
    }
    let names = [devices[2].reply.session.clone(), devices[3].reply.session.clone()];
    assert_eq!(ids(&sessions(&mut devices[3]).await), names);
    // One that left makes room.
    drop(devices.swap_remove(2));
    devices[2].until(|replica| replica.sessions().len() == 1).await;
    let mut next = log_in(&gateway, "ann", "web", JSON).await;
    assert_eq!(sessions(&mut next).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_devices_that_come_at_once_one_stays() {
    let world = World::new();
    let gateway = world.start_with(&["sessions.policy=one"]);
    gateway.populate(&["ann"], &[]).await;
    for round in 0..15 {
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(gateway.connect(JSON).await);
        }
        let comings = clients.into_iter().map(|mut client| async {
            let mut replica = Replica::default();
            let stays = client.login("ann", &mut replica).await.is_ok();
            (stays, client)
        });
        let came = futures::future::join_all(comings).await;
        let mut there = 0;
        for (stays, mut client) in came {
            there += usize::from(stays && is_there(&mut client).await);
        }
        assert_eq!(there, 1, "round {round}");
    }
}

/// Whether a session lives still.
async fn is_there(client: &mut Client) -> bool {
    match timeout(PATIENCE, client.request(ClientCommand::GetSessions(v1::GetSessions {})))
        .await
        .expect("a reply in time")
    {
        // One that is ended may answer before it hears of it, and does not count itself.
        Ok(reply) => {
            let sessions = reply.get_sessions_reply.unwrap().sessions;
            sessions.len() == 1 && sessions[0].current
        }
        Err(ClientError::Closed { code, .. }) => {
            assert!(code == 3503 || code == 1006, "{code}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_a_device_says_of_itself_is_limited() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    for encoding in Encoding::ALL {
        let mut client = gateway.connect(encoding).await;
        let long = "漢".repeat(65);
        for (field, device) in [
            ("device.id", v1::Device { id: long.clone(), ..Default::default() }),
            ("device.type", v1::Device { r#type: long.clone(), ..Default::default() }),
            ("device.tag", v1::Device { tag: long.clone(), ..Default::default() }),
        ] {
            let login = v1::Login { token: "ann".into(), cursor: None, device: Some(device) };
            match client.request(ClientCommand::Login(login)).await {
                Err(ClientError::Refused(error)) => {
                    assert_eq!((error.code, error.field.as_deref()), (414, Some(field)), "{error:?}");
                }
                other => panic!("{other:?}"),
            }
        }
        // The connection still works, and texts that just fit come as they are.
        let most = v1::Device { id: "😀".repeat(64), r#type: "漢".repeat(64), tag: "\"é".repeat(32) };
        let login = v1::Login { token: "ann".into(), cursor: None, device: Some(most.clone()) };
        client.request(ClientCommand::Login(login)).await.unwrap();
        let reply = client.request(ClientCommand::GetSessions(v1::GetSessions {})).await.unwrap();
        assert_eq!(reply.get_sessions_reply.unwrap().sessions.last().unwrap().device, Some(most));
    }
}
