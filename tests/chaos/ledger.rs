//! What was acknowledged to clients, and whether the store still has it.
//!
//! Everything that is written here has one writer and only grows, so that there are two right values at most: the one
//! that was acknowledged last, and the one that was under way when the connection was lost.

use parking_lot::Mutex;
use rosterd_protocol::{ClientCommand, v1};

use crate::random::Random;
use crate::truth::Truth;

/// Friends to each side, in a ring.
const REACH: usize = 5;

/// What one write changes: a step of one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// The own nick, and the same number in `custom`: half a write would show.
    EncodedProfile,
    /// The alias of the next friend in the ring.
    FriendUpdate,
    /// Whether the account across the ring is a friend: after an even number of steps it is.
    Friend,
}

impl Register {
    /// What a store shows of a value: of a friendship only whether it is there.
    fn shown(self, step: u64) -> u64 {
        if self == Self::Friend { step % 2 } else { step }
    }
}

const REGISTERS: [Register; 3] = [Register::EncodedProfile, Register::FriendUpdate, Register::Friend];

/// A value, in steps from the first.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    acknowledged: u64,
    /// Asked for and not answered.
    asked: Option<u64>,
    /// Whether it was asked for before, and the answer was lost.
    is_in_doubt: bool,
}

/// One account's values.
#[derive(Debug, Default)]
struct Account([Value; REGISTERS.len()]);

/// All that was acknowledged.
pub struct Ledger {
    accounts: Vec<Mutex<Account>>,
}

/// An account's name.
pub fn name(number: usize) -> String {
    format!("u{number:04}")
}

impl Ledger {
    pub fn new(accounts: usize) -> Self {
        Self { accounts: (0..accounts).map(|_| Mutex::default()).collect() }
    }

    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// The friendships there are in the beginning.
    pub fn friendships(&self) -> Vec<(String, String)> {
        let all = self.accounts();
        let ring = (0..all).flat_map(|a| (1..=REACH).map(move |step| (a, (a + step) % all)));
        let across = (0..all / 2).map(|a| (a, across(a, all)));
        ring.chain(across).map(|(a, b)| (name(a), name(b))).collect()
    }

    /// The next write of an account: asked for from now on.
    pub fn ask(&self, account: usize, random: &mut Random, sign: String) -> (Register, ClientCommand) {
        let all = self.accounts();
        let register = match random.below(10) {
            0..7 => Register::EncodedProfile,
            7 | 8 => Register::FriendUpdate,
            _ if account < all / 2 => Register::Friend,
            _ => Register::EncodedProfile,
        };
        let mut values = self.accounts[account].lock();
        let value = &mut values.0[register as usize];
        let step = value.acknowledged + 1;
        value.is_in_doubt = value.asked.replace(step).is_some();
        let friend = name(across(account, all));
        let command = match register {
            Register::EncodedProfile => ClientCommand::UpdateMyInfo(v1::UpdateMyInfo {
                nick: Some(step.to_string()),
                custom: Some(format!("{step:>1000}")),
                sign: Some(sign),
                ..Default::default()
            }),
            Register::FriendUpdate => {
                let (account, alias) = (name((account + 1) % all), Some(step.to_string()));
                ClientCommand::UpdateFriend(v1::UpdateFriend { account, alias, ..Default::default() })
            }
            Register::Friend if step.is_multiple_of(2) => {
                ClientCommand::AddFriend(v1::AddFriend { account: friend, ..Default::default() })
            }
            Register::Friend => ClientCommand::DeleteFriend(v1::DeleteFriend { account: friend }),
        };
        (register, command)
    }

    /// Whether what is asked for now may have been done before.
    pub fn is_in_doubt(&self, account: usize, register: Register) -> bool {
        self.accounts[account].lock().0[register as usize].is_in_doubt
    }

    /// It was answered: well, or with a refusal that says nothing was changed by it.
    pub fn answered(&self, account: usize, register: Register, well: bool) {
        let value = &mut self.accounts[account].lock().0[register as usize];
        let asked = value.asked.expect("it was asked");
        if well {
            *value = Value { acknowledged: asked, ..Value::default() };
        } else if !value.is_in_doubt {
            value.asked = None;
        }
    }

    /// Holds the store against what was acknowledged, and takes over what had been under way. Nobody may be writing.
    pub fn check(&self, truth: &Truth) -> Result<(), String> {
        (0..self.accounts()).try_for_each(|account| self.check_one(account, truth))
    }

    /// Takes over what a store has that may have lost commits. Returns how many values were acknowledged and are lost.
    pub fn take_over(&self, truth: &Truth) -> Result<usize, String> {
        let mut lost = 0;
        for account in 0..self.accounts() {
            let found = self.found(account, truth)?;
            let mut values = self.accounts[account].lock();
            for (register, found) in REGISTERS.into_iter().zip(found) {
                let value = &mut values.0[register as usize];
                let is_shown = found == register.shown(value.acknowledged);
                lost += usize::from(!is_shown && value.asked.is_none());
                if !is_shown {
                    value.acknowledged = found;
                }
                *value = Value { acknowledged: value.acknowledged, ..Value::default() };
            }
        }
        Ok(lost)
    }

    /// What a store has of an account's values, as far as it shows.
    fn found(&self, number: usize, truth: &Truth) -> Result<[u64; REGISTERS.len()], String> {
        let (account, all) = (name(number), self.accounts());
        let user = truth.users.get(&account).ok_or_else(|| format!("{account} is gone"))?;
        let friends = &truth.friends[&account];
        let (nick, custom) = (steps(&user.nick), steps(user.custom.trim()));
        if nick != custom {
            return Err(format!("{account} has half a write: nick {nick}, custom {custom}"));
        }
        let next = name((number + 1) % all);
        let note = steps(&friends.get(&next).ok_or_else(|| format!("{account} lost its friend {next}"))?.alias);
        let friend = u64::from(!friends.contains_key(&name(across(number, all))));
        // The other side of a friendship writes nothing of it.
        Ok([nick, note, if number < all / 2 { friend } else { 0 }])
    }

    fn check_one(&self, number: usize, truth: &Truth) -> Result<(), String> {
        let (account, found) = (name(number), self.found(number, truth)?);
        let mut values = self.accounts[number].lock();
        for (register, found) in REGISTERS.into_iter().zip(found) {
            let value = &mut values.0[register as usize];
            let right = [Some(value.acknowledged), value.asked]
                .into_iter()
                .flatten()
                .find(|step| register.shown(*step) == found);
            let Some(right) = right else {
                return Err(format!("{account}: {register:?} is {found}, acknowledged and asked for was {value:?}"));
            };
            *value = Value { acknowledged: right, ..Value::default() };
        }
        Ok(())
    }
}

/// The account on the other side of the ring.
fn across(account: usize, all: usize) -> usize {
    (account + all / 2) % all
}

/// Nothing was written yet, or that many steps.
fn steps(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

mod tests {
    use std::collections::BTreeMap;

    use rosterd_protocol::v1;

    use super::*;

    /// What a store holds after nothing was written.
    fn untouched(ledger: &Ledger) -> Truth {
        let mut truth = Truth { users: BTreeMap::new(), friends: BTreeMap::new() };
        for account in (0..ledger.accounts()).map(name) {
            truth.users.insert(account.clone(), v1::User { account, ..Default::default() });
        }
        for (a, b) in ledger.friendships() {
            for (owner, peer) in [(&a, &b), (&b, &a)] {
                let friend = v1::Friend { account: peer.clone(), ..Default::default() };
                truth.friends.entry(owner.clone()).or_default().insert(peer.clone(), friend);
            }
        }
        truth
    }

    /// Asks until the register is this one; the step is the first.
    fn ask(ledger: &Ledger, account: usize, wanted: Register) {
        let mut random = Random::new(7);
        loop {
            let (register, _) = ledger.ask(account, &mut random, String::new());
            if register == wanted {
                return;
            }
            ledger.answered(account, register, false);
        }
    }

    #[test]
    fn a_write_that_was_acknowledged_and_is_missing_is_found() {
        for (register, says) in [
            (Register::EncodedProfile, "u0003: EncodedProfile is 0"),
            (Register::FriendUpdate, "u0003: FriendUpdate is 0"),
            (Register::Friend, "u0003: Friend is 0"),
        ] {
            let ledger = Ledger::new(20);
            let truth = untouched(&ledger);
            assert_eq!(ledger.check(&truth), Ok(()));
            ask(&ledger, 3, register);
            ledger.answered(3, register, true);
            let lost = ledger.check(&truth).unwrap_err();
            assert!(lost.starts_with(says), "{lost}");
        }
    }

    #[test]
    fn a_write_that_was_under_way_may_be_there_or_not_and_one_that_was_put_off_may_not() {
        let ledger = Ledger::new(20);
        let mut truth = untouched(&ledger);
        ask(&ledger, 3, Register::EncodedProfile);
        assert_eq!(ledger.check(&truth), Ok(()));
        let user = truth.users.get_mut("u0003").unwrap();
        (user.nick, user.custom) = ("1".to_owned(), "1".to_owned());
        // It was held against the store, and was not there: so it may not appear later.
        assert!(ledger.check(&truth).is_err());
        ask(&ledger, 3, Register::EncodedProfile);
        assert_eq!(ledger.check(&truth), Ok(()));
        let user = truth.users.get_mut("u0003").unwrap();
        (user.nick, user.custom) = ("2".to_owned(), "2".to_owned());
        ask(&ledger, 3, Register::EncodedProfile);
        ledger.answered(3, Register::EncodedProfile, false);
        assert!(ledger.check(&truth).is_err());
    }

    #[test]
    fn a_write_in_doubt_that_is_put_off_later_may_still_be_there() {
        let ledger = Ledger::new(20);
        let mut truth = untouched(&ledger);
        ask(&ledger, 3, Register::EncodedProfile);
        ask(&ledger, 3, Register::EncodedProfile);
        assert!(ledger.is_in_doubt(3, Register::EncodedProfile));
        ledger.answered(3, Register::EncodedProfile, false);
        let user = truth.users.get_mut("u0003").unwrap();
        (user.nick, user.custom) = ("1".to_owned(), "1".to_owned());
        assert_eq!(ledger.check(&truth), Ok(()));
    }

    #[test]
    fn what_a_store_lost_is_counted_and_goes_on_from_there() {
        let ledger = Ledger::new(20);
        let truth = untouched(&ledger);
        ask(&ledger, 3, Register::EncodedProfile);
        ledger.answered(3, Register::EncodedProfile, true);
        assert!(ledger.check(&truth).is_err());
        assert_eq!(ledger.take_over(&truth), Ok(1));
        assert_eq!(ledger.check(&truth), Ok(()));
    }

    #[test]
    fn half_a_write_is_found() {
        let ledger = Ledger::new(20);
        let mut truth = untouched(&ledger);
        ask(&ledger, 3, Register::EncodedProfile);
        truth.users.get_mut("u0003").unwrap().nick = "1".to_owned();
        let half = ledger.check(&truth).unwrap_err();
        assert!(half.contains("half a write"), "{half}");
    }
}
