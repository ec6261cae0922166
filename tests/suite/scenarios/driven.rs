//! A client in a process of its own, driven by lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::show;
use crate::support::{PATIENCE, spawn};

/// A language that has a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    JavaScript,
    Python,
}

impl Language {
    pub(super) const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.name() == name)
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        }
    }

    /// The program, and its arguments.
    fn program(self) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = |relative: &str| root.join(relative).to_string_lossy().into_owned();
        match self {
            Self::Rust => vec![rust_program().to_string_lossy().into_owned()],
            Self::JavaScript => vec!["node".to_owned(), path("sdk/js/test/scenarios/driven.js")],
            // An interpreter that has the package.
            Self::Python => {
                let python = std::env::var("ROSTERD_PYTHON").unwrap_or_else(|_| "python3".to_owned());
                vec![python, path("sdk/python/tests/driven.py")]
            }
        }
    }
}

/// The example of the Rust client, which `cargo test --workspace` has built beside this test.
fn rust_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/scenario");
    assert!(program.exists(), "{} is missing: cargo build --workspace --examples", program.display());
    program
}

/// What a client has said.
#[derive(Debug, Default)]
struct Said {
    lines: Vec<Value>,
    /// Lines that a step has waited for already.
    taken: Vec<bool>,
    ended: bool,
}

/// A running client.
pub(super) struct Driven {
    pub(super) process: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    news: watch::Receiver<usize>,
    last_id: u64,
}

impl Driven {
    /// Starts a client; on a full disk if that is asked for, so that it can write no file beyond some KiB.
    pub(super) async fn start(language: Language, folder: &Path, has_full_disk: bool) -> Self {
        let program = language.program();
        let mut command = if has_full_disk {
            let mut shell = Process::new("bash");
            // Ignored, the signal becomes an error of the write.
            shell.args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$@\"", "limited"]).args(&program);
            shell
        } else {
            let mut command = Process::new(&program[0]);
            command.args(&program[1..]);
            command
        };
        let errors = std::fs::File::options().create(true).append(true).open(folder.join("stderr")).unwrap();
        let mut process = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors));
        let (said, (announce, news)) = (Arc::new(Mutex::new(Said::default())), watch::channel(0));
        let (reading, output) = (said.clone(), BufReader::new(process.stdout.take().unwrap()));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| json!({"event": "noise", "text": line}));
                let mut said = reading.lock();
                said.lines.push(line);
                said.taken.push(false);
                announce.send_replace(said.lines.len());
            }
            reading.lock().ended = true;
            announce.send_modify(|count| *count += 1);
        });
        let mut driven = Self { input: process.stdin.take(), process, said, news, last_id: 0 };
        driven.hears("that it is ready", |line| line["event"] == "ready").await;
        driven
    }

    /// Has it do something, and returns the number under which it answers.
    pub(super) fn asks(&mut self, mut line: Value) -> u64 {
        self.last_id += 1;
        line["id"] = self.last_id.into();
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        self.last_id
    }

    /// The answer, which is to come in time.
    pub(super) async fn answer(&mut self, id: u64) -> Value {
        self.hears(&format!("the answer to {id}"), |line| line["id"] == id).await
    }

    /// Waits for a line that nothing has waited for yet.
    pub(super) async fn hears(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let heard = async {
            loop {
                {
                    let mut said = self.said.lock();
                    let found = (0..said.lines.len()).find(|at| !said.taken[*at] && wanted(&said.lines[*at]));
                    if let Some(at) = found {
                        said.taken[at] = true;
                        return said.lines[at].clone();
                    }
                    assert!(!said.ended, "the client ended before {what}: {}", show::last(&said.lines));
                }
                let _ = self.news.changed().await;
            }
        };
        let heard = timeout(PATIENCE, heard).await;
        heard.unwrap_or_else(|_| panic!("no line says {what}: {}", show::last(&self.said.lock().lines)))
    }

    /// Waits until the newest snapshot is as wanted; `wrong` says what is not.
    pub(super) async fn shows(&mut self, wrong: impl Fn(&Value) -> Option<String>) -> Value {
        let mut what = String::new();
        let shown = async {
            loop {
                {
                    let said = self.said.lock();
                    let newest = said.lines.iter().rev().find(|line| line["event"] == "change");
                    let snapshot = newest.map_or(Value::Null, |line| line["snapshot"].clone());
                    match wrong(&snapshot) {
                        None => return snapshot,
                        Some(why) => what = why,
                    }
                    assert!(!said.ended, "the client ended: {what}: {}", show::last(&said.lines));
                }
                let _ = self.news.changed().await;
            }
        };
        let shown = timeout(PATIENCE, shown).await;
        shown.unwrap_or_else(|_| panic!("{what}: {}", show::last(&self.said.lock().lines)))
    }

    /// All snapshots so far.
    pub(super) fn snapshots(&self) -> Vec<Value> {
        let said = self.said.lock();
        said.lines.iter().filter(|line| line["event"] == "change").map(|line| line["snapshot"].clone()).collect()
    }

    /// Ends it in order, as far as it can.
    pub(super) async fn exit(mut self) {
        let _ = writeln!(self.input.as_mut().unwrap(), "{}", json!({"op": "exit"}));
        drop(self.input.take());
        let ended = async {
            while self.process.try_wait().unwrap().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(PATIENCE, ended).await.is_ok(), "a client that is to exit does not");
    }

    /// Sends its process a signal.
    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
