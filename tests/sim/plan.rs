//! Draws the steps of a history from its seed before it begins.

use rosterd_protocol::{ClientCommand, v1};

use crate::client::{Corruption, Order};
use crate::disk::When;
use crate::random::Random;

pub const ACCOUNTS: u64 = 7;
/// Two for each account, in both encodings.
pub const CLIENTS: u64 = 2 * ACCOUNTS;
/// The wall clock at the beginning of a history.
pub const EPOCH: i64 = 1_700_000_000_000;
const STEPS: u64 = 150;
/// The number of steps between two rests.
const REST: u64 = 50;

/// One event of a history.
#[derive(Debug, Clone)]
pub enum Act {
    Client(u64, Order),
    /// A backend changes a profile.
    Write(u64),
    /// A backend changes a profile this often, one time after the other.
    Burst(u64, u64),
    Befriend(u64, u64),
    Unfriend(u64, u64),
    Erase(u64),
    Make(u64),
    /// Deletes an account and makes it again before anyone learns of the deletion.
    Remake(u64),
    Prefetch(u64, Vec<u64>),
    /// The process dies at a write that is sent now.
    Crash(When, u64),
    /// The process is killed at any point.
    Kill,
    BackUp,
    /// The process is killed, and starts on the last backup.
    Restore,
    /// The wall clock is set by so many milliseconds.
    Clock(i64),
    /// Tombstones are dropped, however young.
    Compact,
    WritesFail(u64),
    ReadsFail(u64),
    /// Other rules about who sees what come into force, at once or at a restart.
    Rules(u64, bool),
    /// All clients connect, everything settles, and is compared.
    Rest,
}

#[derive(Debug, Clone)]
pub struct Step {
    /// Milliseconds since the previous step.
    pub after: u64,
    pub act: Act,
}

pub fn account(n: u64) -> String {
    format!("u{n}")
}

/// The account of a client.
pub fn owner(client: u64) -> u64 {
    client % ACCOUNTS
}

/// Draws the steps of a seed.
pub fn plan(seed: u64) -> Vec<Step> {
    let random = Random::new(seed);
    let mut steps: Vec<_> = (0..ACCOUNTS).map(|n| Step { after: 0, act: Act::Make(n) }).collect();
    steps.extend((0..CLIENTS).map(|n| Step { after: random.below(30), act: Act::Client(n, Order::Connect) }));
    for at in 1..=STEPS {
        // Many steps at the same moment, some after a long silence.
        let after = match random.below(10) {
            0..4 => 0,
            4..9 => random.below(60),
            _ => random.below(3000),
        };
        steps.push(Step { after, act: act(&random) });
        if at % REST == 0 {
            steps.push(Step { after: random.below(200), act: Act::Rest });
        }
    }
    change_rules(seed, &mut steps);
    steps
}

/// Lets the rules change now and then, often twice in a row. These draw from a source of their own.
fn change_rules(seed: u64, steps: &mut Vec<Step>) {
    let random = Random::new(seed ^ 0x72_756c_6573);
    let first = (ACCOUNTS + CLIENTS) as usize;
    for _ in 0..4 {
        let at = first + random.index(steps.len() - first);
        for after in [random.below(100), random.below(2000)].into_iter().take(1 + random.index(2)) {
            let act = Act::Rules(random.next(), random.percent(30));
            steps.insert(at, Step { after, act });
        }
    }
}

fn act(random: &Random) -> Act {
    let (a, b) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
    let client = random.below(CLIENTS);
    match random.below(200) {
        0..60 => Act::Client(client, Order::Send(command(random))),
        60..74 => Act::Client(client, nick()),
        74..92 => Act::Client(client, connection_order(random)),
        92..104 => Act::Write(a),
        104..108 => Act::Burst(a, 5 + random.below(60)),
        108..128 => Act::Befriend(a, b),
        128..136 => Act::Unfriend(a, b),
        136..138 => Act::Erase(a),
        138 => Act::Remake(a),
        139..145 => Act::Make(a),
        145..149 => Act::Prefetch(a, vec![b, random.below(ACCOUNTS)]),
        149..155 => Act::Crash([When::Before, When::Inside, When::After][random.index(3)], a),
        155..157 => Act::Kill,
        157..160 => Act::BackUp,
        160..162 => Act::Restore,
        162..165 => Act::Clock([-86_400_000, -60_000, 1000, 3_600_000, 90_000_000][random.index(5)]),
        165..167 => Act::Compact,
        167..169 => Act::WritesFail(random.below(300)),
        169..171 => Act::ReadsFail(random.below(300)),
        171..179 => Act::Client(client, Order::Corrupt(Corruption::ALL[random.index(7)])),
        _ => Act::Client(client, Order::Connect),
    }
}

/// Hides or shows an account, or sets or clears a status, which may have an end: soon, or after everything else.
fn presence(number: u64) -> v1::SetPresence {
    let set = v1::SetPresence::default();
    let status = Some(format!("s{number}"));
    let after = |ms: u64| Some(EPOCH as u64 + ms);
    match number % 10 {
        0..3 => v1::SetPresence { invisible: Some(true), ..set },
        3..6 => v1::SetPresence { invisible: Some(false), ..set },
        6 => v1::SetPresence { status: Some(String::new()), ..set },
        7 => v1::SetPresence { status, ..set },
        8 => v1::SetPresence { status, until: after(5000 + number % 20_000), ..set },
        _ => v1::SetPresence { status, until: after(300 * 86_400_000), ..set },
    }
}

/// Orders a new nick. The nick itself is set when it is sent, so that each is different.
pub fn nick() -> Order {
    Order::Send(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick: Some(String::new()), ..Default::default() }))
}

pub fn connection_order(random: &Random) -> Order {
    match random.below(9) {
        0 | 1 => Order::Drop,
        2 => Order::Cut,
        3 => Order::Vanish,
        4 => Order::Deafen,
        5..8 => Order::Stall(random.below(3000)),
        _ => Order::Stall(random.below(20_000)),
    }
}

pub fn command(random: &Random) -> ClientCommand {
    let other = || account(random.below(ACCOUNTS));
    match random.below(24) {
        0..3 => {
            ClientCommand::AddFriend(v1::AddFriend { account: other(), message: ["", "hi"][random.index(2)].into() })
        }
        3..6 => ClientCommand::RequestFriend(v1::RequestFriend { account: other(), message: "please".into() }),
        6..8 => ClientCommand::AcceptFriend(v1::AcceptFriend { account: other() }),
        8 => ClientCommand::RejectFriend(v1::RejectFriend { account: other() }),
        9 => ClientCommand::CancelRequest(v1::CancelRequest { account: other() }),
        10..12 => ClientCommand::DeleteFriend(v1::DeleteFriend { account: other() }),
        12..14 => {
            let alias = Some(format!("alias {}", random.below(1000)));
            ClientCommand::UpdateFriend(v1::UpdateFriend { account: other(), alias, ..Default::default() })
        }
        14..16 => ClientCommand::Block(v1::Block { account: other(), if_version: None }),
        16..18 => ClientCommand::Unblock(v1::Unblock { account: other(), if_version: None }),
        18..20 => {
            let accounts = (0..random.below(4)).map(|_| other()).collect();
            ClientCommand::Watch(v1::Watch { accounts })
        }
        20 => ClientCommand::SetPresence(presence(random.next())),
        21 => {
            let number = random.next();
            if number.is_multiple_of(3) {
                let (account, muted) = (account(number / 3 % ACCOUNTS), !number.is_multiple_of(5));
                return ClientCommand::SetMuted(v1::SetMuted { account, muted, if_version: None });
            }
            let mood = v1::FieldValue { integer: Some((number % 1000) as i64), ..Default::default() };
            let fields = [("mood".to_owned(), mood)].into();
            ClientCommand::UpdateMyInfo(v1::UpdateMyInfo {
                custom: Some(format!("c{number}")),
                fields,
                ..Default::default()
            })
        }
        22 => ClientCommand::GetUsers(v1::GetUsers { accounts: vec![other(), "nobody".into()] }),
        _ => ClientCommand::Signal(v1::Signal { to: other(), payload: String::new() }),
    }
}
