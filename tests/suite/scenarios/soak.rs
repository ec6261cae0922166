//! Clients of several languages that change things at random while lines, gateways and processes fail: at every rest, those
//! of one account show the same, and what the gateway holds.

use serde_json::{Value, json};

use super::driven::Language;
use super::play::Play;
use crate::random::Random;

const ACCOUNTS: usize = 4;
/// What happens between two rests.
const STEPS: usize = 12;

/// The clients: every account has one of each language.
fn cast(languages: &[Language]) -> (Vec<String>, Value) {
    let accounts: Vec<_> = (0..ACCOUNTS).map(|n| format!("a{n}")).collect();
    let mut clients = json!({});
    for account in &accounts {
        for language in languages {
            let client = json!({"account": account, "language": language.name(), "cache": true});
            clients[format!("{account}-{}", language.name())] = client;
        }
    }
    (accounts, clients)
}

/// Something that one client does. Nobody looks at the answer: it may be refused, or lost.
fn call(random: &Random, client: &str, number: usize) -> Value {
    let other = format!("a{}", random.index(ACCOUNTS));
    let options = [json!({}), json!({}), json!({"optimistic": true}), json!({"keep": true})][random.index(4)].clone();
    let (command, body) = match random.index(13) {
        0..=4 => ("updateMyInfo", json!({"nick": format!("{client} {number}"), "sign": "x".repeat(random.index(200))})),
        5 => ("requestFriend", json!({"account": other, "message": format!("{number}")})),
        6 => ("acceptFriend", json!({"account": other})),
        7 => ("addFriend", json!({"account": other})),
        8 => ("deleteFriend", json!({"account": other})),
        9 => ("updateFriend", json!({"account": other, "alias": format!("{number}")})),
        10 => ("block", json!({"account": other})),
        11 => ("setMuted", json!({"account": other, "muted": random.index(2) == 0})),
        _ => ("unblock", json!({"account": other})),
    };
    json!({"call": client, "command": command, "body": body, "options": options, "later": format!("{number}")})
}

async fn soak(languages: &[Language], rounds: usize, seed: u64) {
    let random = Random::new(seed);
    let (accounts, clients) = cast(languages);
    let scenario = json!({
        "users": accounts, "clients": clients, "settings": ["clients.heartbeat=1s"],
        "friends": [["a0", "a1"], ["a1", "a2"], ["a2", "a3"]],
        // Each rest has looked; and who is blocked does not see what the gateway holds.
        "agree": false,
    });
    let names: Vec<_> = scenario["clients"].as_object().unwrap().keys().cloned().collect();
    let mut play = Play::prepare(languages[0], &scenario).await;
    for name in &names {
        play.step(&json!({"open": name})).await;
        play.step(&json!({"connect": name})).await;
    }
    let mut number = 0;
    for _ in 0..rounds {
        let (mut suspended, mut is_down) = (Vec::new(), false);
        for _ in 0..STEPS {
            number += 1;
            let name = &names[random.index(names.len())];
            let step = match random.index(10) {
                0 => json!({"line": name, "is": "cut"}),
                1 => json!({"line": name, "is": "silent"}),
                2 if !suspended.contains(name) => {
                    suspended.push(name.clone());
                    json!({"suspend": name})
                }
                3 => {
                    let what = ["kill", "stop", "start", "start"][usize::from(is_down) * 2 + random.index(2)];
                    is_down = !is_down;
                    json!({"gateway": what})
                }
                _ => call(&random, name, number),
            };
            play.step(&step).await;
        }
        if is_down {
            play.step(&json!({"gateway": "start"})).await;
        }
        for name in &suspended {
            play.step(&json!({"resume": name})).await;
        }
        for name in &names {
            play.step(&json!({"line": name, "is": "good"})).await;
            // What was lost in the silence came without a connection that knows.
            play.step(&json!({"line": name, "is": "cut"})).await;
        }
        play.rest().await;
    }
    play.end(&scenario).await;
}

/// `ROSTERD_CLIENTS` names the languages, `ROSTERD_SOAK` the number of rounds.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_all_languages_agree_at_every_rest() {
    let languages: Vec<_> = Language::ALL.into_iter().filter(|language| super::is_asked_for(*language)).collect();
    let rounds = std::env::var("ROSTERD_SOAK").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let seed = std::env::var("ROSTERD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("ROSTERD_SEED={seed}");
    soak(&languages, rounds, seed).await;
}
