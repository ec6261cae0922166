//! rosterd keeps user profiles and friend lists in sync, live, on every client.
//!
//! A client logs in over a WebSocket, gets its own profile and what changed among its friends since it was last here,
//! and from then on every change as it happens. This is the map; `docs/architecture.md` says why it is so.
//!
//! | module | owns | imports of the crate |
//! |---|---|---|
//! | [`model`] | the vocabulary: account, profile, edge, cursor, change, error and close codes | – |
//! | [`sync`] | the engine, pure: decide, outbox, interest, horizon, delta, digest, repair | model |
//! | [`wire`] | bytes ↔ model: the generated schema, its JSON form, records encoded once | model |
//! | [`metrics`] | every metric, named once | – |
//! | [`locks`] | the locks of `hub`, so that a test can put others in their place | – |
//! | [`store`] | durable rows and the feed of commits: the trait, SQLite, memory | model, sync |
//! | [`auth`] | who a token says its bearer is | model, metrics |
//! | [`hub`] | what is live: registry of users, sessions, watchers, the feed that marks them; the only locks | model, sync, wire, metrics, locks |
//! | [`service`] | the use cases, called by gateway and api alike | hub, store, auth, wire, model, sync, metrics |
//! | [`lifecycle`] | the phases of a gateway's life, and the pace of its end | – |
//! | [`tls`] | the listeners' certificates: read, checked, exchanged while connections live | – |
//! | [`gateway`] | client connections: upgrade, the session task, commands | service, hub, wire, model, sync, metrics, lifecycle, tls |
//! | [`api`] | the ops listener: server API, health, metrics | service, wire, model, lifecycle, tls |
//! | [`client`] | the Rust client that tools and tests use | wire, sync, model |
//! | [`bench`] | the load generator, which measures a gateway from outside | client, wire, model |
//! | [`config`] | `config.toml`, environment and flags → checked settings | auth, gateway, model, metrics, tls |
//! | [`app`] | the composition root; the only place that names adapters | everything |
//! | [`cli`] | the subcommands | everything |
//!
//! `tests/architecture.rs` holds the code to the last column.
//!
//! [`bench`]: mod@bench
//!
//! # Recipes
//! - **A new command**: `proto/` → a line in `wire::decode`'s `commands!` → an arm in `gateway::commands` → a function in
//!   `service` → a test in `tests/suite`.
//! - **A new store**: one folder in `store/`, one line in `tests/suite/store.rs`, one arm in `app`.
//! - **A new pushed record**: `proto/` → a kind in `sync::outbox` → what it owes in `sync::delta` → `wire::Changes` → `gateway::drain`.
//! - **A new setting**: a field in `config`, a line in `config.toml` and in `docs/configuration.md`; tests hold the three together.
//!   One that a reload takes over also belongs to a part in `App::parts`, and to the table in `docs/operations.md`.
//! - **A new metric**: a field in `metrics`, a line in `docs/operations.md`, a panel in `deploy/grafana`; a test wants both.

pub mod api;
pub mod app;
pub mod auth;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod cli;
pub mod client;
pub mod config;
pub mod gateway;
pub mod hub;
pub mod lifecycle;
mod locks;
pub mod metrics;
pub mod model;
pub mod service;
pub mod store;
pub mod sync;
pub mod tls;
pub mod wire;
