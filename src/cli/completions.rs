//! `rosterd completions SHELL`: a completion script, made from the declaration of the command line.

use clap::Command;
use clap_complete::Shell;

use super::{CliError, say};

/// Prints the completion script of `command` for a shell.
///
/// # Errors
/// It cannot be printed.
pub fn run(mut command: Command, shell: Shell) -> Result<(), CliError> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    say(String::from_utf8_lossy(&script).trim_end())
}
