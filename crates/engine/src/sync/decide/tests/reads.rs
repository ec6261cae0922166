//! The rows that commands read, and the times of those that they write.

use super::*;

fn hide(name: &str, invisible: bool) -> Command {
    Command::SetInvisible { account: account(name), invisible }
}

/// The table gives a command only the rows that it asked for.
#[test]
fn a_command_asks_for_the_rows_it_needs() {
    let (a, b) = (account("a"), account("b"));
    for command in [befriend("a", "b"), ask("a", "b"), accept("a", "b")] {
        assert_eq!(reads(&command).counts, [a.clone(), b.clone()], "{command:?}");
    }
    let read = reads(&block("a", "b"));
    assert_eq!((read.counts, read.presence), (vec![a.clone()], Some(a.clone())));
    let mut table = Table::with(&["a"]);
    for (invisible, outcome) in [(true, Outcome::Changed), (true, Outcome::Unchanged), (false, Outcome::Changed)] {
        assert_eq!(table.run(&hide("a", invisible), 2).unwrap().answer.outcome, outcome, "{invisible}");
    }
    assert_eq!(table.run(&hide("nobody", true), 2).unwrap_err().reason, Reason::NotFound);
}

#[test]
fn a_block_freezes_when_the_owner_was_seen() {
    let mut table = Table::with(&["a", "b"]);
    for (online, invisible, seen) in [(true, false, 50), (true, true, 7), (false, false, 7), (false, true, 7)] {
        let command = block("a", "b");
        let mut current = table.current(&reads(&command));
        current.presence = StoredPresence { online, invisible, last_seen: 7 };
        let decision = decide(&current, &command, 9, 50, &Visibility::default()).unwrap();
        let Row::Block { block, .. } = &decision.rows[0] else { panic!("{decision:?}") };
        assert_eq!(block.last_seen, seen, "online: {online}, invisible: {invisible}");
    }
    let mut current = table.current(&reads(&block("a", "b")));
    current.presence.last_seen = 7;
    let decision = decide(&current, &block("a", "b"), 9, 50, &Visibility::default()).unwrap();
    decision.rows.into_iter().for_each(|row| table.put(row));
    let decision = table.run(&unblock("a", "b"), 60).unwrap();
    let Row::Block { block, .. } = &decision.rows[0] else { panic!("{decision:?}") };
    assert_eq!((block.removed, block.last_seen, block.create_time, block.update_time), (true, 0, 50, 60));
}

#[test]
fn a_change_has_its_time_or_the_time_before_if_the_clock_was_set_back() {
    for (now, then) in [(200, 200), (50, 100)] {
        let mut table = Table::with(&["a", "b", "c"]);
        table.run(&set("a", "one"), 100).unwrap();
        let profile = table.run(&set("a", "two"), now).unwrap().answer.profile.unwrap();
        assert_eq!(profile.update_time, then);
        table.run(&befriend("a", "b"), 100).unwrap();
        let decision = table.run(&note("a", "b", "Bee"), now).unwrap();
        let [Row::Edge(edge)] = &decision.rows[..] else { panic!("{decision:?}") };
        assert_eq!((edge.create_time, edge.update_time), (100, then));
        table.run(&ask("a", "c"), 100).unwrap();
        let decision = table.run(&cancel("a", "c"), now).unwrap();
        let [Row::Request(sent), Row::Request(received)] = &decision.rows[..] else { panic!("{decision:?}") };
        assert_eq!((sent.create_time, sent.update_time), (100, then));
        assert_eq!((received.create_time, received.update_time), (100, then));
    }
}

/// A store may give more than the live rows: tombstones stay as they are.
#[test]
fn a_deletion_ends_what_is_live_and_nothing_else() {
    let table = Table::with(&["a"]);
    let command = Command::DeleteUser { account: account("a") };
    let mut current = table.current(&reads(&command));
    let edge = |owner: &str, peer: &str| Edge::new(account(owner), account(peer), 1, 1);
    current.edges = vec![edge("a", "b"), edge("c", "a"), Edge { removed: true, ..edge("a", "d") }];
    let decision = decide(&current, &command, 9, 50, &Visibility::default()).unwrap();
    let ended = decision.rows.iter().filter_map(|row| match row {
        Row::Edge(edge) if edge.removed => Some(format!("{} {}", edge.owner, edge.peer)),
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), ["a b", "b a", "c a"]);
}
