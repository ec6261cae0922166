//! The file that an export goes to: nothing is there before it is whole.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::draft::Draft;
use super::pace::Pace;
use crate::cli::CliError;

/// How many bytes are handed to the disk at once: a store on the same disk waits for all of them.
const PIECE: usize = 64 << 10;

/// A temporary file beside the place where the export goes, with access for nobody else.
pub(super) struct ExportFile {
    /// `None` for standard output.
    to: Option<PathBuf>,
    file: BufWriter<NamedTempFile>,
    /// The bytes that were written.
    length: u64,
    /// Those of them that the disk has not been handed yet.
    waiting: usize,
    /// How fast it is handed them, if others write to that disk.
    pace: Option<Pace>,
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
        let file = BufWriter::with_capacity(1 << 16, temporary(to.as_deref())?);
        Ok(Self { to, file, length: 0, waiting: 0, pace: None })
    }

    /// Begins a draft of it, and leaves most of the disk to others from here on.
    pub(super) fn draft(&mut self) -> Result<Draft, CliError> {
        self.pace = Some(Pace::new());
        Ok(Draft::new(temporary(self.to.as_deref())?))
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CliError> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        self.length += line.len() as u64 + 1;
        self.waiting += line.len() + 1;
        let handed = written.and_then(|()| if self.waiting < PIECE { Ok(()) } else { self.hand_over() });
        handed.map_err(|error| self.cannot(&error))
    }

    /// Hands what was written to the disk.
    fn hand_over(&mut self) -> std::io::Result<()> {
        self.file.flush()?;
        if let Some(pace) = &mut self.pace {
            pace.wait(self.waiting);
        }
        let piece = self.length - self.waiting as u64..self.length;
        self.waiting = 0;
        begin_writing(self.file.get_ref().as_file(), piece)
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

/// Makes a temporary file beside a file, or for standard output where such files are.
fn temporary(to: Option<&Path>) -> Result<NamedTempFile, CliError> {
    let folder = match to.map(|to| to.parent().unwrap_or(Path::new(""))) {
        None => std::env::temp_dir(),
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
    };
    let name = to.and_then(Path::file_name).unwrap_or(OsStr::new("export")).to_string_lossy();
    let made = Builder::new().prefix(&format!(".{name}.")).suffix(".partial").tempfile_in(&folder);
    made.map_err(|error| CliError(format!("cannot make a file in {}: {error}", folder.display())))
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
