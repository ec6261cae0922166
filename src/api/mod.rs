//! The ops listener: the server API for backends, the console for operators, health, and metrics. It is not meant for the open internet.
//!
//! Bodies are the records of the wire in JSON; errors are its `error` object with a fitting HTTP status. A write takes
//! the same path as a client's: the same checks, decision, commit and feed.

mod access;
mod answer;
mod audit;
mod authorize;
mod classic_text;
mod console;
mod console_audit;
mod console_request;
mod console_sessions;
mod document;
mod explain;
mod feed;
mod feed_stream;
mod forward;
mod health;
mod hooks;
mod live;
mod live_numbers;
mod live_stream;
mod me;
mod nodes;
mod openapi;
mod positions;
mod private;
mod relations;
mod request;
mod router;
mod routes;
mod schema;
mod scoped;
mod serve;
mod settings;
mod shown_settings;
mod snapshot;
mod state;
mod tokens;
mod user_changes;
mod users;
mod webhooks;

pub use self::live_numbers::LiveNumbers;
pub use self::router::router;
pub use self::routes::IMPORT_BYTES;
pub use self::serve::serve;
pub use self::shown_settings::{ShownSetting, ShownSettings};
pub use self::state::{Access, AccessControl};
