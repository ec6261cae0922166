//! Presence: what somebody sees of it, and what the account itself chooses, which is whether it hides, and its status.

use std::sync::Arc;

use super::limits::{STATUS_CHARS, STATUS_LASTS};
use super::profile::text;
use super::{Account, DeviceKind, Millis, Reason, RequestError, Revision, SeenNumber};

/// An account's presence as somebody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeenPresence {
    /// Whether it seems to be online.
    pub online: bool,
    /// When it came online, or was last online; 0 if it never was.
    pub last_seen: Millis,
}

/// An account's presence as friends see it, with the number of its last transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedPresence {
    /// The account.
    pub account: Account,
    /// What friends see, peers with a view of their own aside.
    pub presence: SeenPresence,
    /// The kinds of devices that friends see.
    pub devices: Vec<DeviceKind>,
    /// What it chose. Setting that takes a number, too.
    pub chosen: ChosenPresence,
    /// The last change of the account itself: whoever has it knows the account, and whether it hides.
    pub revision: Revision,
    /// The number.
    pub seen: SeenNumber,
}

/// What an account chose about its presence, which only its own clients learn as it is here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChosenPresence {
    /// Whether it hides that it is online.
    pub hides: bool,
    /// The version of this, 0 if it was never set. When the account comes and goes, this stays.
    pub version: u64,
    /// Its status, which may have ended.
    pub status: Option<Arc<Status>>,
}

/// A text that an account shows beside its presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The text, never empty.
    pub text: Box<str>,
    /// When it ends; `None`: when the account goes offline.
    pub until: Option<Millis>,
    /// When it was set.
    pub time: Millis,
}

/// A checked status that a command gives. Whether its end is in the future is known when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenStatus {
    /// The text; empty for no status.
    pub text: Box<str>,
    /// When it ends; `None`: when the account goes offline.
    pub until: Option<Millis>,
}

/// A change of what an account chose about its presence. What is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PresenceChange {
    /// Whether it hides.
    pub invisible: Option<bool>,
    /// Its status.
    pub status: Option<GivenStatus>,
    /// A status without an end that was set before this has ended, because the account was offline since; [`Millis::MAX`]
    /// if it is.
    pub ended_before: Millis,
}

impl Status {
    /// Whether it has not reached its end.
    #[must_use]
    pub fn lasts(&self, now: Millis) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it belongs to an account that is online since `came`, apart from its end. One that was set within the
    /// offline grace before that is taken to have been set while the account was there.
    #[must_use]
    pub fn belongs(&self, came: Millis, grace: Millis) -> bool {
        self.until.is_some() || self.time.saturating_add(grace) >= came
    }
}

impl ChosenPresence {
    /// Returns what it is after a change at `now`, or `None` if nothing would differ.
    ///
    /// A status without an end is for those who see the account online: it ends when the account hides. One that is set
    /// while it hides waits until it shows itself.
    ///
    /// # Errors
    /// 400 if the end of a status is not ahead, or too far.
    pub(crate) fn after(
        &self,
        change: &PresenceChange,
        version: u64,
        now: Millis,
    ) -> Result<Option<Self>, RequestError> {
        let hides = change.invisible.unwrap_or(self.hides);
        let has_ended = |held: &Status| held.until.is_none() && held.time < change.ended_before || !held.lasts(now);
        let held = self.status.as_deref().filter(|held| !has_ended(held));
        let next = match &change.status {
            Some(given) => {
                let status = given.at(now)?;
                // If the clock was set back, it is still of the time since the account is online.
                let time = if change.ended_before == Millis::MAX { now } else { now.max(change.ended_before) };
                status.map(|status| Status { time, ..status })
            }
            None if hides && !self.hides => held.filter(|held| held.until.is_some()).cloned(),
            None => held.cloned(),
        };
        let looks = |status: Option<&Status>| status.map(|status| (status.text.clone(), status.until));
        if hides == self.hides && looks(next.as_ref()) == looks(held) {
            return Ok(None);
        }
        let shows_itself = self.hides && !hides;
        let time = |status: Status| Arc::new(if shows_itself { Status { time: now, ..status } } else { status });
        Ok(Some(Self { hides, version, status: next.map(time) }))
    }

    /// The status as those see it who see this presence: nobody sees that of an account that is offline.
    #[must_use]
    pub fn shown_status(&self, seen: SeenPresence, grace: Millis, now: Millis) -> Option<&Arc<Status>> {
        let belongs = |status: &&Arc<Status>| status.belongs(seen.last_seen, grace) && status.lasts(now);
        self.status.as_ref().filter(|_| seen.online && !self.hides).filter(belongs)
    }
}

impl GivenStatus {
    /// Checks a status.
    ///
    /// # Errors
    /// 400 with the field.
    pub fn check(status: Option<String>, until: Option<Millis>) -> Result<Option<Self>, RequestError> {
        let wrong = |message: &str| Err(RequestError::new(Reason::InvalidArgument, message).field("until"));
        text("status", status.as_deref(), STATUS_CHARS)?;
        match (status, until) {
            (None, None) => Ok(None),
            (None, Some(_)) => wrong("until is the end of a status: give status as well"),
            (Some(text), Some(_)) if text.is_empty() => wrong("an empty status has no end: leave until out"),
            (Some(text), until) => Ok(Some(Self { text: text.into(), until })),
        }
    }

    /// Returns it with another text, and without an end if that is empty.
    #[must_use]
    pub fn with_text(self, text: Box<str>) -> Self {
        Self { until: self.until.filter(|_| !text.is_empty()), text }
    }

    /// Makes the status that is set at `now`, `None` if it is cleared.
    pub(crate) fn at(&self, now: Millis) -> Result<Option<Status>, RequestError> {
        let wrong = |message: &str| Err(RequestError::new(Reason::InvalidArgument, message).field("until"));
        match self.until {
            Some(until) if until <= now => wrong("until is in the past; it is a time in milliseconds since 1970"),
            Some(until) if until - now > STATUS_LASTS => wrong("until is more than 366 days ahead"),
            _ if self.text.is_empty() => Ok(None),
            until => Ok(Some(Status { text: self.text.clone(), until, time: now })),
        }
    }
}

impl PresenceChange {
    /// Hides an account, or shows it again.
    #[must_use]
    pub fn hides(invisible: bool) -> Self {
        Self { invisible: Some(invisible), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(status: Option<&str>, until: Option<Millis>) -> Option<String> {
        let error = GivenStatus::check(status.map(str::to_owned), until).err()?;
        Some(error.field.unwrap_or_default().into())
    }

    #[test]
    fn a_status_is_a_short_text_that_may_have_an_end() {
        assert_eq!(field(Some(&"ü".repeat(STATUS_CHARS)), None), None);
        assert_eq!(field(Some(&"ü".repeat(STATUS_CHARS + 1)), None).as_deref(), Some("status"));
        assert_eq!(field(Some("a\0b"), None).as_deref(), Some("status"));
        assert_eq!(field(None, Some(5)).as_deref(), Some("until"));
        assert_eq!(field(Some(""), Some(5)).as_deref(), Some("until"));
        let given = |until| GivenStatus { text: "away".into(), until: Some(until) };
        for until in [0, 9, 10, 11 + STATUS_LASTS, Millis::MAX] {
            assert_eq!(given(until).at(10).unwrap_err().field.as_deref(), Some("until"), "{until}");
        }
        assert!(given(11).at(10).is_ok() && given(10 + STATUS_LASTS).at(10).is_ok());
    }

    #[test]
    fn a_status_without_an_end_goes_when_its_account_hides_and_waits_while_it_does() {
        let set = |invisible, text: Option<&str>, until| PresenceChange {
            invisible,
            status: text.map(|text| GivenStatus { text: text.into(), until }),
            ended_before: 0,
        };
        let text = |chosen: &ChosenPresence| chosen.status.as_ref().map(|status| status.text.to_string());
        let none = ChosenPresence::default();
        let away = none.after(&set(None, Some("away"), None), 3, 10).unwrap().unwrap();
        assert_eq!((away.version, text(&away).as_deref()), (3, Some("away")));
        assert_eq!(away.after(&set(None, Some("away"), None), 4, 20).unwrap(), None, "it is so already");
        assert_eq!(away.after(&set(Some(false), None, None), 4, 20).unwrap(), None);
        assert_eq!(none.after(&set(None, Some(""), None), 4, 20).unwrap(), None);
        let renewed = PresenceChange { ended_before: 11, ..set(None, Some("away"), None) };
        assert_eq!(away.after(&renewed, 4, 20).unwrap().unwrap().status.unwrap().time, 20, "the old one has ended");
        assert_eq!(away.after(&renewed, 4, 5).unwrap().unwrap().status.unwrap().time, 11, "the clock was set back");
        let offline = PresenceChange { ended_before: Millis::MAX, ..renewed };
        assert_eq!(away.after(&offline, 4, 20).unwrap().unwrap().status.unwrap().time, 20);
        let hidden = away.after(&set(Some(true), None, None), 4, 20).unwrap().unwrap();
        assert_eq!((hidden.hides, text(&hidden)), (true, None));
        let busy = hidden.after(&set(None, Some("busy"), None), 5, 30).unwrap().unwrap();
        let shown = busy.after(&set(Some(false), None, None), 6, 90).unwrap().unwrap();
        assert_eq!(shown.status.unwrap().time, 90, "it begins now");
        let ends = none.after(&set(None, Some("lunch"), Some(60)), 7, 10).unwrap().unwrap();
        let hidden = ends.after(&set(Some(true), None, None), 8, 20).unwrap().unwrap();
        assert_eq!(text(&hidden).as_deref(), Some("lunch"), "its end is its own");
        let again = hidden.after(&set(None, Some("lunch"), Some(60)), 9, 59);
        assert_eq!(again.unwrap(), None);
        assert!(hidden.after(&set(None, Some("lunch"), Some(60)), 9, 60).is_err());
    }

    #[test]
    fn a_status_is_shown_while_its_account_is_online_and_up_to_its_end() {
        let status = |until| ChosenPresence {
            status: Some(Arc::new(Status { text: "away".into(), until, time: 100 })),
            ..ChosenPresence::default()
        };
        let seen = |online, last_seen| SeenPresence { online, last_seen };
        let shows = |chosen: &ChosenPresence, seen, now| chosen.shown_status(seen, 10, now).is_some();
        assert!(shows(&status(None), seen(true, 90), 10_000));
        assert!(shows(&status(None), seen(true, 110), 10_000), "the grace was not over");
        assert!(!shows(&status(None), seen(true, 111), 10_000), "it was offline since");
        assert!(!shows(&status(None), seen(false, 90), 10_000));
        assert!(shows(&status(Some(200)), seen(true, 150), 199));
        assert!(!shows(&status(Some(200)), seen(true, 150), 200));
        assert!(!shows(&ChosenPresence { hides: true, ..status(None) }, seen(true, 90), 100));
    }
}
