//! Tells a client again those parts of its friend list of which it holds something else than the store.
//!
//! The list is read twice, a page at a time: once to find the parts, once to tell them. So a repair costs no more
//! memory than a catch-up. What changes in between is marked, as ever.

use std::sync::Arc;

use super::visible::Page;
use super::{RecordPage, Service, unavailable};
use crate::hub::SessionHandle;
use crate::store::StoreError;
use rosterd_engine::model::{Account, Audience, CloseReason, Reason, RequestError};
use rosterd_engine::sync::repair::{BUCKETS, BucketDigests, BucketSet, ListDigest};
use rosterd_protocol::EncodedProfile;

/// Where a repair stands.
#[derive(Debug)]
pub struct Repair {
    parts: BucketSet,
    stage: RepairStage,
    sum: ListDigest,
}

/// What is read next.
#[derive(Debug, Clone)]
enum RepairStage {
    /// Friends after this account.
    Friends(Option<Account>),
    /// Profiles that the session watches: a client that took one for a friend's has forgotten it.
    Watched,
    Done,
}

impl Repair {
    /// The parts that differ.
    #[must_use]
    pub fn parts(&self) -> BucketSet {
        self.parts
    }

    /// What the client holds once it has taken everything: how many friends, and their digest.
    #[must_use]
    pub fn sum(&self) -> ListDigest {
        self.sum
    }
}

impl Service {
    /// Compares what a client holds of its friend list, the digests of its parts, with what there is.
    ///
    /// # Errors
    /// 414 for another number of parts, 503.
    pub async fn compare(&self, seat: &mut SessionHandle, leaves: &[u32]) -> Result<Repair, RequestError> {
        let leaves: &[u32; BUCKETS] = leaves.try_into().map_err(|_| {
            let message = format!("leaves has {} numbers, not {BUCKETS}", leaves.len());
            RequestError::new(Reason::InvalidArgument, message).field("leaves")
        })?;
        let sums = self.sums(seat).await.map_err(|e| unavailable(&e))?;
        // A friend that was told and has left since, which is not told yet, is in no sum. The leaves may be from before
        // either, and so agree; but the client holds it now.
        let told = seat.friends().map(Account::as_str);
        let parts = sums.differing(leaves).or(sums.outnumbered(told));
        let stage = if parts.is_empty() { RepairStage::Done } else { RepairStage::Friends(None) };
        Ok(Repair { parts, stage, sum: sums.without(parts) })
    }

    /// Reads the next page and says what of it the client has to be told; `None` after the last. The session follows
    /// every friend it was read.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn repair(&self, seat: &mut SessionHandle, at: &mut Repair) -> Result<Option<RecordPage>, CloseReason> {
        let read = match at.stage.clone() {
            RepairStage::Friends(after) => self.repair_friends(seat, at, after).await,
            RepairStage::Watched => {
                at.stage = RepairStage::Done;
                self.repair_watched(seat, at.parts).await
            }
            RepairStage::Done => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            tracing::error!(%error, "a friend list could not be read for its repair");
            CloseReason::Internal
        })
    }

    async fn sums(&self, seat: &mut SessionHandle) -> Result<BucketDigests, StoreError> {
        let (mut sums, mut after) = (BucketDigests::default(), None);
        loop {
            let Page { edges, next } = self.friends_page(seat, after, None).await?;
            for (edge, card) in edges {
                if let Some(card) = card {
                    sums.add(edge.peer.as_str(), edge.version, card.profile().version);
                }
            }
            after = next;
            if after.is_none() {
                return Ok(sums);
            }
        }
    }

    async fn repair_friends(
        &self,
        seat: &mut SessionHandle,
        at: &mut Repair,
        after: Option<Account>,
    ) -> Result<RecordPage, StoreError> {
        let Page { edges, next } = self.friends_page(seat, after, None).await?;
        at.stage = next.map_or(RepairStage::Watched, |last| RepairStage::Friends(Some(last)));
        let mut told = RecordPage::default();
        for (edge, card) in edges.into_iter().filter(|(edge, _)| at.parts.hold(edge.peer.as_str())) {
            if let Some(card) = card {
                at.sum.add(edge.peer.as_str(), edge.version, card.profile().version);
                told.friends.push((edge, card));
            }
        }
        Ok(told)
    }

    async fn repair_watched(&self, seat: &SessionHandle, parts: BucketSet) -> Result<RecordPage, StoreError> {
        let cards: Vec<Arc<EncodedProfile>> = loop {
            let before = seat.relations_epoch();
            let strangers = seat.watched().filter(|user| parts.hold(user.account().as_str()));
            let strangers = strangers.filter(|user| seat.view().audience(user) == Audience::Everyone).cloned();
            let strangers: Vec<_> = strangers.collect();
            let cards = self.settle(seat, &strangers).await?;
            // A relation that changed meanwhile may have taken the right to see one of them.
            if seat.relations_epoch() == before {
                break cards.into_iter().flatten().collect();
            }
        };
        Ok(RecordPage { cards, ..RecordPage::default() })
    }
}
