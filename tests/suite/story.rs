//! Two people, from strangers to friends and back, on three devices: done by clients, then by the backend, in both
//! encodings. After every step all devices hold the same as the gateway.

use hyper::Method;
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;

use crate::support::{Gateway, Peer, World, live_blocks, open_requests, to};

/// Who does what happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Clients,
    Backend,
}

/// What happens.
struct Step {
    command: ClientCommand,
    method: Method,
    path: &'static str,
    body: String,
}

fn step(command: ClientCommand, method: Method, path: &'static str) -> Step {
    Step { command, method, path, body: String::new() }
}

struct Story<'a> {
    gateway: &'a Gateway,
    by: By,
    encoding: Encoding,
}

impl Story<'_> {
    async fn happens(&self, who: &mut Peer, step: Step) {
        match self.by {
            By::Clients => drop(who.request(step.command).await),
            By::Backend => {
                self.gateway.backend().await.request(step.method, step.path, step.body).await.unwrap();
            }
        }
    }

    /// Every device arrives where `done` says, and holds what a fresh one gets.
    async fn seen_by<const N: usize>(&self, devices: [&mut Peer; N], done: impl Fn(&Replica) -> bool) {
        for device in devices {
            device.until(&done).await;
            device.agrees(self.gateway, self.encoding).await;
        }
    }
}

fn other(encoding: Encoding) -> Encoding {
    if encoding == Encoding::Json { Encoding::Protobuf } else { Encoding::Json }
}

fn online(replica: &Replica, account: &str) -> bool {
    replica.presence().get(account).is_some_and(|presence| presence.online)
}

async fn from_strangers_to_friends_and_back(by: By, encoding: Encoding) {
    let world = World::new();
    let gateway = &world.start_with(&["presence.linger=200ms"]);
    gateway.populate(&["ann", "bob"], &[]).await;
    let story = Story { gateway, by, encoding };
    let mut ann = gateway.login("ann", encoding).await;
    let mut tab = gateway.login("ann", other(encoding)).await;

    // He is not there when she asks.
    let message = "We met at the lake".to_owned();
    let ask = ClientCommand::RequestFriend(v1::RequestFriend { account: "bob".into(), message: message.clone() });
    let body = json!({"message": message}).to_string();
    let asked = Step { body, ..step(ask, Method::PUT, "/v1/users/ann/requests/bob") };
    story.happens(&mut ann, asked).await;
    let out = vec![("bob".to_owned(), false, message.clone())];
    story.seen_by([&mut ann, &mut tab], |replica| open_requests(replica) == out).await;
    let mut bob = gateway.login("bob", encoding).await;
    assert_eq!(open_requests(&bob.replica), [("ann".to_owned(), true, message)]);

    story.happens(&mut bob, step(to::accept("ann"), Method::POST, "/v1/users/bob/requests/ann/accept")).await;
    let friends = |friend: &'static str| {
        move |r: &Replica| r.friends().contains_key(friend) && online(r, friend) && open_requests(r).is_empty()
    };
    story.seen_by([&mut ann, &mut tab], friends("bob")).await;
    story.seen_by([&mut bob], friends("ann")).await;
    assert_eq!(ann.replica.users()["bob"].nick, "bob");

    let note = v1::UpdateFriend { account: "bob".into(), alias: Some("Bobby".into()), ..Default::default() };
    let body = json!({"alias": "Bobby"}).to_string();
    let noted = Step { body, ..step(ClientCommand::UpdateFriend(note), Method::PATCH, "/v1/users/ann/friends/bob") };
    story.happens(&mut ann, noted).await;
    story.seen_by([&mut ann, &mut tab], |replica| replica.friends()["bob"].alias == "Bobby").await;
    assert_eq!(bob.replica.friends()["ann"].alias, "");

    // They see each other's profiles change, and each other come and go.
    bob.nick("Robert").await;
    story.seen_by([&mut ann, &mut tab], |replica| replica.users()["bob"].nick == "Robert").await;
    ann.nick("Annie").await;
    story.seen_by([&mut bob], |replica| replica.users()["ann"].nick == "Annie").await;
    let away = bob.replica.clone();
    drop(bob);
    story.seen_by([&mut ann, &mut tab], |replica| !online(replica, "bob")).await;
    let mut bob = gateway.resume("bob", encoding, away).await;
    story.seen_by([&mut ann, &mut tab], |replica| online(replica, "bob")).await;

    story.happens(&mut ann, step(to::block("bob"), Method::PUT, "/v1/users/ann/blocks/bob")).await;
    story.seen_by([&mut ann, &mut tab], |replica| live_blocks(replica) == ["bob"]).await;
    bob.until(|replica| !online(replica, "ann")).await;
    ann.nick("Anna").await;
    let signal = v1::Signal { to: "bob".into(), payload: "psst".into() };
    let answer = ann.request(ClientCommand::Signal(signal)).await.signal_reply.unwrap();
    assert_eq!((answer.delivered, answer.dropped), (0, 0));
    tab.until(|replica| replica.me().unwrap().nick == "Anna").await;
    bob.marked(gateway, "1").await;
    assert_eq!(bob.replica.users()["ann"].nick, "Annie");
    assert_eq!(bob.look_up("ann").await.nick, "Annie");
    bob.agrees(gateway, encoding).await;
    assert!(!online(&bob.replica, "ann"));

    story.happens(&mut ann, step(to::unblock("bob"), Method::DELETE, "/v1/users/ann/blocks/bob")).await;
    story.seen_by([&mut ann, &mut tab], |replica| live_blocks(replica).is_empty()).await;
    story.seen_by([&mut bob], |replica| replica.users()["ann"].nick == "Anna" && online(replica, "ann")).await;

    story.happens(&mut bob, step(to::delete("ann"), Method::DELETE, "/v1/users/bob/friends/ann")).await;
    story.seen_by([&mut ann, &mut tab, &mut bob], |replica| replica.friends().is_empty()).await;
    assert!(!ann.replica.users().contains_key("bob") && !bob.replica.users().contains_key("ann"));
}

#[tokio::test]
async fn clients_live_through_it_in_json() {
    from_strangers_to_friends_and_back(By::Clients, Encoding::Json).await;
}

#[tokio::test]
async fn clients_live_through_it_in_protobuf() {
    from_strangers_to_friends_and_back(By::Clients, Encoding::Protobuf).await;
}

#[tokio::test]
async fn the_backend_makes_it_happen_to_clients_in_json() {
    from_strangers_to_friends_and_back(By::Backend, Encoding::Json).await;
}

#[tokio::test]
async fn the_backend_makes_it_happen_to_clients_in_protobuf() {
    from_strangers_to_friends_and_back(By::Backend, Encoding::Protobuf).await;
}
