//! The binary: parses the command line and runs one subcommand.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use rosterd::cli::{self, CliError};
use rosterd::config::{self, SettingsOptions};
use rosterd_protocol::Encoding;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// User profiles and friend lists, in sync and live on every client.
#[derive(Debug, Parser)]
#[command(name = "rosterd", version, about)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Debug, Args)]
struct SettingsArguments {
    /// The settings' file; ./config.toml if there is one, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides one setting, over file and environment
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the gateway (the default)
    Serve,
    /// Look at settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the own fields of the settings, as JSON
    #[command(args_conflicts_with_subcommands = true)]
    Schema {
        /// Print a .d.ts file instead, with which the JavaScript client knows their types
        #[arg(long)]
        typescript: bool,
        #[command(subcommand)]
        command: Option<SchemaCommand>,
    },
    /// Print a token for an account
    Token {
        account: String,
        /// How long it lasts, "1h" unless given
        #[arg(long, value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
    },
    /// Make a key of the server API, and print the section for the settings
    Key {
        /// Its name: a-z, 0-9 and single underscores
        name: String,
    },
    /// Manage endpoints that are sent events
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Import users and friendships: JSON lines, CSV with a header row, or what export wrote
    Import {
        /// The file; "-" is standard input
        file: PathBuf,
        /// Import an export that is not whole: its last line is missing, or its numbers do not add up
        #[arg(long)]
        partial: bool,
    },
    /// Export users, friendships, requests and blocks as JSON lines, with all fields
    ///
    /// Reads them through the gateway if one runs, and otherwise from the store. The lines are those of GET /v1/snapshot;
    /// import takes them back. The file appears once it is whole.
    Export {
        /// The new file; "-" is standard output
        file: PathBuf,
        /// Export the hashes of static tokens and the times of revocations too; only straight from a store that no gateway
        /// uses, such as a copy that backup made
        #[arg(long)]
        credentials: bool,
    },
    /// Copy the store to a new file, also while the gateway runs
    Backup { file: PathBuf },
    /// Put a copy in the place of the store, while no gateway runs
    Restore { file: PathBuf },
    /// Work on whole stores
    #[command(subcommand)]
    Store(StoreCommand),
    /// Say that a database is not the one that clients know
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Change the rules of profiles for all gateways of a database
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Be a client in this terminal: print what arrives, send what is typed
    Connect {
        account: String,
        /// The gateway; by default the one of the settings
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// The authorities to believe for wss://, a PEM file; by default the settings' own certificate alone
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// The token; by default one is made from the settings
        #[arg(long)]
        token: Option<String>,
        /// Speak protobuf instead of JSON
        #[arg(long)]
        protobuf: bool,
    },
    /// Measure a gateway: many clients at once, and what they cost it
    #[cfg(target_os = "linux")]
    Bench(cli::bench::BenchArguments),
    /// Print a completion script for a shell
    Completions { shell: Shell },
    /// Print the manual page, in roff
    Man {
        /// Write it and one page for each subcommand into a folder instead
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the settings are good
    Check,
    /// Print the annotated defaults
    Default,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Copy an SQLite store into an empty PostgreSQL database, with everything that it holds, while no gateway runs
    ///
    /// Both are URLs as in store.url. Clients sync in full once. If it breaks off, the database is as empty as before.
    Copy {
        /// The store to read, sqlite:PATH
        from: String,
        /// The database to fill, postgres://...; by default store.url
        to: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum EpochCommand {
    /// Begin a new history in the PostgreSQL database of the settings, while no gateway runs
    ///
    /// Clients sync in full once, and followers of the feed begin anew. Needed after a restore to a point in time with
    /// store.failover = "lossless", which takes every move of the database for one that lost nothing.
    New,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// Bring profile.visibility, profile.fields and profile.write of the settings into force on all gateways, while they run
    ///
    /// It ends once every gateway goes by them. If some do not yet, it names them and fails; it may be run again.
    Apply,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Remove what profiles still hold of a field that is no more in the settings
    Purge {
        /// The name of the field
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    /// Print a new secret, for `secret` in [webhooks.NAME] and for the receiver
    Secret,
}

fn main() -> ExitCode {
    let done = match Arguments::try_parse() {
        Ok(arguments) => run(arguments),
        // Also help and version, which go to standard output.
        Err(other) => match other.print() {
            Ok(()) => return ExitCode::from(u8::try_from(other.exit_code()).unwrap_or(2)),
            Err(error) => Err(CliError(format!("cannot write to standard output: {error}"))),
        },
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let options = SettingsOptions { file: arguments.settings.config, overrides: arguments.settings.overrides };
    let load = || config::load(&options).map_err(|error| CliError(error.to_string()));
    match arguments.command.unwrap_or(CliCommand::Serve) {
        CliCommand::Serve => return cli::serve::run(&options, load()?),
        CliCommand::Config(ConfigCommand::Check) => cli::say(&cli::config::check(&options).map_err(CliError)?)?,
        CliCommand::Config(ConfigCommand::Default) => cli::say(cli::config::default().trim_end())?,
        CliCommand::Schema { command: Some(SchemaCommand::Purge { name }), .. } => {
            cli::say(&cli::purge_field::purge(&load()?.config, &name)?)?;
        }
        CliCommand::Schema { typescript, command: None } => {
            let config = load()?.config;
            cli::say(&if typescript { cli::schema::typescript(&config) } else { cli::schema::json(&config) })?;
        }
        CliCommand::Token { account, ttl } => {
            cli::say(&cli::token::token(&load()?.config, &account, ttl).map_err(CliError)?)?;
        }
        CliCommand::Key { name } => cli::say(&cli::key::key(&name).map_err(CliError)?)?,
        CliCommand::Webhook(WebhookCommand::Secret) => cli::say(&cli::webhook::secret().map_err(CliError)?)?,
        CliCommand::Import { file, partial } => cli::import::run(&load()?.config, &file, partial)?,
        CliCommand::Export { file, credentials } => cli::export::run(&load()?.config, &file, credentials)?,
        CliCommand::Backup { file } => cli::say(&cli::backup::backup(&load()?.config, &file)?)?,
        CliCommand::Restore { file } => cli::say(&cli::backup::restore(&load()?.config, &file)?)?,
        CliCommand::Store(StoreCommand::Copy { from, to }) => {
            cli::say(&cli::store_copy::copy(&load()?.config, from, to)?)?;
        }
        CliCommand::Epoch(EpochCommand::New) => cli::say(&cli::epoch::new(&load()?.config)?)?,
        CliCommand::Rules(RulesCommand::Apply) => cli::say(&cli::rules::apply(&load()?.config)?)?,
        CliCommand::Connect { account, url, ca, token, protobuf } => {
            let encoding = if protobuf { Encoding::Protobuf } else { Encoding::Json };
            cli::connect::run(&load()?.config, &account, cli::connect::GatewayArguments { url, ca }, token, encoding)?;
        }
        #[cfg(target_os = "linux")]
        CliCommand::Bench(arguments) => cli::bench::run(&load()?.config, &arguments)?,
        CliCommand::Completions { shell } => cli::completions::run(Arguments::command(), shell)?,
        CliCommand::Man { into } => cli::man::run(Arguments::command(), into.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("expected SECTION.KEY=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}
