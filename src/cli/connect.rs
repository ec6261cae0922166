//! `rosterd connect ACCOUNT`: a client in the terminal.
//!
//! It prints every frame that arrives and sends the commands that are typed. The client of `rosterd_client` does the rest: it
//! reconnects with its cursor, catches up and repairs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Fuse, FusedFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

use super::{CliError, reachable, runtime, say, token, trust, trust_file, typed_fields, visible};
use crate::config::Config;
use rosterd_client::{
    ClientOptions, ClientTrace, ConnectionPhase, ConnectionState, RosterdClient, RosterdError, Trust,
};
use rosterd_engine::model::Profile;
use rosterd_protocol::{ClientCommand, Encoding, Inbound, decode, v1};

const HELP: &str = "\
type a profile field and its new value:   nick Ally
or one that the deployment has added:     field level 3, field tags red, green; no value clears it
your fields, and what each may hold:      fields
look users up, or see them live:          get bob carol, watch erin frank
become friends:                           request bob Hello!, accept bob, reject bob, cancel bob, add bob
note something about one, or part:        alias bob Bobby, delete bob
block someone, or no longer:              block bob, unblock bob
mute someone, or no longer:               mute bob, unmute bob
say something to who is there now:        signal bob hi there
hide that you are online, or show it:     hide, show
show a text beside it, or none:           status TEXT
which fields the deployment has:          schema
your devices:                             sessions, kick 525488d581304639
any other command of the protocol:        {\"updateMyInfo\": {\"sign\": \"hi\", \"gender\": \"female\"}}
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
    if url.starts_with("wss:") && trust.is_none() {
        return Err(CliError(format!("{url:?} needs an authority to believe: --ca FILE")));
    }
    // A command that is typed waits for its answer as long as that takes.
    let options = ClientOptions::new(url, account).token(token).encoding(encoding).request_timeout(Duration::MAX);
    let options = trust.into_iter().fold(options, ClientOptions::trust);
    runtime()?.block_on(async { Terminal::open(options)?.stay().await })
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

/// What came over the connections so far, and is on the screen.
#[derive(Default)]
struct Screen {
    /// A gateway has answered once, so there is something to come back to.
    is_reached: bool,
    /// A session has begun and not ended.
    is_up: bool,
    /// The last `synced`: the number of friends, and whether they are what the client holds.
    synced: Option<(u32, bool)>,
    /// Why the gateway ends the session, if it said so.
    goodbye: Option<String>,
    /// What arrives cannot be shown any more.
    failure: Option<CliError>,
}

impl Screen {
    /// Shows what happened. The client waits meanwhile, so a terminal that is slow gets the newest and not all of it.
    fn show(&mut self, happened: ClientTrace<'_>) {
        if self.failure.is_none() {
            self.failure = self.print(happened).err();
        }
    }

    fn print(&mut self, happened: ClientTrace<'_>) -> Result<(), CliError> {
        match happened {
            ClientTrace::Received(frame) => {
                (self.is_reached, self.is_up) = (true, true);
                if let Some(goodbye) = &frame.goodbye {
                    self.goodbye = Some(format!("{} {}", goodbye.code, goodbye.reason));
                }
                if let Some(synced) = &frame.synced {
                    self.synced = Some((synced.count, true));
                }
                let mut text = Vec::new();
                Encoding::Json.encode(frame, &mut text);
                say(&visible(&format!("<- {}", String::from_utf8_lossy(&text)), &[]))
            }
            ClientTrace::Connection(connection) => self.print_connection(connection),
            ClientTrace::Error(error) if error.reason == "OUT_OF_STEP" => {
                self.synced = self.synced.map(|(count, _)| (count, false));
                say(&visible(&format!("-- NOT in sync: {}", error.message), &[]))
            }
            ClientTrace::Sent(_) | ClientTrace::Error(_) => Ok(()),
        }
    }

    fn print_connection(&mut self, connection: &ConnectionState) -> Result<(), CliError> {
        match connection.phase {
            ConnectionPhase::Connecting => self.goodbye = None,
            ConnectionPhase::Live => {
                if let Some((count, true)) = self.synced {
                    return say(&format!("-- in sync: {count} friends, and the digest agrees"));
                }
            }
            ConnectionPhase::Reconnecting if std::mem::take(&mut self.is_up) => {
                return say(&visible(&format!("-- closed: {}; coming back", self.end(connection)), &[]));
            }
            _ => {}
        }
        Ok(())
    }

    /// Why the connection is not there.
    fn end(&self, connection: &ConnectionState) -> String {
        let error = connection.last_error.as_ref().map_or_else(String::new, |error| error.message.clone());
        self.goodbye
            .clone()
            .unwrap_or_else(|| error.strip_prefix("the connection ended: ").unwrap_or(&error).to_owned())
    }
}

/// A call that was typed. What it returns is to be said; the gateway's answer is on the screen already.
type TypedCall = BoxFuture<'static, Option<String>>;

/// What a typed line asks for.
enum TypedLine {
    Command(ClientCommand),
    Fields(FieldsLine),
}

/// What a line about own fields asks for. It needs the schema.
enum FieldsLine {
    Set { name: String, text: String },
    Show,
}

struct Terminal {
    client: RosterdClient,
    screen: Arc<Mutex<Screen>>,
    input: Lines<BufReader<Stdin>>,
    /// Commands that were typed and have no answer yet.
    calls: FuturesUnordered<TypedCall>,
    /// Asks for the schema, which the line needs. Further lines wait, so that they are carried out in order.
    asking: Fuse<BoxFuture<'static, (FieldsLine, Result<v1::GetSchemaReply, RosterdError>)>>,
    /// The input has ended; what was typed before still waits for its answers.
    leaving: bool,
}

impl Terminal {
    fn open(options: ClientOptions) -> Result<Self, CliError> {
        let (screen, input) = (Arc::new(Mutex::new(Screen::default())), BufReader::new(stdin()).lines());
        let shown = screen.clone();
        let client = RosterdClient::new(options.trace(move |happened| shown.lock().show(happened)));
        let client = client.map_err(|error| CliError(error.message))?;
        Ok(Self { client, screen, input, calls: FuturesUnordered::new(), asking: Fuse::terminated(), leaving: false })
    }

    async fn stay(mut self) -> Result<(), CliError> {
        say(HELP)?;
        let (mut changes, client) = (self.client.changes(), self.client.clone());
        // Without a limit of time: how long to try is decided here.
        let mut connecting = Box::pin(async move { client.connect().await }).fuse();
        let mut connected = false;
        while !(self.leaving && connected && self.calls.is_empty() && self.asking.is_terminated()) {
            self.check()?;
            let is_up = matches!(changes.seen().connection.phase, ConnectionPhase::Syncing | ConnectionPhase::Live);
            tokio::select! {
                result = &mut connecting => {
                    connected = true;
                    self.check()?;
                    result.map_err(|error| CliError(error.message))?;
                }
                Some(_) = changes.next() => {}
                Some(what) = self.calls.next() => what.map_or(Ok(()), |what| say(&format!("-- {what}")))?,
                (line, schema) = &mut self.asking => match schema {
                    Ok(schema) => self.carry_out_by(&schema, line)?,
                    Err(error) => unsaid(&error).map_or(Ok(()), |what| say(&format!("-- {what}")))?,
                },
                line = self.input.next_line(), if is_up && !self.leaving && self.asking.is_terminated() => {
                    self.take(line.ok().flatten().as_deref().map(str::trim))?;
                }
            }
        }
        self.client.logout().await;
        self.screen.lock().failure.take().map_or(Ok(()), Err)
    }

    /// Ends if nothing can be shown, if there is nothing to come back to, or if the gateway forbids that.
    fn check(&self) -> Result<(), CliError> {
        let (snapshot, mut screen) = (self.client.snapshot(), self.screen.lock());
        let connection = &snapshot.connection;
        if let Some(failure) = screen.failure.take() {
            return Err(failure);
        }
        let failed = || match &screen.goodbye {
            Some(goodbye) => CliError(format!("closed by the gateway: {goodbye}")),
            // A code that no gateway sent says nothing more.
            None => CliError(screen.end(connection).trim_start_matches("1006 ").to_owned()),
        };
        match connection.phase {
            ConnectionPhase::Reconnecting if screen.is_reached && !self.leaving => Ok(()),
            ConnectionPhase::Reconnecting => Err(failed()),
            ConnectionPhase::Disconnected if connection.last_error.is_some() => Err(failed()),
            _ => Ok(()),
        }
    }

    /// Takes a line of the input; `None` at its end.
    fn take(&mut self, line: Option<&str>) -> Result<(), CliError> {
        match line {
            None | Some("quit") => self.leaving = true,
            Some("") => {}
            Some(line) => match typed(line) {
                Ok(TypedLine::Command(ClientCommand::Logout(_))) => self.leaving = true,
                Ok(TypedLine::Command(command)) => self.calls.push(carry_out(self.client.clone(), command)),
                Ok(TypedLine::Fields(line)) => {
                    if let Some(schema) = self.client.schema() {
                        return self.carry_out_by(&schema, line);
                    }
                    let client = self.client.clone();
                    self.asking = async move { (line, client.get_schema().await) }.boxed().fuse();
                }
                Err(why) => say(&format!("-- {why}"))?,
            },
        }
        Ok(())
    }

    /// Carries out a line about own fields by the schema.
    fn carry_out_by(&mut self, schema: &v1::GetSchemaReply, line: FieldsLine) -> Result<(), CliError> {
        match line {
            FieldsLine::Set { name, text } => {
                let command = ClientCommand::UpdateMyInfo(typed_fields::change(schema, &name, &text));
                self.calls.push(carry_out(self.client.clone(), command));
            }
            FieldsLine::Show => {
                let me = self.client.snapshot().me.clone();
                for line in typed_fields::shown(schema, me.as_deref()) {
                    say(&visible(&format!("-- {line}"), &[]))?;
                }
            }
        }
        Ok(())
    }
}

/// Returns how a call failed, unless the gateway has said that itself: its frame is on the screen.
fn unsaid(error: &RosterdError) -> Option<String> {
    let own = ["TIMEOUT", "CONNECTION_LOST", "SUPERSEDED", "BAD_FRAME", "INVALID_ARGUMENT"];
    let is_own = own.contains(&error.reason.as_str()) && error.field.is_none();
    is_own.then(|| visible(&error.message, &[]))
}

fn carry_out(client: RosterdClient, command: ClientCommand) -> TypedCall {
    async move {
        let result = match command {
            ClientCommand::Watch(v1::Watch { accounts }) => {
                let accounts: Vec<_> = accounts.iter().map(String::as_str).collect();
                client.watch(&accounts).await.map(drop)
            }
            ClientCommand::UpdateMyInfo(update) => {
                // What is refused here never reaches the gateway, so no frame says it.
                if let Err(error) = client.check_my_info(&update) {
                    return Some(visible(&error.message, &[]));
                }
                client.update_my_info(update).await.map(drop)
            }
            command => client.request(command).await.map(drop),
        };
        result.err().as_ref().and_then(unsaid)
    }
    .boxed()
}

/// Returns the JSON of the command that a typed word stands for, if it stands for one.
fn spelled_out(word: &str, rest: &str) -> Option<Value> {
    let names: Vec<_> = rest.split_whitespace().collect();
    let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(match word {
        field if Profile::FIELDS.contains(&field) => json!({"updateMyInfo": {field: rest}}),
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
        "status" => json!({"setPresence": {"status": rest}}),
        "schema" => json!({"getSchema": {}}),
        "sessions" => json!({"getSessions": {}}),
        "kick" => json!({"kick": {"sessions": names}}),
        _ => return None,
    })
}

/// Reads a typed line.
fn typed(line: &str) -> Result<TypedLine, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (name, text) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    match word {
        "fields" if rest.is_empty() => Ok(TypedLine::Fields(FieldsLine::Show)),
        "field" if name.is_empty() => Err("name a field, as in: field level 3".to_owned()),
        "field" => Ok(TypedLine::Fields(FieldsLine::Set { name: name.to_owned(), text: text.trim().to_owned() })),
        _ => command(line, word, rest.trim()).map(TypedLine::Command),
    }
}

fn command(line: &str, word: &str, rest: &str) -> Result<ClientCommand, String> {
    let json = match word {
        _ if line.starts_with('{') => line.to_owned(),
        _ => spelled_out(word, rest).ok_or(HELP)?.to_string(),
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
