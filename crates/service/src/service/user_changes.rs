//! The history of one user, newest first: what support looks at.
//!
//! The change log has no index by account. But each row of the store has the revision of its last change, and each change
//! says which revisions its rows had before: these are chains, one for each row of the user, and what comes next is the
//! newest of their heads.

use std::collections::BTreeSet;

use super::state::{Service, unavailable};
use rosterd_engine::model::{Account, Change, RequestError, Revision, Row};
use rosterd_engine::sync::events::{ChangeEvent, events};
use rosterd_protocol::{EventFields, event_json};

/// The most changes that are read for one answer, those that are newer than it included.
const READS: usize = 5000;
/// How many friends or blocks are read at a time.
const PAGE: usize = 1000;

/// Some changes of a user.
#[derive(Debug, Clone)]
pub struct UserChanges {
    /// Events as JSON, newest first.
    pub events: Vec<String>,
    /// Where to go on, if there are older ones.
    pub next: Option<Revision>,
    /// Whether there were older changes that are not kept any more, or are too far back for this.
    pub is_cut: bool,
}

impl Service {
    /// Returns the changes to a user, its friends, requests and blocks, newest first: at most `limit`, before a revision.
    ///
    /// # Errors
    /// 403 if no log is kept, 404, 503.
    pub async fn user_changes(
        &self,
        account: &Account,
        before: Option<Revision>,
        limit: usize,
        fields: &EventFields,
    ) -> Result<UserChanges, RequestError> {
        let (log, history) = self.log()?;
        let before = before.unwrap_or(Revision::MAX);
        let mut heads = self.heads(account).await?;
        let mut found = UserChanges { events: Vec::new(), next: None, is_cut: false };
        let (mut last, mut taken) = (before, 0);
        for _ in 0..READS {
            let Some(revision) = heads.pop_last() else { return Ok(found) };
            if taken == limit && revision < before {
                found.next = Some(last);
                return Ok(found);
            }
            let Some(logged) = log.log_change(revision).await.map_err(|error| unavailable(&error))? else {
                found.is_cut = true;
                continue;
            };
            heads.extend(replaced(&logged.change, account));
            if revision >= before {
                continue;
            }
            let about = |event: &ChangeEvent| event.subject() == account || event.peer() == Some(account);
            for (index, event) in events(&logged.change).iter().enumerate().filter(|(_, event)| about(event)) {
                found.events.push(event_json(history, &logged, (index, event), fields));
            }
            (last, taken) = (revision, taken + 1);
        }
        found.is_cut = true;
        Ok(found)
    }

    /// Returns the revisions of all rows of a user.
    async fn heads(&self, account: &Account) -> Result<BTreeSet<Revision>, RequestError> {
        let mut heads = BTreeSet::from([self.get_user(account).await?.version]);
        let failed = |error| unavailable(&error);
        let mut after = None;
        loop {
            // Since the beginning, so with tombstones.
            let page = self.store.page(account.clone(), after, PAGE, Some(0)).await.map_err(failed)?;
            heads.extend(page.iter().map(|edge| edge.version));
            if page.len() < PAGE {
                break;
            }
            after = page.last().map(|edge| edge.peer.clone());
        }
        let mut after = None;
        loop {
            let page = self.store.blocks(account.clone(), after, PAGE, Some(0)).await.map_err(failed)?.rows;
            heads.extend(page.iter().map(|block| block.version));
            if page.len() < PAGE {
                break;
            }
            after = page.last().map(|block| block.peer.clone());
        }
        let requests = self.store.requests(account.clone(), Some(0)).await.map_err(failed)?;
        heads.extend(requests.iter().map(|request| request.version));
        Ok(heads)
    }
}

/// Returns the revisions that rows of a user had before a change.
fn replaced<'a>(change: &'a Change, account: &'a Account) -> impl Iterator<Item = Revision> + 'a {
    let is_of = move |row: &Row| match row {
        Row::Profile(profile) => profile.account == *account,
        Row::Gone { account: gone, .. } => gone == account,
        Row::Edge(edge) => edge.owner == *account,
        Row::Request(request) => request.owner() == account,
        Row::Block { block, .. } => block.owner == *account,
        Row::Presence { .. } | Row::Credential { .. } => false,
    };
    let rows = change.rows.iter().zip(&change.replaced);
    rows.filter(move |(row, before)| **before > 0 && is_of(row)).map(|(_, before)| *before)
}
