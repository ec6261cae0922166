//! Checks an import, and writes it.
//!
//! The whole of it is checked before anything is written: every line, and that the import or the store has each account
//! that a relation names. Then the lines are written in pieces of one transaction each; importing again changes only
//! what differs. They go through the gateway if one runs, and otherwise directly to the store.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use hyper::Method;
use indicatif::ProgressBar;

use super::check::{CheckedLines, check, refuse};
use super::progress::progress;
use super::source::Source;
use super::source_line::SourceLine;
use crate::api::IMPORT_BYTES;
use crate::app::Core;
use crate::cli::{CliError, reachable, runtime, say, trust};
use crate::config::{Config, StoreUrl};
use crate::keys::Scope;
use rosterd_client::{Backend, BackendError};
use rosterd_engine::model::limits::ACCOUNTS_PER_BATCH;
use rosterd_engine::model::{Account, Command, WriteOrigin};
use rosterd_protocol::{archive_line, v1};

/// The most lines of a transaction: few enough for the writes of clients to get their turn in between.
const PIECE: usize = 500;
/// The most bytes of a transaction, which a gateway takes as one body.
const PIECE_BYTES: usize = IMPORT_BYTES / 2;

/// Imports a file, or standard input if it is named `-`.
///
/// # Errors
/// It cannot be read or has bad lines, and nothing is imported; or the gateway or the store fails, and the pieces
/// before that stay, as the message says.
pub fn run(config: &Config, file: &Path, is_partial: bool) -> Result<(), CliError> {
    runtime()?.block_on(async {
        let mut source = Source::open(file)?;
        let checked = check(&mut source, is_partial).await?;
        let mut target = ImportTarget::find(config).await?;
        say(&format!("importing {target}"))?;
        let imported = import(&mut target, &mut source, checked).await;
        target.close().await;
        say(&imported?)
    })
}

/// The destination of the lines.
enum ImportTarget {
    Gateway(Backend, SocketAddr),
    Store { core: Core, url: StoreUrl, is_new: bool },
}

impl fmt::Display for ImportTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(_, address) => write!(f, "through the gateway at {address}"),
            Self::Store { url, .. } => write!(f, "into the store {url}"),
        }
    }
}

impl ImportTarget {
    async fn find(config: &Config) -> Result<Self, CliError> {
        let trust = trust(config.ops.tls_files().as_ref())?;
        let key = config.ops.own_key(&[Scope::Read, Scope::Write]);
        let address = reachable(config.ops.listen);
        if let Ok(backend) = Backend::connect_trusting(address, key, trust.as_ref()).await {
            return Ok(Self::Gateway(backend, address));
        }
        let url = config.store.url.clone();
        let is_new = matches!(&url, StoreUrl::Sqlite(path) if !path.exists());
        Ok(Self::Store { core: Core::open(config).map_err(CliError::of)?, url, is_new })
    }

    fn is_new(&self) -> bool {
        matches!(self, Self::Store { is_new: true, .. })
    }

    /// Returns those of these accounts that do not exist.
    async fn missing(&mut self, accounts: &[String]) -> Result<Vec<String>, CliError> {
        match self {
            Self::Gateway(backend, _) => {
                let body = serde_json::json!({"accounts": accounts}).to_string();
                let answer = backend.request(Method::POST, "/v1/users:batchGet", body).await.map_err(CliError::of)?;
                let reply: v1::GetUsersReply = serde_json::from_value(answer).map_err(CliError::of)?;
                Ok(reply.missing)
            }
            Self::Store { core, .. } => {
                let (_, missing) = core.service.get_users(accounts).await.map_err(CliError::of)?;
                Ok(missing.iter().map(ToString::to_string).collect())
            }
        }
    }

    /// Imports one piece, and returns how many of its lines changed something.
    async fn import(&mut self, piece: &[ImportLine]) -> Result<usize, CliError> {
        let at_line = |at: usize, why: &str| CliError(format!("line {}: {why}", piece[at].number));
        match self {
            Self::Gateway(backend, _) => {
                let lines: Vec<_> = piece.iter().map(|line| line.text.as_str()).collect();
                match backend.request(Method::POST, "/v1/import", lines.join("\n")).await {
                    Ok(answer) => Ok(answer["changed"].as_u64().unwrap_or_default() as usize),
                    Err(BackendError::Refused(error)) => Err(match refused_line(&error) {
                        Some((at, why)) if at < piece.len() => at_line(at, why),
                        _ => CliError(error.message),
                    }),
                    Err(error) => Err(CliError::of(error)),
                }
            }
            Self::Store { core, .. } => {
                let commands =
                    piece.iter().map(|line| rosterd_protocol::import_line(&line.text)).collect::<Result<_, _>>();
                let imported = core.service.import(commands.map_err(CliError::of)?, &WriteOrigin::Import).await;
                imported.map_err(|(at, error)| at_line(at, &error.message))
            }
        }
    }

    async fn close(self) {
        if let Self::Store { core, .. } = self {
            core.close().await;
        }
    }
}

/// Returns the line of a request that a gateway refused, counted from 0, and the reason.
fn refused_line(error: &v1::Error) -> Option<(usize, &str)> {
    let field = error.field.as_deref()?;
    let number: usize = field.strip_prefix("line ")?.parse().ok()?;
    let why = error.message.strip_prefix(field)?.strip_prefix(": ")?;
    Some((number.checked_sub(1)?, why))
}

/// A line to import, with its number in the file.
struct ImportLine {
    number: u64,
    text: String,
}

async fn import(target: &mut ImportTarget, source: &mut Source, checked: CheckedLines) -> Result<String, CliError> {
    if let (ImportTarget::Gateway(..), Some(number)) = (&*target, checked.credential) {
        let why = "token hashes do not go over HTTP: stop the gateway, and import straight into the store";
        refuse(&[(number, why.to_owned())])?;
    }
    refuse(&strangers(target, checked.unmade).await?)?;
    let mut sending = Sending {
        target,
        bar: progress("importing", checked.count),
        piece: Vec::with_capacity(PIECE),
        bytes: 0,
        done: 0,
        changed: 0,
        cut: checked.cut,
    };
    // Users first, because a relation may come before the users that it names.
    for phase in (0..Command::IMPORT_PHASES).filter(|phase| checked.phases[*phase]) {
        if let Err(CliError(why)) = sending.lines(source, phase).await {
            let done = sending.done;
            let text = format!("stopped after {done} lines, which are imported; importing again goes on harmlessly");
            return Err(CliError(format!("{text}: {why}")));
        }
    }
    sending.bar.finish_and_clear();
    let (done, changed) = (sending.done, sending.changed);
    let created = if target.is_new() { "; the store is new, this import created it" } else { "" };
    Ok(format!("{done} lines imported {target}, {changed} of them changed something{created}"))
}

/// The lines on their way to where they go.
struct Sending<'a> {
    target: &'a mut ImportTarget,
    bar: ProgressBar,
    piece: Vec<ImportLine>,
    bytes: usize,
    done: u64,
    changed: usize,
    /// A line that is left out.
    cut: Option<u64>,
}

impl Sending<'_> {
    /// Sends the lines of a phase.
    async fn lines(&mut self, source: &mut Source, phase: usize) -> Result<(), CliError> {
        let each = async |SourceLine { number, text }: SourceLine| {
            let changed = |why: &str| CliError(format!("line {number} is not what it was at first: {why}"));
            let text = text.map_err(|why| changed(&why))?;
            let command = match rosterd_protocol::import_line(&text) {
                Ok(command) => command,
                Err(_) if self.cut == Some(number) || archive_line(&text).is_some() => return Ok(()),
                Err(error) => return Err(changed(&error.message)),
            };
            if command.import_phase() != phase {
                return Ok(());
            }
            if self.piece.len() == PIECE || self.bytes + text.len() > PIECE_BYTES {
                self.piece().await?;
            }
            self.bytes += text.len();
            self.piece.push(ImportLine { number, text });
            Ok(())
        };
        source.read(each).await?;
        self.piece().await
    }

    async fn piece(&mut self) -> Result<(), CliError> {
        if !self.piece.is_empty() {
            self.changed += self.target.import(&self.piece).await?;
            self.done += self.piece.len() as u64;
            self.bar.inc(self.piece.len() as u64);
        }
        self.piece.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Returns the lines whose relations name accounts that exist neither in the file nor in the store.
async fn strangers(target: &mut ImportTarget, unmade: BTreeMap<Account, u64>) -> Result<Vec<(u64, String)>, CliError> {
    let accounts: Vec<_> = unmade.keys().map(ToString::to_string).collect();
    let mut bad = Vec::new();
    for some in accounts.chunks(ACCOUNTS_PER_BATCH) {
        for account in target.missing(some).await? {
            bad.push((
                unmade[account.as_str()],
                format!("account \"{account}\" is neither in the file nor in the store"),
            ));
        }
    }
    bad.sort();
    Ok(bad)
}
