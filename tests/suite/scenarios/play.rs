//! Plays one scenario: its steps, and what must be true at its end whatever it is about.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use super::driven::{Driven, Language};
use super::line::{Line, Quality};
use super::show;
use crate::auth;
use crate::support::{Gateway, PATIENCE, World};

/// A client of a scenario.
struct Role {
    account: String,
    options: Value,
    line: Line,
    driven: Option<Driven>,
    folder: PathBuf,
}

pub(super) struct Play {
    language: Language,
    world: World,
    gateway: Option<Gateway>,
    overrides: Vec<String>,
    roles: BTreeMap<String, Role>,
    /// Calls whose results a later step looks at, by name: the role and the number.
    later: BTreeMap<String, (String, u64)>,
}

/// What a test that panicked says.
pub(super) fn reason(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Play {
    pub(super) async fn of(language: Language, scenario: Value) {
        let mut play = Self::prepare(language, &scenario).await;
        for (at, step) in list(&scenario["steps"]).iter().enumerate() {
            // A failure says where it is.
            let stepping = std::panic::AssertUnwindSafe(play.step(step));
            if let Err(panic) = futures::FutureExt::catch_unwind(stepping).await {
                let why = panic.downcast_ref::<String>().cloned();
                let why = why.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
                panic!("step {at}, {step}: {}", why.unwrap_or_default());
            }
        }
        play.end(&scenario).await;
    }

    pub(super) async fn prepare(language: Language, scenario: &Value) -> Self {
        let mut world = if scenario["auth"] == "jwt" { auth::with_secret() } else { World::new() };
        text(&scenario["config"]).clone_into(&mut world.settings);
        let overrides: Vec<_> = list(&scenario["settings"]).iter().map(|pair| text(pair).to_owned()).collect();
        let mut roles = BTreeMap::new();
        for (name, options) in scenario["clients"].as_object().unwrap() {
            let account = options["account"].as_str().unwrap_or(name).to_owned();
            let folder = world.path().join(format!("client-{name}"));
            std::fs::create_dir(&folder).unwrap();
            let (line, options) = (Line::new().await, options.clone());
            roles.insert(name.clone(), Role { account, options, line, driven: None, folder });
        }
        let mut play = Self { language, world, gateway: None, overrides, roles, later: BTreeMap::new() };
        play.start_gateway();
        play.populate(scenario).await;
        play
    }

    async fn populate(&self, scenario: &Value) {
        let users: Vec<_> = list(&scenario["users"]).iter().map(text).collect();
        let pair = |pair: &Value| (text(&pair[0]).to_owned(), text(&pair[1]).to_owned());
        let friends: Vec<_> = list(&scenario["friends"]).iter().map(pair).collect();
        let friends: Vec<_> = friends.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        self.gateway().populate(&users, &friends).await;
    }

    fn start_gateway(&mut self) {
        let overrides: Vec<_> = self.overrides.iter().map(String::as_str).collect();
        let gateway = self.world.start_with(&overrides);
        self.roles.values().for_each(|role| role.line.leads_to(Some(gateway.clients)));
        self.gateway = Some(gateway);
    }

    fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("a gateway that runs")
    }

    fn role(&mut self, name: &Value) -> &mut Role {
        self.roles.get_mut(text(name)).unwrap_or_else(|| panic!("no client is called {name}"))
    }

    fn driven(&mut self, name: &Value) -> &mut Driven {
        self.role(name).driven.as_mut().unwrap_or_else(|| panic!("{name} is not open"))
    }

    pub(super) async fn step(&mut self, step: &Value) {
        let verb = step.as_object().and_then(|step| step.keys().find(|key| VERBS.contains(&key.as_str()))).cloned();
        let verb = verb.unwrap_or_else(|| panic!("a step has one of {VERBS:?}"));
        let name = &step[&verb];
        match verb.as_str() {
            "gateway" => self.gateway_step(text(name)).await,
            "backend" => drop(self.backend(text(name), &step["body"]).await),
            "until" => self.until(text(name), &step["holds"]).await,
            "open" => self.open(name, step).await,
            "connect" | "disconnect" | "logout" | "forget" | "wake" | "hold" | "release" | "clock" => {
                let mut line = step.clone();
                line["op"] = verb.as_str().into();
                line["name"] = step["as"].clone();
                self.ask(name, line, step).await;
            }
            "call" => {
                let line =
                    json!({"op": "call", "command": step["command"], "body": step["body"], "options": step["options"]});
                self.ask(name, line, step).await;
            }
            "result" => {
                let (role, id) = self.later.remove(text(name)).expect("a call of that name");
                let answer = self.driven(&role.into()).answer(id).await;
                compare(&answer, step);
            }
            "expect" => {
                let expected = &step["holds"];
                self.driven(name).shows(|snapshot| show::wrong(snapshot, expected)).await;
            }
            "never" => self.never(name, &step["holds"]),
            "hears" => {
                let expected = &step["line"];
                self.driven(name).hears(&expected.to_string(), |line| show::holds(line, expected)).await;
            }
            "token" => self.token(name, step).await,
            "line" => self.line_step(name, text(&step["is"])),
            _ => self.process_step(&verb, name, step).await,
        }
    }

    async fn gateway_step(&mut self, what: &str) {
        let gone = |play: &mut Self| {
            play.roles.values().for_each(|role| role.line.leads_to(None));
            play.gateway.take().expect("a gateway that runs")
        };
        match what {
            "kill" => gone(self).kill(),
            "stop" => assert_eq!(gone(self).terminate().await, Some(0)),
            "start" => self.start_gateway(),
            "new store" => {
                assert!(self.gateway.is_none(), "stop the gateway first");
                for suffix in ["", "-wal", "-shm"] {
                    let _ = std::fs::remove_file(self.world.path().join(format!("rosterd.db{suffix}")));
                }
            }
            other => panic!("a gateway cannot {other}"),
        }
    }

    /// Calls the server API, `"PATCH /v1/users/bob"`, which is to succeed.
    async fn backend(&self, request: &str, body: &Value) -> Value {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.gateway().backend().await.request(method.parse::<Method>().unwrap(), path, body).await;
        answer.unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    /// Waits until the server API, or a metric, says this.
    async fn until(&self, what: &str, expected: &Value) {
        let mut last = Value::Null;
        let right = async {
            loop {
                last = match what.strip_prefix("metric ") {
                    Some(metric) => json!(self.gateway().metric(metric).await),
                    None => self.backend(what, &Value::Null).await,
                };
                if show::holds(&last, expected) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, right).await.is_ok(), "{what} is {last} and not {expected}");
    }

    async fn open(&mut self, name: &Value, step: &Value) {
        let played = self.language;
        let role = self.role(name);
        // In a soak, clients of several languages meet.
        let language = Language::named(text(&role.options["language"])).unwrap_or(played);
        if role.driven.is_none() {
            role.driven = Some(Driven::start(language, &role.folder, step["disk"] == "full").await);
        }
        let mut line = role.options.clone();
        line["op"] = "open".into();
        line["account"] = step.get("account").cloned().unwrap_or_else(|| role.account.as_str().into());
        line["url"] = step.get("url").cloned().unwrap_or_else(|| format!("ws://{}/v1/ws", role.line.address).into());
        if role.options["cache"] == true {
            line["cache"] = role.folder.join("cache").to_string_lossy().into();
        }
        self.ask(name, line, step).await;
    }

    /// Has a client do something, and looks at the answer now or later.
    async fn ask(&mut self, name: &Value, line: Value, step: &Value) {
        let id = self.driven(name).asks(line);
        if let Some(later) = step["later"].as_str() {
            self.later.insert(later.to_owned(), (text(name).to_owned(), id));
            return;
        }
        let answer = self.driven(name).answer(id).await;
        compare(&answer, step);
    }

    /// Looks at everything that a client has shown: this was never among it.
    fn never(&mut self, name: &Value, unwanted: &Value) {
        for snapshot in self.driven(name).snapshots() {
            assert!(show::wrong(&snapshot, unwanted).is_some(), "it showed {unwanted}: {snapshot}");
        }
    }

    /// Waits until a client asks for a token, and answers.
    async fn token(&mut self, name: &Value, step: &Value) {
        let account = self.role(name).account.clone();
        let why = &step["why"];
        let what = format!("that it wants a token: {why}");
        let asked = self.driven(name).hears(&what, |line| line["event"] == "token" && line["why"] == *why).await;
        let mut answer = match step["seconds"].as_i64() {
            Some(seconds) => json!({"token": auth::token(step["of"].as_str().unwrap_or(&account), seconds)}),
            None if step["unauthorized"] == true => json!({"unauthorized": true}),
            None if step["silence"] == true => return,
            None => json!({"failed": true}),
        };
        answer["op"] = "token".into();
        answer["ask"] = asked["ask"].clone();
        self.driven(name).asks(answer);
    }

    fn line_step(&mut self, name: &Value, quality: &str) {
        let line = &self.role(name).line;
        match quality {
            "good" => line.set(Quality::Good),
            "silent" => line.set(Quality::Silent),
            "one way" => line.set(Quality::OneWay),
            "cut" => line.cut(),
            "lossy until now" => assert!(line.lost() > 0, "nothing was lost, so the step before showed nothing"),
            other => panic!("a line cannot be {other}"),
        }
    }

    /// What happens to the process of a client, and to its files.
    async fn process_step(&mut self, verb: &str, name: &Value, step: &Value) {
        let role = self.role(name);
        let cache = role.folder.join("cache");
        let files = || std::fs::read_dir(&cache).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        match verb {
            "suspend" => self.driven(name).signal(Signal::STOP),
            "resume" => self.driven(name).signal(Signal::CONT),
            "exit" => role.driven.take().expect("it is open").exit().await,
            "kill" => drop(role.driven.take()),
            "damage" => {
                let files: Vec<PathBuf> = files();
                assert!(!files.is_empty(), "there is nothing to damage");
                for file in files {
                    std::fs::write(file, "this is no cache, but long enough to be read as one ".repeat(200)).unwrap();
                }
            }
            "files" => {
                let files: Vec<PathBuf> = files();
                assert_eq!(Some(files.len() as u64), step["count"].as_u64(), "{files:?}");
            }
            other => panic!("no step is called {other}"),
        }
    }

    /// Waits until everybody is live, holds what the gateway holds, and shows the same as the other clients of its account.
    pub(super) async fn rest(&mut self) {
        // A call that waits may still change something.
        for (role, id) in std::mem::take(&mut self.later).into_values() {
            self.driven(&role.into()).answer(id).await;
        }
        let begun = tokio::time::Instant::now();
        while let Some(wrong) = self.disagreement().await {
            assert!(begun.elapsed() < PATIENCE, "{wrong}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What some client shows that is not what the gateway holds, or not what another client of its account shows.
    async fn disagreement(&mut self) -> Option<String> {
        let names: Vec<_> = self.roles.keys().cloned().collect();
        let mut views: BTreeMap<String, (String, Value)> = BTreeMap::new();
        for name in names {
            let account = self.roles[&name].account.clone();
            let expected = self.truth(&account).await;
            let view = self.driven(&name.as_str().into()).snapshots().pop().unwrap_or_default();
            if let Some(wrong) = show::wrong(&view, &expected) {
                return Some(format!("{name}: {wrong}"));
            }
            let view = json!(["me", "users", "friends", "requests", "blocks"].map(|part| show::sorted(&view[part])));
            let (first, other) = views.entry(account).or_insert_with(|| (name.clone(), view.clone()));
            if view != *other {
                return Some(format!("{name} shows {view}, and {first} {other}"));
            }
        }
        None
    }

    /// What a client that is live must show: its friends with the profiles that it may see, its requests and blocks.
    async fn truth(&self, account: &str) -> Value {
        let read = async |what: &str| self.backend(&format!("GET /v1/users/{account}/{what}"), &Value::Null).await;
        let accounts =
            |records: &Value| list(records).iter().map(|record| record["account"].clone()).collect::<Vec<_>>();
        let (friends, blocks) = (read("friends?limit=1000").await, read("blocks").await);
        let me = self.backend(&format!("GET /v1/users/{account}"), &Value::Null).await;
        let me = json!({"nick": me["nick"], "version": me["version"]});
        json!({"phase": "live", "friends": accounts(&friends["friends"]), "blocks": accounts(&blocks["blocks"]), "me": me})
    }

    /// What every scenario must come to: clients that are live hold what the gateway holds, and no record ever went back.
    pub(super) async fn end(mut self, scenario: &Value) {
        let names: Vec<_> = self.roles.keys().cloned().collect();
        for name in names {
            let role = self.roles.get_mut(&name).unwrap();
            let Some(mut driven) = role.driven.take() else { continue };
            if scenario["history"] != "another" {
                assert_no_regress(&name, &driven.snapshots());
            }
            if self.gateway.is_some() && scenario["agree"] != false {
                let account = role.account.clone();
                let is_live = driven.snapshots().last().is_some_and(|snapshot| snapshot["phase"] == "live");
                if is_live {
                    let friends =
                        self.backend(&format!("GET /v1/users/{account}/friends?limit=1000"), &Value::Null).await;
                    let mut expected = json!({"users": {}});
                    let friends: Vec<_> =
                        list(&friends["friends"]).iter().map(|f| text(&f["account"]).to_owned()).collect();
                    for friend in &friends {
                        let user = self.backend(&format!("GET /v1/users/{friend}"), &Value::Null).await;
                        expected["users"][friend] = json!({"nick": user["nick"], "sign": user["sign"]});
                    }
                    expected["friends"] = friends.into();
                    driven.shows(|snapshot| show::wrong(snapshot, &expected)).await;
                }
            }
            driven.exit().await;
        }
    }
}

/// The steps, each with its verb.
const VERBS: [&str; 25] = [
    "gateway",
    "backend",
    "until",
    "open",
    "connect",
    "disconnect",
    "logout",
    "forget",
    "wake",
    "hold",
    "release",
    "clock",
    "call",
    "result",
    "expect",
    "never",
    "hears",
    "token",
    "line",
    "suspend",
    "resume",
    "exit",
    "kill",
    "damage",
    "files",
];

fn compare(answer: &Value, step: &Value) {
    if let Some(reason) = step["fails"].as_str() {
        assert_eq!(answer["error"]["reason"], reason, "{answer}");
        return;
    }
    assert!(answer.get("error").is_none(), "{answer}");
    let gives = step.get("gives").unwrap_or(&Value::Null);
    assert!(gives.is_null() || show::holds(&answer["result"], gives), "{answer}");
}

/// No profile and no friendship that a client shows is older than one that it showed before.
fn assert_no_regress(name: &str, snapshots: &[Value]) {
    let mut newest: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for snapshot in snapshots {
        for kind in ["users", "friends"] {
            for record in list(&snapshot[kind]) {
                // 0 is a watched stranger between a full sync and its newest profile.
                let Some(version) = record["version"].as_u64().filter(|version| *version > 0) else { continue };
                let held = newest.entry((kind, text(&record["account"]).to_owned())).or_default();
                assert!(version >= *held, "{name} went back from version {held}: {record}");
                *held = version;
            }
        }
    }
}
