//! The command line: settings, tokens, and starts that cannot work.

use std::path::Path;
use std::process::{Command as Process, Output};

use rosterd_client::Replica;
use rosterd_protocol::Encoding;

use crate::support::{World, finished};

#[test]
fn good_settings_are_called_good_and_what_overrides_them_is_told() {
    let world = World::with("[limits]\nlogin_timeout = \"1s\"");
    let said = world.run_well(&["config", "check", "--set", "log.level=debug"]);
    assert!(said.contains("config.toml is good"), "{said}");
    assert!(said.contains("log.level is set by the command line"), "{said}");
}

#[test]
fn bad_settings_are_named_with_their_place_and_what_would_be_right() {
    for (settings, arguments, says) in [
        (
            "[limits]\nlogin_timout = \"1s\"",
            vec![],
            "config.toml:13:1: there is no key limits.login_timout; did you mean limits.login_timeout?",
        ),
        ("[limit]\nlogin_timeout = \"1s\"", vec![], "there is no section \"limit\"; did you mean [limits]?"),
        (
            "[limits]\nlogin_timeout = \"soon\"",
            vec![],
            "config.toml:13:17: limits.login_timeout: \"soon\" is not a duration",
        ),
        ("[limits]\nlogin_timeout = 5", vec![], "limits.login_timeout takes a text in quotes"),
        ("[limits]\nframe_bytes = 5", vec![], "limits.frame_bytes: is 5 bytes, must be 1024 bytes to 1048576 bytes"),
        (
            "[feed]\nretention = \"91d\"",
            vec![],
            "feed.retention: is 91d, longer than store.tombstone_retention, which is 90d",
        ),
        ("[limits\n", vec![], "this is not TOML"),
        (
            "",
            vec!["--set", "clients.hartbeat=1s"],
            "the command line: there is no key clients.hartbeat; did you mean clients.heartbeat?",
        ),
        ("", vec!["--set", "clients.heartbeat=1"], "the command line: clients.heartbeat: \"1\" is not a duration"),
        ("", vec!["--set", "clients.listen=0.0.0.0:0"], "auth.mode = \"jwt\""),
    ] {
        let world = World::with(settings);
        // What `config check` refuses, `serve` and the others refuse in the same words.
        for command in [&["config", "check"][..], &["serve"], &["token", "ann"]] {
            let said = world.run_badly(&[command, &arguments].concat());
            assert!(said.contains(says), "{settings} {arguments:?}: {said}");
        }
    }
}

fn check(file: &Path) -> Output {
    finished(Process::new(env!("CARGO_BIN_EXE_rosterd")).args(["config", "check", "--config"]).arg(file))
}

#[test]
fn a_settings_file_that_is_named_must_exist() {
    let world = World::new();
    let config = world.config();
    std::fs::remove_file(&config).unwrap();
    let output = check(&config);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("config.toml: cannot be read"), "{said}");
}

#[test]
fn the_default_settings_are_the_annotated_file_and_are_good() {
    let world = World::new();
    let text = world.run_well(&["config", "default"]);
    assert_eq!(text, include_str!("../../config.toml"));
    let file = world.path().join("default.toml");
    std::fs::write(&file, text).unwrap();
    let said = String::from_utf8(check(&file).stdout).unwrap();
    assert!(said.ends_with("default.toml is good\n"), "{said}");
}

#[tokio::test]
async fn a_token_of_either_mode_lets_its_account_in() {
    let jwt = "mode = \"jwt\"\nhs256_secret = \"0123456789abcdef0123456789abcdef\"";
    for (auth, looks) in [("mode = \"development\"", 1), (jwt, 3)] {
        let world = World { auth: auth.to_owned(), ..World::new() };
        let gateway = world.start();
        gateway.populate(&["ann"], &[]).await;
        let token = world.run_well(&["token", "ann"]);
        assert_eq!(token.trim().split('.').count(), looks, "{token}");
        let mut client = gateway.connect(Encoding::Json).await;
        let reply = client.login(token.trim(), &mut Replica::default()).await.unwrap();
        assert_eq!(reply.account, "ann");
        assert!(world.run_badly(&["token", "a b"]).contains("account must be"));
        assert!(world.run_badly(&["token", "ann", "--ttl", "0s"]).contains("a second or more"));
    }
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/ed25519.pub.pem");
    let world = World { auth: format!("mode = \"jwt\"\npublic_key_file = \"{key}\""), ..World::new() };
    assert!(world.run_badly(&["token", "ann"]).contains("your backend signs"));
}

#[tokio::test]
async fn a_gateway_that_cannot_start_says_why() {
    let world = World::new();
    let gateway = world.start();
    let said = world.run_badly(&["serve"]);
    assert!(said.contains("rosterd.db is used by another rosterd process"), "{said}");
    let other = World::new();
    for (key, taken) in [("clients.listen", gateway.clients), ("ops.listen", gateway.ops)] {
        let said = other.run_badly(&["serve", "--set", &format!("{key}={taken}")]);
        assert!(said.contains(&format!("{key}: cannot listen on {taken}")), "{said}");
    }
    let no_directory = other.path().join("config.toml/below-a-file/rosterd.db");
    let said = other.run_badly(&["serve", "--set", &format!("store.url=sqlite:{}", no_directory.display())]);
    assert!(said.contains("cannot create the directory"), "{said}");
    let no_database = other.path().join("notes.txt");
    std::fs::write(&no_database, "these are my notes, and no database by any means").unwrap();
    let said = other.run_badly(&["serve", "--set", &format!("store.url=sqlite:{}", no_database.display())]);
    assert!(said.contains("notes.txt: it is not an SQLite database"), "{said}");
    // Nothing of all this was in the way of the one that runs.
    gateway.populate(&["ann"], &[]).await;
    gateway.login("ann", Encoding::Json).await.nick("Ann").await;
}

/// What `rosterd --help` lists.
const COMMANDS: [&str; 12] = [
    "serve",
    "config",
    "token",
    "import",
    "export",
    "backup",
    "restore",
    "store",
    "connect",
    "completions",
    "man",
    "help",
];

#[test]
fn completions_of_every_shell_know_every_subcommand() {
    let world = World::new();
    let help = world.run_well(&["--help"]);
    for (shell, holds) in [
        ("bash", "complete -F _rosterd"),
        ("zsh", "#compdef rosterd"),
        ("fish", "complete -c rosterd"),
        ("elvish", "edit:completion:arg-completer[rosterd]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = world.run_well(&["completions", shell]);
        assert!(script.contains(holds), "{shell}: {script}");
        for command in COMMANDS {
            assert!(help.contains(&format!("\n  {command} ")), "{command} is not in the help: {help}");
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        assert!(script.contains("i-own-this-target") || !cfg!(target_os = "linux"), "{shell} stops at the top");
    }
    let output = world.run(&["completions", "tcsh"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("invalid value 'tcsh' for '<SHELL>'") && said.contains("fish, powershell, zsh"), "{said}");
}

#[test]
fn the_manual_has_a_page_for_every_subcommand() {
    let world = World::new();
    let page = world.run_well(&["man"]);
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "SUBCOMMANDS", "FILES", "ENVIRONMENT", "SIGNALS", "EXIT STATUS"] {
        assert!(
            page.contains(&format!("\n.SH {section}\n")) || page.contains(&format!("\n.SH \"{section}\"\n")),
            "{page}"
        );
    }
    let folder = world.path().join("share/man1");
    world.run_well(&["man", "--into", folder.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(folder.join("rosterd.1")).unwrap(), page);
    for command in COMMANDS.iter().filter(|command| **command != "help") {
        assert!(page.contains(&format!("rosterd\\-{command}(1)")), "{command}: {page}");
        let page = std::fs::read_to_string(folder.join(format!("rosterd-{command}.1"))).unwrap();
        assert!(page.contains(&format!("\\fBrosterd {command}\\fR")), "{command}: {page}");
    }
    let nested = std::fs::read_to_string(folder.join("rosterd-config-check.1")).unwrap();
    assert!(nested.contains("\\fBrosterd config check\\fR"), "{nested}");
    // Where there is a formatter, it finds nothing to complain about.
    for page in std::fs::read_dir(&folder).unwrap() {
        let mut formatter = Process::new("groff");
        formatter.args(["-man", "-Tutf8", "-ww", "-z"]).arg(page.unwrap().path());
        let Ok(output) = formatter.output() else { break };
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let said = world.run_badly(&["man", "--into", world.config().to_str().unwrap()]);
    assert!(said.contains("config.toml cannot be written"), "{said}");
}
