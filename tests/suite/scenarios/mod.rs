//! The scenarios of `docs/conformance/scenarios`, played with whole clients in several languages against real gateways.
//!
//! A scenario is data. What plays it starts a gateway, a line for each client that can break, and a program for each
//! client, which `docs/conformance/scenarios/README.md` describes. `ROSTERD_CLIENTS=rust,js,python` names the languages;
//! Rust alone is the default, because the others need Node or a built wheel.

mod driven;
mod line;
mod play;
mod show;
mod soak;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::time::timeout;

use driven::Language;
use play::Play;

/// How long one scenario may take.
const LIMIT: Duration = Duration::from_secs(90);
/// How many are played at a time: most of the time they wait.
const AT_A_TIME: usize = 4;

/// The file of a scenario, and what is in it.
fn scenarios() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|is| is == "json"));
    files.sort();
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        (name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    };
    files.into_iter().map(read).collect()
}

/// Plays all scenarios with clients of this language, and names those that failed.
async fn play_all(language: Language) {
    let only = std::env::var("ROSTERD_SCENARIOS").unwrap_or_default();
    let chosen: Vec<_> = scenarios().into_iter().filter(|(name, _)| name.contains(&only)).collect();
    assert!(!chosen.is_empty(), "no scenario is called {only}");
    let plays = chosen.into_iter().map(|(name, scenario)| async move {
        if let Some(why) = scenario["not"][language.name()].as_str() {
            return (name, Ok(format!("not played: {why}")));
        }
        let playing = tokio::spawn(timeout(LIMIT, Play::of(language, scenario)));
        let outcome = match playing.await {
            Ok(Ok(())) => Ok("as it says".to_owned()),
            Ok(Err(_)) => Err("it did not end in time".to_owned()),
            Err(panic) => Err(play::reason(panic)),
        };
        (name, outcome)
    });
    let outcomes: Vec<_> = futures::stream::iter(plays).buffer_unordered(AT_A_TIME).collect().await;
    let failed: Vec<_> = outcomes.iter().filter_map(|(name, outcome)| Some((name, outcome.as_ref().err()?))).collect();
    let list: Vec<_> = failed.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert!(
        list.is_empty(),
        "{} of {} scenarios with {}:\n{}",
        list.len(),
        outcomes.len(),
        language.name(),
        list.join("\n")
    );
}

fn is_asked_for(language: Language) -> bool {
    let asked = std::env::var("ROSTERD_CLIENTS").unwrap_or_else(|_| "rust".to_owned());
    asked.split(',').any(|name| name == language.name())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_plays_every_scenario() {
    if is_asked_for(Language::Rust) {
        play_all(Language::Rust).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_plays_every_scenario() {
    if is_asked_for(Language::JavaScript) {
        play_all(Language::JavaScript).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_plays_every_scenario() {
    if is_asked_for(Language::Python) {
        play_all(Language::Python).await;
    }
}

#[test]
fn the_table_of_clients_is_what_the_scenarios_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- scenarios: begin -->\n", "<!-- scenarios: end -->");
    let (before, rest) = page.split_once(begin).expect("a table between marks");
    let (_, after) = rest.split_once(end).expect("a table between marks");
    let row = |first: String, cells: &dyn Fn(Language) -> String| {
        let cells: Vec<_> = Language::ALL.into_iter().map(cells).collect();
        format!("| {first} | {} |\n", cells.join(" | "))
    };
    let mut table = row("what a client must do".to_owned(), &|language| language.title().to_owned());
    table.push_str(&row("---".to_owned(), &|_| ":-:".to_owned()));
    for (name, scenario) in scenarios() {
        let feature = scenario["feature"].as_str().unwrap_or_else(|| panic!("{name} has no feature"));
        let cell = |language: Language| scenario["not"][language.name()].as_str().unwrap_or("yes").to_owned();
        table.push_str(&row(format!("[{feature}](conformance/scenarios/{name}.json)"), &cell));
    }
    let right = format!("{before}{begin}{table}{end}{after}");
    if std::env::var_os("ROSTERD_WRITE").is_some() {
        std::fs::write(&path, &right).unwrap();
    }
    assert!(page == right, "run this test with ROSTERD_WRITE=1, which writes the table of docs/clients.md");
}
