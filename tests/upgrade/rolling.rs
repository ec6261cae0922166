//! A rolling upgrade: one gateway after the other is replaced, and no client notices more than that it has to come back.

use crate::builds::{Version, old_commit};
use crate::fleet::Fleet;
use crate::table::Table;
use crate::{ALONE, skipped};

const SCHEMA: &str = "SELECT schema FROM rosterd.meta";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_replaces_one_gateway_after_the_other_under_writes_and_loses_nothing() {
    let _alone = ALONE.lock().await;
    let Some(mut fleet) = Fleet::gather(&[Version::Old; 2], "upgrade").await else { return skipped() };
    let mut table = Table(Vec::new());
    fleet.serves().await;
    fleet.rest().await;
    table.add(fleet.crowd.row("two old ones", &format!("none; both of {}", &old_commit()[..7])));
    let before = fleet.crowd.sql(SCHEMA);
    // One that cannot join changes nothing, and an old one may start again after it.
    let said = fleet.refused(Version::Today, &["presence.linger=3s"]);
    assert!(said.contains("presence.linger=3000ms: give all of them the same"), "{said}");
    let said = fleet.refused(Version::Today, &["profile.visibility.tel=self"]);
    assert!(said.contains("profile.visibility"), "{said}");
    table.add(fleet.replace(0, Version::Old).await);
    assert_eq!(fleet.crowd.sql(SCHEMA), before);

    table.add(fleet.replace(0, Version::Today).await);
    let after = fleet.crowd.sql(SCHEMA);
    assert!(after.parse::<u32>().unwrap() > before.parse().unwrap(), "it was {before} and is {after}");
    assert_old_and_new(&fleet, &before, &after);

    table.add(fleet.replace(1, Version::Today).await);
    let said = fleet.refused(Version::Old, &[]);
    assert!(said.contains(&format!("its schema has version {after}")), "{said}");
    let events = fleet.end().await;
    println!("a backend that follows the feed: {events} events, each once and in order");
    println!("\n{table}");
}

/// While one gateway is old and the other today's: neither the one nor the other can be made more of, or be changed, in a way
/// that the documentation does not allow.
fn assert_old_and_new(fleet: &Fleet, before: &str, after: &str) {
    let said = fleet.refused(Version::Old, &[]);
    let wanted =
        format!("its schema has version {after}, this rosterd knows versions up to {before}: use a newer rosterd");
    assert!(said.contains(&wanted), "{said}");
    // Who sees what cannot be changed for a gateway that would not hear of it.
    let store = fleet.crowd.settings(0);
    let arguments: Vec<_> = ["rules", "apply", "--set", "profile.visibility.tel=self"]
        .into_iter()
        .chain(store.iter().flat_map(|pair| ["--set", pair.as_str()]))
        .collect();
    let said = tokio::task::block_in_place(|| Version::Today.world().run_badly(&arguments));
    assert!(said.contains("has a version that takes no rules over while it runs: upgrade it first"), "{said}");
}
