//! A NATS server for tests, which ends with them, and somebody who can publish there.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rosterd_postgres_server::free_port;
use tempfile::TempDir;

use crate::guarded::{GuardedProgram, installed};
use crate::support::PATIENCE;

/// How the server knows who may log in.
const PASSWORD: &str = "authorization { user: rosterd, password: \"a,secret\" }\n";

/// A server, which is killed when this is dropped.
pub struct NatsServer {
    program: PathBuf,
    port: u16,
    /// Has its settings, and what these name.
    directory: TempDir,
    process: Option<GuardedProgram>,
}

impl NatsServer {
    /// Starts one on a free port, with a user and a password; `None` if it is not installed, which was printed.
    pub fn start() -> Option<Self> {
        Self::start_with(PASSWORD)
    }

    /// The same with a server that proves who it is by a certificate, and its key.
    pub fn start_with_tls(certificate: &str, key: &str) -> Option<Self> {
        let settings = format!("{PASSWORD}tls {{ cert_file: certificate.pem, key_file: key.pem }}\n");
        Self::start_beside(&settings, &[("certificate.pem", certificate), ("key.pem", key)])
    }

    /// The same with other settings.
    pub fn start_with(settings: &str) -> Option<Self> {
        Self::start_beside(settings, &[])
    }

    /// The same beside files that the settings name, each with its text.
    fn start_beside(settings: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = installed("nats-server")?;
        let directory = tempfile::tempdir().unwrap();
        // It is read by another user.
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        for (name, text) in files.iter().chain([&("settings", settings)]) {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let mut server = Self { program, port: free_port(), directory, process: None };
        server.run();
        Some(server)
    }

    /// Starts the process, again after [`Self::kill`], and waits until it answers.
    pub fn run(&mut self) {
        let arguments = ["-a", "127.0.0.1", "-p", &self.port.to_string(), "-c", "settings"];
        let place = (self.directory.path(), self.port);
        self.process = Some(GuardedProgram::start(&self.program, &arguments, place));
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Lets the process stand still, or go on.
    pub fn stand_still(&self, stands: bool) {
        self.process.as_ref().unwrap().stand_still(stands);
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        format!("nats://rosterd:a%2Csecret@127.0.0.1:{}", self.port)
    }

    /// Its URL without them.
    pub fn bare_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
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
