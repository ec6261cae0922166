use std::sync::Arc;

use super::*;
use rosterd_engine::model::{
    Account, Added, Block, Cause, Change, ChosenPresence, Credential, Edge, Gender, LastChange, LoggedChange, Profile,
    Request, RequestSide, RequestState, Row, SeenChanges, SeenPresence, SessionId, StaticToken, Status, TokenHash,
    WriteOrigin,
};

fn account(name: &str) -> Account {
    Account::parse(name, "account").unwrap()
}

fn change(origin: WriteOrigin, cause: Cause, rows: Vec<Row>) -> Change {
    Change { revision: 9, time: 77, origin, cause, replaced: (1..=rows.len() as u64).collect(), rows }
}

/// A change of every kind, with a row of every kind.
fn changes() -> Vec<Change> {
    let (ann, bob) = (account("ann"), account("bob"));
    let (friends, everyone) = (LastChange { version: 7, time: 6 }, LastChange { version: 5, time: 4 });
    let profile = Profile {
        nick: "Ann".into(),
        custom: "\0".into(),
        gender: Gender::Female,
        friends,
        everyone,
        ..Profile::new(ann.clone(), 9, 3)
    };
    let edge = Edge { alias: "B".into(), custom: "c".into(), ..Edge::new(ann.clone(), bob.clone(), 9, 3) };
    let request = Request {
        sender: ann.clone(),
        receiver: bob.clone(),
        message: "hi".into(),
        state: RequestState::Rejected,
        side: RequestSide::Receiver,
        create_time: 1,
        update_time: 2,
        version: 9,
    };
    let plain = Block { presence: None, views: None, ..block_with_views(&ann, &bob, friends, everyone) };
    let block = |block| Row::Block { block, frozen: None };
    let credential = Credential { revoked_before: 5, token: None };
    vec![
        change(
            WriteOrigin::Client(SessionId(u64::MAX)),
            Cause::UserUpdated(vec!["nick".into(), "later".into()]),
            vec![Row::Profile(Arc::new(profile))],
        ),
        change(WriteOrigin::Login, Cause::UserCreated, vec![Row::Profile(Arc::new(Profile::new(ann.clone(), 9, 0)))]),
        change(
            WriteOrigin::Key("crm".into()),
            Cause::UserDeleted,
            vec![
                Row::Gone { account: ann.clone(), version: 9 },
                Row::Edge(Edge::tombstone(ann.clone(), bob.clone(), 9, 3)),
                block(plain),
            ],
        ),
        change(WriteOrigin::Import, Cause::FriendAdded(Added::Backend), vec![Row::Edge(edge)]),
        change(WriteOrigin::KeyImport("crm".into()), Cause::UserCreated, Vec::new()),
        change(WriteOrigin::Expiry, Cause::RequestExpired, vec![Row::Request(request)]),
        change(WriteOrigin::Import, Cause::BlockRemoved, vec![block(block_with_views(&ann, &bob, friends, everyone))]),
        change(
            WriteOrigin::Import,
            Cause::PresenceSet,
            vec![
                Row::Presence {
                    account: ann.clone(),
                    chosen: ChosenPresence { hides: true, version: 9, status: None },
                    turned: Some(3),
                },
                Row::Presence {
                    account: bob.clone(),
                    chosen: ChosenPresence {
                        hides: false,
                        version: 9,
                        status: Some(Arc::new(Status { text: "lunch".into(), until: Some(7), time: 5 })),
                    },
                    turned: None,
                },
            ],
        ),
        change(WriteOrigin::Import, Cause::TokensRevoked, vec![Row::Credential { account: ann, credential }]),
    ]
}

fn logged(changes: &[Change], erased: bool) -> Vec<LoggedChange> {
    changes.iter().map(|change| LoggedChange { change: change.clone(), erased }).collect()
}

#[test]
fn what_is_encoded_is_read_back() {
    let changes = changes();
    assert_eq!(decode_changes(&encode_changes(&changes)).unwrap(), logged(&changes, false));
    let erased = logged(&changes, true);
    assert_eq!(decode_changes(&encode_logged(&erased)).unwrap(), erased);
    let causes = [
        Cause::FriendAdded(Added::Direct),
        Cause::FriendAdded(Added::Request),
        Cause::FriendRemoved,
        Cause::FriendUpdated(vec!["alias".into()]),
        Cause::RequestCreated,
        Cause::RequestAccepted,
        Cause::RequestRejected,
        Cause::RequestCancelled,
        Cause::BlockAdded,
        Cause::TokenSet,
        Cause::TokenRemoved,
    ];
    let changes: Vec<_> = causes.into_iter().map(|cause| change(WriteOrigin::Import, cause, Vec::new())).collect();
    assert_eq!(decode_changes(&encode_changes(&changes)).unwrap(), logged(&changes, false));
}

#[test]
fn what_the_change_says_already_is_not_in_its_rows_again() {
    let (ann, bob) = (account("ann"), account("bob"));
    let last = LastChange { version: 9, time: 1_700_000_000_077 };
    let before = LastChange { version: 8, time: last.time };
    let updated = |friends, everyone| {
        let profile = Profile { friends, everyone, ..Profile::new(ann.clone(), last.version, 3) };
        let rows = vec![Row::Profile(Arc::new(Profile { update_time: last.time, ..profile }))];
        Change { time: last.time, ..change(WriteOrigin::Login, Cause::UserUpdated(Vec::new()), rows) }
    };
    let mut sizes = Vec::new();
    for (friends, everyone) in [(last, last), (last, before), (before, before)] {
        let changes = [updated(friends, everyone)];
        let bytes = encode_changes(&changes);
        sizes.push(bytes.len());
        assert_eq!(decode_changes(&bytes).unwrap(), logged(&changes, false));
    }
    // A revision and a time take 11 bytes with their tags and the length.
    assert_eq!([sizes[1] - sizes[0], sizes[2] - sizes[1]], [11, 11]);
    let rows = vec![
        Row::Edge(Edge { update_time: last.time, ..Edge::new(ann.clone(), bob.clone(), 9, 3) }),
        Row::Edge(Edge::tombstone(ann, bob, 8, last.time)),
    ];
    let changes = [Change { time: last.time, ..change(WriteOrigin::Login, Cause::FriendRemoved, rows) }];
    assert_eq!(decode_changes(&encode_changes(&changes)).unwrap(), logged(&changes, false));
}

#[test]
fn secrets_and_frozen_profiles_are_left_out() {
    let ann = account("ann");
    let frozen = Arc::new(Profile { nick: "Frozen".into(), ..Profile::new(ann.clone(), 1, 1) });
    let block = block_with_views(&ann, &account("bob"), frozen.friends, frozen.everyone);
    let token = StaticToken { hash: TokenHash { salt: [71; 16], hash: [83; 32] }, issued: 3 };
    let rows = vec![
        Row::Block { block, frozen: Some(frozen) },
        Row::Credential { account: ann, credential: Credential { revoked_before: 1, token: Some(token) } },
    ];
    let bytes = encode_changes(&[change(WriteOrigin::Import, Cause::BlockAdded, rows)]);
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
    assert!(!holds(b"Frozen") && !holds(&[71; 16]) && !holds(&[83; 32]));
}

#[test]
fn nonsense_is_refused() {
    let bytes = encode_changes(&changes());
    for end in 1..bytes.len() {
        // A cut may fall between two changes; it never panics.
        let _ = decode_changes(&bytes[..end]);
    }
    assert_eq!(decode_changes(b"nonsense"), Err(MalformedChange));
}

fn block_with_views(owner: &Account, peer: &Account, friends: LastChange, everyone: LastChange) -> Block {
    Block {
        owner: owner.clone(),
        peer: peer.clone(),
        removed: true,
        presence: Some(SeenPresence { online: true, last_seen: 8 }),
        views: Some(SeenChanges { friends, everyone }),
        create_time: 1,
        update_time: 2,
        version: 9,
    }
}
