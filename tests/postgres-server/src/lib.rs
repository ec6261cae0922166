//! A PostgreSQL server for tests: Debian's programs, started as an ordinary user in a temporary directory, with fsync as
//! users have it. It ends with the test process, also when that panics or is killed. No part of the binary.
//!
//! `ROSTERD_TEST_POSTGRES` names a server to use instead: the URL of a superuser, such as
//! `postgres://postgres:secret@127.0.0.1:5432/postgres`. Where there is neither, tests that need a server are skipped, and
//! say so; where `CI` is set they fail.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The user that the tests connect as. It is no superuser.
pub const ROLE: &str = "rosterd";

/// Whose process the server is if the tests run as root, which PostgreSQL refuses to.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the test process is gone, which closes its end of the pipe, and then ends the server and its directory.
const WATCHDOG: &str = r#"
    cat > /dev/null
    test -f "$1/data/postmaster.pid" && kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")" 2> /dev/null
    while test -f "$1/data/postmaster.pid" && kill -0 "$(head -n 1 "$1/data/postmaster.pid")" 2> /dev/null; do
        sleep 0.05
    done
    rm -rf "$1"
"#;

/// A server.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// One that was started here, in a directory with its socket.
    Own { directory: PathBuf, user: Option<(u32, u32)>, port: u16, _watchdog: Watchdog },
    /// One that somebody named, by its URL without a database.
    Named(String),
}

/// Ends the server once its standard input is closed.
#[derive(Debug)]
struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.child.wait();
    }
}

/// A database of its own, dropped at the end.
#[derive(Debug)]
pub struct Database {
    /// How the role of the tests connects to it.
    pub url: String,
    /// Its name.
    pub name: String,
    server: &'static Server,
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.try_sql("postgres", &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name));
    }
}

/// Returns the server that all tests of this process share; `None` if there is none, which was printed.
///
/// # Panics
/// There is none and `CI` is set, or one does not start.
#[must_use]
#[allow(clippy::print_stdout, reason = "who reads the output of tests must see what was not tested")]
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let server = SHARED.get_or_init(|| {
        let programs = programs()?;
        let server = match std::env::var("ROSTERD_TEST_POSTGRES") {
            Ok(url) => Server { programs, place: Place::Named(url.trim_end_matches('/').to_owned()) },
            Err(_) => Server::start(&[])?,
        };
        server.make_role();
        Some(server)
    });
    if server.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: apt-get install postgresql");
        println!("skipped: PostgreSQL is not installed (apt-get install postgresql, or set ROSTERD_TEST_POSTGRES)");
    }
    server.as_ref()
}

/// Returns where the programs of the newest installed version are.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    versions.into_iter().map(|path| path.join("bin")).rev().find(|path| path.join("initdb").exists())
}

impl Server {
    /// Starts a server of its own with these settings, `NAME=VALUE`; `None` if PostgreSQL is not installed.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Option<Self> {
        Self::start_with(settings, &[])
    }

    /// The same with these files in its data directory, by name and text, which only the server may read.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_with(settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let programs = programs()?;
        let (directory, user, watchdog) = new_directory();
        let port = free_port();
        let server = Self { programs, place: Place::Own { directory, user, port, _watchdog: watchdog } };
        let data = server.data();
        let data = data.to_str().expect("a path in UTF-8");
        let made = server
            .command("initdb")
            .args(["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut lines = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nmax_connections = 400\nunix_socket_directories = '{}'\n",
            server.directory().display()
        );
        lines.push_str("log_min_messages = warning\nshared_buffers = 64MB\n");
        for setting in settings {
            lines += setting;
            lines.push('\n');
        }
        server.append_settings(&lines);
        for (name, text) in files {
            let file = server.data().join(name);
            fs::write(&file, text).expect("a file can be written");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("its permissions can be set");
            if let Some((uid, gid)) = user {
                chown(&file, Some(uid), Some(gid)).expect("it can be given away");
            }
        }
        server.run();
        server.make_role();
        Some(server)
    }

    /// Starts a standby of this server, with a copy of its data, which follows it from then on.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let (directory, user, watchdog) = new_directory();
        let port = free_port();
        let standby =
            Self { programs: self.programs.clone(), place: Place::Own { directory, user, port, _watchdog: watchdog } };
        let (data, primary) = (standby.data(), self.superuser("postgres"));
        let made = standby
            .command("pg_basebackup")
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream", "--pgdata"])
            .arg(&data)
            .args(["--dbname", &primary])
            .output()
            .expect("pg_basebackup runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        standby.append_settings(&format!(
            "port = {port}\nunix_socket_directories = '{}'\n",
            standby.directory().display()
        ));
        standby.run();
        standby
    }

    /// Makes a standby the primary, and waits until it is.
    ///
    /// # Panics
    /// It does not become the primary.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), "t", "{}", self.log());
    }

    /// Starts the process again, after [`Self::kill`] or [`Self::stop`], and waits until it answers.
    ///
    /// # Panics
    /// It does not start.
    pub fn run(&self) {
        let data = self.data();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory().join("log")).expect("a log");
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Nobody waits for it but the watchdog, which does not depend on this.
        let mut process = command.spawn().expect("postgres runs");
        let begun = Instant::now();
        while self.try_sql("postgres", "SELECT 1").is_err() {
            let ended = process.try_wait().ok().flatten();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "PostgreSQL did not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::spawn(move || process.wait());
    }

    /// What the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory().join("log")).unwrap_or_default()
    }

    /// Kills the server at once, as a crash does, and waits until it and its children are gone.
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Stops the server, whose sessions end at once.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let file = self.data().join("postmaster.pid");
        let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.lines().next()?.parse().ok()) else {
            return;
        };
        let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
        let _ = rustix::process::kill_process(pid, signal);
        while rustix::process::test_kill_process(pid).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Its children end by themselves, and the shared memory is theirs until then.
        while self.has_children() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_file(file);
    }

    /// Returns whether a process works in the directory of the data.
    fn has_children(&self) -> bool {
        let data = self.data();
        let works_here = |process: fs::DirEntry| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data);
        fs::read_dir("/proc").is_ok_and(|processes| processes.flatten().any(works_here))
    }

    /// Makes an empty database, which belongs to [`ROLE`].
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn database(&'static self) -> Database {
        self.database_with("")
    }

    /// Makes an empty database with further words for CREATE DATABASE.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn database_with(&'static self, words: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\" OWNER {ROLE} {words}"));
        Database { url: self.url(ROLE, &name), name, server: self }
    }

    /// Returns the URL of a database for a role.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        match &self.place {
            Place::Own { port, .. } => format!("postgres://{role}:secret@127.0.0.1:{port}/{database}"),
            Place::Named(url) => {
                let (server, _) = url.rsplit_once('/').unwrap_or((url, ""));
                let host = server.rsplit_once('@').map_or(server, |(_, host)| host);
                format!("postgres://{role}:secret@{host}/{database}")
            }
        }
    }

    /// Returns host and port.
    #[must_use]
    pub fn address(&self) -> String {
        let url = self.url(ROLE, "x");
        url.rsplit_once('@')
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(host, _)| host.to_owned())
            .unwrap_or_default()
    }

    /// Returns the directory of the server's socket; `None` if it was not started here.
    #[must_use]
    pub fn socket(&self) -> Option<(&Path, u16)> {
        match &self.place {
            Place::Own { directory, port, .. } => Some((directory, *port)),
            Place::Named(_) => None,
        }
    }

    /// Runs SQL as a superuser, and returns its rows, a line each with columns parted by `|`.
    ///
    /// # Panics
    /// It fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs SQL as a superuser.
    ///
    /// # Errors
    /// What psql says.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = self.psql(database).args(["-c", sql]).output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d"]).arg(self.superuser(database));
        command
    }

    /// Returns one of PostgreSQL's programs, to be run.
    #[must_use]
    pub fn tool(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    /// Runs one of PostgreSQL's programs, such as `pg_dump`, on a database as a superuser.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn program(&self, name: &str, database: &str, arguments: &[&str]) -> Output {
        let mut command = self.tool(name);
        command.arg("-d").arg(self.superuser(database)).args(arguments);
        command.output().expect("it runs")
    }

    fn superuser(&self, database: &str) -> String {
        match &self.place {
            Place::Own { port, .. } => format!("postgres://postgres@127.0.0.1:{port}/{database}"),
            Place::Named(url) => {
                let (server, _) = url.rsplit_once('/').unwrap_or((url, ""));
                format!("{server}/{database}")
            }
        }
    }

    fn append_settings(&self, lines: &str) {
        let file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.expect("it is there").write_all(lines.as_bytes()).expect("the settings can be written");
    }

    fn make_role(&self) {
        let sql = format!(
            "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN PASSWORD 'secret'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        );
        self.sql("postgres", &sql);
    }

    fn directory(&self) -> &Path {
        match &self.place {
            Place::Own { directory, .. } => directory,
            Place::Named(_) => panic!("the server was not started here"),
        }
    }

    fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Makes a command of the server's programs, as its user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir("/").env_remove("PGDATA");
        if let Place::Own { user: Some((uid, gid)), .. } = &self.place {
            command.uid(*uid).gid(*gid);
        }
        command
    }
}

/// Makes a directory for a server, of the user that it will run as.
fn new_directory() -> (PathBuf, Option<(u32, u32)>, Watchdog) {
    let directory = TempDir::new().expect("a temporary directory").keep();
    let user = ordinary_user();
    if let Some((uid, gid)) = user {
        chown(&directory, Some(uid), Some(gid)).expect("the directory can be given away");
    }
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("its permissions can be set");
    let watchdog = watch(&directory);
    (directory, user, watchdog)
}

/// Returns the user and the group for the server, if this process is root's.
///
/// # Panics
/// There is no user but root.
#[must_use]
pub fn ordinary_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let of = |name: &str| {
        let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(USERS.into_iter().find_map(of).expect("a user that is not root"))
}

fn watch(directory: &Path) -> Watchdog {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHDOG, "watchdog"]).arg(directory);
    // Of a group of its own: what interrupts the tests must not interrupt it.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a shell");
    let pipe = child.stdin.take();
    Watchdog { child, pipe }
}

/// Returns a port that nobody listens on now.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
