//! Records on their way to a client in bulk, in as few frames and writes as their size allows: a catch-up's and a
//! repair's.

use tokio::io::{AsyncRead, AsyncWrite};

use super::frame_writer::FrameWriter;
use super::frames::fill;
use super::socket::ClientSocket;
use crate::service::Record;
use rosterd_engine::model::{Account, CloseReason};
use rosterd_protocol::{Changes, Encoding, v1};

/// Room to begin with: a client that lacks little is told in less.
const ROOM: usize = 4096;
/// Bytes after which a batch is written.
const WRITE: usize = 32 * 1024;

/// Frames that are yet to be written, and the records of the next one.
pub(super) struct BulkWriter {
    encoding: Encoding,
    pub(super) out: FrameWriter,
    pub(super) changes: Changes,
}

impl BulkWriter {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, out: FrameWriter::with_capacity(encoding, ROOM), changes: Changes::new(encoding) }
    }

    /// Adds records as `viewer` is to be told them, and writes what there is if it is enough.
    pub(super) async fn add<'a, S>(
        &mut self,
        link: &mut ClientSocket<S>,
        records: &mut impl Iterator<Item = Record<'a>>,
        viewer: &Account,
    ) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while fill(&mut self.changes, records, viewer) {
            self.end_changes();
            self.write_enough(link).await?;
        }
        Ok(())
    }

    /// Ends the frame of records, if there are any.
    pub(super) fn end_changes(&mut self) {
        if self.changes.records() > 0 {
            self.out.message(|payload| self.changes.finish(None, payload));
            self.changes = Changes::new(self.encoding);
        }
    }

    /// Writes what there is if it is enough.
    pub(super) async fn write_enough<S>(&mut self, link: &mut ClientSocket<S>) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.out.bytes().len() >= WRITE {
            link.send(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Writes the rest, and that this was all.
    pub(super) async fn synced<S>(mut self, link: &mut ClientSocket<S>, synced: v1::Synced) -> Result<(), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.end_changes();
        self.out.server(&v1::ServerFrame { synced: Some(synced), ..Default::default() });
        link.send(&self.out).await
    }
}
