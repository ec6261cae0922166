//! The client crate as others take it: its dependencies, and its example `crates/client/examples/bot.rs`.

use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command as Process, Stdio};

use rosterd_protocol::Encoding;

use crate::support::{World, spawn};

/// A command of cargo in this workspace, which downloads nothing.
fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Process::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).args(["--locked", "--offline"]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Builds the example; of a `cargo test --workspace`, which has built it, nothing is left to do.
fn bot() -> PathBuf {
    let messages = cargo(&["build", "--workspace", "--example", "bot", "--message-format=json"]);
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        (message["target"]["name"] == "bot").then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    executable.expect("cargo says where the example is")
}

/// A bot at work, and what it prints.
struct Bot {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Bot {
    fn start(arguments: &[&str]) -> Self {
        let mut process = spawn(Process::new(bot()).args(arguments).stdout(Stdio::piped()));
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn prints(&mut self, expected: &str) {
        let line = self.lines.next().expect("the bot is still there").unwrap();
        assert_eq!(line, expected);
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_bot_reacts_to_a_friends_new_name_and_logs_out() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bot"], &[("alice", "bot")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    alice.nick("Alice").await;
    let url = gateway.url();
    let mut bot = tokio::task::spawn_blocking(move || Bot::start(&[&url, "bot"])).await.unwrap();
    bot.prints("logged in as bot, with 1 friends");
    bot.prints("  alice: Alice");
    alice.nick("Alicia").await;
    bot.prints("alice is now called Alicia");
    alice.until(|replica| replica.users()["bot"].sign == "Hello, Alicia!").await;
    let pid = rustix::process::Pid::from_child(&bot.process);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    bot.prints("logged out");
    assert!(bot.process.wait().unwrap().success());
}

#[test]
fn the_example_bot_explains_its_arguments() {
    let output = Process::new(bot()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("bot URL ACCOUNT [TOKEN]"));
}

#[test]
fn the_client_crates_depend_on_nothing_of_the_server() {
    let names = |package: &str, features: &[&str]| {
        let tree = ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{lib}"];
        let tree = cargo(&[&tree, features].concat());
        tree.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let server = ["rosterd", "rosterd_service", "axum", "tikv_jemallocator", "jsonwebtoken", "clap", "rustix"];
    let all = names("rosterd-client", &["--all-features"]);
    for name in server {
        assert!(!all.contains(name), "{name} is a dependency of rosterd-client: {all:?}");
    }
    let optional = ["tokio_rustls", "rustls_platform_verifier", "hyper", "rusqlite"];
    assert!(optional.iter().all(|name| all.contains(*name)), "the features count: {all:?}");
    let default = names("rosterd-client", &[]);
    assert!(default.contains("tokio_rustls") && !default.contains("rusqlite"), "{default:?}");
    let least = names("rosterd-client", &["--no-default-features"]);
    for name in ["rustls", "aws_lc_rs", "libsqlite3_sys"].iter().chain(&optional) {
        assert!(!least.contains(*name), "{name} is no feature of rosterd-client: {least:?}");
    }
    for package in ["rosterd-engine", "rosterd-protocol"] {
        let all = names(package, &["--all-features"]);
        assert!(!all.contains("tokio"), "{package}: {all:?}");
    }
}
