//! A NATS server for a while.

use std::error::Error;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rosterd_postgres_server::free_port;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server, killed when dropped.
pub(crate) struct NatsProcess {
    process: Child,
    port: u16,
}

impl NatsProcess {
    /// Starts Debian's program, and waits until it answers.
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let port = free_port();
        let arguments = ["-a", "127.0.0.1", "-p", &port.to_string(), "--user", "rosterd", "--pass", "secret"];
        let start = |program| {
            Command::new(program).args(arguments).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null()).spawn()
        };
        // It is not in every user's path.
        let process = start("nats-server").or_else(|_| start("/usr/sbin/nats-server"));
        let process = process.map_err(|error| format!("there is no NATS server (make nats): {error}"))?;
        let server = Self { process, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err("the NATS server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// The setting by which gateways use it.
    pub(crate) fn setting(&self) -> String {
        format!("cluster.nats=nats://rosterd:secret@127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
