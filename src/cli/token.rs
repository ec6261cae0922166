//! `rosterd token` makes a token for trying out a gateway.
//!
//! `main` prints it. In production the operator's backend signs tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::auth;
use crate::config::{Config, Mode};
use rosterd_engine::model::{Account, Millis};

/// The lifetime of a token unless `--ttl` is given.
const TTL: Duration = Duration::from_hours(1);

/// Makes a token for `account` that these settings accept, with the lifetime `ttl` (an hour if not given).
///
/// In development mode the token is the account itself; it never expires, and `ttl` has no effect.
///
/// # Errors
/// The account is invalid; `ttl` is less than a second; or tokens are verified with a public key, so that only the
/// backend, which holds the private one, can sign.
pub fn token(config: &Config, account: &str, ttl: Option<Duration>) -> Result<String, String> {
    let account = Account::parse(account, "account").map_err(|error| error.message)?;
    let ttl = ttl.unwrap_or(TTL);
    if ttl < Duration::from_secs(1) {
        return Err("a token must be good for a second or more".to_owned());
    }
    let secret = &config.auth.hs256_secret;
    match config.auth.mode {
        Mode::Development => Ok(account.to_string()),
        Mode::Static => Err(format!(
            "tokens are static here: PUT /v1/users/{account}/token of the server API makes one, and tells it once"
        )),
        Mode::Jwt if secret.is_empty() => Err("tokens are verified with a public key, and rosterd holds no \
             private key: your backend signs them (sub = the account, exp = when they end)"
            .to_owned()),
        Mode::Jwt => Ok(auth::sign_hs256(secret.expose().as_bytes(), &account, parties(config), ttl, now())),
    }
}

/// Returns the issuer and the audience of the settings.
fn parties(config: &Config) -> (&str, &str) {
    (&config.auth.issuer, &config.auth.audience)
}

/// Reads this machine's clock.
fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn in_development_mode_the_token_is_the_account() {
        assert_eq!(token(&Config::default(), "ann", None), Ok("ann".to_owned()));
        assert!(token(&Config::default(), "not an account", None).is_err());
    }

    #[test]
    fn with_a_secret_the_token_is_one_that_the_gateway_accepts() {
        let mut config = Config::default();
        config.auth.mode = Mode::Jwt;
        config.auth.hs256_secret = Secret::new("0123456789abcdef0123456789abcdef");
        let verify = |token: &str| {
            config.auth.authenticator(None, &std::sync::Arc::default()).unwrap().verify(token, now()).unwrap()
        };
        let ends_in = |token: &str| verify(token).expires_at.unwrap() - now();
        let hour = token(&config, "ann", None).unwrap();
        assert_eq!(verify(&hour).account.as_str(), "ann");
        assert!((3_500_000..=3_601_000).contains(&ends_in(&hour)));
        let day = token(&config, "ann", Some(Duration::from_hours(24))).unwrap();
        assert!((86_300_000..=86_401_000).contains(&ends_in(&day)));
        assert!(token(&config, "ann", Some(Duration::ZERO)).is_err());
    }

    #[test]
    fn with_a_public_key_only_the_backend_can_sign() {
        let mut config = Config::default();
        config.auth.mode = Mode::Jwt;
        config.auth.public_key_file = "key.pem".into();
        assert!(token(&config, "ann", None).unwrap_err().contains("your backend signs"));
    }
}
