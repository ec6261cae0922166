//! The one HTTP client with which the gateway calls others: a key set today, what operators configure in general.
//!
//! The settings alone decide which host is called. A name is resolved, each of its addresses is checked, and the
//! connection goes to an address that was checked, so nothing between the check and the connection can change it. No
//! redirect is followed, no proxy of the environment is used, and no answer is decompressed. A call has a limit of time
//! over all of it and one of bytes.

mod address_rules;
mod client;
mod resolver;
mod signature;
mod trust;
mod url;

pub use address_rules::AddressRules;
pub use client::{CallError, CalledAnswer, OutboundClient, OutboundSettings};
pub use resolver::{NameLookup, system_lookup};
pub use signature::{SigningSecret, SigningSecrets};
pub use trust::TrustFiles;
pub use url::Url;
