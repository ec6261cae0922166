//! What is exported from random stores and imported into empty ones is the same.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::history::{live_through, steps};
use super::rig::Place;
use crate::support::World;

/// Runs a subcommand on the store at a place, which no gateway uses.
fn run(world: &World, path: &Path, arguments: &[&str]) -> String {
    let url = format!("store.url=sqlite:{}", path.display());
    let all = [arguments, &["--set", &url, "--set", "ops.listen=127.0.0.1:1"]].concat();
    loop {
        let output = world.run(&all);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
        // A process that another test starts has a copy of every open file until it runs its own program.
        assert!(said.contains("is used by another"), "{arguments:?}: {said}");
    }
}

/// The records of an export, without what is not kept: versions, and the times of changes.
fn records(text: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.remove(0).get("snapshot").is_some());
    for record in lines.iter_mut().filter_map(|line| line.as_object_mut()?.values_mut().next()?.as_object_mut()) {
        record.remove("version");
        record.remove("updateTime");
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn what_is_exported_and_imported_is_the_same(history in prop::collection::vec(steps(), 20..80)) {
        let (world, one, other) = (World::new(), Place::sqlite(), Place::sqlite());
        Runtime::new().unwrap().block_on(live_through(&one, &history));
        let first = run(&world, &one.path(), &["export", "-", "--credentials"]);
        let file = world.path().join("export.ndjson");
        std::fs::write(&file, &first).unwrap();
        let file = file.to_str().unwrap();
        let imported = run(&world, &other.path(), &["import", file]);
        let count = first.lines().count() - 2;
        prop_assert!(imported.contains(&format!("\n{count} lines imported into the store")), "{}", imported);
        let second = run(&world, &other.path(), &["export", "-", "--credentials"]);
        prop_assert_eq!(records(&second), records(&first));
        let again = run(&world, &other.path(), &["import", file]);
        prop_assert!(again.contains(", 0 of them changed something"), "{}", again);
        prop_assert_eq!(other.miscounted(), Vec::<String>::new());
    }
}
