//! The scenarios, one file each: the steps of each and the figures it reports.

mod celebrity;
mod failover;
mod fanout;
mod idle;
mod login;
mod slow;
mod write;

use std::time::Duration;

use super::graph::Graph;
use super::run::{Load, Run};
use crate::error::BenchError;

/// A scenario with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scenario {
    /// Changes go to friends.
    Fanout {
        /// How many users are online.
        users: u32,
        /// How many friends each has.
        friends: u32,
        /// The rate or number of updates under way.
        load: Load,
        /// How long the load runs before it is measured.
        warm_up: Duration,
        /// How long to measure.
        length: Duration,
    },
    /// Everyone logs in several times, with less and with more of the records already held.
    Login {
        /// How many users.
        users: u32,
        /// How many friends each has.
        friends: u32,
    },
    /// Everyone is online and nothing happens.
    Idle {
        /// How many users.
        users: u32,
        /// How many friends each has.
        friends: u32,
        /// How long nothing happens.
        rest: Duration,
    },
    /// One user's changes go to very many friends.
    Celebrity {
        /// How many friends are online.
        friends: u32,
        /// How many changes there are.
        updates: u32,
    },
    /// Everyone comes back at once.
    Storm {
        /// How many users.
        users: u32,
        /// How many friends each has.
        friends: u32,
    },
    /// Some stop reading for a while.
    Slow {
        /// How many users are online.
        users: u32,
        /// How many friends each has.
        friends: u32,
        /// Updates a second.
        rate: f64,
        /// How many stop reading.
        stalled: u32,
        /// How long to measure before they stop.
        length: Duration,
        /// How long they do not read.
        stall: Duration,
    },
    /// One of several gateways dies, and its clients come back to the others.
    Failover {
        /// How many users are online.
        users: u32,
        /// How many friends each has.
        friends: u32,
        /// How long to wait until a gateway dies.
        patience: Duration,
        /// How long to look what friends are told, once all are back.
        rest: Duration,
    },
    /// Updates that go to nobody are made durable.
    Write {
        /// How many write at once.
        writers: u32,
        /// How long to measure, first with one of them and then with all.
        length: Duration,
    },
}

impl Scenario {
    /// Returns its name on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fanout { .. } => "fanout",
            Self::Login { .. } => "login",
            Self::Idle { .. } => "idle",
            Self::Celebrity { .. } => "celebrity",
            Self::Storm { .. } => "storm",
            Self::Slow { .. } => "slow",
            Self::Failover { .. } => "failover",
            Self::Write { .. } => "write",
        }
    }

    /// Returns the friendships it needs, and a short word that no other friendships have.
    ///
    /// # Errors
    /// There is no such graph.
    pub fn graph(&self, seed: u64) -> Result<(Graph, String), String> {
        match *self {
            Self::Fanout { friends: 0, .. } | Self::Slow { friends: 0, .. } | Self::Celebrity { friends: 0, .. } => {
                Err("without friends there is nobody to tell: give --friends".to_owned())
            }
            Self::Celebrity { friends, .. } => Ok((Graph::star(friends), format!("star{friends}"))),
            Self::Write { writers: users, .. } => Ok((Graph::regular(users, 0, seed)?, format!("{users}x0"))),
            Self::Fanout { users, friends, .. }
            | Self::Login { users, friends }
            | Self::Idle { users, friends, .. }
            | Self::Storm { users, friends }
            | Self::Failover { users, friends, .. }
            | Self::Slow { users, friends, .. } => {
                Ok((Graph::regular(users, friends, seed)?, format!("{users}x{friends}s{seed}")))
            }
        }
    }

    /// Runs the scenario.
    ///
    /// # Errors
    /// The run could not finish.
    pub(super) fn play(&self, run: &mut Run) -> Result<(), BenchError> {
        match *self {
            Self::Fanout { load, warm_up, length, .. } => fanout::fanout(run, load, warm_up, length),
            Self::Login { .. } => login::login(run),
            Self::Idle { rest, .. } => idle::idle(run, rest),
            Self::Celebrity { updates, .. } => celebrity::celebrity(run, updates),
            Self::Storm { .. } => login::storm(run),
            Self::Slow { rate, stalled, length, stall, .. } => slow::slow(run, rate, stalled, length, stall),
            Self::Failover { patience, rest, .. } => failover::failover(run, patience, rest),
            Self::Write { length, .. } => write::write(run, length),
        }
    }
}
