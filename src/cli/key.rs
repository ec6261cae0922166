//! `rosterd key` makes a key of the server API.
//!
//! `main` prints it. Nothing else keeps it: the settings hold only its hash.

use crate::config::check_name;
use crate::keys::{DEFAULT_KEY, new_key};

/// Makes a key with this name. Returns the key, its hash, and the section for the settings.
///
/// # Errors
/// The name is not one that a section can have.
pub fn key(name: &str) -> Result<String, String> {
    check_name(name)?;
    if name == DEFAULT_KEY {
        return Err(format!("\"{DEFAULT_KEY}\" is the name of ops.api_key; choose another"));
    }
    let made = new_key(name);
    Ok(format!(
        "key     {}\nsha256  {}\n\nThe key is shown only now: give it to whoever calls the server API.\n\
         The settings get its hash, and what it may do; then reload the gateway (SIGHUP):\n\n\
         [ops.keys.{name}]\nsha256 = \"{}\"\nscopes = [\"read\"]",
        made.key, made.hash, made.hash
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::keys::{Scope, hash};

    #[test]
    fn the_section_is_one_for_the_key_that_is_printed() {
        let said = key("crm").unwrap();
        let key = said.lines().next().unwrap().strip_prefix("key     ").unwrap();
        assert!(key.starts_with("rk_crm_") && key.len() == "rk_crm_".len() + 64, "{key}");
        let config: Config = toml::from_str(&said[said.find('[').unwrap()..]).unwrap();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.ops.keys["crm"].sha256, hash(key.as_bytes()).to_string());
        assert!(config.ops.keys["crm"].scopes.has(Scope::Read));
        assert_ne!(super::key("crm").unwrap(), said);
        for bad in ["", "CRM", "a__b", "default"] {
            assert!(super::key(bad).is_err(), "{bad}");
        }
    }
}
