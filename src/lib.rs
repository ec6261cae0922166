//! rosterd keeps user profiles and friend lists in sync, live, on every client.
//!
//! A client logs in over a WebSocket, gets its own profile and what has changed among its friends since its last
//! session, and from then on every change as it happens. This page is the map; `docs/architecture.md` gives the reasons.
//!
//! | crate | owns | depends on |
//! |---|---|---|
//! | `rosterd-engine` | the vocabulary and the sync engine: pure data and pure functions | – |
//! | `rosterd-protocol` | bytes ↔ model: the generated schema, its JSON form, records encoded once | engine |
//! | `rosterd-client` | the Rust client: the one for applications, and its parts for tools and tests | engine, protocol |
//! | `rosterd-ffi` | the client for other languages | client, protocol |
//! | `rosterd-bench` | the load generator, which measures a gateway from outside | engine, protocol, client |
//! | `rosterd-service` | what a gateway does, without its listeners: `metrics` to `service` in the table below | engine, protocol |
//! | `rosterd-gateway` | the client listener: `lifecycle` to `gateway` in the table | engine, protocol, service |
//! | `rosterd` | this crate: gateway and binary | all of them |
//!
//! | module | owns | imports of the crate |
//! |---|---|---|
//! | [`metrics`] | every metric, named once | – |
//! | [`locks`] | the locks of `hub`, so that a test can replace them | – |
//! | [`store`] | durable rows and the feed of commits: the trait, and its adapters for SQLite and PostgreSQL | metrics |
//! | [`outbound`] | calls to other servers: which URLs and addresses, with which limits | – |
//! | [`auth`] | verifying tokens | metrics, outbound |
//! | [`hub`] | live state: registry of users, sessions, watchers, the feed that marks them; the only locks | metrics, locks |
//! | [`service`] | the use cases, called by gateway and api alike | hub, store, auth, metrics |
//! | [`lifecycle`] | the phases of a gateway's life, and the schedule of its drain | – |
//! | [`assets`] | files in the binary that browsers load | – |
//! | [`tls`] | the listeners' certificates: read, checked, replaced while connections live | – |
//! | [`admission`] | limits by address, trusted proxies, origins, rate limits | – |
//! | [`session`] | one connection's life: log in, catch up, live, close | admission, service, hub, metrics, lifecycle |
//! | [`gateway`] | the client listener: accept, TLS, upgrade; the end of all sessions | admission, assets, session, service, hub, lifecycle, tls |
//! | [`supervisor`] | the tasks that a gateway cannot do without: the end of one ends the process | lifecycle |
//! | [`keys`] | the keys of the server API, and what each may do | – |
//! | [`callback`] | calls to backends: events for the endpoints of the settings, questions to hooks | service, store, outbound, metrics |
//! | [`api`] | the ops listener: server API, console, health, metrics | assets, service, lifecycle, tls, keys |
//! | [`config`] | `config.toml`, environment and flags → checked settings | admission, auth, hub, keys, metrics, outbound, store, tls |
//! | [`app`] | the composition root; the only place that names adapters | everything |
//! | [`cli`] | the subcommands | everything |
//!
//! `tests/architecture` holds the code of these three crates to the last column.
//!
//! [`assets`]: rosterd_gateway::assets
//! [`locks`]: rosterd_service
//!
//! # Recipes
//! In short; CONTRIBUTING.md lists every file of each.
//!
//! - **A new command**: `proto/` → a line in `rosterd_protocol::decode`'s `commands!` → if it writes, a variant of
//!   `model::Command` and its decision in `sync::decide` → a function in `service` → an arm in `session::commands` → a
//!   vector in `docs/conformance` and a test in `tests/suite`.
//! - **A new store**: a folder in `crates/service/src/store/`, a variant of `config::StoreUrl`, an arm in `app` and one in `cli::backup`, a
//!   constructor in `tests/suite/store/rig.rs` and a line in `tests/suite/store/mod.rs`.
//! - **A new pushed record**: `proto/` → a kind in `sync::outbox` → what it has pending in `sync::delta` →
//!   `rosterd_protocol::Changes` → `session::flush`.
//! - **A new setting**: a field in `config::settings`, its range in `config::ranges`, a line in `config.toml` and in
//!   `docs/configuration.md`; tests hold the three together. A setting that a reload replaces also belongs to a part in
//!   `App::parts`, and to the table in `docs/operations.md`.
//! - **A new metric**: a field in `metrics`, a line in `docs/operations.md`, a panel in `deploy/grafana`; a test wants both.

use rosterd_gateway::assets;
pub use rosterd_gateway::{admission, gateway, lifecycle, session, tls};
pub use rosterd_service::{auth, hub, metrics, outbound, service, store};

pub mod api;
pub mod app;
pub mod callback;
pub mod cli;
pub mod config;
pub mod keys;
pub mod supervisor;
