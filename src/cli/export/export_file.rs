//! The file that an export goes to: nothing is there before it is whole.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::{Builder, NamedTempFile};

use crate::cli::CliError;

/// How many bytes are handed to the disk at once: a store on the same disk waits for all of them.
const PIECE: usize = 64 << 10;
/// From one such piece to the next while a gateway writes to a store that may be on the same disk: 24 MiB a second. At
/// full speed, an export takes all that a disk gives, and the slowest of a hundred commits waited 3 times as long.
const PACE: Duration = Duration::from_micros(2600);

/// A temporary file beside the place where the export goes, with access for nobody else.
pub(super) struct ExportFile {
    /// `None` for standard output.
    to: Option<PathBuf>,
    file: BufWriter<NamedTempFile>,
    /// The bytes that were written.
    length: u64,
    /// Those of them that the disk has not been handed yet.
    waiting: usize,
    /// When the disk may be handed the next piece, if others write to that disk.
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
        Ok(Self {
            to,
            file: BufWriter::with_capacity(1 << 16, made.map_err(cannot)?),
            length: 0,
            waiting: 0,
            next: None,
        })
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
        self.length += line.len() as u64 + 1;
        self.waiting += line.len() + 1;
        let handed = written.and_then(|()| if self.waiting < PIECE { Ok(()) } else { self.hand_over() });
        handed.map_err(|error| self.cannot(&error))
    }

    /// Takes another file in place of this one, whose space is given back a little at a time: on a disk that is told which
    /// blocks are free, commits wait while it frees a large file.
    pub(super) fn replace_by(&mut self, other: Self) -> Result<(), CliError> {
        let old = std::mem::replace(self, other);
        let file = old.file.get_ref().as_file();
        let freed = file.metadata().and_then(|found| {
            let mut size = found.len();
            while size > 0 {
                size = size.saturating_sub(16 * PIECE as u64);
                file.set_len(size)?;
                sleep(4 * PACE);
            }
            Ok(())
        });
        freed.map_err(|error| old.cannot(&error))
    }

    /// Hands what was written to the disk.
    fn hand_over(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        if let Some(next) = &mut self.next {
            let now = Instant::now();
            sleep(next.saturating_duration_since(now));
            *next = now.max(*next) + PACE;
        }
        let piece = self.length - self.waiting as u64..self.length;
        self.waiting = 0;
        begin_writing(self.file.get_ref().as_file(), piece)
    }

    /// Drops what was written.
    pub(super) fn clear(&mut self) -> Result<(), CliError> {
        let cleared = self.file.flush().and_then(|()| {
            let file = self.file.get_mut().as_file_mut();
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0)).map(drop)
        });
        (self.length, self.waiting) = (0, 0);
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

/// Has the system write a part of a file, and waits for none of it.
#[cfg(target_os = "linux")]
fn begin_writing(file: &File, part: Range<u64>) -> std::io::Result<()> {
    // The system writes what is to be dropped from memory.
    let length = NonZeroU64::new(part.end - part.start);
    Ok(rustix::fs::fadvise(file, part.start, length, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn begin_writing(file: &File, _: Range<u64>) -> std::io::Result<()> {
    file.sync_data()
}
