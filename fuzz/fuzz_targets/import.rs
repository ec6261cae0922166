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
    if !commands.is_empty() {
        let alike = are_alike(&commands);
        run(carry_out(commands, alike));
    }
});

/// Whether a second import must change nothing. A line that another contradicts would, so such an input is imported once.
fn are_alike(commands: &[Command]) -> bool {
    let said: Vec<_> = commands.iter().filter_map(says).collect();
    let distinct: BTreeSet<_> = said.iter().collect();
    let asks = commands.iter().any(|command| matches!(command, Command::AdoptRequest { .. }));
    // A block ends a request, which the second import makes anew.
    let blocks = commands.iter().any(|command| matches!(command, Command::Block { .. } | Command::AdoptBlock { .. }));
    said.len() == distinct.len() && !(asks && blocks)
}

/// What a line says something about that another may contradict.
fn says(command: &Command) -> Option<(u8, Account, Option<Account>)> {
    match command {
        Command::SetProfile { account, .. } | Command::AdoptUser { account, .. } => Some((0, account.clone(), None)),
        Command::AdoptFriend { account, peer, .. } => Some((1, account.clone(), Some(peer.clone()))),
        Command::AdoptCredential { account, .. } => Some((2, account.clone(), None)),
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
