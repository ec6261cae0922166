//! All sessions of a run, in one thread with one epoll loop.
//!
//! It connects, logs in, sends updates, reads frames and keeps the [ledger](super::ledger). A scenario decides when it
//! does what.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventFlags};
use rustix::fd::OwnedFd;

use super::frames::{self, CLOSE, PING, PONG, SentMark};
use super::graph::Graph;
use super::ledger::{Ledger, RecordArrival};
use super::returns::Returns;
use super::session::{BenchSession, SessionPhase};
use super::speech::{self, FrameKind};
use super::tally::{self, Tally};
use super::target::GatewayUrl;
use rosterd_client::{BACKOFF, Trust, random_wait};
use rosterd_protocol::Encoding;

/// How many bytes one read takes at most.
const CHUNK: usize = 128 * 1024;
/// How many sessions one round serves at most.
const EVENTS: usize = 1024;

/// The targets of the crowd, and its side of the protocol.
#[derive(Debug, Clone)]
pub struct Way {
    /// The gateways' client listeners. The users are spread over them in turn.
    pub gateways: Vec<GatewayUrl>,
    /// The certificates to accept, if the gateways speak TLS.
    pub trust: Option<Trust>,
    /// The encoding.
    pub encoding: Encoding,
    /// A token for each user.
    pub tokens: Vec<String>,
    /// Marks this run's updates.
    pub run: u32,
}

/// Counts of failures, with the first of them in words.
#[derive(Debug, Default)]
pub struct Trouble {
    /// Sessions that ended although the run did not end them.
    pub ended: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Logins whose `synced` named a wrong number of friends.
    pub miscounted: u64,
    first: Option<String>,
}

impl Trouble {
    /// The first that happened, in words.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.first.get_or_insert_with(what);
    }
}

/// The sessions of a run.
pub struct Crowd {
    way: Way,
    /// For each gateway.
    upgrades: Vec<String>,
    epoll: OwnedFd,
    events: Vec<Event>,
    chunk: Vec<u8>,
    sessions: Vec<BenchSession>,
    /// For each session, the gateway that it connects to.
    homes: Vec<usize>,
    began: Instant,
    live: u32,
    logging_in: u32,
    last_heard: u64,
    /// Who has had a reply since they were last asked; kept only for who wants to know.
    pub answered: Option<Vec<u32>>,
    /// Who comes back to other gateways. Without it, a session that ends is a failure.
    pub returns: Option<Returns>,
    /// The ledger.
    pub ledger: Ledger,
    /// The measurements.
    pub tally: Tally,
    /// The failures.
    pub trouble: Trouble,
    /// Sessions from this number on get small receive buffers.
    pub slow_from: u32,
}

impl Crowd {
    /// Makes a crowd in which no session is connected.
    ///
    /// # Errors
    /// The system has no epoll instance left.
    pub fn new(way: Way, graph: Graph) -> io::Result<Self> {
        let sessions = std::iter::repeat_with(BenchSession::away).take(graph.users() as usize).collect();
        let homes = (0..way.gateways.len()).cycle().take(graph.users() as usize).collect();
        let upgrade = |gateway: &GatewayUrl| frames::upgrade_request(&gateway.host, &gateway.path, way.encoding);
        Ok(Self {
            upgrades: way.gateways.iter().map(upgrade).collect(),
            way,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            chunk: vec![0; CHUNK],
            sessions,
            homes,
            began: Instant::now(),
            live: 0,
            logging_in: 0,
            last_heard: 0,
            answered: None,
            returns: None,
            ledger: Ledger::new(graph),
            tally: Tally::default(),
            trouble: Trouble::default(),
            slow_from: u32::MAX,
        })
    }

    /// Returns the nanoseconds since the crowd was made.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Counts the sessions that are logged in and up to date.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Counts the sessions that are connecting or logging in.
    #[must_use]
    pub fn logging_in(&self) -> u32 {
        self.logging_in
    }

    /// Returns whether this session is live and reads.
    #[must_use]
    pub fn is_active(&self, who: u32) -> bool {
        let session = &self.sessions[who as usize];
        session.phase == SessionPhase::Live && !session.is_stalled()
    }

    /// Returns when something was last read, in nanoseconds.
    #[must_use]
    pub fn last_heard(&self) -> u64 {
        self.last_heard
    }

    /// Starts a login, with the session's cursor if it has one.
    ///
    /// # Errors
    /// The system has no socket or port left.
    pub fn log_in(&mut self, who: u32) -> io::Result<()> {
        let now = self.now();
        let gateway = &self.way.gateways[self.gateway_of(who)];
        let tls = self.way.trust.as_ref().map(|trust| trust.connection(gateway.name())).transpose()?;
        let session = &mut self.sessions[who as usize];
        session.connect(gateway.address, tls, who, who >= self.slow_from, &self.epoll, now)?;
        self.logging_in += 1;
        Ok(())
    }

    /// Returns the number of the gateway that a session is at, or on its way to.
    #[must_use]
    pub fn gateway_of(&self, who: u32) -> usize {
        self.homes[who as usize]
    }

    /// Counts the sessions of a gateway.
    #[must_use]
    pub fn at_gateway(&self, gateway: usize) -> u32 {
        self.homes.iter().filter(|home| **home == gateway).count() as u32
    }

    /// Begins the logins of all sessions whose time to come back has come.
    pub fn come_back(&mut self) {
        let now = self.now();
        while let Some(who) = self.returns.as_mut().and_then(|returns| returns.next_due(now)) {
            if let Err(error) = self.log_in(who) {
                self.end(who, || format!("there is no socket: {error}"));
            }
        }
    }

    /// Drops every connection, as a network failure does.
    pub fn leave(&mut self) {
        self.sessions.iter_mut().for_each(BenchSession::leave);
        (self.live, self.logging_in) = (0, 0);
    }

    /// Drops every cursor, so that the next logins sync in full.
    pub fn forget(&mut self) {
        self.sessions.iter_mut().for_each(|session| session.cursor = None);
    }

    /// Stops a session from reading, or lets it read again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stall(&mut self, who: u32, stalled: bool) -> io::Result<()> {
        self.sessions[who as usize].stall(stalled, who, &self.epoll)
    }

    /// Sends an update by `who` that was due at `due`.
    pub fn update(&mut self, who: u32, due: u64) {
        let number = self.ledger.send(who, due);
        let mark = SentMark { run: self.way.run, sender: who, number };
        let now = self.now();
        let session = &mut self.sessions[who as usize];
        session.asked = now;
        speech::update(self.way.encoding, number.saturating_add(1), mark, &mut session.out);
        self.flush(who);
    }

    /// Waits for events, at most this long, and handles all that have come.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let wait = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() };
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let waited = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait));
        for event in &events {
            let (who, flags) = (event.data.u64() as u32, event.flags);
            self.ready(who, flags);
        }
        self.events = events;
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn ready(&mut self, who: u32, flags: EventFlags) {
        let bad = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let at = self.gateway_of(who);
        let session = &mut self.sessions[who as usize];
        match session.phase {
            SessionPhase::Away => return,
            SessionPhase::Connecting => {
                if let Some(error) = session.connect_error().filter(|_| bad) {
                    return self.end(who, || format!("cannot connect: {error}"));
                }
                session.phase = SessionPhase::Upgrading;
                session.out.extend_from_slice(self.upgrades[at].as_bytes());
            }
            _ => {}
        }
        if flags.contains(EventFlags::IN) || bad {
            self.read(who);
        }
        self.flush(who);
    }

    fn flush(&mut self, who: u32) {
        let session = &mut self.sessions[who as usize];
        if session.phase != SessionPhase::Away
            && let Err(error) = session.flush(who, &self.epoll)
        {
            self.end(who, || error.to_string());
        }
    }

    fn read(&mut self, who: u32) {
        let mut chunk = std::mem::take(&mut self.chunk);
        match self.sessions[who as usize].read(&mut chunk) {
            Ok(Some(count)) => self.take(who, &chunk[..count]),
            Ok(None) => {}
            Err(error) => self.end(who, || error.to_string()),
        }
        self.chunk = chunk;
    }

    fn take(&mut self, who: u32, bytes: &[u8]) {
        let now = self.now();
        self.last_heard = now;
        self.tally.bytes += bytes.len() as u64;
        let mut held = std::mem::take(&mut self.sessions[who as usize].partial);
        if held.is_empty() {
            let used = self.frames(who, bytes, now);
            held.extend_from_slice(&bytes[used..]);
        } else {
            held.extend_from_slice(bytes);
            let used = self.frames(who, &held, now);
            held.drain(..used);
        }
        self.sessions[who as usize].partial = held;
    }

    /// Handles every complete frame, and returns how many bytes they took.
    fn frames(&mut self, who: u32, bytes: &[u8], now: u64) -> usize {
        let mut used = 0;
        if self.sessions[who as usize].phase == SessionPhase::Upgrading {
            let Some(end) = frames::head_end(bytes) else { return 0 };
            self.upgraded(who, &bytes[..end]);
            used = end;
        }
        while self.sessions[who as usize].phase != SessionPhase::Away {
            match frames::first(&bytes[used..]) {
                Ok(Some(frame)) => {
                    let (start, end) = (used + frame.payload.start, used + frame.payload.end);
                    self.frame(who, frame.opcode, &bytes[start..end], now);
                    used = end;
                }
                Ok(None) => break,
                Err(what) => self.end(who, || what),
            }
        }
        used
    }

    fn upgraded(&mut self, who: u32, head: &[u8]) {
        if !head.starts_with(b"HTTP/1.1 101") {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            return self.end(who, || format!("the upgrade to a WebSocket was answered with {line:?}"));
        }
        let session = &mut self.sessions[who as usize];
        session.phase = SessionPhase::LoggingIn;
        let token = &self.way.tokens[who as usize];
        speech::login(self.way.encoding, token, session.cursor.as_deref(), &mut session.out);
    }

    fn frame(&mut self, who: u32, opcode: u8, payload: &[u8], now: u64) {
        match opcode {
            PING => frames::append(PONG, payload, &mut self.sessions[who as usize].out),
            PONG => {}
            CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                let word = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                self.end(who, || format!("closed by the gateway: {code} {word}"));
            }
            _ => self.message(who, payload, now),
        }
    }

    fn message(&mut self, who: u32, payload: &[u8], now: u64) {
        let encoding = self.way.encoding;
        let session = &mut self.sessions[who as usize];
        match (speech::kind(encoding, payload), session.phase) {
            (FrameKind::Changes, SessionPhase::Live) => self.changes(who, payload, now),
            // What a session missed while it was away.
            (FrameKind::Changes, SessionPhase::LoggingIn) if self.returns.is_some() => self.changes(who, payload, now),
            (FrameKind::LoginReply | FrameKind::Presence, phase) if self.returns.is_some() => {
                self.returning(who, phase, payload);
            }
            (FrameKind::Heartbeat, _) => {
                frames::append(frames::opcode(encoding), encoding.heartbeat(), &mut session.out);
            }
            (FrameKind::Synced, SessionPhase::LoggingIn) => self.synced(who, payload, now),
            (FrameKind::Reply, _) => {
                tally::record(&mut self.tally.replies, now.saturating_sub(session.asked));
                session.answered = now;
                self.answered.iter_mut().for_each(|answered| answered.push(who));
            }
            (FrameKind::Refused, phase) => self.refused(who, phase, payload),
            _ => {}
        }
    }

    fn changes(&mut self, who: u32, payload: &[u8], now: u64) {
        let (ledger, tally, sessions, homes) = (&mut self.ledger, &mut self.tally, &self.sessions, &self.homes);
        frames::marks(payload, self.way.run, |mark| {
            if let RecordArrival::New { after: Some(after), first, last } =
                ledger.arrive(mark.sender, who, mark.number, now)
            {
                tally::record(&mut tally.latencies, after);
                tally.timeline.count(now, after);
                let sender = &sessions[mark.sender as usize];
                // Of an earlier update it is not known any more when it was answered.
                if homes[mark.sender as usize] != homes[who as usize] && mark.number == ledger.last_sent(mark.sender) {
                    let answered = (sender.answered >= sender.asked).then_some(sender.answered);
                    tally::record(&mut tally.elsewhere, after);
                    tally::record(&mut tally.after_reply, answered.map_or(0, |answered| now.saturating_sub(answered)));
                }
                if first {
                    tally::record(&mut tally.firsts, after);
                }
                if last {
                    tally::record(&mut tally.lasts, after);
                }
            }
        });
    }

    fn synced(&mut self, who: u32, payload: &[u8], now: u64) {
        let frame = match self.way.encoding.decode_server(payload) {
            Ok(frame) => frame,
            Err(error) => return self.end(who, || format!("a frame that cannot be read: {}", error.0)),
        };
        let synced = frame.synced.unwrap_or_default();
        let friends = self.ledger.graph().friends(who).len();
        if synced.count as usize != friends {
            self.trouble.miscounted += 1;
            let token = &self.way.tokens[who as usize];
            self.trouble.note(|| format!("{token} has {} friends, and should have {friends}", synced.count));
        }
        if let Some(returns) = &mut self.returns {
            returns.is_back(who, friends as u32, now);
        }
        let session = &mut self.sessions[who as usize];
        session.cursor = Some(synced.cursor.into());
        session.phase = SessionPhase::Live;
        tally::record(&mut self.tally.logins, now.saturating_sub(session.began));
        self.tally.timeline.count(now, now.saturating_sub(session.began));
        (self.live, self.logging_in) = (self.live + 1, self.logging_in - 1);
    }

    /// Counts what those who come back and those who stayed see, but not those who come for the first time.
    fn returning(&mut self, who: u32, phase: SessionPhase, payload: &[u8]) {
        let encoding = self.way.encoding;
        let Some(returns) = self.returns.as_mut().filter(|returns| phase == SessionPhase::Live || returns.is_away(who))
        else {
            return;
        };
        let looked = match speech::kind(encoding, payload) {
            FrameKind::Presence => speech::presence(encoding, payload).map(|(on, off)| returns.saw(who, on, off)),
            _ => speech::is_full_sync(encoding, payload).map(|full| returns.full_syncs += u64::from(full)),
        };
        if let Err(why) = looked {
            self.end(who, || format!("a frame that cannot be read: {why}"));
        }
    }

    fn refused(&mut self, who: u32, phase: SessionPhase, payload: &[u8]) {
        let frame = self.way.encoding.decode_server(payload).unwrap_or_default();
        let error = frame.error.unwrap_or_default();
        let why = format!("{} {}: {}", error.code, error.reason, error.message);
        if phase == SessionPhase::LoggingIn {
            return self.end(who, || format!("the login was refused: {why}"));
        }
        self.trouble.refused += 1;
        self.trouble.note(|| format!("an update was refused: {why}"));
    }

    fn end(&mut self, who: u32, why: impl FnOnce() -> String) {
        let session = &mut self.sessions[who as usize];
        match session.phase {
            SessionPhase::Away => return,
            SessionPhase::Live => self.live -= 1,
            _ => self.logging_in -= 1,
        }
        session.leave();
        match self.will_return(who) {
            // This is what the scenario is about.
            Some(0) => {}
            Some(_) => self.trouble.note(why),
            None => {
                self.trouble.ended += 1;
                self.trouble.note(why);
            }
        }
    }

    /// Has a session whose gateway has ended come back to another one, as a client does behind a balancer that leaves out what
    /// is down. Returns how many attempts it has made; none if the session is to stay.
    fn will_return(&mut self, who: u32) -> Option<u32> {
        let (now, home, all) = (self.now(), self.homes[who as usize], self.way.gateways.len());
        let returns = self.returns.as_mut().filter(|_| all > 1)?;
        let attempts = returns.ended(who, home, now)?;
        let wait = random_wait(BACKOFF, attempts).as_nanos() as u64;
        returns.attempt_at(who, now + wait);
        // Each of the others gets as many.
        self.homes[who as usize] = (home + 1 + who as usize / all % (all - 1)) % all;
        Some(attempts)
    }
}
