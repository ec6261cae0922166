//! Changes the rules about who sees what while sessions live, and removes what is left of own fields that there are no more.
//!
//! Decisions allow for both rules before anything is shown by the new ones, and until every view is in line with these. So
//! a client that held a profile before the change receives each view that looks other than before, and no other client
//! receives anything. A change that is cut off, by a crash or by other settings, goes on where it is known to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::state::{Service, unavailable};
use crate::store::{StoreError, Write};
use rosterd_engine::model::{
    Account, Block, Command, OWN_PREFIX, Outcome, Profile, Reason, RequestError, Visibility, WriteOrigin, WriteRights,
};

/// How many profiles are looked at at a time.
const PAGE: usize = 200;
/// How many commands are in one transaction: others write meanwhile.
const SOME: usize = 100;
/// The pause after the store could not do its part.
const RETRY: Duration = Duration::from_secs(1);

/// A part of all profiles that was brought in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilesInLine {
    /// How many profiles and frozen copies had to change.
    pub changed: u64,
    /// The last account of the part; `None` if it was the last part.
    pub next: Option<Account>,
}

/// Brings the rules of the settings into force, at the start and whenever [`Service::want_rules`] names others. Runs until it
/// is dropped.
pub async fn apply_rules(service: Arc<Service>) {
    let mut wanted = service.wanted_rules.subscribe();
    let mut in_force = service.store.rules().subscribe();
    loop {
        let rules = wanted.borrow_and_update().clone();
        in_force.mark_unchanged();
        while let Err(error) = service.change_rules(rules.clone(), &wanted).await {
            tracing::warn!(%error, "a change of who sees what is not complete; it is tried again");
            tokio::time::sleep(RETRY).await;
        }
        // The senders are in the service, so they are there.
        tokio::select! {
            _ = wanted.changed() => {}
            _ = in_force.changed() => {}
        }
    }
}

impl Service {
    /// Names the rules about who sees and who writes what that are to come into force.
    pub fn want_rules(&self, rules: Visibility, write: WriteRights) {
        *self.write_rights.write() = Arc::new(write);
        self.wanted_rules.send_replace(Some(rules));
    }

    /// Returns whether these are the rules that are in force.
    #[must_use]
    pub fn has_rules(&self, rules: &Visibility, write: &WriteRights) -> bool {
        Visibility { change: None, ..Visibility::clone(&self.hub.visibility()) } == *rules
            && **self.write_rights.read() == *write
    }

    /// Shows profiles by the rules of the database that other nodes share, and lets clients write by them, whenever these are
    /// changed for all.
    pub(super) fn follow_rules(&self) {
        let (hub, write) = (self.hub.clone(), self.write_rights.clone());
        self.store.rules().observe(Box::new(move |rules, rights| {
            let audiences = |rules: &Visibility| Visibility { change: None, ..rules.clone() };
            // The end of a change is none for what is shown.
            if audiences(&hub.visibility()) != audiences(rules) {
                hub.set_visibility(rules.clone());
                tracing::info!("the rules about who sees what were changed for all gateways");
            }
            *write.write() = Arc::new(rights.clone());
        }));
    }

    /// Brings rules into force, or completes a change that was cut off. Others that are wanted meanwhile come first.
    async fn change_rules(
        &self,
        rules: Option<Visibility>,
        wanted: &watch::Receiver<Option<Visibility>>,
    ) -> Result<(), StoreError> {
        let in_force = self.store.rules();
        let mut held = in_force.get();
        if let Some(rules) = rules.filter(|rules| *rules != *held) {
            let next = rules.after(&held);
            if !self.store.put_rules(next.clone(), held).await? {
                return Ok(());
            }
            self.hub.set_visibility(next);
            held = in_force.get();
        }
        let Some(change) = &held.change else { return Ok(()) };
        if change.since.is_none() {
            if !self.store.put_rules(held.shown_since(self.store.head()), held.clone()).await? {
                return Ok(());
            }
            held = in_force.get();
        }
        let (mut changed, mut after) = (0, None);
        loop {
            let part = self.bring_in_line(after, None).await.map_err(|error| StoreError(error.message))?;
            changed += part.changed;
            if wanted.has_changed().unwrap_or(false) || !in_force.are(&held) {
                return Ok(());
            }
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        let complete = Visibility { change: None, ..Visibility::clone(&held) };
        if self.store.put_rules(complete, held).await? {
            tracing::info!(changed, "the rules about who sees what are in force for all profiles");
        }
        Ok(())
    }

    /// Removes what a part of all profiles holds of an own field that there is no more, after an account.
    ///
    /// # Errors
    /// 414 if there is such a field, 503.
    pub async fn purge_field(
        &self,
        name: &str,
        after: Option<Account>,
        origin: &WriteOrigin,
    ) -> Result<ProfilesInLine, RequestError> {
        if self.hub.visibility().own.audience(name).is_some() {
            let message =
                format!("{OWN_PREFIX}{name} is a field of this deployment: remove it from the settings first");
            return Err(RequestError::new(Reason::InvalidArgument, message).field("field"));
        }
        if after.is_none() {
            self.audit_purge(origin, name).await?;
        }
        self.bring_in_line(after, Some(name)).await
    }

    /// Brings a part of all profiles in line with the rules, and then their frozen copies: a block that is made meanwhile
    /// copies a profile that is in line already.
    async fn bring_in_line(
        &self,
        after: Option<Account>,
        purges: Option<&str>,
    ) -> Result<ProfilesInLine, RequestError> {
        let failed = |error: StoreError| unavailable(&error);
        let page = self.store.profiles(String::new(), after, PAGE).await.map_err(failed)?;
        let next = page.last().filter(|_| page.len() == PAGE).map(|profile| profile.account.clone());
        let (rules, purges) = (self.store.rules().get(), purges.map(Box::<str>::from));
        let has_remains = |profile: &Profile| purges.as_ref().is_some_and(|name| profile.own.get(name).is_some());
        let moves = page.iter().filter(|profile| has_remains(profile) || rules.must_move(profile));
        let moves =
            moves.map(|profile| Command::MoveViews { account: profile.account.clone(), purges: purges.clone() });
        let mut changed = self.write_in_parts(moves.collect()).await?;
        let accounts = page.into_iter().map(|profile| profile.account).collect();
        // What the copies hold is read with the decision.
        let users = self.store.users(accounts).await.map_err(failed)?;
        let blocks = users.into_iter().flat_map(|user| user.blocks).filter(|block| !block.removed);
        let copies = blocks.map(|Block { owner, peer, .. }| {
            let purges = purges.clone();
            Command::MoveFrozenViews { account: owner, peer, purges }
        });
        changed += self.write_in_parts(copies.collect()).await?;
        Ok(ProfilesInLine { changed, next })
    }

    /// Carries out commands, and returns how many changed something.
    async fn write_in_parts(&self, mut commands: Vec<Command>) -> Result<u64, RequestError> {
        let mut changed = 0;
        while !commands.is_empty() {
            let rest = commands.split_off(commands.len().min(SOME));
            let write = Write { commands: std::mem::replace(&mut commands, rest), origin: WriteOrigin::Settings };
            let answers = self.write(write).await.map_err(|(_, error)| error)?;
            changed += answers.iter().filter(|answer| answer.outcome == Outcome::Changed).count() as u64;
        }
        Ok(changed)
    }
}
