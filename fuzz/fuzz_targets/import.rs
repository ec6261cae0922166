//! Lines of an import, and the body of a batch: a readable input is carried out or refused as a whole, and importing it
//! again changes nothing.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use rosterd_engine::model::{Account, Command, WriteOrigin};
use rosterd_fuzz::{Kind, Node, in_time, run};
use rosterd_protocol::{batch, import_line};

fuzz_target!(|text: &str| {
    if let Ok(commands) = batch(text.as_bytes()) {
        assert!(commands.iter().all(|command| matches!(command, Command::SetProfile { .. })));
        run(carry_out(commands, false));
    }
    let mut commands = Vec::new();
    for line in text.lines() {
        match import_line(line) {
            Ok(command) => commands.push(command),
            Err(error) => assert!(error.reason.code() == 414 && !error.message.is_empty(), "{error}"),
        }
    }
    // The second import must change nothing. A line that a later one contradicts would, so such an input is imported once.
    let named: BTreeSet<_> = commands.iter().filter_map(profile_of).collect();
    let alike = commands.iter().filter_map(profile_of).count() == named.len();
    if !commands.is_empty() {
        run(carry_out(commands, alike));
    }
});

fn profile_of(command: &Command) -> Option<Account> {
    match command {
        Command::SetProfile { account, .. } => Some(account.clone()),
        _ => None,
    }
}

async fn carry_out(commands: Vec<Command>, again: bool) {
    let node = Node::start(Kind::default()).await;
    let changed = in_time("an import", node.service.import(commands.clone(), &WriteOrigin::Import)).await;
    if let Err((at, _)) = changed {
        assert!(at < commands.len());
        assert!(node.service.is_empty().await.expect("a store"), "half of it was done");
        return;
    }
    if again {
        assert_eq!(
            in_time("an import", node.service.import(commands, &WriteOrigin::Import)).await.ok(),
            Some(0),
            "it changed something again"
        );
    }
}
