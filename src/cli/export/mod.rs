//! `rosterd export FILE` writes users, friendships, requests and blocks as JSON lines, which `rosterd import` takes back.

mod draft;
mod export_file;
mod from_gateway;
mod from_store;
mod merged;
mod missed_changes;
mod pace;
mod progress;
mod run;

pub use run::run;
