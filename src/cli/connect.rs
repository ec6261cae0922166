//! `rosterd connect ACCOUNT`: a client in the terminal.
//!
//! It prints every frame that arrives and sends the commands that are typed. It reconnects with its cursor where the
//! protocol allows it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};
use tokio::time::sleep;

use super::{CliError, reachable, runtime, say, token, trust, trust_file, visible};
use crate::config::Config;
use rosterd_client::{Client, ClientError, Replica, SyncError, Trust};
use rosterd_engine::model::Profile;
use rosterd_protocol::{ClientCommand, Encoding, Inbound, decode, v1};

/// The pause before it reconnects.
const RETRY: Duration = Duration::from_secs(1);

const HELP: &str = "\
type a profile field and its new value:   nick Ally, field level 3
look users up, or see them live:          get bob carol, watch erin frank
become friends:                           request bob Hello!, accept bob, reject bob, cancel bob, add bob
note something about one, or part:        alias bob Bobby, delete bob
block someone, or no longer:              block bob, unblock bob
mute someone, or no longer:               mute bob, unmute bob
say something to who is there now:        signal bob hi there
hide that you are online, or show it:     hide, show
your devices:                             sessions, kick 525488d581304639
any command of the protocol as JSON:      {\"updateMyInfo\": {\"sign\": \"hi\", \"gender\": \"female\"}}
leave:                                    quit";

/// Runs the client until the input ends, `quit` is typed, or a close code forbids to reconnect.
///
/// # Errors
/// There is no token, the first connection fails, or a close code forbids to reconnect.
pub fn run(
    config: &Config,
    account: &str,
    place: GatewayArguments,
    token: Option<String>,
    encoding: Encoding,
) -> Result<(), CliError> {
    let (url, trust) = place.find(config)?;
    let token = token.map_or_else(|| token::token(config, account, None), Ok).map_err(CliError)?;
    let (replica, input) = (Replica::default(), BufReader::new(stdin()).lines());
    let terminal = Terminal { url, trust, token, encoding, replica, input, leaving: false };
    runtime()?.block_on(terminal.stay())
}

/// The gateway to connect to; by default the one of the settings.
#[derive(Debug, Default)]
pub struct GatewayArguments {
    /// Its address.
    pub url: Option<String>,
    /// A PEM file with the authorities to trust, for `wss://`.
    pub ca: Option<PathBuf>,
}

impl GatewayArguments {
    fn find(self, config: &Config) -> Result<(String, Option<Trust>), CliError> {
        let files = config.clients.tls_files();
        let scheme = if files.is_some() { "wss" } else { "ws" };
        let own = || format!("{scheme}://{}/v1/ws", reachable(config.clients.listen));
        let trust = match (&self.url, &self.ca) {
            (_, Some(ca)) => Some(trust_file(ca, |pem| Trust::authorities(pem, None))?),
            (None, None) => trust(files.as_ref())?,
            (Some(_), None) => None,
        };
        Ok((self.url.unwrap_or_else(own), trust))
    }
}

/// Why a session in the terminal ended.
enum TerminalEnd {
    Client(ClientError),
    /// What arrives cannot be shown.
    Output(CliError),
}

impl From<ClientError> for TerminalEnd {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<CliError> for TerminalEnd {
    fn from(error: CliError) -> Self {
        Self::Output(error)
    }
}

struct Terminal {
    url: String,
    trust: Option<Trust>,
    token: String,
    encoding: Encoding,
    replica: Replica,
    input: Lines<BufReader<Stdin>>,
    /// The input has ended and the logout is sent; earlier commands still wait for their replies.
    leaving: bool,
}

impl Terminal {
    async fn stay(mut self) -> Result<(), CliError> {
        say(HELP)?;
        let mut reached = false;
        loop {
            match self.session(&mut reached).await {
                Ok(()) => return Ok(()),
                Err(TerminalEnd::Output(error)) => return Err(error),
                Err(TerminalEnd::Client(ClientError::Closed { code, reason }))
                    if code < 3500 && reached && !self.leaving =>
                {
                    say(&visible(&format!("-- closed: {code} {reason}; coming back"), &[]))?;
                }
                // A gateway that stops or starts can also break off its answer to the upgrade.
                Err(TerminalEnd::Client(
                    ClientError::Connect(..) | ClientError::Handshake(_) | ClientError::OutOfSync(_),
                )) if reached && !self.leaving => {}
                Err(TerminalEnd::Client(error)) => return Err(CliError::of(error)),
            }
            sleep(RETRY).await;
        }
    }

    async fn session(&mut self, reached: &mut bool) -> Result<(), TerminalEnd> {
        let mut client = Client::connect_trusting(&self.url, self.encoding, self.trust.as_ref()).await?;
        *reached = true;
        let cursor = self.replica.cursor().map(str::to_owned);
        client.send(ClientCommand::Login(v1::Login { token: self.token.clone(), cursor, device: None })).await?;
        let mut repairing = false;
        loop {
            tokio::select! {
                frame = client.next() => {
                    let frame = frame?;
                    match self.arrived(&frame)? {
                        Ok(()) => {}
                        Err(_) if !repairing => {
                            client.send(ClientCommand::Repair(v1::Repair { leaves: self.replica.leaves() })).await?;
                            repairing = true;
                        }
                        // The cursor is gone, so the next login brings everything.
                        Err(error) => return Err(ClientError::OutOfSync(error).into()),
                    }
                    if frame.logout_reply.is_some() {
                        return Ok(());
                    }
                }
                line = self.input.next_line(), if !self.leaving => match line.ok().flatten().as_deref().map(str::trim) {
                    None | Some("quit") => {
                        client.send(ClientCommand::Logout(v1::Logout {})).await?;
                        self.leaving = true;
                    }
                    Some("") => {}
                    Some(line) => match command(line) {
                        Ok(command) => drop(client.send(command).await?),
                        Err(why) => say(&format!("-- {why}"))?,
                    },
                },
            }
        }
    }

    /// Shows a frame and applies it.
    fn arrived(&mut self, frame: &v1::ServerFrame) -> Result<Result<(), SyncError>, CliError> {
        let mut text = Vec::new();
        Encoding::Json.encode(frame, &mut text);
        say(&visible(&format!("<- {}", String::from_utf8_lossy(&text)), &[]))?;
        if let Some(reply) = &frame.login_reply {
            self.replica.begin(reply);
        }
        let applied = self.replica.apply(frame);
        match &applied {
            Ok(()) if frame.synced.is_some() => {
                say(&format!("-- in sync: {} friends, and the digest agrees", self.replica.friends().len()))?;
            }
            Ok(()) => {}
            Err(error) => say(&format!("-- NOT in sync: {error}"))?,
        }
        Ok(applied)
    }
}

/// Returns the JSON of the command that a typed word stands for, if it stands for one.
fn spelled_out(word: &str, rest: &str) -> Option<Value> {
    let names: Vec<_> = rest.split_whitespace().collect();
    let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(match word {
        field if Profile::FIELDS.contains(&field) => json!({"updateMyInfo": {field: rest}}),
        "field" => {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            json!({"updateMyInfo": {"fields": {first: value}}})
        }
        "get" => json!({"getUsers": {"accounts": names}}),
        "watch" => json!({"watch": {"accounts": names}}),
        "request" => json!({"requestFriend": {"account": first, "message": text}}),
        "add" => json!({"addFriend": {"account": first, "message": text}}),
        "accept" => json!({"acceptFriend": {"account": rest}}),
        "reject" => json!({"rejectFriend": {"account": rest}}),
        "cancel" => json!({"cancelRequest": {"account": rest}}),
        "delete" => json!({"deleteFriend": {"account": rest}}),
        "alias" => json!({"updateFriend": {"account": first, "alias": text}}),
        "mute" | "unmute" => json!({"setMuted": {"account": rest, "muted": word == "mute"}}),
        "block" | "unblock" => json!({word: {"account": rest}}),
        "signal" => json!({"signal": {"to": first, "payload": text}}),
        "hide" | "show" => json!({"setPresence": {"invisible": word == "hide"}}),
        "sessions" => json!({"getSessions": {}}),
        "kick" => json!({"kick": {"sessions": names}}),
        _ => return None,
    })
}

/// Reads a typed line as a command.
fn command(line: &str) -> Result<ClientCommand, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let json = match word {
        _ if line.starts_with('{') => line.to_owned(),
        _ => spelled_out(word, rest.trim()).ok_or(HELP)?.to_string(),
    };
    let mut frame: serde_json::Map<_, _> = serde_json::from_str(&json).map_err(|_| "that is not JSON")?;
    // The id serves the decoder only; the client numbers its commands itself.
    frame.insert("id".to_owned(), 1.into());
    let frame = serde_json::to_vec(&frame).map_err(|error| error.to_string())?;
    match decode(Encoding::Json, &frame) {
        Ok(Inbound::Command { command, .. }) => Ok(command),
        Ok(Inbound::Refused { error, .. }) => Err(error.message),
        Ok(Inbound::Heartbeat) => Err(HELP.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
