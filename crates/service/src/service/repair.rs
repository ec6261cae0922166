//! Repairs a client's friend list: sends again the buckets that differ from the store.
//!
//! The list is read twice, a page at a time: once to find the buckets, once to send them. So a repair costs no more
//! memory than a catch-up. A change in between is marked, as ever.

use std::mem;
use std::sync::Arc;

use super::record::RecordPage;
use super::state::{Service, unavailable};
use super::visible::{ListPlace, Page};
use crate::hub::SessionHandle;
use crate::store::StoreError;
use rosterd_engine::model::{Account, Audience, CloseReason, Reason, RequestError, Revision};
use rosterd_engine::sync::repair::{BUCKETS, BucketDigests, BucketSet, ListDigest};
use rosterd_protocol::EncodedProfile;

/// The progress of a repair.
#[derive(Debug)]
pub struct Repair {
    buckets: BucketSet,
    stage: RepairStage,
    sum: ListDigest,
    /// The pages of the friend list that were read so far.
    pages: u32,
}

/// The step that comes next.
#[derive(Debug)]
enum RepairStage {
    /// Friends from this place on.
    Friends(ListPlace),
    /// Profiles that the session watches: a client that took one for a friend's has forgotten it.
    Watched,
    Done,
}

impl Repair {
    /// Returns the buckets that differ.
    #[must_use]
    pub fn buckets(&self) -> BucketSet {
        self.buckets
    }

    /// Returns how many pages of the friend list were read so far.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Returns how many friends the client has once it has taken everything, and their digest.
    #[must_use]
    pub fn sum(&self) -> ListDigest {
        self.sum
    }
}

impl Service {
    /// Compares the bucket digests of a client's friend list with those of the store.
    ///
    /// # Errors
    /// 414 for another number of buckets, 503.
    pub async fn compare(&self, handle: &mut SessionHandle, leaves: &[u32]) -> Result<Repair, RequestError> {
        let leaves: &[u32; BUCKETS] = leaves.try_into().map_err(|_| {
            let message = format!("leaves has {} numbers, not {BUCKETS}", leaves.len());
            RequestError::new(Reason::InvalidArgument, message).field("leaves")
        })?;
        let (sums, pages) = self.sums(handle).await.map_err(|e| unavailable(&e))?;
        // A friend that was sent and has left since, with the removal still pending, is in no digest of the store. The
        // client's digests may be from before both, and so agree; but the client has the friend now.
        let sent = handle.friends().map(Account::as_str);
        let buckets = sums.differing(leaves).or(sums.outnumbered(sent));
        let stage = if buckets.is_empty() { RepairStage::Done } else { RepairStage::Friends(ListPlace::default()) };
        Ok(Repair { buckets, stage, sum: sums.without(buckets), pages })
    }

    /// Reads the next page and returns the records that the client needs of it; `None` after the last. The session follows
    /// every friend that was read.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn repair(&self, handle: &mut SessionHandle, at: &mut Repair) -> Result<Option<RecordPage>, CloseReason> {
        let read = match mem::replace(&mut at.stage, RepairStage::Done) {
            RepairStage::Friends(place) => self.repair_friends(handle, at, place).await,
            RepairStage::Watched => self.repair_watched(handle, at.buckets).await,
            RepairStage::Done => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            tracing::error!(%error, "a friend list could not be read for its repair");
            CloseReason::Internal
        })
    }

    /// Returns the digests, and how many pages were read for them.
    async fn sums(&self, handle: &mut SessionHandle) -> Result<(BucketDigests, u32), StoreError> {
        let (mut sums, mut place, mut pages) = (BucketDigests::default(), ListPlace::default(), 0);
        loop {
            pages += 1;
            // A digest needs only the versions of edges, and so nothing later than the last of all revisions.
            let Page { edges, next } = self.friends_page(handle, place, Some(Revision::MAX)).await?;
            for (edge, profile) in edges {
                if let Some(profile) = profile {
                    sums.add(edge.peer.as_str(), edge.version, profile.profile().version);
                }
            }
            let Some(next) = next else { return Ok((sums, pages)) };
            place = next;
        }
    }

    async fn repair_friends(
        &self,
        handle: &mut SessionHandle,
        at: &mut Repair,
        place: ListPlace,
    ) -> Result<RecordPage, StoreError> {
        let Page { edges, next } = self.friends_page(handle, place, None).await?;
        at.pages += 1;
        at.stage = next.map_or(RepairStage::Watched, RepairStage::Friends);
        let mut page = RecordPage::default();
        for (edge, profile) in edges.into_iter().filter(|(edge, _)| at.buckets.hold(edge.peer.as_str())) {
            if let Some(profile) = profile {
                at.sum.add(edge.peer.as_str(), edge.version, profile.profile().version);
                page.friends.extend(edge.edge.map(|edge| (*edge, profile)));
            }
        }
        Ok(page)
    }

    async fn repair_watched(&self, handle: &SessionHandle, buckets: BucketSet) -> Result<RecordPage, StoreError> {
        let profiles: Vec<Arc<EncodedProfile>> = loop {
            let before = handle.relations_epoch();
            let strangers = handle.watched().filter(|user| buckets.hold(user.account().as_str()));
            let strangers = strangers.filter(|user| handle.view().audience(user) == Audience::Everyone).cloned();
            let strangers: Vec<_> = strangers.collect();
            let profiles = self.settle(handle, &strangers).await?;
            // A change meanwhile may have taken the right to see one of them.
            if handle.relations_epoch() == before {
                break profiles.into_iter().flatten().collect();
            }
        };
        Ok(RecordPage { profiles, ..RecordPage::default() })
    }
}
