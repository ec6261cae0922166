//! Settings: a file of any text and any overrides. Loading succeeds or reports the problems, and never shows a secret.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rosterd::config::{SettingsOptions, load};

const SECRET: &str = "a-secret-that-no-error-shows";

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("rosterd-fuzz-{}.toml", std::process::id())));

// The input is the file, a line of three dashes, and overrides, one a line.
fuzz_target!(|text: &str| {
    let (file, flags) = text.split_once("\n---\n").unwrap_or((text, ""));
    let pairs = flags.lines().filter_map(|line| line.split_once('='));
    let mut overrides: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    overrides.push(("ops.api_key".to_owned(), SECRET.to_owned()));
    std::fs::write(&*FILE, file).expect("the temporary directory is writable");
    let options = SettingsOptions { file: Some(FILE.clone()), overrides };
    match load(&options) {
        Ok(loaded) => {
            assert!(loaded.config.check().is_ok(), "invalid settings were accepted");
            let again = load(&options).expect("the same settings");
            assert_eq!(loaded, again);
            assert!(loaded.changed(&again).is_empty());
            assert!(text.contains(SECRET) || !format!("{loaded:?}").contains(SECRET), "a secret is shown");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.lines().next().is_some_and(|line| !line.is_empty()), "an empty error");
            assert!(text.contains(SECRET) || !message.contains(SECRET), "a secret is shown");
        }
    }
});
