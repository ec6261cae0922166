//! The file that an export goes to: nothing is there before it is whole.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::{Builder, NamedTempFile};

use crate::cli::CliError;

/// How many bytes are written before they are put on the disk: a store on the same disk waits for all of them at once.
const SYNC: usize = 256 << 10;
/// From one such piece to the next while a gateway writes to a store that may be on the same disk: 24 MiB a second. At
/// full speed, an export takes all that a disk gives, and the slowest of a hundred commits waited 3 times as long.
const PACE: Duration = Duration::from_micros(10_400);

/// A temporary file beside the place where the export goes, with access for nobody else.
pub(super) struct ExportFile {
    /// `None` for standard output.
    to: Option<PathBuf>,
    file: BufWriter<NamedTempFile>,
    /// The bytes that are not on the disk yet.
    unsynced: usize,
    /// When the next piece may be put on the disk, if others write to that disk.
    next: Option<Instant>,
}

impl ExportFile {
    /// Begins a file, or standard output if it is named `-`.
    ///
    /// # Errors
    /// There is such a file already, or its folder cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        if path.as_os_str() == "-" {
            return Self::begin(None);
        }
        if path.symlink_metadata().is_ok() {
            return Err(CliError(format!("{} exists already: an export goes into a new file", path.display())));
        }
        Self::begin(Some(path.to_owned()))
    }

    fn begin(to: Option<PathBuf>) -> Result<Self, CliError> {
        let folder = match to.as_deref().map(|to| to.parent().unwrap_or(Path::new(""))) {
            None => std::env::temp_dir(),
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_owned(),
        };
        let name = to.as_deref().and_then(Path::file_name).unwrap_or(OsStr::new("export")).to_string_lossy();
        let made = Builder::new().prefix(&format!(".{name}.")).suffix(".partial").tempfile_in(&folder);
        let cannot = |error| CliError(format!("cannot make a file in {}: {error}", folder.display()));
        Ok(Self { to, file: BufWriter::with_capacity(1 << 16, made.map_err(cannot)?), unsynced: 0, next: None })
    }

    /// Leaves most of the disk to others from here on.
    pub(super) fn considerate(&mut self) {
        self.next = Some(Instant::now());
    }

    /// Begins another file that may take the place of this one.
    pub(super) fn another(&self) -> Result<Self, CliError> {
        Ok(Self { next: self.next, ..Self::begin(self.to.clone())? })
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CliError> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        self.unsynced += line.len() + 1;
        let synced = written.and_then(|()| if self.unsynced < SYNC { Ok(()) } else { self.sync() });
        synced.map_err(|error| self.cannot(&error))
    }

    /// Takes another file in place of this one, whose space is given back a little at a time: on a disk that is told which
    /// blocks are free, commits wait while it frees a large file.
    pub(super) fn replace_by(&mut self, other: Self) -> Result<(), CliError> {
        let old = std::mem::replace(self, other);
        let file = old.file.get_ref().as_file();
        let freed = file.metadata().and_then(|found| {
            let mut size = found.len();
            while size > 0 {
                size = size.saturating_sub(4 * SYNC as u64);
                file.set_len(size)?;
                sleep(PACE);
            }
            Ok(())
        });
        freed.map_err(|error| old.cannot(&error))
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.unsynced = 0;
        self.file.flush()?;
        if let Some(next) = &mut self.next {
            let now = Instant::now();
            sleep(next.saturating_duration_since(now));
            *next = now.max(*next) + PACE;
        }
        self.file.get_ref().as_file().sync_data()
    }

    /// Drops what was written.
    pub(super) fn clear(&mut self) -> Result<(), CliError> {
        let cleared = self.file.flush().and_then(|()| {
            let file = self.file.get_mut().as_file_mut();
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0)).map(drop)
        });
        cleared.map_err(|error| self.cannot(&error))
    }

    /// Reads the lines that were written.
    pub(super) fn lines(&mut self) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>, CliError> {
        let read = self.file.flush().and_then(|()| self.file.get_ref().reopen());
        Ok(BufReader::with_capacity(1 << 16, read.map_err(|error| self.cannot(&error))?).lines())
    }

    /// Puts the file into its place, once it is on the disk.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        let flushed = self.file.flush().map_err(|error| self.cannot(&error));
        flushed?;
        let Some(to) = self.to.take() else { return self.print() };
        let cannot = |error: std::io::Error| CliError(format!("cannot write {}: {error}", to.display()));
        let file = self.file.into_inner().map_err(|error| cannot(error.into_error()))?;
        file.as_file().sync_all().map_err(cannot)?;
        file.persist_noclobber(&to).map_err(|error| cannot(error.error))?;
        Ok(())
    }

    fn print(&mut self) -> Result<(), CliError> {
        let cannot = |error| CliError(format!("cannot write to standard output: {error}"));
        let file: &mut File = self.file.get_mut().as_file_mut();
        file.seek(SeekFrom::Start(0)).map_err(cannot)?;
        let mut out = std::io::stdout().lock();
        std::io::copy(file, &mut out).and_then(|_| out.flush()).map_err(cannot)
    }

    fn cannot(&self, error: &std::io::Error) -> CliError {
        CliError(format!("cannot write {}: {error}", self.file.get_ref().path().display()))
    }
}
