//! What is done to several gateways and their database. Each stage proves that what it does has happened.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::cluster::ClusterCrowd;
use crate::database_proxy::ProxyFlow;
use crate::faults::{UNPAUSED, send, with_pauses};
use crate::scale::Scale;
use crate::table::Row;

/// How long the others may stand still in a run that others may disturb. The goal is 3.5 s.
const STILL: Duration = Duration::from_secs(10);
/// After so long nothing is on its way any more that was there before a cut.
const SETTLED: Duration = Duration::from_millis(500);
/// How long a cut lasts: longer than a transaction may stand still.
const CUT: Duration = Duration::from_secs(4);
/// How long a stopped gateway is looked at until it counts as the holder of the lock.
const STANDS: Duration = Duration::from_millis(700);

/// Sessions of writers that are in a transaction and wait for their gateway, and since when.
const HOLDER: &str = "SELECT pid, backend_start, state_change FROM pg_stat_activity
    WHERE application_name = 'rosterd writer'
        AND (state LIKE 'idle in transaction%' OR state = 'active' AND wait_event_type = 'Client')";

/// No fault at all.
pub async fn calm(crowd: &ClusterCrowd, scale: &Scale) -> Row {
    crowd.guests.go(with_pauses(scale));
    sleep(scale.calm).await;
    crowd.rest().await;
    crowd.row("calm, 3 gateways", "none")
}

/// `kill -9` of any gateway, whose clients come back on any.
pub async fn node_kills(crowd: &mut ClusterCrowd, scale: &Scale) -> Row {
    let (mut during, mut away) = (0, Duration::ZERO);
    for kill in 1..=scale.kills {
        crowd.guests.go(UNPAUSED);
        let at = crowd.any_that_answers().await;
        let torn = || crowd.guests.stats().torn.load(Ordering::Relaxed);
        let before = torn();
        let lost = crowd.guests.stats().lost.load(Ordering::Relaxed);
        crowd.take(at).kill();
        let killed = Instant::now();
        crowd.guests.until("someone has lost it", |stats| stats.lost.load(Ordering::Relaxed) > lost).await;
        crowd.guests.everyone_is_here().await;
        away = away.max(killed.elapsed());
        during += usize::from(crowd.guests.stats().torn.load(Ordering::Relaxed) > before);
        crowd.logs_are_good();
        crowd.start(at);
        crowd.open();
        if kill % scale.rest_every == 0 {
            crowd.rest().await;
        }
    }
    crowd.rest().await;
    assert!(2 * during >= scale.kills, "only {during} of {} kills came while something was written", scale.kills);
    let (all, away) = (scale.kills, away.as_secs_f64());
    crowd.row(
        "kill a gateway",
        &format!("{all} × `kill -9`, {during} during writes, everyone back ≤ {away:.1} s after it"),
    )
}

/// `kill -9` of PostgreSQL, which then starts again.
pub async fn database_kills(crowd: &mut ClusterCrowd, scale: &Scale) -> Row {
    let (mut during, mut worst) = (0, Duration::ZERO);
    for _ in 0..scale.database_kills {
        crowd.guests.go(UNPAUSED);
        crowd.guests.answers(scale.clients as u64).await;
        block_in_place(|| crowd.primary.kill());
        assert!(block_in_place(|| crowd.primary.try_sql("postgres", "SELECT 1")).is_err(), "it answers");
        during += usize::from(crowd.guests.stats().under_way.load(Ordering::Relaxed) > 0);
        block_in_place(|| crowd.primary.run());
        let started = Instant::now();
        crowd.guests.answers(scale.clients as u64).await;
        worst = worst.max(started.elapsed());
        crowd.rest().await;
    }
    let (all, worst) = (scale.database_kills, worst.as_secs_f64());
    assert!(worst < STILL.as_secs_f64(), "they wrote again {worst:.1} s after it");
    assert!(2 * during >= all, "only {during} of {all} kills came while something was written");
    let faults = format!("{all} × `kill -9`, {during} during writes, everyone writes again ≤ {worst:.2} s after it");
    crowd.row("kill PostgreSQL", &faults)
}

/// A gateway that stands still while it holds the lock that all writers need.
pub async fn stopped_holders(crowd: &ClusterCrowd, scale: &Scale) -> Row {
    let (mut worst, mut tries) = (Duration::ZERO, 0);
    for _ in 0..scale.stopped_holders {
        crowd.guests.go(UNPAUSED);
        let (at, session) = loop {
            tries += 1;
            assert!(tries < 1000 * scale.stopped_holders, "no gateway was stopped while it held the lock");
            let at = crowd.any_that_answers().await;
            crowd.avoid(at);
            send(crowd.places[at].gateway().pid(), Signal::STOP);
            let holder = crowd.sql(HOLDER);
            if !holder.is_empty() {
                sleep(STANDS).await;
                if crowd.sql(HOLDER) == holder {
                    break (at, holder);
                }
            }
            send(crowd.places[at].gateway().pid(), Signal::CONT);
            crowd.open();
        };
        // It was the stopped one's: its session is ended.
        let pid = session.split('|').next().unwrap();
        crowd.until_sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0").await;
        worst = worst.max(crowd.others_go_on(at).await);
        send(crowd.places[at].gateway().pid(), Signal::CONT);
        crowd.open();
        crowd.rest().await;
    }
    assert!(worst < STILL, "the others stood still for {worst:?}");
    let (all, worst) = (scale.stopped_holders, worst.as_secs_f64());
    crowd.row("stop with the lock", &format!("{all} × `SIGSTOP`, {tries} tries, the others still for ≤ {worst:.2} s"))
}

/// A gateway that reaches the database, and does not hear from it, or the other way round.
pub async fn cuts(crowd: &ClusterCrowd, scale: &Scale, hold: ProxyFlow) -> Row {
    let (mut worst, mut locked) = (Duration::ZERO, 0);
    for cut in 0..scale.cuts {
        crowd.guests.go(UNPAUSED);
        let at = crowd.any_that_answers().await;
        let (address, proxy) = (crowd.address(at), &crowd.places[at].proxy);
        let count = || crowd.guests.stats().times.lock().count(address);
        crowd.avoid(at);
        proxy.set(hold);
        sleep(SETTLED).await;
        let (before, holder) = (count(), crowd.sql(HOLDER));
        sleep(STANDS).await;
        locked += usize::from(!holder.is_empty() && crowd.sql(HOLDER) == holder);
        sleep(CUT.saturating_sub(SETTLED + STANDS)).await;
        let answered = count();
        worst = worst.max(crowd.others_go_on(at).await);
        assert_eq!(answered, before, "it answered without the database");
        assert!(proxy.held() > 0, "nothing was kept back");
        if cut % 2 == 1 {
            // All that was kept back is lost.
            proxy.set(ProxyFlow::Cut);
            sleep(SETTLED).await;
        }
        proxy.set(ProxyFlow::Pass);
        crowd.open();
        crowd.guests.until("it answers again", |_| count() > before).await;
        crowd.rest().await;
    }
    assert!(worst < STILL, "the others stood still for {worst:?}");
    let (all, worst) = (scale.cuts, worst.as_secs_f64());
    let stage = if hold == ProxyFlow::HoldToDatabase { "cut to PostgreSQL" } else { "cut from PostgreSQL" };
    crowd.row(stage, &format!("{all} × {CUT:?}, {locked} with the lock, the others still for ≤ {worst:.2} s"))
}

/// A synchronous standby takes over: nothing is lost, and everyone stays.
pub async fn lossless_failovers(crowd: &mut ClusterCrowd, scale: &Scale) -> Row {
    let mut worst = Duration::ZERO;
    for _ in 0..scale.failovers {
        crowd.synchronous();
        crowd.guests.go(UNPAUSED);
        crowd.guests.answers(scale.clients as u64).await;
        let (epoch, timeline) = (crowd.sql("SELECT epoch FROM rosterd.meta"), timeline(crowd));
        crowd.fail_over();
        let promoted = Instant::now();
        crowd.guests.answers(scale.clients as u64).await;
        worst = worst.max(promoted.elapsed());
        assert!(self::timeline(crowd) > timeline, "it did not fail over");
        crowd.rest().await;
        assert_eq!(crowd.sql("SELECT epoch FROM rosterd.meta"), epoch);
        crowd.new_standby();
    }
    let worst = worst.as_secs_f64();
    crowd.row("failover, synchronous", &format!("{} times, writes again ≤ {worst:.2} s after it", scale.failovers))
}

/// A standby that lacks commits takes over: every gateway ends, and everyone gets everything anew.
pub async fn lossy_failovers(crowd: &mut ClusterCrowd, scale: &Scale) -> Row {
    let mut lost = 0;
    // Its position ends with the history.
    crowd.follower = None;
    for _ in 0..scale.failovers {
        crowd.guests.go(UNPAUSED);
        crowd.cut_standby();
        crowd.guests.answers(2 * scale.clients as u64).await;
        let epoch = crowd.sql("SELECT epoch FROM rosterd.meta");
        crowd.fail_over();
        for at in 0..crowd.places.len() {
            let gateway = crowd.take(at);
            assert_eq!(gateway.exit().await, Some(70), "{}", crowd.guests.log());
        }
        assert!(!crowd.guests.log().contains("panicked"), "{}", crowd.guests.log());
        crowd.guests.everyone_waits().await;
        let stats = crowd.guests.stats();
        stats.full_syncs.store(0, Ordering::Relaxed);
        stats.foreign.store(0, Ordering::Relaxed);
        crowd.start_all();
        assert_ne!(crowd.sql("SELECT epoch FROM rosterd.meta"), epoch);
        let truth = crowd.truth().await;
        let values = crowd.guests.shared.ledger.take_over(&truth).unwrap();
        assert!(values > 0, "no commit was lost");
        lost += values;
        crowd.open();
        crowd.guests.everyone_is_here().await;
        let stats = crowd.guests.stats();
        let anew = (stats.full_syncs.swap(0, Ordering::Relaxed), stats.foreign.swap(0, Ordering::Relaxed));
        assert_eq!(anew, (scale.clients as u64, scale.clients), "each gets everything anew, once, and is told why");
        crowd.guests.go(UNPAUSED);
        crowd.guests.answers(scale.clients as u64).await;
        crowd.rest().await;
        crowd.new_standby();
    }
    let clients = scale.clients;
    let faults = format!("{} times, {lost} values lost; all {clients} synced in full each time", scale.failovers);
    crowd.row("failover, commits lost", &faults)
}

fn timeline(crowd: &ClusterCrowd) -> String {
    crowd.sql("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")
}
