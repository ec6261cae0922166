//! The network between a writer and the database ends without a word, while the writer holds the lock: how long the server
//! takes to notice, where nobody waits who would end the session.

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rosterd::store::postgres::{PostgresOptions, PostgresUrl, open};
use rosterd_postgres_server::{ROLE, Server};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::holders::{HowToStop, RawSession};
use super::postgres::until;
use super::rig::Running;

/// What every session of a gateway asks of the server's network.
const KEEPALIVES: &str = "SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 2; SET tcp_user_timeout = '3s'";
/// How much later than promised something may happen on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
/// This machine, and another, which only a line connects.
const HERE: &str = "10.213.47.1";
const THERE: &str = "10.213.47.2";

/// A network of its own, with one line to this machine. Removed when this is dropped.
struct Island(String);

impl Island {
    /// `None` where none can be made, which was printed.
    #[expect(clippy::print_stdout, reason = "who reads the output of tests must see what was not tested")]
    fn make() -> Option<Self> {
        let island = Self(format!("rosterd{}", std::process::id()));
        let (name, line) = (&island.0, format!("r{}", std::process::id()));
        let steps = [
            format!("netns add {name}"),
            format!("link add {line} type veth peer name shore netns {name}"),
            format!("address add {HERE}/30 dev {line}"),
            format!("link set {line} up"),
            format!("-n {name} address add {THERE}/30 dev shore"),
            format!("-n {name} link set shore up"),
        ];
        if steps.iter().all(|step| ip(step)) {
            return Some(island);
        }
        println!("skipped: no network can be made here, which needs root and the program ip");
        None
    }

    /// Connects from there to a port of this machine.
    fn connect(&self, port: u16) -> TcpStream {
        let network = File::open(format!("/run/netns/{}", self.0)).unwrap();
        // Only the thread moves, and what it opens stays there.
        let connecting = std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpStream::connect((HERE, port)).unwrap()
        });
        connecting.join().unwrap()
    }

    /// From now on nothing comes back from there, not even that something has come.
    fn cut(&self, is_cut: bool) {
        let does = if is_cut { "add" } else { "del" };
        assert!(ip(&format!("-n {} route {does} blackhole {HERE}/32", self.0)));
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.0));
    }
}

/// Runs `ip`; whether it did what it was to do.
fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).output().is_ok_and(|done| done.status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_who_is_cut_off_with_the_lock_in_three_seconds_by_itself() {
    let Some(island) = Island::make() else { return };
    let access = format!("local all all trust\nhost all all 127.0.0.1/32 trust\nhost all {ROLE} {THERE}/32 trust\n");
    let Some(server) = Server::start_with(&["listen_addresses = '*'"], &[("pg_hba.conf", &access)]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let url = PostgresUrl::parse(&server.url(ROLE, "x")).unwrap();
    Running::new(open(&url, PostgresOptions::default()).unwrap()).close().await;
    let port = server.socket().unwrap().1;
    let stops: [(HowToStop, &str, u64); 3] = [
        (RawSession::stop_between_requests, "idle in transaction, ClientRead", 2),
        (RawSession::stop_within_a_request, "active, ClientRead", 3),
        (RawSession::stop_within_an_answer, "active, ClientWrite", 3),
    ];
    for (stop, stands, bound) in stops {
        let mut holder = RawSession::begin(island.connect(port), "x");
        holder.run(KEEPALIVES);
        holder.take_lock();
        stop(&mut holder);
        let of = format!("FROM pg_stat_activity WHERE pid = {} AND client_addr = '{THERE}'", holder.pid);
        until(|| server.sql("x", &format!("SELECT state || ', ' || wait_event {of}")) == stands).await;
        let begun = Instant::now();
        island.cut(true);
        until(|| server.sql("x", &format!("SELECT count(*) {of}")) == "0").await;
        let (took, bound) = (begun.elapsed(), Duration::from_secs(bound));
        assert!(took > Duration::from_secs(1) && took < bound + SLACK, "{stands}: {took:?}");
        // The other end has learnt nothing, and the lock is free.
        island.cut(false);
        server.sql("x", "SELECT id FROM rosterd.sequencer WHERE id = 1 FOR UPDATE NOWAIT");
    }
}
