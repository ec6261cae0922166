//! `rosterd import FILE` imports users, friendships and blocks, from JSON lines or from CSV.

mod csv_rows;
mod run;
mod source;
mod source_line;

pub use run::run;
