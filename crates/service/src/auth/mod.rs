//! Verifies tokens: the [`Authenticator`] says whose token it is given.
//!
//! It verifies tokens and nothing else. `service` decides whether the account exists and may log in, and whether its
//! tokens were revoked; `config` reads the settings. Verifying reads no clock: the caller passes `now`, so that a login
//! and the end of a session that outlasts its token go by the same time. It does no I/O either. Only `jwks` reads: a
//! key set, from the one place that the settings name. `service` calls it at login and refresh.

mod authenticator;
mod error;
mod jwks;
mod jwt;
mod key;
mod settings;
mod static_token;
mod verified_token;

pub use authenticator::Authenticator;
pub use error::AuthError;
pub use jwt::{TOKEN_BYTES, sign_hs256};
pub use settings::{AuthSettings, Expected, KeySetUrl, KeySource, Previous};
pub use static_token::{Shown, static_token};
pub use verified_token::VerifiedToken;
