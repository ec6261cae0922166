//! How much of everything: little in `cargo test`, all of it in `make chaos`.

use std::time::Duration;

/// The size of a run.
#[derive(Debug, Clone)]
pub struct Scale {
    /// What chance goes by; the same again with `CHAOS_SEED`.
    pub seed: u64,
    /// Whether this is the whole.
    pub full: bool,
    pub accounts: usize,
    pub clients: usize,
    /// Gateways that are killed while they are under load.
    pub kills: usize,
    /// After so many kills everyone's view is compared.
    pub rest_every: usize,
    /// Times that a gateway is stopped and goes on.
    pub stops: usize,
    /// How long some do not read.
    pub stall: Duration,
    /// How long the load without any fault lasts that others are measured against.
    pub calm: Duration,
    /// A client's pause between two writes, where latencies are measured.
    pub pause: Duration,
    /// Peers of each kind that are gone without a word.
    pub half_open: usize,
    /// Times that everyone comes back at once.
    pub storms: usize,
    /// Times that the disk is full.
    pub full_disks: usize,
    /// Times that PostgreSQL is killed.
    pub database_kills: usize,
    /// Times that a gateway stands still while it holds the lock of writers.
    pub stopped_holders: usize,
    /// Times that a gateway is cut off from PostgreSQL, in each direction.
    pub cuts: usize,
    /// Times that a standby takes over, without a loss and with one.
    pub failovers: usize,
}

impl Scale {
    /// `CHAOS=full` for the whole, `CHAOS_SEED`, `CHAOS_KILLS` and `CHAOS_CLIENTS` for parts of it.
    pub fn from_environment() -> Self {
        let full = std::env::var("CHAOS").is_ok_and(|scale| scale == "full");
        let seed = number("CHAOS_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
        let mut scale = if full { Self::full(seed) } else { Self::little(seed) };
        if let Some(kills) = number("CHAOS_KILLS") {
            scale.kills = kills as usize;
        }
        if let Some(clients) = number("CHAOS_CLIENTS") {
            scale.clients = clients as usize;
            scale.accounts = scale.clients * 3 / 4;
        }
        scale
    }

    fn little(seed: u64) -> Self {
        Self {
            seed,
            full: false,
            accounts: 30,
            clients: 40,
            kills: 4,
            rest_every: 2,
            stops: 1,
            stall: Duration::from_secs(2),
            calm: Duration::from_secs(1),
            pause: Duration::from_millis(20),
            half_open: 3,
            storms: 1,
            full_disks: 1,
            database_kills: 2,
            stopped_holders: 2,
            cuts: 2,
            failovers: 2,
        }
    }

    fn full(seed: u64) -> Self {
        Self {
            seed,
            full: true,
            accounts: 300,
            clients: 400,
            kills: 100,
            rest_every: 10,
            stops: 10,
            stall: Duration::from_mins(1),
            calm: Duration::from_secs(20),
            pause: Duration::from_secs(2),
            half_open: 40,
            storms: 10,
            full_disks: 5,
            database_kills: 20,
            stopped_holders: 20,
            cuts: 20,
            failovers: 5,
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}
