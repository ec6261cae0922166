//! Changes many accounts at once, and exports one, for the backend.

use std::sync::Arc;

use super::state::{Service, unavailable};
use crate::store::{StoreError, Write};
use rosterd_engine::model::{Account, Block, Command, Edge, Outcome, Profile, Request, RequestError, WriteOrigin};
use rosterd_protocol::v1;

/// The most commands of an import in one transaction, behind which the writes of clients wait.
pub const IMPORT_SLICE: usize = 100;

/// How many friends or blocks are read at a time.
const PAGE: usize = 1000;

/// Everything that is kept about one account.
///
/// Its parts are read one after the other: a change meanwhile may be in one of them and not yet in another.
#[derive(Debug)]
pub struct Export {
    /// The whole profile.
    pub user: Arc<Profile>,
    /// Its friends.
    pub friends: Vec<Edge>,
    /// The open requests from and to it.
    pub requests: Vec<Request>,
    /// The accounts that it blocks.
    pub blocks: Vec<Block>,
    /// Its presence, as its own clients see it.
    pub presence: v1::Presence,
}

impl Service {
    /// Carries out commands in transactions of [`IMPORT_SLICE`], and returns how many changed something.
    ///
    /// # Errors
    /// The first refused one, by its position. Nothing of its transaction is done; the transactions before it stay.
    pub async fn import(&self, commands: Vec<Command>, origin: &WriteOrigin) -> Result<usize, (usize, RequestError)> {
        let (mut done, mut changed) = (0, 0);
        let mut commands = commands.into_iter().peekable();
        while commands.peek().is_some() {
            let commands: Vec<_> = commands.by_ref().take(IMPORT_SLICE).collect();
            let answers = self.write(Write { commands, origin: origin.clone() }).await;
            let answers = answers.map_err(|(at, error)| (done + at, error))?;
            changed += answers.iter().filter(|answer| answer.outcome != Outcome::Unchanged).count();
            done += answers.len();
        }
        Ok(changed)
    }

    /// Carries out all [`Command::SetProfile`] or none, and returns the profiles as they now are, in order.
    ///
    /// # Errors
    /// The first refused one, by its position.
    pub async fn set_profiles(
        &self,
        commands: Vec<Command>,
        origin: WriteOrigin,
    ) -> Result<Vec<Arc<Profile>>, (usize, RequestError)> {
        let answers = self.write(Write { commands, origin }).await?;
        Ok(answers.into_iter().filter_map(|answer| answer.profile).collect())
    }

    /// Reads everything that is kept about an account.
    ///
    /// # Errors
    /// 404 for an unknown account, 503.
    pub async fn export(&self, account: &Account) -> Result<Export, RequestError> {
        let user = self.get_user(account).await?;
        let presence = self.presence(account).await?;
        let requests = self.requests(account).await?;
        let friends = self.all_friends(account).await.map_err(|e| unavailable(&e))?;
        let blocks = self.all_blocks(account).await.map_err(|e| unavailable(&e))?;
        Ok(Export { user, friends, requests, blocks, presence })
    }

    async fn all_friends(&self, account: &Account) -> Result<Vec<Edge>, StoreError> {
        let mut friends: Vec<Edge> = Vec::new();
        loop {
            let after = friends.last().map(|edge| edge.peer.clone());
            let page = self.store.page(account.clone(), after, PAGE, None).await?;
            let last = page.len() < PAGE;
            friends.extend(page);
            if last {
                return Ok(friends);
            }
        }
    }

    async fn all_blocks(&self, account: &Account) -> Result<Vec<Block>, StoreError> {
        let mut blocks: Vec<Block> = Vec::new();
        loop {
            let after = blocks.last().map(|block| block.peer.clone());
            let page = self.store.blocks(account.clone(), after, PAGE, None).await?.rows;
            let last = page.len() < PAGE;
            blocks.extend(page);
            if last {
                return Ok(blocks);
            }
        }
    }

    /// Returns whether no account exists yet.
    ///
    /// # Errors
    /// 503.
    pub async fn is_empty(&self) -> Result<bool, RequestError> {
        self.store.is_empty().await.map_err(|e| unavailable(&e))
    }
}
