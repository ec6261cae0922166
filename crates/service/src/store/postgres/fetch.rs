//! Reads the rows that commands need, as sets: a statement a table, all sent together.

use std::collections::BTreeSet;

use tokio_postgres::Row as Record;

use super::pg_error::PgError;
use super::rows::{credentials, profiles, relations};
use super::session::Call;
use super::staged::{Pair, Staged};
use rosterd_engine::model::{Account, Command};
use rosterd_engine::sync::decide;

/// Which rows a result has.
#[derive(Debug, Clone, Copy)]
enum FetchedTable {
    Users,
    Edges,
    Requests,
    Blocks,
    Frozen,
    Credentials,
    Counts,
}

/// What the commands of a batch need, each row once.
#[derive(Default)]
struct Wanted {
    users: BTreeSet<Account>,
    pairs: BTreeSet<Pair>,
    frozen: BTreeSet<Pair>,
    credentials: BTreeSet<Account>,
    counts: BTreeSet<Account>,
    all_of: BTreeSet<Account>,
}

/// The calls that read what commands need.
pub(super) struct Fetch {
    kinds: Vec<FetchedTable>,
}

impl Fetch {
    /// Adds the calls for these commands to others.
    pub(super) fn of<'a>(commands: impl Iterator<Item = &'a Command>, calls: &mut Vec<Call>) -> Self {
        let mut wanted = Wanted::default();
        for command in commands {
            let reads = decide::reads(command);
            wanted.users.extend(reads.users);
            wanted.users.extend(reads.presence);
            if let Some((a, b)) = reads.pair {
                wanted.pairs.insert((a.clone(), b.clone()));
                wanted.pairs.insert((b, a));
            }
            wanted.frozen.extend(reads.frozen.map(|(owner, peer)| (peer, owner)));
            wanted.credentials.extend(reads.credential);
            wanted.counts.extend(reads.counts);
            wanted.all_of.extend(reads.all_of);
        }
        let mut fetch = Self { kinds: Vec::new() };
        fetch.add(calls, &wanted);
        fetch
    }

    fn add(&mut self, calls: &mut Vec<Call>, wanted: &Wanted) {
        let mut add = |kind, call| {
            self.kinds.push(kind);
            calls.push(call);
        };
        let list = |accounts: &BTreeSet<Account>| accounts.iter().cloned().collect::<Vec<_>>();
        if !wanted.users.is_empty() {
            add(FetchedTable::Users, profiles::rows(&list(&wanted.users)));
        }
        let pairs: Vec<Pair> = wanted.pairs.iter().cloned().collect();
        if !pairs.is_empty() {
            add(FetchedTable::Edges, relations::edges(&pairs));
            add(FetchedTable::Requests, relations::requests_between(&pairs));
            add(FetchedTable::Blocks, relations::blocks_between(&pairs));
        }
        let all_of = list(&wanted.all_of);
        if !all_of.is_empty() {
            add(FetchedTable::Edges, relations::all_edges(&all_of));
            add(FetchedTable::Requests, relations::all_requests(&all_of));
            add(FetchedTable::Blocks, relations::all_blocks(&all_of));
        }
        if !wanted.frozen.is_empty() {
            add(FetchedTable::Frozen, profiles::copies(&wanted.frozen.iter().cloned().collect::<Vec<_>>()));
        }
        if !wanted.credentials.is_empty() {
            add(FetchedTable::Credentials, credentials::credentials(&list(&wanted.credentials)));
        }
        // What is counted is also counted for accounts whose relations end with others.
        if !wanted.counts.is_empty() {
            add(FetchedTable::Counts, credentials::counts(&list(&wanted.counts)));
        }
    }

    /// Puts the results into the rows of a batch: those of the calls that were added, in order.
    pub(super) fn load_into(
        self,
        staged: &mut Staged,
        results: impl Iterator<Item = Vec<Record>>,
    ) -> Result<(), PgError> {
        for (kind, records) in self.kinds.into_iter().zip(results) {
            for record in &records {
                load(staged, kind, record)?;
            }
        }
        Ok(())
    }
}

fn load(staged: &mut Staged, kind: FetchedTable, record: &Record) -> Result<(), PgError> {
    match kind {
        FetchedTable::Users => {
            let row = profiles::row(record)?;
            staged.users.load(row.profile.account.clone(), row);
        }
        FetchedTable::Edges => {
            let edge = relations::edge(record)?;
            staged.edges.load((edge.owner.clone(), edge.peer.clone()), edge);
        }
        FetchedTable::Requests => {
            let request = relations::request(record)?;
            staged.requests.load((request.sender.clone(), request.receiver.clone(), request.side), request);
        }
        FetchedTable::Blocks => {
            let block = relations::block(record)?;
            staged.blocks.load((block.owner.clone(), block.peer.clone()), block);
        }
        FetchedTable::Frozen => {
            let (viewer, profile) = profiles::copy(record)?;
            staged.frozen.load((viewer, profile.account.clone()), profile);
        }
        FetchedTable::Credentials => {
            let (account, credential) = credentials::credential(record)?;
            staged.credentials.load(account, credential);
        }
        FetchedTable::Counts => {
            let (account, counts) = credentials::count(record)?;
            staged.counts.insert(account, counts);
        }
    }
    Ok(())
}
