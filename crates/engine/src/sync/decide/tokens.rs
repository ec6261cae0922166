//! Decides the commands about tokens: revocation, and static tokens.

use super::decision::{CommitPoint, CurrentRows, Decision};
use crate::model::{Account, Credential, Millis, Outcome, RequestError, Row, StaticToken, TokenHash};

/// Revokes older tokens. What was revoked stays revoked: an earlier time changes nothing.
///
/// A revocation is never later than now. A stored one that is, from a clock that was ahead, becomes one of now: it
/// revokes every token that can have been issued, and no longer those of the future.
pub(super) fn revoke(current: &CurrentRows, account: &Account, before: Millis, at: CommitPoint) -> Decision {
    let held = &current.credential;
    // A token issued in this very millisecond was issued before.
    let now = at.now + 1;
    let ahead = held.revoked_before > now;
    let before = if ahead { now } else { before.min(now) };
    if !ahead && before <= held.revoked_before {
        return Decision::unchanged();
    }
    // Under a revocation that is ahead, a static token has the time of the revocation and not its own.
    let token = held.token.clone().filter(|token| !ahead && token.issued >= before);
    Decision::new(vec![row(account, Credential { revoked_before: before, token })], Outcome::Changed)
}

pub(super) fn set(
    current: &CurrentRows,
    account: &Account,
    token: Option<TokenHash>,
    at: CommitPoint,
) -> Result<Decision, RequestError> {
    current.known(account)?;
    let held = &current.credential;
    let outcome = match (&held.token, token) {
        (None, None) => return Ok(Decision::unchanged()),
        (None, Some(_)) => Outcome::Created,
        (Some(_), _) => Outcome::Changed,
    };
    // A token set after a revocation is good, even within its millisecond, or if the revocation was ahead of the clock.
    let issued = at.now.max(held.revoked_before);
    let token = token.map(|hash| StaticToken { hash, issued });
    Ok(Decision::new(vec![row(account, Credential { token, ..held.clone() })], outcome))
}

/// Forgets the static token of a deleted account. Revoked tokens stay revoked, because the account may be made again.
pub(super) fn forgotten(current: &CurrentRows, account: &Account) -> Option<Row> {
    let held = &current.credential;
    held.token.is_some().then(|| row(account, Credential { token: None, ..held.clone() }))
}

fn row(account: &Account, credential: Credential) -> Row {
    Row::Credential { account: account.clone(), credential }
}
