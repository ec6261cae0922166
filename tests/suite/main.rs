//! The integration tests, one module for each thing under test, in one binary so that they link once.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::float_cmp, clippy::cast_sign_loss, reason = "the metrics that are compared count, in whole numbers")]
#![allow(unreachable_pub, reason = "what tests share is public to them all, and nobody is outside")]

mod api;
mod audit;
mod auth;
mod backend;
mod backup;
mod bad_input;
#[cfg(target_os = "linux")]
mod bench;
mod blocks;
mod catch_up;
mod cli;
mod client;
mod clock;
mod cluster;
mod conformance;
mod console;
mod converge;
mod deploy;
mod device_kinds;
mod devices;
mod durability;
mod explain;
mod export;
mod feed;
mod files;
mod frames;
mod friends;
mod guarded;
mod hooks;
mod import;
mod keys;
mod limits;
mod live;
mod live_bad_input;
mod live_client;
mod live_scripted;
mod logs;
mod muted;
#[cfg(feature = "nats")]
mod nats_server;
mod operations;
mod ops_listener;
mod origins;
mod own_fields;
mod pages;
mod postgres;
#[cfg(target_os = "linux")]
mod postgres_disk;
mod postgres_trouble;
mod presence;
mod presence_feed;
mod proxy;
mod races;
#[path = "../sim/random.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod random;
mod raw;
mod reload;
mod repair;
mod rules_change;
mod scenarios;
mod scopes;
mod shutdown;
mod signals;
mod slow;
mod standards;
mod status;
mod store;
mod store_trouble;
mod story;
mod supervision;
mod support;
mod terminal;
mod tls;
mod tokens;
mod user_changes;
mod versions;
mod visibility;
mod watch;
mod webhook_faults;
mod webhooks;
mod websocket;
