//! Finds what a session may see of accounts: live profiles in the registry, the others in the store, and frozen copies of
//! the accounts that block it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::yield_now;

use super::state::Service;
use crate::hub::{SessionHandle, UserRef, VisibleProfile};
use crate::store::{StoreError, StorePage};
use rosterd_engine::model::{Account, Audience, ListedEdge, Revision, User};
use rosterd_protocol::{EncodedProfile, ProfileViews};

/// A page of a friend list.
pub(super) struct Page {
    /// Each edge with the friend's profile; none with a removed edge, or while the account is being deleted.
    pub(super) edges: Vec<(ListedEdge, Option<Arc<EncodedProfile>>)>,
    /// Where the next page begins, if there may be one.
    pub(super) next: Option<ListPlace>,
}

/// A place in a friend list, where a page begins.
#[derive(Debug, Default)]
pub(super) struct ListPlace {
    /// The account that it comes after; `None` at the begin of the list.
    pub(super) after: Option<Account>,
    /// The page, if it was read ahead.
    pub(super) ahead: Option<EdgesRead>,
}

/// What was read of a friend list at a relations epoch.
#[derive(Debug)]
pub(super) struct EdgesRead {
    pub(super) edges: Vec<ListedEdge>,
    pub(super) relations_epoch: u32,
}

/// Checks that a page lacks no tombstone of a removal after `since`: they may be dropped while a client reads.
pub(super) fn reaches_back<T>(page: &StorePage<T>, since: Option<Revision>) -> Result<(), StoreError> {
    if since.is_some_and(|since| since < page.compacted) {
        return Err(StoreError("tombstones that a catch-up needs were dropped meanwhile".into()));
    }
    Ok(())
}

/// The profiles in the order of the accounts asked for; `None` for an account that does not exist.
pub(super) type VisibleProfiles = Vec<Option<Arc<EncodedProfile>>>;

impl Service {
    /// Reads the friends from a place on, and follows each from now on. With `since`, edges that were removed after it are
    /// among them, and only later ones are whole.
    pub(super) async fn friends_page(
        &self,
        handle: &mut SessionHandle,
        place: ListPlace,
        since: Option<Revision>,
    ) -> Result<Page, StoreError> {
        let ListPlace { after, mut ahead } = place;
        loop {
            // Others get their turn between two pages: long lists are read by few sessions at a time. Of most lists the login
            // has read all.
            let is_short =
                after.is_none() && ahead.as_ref().is_some_and(|read| read.edges.len() < self.environment.page);
            let _turn = if is_short { None } else { Some(self.list_pages.acquire().await) };
            let read = match ahead.take() {
                Some(read) => read,
                None => self.read_edges(handle, after.clone(), since).await?,
            };
            if let Some(page) = self.follow_page(handle, read, since).await? {
                return Ok(page);
            }
        }
    }

    /// Reads edges at the relations epoch of now.
    fn read_edges(
        &self,
        handle: &SessionHandle,
        after: Option<Account>,
        since: Option<Revision>,
    ) -> impl Future<Output = Result<EdgesRead, StoreError>> + use<'_> {
        let (owner, relations_epoch) = (handle.account().clone(), handle.relations_epoch());
        async move {
            let read = self.store.listed(owner, after, self.environment.page, since).await?;
            reaches_back(&read, since)?;
            Ok(EdgesRead { edges: read.rows, relations_epoch })
        }
    }

    /// Follows the friends of a page, and reads the next one meanwhile. Returns `None` if the relations epoch has changed since
    /// the page was read: the session may have lost the right to see a profile, and the page is to be read again.
    async fn follow_page(
        &self,
        handle: &mut SessionHandle,
        read: EdgesRead,
        since: Option<Revision>,
    ) -> Result<Option<Page>, StoreError> {
        let EdgesRead { edges, relations_epoch } = read;
        let last = edges.last().filter(|_| edges.len() == self.environment.page).map(|last| last.peer.clone());
        let next = last.map(|last| (last.clone(), self.read_edges(handle, Some(last), since)));
        let is_long = next.is_some();
        let ahead = async {
            let Some((last, reading)) = next else { return Ok(None) };
            Ok(Some(ListPlace { after: Some(last), ahead: Some(reading.await?) }))
        };
        let peers = || edges.iter().filter(|edge| !edge.removed).map(|edge| &edge.peer);
        handle.expect(peers().count());
        let following = async {
            if is_long {
                // Lets what was asked for above reach the store first.
                yield_now().await;
            }
            self.follow_friends(handle, peers()).await
        };
        let (next, profiles) = tokio::try_join!(ahead, following)?;
        if handle.relations_epoch() != relations_epoch {
            return Ok(None);
        }
        let mut profiles = profiles.into_iter();
        let with_profile = |edge: ListedEdge| {
            let profile = if edge.removed { None } else { profiles.next().flatten() };
            (edge, profile)
        };
        Ok(Some(Page { edges: edges.into_iter().map(with_profile).collect(), next }))
    }

    /// Follows these friends from now on, and returns their profiles: a change after this call marks the session, one before
    /// it is in the profile.
    pub(super) async fn follow_friends(
        &self,
        handle: &mut SessionHandle,
        accounts: impl Iterator<Item = &Account>,
    ) -> Result<VisibleProfiles, StoreError> {
        let users: Vec<_> = accounts.map(|account| handle.add_friend(account)).collect();
        self.settle(handle, &users).await
    }

    /// Looks up what the session may see of accounts, whether or not it follows them.
    pub(super) async fn look_up(
        &self,
        handle: &SessionHandle,
        accounts: &[Account],
    ) -> Result<VisibleProfiles, StoreError> {
        let name = |account: &Account| self.hub.user(account).unwrap_or_else(|| UserRef::detached(account.clone()));
        let users: Vec<_> = accounts.iter().map(name).collect();
        self.settle(handle, &users).await
    }

    /// Finds what the session may see of each user.
    pub(super) async fn settle(
        &self,
        handle: &SessionHandle,
        users: &[UserRef],
    ) -> Result<VisibleProfiles, StoreError> {
        let mut settled: VisibleProfiles = Vec::with_capacity(users.len());
        let (mut unknown, mut frozen) = (Vec::new(), Vec::new());
        for (at, user) in users.iter().enumerate() {
            settled.push(match handle.view().visible_profile(user) {
                VisibleProfile::EncodedProfile(profile) => Some(profile),
                VisibleProfile::Unknown => {
                    unknown.push(at);
                    None
                }
                VisibleProfile::Frozen => {
                    frozen.push(at);
                    None
                }
            });
        }
        if !unknown.is_empty() {
            self.settle_unknown(handle, users, &unknown, &mut settled, &mut frozen).await?;
        }
        if !frozen.is_empty() {
            self.settle_frozen(handle, users, &frozen, &mut settled).await?;
        }
        Ok(settled)
    }

    async fn settle_unknown(
        &self,
        handle: &SessionHandle,
        users: &[UserRef],
        unknown: &[usize],
        settled: &mut VisibleProfiles,
        frozen: &mut Vec<usize>,
    ) -> Result<(), StoreError> {
        // What is read of an account that this session follows is for others who follow it as well, as far as that is
        // little: whoever asks must not make the gateway read thousands of blocks.
        let is_followed = |at: &usize| self.hub.has(&users[*at]) && handle.view().follows(&users[*at]);
        let (followed, others): (Vec<_>, Vec<_>) = unknown.iter().copied().partition(is_followed);
        let mut found = Vec::new();
        if !followed.is_empty() {
            let (viewer, few) = (handle.account().clone(), self.environment.few_blocks);
            found = self.store.users_followed_by(viewer, names(users, &followed), few).await?;
        }
        if !others.is_empty() {
            found.extend(self.store.users_seen_by(handle.account().clone(), names(users, &others)).await?);
        }
        let found: HashMap<_, _> = found.iter().map(|user| (&user.profile.account, user)).collect();
        for at in unknown {
            let (name, brought) = (users[*at].account(), found.get(users[*at].account()).copied());
            // What holds for this viewer alone must not get into an entry that others may have as well.
            let user = if followed.contains(at) {
                handle.view().offer(&users[*at], brought);
                users[*at].clone()
            } else {
                let user = UserRef::detached(name.clone());
                self.hub.offer(&user, brought);
                user
            };
            match handle.view().visible_profile(&user) {
                VisibleProfile::EncodedProfile(profile) => settled[*at] = Some(profile),
                VisibleProfile::Frozen => frozen.push(*at),
                VisibleProfile::Unknown => {}
            }
        }
        Ok(())
    }

    async fn settle_frozen(
        &self,
        handle: &SessionHandle,
        users: &[UserRef],
        frozen: &[usize],
        settled: &mut VisibleProfiles,
    ) -> Result<(), StoreError> {
        let found = self.store.frozen(handle.account().clone(), names(users, frozen)).await?;
        let mut free = Vec::new();
        for at in frozen {
            match found.iter().find(|profile| profile.account == *users[*at].account()) {
                Some(profile) => settled[*at] = Some(self.view(profile.clone(), handle.view().audience(&users[*at]))),
                None => free.push(*at),
            }
        }
        if free.is_empty() {
            return Ok(());
        }
        // The block ended meanwhile.
        let now = self.store.users_seen_by(handle.account().clone(), names(users, &free)).await?;
        for at in free {
            let user = now.iter().find(|user| user.profile.account == *users[at].account());
            settled[at] = user.map(|user| self.after_block(user, handle.account(), handle.view().audience(&users[at])));
        }
        Ok(())
    }

    /// The profile of an account that has blocked `viewer`.
    fn after_block(&self, user: &User, viewer: &Account, audience: Audience) -> Arc<EncodedProfile> {
        let encoded = self.view(user.profile.clone(), audience);
        let block = user.ended.iter().find(|block| block.peer == *viewer);
        match block.and_then(|block| block.last_change(&user.profile, audience)) {
            Some(at) => Arc::new(encoded.with_last_change(at)),
            None => encoded,
        }
    }

    fn view(&self, profile: Arc<rosterd_engine::model::Profile>, audience: Audience) -> Arc<EncodedProfile> {
        ProfileViews::new(profile, &self.hub.visibility()).encoded(audience).clone()
    }
}

fn names(users: &[UserRef], at: &[usize]) -> Vec<Account> {
    at.iter().map(|at| users[*at].account().clone()).collect()
}
