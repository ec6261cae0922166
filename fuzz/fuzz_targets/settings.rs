//! Settings: a file of any text and any overrides. They are right or every problem is said, and a secret never is.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rosterd::config::{SettingsOptions, load};

const SECRET: &str = "a-secret-that-no-error-shows";

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("rosterd-fuzz-{}.toml", std::process::id())));

// The file, then overrides, one on a line, after a line of dashes.
fuzz_target!(|text: &str| {
    let (file, flags) = text.split_once("\n---\n").unwrap_or((text, ""));
    let pairs = flags.lines().filter_map(|line| line.split_once('='));
    let mut overrides: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    overrides.push(("ops.api_key".to_owned(), SECRET.to_owned()));
    std::fs::write(&*FILE, file).expect("a file in the directory for such");
    let options = SettingsOptions { file: Some(FILE.clone()), overrides };
    match load(&options) {
        Ok(loaded) => {
            assert!(loaded.config.check().is_ok(), "settings that are not right were taken");
            let again = load(&options).expect("the same settings");
            assert_eq!(loaded, again);
            assert!(loaded.changed(&again).is_empty());
            assert!(text.contains(SECRET) || !format!("{loaded:?}").contains(SECRET), "a secret is shown");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.lines().next().is_some_and(|line| !line.is_empty()), "an error that says nothing");
            assert!(text.contains(SECRET) || !said.contains(SECRET), "a secret is shown");
        }
    }
});
