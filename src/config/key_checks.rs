//! Checks the keys of the server API.

use super::ranges::{Problem, secret};
use super::settings::OpsConfig;
use crate::keys::{DEFAULT_KEY, Scope, hash};

/// The length of the shortest API key, in bytes: 128 bits if they are random.
pub(super) const API_KEY_BYTES: usize = 16;

/// Finds what is wrong with the keys, each alone and together.
pub(super) fn keys(ops: &OpsConfig, list: &mut Vec<Problem>) {
    secret("ops.api_key", &ops.api_key, API_KEY_BYTES, list);
    let mut hashes = Vec::new();
    if !ops.api_key.is_empty() {
        hashes.push((hash(ops.api_key.expose().as_bytes()), "ops.api_key".to_owned()));
    }
    for (name, key) in &ops.keys {
        let path = format!("ops.keys.{name}");
        let at = |field: &str| format!("{path}.{field}");
        let mut wrong = |key: String, message: String| list.push(Problem { key: key.into(), message });
        if name == DEFAULT_KEY {
            wrong(path.clone(), "has the name of ops.api_key; choose another".to_owned());
        }
        match (key.sha256.is_empty(), key.key.is_empty()) {
            (true, true) => wrong(path.clone(), format!("has no key; `rosterd key {name}` makes one")),
            (false, false) => {
                wrong(
                    at("key"),
                    format!("is set beside {}; only one of them can be right, remove the other", at("sha256")),
                );
            }
            (false, true) if key.hash().is_none() => {
                let message = "is not the SHA-256 of a key: write 64 hexadecimal digits, as `rosterd key` prints them";
                wrong(at("sha256"), message.to_owned());
            }
            _ => {}
        }
        if key.scopes.is_empty() {
            let scopes = Scope::ALL.map(|scope| format!("\"{}\"", scope.word())).join(", ");
            wrong(at("scopes"), format!("is empty; say what the key may do, out of {scopes}"));
        }
        if let Some(hash) = key.hash() {
            if let Some((_, other)) = hashes.iter().find(|(known, _)| *known == hash) {
                wrong(path.clone(), format!("is the same key as {other}; each name needs a key of its own"));
            }
            hashes.push((hash, path.clone()));
        }
        secret(at("key"), &key.key, API_KEY_BYTES, list);
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Secret;
    use super::super::keys::KeyConfig;
    use super::*;

    /// Returns the first problem with these keys, if there is one.
    fn wrong(keys: &[(&str, KeyConfig)]) -> Option<(String, String)> {
        let keys = keys.iter().map(|(name, key)| ((*name).to_owned(), key.clone())).collect();
        let ops = OpsConfig { api_key: Secret::new("hunter2-0123456789"), keys, ..OpsConfig::default() };
        let mut list = Vec::new();
        super::keys(&ops, &mut list);
        let shown = list.iter().map(|problem| problem.message.clone()).collect::<String>();
        assert!(!shown.contains("hunter2"), "{shown}");
        list.into_iter().next().map(|problem| (problem.key.into_owned(), problem.message))
    }

    #[test]
    fn keys_that_cannot_be_meant_are_refused() {
        let scopes = [Scope::Read].into_iter().collect();
        let hashed = |key: &str| KeyConfig { sha256: hash(key.as_bytes()).to_string(), scopes, ..KeyConfig::default() };
        let plain = |key: &str| KeyConfig { key: Secret::new(key), scopes, ..KeyConfig::default() };
        assert_eq!(wrong(&[("a", hashed("hunter2-one")), ("b", plain("hunter2-two-0123456"))]), None);
        let none = KeyConfig { scopes, ..KeyConfig::default() };
        let both = KeyConfig { sha256: hashed("x").sha256, ..plain("hunter2-0123456789a") };
        let not_hex = KeyConfig { sha256: "x".repeat(64), ..none.clone() };
        let too_short = KeyConfig { sha256: "0".repeat(63), ..none.clone() };
        let no_scopes = KeyConfig { sha256: hashed("x").sha256, ..KeyConfig::default() };
        for (key, at, why) in [
            (none, "ops.keys.crm", "rosterd key crm"),
            (both, "ops.keys.crm.key", "is set beside ops.keys.crm.sha256"),
            (not_hex, "ops.keys.crm.sha256", "64 hexadecimal digits"),
            (too_short, "ops.keys.crm.sha256", "64 hexadecimal digits"),
            (no_scopes, "ops.keys.crm.scopes", "\"read\", \"private\", \"write\""),
            (plain("hunter2"), "ops.keys.crm.key", "has 7 bytes"),
            (plain("hunter2-0123456789\n"), "ops.keys.crm.key", "white space"),
            (plain("hunter2-0123456789"), "ops.keys.crm", "is the same key as ops.api_key"),
        ] {
            let (key, message) = wrong(&[("crm", key)]).unwrap();
            assert!(key == at && message.contains(why), "{key}: {message}");
        }
        let (key, message) = wrong(&[("a", hashed("hunter2-x-0123456")), ("b", plain("hunter2-x-0123456"))]).unwrap();
        assert_eq!((&*key, message.contains("is the same key as ops.keys.a")), ("ops.keys.b", true), "{message}");
        assert_eq!(wrong(&[("default", hashed("hunter2-y"))]).unwrap().0, "ops.keys.default");
    }
}
