//! `rosterd config check` checks the settings, and `rosterd config default` prints the defaults.
//!
//! Each returns a text that `main` prints.

use std::fmt::Write as _;

use crate::app::{check_certificates, check_network};
use crate::config::{SettingsOptions, default_text, load};

/// Reads and checks the settings as `serve` would, keys, certificates and credentials included, without binding a port or opening the
/// store. Returns a text that says where they come from.
///
/// # Errors
/// The settings are wrong; the text has one problem on each line.
pub fn check(options: &SettingsOptions) -> Result<String, String> {
    let loaded = load(options).map_err(|error| error.to_string())?;
    loaded.config.auth.authenticator(None, &std::sync::Arc::default())?;
    check_certificates(&loaded.config).map_err(|error| error.to_string())?;
    check_network(&loaded.config).map_err(|error| error.to_string())?;
    let mut answer = match &loaded.file {
        Some(file) => format!("{} is good", file.display()),
        None => "the defaults are good; there is no config.toml here".to_owned(),
    };
    for (key, by) in &loaded.overridden {
        write!(answer, "\n{key} is set by {by}").expect("writing to a String does not fail");
    }
    for warning in loaded.config.warnings() {
        write!(answer, "\nwarning: {warning}").expect("writing to a String does not fail");
    }
    Ok(answer)
}

/// Returns the annotated `config.toml`.
pub fn default() -> &'static str {
    default_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &tempfile::TempDir, text: &str) -> SettingsOptions {
        let file = folder.path().join("rosterd.toml");
        std::fs::write(&file, text).unwrap();
        SettingsOptions { file: Some(file), overrides: Vec::new() }
    }

    #[test]
    fn a_good_file_is_called_good() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder, default());
        assert!(check(&options).unwrap().ends_with("rosterd.toml is good"));
        options.overrides.push(("log.level".to_owned(), "debug".to_owned()));
        assert!(check(&options).unwrap().ends_with("rosterd.toml is good\nlog.level is set by the command line"));
    }

    #[test]
    fn a_warning_is_told_and_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[friends]\npolicy = \"both\"\n[profile.visibility]\ntel = \"friends\"\n";
        let answer = check(&options(&folder, text)).unwrap();
        assert!(answer.contains("rosterd.toml is good\nwarning: friends.policy"), "{answer}");
    }

    #[test]
    fn what_serve_would_refuse_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(&options(&folder, "[clients]\nlisten = \"0.0.0.0:7678\"\n")).unwrap_err();
        assert!(error.contains("rosterd.toml:2:10: clients.listen"), "{error}");
        let no_key = "[auth]\nmode = \"jwt\"\npublic_key_file = \"/nowhere/key.pem\"\n";
        let error = check(&options(&folder, no_key)).unwrap_err();
        assert!(error.contains("auth.public_key_file /nowhere/key.pem"), "{error}");
    }
}
