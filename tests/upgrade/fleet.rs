//! Gateways of several versions under load, one of which is replaced after the other.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::builds::Version;
use crate::client::Phase;
use crate::cluster::ClusterCrowd;
use crate::random::Random;
use crate::scale::Scale;
use crate::table::Row;

/// How many writes each gateway answers before anything is done to one, and afterwards.
const SOME: u64 = 100;
/// How long the other gateway may answer nothing while one is replaced, on a machine that others use, too.
const STILL: Duration = Duration::from_secs(10);

/// The gateways that count for one that starts: also those that have stopped not long ago.
const COUNTED: &str = "SELECT count(*) FROM rosterd.node
    WHERE state < 2 AND (extract(epoch FROM clock_timestamp()) * 1000)::bigint - beat_time < 3000";

/// The gateways with their clients, all of which write.
pub struct Fleet {
    pub crowd: ClusterCrowd,
}

impl Fleet {
    /// Starts gateways of these versions and lets everyone come; `None` if PostgreSQL is not installed.
    pub async fn gather(versions: &[Version], what: &str) -> Option<Self> {
        let scale = Scale::from_environment();
        println!("{what}: CHAOS_SEED={} repeats what chance decides here", scale.seed);
        let worlds = block_in_place(|| versions.iter().map(|version| version.world()).collect());
        let crowd = ClusterCrowd::gather(worlds, &scale, &Random::new(scale.seed)).await?;
        Some(Self { crowd })
    }

    /// Everyone writes, until each gateway has answered some. Returns the longest time in which one answered nothing.
    pub async fn serves(&self) -> Duration {
        let (guests, addresses) = (&self.crowd.guests, self.crowd.addresses());
        guests.go(Phase::Load { pause: Duration::ZERO, stalled: false });
        guests.stats().times.lock().begin(&addresses);
        let each = |stats: &crate::client::ClientStats| {
            let times = stats.times.lock();
            addresses.iter().all(|&at| times.count(at) >= SOME)
        };
        guests.until("each gateway answers", each).await;
        let nobody = "0.0.0.0:0".parse().unwrap();
        guests.stats().times.lock().longest_but(nobody)
    }

    /// Stops a gateway and starts one of a version in its place, while everyone writes. Each gateway answers before, and after.
    pub async fn replace(&mut self, at: usize, version: Version) -> Row {
        block_in_place(|| self.crowd.places[at].world.binary = version.binary());
        self.serves().await;
        self.crowd.until_sql(COUNTED, &self.crowd.places.len().to_string()).await;
        let (begun, leaving) = (Instant::now(), self.crowd.address(at));
        let before = self.crowd.guests.stats().answered.load(Ordering::Relaxed);
        let gateway = self.crowd.take(at);
        assert_eq!(gateway.terminate().await, Some(0), "{}", self.crowd.guests.log());
        let left = self.crowd.guests.stats().answered.load(Ordering::Relaxed);
        self.crowd.start(at);
        self.crowd.open();
        let took = begun.elapsed().as_secs_f64();
        let meanwhile = self.crowd.guests.stats().answered.load(Ordering::Relaxed);
        assert!(before < left && left < meanwhile, "nothing was written while it stopped, or while the other started");
        let still = self.crowd.guests.stats().times.lock().longest_but(leaving);
        assert!(still < STILL, "the other gateway answered nothing for {still:?}");
        self.serves().await;
        self.rest().await;
        let faults = format!(
            "in {took:.1} s, {} writes meanwhile; the other answered at least every {:.2} s",
            meanwhile - before,
            still.as_secs_f64()
        );
        self.crowd.row(stage(version), &faults)
    }

    /// Nobody writes. Everyone's view, and that of a backend, becomes what each gateway says, and each has some clients.
    pub async fn rest(&self) {
        self.crowd.rest().await;
        for place in &self.crowd.places {
            assert!(place.gateway().metric("rosterd_sessions").await > 0.0, "a gateway without clients shows nothing");
        }
        self.crowd.logs_are_good();
    }

    /// Starts a gateway of a version that is to refuse, and changes nothing. Returns what it says.
    pub fn refused(&self, version: Version, settings: &[&str]) -> String {
        let facts = "SELECT schema || ' ' || format || ' ' || epoch FROM rosterd.meta";
        let before = self.crowd.sql(facts);
        let said = block_in_place(|| {
            let (world, common) = (version.world(), self.crowd.settings(0));
            let settings = common.iter().map(String::as_str).chain(settings.iter().copied());
            let arguments: Vec<_> = std::iter::once("serve").chain(settings.flat_map(|pair| ["--set", pair])).collect();
            world.run_badly(&arguments)
        });
        assert_eq!(self.crowd.sql(facts), before, "it has changed something: {said}");
        said
    }

    /// Everyone leaves, and the gateways stop in order. Returns how many events a backend had, each once and in order.
    pub async fn end(mut self) -> u64 {
        let (events, _) = self.crowd.follower.take().map(|follower| follower.figures()).unwrap_or_default();
        assert!(events > 0, "no event came");
        self.crowd.end().await;
        events
    }
}

fn stage(version: Version) -> &'static str {
    match version {
        Version::Old => "by an old one",
        Version::Today => "by today's",
        Version::ReadsNext => "by one that reads the next form",
        Version::WritesNext => "by one that writes the next form",
    }
}
