//! Calls under lost answers, other devices, and callers that are gone.

use std::time::Duration;

use super::*;

const NICK: u64 = 1;

struct Rig {
    calls: PendingCalls,
    replica: Replica,
    sent: Vec<(u64, ClientCommand)>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self { calls: PendingCalls::new("alice"), replica: Replica::default(), sent: Vec::new() };
        rig.holds("old", 5);
        rig
    }

    fn holds(&mut self, nick: &str, version: u64) {
        let me = v1::User { account: "alice".to_owned(), nick: nick.to_owned(), version, ..Default::default() };
        let changes = v1::Changes { me: Some(me), ..Default::default() };
        self.replica.apply(&v1::ServerFrame { changes: Some(changes.into()), ..Default::default() }).unwrap();
    }

    fn call(&mut self, command: ClientCommand) -> oneshot::Receiver<CallResult> {
        let (reply, result) = oneshot::channel();
        self.calls.add(PendingCall::new(command, Instant::now() + Duration::from_mins(1), None, reply));
        self.flush();
        result
    }

    fn nick(&mut self, nick: &str) -> oneshot::Receiver<CallResult> {
        self.call(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() }))
    }

    fn flush(&mut self) {
        let Self { calls, replica, sent } = self;
        calls.flush(replica, &mut |id, command| sent.push((id, command)));
    }

    /// The connection is lost, and the next one has caught up.
    fn comes_back(&mut self) {
        self.calls.interrupted(&self.replica);
        self.sent.clear();
        let Self { calls, replica, sent } = self;
        calls.caught_up(replica);
        calls.reconsider(replica, &mut |id, command| sent.push((id, command)));
        calls.deliver();
    }

    fn refused(&mut self, id: u64, code: u32) {
        let error = v1::Error { code, ..Default::default() };
        self.calls.settle(&v1::ServerFrame { id, error: Some(error), ..Default::default() }, &self.replica, true);
        self.calls.deliver();
    }

    /// The base that each command in flight rests on.
    fn bases(&self) -> Vec<(u64, Option<u64>)> {
        let base = |command: &ClientCommand| match command {
            ClientCommand::UpdateMyInfo(update) => update.if_version,
            ClientCommand::Block(block) => block.if_version,
            _ => None,
        };
        self.sent.iter().map(|(id, command)| (*id, base(command))).collect()
    }
}

fn reason(result: &mut oneshot::Receiver<CallResult>) -> String {
    result.try_recv().unwrap().unwrap_err().reason
}

#[test]
fn a_lost_answer_is_settled_by_what_is_held() {
    let mut rig = Rig::new();
    let mut done = rig.nick("new");
    rig.holds("new", 6);
    rig.comes_back();
    let reply = done.try_recv().unwrap().unwrap();
    assert_eq!(reply.update_my_info_reply.unwrap().user.unwrap().version, 6);

    let mut rig = Rig::new();
    let mut superseded = rig.nick("new");
    rig.holds("another device's", 6);
    rig.comes_back();
    assert_eq!(reason(&mut superseded), "SUPERSEDED");
}

#[test]
fn what_was_not_carried_out_is_sent_again_for_its_version_only() {
    let mut rig = Rig::new();
    let mut call = rig.nick("new");
    rig.comes_back();
    assert_eq!(rig.bases(), [(NICK, Some(5))]);
    rig.refused(NICK, 412);
    assert!(call.try_recv().is_err(), "the change may come after the answer");
    rig.holds("another device's", 6);
    rig.calls.applied(&rig.replica, false);
    rig.calls.deliver();
    assert_eq!(reason(&mut call), "SUPERSEDED");
}

#[test]
fn commands_about_one_record_keep_their_order() {
    let mut rig = Rig::new();
    let (mut first, mut second) = (rig.nick("one"), rig.nick("two"));
    rig.comes_back();
    assert_eq!(rig.bases(), [(NICK, Some(5))], "the second waits");
    rig.holds("one", 6);
    let reply = v1::ServerFrame { id: NICK, update_my_info_reply: Some(Box::default()), ..Default::default() };
    rig.calls.settle(&reply, &rig.replica, true);
    let Rig { calls, replica, sent } = &mut rig;
    calls.reconsider(replica, &mut |id, command| sent.push((id, command)));
    assert_eq!(rig.bases(), [(NICK, Some(5)), (NICK + 1, Some(6))], "and rests on the first");
    rig.calls.deliver();
    assert!(first.try_recv().unwrap().is_ok() && second.try_recv().is_err());
}

#[test]
fn what_only_reads_is_repeated_and_what_means_another_thing_is_not() {
    let mut rig = Rig::new();
    let mut read = rig.call(ClientCommand::GetSessions(v1::GetSessions {}));
    let mut signal = rig.call(ClientCommand::Signal(v1::Signal::default()));
    let fixed = v1::UpdateMyInfo { nick: Some("x".to_owned()), if_version: Some(5), ..Default::default() };
    let mut update = rig.call(ClientCommand::UpdateMyInfo(fixed));
    rig.comes_back();
    assert_eq!(rig.bases(), [(1, None)]);
    assert!(read.try_recv().is_err());
    assert_eq!([reason(&mut signal), reason(&mut update)], ["CONNECTION_LOST", "CONNECTION_LOST"]);
}

#[test]
fn a_first_block_that_another_one_preceded_is_lost() {
    let mut rig = Rig::new();
    let mut block = rig.call(ClientCommand::Block(v1::Block { account: "bob".to_owned(), if_version: None }));
    rig.comes_back();
    assert_eq!(rig.bases(), [(1, Some(0))]);
    rig.refused(1, 412);
    assert_eq!(reason(&mut block), "CONNECTION_LOST");
}

#[test]
fn a_call_that_was_dropped_before_it_was_sent_is_not_sent() {
    let mut rig = Rig::new();
    let (reply, result) = oneshot::channel();
    rig.calls.add(PendingCall::new(ClientCommand::Signal(v1::Signal::default()), Instant::now(), None, reply));
    drop(result);
    rig.flush();
    assert!(rig.sent.is_empty() && !rig.calls.are_waiting());
}

#[test]
fn time_runs_out_for_calls_with_and_without_a_connection() {
    let mut rig = Rig::new();
    let now = Instant::now();
    let (reply, mut waits) = oneshot::channel();
    rig.calls.add(PendingCall::new(ClientCommand::Signal(v1::Signal::default()), now, Some(now), reply));
    assert_eq!(rig.calls.next_time(), Some(now));
    assert!(!rig.calls.expire(now, &rig.replica));
    rig.calls.deliver();
    let error = waits.try_recv().unwrap().unwrap_err();
    assert_eq!((error.code, error.reason.as_str(), error.message.as_str()), (408, "TIMEOUT", "no connection in time"));
}

/// A change that waits for a connection, for the version that is held.
fn keep(rig: &mut Rig, edit: u64, nick: &str) -> oneshot::Receiver<CallResult> {
    let (reply, result) = oneshot::channel();
    let update = v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() };
    let version = rig.replica.me().map(|me| me.version);
    let call = PendingCall::new(ClientCommand::UpdateMyInfo(update), Instant::now(), None, reply);
    rig.calls.add(call.keeping(edit, version));
    rig.flush();
    result
}

#[test]
fn a_change_that_waits_is_sent_after_a_catch_up_for_its_version_also_without_its_caller() {
    let mut rig = Rig::new();
    let (first, mut second) = (keep(&mut rig, 1, "one"), keep(&mut rig, 2, "two"));
    drop(first);
    assert!(rig.sent.is_empty(), "nothing is sent before it is known what is held");
    rig.comes_back();
    assert_eq!(rig.bases(), [(NICK, Some(5))]);
    rig.holds("one", 6);
    let reply = v1::ServerFrame { id: NICK, update_my_info_reply: Some(Box::default()), ..Default::default() };
    rig.calls.settle(&reply, &rig.replica, true);
    assert_eq!(rig.calls.ended_edits(), [(1, EditEnd::Over)]);
    assert_eq!(rig.calls.bases().collect::<Vec<_>>(), [(2, Some(6))], "the second rests on the first");
    assert!(rig.calls.deliver().is_empty() && second.try_recv().is_err());
    rig.holds("another device's", 7);
    rig.comes_back();
    assert_eq!(reason(&mut second), "SUPERSEDED");
}

#[test]
fn a_change_that_waits_fails_aloud_without_its_caller_and_waits_on_after_an_end() {
    let mut rig = Rig::new();
    let mut ended = keep(&mut rig, 1, "one");
    rig.calls.fail(&RosterdError::disconnected());
    assert_eq!(rig.calls.ended_edits(), [(1, EditEnd::Waits)]);
    rig.calls.deliver();
    assert_eq!(reason(&mut ended), "DISCONNECTED");
    drop(keep(&mut rig, 2, "two"));
    rig.holds("another device's", 6);
    rig.calls.interrupted(&rig.replica);
    rig.calls.reconsider(&rig.replica, &mut |_, _| panic!("nothing is sent"));
    assert_eq!(rig.calls.deliver().into_iter().map(|error| error.reason).collect::<Vec<_>>(), ["SUPERSEDED"]);
}

#[test]
fn a_change_that_shows_is_over_when_its_caller_is_gone_or_its_call_fails() {
    let mut rig = Rig::new();
    let show = |rig: &mut Rig, edit: u64| {
        let (reply, result) = oneshot::channel();
        let call =
            PendingCall::new(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo::default()), Instant::now(), None, reply);
        rig.calls.add(call.showing(edit));
        result
    };
    drop(show(&mut rig, 1));
    rig.calls.drop_abandoned();
    assert_eq!((rig.calls.ended_edits(), rig.calls.are_waiting()), (vec![(1, EditEnd::Over)], false));
    let mut late = show(&mut rig, 2);
    rig.calls.expire(Instant::now(), &rig.replica);
    assert_eq!(rig.calls.ended_edits(), [(2, EditEnd::Over)]);
    rig.calls.deliver();
    assert_eq!(reason(&mut late), "TIMEOUT");
}
