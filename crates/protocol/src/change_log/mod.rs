//! Changes as a store keeps them in its change log: protobuf, by `proto/rosterd/feed/v1`.

mod change;
mod malformed;
mod rows;
#[cfg(test)]
mod tests;

pub use self::change::{decode_changes, encode_changes, encode_logged};
pub use self::malformed::MalformedChange;
