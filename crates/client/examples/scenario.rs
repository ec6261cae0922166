//! The Rust client under the scenarios of `docs/conformance/scenarios`: a client that is driven by lines of JSON.
//!
//! `docs/conformance/scenarios/README.md` describes the lines. Whoever runs the scenarios starts this program.
#![allow(clippy::print_stdout, reason = "it speaks on standard output")]

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rosterd_client::{
    ClientChange, ClientOptions, ClientSnapshot, ConnectionPhase, RosterdClient, RosterdError, TokenError, TokenReason,
    UpdateOptions, WatchHold,
};
use rosterd_protocol::{ClientCommand, Encoding, Inbound, decode, v1};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

type Questions = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (send, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<Value>(&line) else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let mut driven = Driven::default();
    say(&json!({"event": "ready"}));
    while let Some(line) = lines.recv().await {
        if line["op"] == "exit" {
            break;
        }
        driven.take(line)?;
    }
    Ok(())
}

fn say(line: &Value) {
    println!("{line}");
}

#[derive(Default)]
struct Driven {
    client: Option<RosterdClient>,
    holds: HashMap<String, WatchHold>,
    questions: Questions,
}

impl Driven {
    fn take(&mut self, line: Value) -> Result<(), Box<dyn Error>> {
        let id = line["id"].clone();
        let name = line["name"].as_str().unwrap_or_default().to_owned();
        match line["op"].as_str().unwrap_or_default() {
            "open" => {
                let answer = self.open(&line).map(|()| json!({}));
                answered(&id, answer);
                return Ok(());
            }
            "token" => {
                let asked = self.questions.lock().ok().and_then(|mut all| all.remove(&line["ask"].as_u64()?));
                if let Some(asked) = asked {
                    let _ = asked.send(line);
                }
                return Ok(());
            }
            "release" => drop(self.holds.remove(&name)),
            // Nothing in this client looks at the clock of the machine.
            "clock" => {}
            _ => {
                let client = self.client.clone().ok_or("there is no client: open one")?;
                if line["op"] == "hold" {
                    self.holds.insert(name, client.hold(&accounts(&line["accounts"])));
                } else {
                    tokio::spawn(async move { answered(&id, carry_out(&client, &line).await) });
                    return Ok(());
                }
            }
        }
        answered(&id, Ok(json!({})));
        Ok(())
    }

    fn open(&mut self, line: &Value) -> Result<(), RosterdError> {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let mut options = ClientOptions::new(text("url").unwrap_or_default(), text("account").unwrap_or_default())
            .backoff(Duration::from_millis(20), Duration::from_millis(200));
        if let Some(token) = text("token") {
            options = options.token(token);
        }
        if let Some(milliseconds) = line["requestTimeoutMs"].as_u64() {
            options = options.request_timeout(Duration::from_millis(milliseconds));
        }
        if line["asksForTokens"] == true {
            let questions = self.questions.clone();
            options = options.token_source(move |why| ask(questions.clone(), why));
        }
        if let Ok(device) = serde_json::from_value::<v1::Device>(line["device"].clone()) {
            options = options.device(device);
        }
        if let Some(folder) = text("cache") {
            options = options.cache(folder);
        }
        let client = RosterdClient::new(options)?;
        let mut changes = client.changes();
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                say(&match change {
                    ClientChange::Snapshot(change) => json!({"event": "change", "snapshot": shown(&change.after)}),
                    ClientChange::Signal { from, payload } => {
                        json!({"event": "signal", "from": from, "payload": payload})
                    }
                    ClientChange::Error(error) => json!({"event": "error", "error": described(&error)}),
                    ClientChange::Missed(count) => json!({"event": "missed", "count": count}),
                });
            }
        });
        self.client = Some(client);
        Ok(())
    }
}

async fn ask(questions: Questions, why: TokenReason) -> Result<String, TokenError> {
    let (send, answer) = oneshot::channel();
    let number = {
        let mut questions = questions.lock().map_err(|_| TokenError::Failed("poisoned".to_owned()))?;
        // Every question has a number of its own, also when earlier ones are answered.
        let number = next_number();
        questions.insert(number, send);
        number
    };
    let why = match why {
        TokenReason::Connect => "connect",
        TokenReason::Refresh => "refresh",
        TokenReason::Expired => "expired",
    };
    say(&json!({"event": "token", "ask": number, "why": why}));
    let answer = answer.await.map_err(|_| TokenError::Failed("not answered".to_owned()))?;
    match answer["token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None if answer["unauthorized"] == true => Err(TokenError::Unauthorized("logged out".to_owned())),
        None => Err(TokenError::Failed("no token now".to_owned())),
    }
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

async fn carry_out(client: &RosterdClient, line: &Value) -> Result<Value, RosterdError> {
    match line["op"].as_str().unwrap_or_default() {
        "connect" => client.connect().await?,
        "disconnect" => client.disconnect().await,
        "logout" => client.logout().await,
        "forget" => client.forget().await?,
        "wake" => client.wake(),
        "call" => return call(client, line).await,
        other => return Err(invalid(format!("there is no operation {other}"))),
    }
    Ok(json!({}))
}

async fn call(client: &RosterdClient, line: &Value) -> Result<Value, RosterdError> {
    let (name, body) = (line["command"].as_str().unwrap_or_default(), &line["body"]);
    if name == "watch" {
        return Ok(json!({"missing": client.watch(&accounts(&body["accounts"])).await?}));
    }
    let frame = json!({"id": 1, name: body}).to_string();
    let command: ClientCommand = match decode(Encoding::Json, frame.as_bytes()) {
        Ok(Inbound::Command { command, .. }) => command,
        other => return Err(invalid(format!("{other:?}"))),
    };
    let is_asked = |option: &str| line["options"][option] == true;
    let options = UpdateOptions { optimistic: is_asked("optimistic"), keep: is_asked("keep") };
    let reply = match command {
        ClientCommand::UpdateMyInfo(update) if options != UpdateOptions::default() => {
            return Ok(json!({"user": client.update_my_info_with(update, options).await?}));
        }
        command => client.request(command).await?,
    };
    let reply = serde_json::to_value(reply).map_err(|error| invalid(error.to_string()))?;
    Ok(reply[format!("{name}Reply")].clone())
}

fn invalid(message: String) -> RosterdError {
    let reason = "INVALID_ARGUMENT".to_owned();
    RosterdError { code: 414, reason, message, field: None, retry_after_ms: None, detail: None }
}

fn accounts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn answered(id: &Value, answer: Result<Value, RosterdError>) {
    say(&match answer {
        Ok(result) => json!({"id": id, "result": result}),
        Err(error) => json!({"id": id, "error": described(&error)}),
    });
}

fn described(error: &RosterdError) -> Value {
    json!({"code": error.code, "reason": error.reason, "message": error.message})
}

fn shown(snapshot: &ClientSnapshot) -> Value {
    let phase = match snapshot.connection.phase {
        ConnectionPhase::Disconnected => "disconnected",
        ConnectionPhase::Reconnecting => "reconnecting",
        ConnectionPhase::Connecting => "connecting",
        ConnectionPhase::Syncing => "syncing",
        ConnectionPhase::Live => "live",
    };
    json!({
        "phase": phase,
        "lastError": snapshot.connection.last_error.as_ref().map(|error| &error.reason),
        "me": snapshot.me.as_deref(),
        "pending": snapshot.pending.as_deref(),
        "users": snapshot.users.values().collect::<Vec<_>>(),
        "friends": snapshot.friends.values().collect::<Vec<_>>(),
        "requests": snapshot.requests.as_ref(),
        "blocks": snapshot.blocks.values().collect::<Vec<_>>(),
        "presence": snapshot.presence.values().collect::<Vec<_>>(),
        "sessions": snapshot.sessions.as_ref(),
        "watched": snapshot.watched.as_ref(),
    })
}
