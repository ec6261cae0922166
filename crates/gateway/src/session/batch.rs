//! Writes records to a client in bulk, in as few frames and writes as their size allows, for a catch-up or a repair.

use tokio::io::{AsyncRead, AsyncWrite};

use super::frame_writer::FrameWriter;
use super::frames::fill;
use super::socket::ClientSocket;
use crate::service::Record;
use rosterd_engine::model::CloseReason;
use rosterd_protocol::{Changes, Encoding, v1};

/// The capacity to begin with. It is enough for a client that lacks little.
const CAPACITY: usize = 4096;
/// Bytes after which a batch is written.
const WRITE: usize = 32 * 1024;

/// The frames that are yet to be written, and the records of the next one.
pub(super) struct BulkWriter {
    encoding: Encoding,
    pub(super) writer: FrameWriter,
    pub(super) changes: Changes,
    /// Whether anything was written yet.
    pub(super) has_written: bool,
}

impl BulkWriter {
    pub(super) fn new(encoding: Encoding) -> Self {
        let (writer, changes) = (FrameWriter::with_capacity(encoding, CAPACITY), Changes::new(encoding));
        Self { encoding, writer, changes, has_written: false }
    }

    /// Adds records, and writes the frames once there are enough.
    pub(super) async fn add<'a, S>(
        &mut self,
        socket: &mut ClientSocket<S>,
        records: &mut impl Iterator<Item = Record<'a>>,
    ) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while fill(&mut self.changes, records) {
            self.end_changes();
            self.write_enough(socket).await?;
        }
        Ok(())
    }

    /// Ends the frame of records, if it has any.
    pub(super) fn end_changes(&mut self) {
        if self.changes.records() > 0 {
            self.writer.message(|payload| self.changes.finish(None, payload));
            self.changes = Changes::new(self.encoding);
        }
    }

    /// Writes the frames once there are enough.
    pub(super) async fn write_enough<S>(&mut self, socket: &mut ClientSocket<S>) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.writer.bytes().len() >= WRITE {
            self.has_written = true;
            socket.send(&mut self.writer).await?;
        }
        Ok(())
    }

    /// Writes the rest, and `synced` after it.
    pub(super) async fn synced<S>(mut self, socket: &mut ClientSocket<S>, synced: v1::Synced) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.end_changes();
        self.writer.server(&v1::ServerFrame { synced: Some(synced), ..Default::default() });
        socket.send(&mut self.writer).await
    }
}
