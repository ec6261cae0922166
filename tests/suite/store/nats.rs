//! Gateways that hand each other changes over NATS as well: it makes nothing true that the database does not hold.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use rosterd::metrics::{DatabaseMetrics, Kind};
use rosterd::store::postgres::{BatchNetwork, CourierEnd, NatsNetwork, NatsServers, PostgresOptions, Sharing, open};
use rosterd_engine::model::Change;
use rosterd_postgres_server::free_port;
use tokio::sync::mpsc;

use super::postgres::until;
use super::rig::{Place, Running, befriend, block, nick, told, unfriend};
use super::shared::{applied, received};
use crate::nats_server::NatsServer;
use crate::random::Random;

/// The longest that a gateway may be told not to look by itself.
const NEVER: Duration = Duration::from_secs(10);
/// The usual time.
const POLL: Duration = Duration::from_millis(250);

fn join(place: &Place, network: Arc<dyn BatchNetwork>, poll: Duration) -> (DatabaseMetrics, Running) {
    let metrics = DatabaseMetrics::default();
    let options = PostgresOptions {
        readers: 2,
        sharing: Sharing::Shared { poll },
        network: Some(network),
        metrics: metrics.clone(),
        ..PostgresOptions::default()
    };
    (metrics, Running::new(open(&place.url(), options).unwrap()))
}

/// Gateways that are connected to a server.
async fn join_over<const N: usize>(
    place: &Place,
    nats: &NatsServer,
    poll: Duration,
) -> [(DatabaseMetrics, Running); N] {
    let servers = NatsServers::parse(&nats.url()).unwrap();
    let nodes = [(); N].map(|()| join(place, Arc::new(NatsNetwork::new(servers.clone(), None).unwrap()), poll));
    until(|| nodes.iter().all(|(counted, _)| counted.nats_connected.get() == 1)).await;
    nodes
}

/// Lets words over the database get lost.
fn silence(place: &Place) {
    place.sql("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC");
    assert_eq!(place.sql("SELECT has_function_privilege('rosterd', 'pg_notify(text, text)', 'execute')"), "f");
}

fn refused(counted: &DatabaseMetrics, kind: &'static str) -> u64 {
    counted.nats_refused.get_or_create(&Kind { kind }).get()
}

fn in_order(changes: &[Change]) {
    let revisions: Vec<_> = changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (1..=revisions.len() as u64).collect::<Vec<_>>(), "without a hole, each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_over_nats_while_nobody_says_a_word_over_the_database() {
    const TURNS: u64 = 40;
    let (Some(place), Some(nats)) = (Place::postgres(), NatsServer::start()) else { return };
    let [(counted, one), (counts, other)] = join_over(&place, &nats, NEVER).await;
    silence(&place);
    for turn in 1..=TURNS {
        let (writer, reader) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writer.run(nick("a", &format!("Ann {turn}"))).await;
        until(|| applied(reader) == turn).await;
    }
    // Each has found by looking at most what was written in the moment in which it looked.
    for metrics in [&counted, &counts] {
        let (carried, read) = (metrics.nats_batches.get(), metrics.feed_read_rows.get());
        assert_eq!(carried + read, TURNS / 2);
        assert!(read <= 2, "{read} were read");
        assert_eq!(metrics.feed_holes.get(), 0);
    }
    assert!(told(&received(&one)) == told(&received(&other)));
    in_order(&received(&one));
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_changes_come_from_the_database_and_with_it_again_over_nats() {
    let (Some(place), Some(mut nats)) = (Place::postgres(), NatsServer::start()) else { return };
    let [(_, one), (counted, other)] = join_over(&place, &nats, POLL).await;
    let mut turn = 0;
    let mut write = async || {
        turn += 1;
        one.run(nick("a", &format!("Ann {turn}"))).await;
        until(|| applied(&other) == turn).await;
    };
    // Whatever comes by chance from the log, some come this way.
    let before = counted.nats_batches.get();
    while counted.nats_batches.get() == before {
        write().await;
    }
    nats.kill();
    until(|| counted.nats_connected.get() == 0).await;
    let (carried, read) = (counted.nats_batches.get(), counted.feed_read_rows.get());
    for _ in 0..5 {
        write().await;
    }
    assert_eq!((counted.nats_batches.get(), counted.feed_read_rows.get()), (carried, read + 5));
    nats.run();
    until(|| counted.nats_connected.get() == 1).await;
    while counted.nats_batches.get() == carried {
        write().await;
    }
    // It stands still: at first nobody knows, and then they do not count on it.
    nats.stand_still(true);
    let carried = counted.nats_batches.get();
    for _ in 0..20 {
        write().await;
    }
    assert_eq!(counted.nats_batches.get(), carried, "nothing came over it");
    until(|| counted.nats_connected.get() == 0).await;
    write().await;
    nats.stand_still(false);
    until(|| counted.nats_connected.get() == 1).await;
    while counted.nats_batches.get() == carried {
        write().await;
    }
    in_order(&received(&other));
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_publish_there_changes_nothing_and_learns_nothing() {
    let (Some(place), Some(nats)) = (Place::postgres(), NatsServer::start()) else { return };
    // Another database on the same server, which hears nothing of this one.
    let elsewhere = Place::postgres().unwrap();
    let [(apart, stranger)] = join_over(&elsewhere, &nats, POLL).await;
    let [(_, one), (counted, other)] = join_over(&place, &nats, NEVER).await;
    let mut intruder = nats.intruder();
    one.run(nick("a", "a name that is nobody's business")).await;
    until(|| applied(&other) == 1).await;
    let (subject, message) = intruder.hear();
    assert_eq!(subject.split('.').map(str::len).collect::<Vec<_>>(), [7, 16, 4], "{subject}");
    assert!(!message.windows(8).any(|part| part == b"business"));
    let flipped = |at: usize| {
        let mut message = message.clone();
        message[at] ^= 1;
        message
    };
    let mut forged = vec![Vec::new(), b"1 2 3".to_vec(), vec![1; 29], vec![0; 1_000_000], vec![1; 600_000]];
    forged.extend([flipped(0), flipped(5), flipped(13), flipped(message.len() - 1), message[1..].to_vec()]);
    forged.push(message[..message.len() - 1].to_vec());
    intruder.publish(&subject, &forged);
    until(|| refused(&counted, "FORGED") == forged.len() as u64).await;
    let repeated = refused(&counted, "REPEATED");
    intruder.publish(&subject, &vec![message.clone(); 5]);
    until(|| refused(&counted, "REPEATED") == repeated + 5).await;
    assert_eq!((applied(&other), other.store.head()), (1, 1));
    let carried = counted.nats_batches.get();
    silence(&place);
    one.run(nick("a", "Ann")).await;
    until(|| applied(&other) == 2).await;
    assert_eq!(counted.nats_batches.get(), carried + 1, "it goes on as before");
    assert_eq!((apart.nats_batches.get(), refused(&apart, "FORGED")), (0, 0), "others hear nothing of it");
    for db in [one, other, stranger] {
        db.close().await;
    }
}

/// How many connections a server has had that is asked at this port.
fn connections(port: u16) -> u64 {
    let mut asked = TcpStream::connect(("127.0.0.1", port)).unwrap();
    asked.write_all(b"GET /varz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<serde_json::Value>(body).unwrap()["total_connections"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_what_gateways_do_there_is_not_asked_again_and_again() {
    for refuses in ["publish", "subscribe"] {
        let port = free_port();
        let user = format!("user: rosterd, password: \"a,secret\", permissions: {{ {refuses}: other }}");
        let settings = format!("http: \"127.0.0.1:{port}\"\nauthorization {{ users = [{{ {user} }}] }}\n");
        let (Some(place), Some(nats)) = (Place::postgres(), NatsServer::start_with(&settings)) else { return };
        let servers = NatsServers::parse(&nats.url()).unwrap();
        let [(_, one), (_, other)] =
            [(); 2].map(|()| join(&place, Arc::new(NatsNetwork::new(servers.clone(), None).unwrap()), POLL));
        let (begun, mut turn) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(4) {
            turn += 1;
            one.run(nick("a", &format!("Ann {turn}"))).await;
            other.run(nick("b", &format!("Bob {turn}"))).await;
        }
        let (asked, counted) = (connections(port), begun.elapsed().as_secs());
        // Each after 0.1 s, 0.2 s, … and then every 2 s, or half of that.
        let most = 2 * (6 + counted);
        assert!((4..=most).contains(&asked), "{asked} connections to a server that lets nobody {refuses}");
        in_order(&received(&one));
        one.close().await;
        other.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_a_server_takes_comes_from_the_database_and_breaks_no_connection() {
    let port = free_port();
    let settings = format!(
        "http: \"127.0.0.1:{port}\"\nmax_payload: 2000\nauthorization {{ user: rosterd, password: \"a,secret\" }}\n"
    );
    let (Some(place), Some(nats)) = (Place::postgres(), NatsServer::start_with(&settings)) else { return };
    let [(_, one), (counted, other)] = join_over(&place, &nats, POLL).await;
    let before = connections(port);
    for turn in 0..5 {
        let read = counted.feed_read_rows.get();
        one.write((0..300).map(|n| nick(&format!("u{n}"), &format!("{turn} {n}")))).await.unwrap();
        until(|| applied(&other) == one.store.head()).await;
        assert!(counted.feed_read_rows.get() > read, "it came from the log");
    }
    // What is small still comes over it.
    let carried = counted.nats_batches.get();
    while counted.nats_batches.get() == carried {
        one.run(nick("a", &format!("Ann {}", one.store.head()))).await;
        until(|| applied(&other) == one.store.head()).await;
    }
    assert_eq!(connections(port), before, "nobody connected anew");
    in_order(&received(&other));
    one.close().await;
    other.close().await;
}

/// Carries messages between the gateways of a test as badly as it can.
#[derive(Default)]
struct BadNetwork {
    ends: Mutex<Vec<mpsc::UnboundedSender<Vec<u8>>>>,
    held: Mutex<Vec<Vec<u8>>>,
    /// How many were lost, repeated and held back.
    faults: Mutex<[u32; 3]>,
}

/// A [`BadNetwork`], for one gateway.
struct OnBadNetwork(Arc<BadNetwork>);

impl BadNetwork {
    fn send(&self, message: Vec<u8>, random: &mut Random) {
        let mut faults = self.faults.lock().unwrap();
        let mut held = self.held.lock().unwrap();
        let mut sent = Vec::new();
        match random.below(10) {
            0 => faults[0] += 1,
            1 | 2 => {
                faults[1] += 1;
                sent.extend([message.clone(), message]);
            }
            3 | 4 => {
                faults[2] += 1;
                held.push(message);
            }
            _ => sent.push(message),
        }
        if held.len() > random.below(4) as usize {
            let at = random.below(held.len() as u64) as usize;
            sent.push(held.swap_remove(at));
        }
        for end in &*self.ends.lock().unwrap() {
            for message in &sent {
                let _ = end.send(message.clone());
            }
        }
    }
}

impl BatchNetwork for OnBadNetwork {
    fn carry(&self, mut end: CourierEnd) -> BoxFuture<'static, ()> {
        let network = self.0.clone();
        let (sender, mut came) = mpsc::unbounded_channel();
        let mut ends = network.ends.lock().unwrap();
        let mut random = Random::new(ends.len() as u64 + 1);
        ends.push(sender);
        drop(ends);
        Box::pin(async move {
            end.set_connected(true);
            loop {
                tokio::select! {
                    Some(message) = came.recv() => end.deliver(&message),
                    message = end.outgoing.recv() => match message {
                        Some(message) => network.send(message, &mut random),
                        None => return,
                    },
                }
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_repeated_and_reordered_on_the_way_changes_nothing() {
    const WRITES: usize = 120;
    let Some(place) = Place::postgres() else { return };
    let network = Arc::new(BadNetwork::default());
    let nodes = [(); 3].map(|()| join(&place, Arc::new(OnBadNetwork(network.clone())), POLL));
    let writers = nodes.iter().enumerate().map(|(node, (_, db))| async move {
        for turn in 0..WRITES {
            let (a, b) = (format!("u{}", turn % 7), format!("u{}", (turn + node + 1) % 7));
            let commands = match turn % 4 {
                0 => vec![nick(&a, &format!("{node} {turn}"))],
                1 => vec![nick(&a, "x"), nick(&b, "y"), befriend(&a, &b)],
                2 => vec![unfriend(&a, &b)],
                _ => vec![block(&a, &b)],
            };
            // What two gateways do to one account may be refused, as by one.
            let _ = db.write(commands).await;
        }
    });
    join_all(writers).await;
    let head = nodes.iter().map(|(_, db)| db.store.head()).max().unwrap();
    until(|| nodes.iter().all(|(_, db)| applied(db) == head)).await;
    let all: Vec<_> = nodes.iter().map(|(_, db)| received(db)).collect();
    in_order(&all[0]);
    assert!(told(&all[0]) == told(&all[1]) && told(&all[1]) == told(&all[2]), "all were told the same");
    let faults = *network.faults.lock().unwrap();
    assert!(faults.iter().all(|times| *times > 5), "{faults:?}");
    for (counted, _) in &nodes {
        let [carried, read] = [counted.nats_batches.get(), counted.feed_read_rows.get()];
        assert!(carried > 5 && read > 5, "both ways: {carried} {read}");
        assert!(refused(counted, "REPEATED") > 5);
        assert_eq!((refused(counted, "FORGED"), refused(counted, "DAMAGED"), counted.feed_holes.get()), (0, 0, 0));
    }
    for (_, db) in nodes {
        db.close().await;
    }
}
