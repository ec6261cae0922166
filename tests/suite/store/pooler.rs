//! `PgBouncer` between gateways and the database: in session mode it is as good as the server, in other modes it is refused.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rosterd::metrics::DatabaseMetrics;
use rosterd::store::Write;
use rosterd::store::postgres::{PostgresOptions, PostgresUrl, Sharing, new_epoch, open};
use rosterd_engine::model::WriteOrigin;
use rosterd_postgres_server::{ROLE, free_port};
use tempfile::TempDir;
use tokio::time::timeout;

use super::postgres::until;
use super::rig::{Place, Running, nick, told};
use super::shared::{applied, received};
use crate::guarded::{GuardedProgram, installed};
use crate::support::PATIENCE;

/// A pooler, which is killed when this is dropped.
struct PgBouncer {
    program: PathBuf,
    directory: TempDir,
    port: u16,
    process: Option<GuardedProgram>,
}

impl PgBouncer {
    /// Starts one before the server of a place; `None` if it is not installed, which was printed.
    fn start(place: &Place, mode: &str) -> Option<Self> {
        let program = installed("pgbouncer")?;
        let (server, _) = place.database.as_ref().unwrap();
        let (host, server_port) =
            server.address().rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned()))?;
        let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let users = directory.path().join("users");
        std::fs::write(&users, format!("\"{ROLE}\" \"secret\"\n")).unwrap();
        let settings = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = 40\n",
            users.display()
        );
        std::fs::write(directory.path().join("settings"), settings).unwrap();
        let mut pooler = Self { program, directory, port, process: None };
        pooler.run();
        Some(pooler)
    }

    fn run(&mut self) {
        let place = (self.directory.path(), self.port);
        self.process = Some(GuardedProgram::start(&self.program, &["settings"], place));
    }

    fn kill(&mut self) {
        self.process = None;
    }

    /// The URL of the database through it.
    fn url(&self, place: &Place) -> PostgresUrl {
        PostgresUrl::parse(&self.text_url(place)).unwrap()
    }

    fn text_url(&self, place: &Place) -> String {
        let (server, database) = place.database.as_ref().unwrap();
        server.url(ROLE, &database.name).replace(&server.address(), &format!("127.0.0.1:{}", self.port))
    }
}

#[test]
fn a_pooler_that_takes_sessions_apart_is_refused_and_keeps_no_trace() {
    let Some(place) = Place::postgres() else { return };
    for (mode, words) in [
        (
            "transaction",
            "gives each transaction another session of the server: connect to the server itself, or set pool_mode",
        ),
        ("statement", "transaction blocks not allowed in statement pooling mode"),
    ] {
        let Some(pooler) = PgBouncer::start(&place, mode) else { return };
        let url = pooler.url(&place);
        let refused = open(&url, PostgresOptions::default()).err().expect("it was opened").to_string();
        assert!(refused.contains(words) && !refused.contains("secret"), "{refused}");
        let refused = new_epoch(&url).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
        assert_eq!(place.sql("SELECT to_regnamespace('rosterd') IS NULL"), "t", "nothing was made");
        // Whoever is given one of its sessions next finds it as it was.
        let (server, _) = place.database.as_ref().unwrap();
        let shown = "SELECT current_setting('default_transaction_read_only') || ' ' || current_setting('search_path')";
        let mut psql: Command = server.tool("psql");
        let output = psql.args(["-XqAt", "-c", shown, &pooler.text_url(&place)]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "off \"$user\", public", "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_work_through_a_pooler_in_session_mode_and_go_on_after_its_end() {
    let Some(place) = Place::postgres() else { return };
    let Some(mut pooler) = PgBouncer::start(&place, "session") else { return };
    let metrics = DatabaseMetrics::default();
    let join = || {
        // Too rarely to be of help: what comes has come by a word.
        let sharing = Sharing::Shared { poll: Duration::from_secs(10) };
        let options = PostgresOptions { readers: 2, sharing, metrics: metrics.clone(), ..PostgresOptions::default() };
        Running::new(open(&pooler.url(&place), options).unwrap())
    };
    let (one, other) = (join(), join());
    let mut turn = 0;
    for _ in 0..10 {
        for (writer, reader) in [(&one, &other), (&other, &one)] {
            turn += 1;
            writer.run(nick("a", &format!("Ann {turn}"))).await;
            until(|| applied(reader) == turn).await;
        }
    }
    assert_eq!(metrics.feed_unwoken.get(), 0, "they heard of each");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rosterd%'
                    AND datname = current_database()";
    assert_ne!(place.sql(sessions), "0");
    pooler.kill();
    // All of them went through it.
    until(|| place.sql(sessions) == "0").await;
    let (store, write) = (one.store.clone(), Write { commands: vec![nick("a", "Anna")], origin: WriteOrigin::Import });
    let asked = tokio::spawn(async move { store.write(write).await });
    pooler.run();
    timeout(PATIENCE, asked).await.expect("an answer in time").unwrap().unwrap();
    until(|| applied(&one) == turn + 1 && applied(&other) == turn + 1).await;
    assert!(told(&received(&one)) == told(&received(&other)));
    one.close().await;
    other.close().await;
}
