//! Random histories, the same on every adapter: the rows, the answers and the feed must come out equal.

use proptest::prelude::*;
use rosterd::model::{Account, Change, Command, Edge, Fields, Millis, Profile, Stamp};
use tokio::runtime::Runtime;

use super::rig::{Place, Running, account, befriend, delete, nick_if, profile, unfriend};

const NAMES: [&str; 5] = ["a", "B", "b", "c.d", "_"];

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Command>),
    /// Drop the tombstones that are at least so old.
    Compact(Millis),
    /// Let time pass.
    Wait(Millis),
}

/// All that can be asked of a store, and all it said on the way.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<String>,
    changes: Vec<Change>,
    profiles: Vec<Profile>,
    edges: Vec<Edge>,
    floor: Stamp,
    empty: bool,
}

fn commands() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(&NAMES[..]);
    let custom = prop::sample::select(vec!["", "x", "\0", "{}"]);
    let gender = prop::sample::select(vec![None, Some(rosterd::model::Gender::Female)]);
    prop_oneof![
        4 => (name(), custom, gender).prop_map(|(name, custom, gender)| {
            profile(name, Fields { custom: Some(custom.into()), gender, ..Fields::default() })
        }),
        1 => (name(), "[xy]", 0..30u64).prop_map(|(name, text, version)| nick_if(name, &text, version)),
        1 => name().prop_map(delete),
        6 => (name(), name()).prop_map(|(a, b)| befriend(a, b)),
        3 => (name(), name()).prop_map(|(a, b)| unfriend(a, b)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(commands(), 1..4).prop_map(Step::Write),
        1 => (0..5u64).prop_map(Step::Compact),
        2 => (0..5u64).prop_map(Step::Wait),
    ]
}

async fn live_through(place: &Place, history: &[Step]) -> Outcome {
    let db = place.open();
    let mut now = 1000;
    let mut answers = Vec::new();
    for step in history {
        answers.push(match step {
            Step::Write(commands) => format!("{:?}", db.write(commands.clone()).await),
            Step::Compact(age) => format!("{:?}", db.store.compact(now - age).await),
            Step::Wait(time) => {
                now += time;
                place.at(now);
                String::new()
            }
        });
    }
    let (profiles, edges) = everything(&db).await;
    let (floor, empty) = (db.store.lineage().floor, db.store.is_empty().await.unwrap());
    Outcome { answers, changes: db.close().await.changes, profiles, edges, floor, empty }
}

/// All rows, by way of pages of two.
async fn everything(db: &Running) -> (Vec<Profile>, Vec<Edge>) {
    let accounts: Vec<Account> = NAMES.iter().map(|name| account(name)).collect();
    let mut edges = Vec::new();
    for owner in &accounts {
        let mut after = None;
        loop {
            let page = db.store.page(owner.clone(), after, 2, Some(0)).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.peer.clone());
            edges.extend(page);
        }
    }
    let mut profiles = db.store.profiles(accounts).await.unwrap();
    profiles.sort_by_key(|profile| profile.account.clone());
    (profiles.iter().map(|profile| (**profile).clone()).collect(), edges)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_store_comes_to_the_same(history in prop::collection::vec(steps(), 1..40)) {
        Runtime::new().unwrap().block_on(async {
            let (plain, durable) = (Place::memory(), Place::sqlite());
            let expected = live_through(&plain, &history).await;
            let found = live_through(&durable, &history).await;
            prop_assert_eq!(&found, &expected);

            let reopened = durable.open();
            prop_assert_eq!(reopened.head, expected.changes.last().map_or(0, |change| change.stamp));
            prop_assert_eq!(everything(&reopened).await, (expected.profiles, expected.edges));
            prop_assert_eq!(reopened.store.lineage().floor, expected.floor);
            reopened.close().await;
            Ok(())
        })?;
    }
}
