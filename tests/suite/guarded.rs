//! Programs of Debian's packages that tests run beside a gateway, and that end with the tests, however these end.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rosterd_postgres_server::ordinary_user;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::PATIENCE;

/// Ends the program when its input ends.
const WATCHDOG: &str = "\"$@\" & program=$!; echo $program; read -r _; kill -KILL $program";

/// Returns where a program is; `None` if it is not installed, which was printed.
#[expect(clippy::print_stdout, reason = "who reads the output of tests must see what was not tested")]
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    let found = places.into_iter().map(|place| place.join(program)).find(|file| file.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed: apt-get install {program}");
        println!("skipped: {program} is not installed (apt-get install {program})");
    }
    found
}

/// A running program, which is killed when this is dropped.
pub struct GuardedProgram {
    shell: Child,
    process: Pid,
}

impl GuardedProgram {
    /// Starts one as an ordinary user in a directory, and waits until it listens on a port of this machine.
    pub fn start(program: &Path, arguments: &[&str], (directory, port): (&Path, u16)) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", WATCHDOG, "watchdog"]).arg(program).args(arguments);
        if let Some((uid, gid)) = ordinary_user() {
            command.uid(uid).gid(gid);
        }
        command.current_dir(directory).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let process = line.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        let started = Self { shell, process };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{} did not start", program.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        started
    }

    /// Lets it stand still, or go on.
    pub fn stand_still(&self, stands: bool) {
        kill_process(self.process, if stands { Signal::STOP } else { Signal::CONT }).unwrap();
    }
}

impl Drop for GuardedProgram {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
