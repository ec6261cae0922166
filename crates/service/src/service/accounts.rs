//! Parses the accounts that a request names.

use rosterd_engine::model::{Account, Reason, RequestError};

/// Parses the accounts that are named: each once, in the order given.
///
/// # Errors
/// 414 for an account that cannot be one, 419 for more than `most`.
pub(super) fn distinct(names: &[String], most: usize) -> Result<Vec<Account>, RequestError> {
    if names.len() > most {
        let message = format!("accounts names {}, at most {most} at a time", names.len());
        return Err(RequestError::new(Reason::LimitExceeded, message).field("accounts"));
    }
    let mut seen = rustc_hash::FxHashSet::default();
    let mut accounts: Vec<Account> = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let account = Account::parse(name, "account").map_err(|e| e.field(format!("accounts[{at}]")))?;
        if seen.insert(account.clone()) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}
