//! `rosterd connect`: the client in the terminal, driven through pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command as Process, Stdio};

use rosterd_protocol::Encoding;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{PATIENCE, World, spawn, to};

/// `rosterd connect` in a terminal that is a pair of pipes.
struct Terminal {
    process: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Terminal {
    fn open(world: &World, arguments: &[&str]) -> Self {
        let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
        command
            .arg("connect")
            .args(arguments)
            .arg("--config")
            .arg(world.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = spawn(&mut command);
        let (send, lines) = mpsc::unbounded_channel();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        std::thread::spawn(move || said.map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { input: process.stdin.take(), process, lines }
    }

    fn type_in(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The next line that holds `part`.
    async fn sees(&mut self, part: &str) -> String {
        let mut before = String::new();
        loop {
            let line = timeout(PATIENCE, self.lines.recv()).await.unwrap_or_else(|_| panic!("no {part}:\n{before}"));
            let line = line.unwrap_or_else(|| panic!("the end, and no {part}:\n{before}"));
            if line.contains(part) {
                return line;
            }
            before.push_str(&line);
            before.push('\n');
        }
    }

    /// Waits for its end; the exit code, and what it said on standard error.
    async fn exit(mut self) -> (Option<i32>, String) {
        while timeout(PATIENCE, self.lines.recv()).await.expect("an end in time").is_some() {}
        let code = self.process.wait().unwrap().code();
        (code, std::io::read_to_string(self.process.stderr.take().unwrap()).unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn what_is_typed_is_carried_out_and_what_arrives_is_shown() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let mut bob = gateway.login("bob", Encoding::Json).await;
    for (more, nick) in [(&[][..], "Ally in JSON"), (&["--protobuf"], "Ally in protobuf")] {
        let url = gateway.url();
        let mut terminal = Terminal::open(&world, &[&["alice", "--url", &url], more].concat());
        terminal.sees("\"loginReply\"").await;
        terminal.sees("in sync: 1 friends, and the digest agrees").await;
        terminal.type_in(&format!("nick {nick}\n"));
        let reply = terminal.sees("\"updateMyInfoReply\"").await;
        assert!(reply.starts_with("<- {\"id\":2,") && reply.contains(&format!("\"nick\":\"{nick}\"")), "{reply}");
        bob.until(|replica| replica.users()["alice"].nick == nick).await;
        bob.nick(&format!("Bob after {nick}")).await;
        assert!(terminal.sees("\"changes\"").await.contains(&format!("Bob after {nick}")));
        terminal.type_in("get bob nobody\n");
        assert!(terminal.sees("\"getUsersReply\"").await.contains("\"missing\":[\"nobody\"]"));
        terminal.type_in("birth soon\n");
        assert!(terminal.sees("\"error\"").await.contains("\"field\":\"birth\""));
        terminal.type_in("{\"updateMyInfo\": {\"sign\": \"raw\", \"gender\": \"female\"}}\n");
        assert!(terminal.sees("\"updateMyInfoReply\"").await.contains("\"sign\":\"raw\""));
        // What cannot be sent is said here, and the session goes on.
        for (line, says) in [("dance", "type a profile field"), ("gender other", "gender"), ("{\"nick\"", "--")] {
            terminal.type_in(&format!("{line}\n"));
            assert!(terminal.sees("-- ").await.contains(says), "{line}");
        }
        terminal.type_in("quit\n");
        assert_eq!(terminal.exit().await, (Some(0), String::new()));
    }
}

#[tokio::test]
async fn words_stand_for_the_commands_about_others() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    let mut bob = gateway.login("bob", Encoding::Json).await;
    let mut alice = Terminal::open(&world, &["alice", "--url", &gateway.url()]);
    alice.sees("in sync: 0 friends").await;
    for (line, reply, shows) in [
        ("watch bob nobody", "\"watchReply\":{\"missing\":[\"nobody\"]}", "\"users\":[{\"account\":\"bob\""),
        ("request bob Hello, Bob!", "\"requestFriendReply\"", "\"message\":\"Hello, Bob!\",\"state\":\"open\""),
        ("cancel bob", "\"cancelRequestReply\"", "\"state\":\"cancelled\""),
        ("add bob", "\"addFriendReply\"", "\"friends\":[{\"account\":\"bob\""),
        ("alias bob Bobby the builder", "\"updateFriendReply\"", "\"alias\":\"Bobby the builder\""),
        ("block bob", "\"blockReply\"", "\"removed\":false"),
        ("unblock bob", "\"unblockReply\"", "\"removed\":true"),
        ("delete bob", "\"deleteFriendReply\"", "\"removed\":[\"bob\"]"),
        ("status In a meeting", "\"setPresenceReply\"", "\"status\":\"In a meeting\""),
        ("hide", "\"setPresenceReply\"", "\"invisible\":true"),
        ("show", "\"setPresenceReply\"", "\"invisible\":false"),
    ] {
        alice.type_in(&format!("{line}\n"));
        alice.sees(reply).await;
        alice.sees(shows).await;
    }
    alice.type_in("signal bob hi there\n");
    alice.sees("\"signalReply\":{\"delivered\":0,\"dropped\":0}").await;
    while bob.next().await.signal.is_none_or(|signal| signal.payload != "hi there") {}
    for (answer, reply) in [("reject bob", "\"rejectFriendReply\""), ("accept bob", "\"acceptFriendReply\"")] {
        bob.request(to::ask("alice")).await;
        alice.sees("\"direction\":\"in\",\"message\":\"\",\"state\":\"open\"").await;
        alice.type_in(&format!("{answer}\n"));
        alice.sees(reply).await;
    }
    bob.until(|replica| replica.friends().contains_key("alice")).await;
    alice.type_in("sessions\n");
    assert!(alice.sees("\"getSessionsReply\"").await.contains("\"current\":true"));
    let mut other = gateway.login("alice", Encoding::Protobuf).await;
    alice.type_in(&format!("kick {}\n", other.reply.session));
    assert!(alice.sees("\"kickReply\"").await.contains(&other.reply.session));
    assert_eq!(other.ended().await.0, 3503);
    // What cannot be right is said by the gateway, which names it.
    alice.type_in("accept\n");
    assert!(alice.sees("\"error\"").await.contains("\"field\":\"account\""));
}

/// The fields of a game, and a nick that only its server writes.
const FIELDS: &str = "
[profile.fields.level]
type = \"integer\"
min = 1
max = 99
default = \"1\"
write = \"backend\"
[profile.fields.about]
type = \"text\"
max_length = 12
visibility = \"friends\"
[profile.fields.tags]
type = \"list\"
[profile.fields.score]
type = \"number\"
min = 0
max = 10
[profile.write]
nick = \"backend\"
";

#[tokio::test]
async fn own_fields_are_typed_by_their_types_and_shown() {
    let world = World::with(FIELDS);
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = Terminal::open(&world, &["alice", "--url", &gateway.url()]);
    alice.sees("in sync").await;
    // All in one go: what is typed behind a line that asks for the schema is carried out behind it.
    alice.type_in("field about 2026\nfield tags red, dark green\nfield score 2.5\n");
    alice.sees("\"getSchemaReply\"").await;
    for shows in ["\"about\":\"2026\"", "\"tags\":[\"red\",\"dark green\"]", "\"score\":2.5"] {
        assert!(alice.sees("\"updateMyInfoReply\"").await.contains(shows), "{shows}");
    }
    alice.type_in("fields\n");
    alice.sees("-- about = \"2026\"  (At most 12 characters; friends see it)").await;
    alice.sees("-- level = 1  (A whole number from 1 to 99; everyone sees it, only the backend writes it)").await;
    alice.sees("-- only the backend writes nick").await;
    let commands = gateway.metric("rosterd_commands_total").await;
    for (line, says) in [
        ("field level 2", "-- only the backend may write fields.level"),
        ("field score high", "-- fields.score must be a number"),
        ("field score 11", "-- fields.score must be a number from 0 to 10"),
        ("field about more than twelve", "-- fields.about is longer than 12 characters"),
        ("field abuot x", "-- there is no field \"fields.abuot\"; did you mean fields.about?"),
        ("nick Al", "-- only the backend may write nick"),
        ("{\"updateMyInfo\": {\"fields\": {\"tags\": 7}}}", "-- fields.tags must be a list of texts"),
        ("field", "-- name a field"),
    ] {
        alice.type_in(&format!("{line}\n"));
        assert_eq!(alice.sees("--").await.get(..says.len()), Some(says), "{line}");
    }
    assert!((gateway.metric("rosterd_commands_total").await - commands).abs() < 0.5, "what is wrong is not sent");
    alice.type_in("field tags\n");
    assert!(!alice.sees("\"updateMyInfoReply\"").await.contains("\"tags\""));
    drop(alice.input.take());
    assert_eq!(alice.exit().await, (Some(0), String::new()));
    assert_eq!(gateway.user("alice").await["fields"], serde_json::json!({"about": "2026", "level": 1, "score": 2.5}));
}

#[tokio::test]
async fn commands_from_a_pipe_are_answered_before_it_leaves() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut terminal = Terminal::open(&world, &["alice", "--url", &gateway.url()]);
    terminal.type_in("nick Ally\nget alice\n");
    drop(terminal.input.take());
    terminal.sees("in sync").await;
    terminal.sees("\"updateMyInfoReply\"").await;
    assert!(terminal.sees("\"getUsersReply\"").await.contains("\"nick\":\"Ally\""));
    assert_eq!(terminal.exit().await, (Some(0), String::new()));
}

#[tokio::test]
async fn what_others_write_does_not_steer_the_terminal() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "mallory"], &[("alice", "mallory")]).await;
    let nick = "\u{1b}[2J\u{9b}31m\u{7f}\r\n\u{202e}drowssap";
    gateway.patch("/v1/users/mallory", serde_json::json!({"nick": nick})).await;
    let mut terminal = Terminal::open(&world, &["alice", "--url", &gateway.url()]);
    let line = terminal.sees("drowssap").await;
    assert!(line.contains(r"\u001b[2J\u009b31m\u007f\r\n\u202edrowssap"), "{line}");
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    terminal.sees("in sync").await;
}

#[tokio::test]
async fn who_may_not_come_in_or_finds_nobody_leaves_with_a_reason() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let url = gateway.url();
    let wrong_path = url.replace("/v1/ws", "/v1/other");
    for (arguments, says) in [
        (vec!["a b", "--url", &url], "account must be"),
        (vec!["nobody", "--url", &url], "3500 BAD_TOKEN"),
        (vec!["alice", "--url", &url, "--token", "not an account"], "3500 BAD_TOKEN"),
        (vec!["alice", "--url", "http://127.0.0.1/"], "is not an address like ws://"),
        (vec!["alice", "--url", &wrong_path], "no WebSocket there"),
        (vec!["alice", "--url", "ws://127.0.0.1:1/v1/ws"], "cannot connect to 127.0.0.1:1"),
    ] {
        let said = world.run_badly(&[vec!["connect"], arguments.clone()].concat());
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn it_comes_back_after_the_gateway_did_with_the_cursor_it_holds() {
    let world = World::new();
    // An address of its own, so that nobody else is given the port in between.
    let mut gateway = world.start_with(&["clients.listen=127.0.0.93:0"]);
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let address = format!("clients.listen={}", gateway.clients);
    let mut terminal = Terminal::open(&world, &["alice", "--url", &gateway.url()]);
    assert!(terminal.sees("\"loginReply\"").await.contains("\"sync\":\"full\""));
    terminal.sees("in sync").await;
    gateway.kill();
    assert!(terminal.sees("coming back").await.contains("1006"));
    gateway = world.start_with(&[&address]);
    assert!(terminal.sees("\"loginReply\"").await.contains("\"sync\":\"current\""));
    terminal.sees("in sync").await;
    assert_eq!(gateway.terminate().await, Some(0));
    assert!(terminal.sees("\"goodbye\"").await.contains("\"code\":3000"));
    assert!(terminal.sees("coming back").await.contains("3000"));
    gateway = world.start_with(&[&address]);
    assert!(terminal.sees("\"loginReply\"").await.contains("\"sync\":\"current\""));
    terminal.type_in("nick Ally\n");
    terminal.sees("\"updateMyInfoReply\"").await;
    assert_eq!(gateway.user("alice").await["nick"], "Ally");
}
