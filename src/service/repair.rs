//! Tells a client again those parts of its friend list of which it holds something else than the store.
//!
//! The list is read twice, a page at a time: once to find the parts, once to tell them. So a repair costs no more
//! memory than a catch-up. What changes in between is marked, as ever.

use std::sync::Arc;

use super::sight::Page;
use super::{Service, Told, unavailable};
use crate::hub::Seat;
use crate::store::StoreError;
use rosterd_engine::model::{Account, Audience, CloseReason, Reason, RequestError};
use rosterd_engine::sync::repair::{PARTS, Parts, Sum, Sums};
use rosterd_protocol::Card;

/// Where a repair stands.
#[derive(Debug)]
pub struct Repair {
    parts: Parts,
    stage: Stage,
    sum: Sum,
}

/// What is read next.
#[derive(Debug, Clone)]
enum Stage {
    /// Friends after this account.
    Friends(Option<Account>),
    /// Profiles that the session watches: a client that took one for a friend's has forgotten it.
    Watched,
    Done,
}

impl Repair {
    /// The parts that differ.
    #[must_use]
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// What the client holds once it has taken everything: how many friends, and their digest.
    #[must_use]
    pub fn sum(&self) -> Sum {
        self.sum
    }
}

impl Service {
    /// Compares what a client holds of its friend list, the digests of its parts, with what there is.
    ///
    /// # Errors
    /// 414 for another number of parts, 503.
    pub async fn compare(&self, seat: &mut Seat, leaves: &[u32]) -> Result<Repair, RequestError> {
        let leaves: &[u32; PARTS] = leaves.try_into().map_err(|_| {
            let message = format!("leaves has {} numbers, not {PARTS}", leaves.len());
            RequestError::new(Reason::InvalidArgument, message).field("leaves")
        })?;
        let sums = self.sums(seat).await.map_err(|e| unavailable(&e))?;
        // A friend that was told and has left since, which is not told yet, is in no sum. The leaves may be from before
        // either, and so agree; but the client holds it now.
        let told = seat.friends().map(Account::as_str);
        let parts = sums.differing(leaves).or(sums.outnumbered(told));
        let stage = if parts.is_empty() { Stage::Done } else { Stage::Friends(None) };
        Ok(Repair { parts, stage, sum: sums.without(parts) })
    }

    /// Reads the next page and says what of it the client has to be told; `None` after the last. The session follows
    /// every friend it was read.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn repair(&self, seat: &mut Seat, at: &mut Repair) -> Result<Option<Told>, CloseReason> {
        let read = match at.stage.clone() {
            Stage::Friends(after) => self.repair_friends(seat, at, after).await,
            Stage::Watched => {
                at.stage = Stage::Done;
                self.repair_watched(seat, at.parts).await
            }
            Stage::Done => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            tracing::error!(%error, "a friend list could not be read for its repair");
            CloseReason::Internal
        })
    }

    async fn sums(&self, seat: &mut Seat) -> Result<Sums, StoreError> {
        let (mut sums, mut after) = (Sums::default(), None);
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
        seat: &mut Seat,
        at: &mut Repair,
        after: Option<Account>,
    ) -> Result<Told, StoreError> {
        let Page { edges, next } = self.friends_page(seat, after, None).await?;
        at.stage = next.map_or(Stage::Watched, |last| Stage::Friends(Some(last)));
        let mut told = Told::default();
        for (edge, card) in edges.into_iter().filter(|(edge, _)| at.parts.hold(edge.peer.as_str())) {
            if let Some(card) = card {
                at.sum.add(edge.peer.as_str(), edge.version, card.profile().version);
                told.friends.push((edge, card));
            }
        }
        Ok(told)
    }

    async fn repair_watched(&self, seat: &Seat, parts: Parts) -> Result<Told, StoreError> {
        let cards: Vec<Arc<Card>> = loop {
            let before = seat.relations();
            let strangers = seat.watched().filter(|user| parts.hold(user.account().as_str()));
            let strangers = strangers.filter(|user| seat.view().audience(user) == Audience::Everyone).cloned();
            let strangers: Vec<_> = strangers.collect();
            let cards = self.settle(seat, &strangers).await?;
            // A relation that changed meanwhile may have taken the right to see one of them.
            if seat.relations() == before {
                break cards.into_iter().flatten().collect();
            }
        };
        Ok(Told { cards, ..Told::default() })
    }
}
