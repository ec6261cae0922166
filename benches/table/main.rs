//! The table of `docs/performance.md`: a gateway measured beside the machine's floor, in one go.
//!
//! `cargo bench --bench table -- [--quick] [--only WORK,…] [--into FILE.md]` makes the table, `… -- grow DIRECTORY` the
//! plots of how cost grows. It starts everything itself: the floor (`limit`, this program again) and the gateway on the
//! first core, the generator (`rosterd bench`) on the second.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a report")]

mod commits;
mod grow;
mod limit;
mod servers;
mod work;

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rosterd_bench::goals;

use self::servers::Cores;
use self::work::{Size, Table, WORK};

const FULL: Size = Size { times: 3, seconds: 5, many: 19_000, few: 2000, stall: 60 };
const QUICK: Size = Size { times: 1, seconds: 2, many: 4000, few: 600, stall: 10 };
/// What a table in a document stands between.
const MARKERS: [&str; 2] = ["<!-- table: begin -->\n", "<!-- table: end -->"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["limit", mode, users, friends] => return limit::serve(mode, servers::graph(users, friends)?, &scratch()?),
        ["grow", directory] => {
            let _priority = Priority::raise();
            return grow::grow(Cores::find(), &scratch()?, Path::new(directory));
        }
        _ => {}
    }
    let value = |name: &str| arguments.iter().skip_while(|argument| **argument != name).nth(1).copied();
    let size = if arguments.contains(&"--quick") { QUICK } else { FULL };
    table(size, value("--only"), value("--into"))
}

/// Where stores and results go: the same file system that the build goes to.
fn scratch() -> Result<PathBuf, Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("table");
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn table(size: Size, only: Option<&str>, into: Option<&str>) -> Result<(), Box<dyn Error>> {
    let (begun, priority) = (Instant::now(), Priority::raise());
    let mut table = Table::new(Cores::find(), scratch()?, size);
    for (name, work) in WORK {
        if only.is_none_or(|only| only.split(',').any(|only| only == name)) {
            eprintln!("== {name}");
            if let Err(error) = work(&mut table) {
                table.problems.push(format!("{name}: {error}"));
            }
        }
    }
    let text = report(&mut table, begun, priority.raised);
    println!("\n{text}");
    let kept = table.directory.join("table.md");
    fs::write(&kept, &text)?;
    println!("kept in {}", kept.display());
    if let Some(file) = into {
        put_into(Path::new(file), &text)?;
    }
    let missed = table.entries.iter().filter(|entry| entry.is_met() == Some(false)).count();
    println!("{missed} goal(s) missed, {} run(s) with problems", table.problems.len());
    if table.problems.is_empty() { Ok(()) } else { Err("there were runs with problems".into()) }
}

/// The table, and how the machine looked.
fn report(table: &mut Table, begun: Instant, raised: bool) -> String {
    let mut text = goals::markdown(&table.entries);
    table.foreign.sort_by(f64::total_cmp);
    let foreign = |at: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let at = (table.foreign.len().saturating_sub(1) as f64 * at) as usize;
        table.foreign.get(at).copied().unwrap_or_default()
    };
    let _ = write!(
        text,
        "\n{}. Gateway and floor on core {}, generator on core {}, priority {}; each the middle of {} run(s), but idle, \
         storm, write and slow of one. Other work on the machine meanwhile: {:.2} cores in the middle, {:.2} at most. Took {} s.\n",
        rosterd_bench::gauge::machine(),
        table.cores.server,
        table.cores.generator,
        if raised { "raised" } else { "normal" },
        table.size.times,
        foreign(0.5),
        foreign(1.0),
        begun.elapsed().as_secs(),
    );
    for problem in &table.problems {
        let _ = writeln!(text, "\nPROBLEM: {problem}");
    }
    text
}

/// Replaces what stands between the markers.
fn put_into(file: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let document = fs::read_to_string(file)?;
    let no_markers = || format!("{} has no {:?} and {:?}", file.display(), MARKERS[0].trim(), MARKERS[1]);
    fs::write(file, goals::put_between(&document, MARKERS, text).ok_or_else(no_markers)?)?;
    println!("written into {}", file.display());
    Ok(())
}

/// Puts this session's processes before other work while it lives, where the system lets it: what else runs then shows in
/// the tails and hardly in the throughput.
struct Priority {
    raised: bool,
}

impl Priority {
    const FILE: &str = "/proc/self/autogroup";

    fn raise() -> Self {
        let grouped = fs::write(Self::FILE, "-15").is_ok();
        let raised = rustix::process::nice(-15).is_ok();
        Self { raised: grouped || raised }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        let _ = fs::write(Self::FILE, "0");
    }
}
