//! Commands that race: whatever the order turns out to be, it is one that could have been, and everyone sees the same.

use std::collections::BTreeMap;

use rosterd_client::{Client, ClientError};
use rosterd_protocol::{ClientCommand, Encoding};
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, Peer, World, live_blocks, open_requests, to};

const ROUNDS: usize = 40;

/// A client that sends what races, and hears nothing of it but the answers.
struct Hand(Client);

impl Hand {
    async fn of(gateway: &Gateway, account: &str, encoding: Encoding) -> Self {
        Self(gateway.login(account, encoding).await.client)
    }

    /// The code of the answer; 0 if it was carried out.
    async fn ask(&mut self, command: ClientCommand) -> u32 {
        match timeout(PATIENCE, self.0.request(command)).await.expect("a reply in time") {
            Ok(_) => 0,
            Err(ClientError::Refused(error)) => error.code,
            Err(error) => panic!("{error}"),
        }
    }
}

/// What is between two accounts, as the clients of both hold it: friendship, the open requests of each, blocks of each.
type Between = (bool, usize, Vec<String>, Vec<String>);

/// Everyone who watched all along agrees with those who come now; what is between the two.
async fn settled(gateway: &Gateway, ann: &mut Peer, bob: &mut Peer) -> Between {
    for peer in [&mut *ann, &mut *bob] {
        let account = peer.reply.account.clone();
        let fresh = gateway.login(&account, Encoding::Protobuf).await.replica;
        let same = |r: &rosterd_client::Replica| {
            (r.friends(), r.users()) == (fresh.friends(), fresh.users())
                && open_requests(r) == open_requests(&fresh)
                && live_blocks(r) == live_blocks(&fresh)
        };
        peer.until(same).await;
        peer.agrees(gateway, Encoding::Json).await;
    }
    let friends = ann.replica.friends().contains_key("bob");
    assert_eq!(friends, bob.replica.friends().contains_key("ann"), "a friendship has two sides");
    let of = |peer: &Peer| open_requests(&peer.replica).len();
    assert_eq!(of(ann), of(bob), "a request has two sides");
    (friends, of(ann), live_blocks(&ann.replica), live_blocks(&bob.replica))
}

/// Lets two commands race, many rounds from the same start, in every arrangement of encodings; how often each outcome
/// came. `start` is done in order before, by ann (true) or bob; `end` after.
async fn race(
    start: &[(bool, ClientCommand)],
    ann_says: &ClientCommand,
    bob_says: &ClientCommand,
    end: &[(bool, ClientCommand)],
) -> BTreeMap<(u32, u32), Vec<Between>> {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let (mut ann, mut bob) =
        (gateway.login("ann", Encoding::Json).await, gateway.login("bob", Encoding::Protobuf).await);
    let mut a = Hand::of(&gateway, "ann", Encoding::Protobuf).await;
    let mut b = Hand::of(&gateway, "bob", Encoding::Json).await;
    let mut outcomes: BTreeMap<_, Vec<Between>> = BTreeMap::new();
    for round in 0..ROUNDS {
        for (by_ann, command) in start {
            let hand = if *by_ann { &mut a } else { &mut b };
            assert_eq!(hand.ask(command.clone()).await, 0, "{}", command.name());
        }
        // Who is polled first alternates, so that neither has a head start.
        let answers = if round % 2 == 0 {
            tokio::join!(a.ask(ann_says.clone()), b.ask(bob_says.clone()))
        } else {
            let (theirs, mine) = tokio::join!(b.ask(bob_says.clone()), a.ask(ann_says.clone()));
            (mine, theirs)
        };
        let between = settled(&gateway, &mut ann, &mut bob).await;
        outcomes.entry(answers).or_default().push(between);
        for (by_ann, command) in end {
            let hand = if *by_ann { &mut a } else { &mut b };
            hand.ask(command.clone()).await;
        }
    }
    outcomes
}

const NOBODY: Vec<String> = Vec::new();

/// Every outcome is one of these.
fn only(outcomes: &BTreeMap<(u32, u32), Vec<Between>>, allowed: &[((u32, u32), Between)]) {
    for (answers, came) in outcomes {
        for between in came {
            assert!(allowed.contains(&(*answers, between.clone())), "{answers:?} came to {between:?}");
        }
    }
    assert_eq!(outcomes.values().map(Vec::len).sum::<usize>(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_ask_each_other_at_once_are_friends_once() {
    let end = [(true, to::delete("bob"))];
    let outcomes = race(&[], &to::ask("bob"), &to::ask("ann"), &end).await;
    only(&outcomes, &[((0, 0), (true, 0, NOBODY, NOBODY))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_add_each_other_at_once_are_friends_once() {
    let end = [(true, to::delete("bob"))];
    let outcomes = race(&[], &to::add("bob"), &to::add("ann"), &end).await;
    let friends = (true, 0, NOBODY, NOBODY);
    only(&outcomes, &[((0, 417), friends.clone()), ((417, 0), friends)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accept_and_a_cancel_end_in_one_of_the_two() {
    let end = [(true, to::delete("bob"))];
    let outcomes = race(&[(true, to::ask("bob"))], &to::cancel("bob"), &to::accept("ann"), &end).await;
    let none = (false, 0, NOBODY, NOBODY);
    only(&outcomes, &[((0, 404), none), ((404, 0), (true, 0, NOBODY, NOBODY))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_and_an_accept_end_in_a_block_with_or_without_a_friendship() {
    let end = [(true, to::unblock("bob")), (true, to::delete("bob"))];
    let start = [(true, to::ask("bob"))];
    let outcomes = race(&start, &to::block("bob"), &to::accept("ann"), &end).await;
    let blocks = vec!["bob".to_owned()];
    // The block took the request back, or came after it was accepted.
    only(&outcomes, &[((0, 404), (false, 0, blocks.clone(), NOBODY)), ((0, 0), (true, 0, blocks, NOBODY))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_and_a_new_request_end_in_one_of_the_orders() {
    let start = [(true, to::add("bob"))];
    let end = [(false, to::cancel("ann")), (false, to::delete("ann"))];
    let outcomes = race(&start, &to::delete("bob"), &to::ask("ann"), &end).await;
    only(&outcomes, &[((0, 0), (false, 1, NOBODY, NOBODY)), ((0, 417), (false, 0, NOBODY, NOBODY))]);
    let again = race(&start, &to::delete("bob"), &to::add("ann"), &[(true, to::delete("bob"))]).await;
    only(&again, &[((0, 0), (true, 0, NOBODY, NOBODY)), ((0, 417), (false, 0, NOBODY, NOBODY))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_deletes_and_two_blocks_do_no_harm() {
    let friends = [(true, to::add("bob"))];
    let outcomes = race(&friends, &to::delete("bob"), &to::delete("ann"), &[]).await;
    let none = (false, 0, NOBODY, NOBODY);
    only(&outcomes, &[((0, 404), none.clone()), ((404, 0), none)]);
    let end = [(true, to::unblock("bob")), (false, to::unblock("ann"))];
    let outcomes = race(&[], &to::block("bob"), &to::block("ann"), &end).await;
    only(&outcomes, &[((0, 0), (false, 0, vec!["bob".into()], vec!["ann".into()]))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_that_accept_at_once_make_one_friendship() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let (mut ann, mut bob) =
        (gateway.login("ann", Encoding::Json).await, gateway.login("bob", Encoding::Protobuf).await);
    let mut one = Hand::of(&gateway, "bob", Encoding::Protobuf).await;
    let mut other = Hand::of(&gateway, "bob", Encoding::Json).await;
    for _ in 0..ROUNDS {
        ann.request(to::ask("bob")).await;
        let (first, second) = tokio::join!(one.ask(to::accept("ann")), other.ask(to::accept("ann")));
        assert!(matches!((first, second), (0, 417) | (417, 0)), "{first} {second}");
        assert_eq!(settled(&gateway, &mut ann, &mut bob).await, (true, 0, NOBODY, NOBODY));
        ann.request(to::delete("bob")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_changes_while_a_block_begins_is_seen_up_to_the_block_and_no_further() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let mut writer = gateway.login("ann", Encoding::Json).await;
    let mut blocker = Hand::of(&gateway, "ann", Encoding::Json).await;
    for round in 0..ROUNDS {
        let (nicks, _) = tokio::join!(
            async {
                let mut nicks = Vec::new();
                for n in 0..6 {
                    nicks.push(writer.nick(&format!("{round} {n}")).await);
                }
                nicks
            },
            blocker.ask(to::block("bob")),
        );
        let fresh = gateway.login("bob", Encoding::Json).await.replica;
        bob.marked(&gateway, &round.to_string()).await;
        let frozen = bob.replica.users()["ann"].clone();
        // A look-up, a new device and one that watched all along see one and the same, at most as new as the block.
        assert_eq!((fresh.users()["ann"].clone(), bob.look_up("ann").await), (frozen.clone(), frozen.clone()));
        let newest = nicks.last().unwrap();
        assert!(frozen.version <= newest.version);
        writer.nick(&format!("{round} after")).await;
        bob.marked(&gateway, &format!("{round} again")).await;
        assert_eq!(bob.replica.users()["ann"], frozen);
        assert_eq!(blocker.ask(to::unblock("bob")).await, 0);
        let after = format!("{round} after");
        bob.until(|replica| replica.users()["ann"].nick == after).await;
        bob.agrees(&gateway, Encoding::Json).await;
    }
}
