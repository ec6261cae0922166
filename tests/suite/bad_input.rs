//! Commands with something wrong in them: each gets an error that names it, nothing is written, the session lives on.

use hyper::Method;
use prost::Message;
use rosterd_protocol::{ClientCommand, Encoding, v1};

use crate::raw::{Raw, payload};
use crate::support::{Gateway, World, to};

/// A frame that is answered with an error.
struct Bad {
    what: String,
    payload: Vec<u8>,
    id: u64,
    code: u32,
    field: Option<&'static str>,
    /// A part of the message.
    says: &'static str,
}

/// The number of every bad command that has one.
const ID: u64 = 77;

fn bad(what: &str, payload: Vec<u8>, (code, field, says): (u32, Option<&'static str>, &'static str)) -> Bad {
    let id = if field == Some("id") { 0 } else { ID };
    Bad { what: what.to_owned(), payload, id, code, field, says }
}

/// What is wrong in the same way in both encodings.
fn in_any_encoding(encoding: Encoding) -> Vec<Bad> {
    let name = |n: usize| format!("someone{n}");
    let get = |accounts: Vec<String>| ClientCommand::GetUsers(v1::GetUsers { accounts });
    let set = ClientCommand::UpdateMyInfo;
    let none = v1::UpdateMyInfo::default;
    let some = |text: &str| Some(text.to_owned());
    let times = |text: &str, n| Some(text.repeat(n));
    let mut cases = vec![
        (
            "a second login",
            ClientCommand::Login(v1::Login { token: "alice".into(), ..Default::default() }),
            (417, None, ""),
        ),
        ("151 accounts", get((0..151).map(name).collect()), (419, Some("accounts"), "at most 150")),
        ("an account with a blank", get(vec!["bob".into(), "a b".into()]), (414, Some("accounts[1]"), "characters")),
        ("an account with a slash", get(vec!["a/b".into()]), (414, Some("accounts[0]"), "characters")),
        ("an account of letters beyond ASCII", get(vec!["jürgen".into()]), (414, Some("accounts[0]"), "characters")),
        ("an empty account", get(vec![String::new()]), (414, Some("accounts[0]"), "characters")),
        ("an account of 33 characters", get(vec!["x".repeat(33)]), (414, Some("accounts[0]"), "32")),
        ("no leaves", ClientCommand::Repair(v1::Repair::default()), (414, Some("leaves"), "0 numbers, not 64")),
        ("63 leaves", ClientCommand::Repair(v1::Repair { leaves: vec![1; 63] }), (414, Some("leaves"), "63 numbers")),
        ("65 leaves", ClientCommand::Repair(v1::Repair { leaves: vec![1; 65] }), (414, Some("leaves"), "65 numbers")),
        (
            "another version",
            set(v1::UpdateMyInfo { nick: some("x"), if_version: Some(1 << 40), ..none() }),
            (412, Some("ifVersion"), "version"),
        ),
    ];
    let too_long = [
        ("nick", v1::UpdateMyInfo { nick: times("漢", 65), ..none() }),
        ("avatar", v1::UpdateMyInfo { avatar: times("漢", 1025), ..none() }),
        ("sign", v1::UpdateMyInfo { sign: times("漢", 257), ..none() }),
        ("email", v1::UpdateMyInfo { email: Some(format!("{}x", longest_email())), ..none() }),
        ("birth", v1::UpdateMyInfo { birth: times("1", 17), ..none() }),
        ("tel", v1::UpdateMyInfo { tel: times("漢", 33), ..none() }),
        ("custom", v1::UpdateMyInfo { custom: times("😀", 1025), ..none() }),
    ];
    cases.extend(too_long.map(|(field, update)| (field, set(update), (414, Some(field), "is longer than"))));
    for email in ["ann", "ann@", "@example.com", "ann@@example.com", "a b@example.com"] {
        cases.push((
            "an e-mail address",
            set(v1::UpdateMyInfo { email: some(email), ..none() }),
            (414, Some("email"), "e-mail"),
        ));
    }
    for birth in ["soon", "1990-5-4", "1990-13-01", "2023-02-29", "1990-05-04T00", "１９９０-05-04"] {
        cases.push((
            "a birth",
            set(v1::UpdateMyInfo { birth: some(birth), ..none() }),
            (414, Some("birth"), "yyyy-mm-dd"),
        ));
    }
    cases.push(("U+0000", set(v1::UpdateMyInfo { nick: some("a\0b"), ..none() }), (414, Some("nick"), "U+0000")));
    // One good field does not go in without the bad one.
    let half = v1::UpdateMyInfo { nick: some("half"), birth: some("soon"), ..none() };
    cases.push(("a good field beside a bad one", set(half), (414, Some("birth"), "yyyy-mm-dd")));
    cases.into_iter().map(|(what, command, expected)| bad(what, payload(encoding, command, ID), expected)).collect()
}

/// The commands about relations, devices and presence, wrong in the same way in both encodings.
fn about_others(encoding: Encoding) -> Vec<Bad> {
    let mut cases = Vec::new();
    let all = [to::add, to::ask, to::accept, to::reject, to::cancel, to::delete, to::note, to::block, to::unblock];
    for command in all as [fn(&str) -> ClientCommand; 9] {
        let name = command("x").name();
        for (account, code, says) in [
            ("", 414, "characters"),
            ("a b", 414, "characters"),
            ("a/b", 414, "characters"),
            ("jürgen", 414, "characters"),
            ("a\0", 414, "characters"),
            (&"x".repeat(33), 414, "32"),
            ("alice", 414, "itself"),
        ] {
            cases.push((format!("{name} {account:?}"), command(account), (code, Some("account"), says)));
        }
        if name != "unblock" {
            cases.push((
                format!("{name} nobody"),
                command("nobody"),
                (404, Some("account"), "\"nobody\" does not exist"),
            ));
        }
    }
    let long = |n| "漢".repeat(n);
    let note = |alias, custom| {
        ClientCommand::UpdateFriend(v1::UpdateFriend { account: "bob".into(), alias, custom, if_version: None })
    };
    let kick = |sessions: &[&str]| {
        ClientCommand::Kick(v1::Kick { sessions: sessions.iter().map(|s| (*s).to_owned()).collect() })
    };
    let watch = |accounts: &[&str]| {
        ClientCommand::Watch(v1::Watch { accounts: accounts.iter().map(|a| (*a).to_owned()).collect() })
    };
    let signal = |to: &str, payload| ClientCommand::Signal(v1::Signal { to: to.to_owned(), payload });
    let ask = |message| ClientCommand::RequestFriend(v1::RequestFriend { account: "carol".into(), message });
    let add = |message| ClientCommand::AddFriend(v1::AddFriend { account: "carol".into(), message });
    cases.extend([
        ("a long message".to_owned(), ask(long(257)), (414, Some("message"), "256")),
        ("a long message".to_owned(), add(long(257)), (414, Some("message"), "256")),
        ("U+0000 in a message".to_owned(), ask("a\0".into()), (414, Some("message"), "U+0000")),
        ("a long alias".to_owned(), note(Some(long(129)), None), (414, Some("alias"), "128")),
        ("U+0000 in an alias".to_owned(), note(Some("a\0".into()), None), (414, Some("alias"), "U+0000")),
        ("a long custom".to_owned(), note(Some("ok".into()), Some(long(257))), (414, Some("custom"), "256")),
        ("no session".to_owned(), kick(&["0123456789abcdef", "mine"]), (414, Some("sessions[1]"), "")),
        ("watched wrongly".to_owned(), watch(&["bob", ""]), (414, Some("accounts[1]"), "characters")),
        ("a signal to nobody".to_owned(), signal("nobody", String::new()), (404, Some("to"), "does not exist")),
        ("a signal to no account".to_owned(), signal("a b", String::new()), (414, Some("to"), "characters")),
        ("a large signal".to_owned(), signal("bob", "x".repeat(4097)), (414, Some("payload"), "4096")),
    ]);
    cases.into_iter().map(|(what, command, expected)| bad(&what, payload(encoding, command, ID), expected)).collect()
}

/// The same commands, wrong as only JSON can be: a field of another type, or that is missing, which is an empty one.
fn about_others_in_json() -> Vec<Bad> {
    let mut cases = Vec::new();
    let commands = [
        "addFriend",
        "requestFriend",
        "acceptFriend",
        "rejectFriend",
        "cancelRequest",
        "deleteFriend",
        "updateFriend",
        "block",
        "unblock",
    ];
    for name in commands {
        for (body, field, says) in [
            (r#"{"account":5}"#, "account", "expected a string"),
            (r#"{"account":["bob"]}"#, "account", "expected a string"),
            (r#"{"account":"bob","account":"bob"}"#, "account", "given twice"),
            (r#"{"account":null}"#, "account", "characters"),
            ("{}", "account", "characters"),
            (r#"["bob"]"#, name, "expected an object"),
            (r#""bob""#, name, "expected an object"),
            ("null", name, "expected an object"),
        ] {
            cases.push((format!(r#"{{"id":77,"{name}":{body}}}"#), field, says));
        }
    }
    for (body, field, says) in [
        (r#""requestFriend":{"account":"carol","message":5}"#, "message", "expected a string"),
        (r#""addFriend":{"account":"carol","message":{}}"#, "message", "expected a string"),
        (r#""updateFriend":{"account":"bob","alias":5}"#, "alias", "expected a string"),
        (r#""updateFriend":{"account":"bob","alias":"x","custom":[]}"#, "custom", "expected a string"),
        (r#""kick":{"sessions":"mine"}"#, "sessions", "expected a sequence"),
        (r#""kick":{"sessions":[5]}"#, "sessions[0]", "expected a string"),
        (r#""kick":{"sessions":[null]}"#, "sessions[0]", "expected a string"),
        (r#""watch":{"accounts":"bob"}"#, "accounts", "expected a sequence"),
        (r#""watch":{"accounts":["bob",{}]}"#, "accounts[1]", "expected a string"),
        (r#""signal":{"payload":"x"}"#, "to", "characters"),
        (r#""signal":{"to":"bob","payload":5}"#, "payload", "expected a string"),
        (r#""setPresence":{"invisible":"yes"}"#, "invisible", "expected a boolean"),
        (r#""setPresence":{"invisible":1}"#, "invisible", "expected a boolean"),
        (r#""setPresence":{"status":5}"#, "status", "expected a string"),
        (r#""setPresence":{"status":"x","until":"soon"}"#, "until", "expected u64"),
        (r#""setPresence":{"status":"x","until":-1}"#, "until", "expected u64"),
        (r#""setPresence":{"status":"x","until":1}"#, "until", "in the past"),
        (r#""setPresence":{"until":1}"#, "until", "give status as well"),
        (r#""setPresence":null"#, "setPresence", "expected an object"),
        (r#""setPresence":{"invisible":true,"ifVersion":true}"#, "ifVersion", "expected u64"),
        (r#""updateFriend":{"account":"bob","alias":"x","ifVersion":"1"}"#, "ifVersion", "expected u64"),
        (r#""block":{"account":"bob","ifVersion":-1}"#, "ifVersion", "expected u64"),
        (r#""unblock":{"account":"bob","ifVersion":1.5}"#, "ifVersion", "expected u64"),
        (r#""getSessions":[]"#, "getSessions", "expected an object"),
    ] {
        cases.push((format!(r#"{{"id":77,{body}}}"#), field, says));
    }
    cases.into_iter().map(|(text, field, says)| bad(&text, text.clone().into(), (414, Some(field), says))).collect()
}

fn in_json() -> Vec<Bad> {
    [
        (r#"{"id":77,"frobnicate":{}}"#, None, "frobnicate"),
        (r#"{"id":77}"#, None, "no command"),
        (r#"{"id":77,"updateMyInfo":{"nick":"x"},"getUsers":{}}"#, None, "more than one"),
        (r#"{"id":77,"updateMyInfo":{"nick":"x"},"updateMyInfo":{}}"#, None, "more than one"),
        (r#"{"id":77,"updateMyInfo":{"nick":5}}"#, Some("nick"), "expected a string"),
        (r#"{"id":77,"updateMyInfo":{"nick":["x"]}}"#, Some("nick"), "expected a string"),
        (r#"{"id":77,"updateMyInfo":{"nick":"x","nick":"y"}}"#, Some("nick"), "given twice"),
        (r#"{"id":77,"updateMyInfo":"x"}"#, Some("updateMyInfo"), "expected an object"),
        (r#"{"id":77,"updateMyInfo":["x"]}"#, Some("updateMyInfo"), "expected an object"),
        (r#"{"id":77,"updateMyInfo":null}"#, Some("updateMyInfo"), "expected an object"),
        (r#"{"id":77,"updateMyInfo":{"gender":"other"}}"#, Some("gender"), "expected one of"),
        (r#"{"id":77,"updateMyInfo":{"gender":1}}"#, Some("gender"), "expected a string"),
        (r#"{"id":77,"updateMyInfo":{"nick":"x","ifVersion":"1"}}"#, Some("ifVersion"), "expected u64"),
        (r#"{"id":77,"updateMyInfo":{"nick":"x","ifVersion":1.5}}"#, Some("ifVersion"), "expected u64"),
        (r#"{"id":77,"getUsers":{"accounts":"bob"}}"#, Some("accounts"), "expected a sequence"),
        (r#"{"id":77,"repair":{"leaves":[0,-1]}}"#, Some("leaves[1]"), "expected u32"),
        (r#"{"id":77,"repair":{"leaves":[4294967296]}}"#, Some("leaves[0]"), "expected u32"),
        (r#"{"id":77,"repair":{"leaves":[0,0.5]}}"#, Some("leaves[1]"), "expected u32"),
        (r#"{"id":77,"repair":{"leaves":{}}}"#, Some("leaves"), "expected a sequence"),
        (r#"{"id":77,"getUsers":{"accounts":["bob",1]}}"#, Some("accounts[1]"), "expected a string"),
        (r#"{"id":0,"updateMyInfo":{"nick":"x"}}"#, Some("id"), "at least 1"),
        (r#"{"id":-7,"updateMyInfo":{"nick":"x"}}"#, Some("id"), "at least 1"),
        (r#"{"id":"77","updateMyInfo":{"nick":"x"}}"#, Some("id"), "at least 1"),
        (r#"{"id":7.5,"updateMyInfo":{"nick":"x"}}"#, Some("id"), "at least 1"),
        (r#"{"id":1,"id":2,"updateMyInfo":{"nick":"x"}}"#, Some("id"), "at least 1"),
        (r#"{"updateMyInfo":{"nick":"x"}}"#, Some("id"), "at least 1"),
    ]
    .map(|(text, field, says)| bad(text, text.into(), (414, field, says)))
    .into()
}

fn in_protobuf() -> Vec<Bad> {
    let nick = v1::UpdateMyInfo { nick: Some("x".into()), ..Default::default() };
    let gender = |number| v1::UpdateMyInfo { nick: Some("x".into()), gender: Some(number), ..Default::default() };
    let frame = |id, command: &v1::UpdateMyInfo| ClientCommand::UpdateMyInfo(command.clone()).frame(id).encode_to_vec();
    let two = v1::ClientFrame {
        id: ID,
        update_my_info: Some(nick.clone()),
        logout: Some(v1::Logout {}),
        ..Default::default()
    };
    vec![
        // Field 100, a message of no bytes; field 1 is the id.
        bad("an unknown command", vec![0x08, 77, 0xa2, 0x06, 0x00], (414, None, "no known command")),
        bad("no command", vec![0x08, 77], (414, None, "no known command")),
        bad("two commands", two.encode_to_vec(), (414, None, "more than one")),
        bad("a gender without a name", frame(ID, &gender(3)), (414, Some("gender"), "unknown, male or female")),
        bad("a negative gender", frame(ID, &gender(-1)), (414, Some("gender"), "unknown, male or female")),
        bad("no id", frame(0, &nick), (414, Some("id"), "at least 1")),
    ]
}

/// 64 characters, most of them of several bytes.
fn longest_email() -> String {
    let email = format!("{}@{}.{}.de", "é".repeat(20), "ü".repeat(20), "ö".repeat(19));
    assert_eq!(email.chars().count(), 64);
    email
}

async fn version(gateway: &Gateway, account: &str) -> u64 {
    gateway.user(account).await["version"].as_u64().unwrap()
}

#[tokio::test]
async fn a_bad_command_is_answered_with_its_code_and_field_writes_nothing_and_the_session_lives_on() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob")]).await;
    let before = version(&gateway, "alice").await;
    let kept = gateway.call(Method::GET, "/v1/users/alice/export", "").await.1;
    for encoding in Encoding::ALL {
        let mut alice = Raw::login(&gateway, "alice", encoding).await;
        let special = if encoding == Encoding::Json { in_json() } else { in_protobuf() };
        let mut all = in_any_encoding(encoding);
        all.extend(special);
        all.extend(about_others(encoding));
        if encoding == Encoding::Json {
            all.extend(about_others_in_json());
        }
        for Bad { what, payload, id, code, field, says } in all {
            let what = format!("{encoding:?}, {what}");
            let reply = alice.ask(payload).await;
            let error = reply.error.as_ref().unwrap_or_else(|| panic!("{what}: {reply:?}"));
            assert_eq!((reply.id, error.code, error.field.as_deref()), (id, code, field), "{what}: {error:?}");
            assert!(error.message.contains(says), "{what}: {error:?}");
            alice.assert_alive(&what).await;
            assert_eq!(version(&gateway, "alice").await, before, "{what}");
        }
        let now = gateway.call(Method::GET, "/v1/users/alice/export", "").await.1;
        for list in ["user", "friends", "requests", "blocks"] {
            assert_eq!(now[list], kept[list], "{encoding:?}");
        }
    }
}

#[tokio::test]
async fn a_null_is_a_field_that_is_absent() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    let mut alice = Raw::login(&gateway, "alice", Encoding::Json).await;
    for (text, reply) in [
        (r#"{"id":77,"requestFriend":{"account":"bob","message":null}}"#, "requestFriendReply"),
        (r#"{"id":77,"cancelRequest":{"account":"bob"}}"#, "cancelRequestReply"),
        (r#"{"id":77,"addFriend":{"account":"bob"}}"#, "addFriendReply"),
        (r#"{"id":77,"updateFriend":{"account":"bob","alias":null,"custom":null}}"#, "updateFriendReply"),
        (r#"{"id":77,"watch":{"accounts":null}}"#, "watchReply"),
        (r#"{"id":77,"kick":{}}"#, "kickReply"),
        (r#"{"id":77,"signal":{"to":"bob","payload":null}}"#, "signalReply"),
        (r#"{"id":77,"setPresence":{"invisible":null}}"#, "setPresenceReply"),
        (r#"{"id":77,"getSessions":{"unknown":1}}"#, "getSessionsReply"),
    ] {
        alice.message(text).await;
        let frame = loop {
            let frame = alice.server().await;
            if frame.id == ID {
                break serde_json::to_value(&frame).unwrap();
            }
        };
        assert!(frame[reply].is_object(), "{text}: {frame}");
    }
}

#[tokio::test]
async fn limits_count_characters_and_what_just_fits_is_kept_as_it_is() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    for (encoding, filler) in [(Encoding::Json, "漢"), (Encoding::Protobuf, "😀")] {
        let mut alice = gateway.login("alice", encoding).await;
        let full = v1::UpdateMyInfo {
            nick: Some(filler.repeat(64)),
            avatar: Some(filler.repeat(1024)),
            sign: Some(filler.repeat(256)),
            gender: Some(v1::Gender::Female as i32),
            email: Some(longest_email()),
            birth: Some("2024-02-29".to_owned()),
            tel: Some(filler.repeat(32)),
            // The one field that may hold anything.
            custom: Some(format!("\0{}", filler.repeat(1023))),
            if_version: None,
            fields: std::collections::BTreeMap::new(),
        };
        let user =
            alice.request(ClientCommand::UpdateMyInfo(full.clone())).await.update_my_info_reply.unwrap().user.unwrap();
        let kept = v1::UpdateMyInfo {
            nick: Some(user.nick.clone()),
            avatar: Some(user.avatar.clone()),
            sign: Some(user.sign.clone()),
            gender: Some(user.gender),
            email: Some(user.email.clone()),
            birth: Some(user.birth.clone()),
            tel: Some(user.tel.clone()),
            custom: Some(user.custom.clone()),
            if_version: None,
            fields: user.fields.clone(),
        };
        assert_eq!(kept, full);
        assert_eq!(serde_json::to_value(&user).unwrap(), gateway.user("alice").await);
    }
}

#[tokio::test]
async fn an_account_of_32_characters_and_150_accounts_are_fine() {
    let world = World::new();
    let gateway = world.start();
    let longest = "Zz9_@.-".repeat(5)[..32].to_owned();
    gateway.populate(&[&longest], &[]).await;
    for encoding in Encoding::ALL {
        let mut peer = gateway.login(&longest, encoding).await;
        let accounts = (0..149).map(|n| format!("nobody{n}")).chain([longest.clone()]).collect();
        let reply = peer.request(ClientCommand::GetUsers(v1::GetUsers { accounts })).await.get_users_reply.unwrap();
        assert_eq!((reply.users.len(), reply.missing.len()), (1, 149));
        assert_eq!((reply.users[0].account.as_str(), reply.missing[148].as_str()), (longest.as_str(), "nobody148"));
        // Named twice is answered once.
        let twice = vec![longest.clone(), longest.clone(), "nobody".into(), "nobody".into()];
        let reply =
            peer.request(ClientCommand::GetUsers(v1::GetUsers { accounts: twice })).await.get_users_reply.unwrap();
        assert_eq!((reply.users.len(), reply.missing.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_version_that_matches_lets_the_change_through() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let held = version(&gateway, "alice").await;
    let mut alice = gateway.login("alice", Encoding::Protobuf).await;
    let update = v1::UpdateMyInfo { nick: Some("Ally".into()), if_version: Some(held), ..Default::default() };
    let reply = alice.request(ClientCommand::UpdateMyInfo(update)).await.update_my_info_reply.unwrap();
    assert!(reply.user.unwrap().version > held);
}

#[tokio::test]
async fn of_a_field_that_protobuf_repeats_the_last_one_counts() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = Raw::login(&gateway, "alice", Encoding::Protobuf).await;
    let update = |nick: &str| v1::UpdateMyInfo { nick: Some(nick.into()), ..Default::default() };
    let mut bytes = ClientCommand::UpdateMyInfo(update("first")).frame(ID).encode_to_vec();
    bytes.extend(ClientCommand::UpdateMyInfo(update("last")).frame(ID).encode_to_vec());
    let user = alice.ask(bytes).await.update_my_info_reply.unwrap().user.unwrap();
    assert_eq!(user.nick, "last");
}

#[tokio::test]
async fn before_the_login_only_a_login_is_taken_and_it_still_works_afterwards() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    for encoding in Encoding::ALL {
        let mut raw = Raw::open(&gateway, encoding).await;
        raw.message(encoding.heartbeat()).await;
        for command in [
            ClientCommand::GetUsers(v1::GetUsers { accounts: vec!["alice".into()] }),
            ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick: Some("x".into()), ..Default::default() }),
            ClientCommand::Refresh(v1::Refresh { token: "alice".into() }),
            ClientCommand::Repair(v1::Repair { leaves: vec![0; 64] }),
            ClientCommand::Logout(v1::Logout {}),
        ] {
            let error = raw.command(command).await.error.unwrap();
            assert_eq!((error.code, error.reason.as_str()), (302, "UNAUTHENTICATED"));
        }
        let unnumbered = payload(encoding, ClientCommand::Logout(v1::Logout {}), 0);
        assert_eq!(raw.ask(unnumbered).await.error.unwrap().field.as_deref(), Some("id"));
        let reply = raw.log_in("alice").await.login_reply.unwrap();
        assert_eq!(reply.account, "alice");
    }
    assert_eq!(gateway.user("alice").await["nick"], "alice");
}
