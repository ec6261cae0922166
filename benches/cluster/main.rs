//! The table of several gateways on one PostgreSQL database, in one go: `make cluster-table` prints it.
//!
//! `cargo bench --bench cluster -- [--quick] [--only writes,pace,killed] [--into FILE.md]`. The server is PostgreSQL as it is
//! installed, with fsync on, on the machine that runs gateways and generator as well; so the ratios of one run say more than
//! its numbers. Beside the gateways stand stores without sessions, and PostgreSQL alone.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss, reason = "a report")]

mod alone;
mod gateways;
mod nats;
mod stores;
mod work;
mod written;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rosterd_bench::{gauge, goals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::work::{ClusterTable, Size, WORK};
use self::written::WriteLine;

const FULL: Size = Size { length: Duration::from_secs(5), logins: 2000, lost: 5000, rest: 35 };
const QUICK: Size = Size { length: Duration::from_secs(1), logins: 200, lost: 100, rest: 2 };
/// What the table in a document stands between.
const MARKERS: [&str; 2] = ["<!-- cluster: begin -->\n", "<!-- cluster: end -->"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1).map(String::as_str);
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let Some(server) = rosterd_postgres_server::shared() else {
        return Err("there is no PostgreSQL to measure with: make postgres".into());
    };
    // For the generator and the gateways, which have it from here.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    let begun = Instant::now();
    let mut table = ClusterTable::new(server, directory.clone(), if is_quick { QUICK } else { FULL })?;
    let only = value("--only");
    for (name, work) in WORK {
        if only.is_none_or(|only| only.split(',').any(|only| only == name)) {
            eprintln!("== {name}");
            if let Err(error) = work(&mut table) {
                table.problems.push(format!("{name}: {error}"));
            }
        }
    }
    let text = report(&table, is_quick, begun);
    println!("\n{text}");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("table.md"), &text)?;
    println!("kept in {}", directory.join("table.md").display());
    if let Some(file) = value("--into") {
        let document = fs::read_to_string(file)?;
        let document =
            goals::put_between(&document, MARKERS, &text).ok_or_else(|| format!("{file} has no {MARKERS:?}"))?;
        fs::write(file, document)?;
        println!("written into {file}");
    }
    let missed = table.goals.iter().filter(|goal| goal.is_met() == Some(false)).count();
    println!("{missed} goal(s) missed, {} part(s) with problems", table.problems.len());
    if table.problems.is_empty() { Ok(()) } else { Err("there were problems".into()) }
}

fn report(table: &ClusterTable, is_quick: bool, begun: Instant) -> String {
    let mut text = WriteLine::HEAD.to_owned();
    text.extend(table.writes.iter().map(WriteLine::text));
    text.push('\n');
    text += &goals::markdown(&table.goals);
    let _ = writeln!(
        text,
        "\n{}{}; database, gateways and generator share its cores. Took {} s.",
        if is_quick { "A quick run, not to be quoted. " } else { "" },
        gauge::machine(),
        begun.elapsed().as_secs(),
    );
    for problem in &table.problems {
        let _ = writeln!(text, "\nPROBLEM: {problem}");
    }
    text
}
