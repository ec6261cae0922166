//! How the values of rows that are no texts and no numbers stand in the columns of a database. Every adapter with SQL
//! uses these numbers, so that rows can be copied from one to another as they are.

use rosterd_engine::model::{Gender, RequestSide, RequestState, SeenPresence};

/// Returns the number of a gender.
pub(super) fn gender_number(gender: Gender) -> i16 {
    match gender {
        Gender::Unknown => 0,
        Gender::Male => 1,
        Gender::Female => 2,
    }
}

/// Returns the gender of a number.
pub(super) fn gender(number: i64) -> Option<Gender> {
    match number {
        0 => Some(Gender::Unknown),
        1 => Some(Gender::Male),
        2 => Some(Gender::Female),
        _ => None,
    }
}

/// Returns the number of the side that a copy of a request belongs to.
pub(super) fn side_number(side: RequestSide) -> i16 {
    match side {
        RequestSide::Sender => 0,
        RequestSide::Receiver => 1,
    }
}

/// Returns the side of a number.
pub(super) fn side(number: i64) -> Option<RequestSide> {
    match number {
        0 => Some(RequestSide::Sender),
        1 => Some(RequestSide::Receiver),
        _ => None,
    }
}

/// Returns the number of a request's state.
pub(super) fn state_number(state: RequestState) -> i16 {
    match state {
        RequestState::Open => 0,
        RequestState::Accepted => 1,
        RequestState::Rejected => 2,
        RequestState::Cancelled => 3,
        RequestState::Expired => 4,
    }
}

/// Returns the state of a number.
pub(super) fn state(number: i64) -> Option<RequestState> {
    match number {
        0 => Some(RequestState::Open),
        1 => Some(RequestState::Accepted),
        2 => Some(RequestState::Rejected),
        3 => Some(RequestState::Cancelled),
        4 => Some(RequestState::Expired),
        _ => None,
    }
}

/// Returns the number for what the peer of a block sees, apart from the time.
pub(super) fn shown_number(presence: Option<SeenPresence>) -> i16 {
    match presence {
        None => 0,
        Some(SeenPresence { online: false, .. }) => 1,
        Some(SeenPresence { online: true, .. }) => 2,
    }
}

/// Returns what the peer of a block sees, or the number if it means nothing.
pub(super) fn shown(number: i64, last_seen: u64) -> Result<Option<SeenPresence>, i64> {
    match number {
        0 => Ok(None),
        1 => Ok(Some(SeenPresence { online: false, last_seen })),
        2 => Ok(Some(SeenPresence { online: true, last_seen })),
        other => Err(other),
    }
}
