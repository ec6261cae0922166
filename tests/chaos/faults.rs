//! What is done to a gateway and its clients, one stage after the other. Each proves that what it does has happened.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::Method;
use rosterd_client::{Client, Replica};
use rosterd_protocol::Encoding;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::client::{ClientStats, Phase};
use crate::crowd::Crowd;
use crate::ledger::name;
use crate::random::Random;
use crate::scale::Scale;
use crate::support::PATIENCE;
use crate::table::Row;

/// As fast as it is answered.
pub const UNPAUSED: Phase = Phase::Load { pause: Duration::ZERO, stalled: false };

pub fn with_pauses(scale: &Scale) -> Phase {
    Phase::Load { pause: scale.pause, stalled: false }
}

/// No fault at all: what the others are measured against.
pub async fn calm(crowd: &Crowd, scale: &Scale) -> Row {
    crowd.guests.go(with_pauses(scale));
    sleep(scale.calm).await;
    crowd.rest().await;
    crowd.row("calm", "none".to_owned())
}

/// `kill -9` at any moment: under load, and while everyone comes back.
pub async fn kills(crowd: &mut Crowd, scale: &Scale, random: &mut Random) -> Row {
    let (mut under_way, mut catching_up) = (0, 0);
    for kill in 1..=scale.kills {
        crowd.guests.go(UNPAUSED);
        if kill % 4 == 0 {
            let all = scale.clients;
            let some = |stats: &ClientStats| stats.catching_up.load(Ordering::Relaxed) > 0;
            crowd
                .guests
                .until("someone comes back", |stats| some(stats) || stats.here.load(Ordering::Relaxed) == all)
                .await;
        } else {
            crowd.guests.answers(1 + random.below(2 * scale.clients as u64)).await;
            sleep(Duration::from_micros(random.below(20_000))).await;
        }
        let moment = crowd.kill().await;
        under_way += usize::from(moment.under_way > 0);
        catching_up += usize::from(moment.catching_up > 0);
        crowd.come_back().await;
        if kill % scale.rest_every == 0 {
            crowd.rest().await;
        }
    }
    crowd.rest().await;
    assert!(2 * under_way >= scale.kills, "only {under_way} of {} kills came while something was written", scale.kills);
    assert!(catching_up > 0 || scale.kills < 4, "no kill came while someone caught up");
    let faults = format!("{} × `kill -9`, {under_way} during writes, {catching_up} during catch-ups", scale.kills);
    crowd.row("kill", faults)
}

/// A gateway that stands still for a while, and everyone with it.
pub async fn stops(crowd: &Crowd, scale: &Scale, random: &mut Random) -> Row {
    let pid = crowd.gateway().pid();
    let mut stood = Duration::ZERO;
    for _ in 0..scale.stops {
        crowd.guests.go(UNPAUSED);
        crowd.guests.answers(scale.clients as u64).await;
        send(pid, Signal::STOP);
        let half = Duration::from_millis(100 + random.below(400));
        sleep(half).await;
        assert!(is_stopped(pid), "the gateway was not stopped");
        let answered = || crowd.guests.stats().answered.load(Ordering::Relaxed);
        let before = answered();
        sleep(half).await;
        assert_eq!(answered(), before, "a gateway that stands still answers");
        stood += 2 * half;
        send(pid, Signal::CONT);
        crowd.guests.answers(scale.clients as u64).await;
        crowd.rest().await;
    }
    crowd.row("stop", format!("{} × `SIGSTOP`, {:.1} s in all", scale.stops, stood.as_secs_f64()))
}

/// One in ten reads nothing, while their friends change.
pub async fn slow_readers(crowd: &Crowd, scale: &Scale) -> Row {
    let conflated = || crowd.gateway().metric("rosterd_marks_conflated_total");
    let before = conflated().await;
    let lost = crowd.guests.stats().lost.load(Ordering::Relaxed);
    crowd.guests.go(Phase::Load { pause: scale.pause, stalled: true });
    sleep(scale.stall).await;
    let spared = conflated().await - before;
    assert!(spared > 0.0, "nobody was so slow that anything was conflated");
    assert_eq!(crowd.guests.stats().lost.load(Ordering::Relaxed), lost, "someone was thrown out");
    // The newest of each is pending for them, not all there was.
    crowd.rest().await;
    let slow = scale.clients / 10;
    let seconds = scale.stall.as_secs();
    crowd.row(
        "slow readers",
        format!("{slow} of {} clients read nothing for {seconds} s; {spared} marks conflated", scale.clients),
    )
}

/// Peers that are gone without a word: processes that stand still, and sockets that nobody reads.
pub async fn half_open(crowd: &mut Crowd, scale: &Scale) -> Row {
    crowd.kill().await;
    // Whether nothing is pending for them, or so much that it does not fit the buffers on the way.
    crowd.set(&["clients.heartbeat=2s", "clients.stall_timeout=2s"]);
    crowd.come_back().await;
    crowd.guests.everyone_is_here().await;
    let gateway = crowd.gateway();
    let ended = "rosterd_sessions_closed_total";
    let mut processes: Vec<_> = (0..scale.half_open).map(|n| Standing::new(crowd, &name(n))).collect();
    let mut silent = Vec::new();
    for n in 0..scale.half_open {
        let mut client = Client::connect(&gateway.url(), Encoding::ALL[n % 2]).await.unwrap();
        client.login(&name(n), &mut Replica::default()).await.unwrap();
        silent.push(client);
    }
    crowd.guests.go(with_pauses(scale));
    for process in &mut processes {
        process.stop();
    }
    let gone = 2 * scale.half_open;
    gateway.until_metric(ended, "NO_HEARTBEAT", |count| count >= gone as f64).await;
    // Not others in their place.
    for n in 0..scale.half_open {
        let own = 1 + usize::from(n + scale.accounts < scale.clients);
        until_sessions(crowd, &name(n), own).await;
    }
    drop((processes, silent));
    crowd.rest().await;
    let faults = format!("{} stopped client processes and {} silent sockets, all found out", gone / 2, gone / 2);
    let row = crowd.row("half-open peers", faults);
    crowd.kill().await;
    crowd.set(&[]);
    crowd.come_back().await;
    crowd.guests.everyone_is_here().await;
    row
}

/// Waits until an account has no more sessions than these.
async fn until_sessions(crowd: &Crowd, account: &str, most: usize) {
    let begun = Instant::now();
    let mut backend = crowd.gateway().backend().await;
    loop {
        let path = format!("/v1/users/{account}/sessions");
        let answer = backend.request(Method::GET, &path, String::new()).await.unwrap();
        let there = answer["sessions"].as_array().unwrap().len();
        if there <= most {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{account} has {there} sessions: {answer}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Everyone comes back at once, to a gateway that has just started.
pub async fn storms(crowd: &mut Crowd, scale: &Scale) -> Row {
    let mut took = Vec::new();
    for _ in 0..scale.storms {
        crowd.guests.go(with_pauses(scale));
        crowd.guests.answers(1).await;
        crowd.kill().await;
        let gateway = crowd.start();
        crowd.check(&gateway).await;
        let begun = Instant::now();
        crowd.open(gateway);
        crowd.guests.everyone_is_here().await;
        took.push(begun.elapsed());
        crowd.rest().await;
    }
    let worst = took.into_iter().max().unwrap_or_default().as_millis();
    let faults = format!("{} × all {} at once, in sync after {worst} ms at most", scale.storms, scale.clients);
    crowd.row("storm", faults)
}

pub fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).expect("a process"), signal).expect("it runs");
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('T'))
}

/// A client in a process of its own that is to stand still. It would end if nobody held the other end of its output.
struct Standing(Child, #[expect(dead_code, reason = "held")] BufReader<ChildStdout>);

impl Standing {
    /// Logs in and waits until it says that it is in sync.
    fn new(crowd: &Crowd, account: &str) -> Self {
        let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
        command.args(["connect", account, "--url", &crowd.gateway().url(), "--config"]).arg(crowd.world.config());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let synced = output.by_ref().lines().map_while(Result::ok).any(|line| line.contains("in sync"));
        assert!(synced, "{account} did not log in");
        Self(process, output)
    }

    fn stop(&mut self) {
        send(self.0.id(), Signal::STOP);
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
