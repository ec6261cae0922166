//! Checks an import as a whole, before anything is written.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use super::archive_check::ArchiveCheck;
use super::edge_pairs::{EdgeSums, OddEdges};
use super::progress::progress;
use super::source::Source;
use super::source_line::SourceLine;
use crate::cli::CliError;
use rosterd_engine::model::{Account, Command};
use rosterd_protocol::{ArchiveLine, RecordKind, archive_line, import_line};

/// How many bad lines are shown.
const SHOWN: usize = 20;

/// What is known of an import all of whose lines can be read.
pub(super) struct CheckedLines {
    /// The number of lines to import.
    pub count: u64,
    /// Accounts that relations name but the import does not make, with the first line of each.
    pub unmade: BTreeMap<Account, u64>,
    /// Which phases have lines.
    pub phases: [bool; Command::IMPORT_PHASES],
    /// The first line with a token hash.
    pub credential: Option<u64>,
    /// The last line, if it is not whole and is left out.
    pub cut: Option<u64>,
}

/// Reads all lines. `is_partial` allows an export that is not whole.
pub(super) async fn check(source: &mut Source, is_partial: bool) -> Result<CheckedLines, CliError> {
    let bar = progress("checking", source.bytes());
    let mut lines = Lines::default();
    let each = async |line: SourceLine| {
        bar.inc(line.text.as_ref().map_or(0, |text| text.len() as u64 + 1));
        lines.line(line);
        Ok(())
    };
    source.read(each).await?;
    bar.finish_and_clear();
    let cut = lines.settle(is_partial);
    if lines.bad.is_empty() && lines.sums.is_odd() && !is_partial {
        let mut odd = OddEdges::default();
        let each = async |line: SourceLine| {
            if let Some(Ok(command)) = line.text.ok().map(|text| import_line(&text)) {
                odd.line(&lines.sums, line.number, command);
            }
            Ok(())
        };
        source.read(each).await?;
        lines.bad = odd.bad();
    }
    refuse(&lines.bad)?;
    let Lines { count, mut named, made, phases, credential, .. } = lines;
    named.retain(|account, _| !made.contains(account));
    Ok(CheckedLines { count, unmade: named, phases, credential, cut })
}

/// Refuses an import for its bad lines, if it has any.
pub(super) fn refuse(bad: &[(u64, String)]) -> Result<(), CliError> {
    if bad.is_empty() {
        return Ok(());
    }
    let mut text = format!("nothing was imported, {} bad line(s):", bad.len());
    for (number, message) in bad.iter().take(SHOWN) {
        let _ = write!(text, "\n  line {number}: {message}");
    }
    if bad.len() > SHOWN {
        let _ = write!(text, "\n  and {} more", bad.len() - SHOWN);
    }
    Err(CliError(text))
}

/// What was read so far.
#[derive(Default)]
struct Lines {
    bad: Vec<(u64, String)>,
    made: HashSet<Account>,
    named: BTreeMap<Account, u64>,
    count: u64,
    last: u64,
    phases: [bool; Command::IMPORT_PHASES],
    credential: Option<u64>,
    sums: EdgeSums,
    archive: ArchiveCheck,
}

impl Lines {
    fn line(&mut self, SourceLine { number, text }: SourceLine) {
        self.last = number;
        let taken = text.and_then(|text| match import_line(&text) {
            Ok(command) => self.command(number, command),
            Err(error) => match archive_line(&text) {
                Some(ArchiveLine::Begin(_)) => self.archive.begin(),
                Some(ArchiveLine::End(counts)) => self.archive.end(number, counts),
                _ => Err(error.message),
            },
        });
        if let Err(why) = taken {
            self.bad.push((number, why));
        }
    }

    fn command(&mut self, number: u64, command: Command) -> Result<(), String> {
        self.archive.record(RecordKind::of(&command))?;
        self.count += 1;
        self.phases[command.import_phase()] = true;
        match command {
            Command::AdoptFriend { account, peer, .. } => {
                self.sums.add(&account, &peer);
                self.name(number, [account, peer]);
            }
            Command::Befriend { account, peer }
            | Command::Block { account, peer, .. }
            | Command::AdoptBlock { account, peer, .. }
            | Command::AdoptRequest { account, peer, .. } => self.name(number, [account, peer]),
            Command::SetProfile { account, .. } | Command::AdoptUser { account, .. } => {
                self.made.insert(account);
            }
            Command::AdoptCredential { .. } => {
                self.credential.get_or_insert(number);
            }
            _ => {}
        }
        Ok(())
    }

    fn name(&mut self, number: u64, accounts: [Account; 2]) {
        for account in accounts {
            self.named.entry(account).or_insert(number);
        }
    }

    /// Judges the file as a whole. Returns the line at which a partial export was cut, if it was cut within one.
    fn settle(&mut self, is_partial: bool) -> Option<u64> {
        if !is_partial {
            let missing = self.archive.missing(self.last);
            // A last line that cannot be read is missing its rest, too.
            self.bad.extend(missing);
            return None;
        }
        let is_last = |(number, _): &(u64, String)| *number == self.last;
        if self.archive.is_cut() && self.bad.last().is_some_and(is_last) {
            self.bad.pop();
            return Some(self.last);
        }
        None
    }
}
