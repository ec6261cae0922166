//! Decides what becomes of stored profiles when the rules about who sees what change.
//!
//! A view that looks other than before gets a new version, and from then on everything is as after any other change: it is
//! sent to those who watch, it is in the delta of those who come back, and nobody else receives anything.

use std::sync::Arc;

use super::decision::{CommitPoint, CurrentRows, Decision};
use crate::model::{Account, Audience, LastChange, Outcome, Profile, Row, Visibility};

/// Brings a profile in line with the rules, without the value of an own field that there is no more.
pub(super) fn profile(
    current: &CurrentRows,
    account: &Account,
    purges: Option<&str>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Decision {
    let next = current.user(account).and_then(|held| in_line(held, purges, at, visibility));
    next.map_or_else(Decision::unchanged, |next| Decision::new(vec![Row::Profile(next)], Outcome::Changed))
}

/// Does the same to the copy of a profile that a blocked account sees. The block stays as it is.
pub(super) fn frozen(
    current: &CurrentRows,
    (account, peer): (&Account, &Account),
    purges: Option<&str>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Decision {
    let next = current.frozen.as_ref().and_then(|held| in_line(held, purges, at, visibility));
    match (current.blocks(account, peer), next) {
        (Some(block), Some(next)) => {
            let row = Row::Block { block: block.clone(), frozen: Some(next) };
            Decision::new(vec![row], Outcome::Changed)
        }
        _ => Decision::unchanged(),
    }
}

/// Returns a profile whose views are those of the rules, if it has to change for that.
fn in_line(
    held: &Arc<Profile>,
    purges: Option<&str>,
    at: CommitPoint,
    visibility: &Visibility,
) -> Option<Arc<Profile>> {
    // What a field holds that there is, or that has come back, is no remains.
    let purges = purges.filter(|name| visibility.own.audience(name).is_none() && held.own.get(name).is_some());
    if purges.is_none() && !visibility.must_move(held) {
        return None;
    }
    let own = held.own.filtered(|name| Some(name) != purges);
    Some(Arc::new(moved(held, Profile { own, ..Profile::clone(held) }, at, visibility)))
}

/// Moves the views that show a changed field.
///
/// A clock that was set back does not make a profile look older than it was.
pub(super) fn moved(before: &Profile, next: Profile, at: CommitPoint, visibility: &Visibility) -> Profile {
    let view = |audience| {
        let held = before.last_change(audience);
        let same = visibility.looks_same(before, &next, audience);
        if same { held } else { LastChange { version: at.revision, time: at.now.max(held.time) } }
    };
    let (friends, everyone) = (view(Audience::Friends), view(Audience::Everyone));
    Profile { version: at.revision, update_time: at.now.max(before.update_time), friends, everyone, ..next }
}
