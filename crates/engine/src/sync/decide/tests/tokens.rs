//! Revocation and static tokens.

use super::*;

#[test]
fn a_revocation_stays_and_ends_an_older_static_token() {
    let mut table = Table::default();
    table.run(&set("a", "x"), 1).unwrap();
    let credential = |table: &Table| table.credentials.get(&account("a")).cloned().unwrap_or_default();
    assert_eq!(table.refused(&token("b", Some(1))), (Reason::NotFound, None));
    assert_eq!(table.run(&token("a", Some(1)), 5).unwrap().answer.outcome, Outcome::Created);
    assert_eq!(table.run(&token("a", Some(2)), 6).unwrap().answer.outcome, Outcome::Changed);
    // A token issued at that time, or later, is good.
    table.run(&revoke("a", 6), 7).unwrap();
    assert_eq!(credential(&table).token.map(|token| token.issued), Some(6));
    table.run(&revoke("a", 9), 8).unwrap();
    assert_eq!(credential(&table), Credential { revoked_before: 9, token: None });
    assert_eq!(table.run(&revoke("a", 8), 10).unwrap().answer.outcome, Outcome::Unchanged);
    // Set in the very millisecond of the revocation, it is good all the same.
    table.run(&token("a", Some(3)), 8).unwrap();
    assert_eq!(credential(&table).token.map(|token| token.issued), Some(9));
    table.run(&Command::DeleteUser { account: account("a") }, 11).unwrap();
    assert_eq!(credential(&table), Credential { revoked_before: 9, token: None });
    // A revocation does not need the account.
    assert_eq!(table.run(&revoke("b", 3), 4).unwrap().answer.outcome, Outcome::Changed);
    assert_eq!(table.run(&set("c", "x"), 1).and_then(|_| table.run(&token("c", None), 1)).unwrap().rows, []);
}

#[test]
fn a_revocation_is_never_later_than_now_and_the_next_one_corrects_one_that_was() {
    let mut table = Table::default();
    let credential = |table: &Table| table.credentials.get(&account("a")).cloned().unwrap_or_default();
    table.run(&set("a", "x"), 1).unwrap();
    table.run(&revoke("a", 99_999), 100).unwrap();
    assert_eq!(credential(&table).revoked_before, 101);
    // By a clock that was ahead, and then a static token.
    table.run(&revoke("a", 5000), 5000).unwrap();
    table.run(&token("a", Some(1)), 200).unwrap();
    assert_eq!(credential(&table).token.map(|token| token.issued), Some(5000));
    // Whatever time is asked for, tokens that can have been issued stay revoked; those of the future do not.
    assert_eq!(table.run(&revoke("a", 50), 300).unwrap().answer.outcome, Outcome::Changed);
    assert_eq!(credential(&table), Credential { revoked_before: 301, token: None });
    assert_eq!(table.run(&revoke("a", 50), 300).unwrap().answer.outcome, Outcome::Unchanged);
}
