//! Random histories on every adapter: rows, answers and feed must be equal.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use rosterd::store::{LoginRows, PresenceRow, SnapshotKind, postgres, sqlite};
use rosterd_engine::model::{
    Account, Block, Change, Command, Credential, Edge, Fields, FriendUpdate, GivenStatus, LoggedChange, Millis,
    OnlineAccount, PresenceChange, Profile, Request, Revision, SeenPresence, User,
};
use rosterd_protocol::SnapshotRow;
use tokio::runtime::Runtime;

use super::rig::{
    Place, Running, accept, account, ask, befriend, block, delete, nick_if, profile, reject, revoke, token, unblock,
    unfriend,
};

const NAMES: [&str; 5] = ["a", "B", "b", "c.d", "_"];

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Vec<Command>),
    /// Drop the tombstones that are older than this.
    Compact(Millis),
    /// Let time pass.
    Wait(Millis),
    /// An account comes online or goes offline.
    Presence(&'static str, bool),
}

/// All answers of a store during a history, and all its rows at the end.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    answers: Vec<String>,
    changes: Vec<Change>,
    everything: Everything,
    compacted: Revision,
    empty: bool,
}

/// All rows.
#[derive(Debug, Default, PartialEq)]
struct Everything {
    users: Vec<User>,
    online: Vec<OnlineAccount>,
    edges: Vec<Edge>,
    requests: Vec<Vec<Request>>,
    blocks: Vec<Block>,
    frozen: Vec<Profile>,
    credentials: Vec<Credential>,
    log: Vec<LoggedChange>,
    snapshot: Vec<SnapshotRow>,
}

fn commands() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(&NAMES[..]);
    let custom = prop::sample::select(vec!["", "x", "\0", "{}"]);
    let gender = prop::sample::select(vec![None, Some(rosterd_engine::model::Gender::Female)]);
    prop_oneof![
        4 => (name(), custom, gender).prop_map(|(name, custom, gender)| {
            profile(name, Fields { custom: Some(custom.into()), gender, ..Fields::default() })
        }),
        1 => (name(), "[xy]", 0..30u64).prop_map(|(name, text, version)| nick_if(name, &text, version)),
        1 => name().prop_map(delete),
        6 => (name(), name()).prop_map(|(a, b)| befriend(a, b)),
        3 => (name(), name()).prop_map(|(a, b)| unfriend(a, b)),
        9 => (name(), name(), 0..7u8).prop_map(|(a, b, what)| relation(a, b, what)),
        1 => (name(), any::<bool>()).prop_map(|(a, invisible)| set_presence(a, PresenceChange::hides(invisible))),
        1 => (name(), any::<u8>()).prop_map(|(a, number)| set_presence(a, status(number))),
        1 => (name(), 990..1020u64).prop_map(|(a, before)| revoke(a, before)),
        2 => (name(), prop::option::of(any::<u8>())).prop_map(|(a, byte)| token(a, byte)),
        4 => (name(), name(), 0..5u8).prop_map(|(a, b, what)| adopted(a, b, what)),
    ]
}

fn set_presence(name: &str, set: PresenceChange) -> Command {
    Command::SetPresence { account: account(name), set, if_version: None }
}

/// None, or one with or without an end.
fn status(number: u8) -> PresenceChange {
    let text = if number.is_multiple_of(3) { String::new() } else { format!("s{}", number / 8) };
    let until = (number % 3 == 1).then(|| 1_000_000 + u64::from(number));
    PresenceChange { status: GivenStatus::check(Some(text), until).unwrap(), ..PresenceChange::default() }
}

fn relation(a: &str, b: &str, what: u8) -> Command {
    match what {
        0 | 1 => ask(a, b, "please"),
        2 => accept(a, b),
        3 => reject(a, b),
        4 => block(a, b),
        5 => unblock(a, b),
        _ => {
            let note = FriendUpdate::check(Some("x".into()), Some("\0".into())).unwrap();
            Command::UpdateFriend { account: account(a), peer: account(b), note, if_version: None }
        }
    }
}

/// What comes from another store.
fn adopted(a: &str, b: &str, what: u8) -> Command {
    let line = match what {
        0 => format!(r#"{{"user":{{"account":"{a}","nick":"x","createTime":5,"invisible":true,"lastSeen":6}}}}"#),
        1 => format!(r#"{{"friend":{{"owner":"{a}","peer":"{b}","alias":"y","createTime":5}}}}"#),
        2 => format!(r#"{{"request":{{"sender":"{a}","receiver":"{b}","message":"hi","createTime":5}}}}"#),
        3 => format!(r#"{{"block":{{"owner":"{a}","peer":"{b}","lastSeen":6,"frozen":{{"nick":"old"}}}}}}"#),
        _ => format!(r#"{{"credential":{{"account":"{a}","revokedBefore":5}}}}"#),
    };
    // Two of the same are no pair.
    rosterd_protocol::import_line(&line).unwrap_or_else(|_| ask(a, b, "please"))
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(commands(), 1..4).prop_map(Step::Write),
        1 => (0..5u64).prop_map(Step::Compact),
        2 => (0..5u64).prop_map(Step::Wait),
        2 => (prop::sample::select(&NAMES[..]), any::<bool>()).prop_map(|(name, online)| Step::Presence(name, online)),
    ]
}

pub(super) async fn live_through(place: &Place, history: &[Step]) -> Outcome {
    let db = place.open();
    let mut now = 1000;
    let mut answers = Vec::new();
    for step in history {
        answers.push(match step {
            Step::Write(commands) => format!("{:?}", db.write(commands.clone()).await),
            Step::Compact(age) => format!("{:?}", db.store.compact(now - age).await),
            Step::Presence(name, online) => {
                let seen = Some(SeenPresence { online: *online, last_seen: now });
                let seen = PresenceRow { account: account(name), peer: None, seen, devices: Vec::new() };
                format!("{:?}", db.store.put_seen(vec![seen]).await)
            }
            Step::Wait(time) => {
                now += time;
                place.at(now);
                String::new()
            }
        });
    }
    let everything = everything(&db, 0).await;
    let (compacted, empty) = (db.store.lineage().compacted, db.store.is_empty().await.unwrap());
    Outcome { answers, changes: db.close().await.changes, everything, compacted, empty }
}

/// Reads all rows, in pages of two, and the log after a position.
async fn everything(db: &Running, after: Revision) -> Everything {
    let accounts: Vec<Account> = NAMES.iter().map(|name| account(name)).collect();
    let mut all = Everything::default();
    for owner in &accounts {
        all.credentials.push(db.store.credential(owner.clone()).await.unwrap());
        let mut after = None;
        loop {
            let page = db.store.page(owner.clone(), after, 2, Some(0)).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.peer.clone());
            all.edges.extend(page);
        }
        after = None;
        loop {
            let page = db.store.blocks(owner.clone(), after, 2, Some(0)).await.unwrap().rows;
            let Some(last) = page.last() else { break };
            after = Some(last.peer.clone());
            all.blocks.extend(page);
        }
        all.requests.push(db.store.requests(owner.clone(), None).await.unwrap());
        all.requests.push(db.store.requests(owner.clone(), Some(0)).await.unwrap());
        let mut frozen = db.store.frozen(owner.clone(), accounts.clone()).await.unwrap();
        frozen.sort_by_key(|profile| profile.account.clone());
        all.frozen.extend(frozen.iter().map(|profile| (**profile).clone()));
        let between = db.store.relations(owner.clone(), accounts.clone()).await.unwrap();
        assert!(between.blocks.iter().all(|block| all.blocks.contains(block)));
        assert!(between.edges.iter().all(|edge| all.edges.contains(edge)));
        for (since, few) in [(None, Some(1)), (Some(0), None)] {
            let me = vec![owner.clone()];
            let user = db.store.users_followed_by(owner.clone(), me, 1).await.unwrap().pop().filter(|_| few.is_some());
            let parts = LoginRows {
                user,
                lineage: db.store.lineage(),
                head: db.store.head(),
                credential: db.store.credential(owner.clone()).await.unwrap(),
                edges: db.store.listed(owner.clone(), None, 2, since).await.unwrap().rows,
                requests: db.store.requests(owner.clone(), since).await.unwrap(),
                blocks: db.store.blocks(owner.clone(), None, 2, since).await.unwrap().rows,
            };
            assert_eq!(db.store.login_rows(owner.clone(), 2, since, few).await.unwrap(), parts);
        }
    }
    all.log = db.logged(after).await;
    all.snapshot = snapshot(db).await;
    all.requests.push(db.store.stale_requests(Millis::MAX, 99).await.unwrap());
    all.requests.last_mut().unwrap().sort_by_key(|request| (request.sender.clone(), request.receiver.clone()));
    all.online = db.store.online().await.unwrap();
    all.online.sort_by_key(|online| online.account.clone());
    all.users = db.store.users(accounts).await.unwrap();
    all.users.sort_by_key(|user| user.profile.account.clone());
    all
}

/// Reads a snapshot, in pages of two.
async fn snapshot(db: &Running) -> Vec<SnapshotRow> {
    let mut all = Vec::new();
    for kind in SnapshotKind::ALL.into_iter().chain([SnapshotKind::Credentials]) {
        let mut after = None;
        loop {
            let page = db.log.snapshot_page(kind, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.key());
            all.extend(page);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_store_has_the_same_outcome(history in prop::collection::vec(steps(), 1..40)) {
        Runtime::new().unwrap().block_on(async {
            let expected = live_through(&Place::memory(), &history).await;
            for durable in Place::DURABLE.into_iter().filter_map(|place| place()) {
                let found = live_through(&durable, &history).await;
                prop_assert_eq!(&found, &expected);

                let reopened = durable.open();
                prop_assert_eq!(reopened.head, expected.changes.last().map_or(0, |change| change.revision));
                prop_assert_eq!(&everything(&reopened, 0).await, &expected.everything);
                prop_assert_eq!(reopened.store.lineage().compacted, expected.compacted);
                reopened.close().await;
                prop_assert_eq!(durable.miscounted(), Vec::<String>::new());
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_store_that_is_copied_to_postgresql_is_the_same(history in prop::collection::vec(steps(), 1..60)) {
        let (one, Some(other)) = (Place::sqlite(), Place::postgres()) else { return Ok(()) };
        Runtime::new().unwrap().block_on(async {
            let expected = live_through(&one, &history).await;
            let (path, url) = (one.path(), other.url());
            let copied = tokio::task::spawn_blocking(move || {
                postgres::copy_into(&url, sqlite::copy_source(&path).unwrap(), &mut |_, _| {})
            });
            copied.await.unwrap().unwrap();
            prop_assert_eq!(other.miscounted(), Vec::<String>::new());
            let (original, copy) = (one.open(), other.open());
            prop_assert_eq!(copy.head, original.head);
            prop_assert!(copy.store.lineage().epoch != original.store.lineage().epoch);
            prop_assert_eq!(copy.store.lineage().compacted, expected.compacted);
            // The log begins after the last revision.
            prop_assert_eq!(copy.log.log_extent().await.unwrap().floor, copy.head);
            let mut rows = expected.everything;
            rows.log.clear();
            prop_assert_eq!(&everything(&copy, copy.head).await, &rows);
            // Both go on in the same way.
            other.at(one.now.load(Ordering::Relaxed));
            let write = || vec![profile("a", Fields::default()), block("a", "b"), unblock("a", "b"), delete("b")];
            let (next, other_next) = (original.write(write()).await, copy.write(write()).await);
            prop_assert_eq!(format!("{next:?}"), format!("{other_next:?}"));
            original.close().await;
            copy.close().await;
            Ok(())
        })?;
    }
}
