//! The settings: what `config.toml`, the environment and flags may say, and which values are valid.
//!
//! [`load()`] reads and checks the settings before any port is bound; nothing else in the crate reads the file or the
//! environment. This module decides nothing about what a setting does: `app` hands plain values on.
//! Secrets never appear in an error or in `Debug` output.

mod auth;
mod called_server;
mod check;
mod choice;
mod cluster_checks;
mod error;
mod form;
mod hooks;
mod key_checks;
mod keys;
mod load;
mod named;
mod profile;
mod ranges;
mod settings;
mod warnings;
mod webhook_checks;
mod webhooks;

pub use auth::Auth;
pub use choice::{FieldType, HookFailure, LogFormat, Mode, WebhookFormat, WebhookStart};
pub use error::Error;
pub use form::{Secret, StoreUrl};
pub use hooks::{HookConfig, HooksConfig};
pub use keys::KeyConfig;
pub use load::{EffectiveSetting, LoadedConfig, SettingsOptions, load};
pub use named::check_name;
pub use profile::{FieldConfig, ProfileConfig};
pub use settings::{
    ClientsConfig, ClientsTls, ClusterConfig, Config, DemoConfig, FeedConfig, FriendsConfig, LimitsConfig, LogConfig,
    OpsConfig, OpsConsole, OpsTls, PresenceConfig, SessionsConfig, ShutdownConfig, StoreConfig,
};
pub use webhooks::WebhookConfig;

/// Returns the annotated `config.toml`: every key with its default and why it is there.
pub fn default_text() -> &'static str {
    include_str!("../../config.toml")
}
