//! Frames of a gateway in both encodings, as a client receives them: they are the same after encoding and decoding
//! again, and the client's replica keeps its invariants whatever they contain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rosterd_client::Replica;
use rosterd_protocol::{Encoding, v1};

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else { return };
    let encoding = Encoding::ALL[usize::from(first & 1)];
    let mut replica = Replica::default();
    // Each frame follows its length.
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (payload, after) = more.split_at(length);
        rest = after;
        if let Ok(frame) = encoding.decode_server(payload) {
            again(encoding, &frame);
            apply(&mut replica, &frame);
        }
    }
});

fn again(encoding: Encoding, frame: &v1::ServerFrame) {
    let mut written = Vec::new();
    encoding.encode(frame, &mut written);
    assert_eq!(encoding.decode_server(&written).as_ref(), Ok(frame));
}

fn apply(replica: &mut Replica, frame: &v1::ServerFrame) {
    let before = replica.clone();
    if let Some(reply) = &frame.login_reply {
        replica.begin(reply);
    }
    let applied = replica.apply(frame);
    if let Some(synced) = &frame.synced {
        let held = (replica.friends().len() as u64, replica.digest());
        assert_eq!(applied.is_ok(), held == (synced.count.into(), synced.digest), "a sync is believed if it adds up");
        assert_eq!(replica.is_synced(), applied.is_ok());
        return;
    }
    // No regress: outside of a full sync a record only moves to a higher version.
    for (account, held) in before.users() {
        let friend_came = frame.changes.iter().flat_map(|changes| &changes.friends).any(|f| f.account == *account);
        if let Some(now) = replica.users().get(account) {
            assert!(friend_came || left(frame, account) || now.version >= held.version, "{account} went back");
        }
    }
    for (account, held) in before.friends() {
        if let Some(now) = replica.friends().get(account) {
            assert!(left(frame, account) || now.version >= held.version, "the friend {account} went back");
        }
    }
    if let (Some(held), Some(now)) = (before.me(), replica.me()) {
        assert!(now.version >= held.version, "the own profile went back");
    }
}

fn left(frame: &v1::ServerFrame, account: &str) -> bool {
    frame.changes.iter().flat_map(|changes| &changes.removed).any(|removed| removed == account)
}
