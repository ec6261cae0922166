//! What a gateway gave, until the changes that were made meanwhile are known: lines in a temporary file, compressed.
//!
//! The gateway's store may be on the same disk, and all that an export writes and frees there delays the store's commits. So
//! everything is written once, into the export's own file, and only a fraction of it twice.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};

use tempfile::NamedTempFile;

use super::pace::Pace;
use crate::cli::CliError;

/// The bytes that are compressed at a time.
const BLOCK: usize = 64 << 10;
/// How much of the file is freed at a time: on a disk that is told which blocks are free, commits wait while it frees a large
/// file.
const FREED: usize = 1 << 20;

/// A temporary file with access for nobody else.
pub(super) struct Draft {
    file: NamedTempFile,
    /// Lines that are not in the file yet.
    rest: Vec<u8>,
    pace: Pace,
}

impl Draft {
    pub(super) fn new(file: NamedTempFile) -> Self {
        Self { file, rest: Vec::with_capacity(BLOCK), pace: Pace::new() }
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CliError> {
        self.rest.extend_from_slice(line.as_bytes());
        self.rest.push(b'\n');
        if self.rest.len() < BLOCK { Ok(()) } else { self.put_block() }
    }

    fn put_block(&mut self) -> Result<(), CliError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let block = lz4_flex::block::compress_prepend_size(&self.rest);
        let file = self.file.as_file_mut();
        let length = u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes();
        let written = file.write_all(&length).and_then(|()| file.write_all(&block));
        self.pace.wait(self.rest.len());
        self.rest.clear();
        written.map_err(|error| self.cannot(&error))
    }

    /// Drops what was written.
    pub(super) fn clear(&mut self) -> Result<(), CliError> {
        self.rest.clear();
        let file = self.file.as_file_mut();
        let cleared = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        cleared.map(drop).map_err(|error| self.cannot(&error))
    }

    /// Gives each line to `take`, and ends the draft.
    pub(super) fn read(mut self, mut take: impl FnMut(&str) -> Result<(), CliError>) -> Result<(), CliError> {
        self.put_block()?;
        let mut file = BufReader::new(self.file.reopen().map_err(|error| self.cannot(&error))?);
        while let Some(block) = next_block(&mut file).map_err(|error| self.cannot(&error))? {
            for line in block.lines() {
                take(line)?;
            }
        }
        self.free().map_err(|error| self.cannot(&error))
    }

    fn free(&self) -> std::io::Result<()> {
        let (file, mut pace) = (self.file.as_file(), Pace::new());
        let mut size = file.metadata()?.len();
        while size > 0 {
            pace.wait(FREED);
            size = size.saturating_sub(FREED as u64);
            file.set_len(size)?;
        }
        Ok(())
    }

    fn cannot(&self, error: &std::io::Error) -> CliError {
        CliError(format!("cannot write {}: {error}", self.file.path().display()))
    }
}

fn next_block(file: &mut BufReader<File>) -> std::io::Result<Option<String>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut block = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut block)?;
    let block = lz4_flex::block::decompress_size_prepended(&block).map_err(std::io::Error::other)?;
    String::from_utf8(block).map(Some).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_of_many_blocks_is_read_as_it_was_written_since_it_was_cleared() {
        let mut draft = Draft::new(NamedTempFile::new().unwrap());
        let line = |number: usize| format!("line {number} {}", "x".repeat(number % 100));
        let written: Vec<_> = (0..4000).map(line).collect();
        assert!(written.concat().len() > 3 * BLOCK);
        for text in written.iter().rev().chain(&written) {
            if *text == written[0] {
                draft.clear().unwrap();
            }
            draft.line(text).unwrap();
        }
        let mut read = Vec::new();
        draft
            .read(|line| {
                read.push(line.to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(read, written);
    }
}
