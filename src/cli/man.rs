//! `rosterd man`: the manual pages, made from the declaration of the command line.

use std::io::Write as _;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use super::{CliError, say};

/// The sections of the program's page that the declaration of its arguments does not have.
const MORE: &str = r".SH FILES
.TP
\fIconfig.toml\fR
The settings, read from the working directory unless \fB\-\-config\fR names another file.
\fBrosterd config default\fR prints all of them with their defaults.
.SH ENVIRONMENT
.TP
\fBROSTERD_\fISECTION\fB__\fIKEY\fR
Sets one setting, over the file and under \fB\-\-set\fR.
.SH SIGNALS
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
Stop the gateway in order; a second one ends it at once.
.TP
\fBSIGHUP\fR
Reads the settings and the certificates again.
.SH EXIT STATUS
.TP
\fB0\fR
Success.
.TP
\fB1\fR
The command failed; standard error says why.
.TP
\fB2\fR
The arguments are wrong.
";

/// Prints the page of the program, or writes it and one page for each subcommand into a folder, which is made.
///
/// # Errors
/// A page cannot be written.
pub fn run(mut command: Command, into: Option<&Path>) -> Result<(), CliError> {
    // Gives the subcommands their full names and the options that they share.
    command = command.disable_help_subcommand(true);
    command.build();
    let Some(folder) = into else {
        let text = page(&command).map_err(CliError::of)?;
        return say(String::from_utf8_lossy(&text).trim_end());
    };
    let failed = |error| CliError(format!("{} cannot be written: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    write(&command, folder).map_err(failed)
}

/// Writes the pages of a command and of all below it.
fn write(command: &Command, folder: &Path) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|below| write(below, folder))
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let source = format!("rosterd {}", env!("CARGO_PKG_VERSION"));
    let mut page = Vec::new();
    Man::new(command.clone()).source(source).manual("rosterd").render(&mut page)?;
    if command.get_name() == "rosterd" {
        page.write_all(MORE.as_bytes())?;
    }
    Ok(page)
}
