//! `rosterd webhook secret` makes a secret for an endpoint.

use crate::outbound::SigningSecret;

/// Makes a secret.
///
/// # Errors
/// The system has no randomness.
pub fn secret() -> Result<String, String> {
    SigningSecret::generate()
}
