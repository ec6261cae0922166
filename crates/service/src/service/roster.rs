//! Changes friend lists, requests and blocks for clients and the backend alike, and reads them for the backend.

use super::state::{Service, unavailable};
use crate::store::StoreError;
use rosterd_engine::model::{
    Account, Block, Command, Edge, FriendsPolicy, Outcome, Reason, Request, RequestError, WriteOrigin,
};

/// One page of a friend list.
#[derive(Debug)]
pub struct FriendsPage {
    /// The friends, in order of the account.
    pub friends: Vec<Edge>,
    /// The account to go on after, if there are more.
    pub next: Option<Account>,
}

/// One page of the accounts that an account blocks.
#[derive(Debug)]
pub struct BlocksPage {
    /// The blocks, in order of the account.
    pub blocks: Vec<Block>,
    /// The account to go on after, if there are more.
    pub next: Option<Account>,
}

impl Service {
    /// Carries out a command about friends, requests or blocks. With an `origin` a client asks, which in some deployments
    /// has only one of the ways to become friends.
    ///
    /// # Errors
    /// Those of the command, 403 if clients may not do this here, 503.
    pub async fn relate(&self, command: Command, origin: WriteOrigin) -> Result<Outcome, RequestError> {
        if origin.session().is_some() {
            permit(self.settings.friends, &command)?;
        }
        if matches!(command, Command::Block { .. } | Command::Unblock { .. }) {
            // The decision reads in the store what the peer sees now.
            self.write_transitions().await;
        }
        self.write_one(command, origin).await.map(|answer| answer.outcome)
    }

    /// Reads one page of an account's friends.
    ///
    /// # Errors
    /// 404 for an unknown account, 503.
    pub async fn friends(
        &self,
        account: &Account,
        after: Option<Account>,
        limit: usize,
    ) -> Result<FriendsPage, RequestError> {
        self.get_user(account).await?;
        let page = self.store.page(account.clone(), after, limit + 1, None).await;
        let (friends, next) = cut(page, limit, |edge| &edge.peer)?;
        Ok(FriendsPage { friends, next })
    }

    /// Reads one friend of an account.
    ///
    /// # Errors
    /// 404 if the peer is no friend of it, 503.
    pub async fn friend(&self, account: &Account, peer: &Account) -> Result<Edge, RequestError> {
        let found = self.store.relations(account.clone(), vec![peer.clone()]).await.map_err(|e| unavailable(&e))?;
        found.edges.into_iter().find(|edge| !edge.removed).ok_or_else(|| {
            RequestError::new(Reason::NotFound, format!("\"{peer}\" is no friend of \"{account}\"")).field("account")
        })
    }

    /// Reads the open requests from and to an account.
    ///
    /// # Errors
    /// 404 for an unknown account, 503.
    pub async fn requests(&self, account: &Account) -> Result<Vec<Request>, RequestError> {
        self.get_user(account).await?;
        self.store.requests(account.clone(), None).await.map_err(|e| unavailable(&e))
    }

    /// Reads one page of the accounts that an account blocks.
    ///
    /// # Errors
    /// 404 for an unknown account, 503.
    pub async fn blocks(
        &self,
        account: &Account,
        after: Option<Account>,
        limit: usize,
    ) -> Result<BlocksPage, RequestError> {
        self.get_user(account).await?;
        let page = self.store.blocks(account.clone(), after, limit + 1, None).await.map(|page| page.rows);
        let (blocks, next) = cut(page, limit, |block| &block.peer)?;
        Ok(BlocksPage { blocks, next })
    }
}

/// Cuts the record that only shows that there are more off a page. Returns the rest, and the account to go on after if
/// there are more.
pub(super) fn cut<T>(
    page: Result<Vec<T>, StoreError>,
    limit: usize,
    peer: impl Fn(&T) -> &Account,
) -> Result<(Vec<T>, Option<Account>), RequestError> {
    let mut records = page.map_err(|e| unavailable(&e))?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| more).map(|record| peer(record).clone());
    Ok((records, next))
}

pub(super) fn permit(policy: FriendsPolicy, command: &Command) -> Result<(), RequestError> {
    let message = match (policy, command) {
        (FriendsPolicy::Request, Command::AddFriend { .. }) => "friends are made by requests here: use requestFriend",
        (FriendsPolicy::Direct, Command::RequestFriend { .. }) => "friends are made at once here: use addFriend",
        _ => return Ok(()),
    };
    Err(RequestError::new(Reason::PermissionDenied, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_leaves_one_way_to_become_friends_or_both() {
        let (account, peer) = (Account::stored("a").unwrap(), Account::stored("b").unwrap());
        let message = Box::default();
        let add = Command::AddFriend { account: account.clone(), peer: peer.clone(), message };
        let message = Box::default();
        let request = Command::RequestFriend { account: account.clone(), peer: peer.clone(), message };
        let accept = Command::AcceptFriend { account, peer };
        for (policy, may_add, may_request) in [
            (FriendsPolicy::Request, false, true),
            (FriendsPolicy::Direct, true, false),
            (FriendsPolicy::Both, true, true),
        ] {
            assert_eq!(permit(policy, &add).is_ok(), may_add, "{policy:?}");
            assert_eq!(permit(policy, &request).is_ok(), may_request, "{policy:?}");
            // A request that is there can be answered, also after the policy changed.
            assert!(permit(policy, &accept).is_ok());
        }
        assert_eq!(permit(FriendsPolicy::Request, &add).unwrap_err().reason, Reason::PermissionDenied);
    }
}
