//! A NATS server for tests, which ends with them, and somebody who can publish there.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rosterd_postgres_server::{free_port, ordinary_user};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::PATIENCE;

/// Ends the server when its input ends: with the tests, however they end.
const WATCHDOG: &str = "\"$@\" & server=$!; echo $server; read -r _; kill -KILL $server";

/// How the server knows who may log in.
const PASSWORD: &str = "authorization { user: rosterd, password: \"a,secret\" }\n";

/// A server, which is killed when this is dropped.
pub struct NatsServer {
    program: PathBuf,
    port: u16,
    /// Has its settings.
    directory: TempDir,
    process: Option<(Child, Pid)>,
}

impl NatsServer {
    /// Starts one on a free port, with a user and a password; `None` if it is not installed, which was printed.
    pub fn start() -> Option<Self> {
        Self::start_with(PASSWORD)
    }

    /// The same with other settings.
    #[expect(clippy::print_stdout, reason = "who reads the output of tests must see what was not tested")]
    pub fn start_with(settings: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<_> = std::env::split_paths(&path).collect();
        places.push("/usr/sbin".into());
        let Some(program) = places.into_iter().map(|place| place.join("nats-server")).find(|file| file.exists()) else {
            assert!(std::env::var_os("CI").is_none(), "NATS is not installed: apt-get install nats-server");
            println!("skipped: NATS is not installed (apt-get install nats-server)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        // It is read by another user.
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        std::fs::write(directory.path().join("settings"), settings).unwrap();
        let mut server = Self { program, port: free_port(), directory, process: None };
        server.run();
        Some(server)
    }

    /// Starts the process, again after [`Self::kill`], and waits until it answers.
    pub fn run(&mut self) {
        let mut command = Command::new("sh");
        command.args(["-c", WATCHDOG, "watchdog"]).arg(&self.program);
        command
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-c"])
            .arg(self.directory.path().join("settings"));
        if let Some((uid, gid)) = ordinary_user() {
            command.uid(uid).gid(gid);
        }
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let process = line.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        self.process = Some((child, process));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "NATS did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.process.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    /// Lets the process stand still, or go on.
    pub fn stand_still(&self, stands: bool) {
        let (_, process) = self.process.as_ref().unwrap();
        kill_process(*process, if stands { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        format!("nats://rosterd:a%2Csecret@127.0.0.1:{}", self.port)
    }

    /// Somebody who has got the password.
    pub fn intruder(&self) -> Intruder {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut intruder = Intruder(BufReader::new(stream));
        intruder.send(b"CONNECT {\"verbose\":false,\"user\":\"rosterd\",\"pass\":\"a,secret\"}\r\nSUB rosterd.> 1\r\n");
        intruder.settle();
        intruder
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that hears what gateways hand each other, and publishes what it likes.
pub struct Intruder(BufReader<TcpStream>);

impl Intruder {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Waits until the server has done what it was sent.
    fn settle(&mut self) {
        self.send(b"PING\r\n");
        while self.line() != "PONG" {}
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(!line.is_empty() && !line.starts_with("-ERR"), "{line}");
        line.trim_end().to_owned()
    }

    /// Waits for a message; its subject and what is in it.
    pub fn hear(&mut self) -> (String, Vec<u8>) {
        loop {
            let line = self.line();
            let words: Vec<_> = line.split(' ').collect();
            if words[0] == "MSG" {
                let mut message = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut message).unwrap();
                message.truncate(message.len() - 2);
                return (words[1].to_owned(), message);
            }
        }
    }

    /// Publishes messages, and hears them too.
    pub fn publish(&mut self, subject: &str, messages: &[Vec<u8>]) {
        for message in messages {
            let head = format!("PUB {subject} {}\r\n", message.len());
            self.send(&[head.as_bytes(), message, b"\r\n"].concat());
            while self.hear().1 != *message {}
        }
    }
}
