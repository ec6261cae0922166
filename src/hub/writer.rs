//! The way out of a connection.

use std::fmt::Debug;
use std::io;

use rosterd_protocol::Encoding;

/// A connection's way out.
pub trait WriteHandle: Debug + Send + Sync {
    /// How its client is spoken to.
    fn encoding(&self) -> Encoding;

    /// Writes as much as the system takes at once.
    ///
    /// # Errors
    /// It takes nothing now (`WouldBlock`), or the connection is broken.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}
