//! `rosterd import FILE` imports users, friendships and blocks from JSON lines or from CSV, and what `rosterd export` wrote.

mod archive_check;
mod check;
mod csv_rows;
mod edge_pairs;
mod progress;
mod run;
mod source;
mod source_line;

pub use run::run;
