//! The rows that commands read, and the times of those that they write.

use super::*;
use crate::model::{LastChange, SeenChanges, SeenPresence};

/// The table gives a command only the rows that it asked for.
#[test]
fn a_command_asks_for_the_rows_it_needs() {
    let (a, b) = (account("a"), account("b"));
    for command in [befriend("a", "b"), ask("a", "b"), accept("a", "b")] {
        assert_eq!(reads(&command).counts, [a.clone(), b.clone()], "{command:?}");
    }
    let read = reads(&block("a", "b"));
    assert_eq!((read.counts, read.presence), (vec![a.clone()], Some(a.clone())));
    let read = reads(&unblock("a", "b"));
    assert_eq!((read.frozen, read.presence), (Some((a.clone(), b)), Some(a)));
    let mut table = Table::with(&["a"]);
    for (invisible, outcome) in [(true, Outcome::Changed), (true, Outcome::Unchanged), (false, Outcome::Changed)] {
        assert_eq!(table.run(&hide("a", invisible), 2).unwrap().answer.outcome, outcome, "{invisible}");
    }
    assert_eq!(table.run(&hide("nobody", true), 2).unwrap_err().reason, Reason::NotFound);
}

/// Runs a command when friends see the owner so; returns the block.
fn block_row(table: &mut Table, command: &Command, now: Millis, presence: StoredPresence) -> Block {
    let current = CurrentRows { presence, ..table.current(&reads(command)) };
    table.revision += 1;
    let decision = decide(&current, command, table.revision, now, &table.visibility).unwrap();
    decision.rows.iter().for_each(|row| table.put(row.clone()));
    let Row::Block { block, .. } = &decision.rows[0] else { panic!("{decision:?}") };
    assert!(decision.rows.iter().all(|row| !matches!(row, Row::Edge(_))), "the peer's edge stays as it is");
    block.clone()
}

fn seen(online: bool, last_seen: Millis, invisible: bool) -> StoredPresence {
    let chosen = ChosenPresence { hides: invisible, version: 0, status: None };
    StoredPresence { chosen, seen: SeenPresence { online, last_seen } }
}

#[test]
fn a_block_begins_with_what_friends_see_and_ends_like_a_return() {
    let shown = |online, last_seen| Some(SeenPresence { online, last_seen });
    for (before, after, expected) in [
        // She is there when it ends, and seems to come then.
        (shown(false, 50), seen(true, 7, false), shown(true, 90)),
        // She hides, is away, or came back before he saw her go.
        (shown(false, 50), seen(true, 7, true), shown(false, 50)),
        (shown(false, 50), seen(false, 80, false), shown(false, 50)),
        (shown(true, 7), seen(true, 7, false), None),
        // What he sees is what everybody sees.
        (shown(false, 50), seen(false, 50, false), None),
    ] {
        let mut table = Table::with(&["a", "b"]);
        table.run(&befriend("a", "b"), 1).unwrap();
        let begun = block_row(&mut table, &block("a", "b"), 50, seen(true, 7, false));
        assert_eq!((begun.removed, begun.presence, begun.views), (false, shown(true, 7), None));
        table.blocks.get_mut(&(account("a"), account("b"))).unwrap().presence = before;
        let ended = block_row(&mut table, &unblock("a", "b"), 90, after.clone());
        let times = (ended.create_time, ended.update_time);
        assert_eq!((ended.removed, ended.presence, times), (true, expected, (50, 90)), "{before:?} {after:?}");
        // Another block goes on from there.
        let again = block_row(&mut table, &block("a", "b"), 95, after.clone());
        assert_eq!(again.presence, Some(expected.unwrap_or(after.seen)));
    }
    // Who does not list her sees nothing of it.
    let mut table = Table::with(&["a", "b"]);
    block_row(&mut table, &block("a", "b"), 50, seen(true, 7, false));
    assert_eq!(block_row(&mut table, &unblock("a", "b"), 90, seen(true, 70, false)).presence, None);
}

#[test]
fn what_changed_during_a_block_is_one_change_at_its_end_and_what_did_not_is_none() {
    let mut table = Table::with(&["a", "b"]);
    table.visibility = Visibility { tel: Audience::Friends, ..Visibility::default() };
    let tel = |text: &str| Command::SetProfile {
        account: account("a"),
        patch: Fields { tel: Some(text.into()), ..Fields::default() }.check().unwrap(),
        create: false,
        if_version: None,
    };
    let profile = |table: &Table| table.users[&account("a")].clone();
    let first = profile(&table);
    table.run(&befriend("a", "b"), 1).unwrap();
    block_row(&mut table, &block("a", "b"), 50, StoredPresence::default());
    table.run(&tel("5"), 60).unwrap();
    let ended = block_row(&mut table, &unblock("a", "b"), 90, StoredPresence::default());
    let views = ended.views.unwrap();
    assert_eq!(views.friends, LastChange { version: ended.version, time: 90 });
    assert_eq!(views.everyone, first.everyone);
    assert!(ended.brings_profile(Audience::Friends) && !ended.brings_profile(Audience::Everyone));
    let now = profile(&table);
    assert_eq!(ended.last_change(&now, Audience::Friends), Some(views.friends));
    // A copy of another block keeps that, and so do its changes back and forth.
    block_row(&mut table, &block("a", "b"), 100, StoredPresence::default());
    let frozen = table.frozen[&(account("a"), account("b"))].clone();
    assert_eq!((frozen.friends, frozen.everyone), (views.friends, views.everyone));
    table.run(&tel("6"), 110).unwrap();
    table.run(&tel("5"), 120).unwrap();
    let ended = block_row(&mut table, &unblock("a", "b"), 130, StoredPresence::default());
    assert_eq!(ended.views, Some(SeenChanges { friends: views.friends, everyone: first.everyone }));
    assert!(!ended.brings_profile(Audience::Friends));
    // The next change ends it.
    table.run(&tel("7"), 140).unwrap();
    assert_eq!(ended.last_change(&profile(&table), Audience::Friends), None);
    assert_eq!(ended.last_change(&profile(&table), Audience::Everyone), Some(first.everyone));
    // Without a change there is nothing to keep, nor for one that sees none of it.
    for change in [false, true] {
        let mut table = Table::with(&["a", "b"]);
        table.visibility = Visibility { tel: Audience::Friends, ..Visibility::default() };
        block_row(&mut table, &block("a", "b"), 50, StoredPresence::default());
        if change {
            table.run(&tel("5"), 60).unwrap();
        }
        assert_eq!(block_row(&mut table, &unblock("a", "b"), 90, StoredPresence::default()).views, None);
    }
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
