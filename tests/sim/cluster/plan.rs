//! Draws the steps of a history of several gateways from its seed before it begins.

use super::server::CommitFault;
use crate::client::Order;
use crate::plan::{ACCOUNTS, CLIENTS, command, connection_order, nick};
use crate::random::Random;

/// How many gateways there are.
pub const GATEWAYS: u64 = 3;
const STEPS: u64 = 80;
/// The number of steps between two rests.
const REST: u64 = 40;

/// One event of a history. Gateways are named by their numbers.
#[derive(Debug, Clone)]
pub enum ClusterAct {
    Client(u64, Order),
    /// A client goes to another gateway, or to the same.
    Move(u64),
    /// A backend changes a profile this often, through a gateway.
    Write(u64, u64, u64),
    Befriend(u64, u64, u64),
    Unfriend(u64, u64, u64),
    Erase(u64, u64),
    Make(u64, u64),
    Prefetch(u64, u64, u64),
    Kill(u64),
    /// All tasks of a gateway stand still for so many milliseconds.
    StandStill(u64, u64),
    /// A gateway does not reach the database for so many milliseconds.
    Cut(u64, u64),
    Commit(u64, CommitFault),
    /// The database is down for so many milliseconds.
    Crash(u64),
    /// A standby takes over after so many milliseconds, as it is or with everything.
    Promote(u64, bool),
    /// Tombstones are dropped, however young, through a gateway.
    Compact(u64),
    /// A friend leaves through a gateway while a client is away, and tombstones are dropped while it reads its friends again.
    ReturnAtCompaction(u64, u64),
    /// An operator changes the rules for all gateways, to those of a number.
    Rules(u64),
    /// All clients connect, everything settles, and is compared.
    Rest,
}

#[derive(Debug, Clone)]
pub struct ClusterStep {
    /// Milliseconds since the previous step.
    pub after: u64,
    pub act: ClusterAct,
}

/// Draws the steps of a seed.
pub fn plan(seed: u64) -> Vec<ClusterStep> {
    let random = Random::new(seed ^ 0x636c_7573_7465_7200);
    let make = |n| ClusterStep { after: 0, act: ClusterAct::Make(n % GATEWAYS, n) };
    let connect = |n| ClusterStep { after: random.below(30), act: ClusterAct::Client(n, Order::Connect) };
    let mut steps: Vec<_> = (0..ACCOUNTS).map(make).chain((0..CLIENTS).map(connect)).collect();
    for at in 1..=STEPS {
        // Many steps at the same moment, some after a long silence.
        let after = match random.below(10) {
            0..4 => 0,
            4..9 => random.below(80),
            _ => random.below(4000),
        };
        steps.push(ClusterStep { after, act: act(&random) });
        if at % REST == 0 {
            steps.push(ClusterStep { after: random.below(200), act: ClusterAct::Rest });
        }
    }
    steps
}

fn act(random: &Random) -> ClusterAct {
    let (a, b) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
    let (client, gateway) = (random.below(CLIENTS), random.below(GATEWAYS));
    match random.below(200) {
        0..46 => ClusterAct::Client(client, Order::Send(command(random))),
        46..56 => ClusterAct::Client(client, nick()),
        56..66 => ClusterAct::Client(client, connection_order(random)),
        66..90 => ClusterAct::Move(client),
        90..106 => ClusterAct::Write(gateway, a, 1 + random.below(3) * random.below(8)),
        106..124 => ClusterAct::Befriend(gateway, a, b),
        124..128 => ClusterAct::Unfriend(gateway, a, b),
        128..130 => ClusterAct::Rules(random.next()),
        130..132 => ClusterAct::Erase(gateway, a),
        132..138 => ClusterAct::Make(gateway, a),
        138..142 => ClusterAct::Prefetch(gateway, a, b),
        142..147 => ClusterAct::Kill(gateway),
        147..156 => ClusterAct::StandStill(gateway, random.below(6000)),
        156..163 => ClusterAct::Cut(gateway, random.below(6000)),
        163..177 => {
            let late = CommitFault::Late(50 + random.below(900));
            ClusterAct::Commit(gateway, [CommitFault::Lost, late, CommitFault::Unanswered][random.index(3)])
        }
        177..180 => ClusterAct::Crash(random.below(2000)),
        180..184 => ClusterAct::Promote(random.below(1500), random.percent(70)),
        184..186 => ClusterAct::Compact(gateway),
        186..192 => ClusterAct::ReturnAtCompaction(gateway, client),
        _ => ClusterAct::Client(client, Order::Connect),
    }
}
