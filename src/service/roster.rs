//! Friend lists as the backend sees and changes them, and imports.

use super::{Service, unavailable};
use crate::model::{Account, Command, Edge, Outcome, RequestError};
use crate::store::Write;

/// One page of a friend list.
#[derive(Debug)]
pub struct FriendsPage {
    /// The relations, in order of the account.
    pub friends: Vec<Edge>,
    /// The account to go on after, if there are more.
    pub next: Option<Account>,
}

impl Service {
    /// Makes two accounts friends of each other, in one transaction.
    ///
    /// # Errors
    /// 404 for an unknown account, 414 for one account twice, 419 if one of them has too many friends, 503.
    pub async fn befriend(&self, account: &Account, peer: &Account) -> Result<Outcome, RequestError> {
        let command = Command::Befriend { account: account.clone(), peer: peer.clone() };
        self.write_one(command, None).await.map(|answer| answer.outcome)
    }

    /// Ends a friendship, in both directions; harmless if there is none.
    ///
    /// # Errors
    /// 404 for an unknown account, 414 for one account twice, 503.
    pub async fn unfriend(&self, account: &Account, peer: &Account) -> Result<Outcome, RequestError> {
        let command = Command::Unfriend { account: account.clone(), peer: peer.clone() };
        self.write_one(command, None).await.map(|answer| answer.outcome)
    }

    /// One page of an account's friends.
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
        let mut friends = page.map_err(|e| unavailable(&e))?;
        let more = friends.len() > limit;
        friends.truncate(limit);
        let next = friends.last().filter(|_| more).map(|edge| edge.peer.clone());
        Ok(FriendsPage { friends, next })
    }

    /// Carries out all commands or none; answers how many changed something.
    ///
    /// # Errors
    /// The first refused one, by its position.
    pub async fn import(&self, commands: Vec<Command>) -> Result<usize, (usize, RequestError)> {
        let answers = self.write(Write { commands, origin: None }).await?;
        Ok(answers.iter().filter(|answer| answer.outcome != Outcome::Unchanged).count())
    }

    /// Whether no account exists yet.
    ///
    /// # Errors
    /// 503.
    pub async fn is_empty(&self) -> Result<bool, RequestError> {
        self.store.is_empty().await.map_err(|e| unavailable(&e))
    }
}
