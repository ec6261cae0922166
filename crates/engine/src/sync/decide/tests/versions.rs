//! Commands that rest on a version: an old one must not undo what was written since.

use super::*;

fn at_version(table: &mut Table, command: &Command, version: u64) -> Result<Outcome, RequestError> {
    table.run(&if_version(command.clone(), version), 9).map(|decision| decision.answer.outcome)
}

fn is_stale(result: &Result<Outcome, RequestError>) -> bool {
    let Err(error) = result else { return false };
    (error.reason, error.field.as_deref()) == (Reason::VersionMismatch, Some("ifVersion"))
}

#[test]
fn notes_about_a_friend_rest_on_the_version_of_the_edge() {
    let mut table = Table::with(&["a", "b", "c"]);
    table.run(&befriend("a", "b"), 1).unwrap();
    let made = table.revision;
    table.run(&note("a", "b", "newer"), 1).unwrap();
    for stale in [0, made, made + 9] {
        assert!(is_stale(&at_version(&mut table, &note("a", "b", "old"), stale)), "{stale}");
    }
    // The profile's version is another one, and so is the version of the other side's edge.
    assert_eq!(table.edges[&pair("b", "a")].version, made);
    assert_eq!(at_version(&mut table, &note("a", "b", "newest"), made + 1), Ok(Outcome::Changed));
    assert_eq!(&*table.edges[&pair("a", "b")].alias, "newest");
    assert_eq!(at_version(&mut table, &note("a", "c", "x"), 0).unwrap_err().reason, Reason::NotFound);
}

#[test]
fn blocks_and_their_ends_rest_on_each_other() {
    let mut table = Table::with(&["a", "b"]);
    let (block, unblock) = (block("a", "b"), unblock("a", "b"));
    assert!(is_stale(&at_version(&mut table, &block, 7)), "there was none");
    assert_eq!(at_version(&mut table, &block, 0), Ok(Outcome::Created));
    let first = table.revision;
    // Another device ends the block and makes another.
    table.run(&unblock, 2).unwrap();
    let ended = table.revision;
    assert!(is_stale(&at_version(&mut table, &block, 0)));
    assert!(is_stale(&at_version(&mut table, &block, first)));
    table.run(&block, 3).unwrap();
    let second = table.revision;
    for stale in [0, first, ended] {
        assert!(is_stale(&at_version(&mut table, &unblock, stale)), "{stale}");
    }
    assert_eq!(at_version(&mut table, &unblock, second), Ok(Outcome::Changed));
    assert_eq!(at_version(&mut table, &block, second + 1), Ok(Outcome::Created));
}

#[test]
fn hiding_rests_on_a_version_of_its_own() {
    let mut table = Table::with(&["a"]);
    assert!(is_stale(&at_version(&mut table, &hide("a", true), 1)), "the profile's version is another one");
    assert_eq!(at_version(&mut table, &hide("a", true), 0), Ok(Outcome::Changed));
    let hidden = table.chosen[&account("a")].clone();
    assert_eq!(hidden, ChosenPresence { hides: true, version: table.revision, status: None });
    table.run(&set("a", "y"), 2).unwrap();
    assert_eq!(at_version(&mut table, &hide("a", false), hidden.version), Ok(Outcome::Changed));
    assert!(is_stale(&at_version(&mut table, &hide("a", true), hidden.version)));
    assert!(is_stale(&at_version(&mut table, &hide("a", true), 0)));
}

/// What is in effect already is done, whoever did it: there is nothing that it could undo.
#[test]
fn what_is_in_effect_already_is_no_mismatch() {
    let mut table = Table::with(&["a", "b"]);
    assert_eq!(at_version(&mut table, &unblock("a", "b"), 3), Ok(Outcome::Unchanged));
    assert_eq!(at_version(&mut table, &hide("a", false), 3), Ok(Outcome::Unchanged));
    table.run(&block("a", "b"), 1).unwrap();
    table.run(&hide("a", true), 1).unwrap();
    let before = table.revision;
    assert_eq!(at_version(&mut table, &block("a", "b"), 0), Ok(Outcome::Unchanged));
    assert_eq!(at_version(&mut table, &hide("a", true), 0), Ok(Outcome::Unchanged));
    assert_eq!(table.revision, before);
}
