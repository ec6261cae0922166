//! `rosterd import FILE` imports users, friendships and blocks, one JSON object a line.
//!
//! It checks the whole file before it writes anything: every line, and that the file or the store has each account that
//! a relation names. Then it writes the lines in pieces of one transaction each; importing again changes only what
//! differs. It writes through the gateway if one runs, and otherwise directly to the store.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, reachable, runtime, say, trust};
use crate::api::IMPORT_BYTES;
use crate::app::Core;
use crate::config::Config;
use rosterd_client::{Backend, BackendError};
use rosterd_engine::model::limits::ACCOUNTS_PER_BATCH;
use rosterd_engine::model::{Account, Command, Reason, RequestError};
use rosterd_protocol::v1;

/// The most lines of a transaction: few enough for the writes of clients to get their turn in between.
const PIECE: usize = 500;
/// The most bytes of a transaction, which a gateway takes as one body.
const PIECE_BYTES: usize = IMPORT_BYTES / 2;
/// How many bad lines are shown.
const SHOWN: usize = 20;

/// Imports a file.
///
/// # Errors
/// The file cannot be read or has bad lines, and nothing is imported; or the gateway or the store fails, and the pieces
/// before that stay, as the message says.
pub fn run(config: &Config, file: &Path) -> Result<(), CliError> {
    runtime()?.block_on(async {
        let checked = check(file)?;
        let mut target = ImportTarget::find(config).await?;
        let imported = import(&mut target, file, checked).await;
        target.close().await;
        say(&imported?);
        Ok(())
    })
}

/// The destination of the lines.
enum ImportTarget {
    Gateway(Backend),
    Store(Core),
}

impl ImportTarget {
    async fn find(config: &Config) -> Result<Self, CliError> {
        let trust = trust(config.ops.tls_files().as_ref())?;
        let (address, key) = (reachable(config.ops.listen), config.ops.api_key.expose());
        match Backend::connect_trusting(address, key, trust.as_ref()).await {
            Ok(backend) => Ok(Self::Gateway(backend)),
            Err(_) => Core::open(config).map(Self::Store).map_err(CliError::of),
        }
    }

    /// Returns those of these accounts that do not exist.
    async fn missing(&mut self, accounts: &[String]) -> Result<Vec<String>, CliError> {
        match self {
            Self::Gateway(backend) => {
                let body = serde_json::json!({"accounts": accounts}).to_string();
                let answer = backend.request(Method::POST, "/v1/users:batchGet", body).await.map_err(CliError::of)?;
                let reply: v1::GetUsersReply = serde_json::from_value(answer).map_err(CliError::of)?;
                Ok(reply.missing)
            }
            Self::Store(core) => {
                let (_, missing) = core.service.get_users(accounts).await.map_err(CliError::of)?;
                Ok(missing.iter().map(ToString::to_string).collect())
            }
        }
    }

    /// Imports one piece, and returns how many of its lines changed something.
    async fn import(&mut self, piece: &[ImportLine]) -> Result<usize, CliError> {
        let at_line = |at: usize, why: &str| CliError(format!("line {}: {why}", piece[at].number));
        match self {
            Self::Gateway(backend) => {
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
            Self::Store(core) => {
                let commands =
                    piece.iter().map(|line| rosterd_protocol::import_line(&line.text)).collect::<Result<_, _>>();
                let imported = core.service.import(commands.map_err(CliError::of)?).await;
                imported.map_err(|(at, error)| at_line(at, &error.message))
            }
        }
    }

    async fn close(self) {
        if let Self::Store(core) = self {
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

/// A file all of whose lines can be read.
struct CheckedFile {
    lines: u64,
    /// Accounts that relations name but the file does not make, with the first line of each.
    unmade: BTreeMap<Account, u64>,
}

/// Reads the lines that are not blank, with their numbers. As bytes, so that a line that is not UTF-8 is one bad line.
fn lines(file: &Path) -> Result<impl Iterator<Item = Result<(u64, Vec<u8>), CliError>>, CliError> {
    let name = file.display().to_string();
    let cannot = move |error: std::io::Error| CliError(format!("cannot read {name}: {error}"));
    let reader = BufReader::new(File::open(file).map_err(&cannot)?);
    let lines = (1..).zip(reader.split(b'\n')).map(move |(number, line)| Ok((number, line.map_err(&cannot)?)));
    Ok(lines.filter(|line| !matches!(line, Ok((_, line)) if line.trim_ascii().is_empty())))
}

fn read(line: &[u8]) -> Result<(&str, Command), RequestError> {
    let text = str::from_utf8(line).map_err(|_| RequestError::new(Reason::InvalidArgument, "not UTF-8"))?;
    Ok((text, rosterd_protocol::import_line(text)?))
}

fn check(file: &Path) -> Result<CheckedFile, CliError> {
    let bar = progress("checking", std::fs::metadata(file).map_or(0, |data| data.len()));
    let (mut bad, mut made, mut named, mut count) = (Vec::new(), HashSet::new(), BTreeMap::new(), 0);
    for line in lines(file)? {
        let (number, line) = line?;
        bar.inc(line.len() as u64 + 1);
        count += 1;
        match read(&line) {
            Ok((_, Command::Befriend { account, peer } | Command::Block { account, peer })) => {
                named.entry(account).or_insert(number);
                named.entry(peer).or_insert(number);
            }
            Ok((_, Command::SetProfile { account, .. })) => drop(made.insert(account)),
            Ok(_) => {}
            Err(error) => bad.push((number, error.message)),
        }
    }
    bar.finish_and_clear();
    refuse(&bad)?;
    named.retain(|account, _| !made.contains(account));
    Ok(CheckedFile { lines: count, unmade: named })
}

fn refuse(bad: &[(u64, String)]) -> Result<(), CliError> {
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

async fn import(target: &mut ImportTarget, file: &Path, checked: CheckedFile) -> Result<String, CliError> {
    refuse(&strangers(target, checked.unmade).await?)?;
    let bar = progress("importing", checked.lines);
    let (mut done, mut changed) = (0, 0);
    // Users first, because a relation may come before the users that it names.
    for relations in [false, true] {
        let (mut piece, mut bytes) = (Vec::with_capacity(PIECE), 0);
        for line in lines(file)? {
            let (number, line) = line?;
            let (text, command) = read(&line).map_err(CliError::of)?;
            if matches!(command, Command::Befriend { .. } | Command::Block { .. }) != relations {
                continue;
            }
            if piece.len() == PIECE || bytes + text.len() > PIECE_BYTES {
                changed += send(target, &mut piece, &mut done, &bar).await?;
                bytes = 0;
            }
            piece.push(ImportLine { number, text: text.to_owned() });
            bytes += text.len();
        }
        if !piece.is_empty() {
            changed += send(target, &mut piece, &mut done, &bar).await?;
        }
    }
    bar.finish_and_clear();
    let through =
        if matches!(target, ImportTarget::Gateway(_)) { "through the running gateway" } else { "into the store" };
    Ok(format!("{done} lines imported {through}, {changed} of them changed something"))
}

async fn send(
    target: &mut ImportTarget,
    piece: &mut Vec<ImportLine>,
    done: &mut u64,
    bar: &ProgressBar,
) -> Result<usize, CliError> {
    let changed = target.import(piece).await.map_err(|CliError(why)| {
        CliError(format!("stopped after {done} lines, which are imported; importing again goes on harmlessly: {why}"))
    })?;
    *done += piece.len() as u64;
    bar.inc(piece.len() as u64);
    piece.clear();
    Ok(changed)
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

/// Makes a progress bar, which is drawn on standard error and only on a terminal.
fn progress(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}").expect("the template is right");
    ProgressBar::new(length).with_style(style).with_message(what)
}
