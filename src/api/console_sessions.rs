//! Who is logged in to the console, in memory: a restart ends all of it, and operators log in again.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

use crate::keys::{KeyHash, hash, new_key};
use rosterd_engine::model::Millis;

/// How long a session lasts without a request, and at most.
const IDLE: Millis = 30 * 60 * 1000;
pub(super) const LIFE: Millis = 12 * 60 * 60 * 1000;
/// The most sessions. The one that was used least recently makes room for another.
const SESSIONS: usize = 256;
/// How many wrong keys are taken in a minute from one address, and from all.
const WRONG: (u32, u32) = (5, 50);
const MINUTE: Millis = 60 * 1000;

/// The console's sessions, and the keys that were wrong lately.
#[derive(Debug, Default)]
pub(super) struct ConsoleSessions {
    /// By the hash of the cookie, so that a copy of the memory gives nobody a session.
    sessions: Mutex<HashMap<String, ConsoleSession>>,
    wrong: Mutex<WrongKeys>,
}

#[derive(Debug)]
struct ConsoleSession {
    /// The key that it was opened with. Its scopes and its end are looked up at each request.
    key: KeyHash,
    opened: Millis,
    used: Millis,
}

impl ConsoleSession {
    fn is_open(&self, now: Millis) -> bool {
        now < self.used.saturating_add(IDLE) && now < self.opened.saturating_add(LIFE)
    }
}

/// What was tried in the current minute.
#[derive(Debug, Default)]
struct WrongKeys {
    since: Millis,
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl ConsoleSessions {
    /// Opens a session for a key, and returns the cookie.
    pub(super) fn open(&self, key: KeyHash, now: Millis) -> String {
        let cookie = new_key("console");
        let mut sessions = self.sessions.lock();
        sessions.retain(|_, session| session.is_open(now));
        if sessions.len() >= SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone());
            oldest.and_then(|id| sessions.remove(&id));
        }
        sessions.insert(cookie.hash.to_string(), ConsoleSession { key, opened: now, used: now });
        cookie.key
    }

    /// Returns the key of the session of a cookie, and that session's id.
    pub(super) fn key_of(&self, cookie: &[u8], now: Millis) -> Option<(KeyHash, String)> {
        let id = hash(cookie).to_string();
        let mut sessions = self.sessions.lock();
        let session = sessions.get_mut(&id).filter(|session| session.is_open(now))?;
        session.used = now;
        Some((session.key, id))
    }

    /// Reports whether a session goes on. Asking is no use of it.
    pub(super) fn is_open(&self, id: &str, now: Millis) -> bool {
        self.sessions.lock().get(id).is_some_and(|session| session.is_open(now))
    }

    /// Ends the session of a cookie.
    pub(super) fn close(&self, cookie: &[u8]) {
        self.sessions.lock().remove(&hash(cookie).to_string());
    }

    /// Counts a try, which is taken to be wrong until [`Self::logged_in`].
    ///
    /// # Errors
    /// Too many were wrong; in how many milliseconds the next is taken.
    pub(super) fn try_login(&self, address: IpAddr, now: Millis) -> Result<(), Millis> {
        let mut wrong = self.wrong.lock();
        if now >= wrong.since.saturating_add(MINUTE) || now < wrong.since {
            *wrong = WrongKeys { since: now, ..WrongKeys::default() };
        }
        let here = wrong.by_address.get(&address).copied().unwrap_or_default();
        if here >= WRONG.0 || wrong.all >= WRONG.1 {
            return Err(wrong.since + MINUTE - now);
        }
        wrong.by_address.insert(address, here + 1);
        wrong.all += 1;
        Ok(())
    }

    /// Takes back what [`Self::try_login`] counted: the key was right.
    pub(super) fn logged_in(&self, address: IpAddr) {
        let mut wrong = self.wrong.lock();
        wrong.all = wrong.all.saturating_sub(1);
        if let Some(here) = wrong.by_address.get_mut(&address) {
            *here = here.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_idle_when_it_is_old_and_when_it_is_closed() {
        let (sessions, key) = (ConsoleSessions::default(), hash(b"a-key"));
        let cookie = sessions.open(key, 0);
        assert_eq!(sessions.key_of(b"another", 0), None);
        let mut now = 0;
        while now + IDLE - 1 < LIFE {
            now += IDLE - 1;
            assert_eq!(sessions.key_of(cookie.as_bytes(), now).unwrap().0, key, "{now}");
        }
        assert_eq!(sessions.key_of(cookie.as_bytes(), LIFE), None);
        let cookie = sessions.open(key, 0);
        assert_eq!(sessions.key_of(cookie.as_bytes(), IDLE), None);
        let cookie = sessions.open(key, 0);
        let (_, id) = sessions.key_of(cookie.as_bytes(), 1).unwrap();
        assert!(sessions.is_open(&id, 1));
        sessions.close(cookie.as_bytes());
        assert!(!sessions.is_open(&id, 1) && sessions.key_of(cookie.as_bytes(), 1).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_one_used_least_recently_makes_room() {
        let (sessions, key) = (ConsoleSessions::default(), hash(b"a-key"));
        let first = sessions.open(key, 0);
        let second = sessions.open(key, 0);
        sessions.key_of(first.as_bytes(), 1);
        for _ in 2..=SESSIONS {
            sessions.open(key, 2);
        }
        assert!(sessions.key_of(first.as_bytes(), 2).is_some() && sessions.key_of(second.as_bytes(), 2).is_none());
        assert_eq!(sessions.sessions.lock().len(), SESSIONS);
    }

    #[test]
    fn wrong_keys_are_counted_by_address_and_in_all() {
        let sessions = ConsoleSessions::default();
        let address = |n: u8| IpAddr::from([127, 0, 0, n]);
        for _ in 0..WRONG.0 {
            sessions.try_login(address(1), 1000).unwrap();
        }
        assert_eq!(sessions.try_login(address(1), 2000), Err(MINUTE - 2000));
        // A right key is not counted.
        for _ in 0..100 {
            sessions.try_login(address(2), 2000).unwrap();
            sessions.logged_in(address(2));
        }
        for n in 3..=11 {
            for _ in 0..WRONG.0 {
                sessions.try_login(address(n), 3000).unwrap();
            }
        }
        assert!(sessions.try_login(address(12), 3000).is_err());
        sessions.try_login(address(1), MINUTE).unwrap();
    }
}
