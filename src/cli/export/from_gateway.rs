//! Exports through a running gateway, while others write.
//!
//! The snapshot has newer and older records side by side: one of them may be a friendship with an account that was made
//! after the users were read. So the changes that were made meanwhile are read from the feed, and what was exported is
//! brought to one moment.

use std::net::SocketAddr;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::draft::Draft;
use super::export_file::ExportFile;
use super::merged::Merged;
use super::missed_changes::MissedChanges;
use crate::cli::CliError;
use rosterd_client::{Backend, BackendError, Trust};
use rosterd_protocol::{ArchiveLine, EventFields, RecordCounts, RecordKey, RecordKind, archive_line};

/// How often in a row an answer may break off before a record came.
const FAILURES: u32 = 6;
/// The wait after the first failure, and how long it becomes.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// How long the gateway may be silent within an answer.
const SILENCE: Duration = Duration::from_mins(1);

/// Why an answer is not whole.
enum Broken {
    /// The connection ended, or the gateway is busy: it may go on.
    Off(String),
    /// It would be the same again.
    ForGood(CliError),
}

impl From<CliError> for Broken {
    fn from(error: CliError) -> Self {
        Self::ForGood(error)
    }
}

impl From<BackendError> for Broken {
    fn from(error: BackendError) -> Self {
        match &error {
            BackendError::Lost(..) => Self::Off(error.to_string()),
            BackendError::Refused(refused) if refused.code == 503 => Self::Off(error.to_string()),
            _ => Self::ForGood(CliError::of(error)),
        }
    }
}

/// A gateway that is being read.
pub(super) struct GatewayExport<'a> {
    address: SocketAddr,
    key: &'a str,
    trust: Option<Trust>,
    /// The connection of the next request; none after one broke off.
    backend: Option<Backend>,
    /// The first line, and its position.
    begin: Option<(String, String)>,
    /// The last record that was written.
    last: Option<RecordKey>,
    counts: RecordCounts,
}

impl<'a> GatewayExport<'a> {
    pub(super) fn new(address: SocketAddr, key: &'a str, trust: Option<Trust>, backend: Backend) -> Self {
        let counts = RecordCounts::default();
        Self { address, key, trust, backend: Some(backend), begin: None, last: None, counts }
    }

    /// Writes everything, and returns the numbers of records and from where they are.
    pub(super) async fn export(
        mut self,
        out: &mut ExportFile,
        bar: &ProgressBar,
    ) -> Result<(RecordCounts, String), CliError> {
        let mut draft = out.draft()?;
        let mut failures = 0;
        loop {
            let before = self.counts.total();
            match self.snapshot(&mut draft, bar).await {
                Ok(()) => break,
                Err(Broken::ForGood(error)) => return Err(error),
                Err(Broken::Off(why)) => {
                    self.backend = None;
                    failures = if self.counts.total() > before { 1 } else { failures + 1 };
                    self.pause(failures, &why).await?;
                }
            }
        }
        let mut merged = Merged::new(self.changes().await?, |line: &str| out.line(line));
        bar.set_message("writing");
        draft.read(|line| {
            bar.set_position(merged.counts().total());
            merged.line(line)
        })?;
        self.counts = merged.finish()?;
        out.line(&json!({"end": self.counts}).to_string())?;
        Ok((self.counts, format!("the gateway at {}", self.address)))
    }

    async fn pause(&self, failures: u32, why: &str) -> Result<(), CliError> {
        if failures >= FAILURES {
            return Err(CliError(format!(
                "the gateway's answer broke off again and again, nothing was exported: {why}"
            )));
        }
        sleep(WAIT.1.min(WAIT.0 * 2_u32.pow(failures - 1))).await;
        Ok(())
    }

    async fn connection(&mut self) -> Result<&mut Backend, Broken> {
        if self.backend.is_none() {
            let connecting = Backend::connect_trusting(self.address, self.key, self.trust.as_ref());
            self.backend = Some(connecting.await?);
        }
        self.backend.as_mut().ok_or_else(|| Broken::Off("there is no connection".to_owned()))
    }

    /// Reads the snapshot, or what is missing of it.
    async fn snapshot(&mut self, draft: &mut Draft, bar: &ProgressBar) -> Result<(), Broken> {
        let path = if let (Some(last), Some((_, position))) = (&self.last, &self.begin) {
            format!("/v1/snapshot?fields={}&after={}&position={position}", names(), after(last))
        } else {
            draft.clear()?;
            self.begin = None;
            format!("/v1/snapshot?fields={}", names())
        };
        let mut body = self.connection().await?.open(&path).await?;
        let (mut rest, mut got) = (Vec::new(), RecordCounts::default());
        loop {
            let piece = timeout(SILENCE, body.piece()).await;
            let piece = piece.map_err(|_| Broken::Off(format!("the gateway at {} is silent", self.address)))??;
            let Some(piece) = piece else {
                return Err(Broken::Off("the answer ended without its last line".to_owned()));
            };
            rest.extend_from_slice(&piece);
            let mut begin = 0;
            while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[begin..begin + length]);
                begin += length + 1;
                if self.line(&line, &mut got, draft)? {
                    return Ok(());
                }
            }
            rest.drain(..begin);
            bar.set_position(self.counts.total());
        }
    }

    /// Takes a line; true if it is the last.
    fn line(&mut self, line: &str, got: &mut RecordCounts, draft: &mut Draft) -> Result<bool, Broken> {
        let strange = |what: &str| CliError(format!("the gateway at {} answers {what}", self.address));
        match archive_line(line) {
            Some(ArchiveLine::Begin(Some(position))) => {
                if self.begin.is_none() {
                    draft.line(line)?;
                    self.begin = Some((line.to_owned(), position));
                }
            }
            Some(ArchiveLine::Record(key, _)) if self.begin.is_some() => {
                draft.line(line)?;
                got.add(key.kind);
                self.counts.add(key.kind);
                self.last = Some(key);
            }
            Some(ArchiveLine::End(counts)) if counts == *got => return Ok(true),
            Some(ArchiveLine::End(_)) => return Err(strange("with numbers of records that do not add up").into()),
            _ => return Err(strange("with lines that are no snapshot").into()),
        }
        Ok(false)
    }

    /// Reads what was changed since the snapshot began.
    async fn changes(&mut self) -> Result<MissedChanges, CliError> {
        let (mut changes, mut failures) = (MissedChanges::default(), 0);
        let mut position = self.begin.as_ref().map(|(_, position)| position.clone()).unwrap_or_default();
        loop {
            match self.feed(&position).await {
                Ok((events, next, is_head)) => {
                    failures = 0;
                    for event in &events {
                        changes.event(event);
                    }
                    position = next;
                    if is_head {
                        return Ok(changes);
                    }
                }
                Err(Broken::ForGood(error)) => return Err(error),
                Err(Broken::Off(why)) => {
                    self.backend = None;
                    failures += 1;
                    self.pause(failures, &why).await?;
                }
            }
        }
    }

    /// Reads events, the position after them, and whether there are no later ones.
    async fn feed(&mut self, position: &str) -> Result<(Vec<Value>, String, bool), Broken> {
        let path = format!("/v1/feed?after={position}&limit=5000&fields={}", names());
        let mut body = self.connection().await?.open(&path).await?;
        let mut text = Vec::new();
        let silent = |_| Broken::Off("the gateway is silent".to_owned());
        while let Some(piece) = timeout(SILENCE, body.piece()).await.map_err(silent)?? {
            text.extend_from_slice(&piece);
        }
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: Result<Vec<Value>, _> = lines.map(serde_json::from_slice).collect();
        let mut events = lines.unwrap_or_default();
        let last = events.pop().unwrap_or_default();
        let Some(next) = last["position"].as_str() else {
            return Err(Broken::Off("the feed broke off".to_owned()));
        };
        Ok((events, next.to_owned(), last["position"] == last["head"]))
    }
}

/// The names of all fields, with commas between.
fn names() -> String {
    EventFields::known().collect::<Vec<_>>().join(",")
}

/// The query by which a snapshot goes on after a record.
fn after(RecordKey { kind, first, second }: &RecordKey) -> String {
    match kind {
        RecordKind::User | RecordKind::Credential => format!("user:{first}"),
        RecordKind::Friend => format!("friend:{first}:{second}"),
        RecordKind::Request => format!("request:{first}:{second}"),
        RecordKind::Block => format!("block:{first}:{second}"),
    }
}
