//! Reads an import as often as it is needed, and notices if it is not the same each time.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use super::csv_rows::{Columns, rows};
use super::source_line::SourceLine;
use crate::cli::CliError;

/// The mark that some programs put before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An import that can be read several times.
pub(super) struct Source {
    name: String,
    file: File,
    /// The columns of the header row; none if it is JSON lines.
    columns: Option<Columns>,
    begin: u64,
    /// The hash of what the first reading read.
    first: Option<u64>,
}

impl Source {
    /// Opens a file, or standard input if it is named `-`.
    ///
    /// What can be read only once, such as a pipe, is copied into a temporary file that has no name.
    ///
    /// # Errors
    /// It cannot be read, or its header row is wrong.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let is_input = path.as_os_str() == "-";
        let name = if is_input { "standard input".to_owned() } else { path.display().to_string() };
        let cannot = |error| cannot_read(&name, &error);
        let file = if is_input {
            spool(&name, std::io::stdin().lock())?
        } else {
            let file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_file() { file } else { spool(&name, file)? }
        };
        let mut source = Self { name, file, columns: None, begin: 0, first: None };
        let head = source.head().map_err(|error| cannot_read(&source.name, &error))?;
        let csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        source.columns = Columns::of(&head, csv).map_err(|why| CliError(format!("{}: {why}", source.name)))?;
        Ok(source)
    }

    /// Returns the first line, and notes where the text begins.
    fn head(&mut self) -> std::io::Result<Vec<u8>> {
        let mut head = Vec::new();
        BufReader::new(&self.file).read_until(b'\n', &mut head)?;
        if let Some(text) = head.strip_prefix(BYTE_ORDER_MARK) {
            self.begin = BYTE_ORDER_MARK.len() as u64;
            return Ok(text.to_vec());
        }
        Ok(head)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |data| data.len())
    }

    /// Gives every line that is not blank to `each`.
    ///
    /// # Errors
    /// Those of `each`; it cannot be read; or it is not what it was at the first reading.
    pub(super) async fn read(
        &mut self,
        mut each: impl AsyncFnMut(SourceLine) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let name = self.name.clone();
        let cannot = |error: std::io::Error| cannot_read(&name, &error);
        self.file.seek(SeekFrom::Start(self.begin)).map_err(cannot)?;
        let mut hashed = Hashed { inner: &self.file, hash: DefaultHasher::new() };
        match &self.columns {
            Some(columns) => {
                for row in rows(columns, &mut hashed) {
                    each(row.map_err(cannot)?).await?;
                }
            }
            None => {
                for (number, line) in (1..).zip(BufReader::new(&mut hashed).split(b'\n')) {
                    let line = line.map_err(cannot)?;
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    let text = String::from_utf8(line).map_err(|_| "not UTF-8".to_owned());
                    each(SourceLine { number, text }).await?;
                }
            }
        }
        let hash = hashed.hash.finish();
        if *self.first.get_or_insert(hash) != hash {
            return Err(CliError(format!("{name} changed while it was read")));
        }
        Ok(())
    }
}

/// Copies what can be read only once.
fn spool(name: &str, mut from: impl Read) -> Result<File, CliError> {
    let cannot = |error: std::io::Error| {
        CliError(format!("cannot copy {name} into a temporary file in {}: {error}", std::env::temp_dir().display()))
    };
    let mut file = tempfile::tempfile().map_err(cannot)?;
    let mut block = vec![0; 64 * 1024];
    loop {
        let read = match from.read(&mut block) {
            Ok(0) => return Ok(file),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(cannot_read(name, &error)),
        };
        file.write_all(&block[..read]).map_err(cannot)?;
    }
}

fn cannot_read(name: &str, error: &std::io::Error) -> CliError {
    CliError(format!("cannot read {name}: {error}"))
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    hash: DefaultHasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hash.write(&into[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    async fn read(source: &mut Source) -> Result<Vec<(u64, Result<String, String>)>, String> {
        let mut lines = Vec::new();
        let each = async |line: SourceLine| {
            lines.push((line.number, line.text));
            Ok(())
        };
        source.read(each).await.map_err(|CliError(why)| why)?;
        Ok(lines)
    }

    #[tokio::test]
    async fn a_second_reading_that_differs_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a.ndjson", "{}\n\n{}\n"), ("b.csv", "account\nann\n")] {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            let mut source = Source::open(&file).unwrap();
            let first = read(&mut source).await.unwrap();
            assert_eq!(read(&mut source).await.unwrap(), first);
            // As long as before, and a byte longer.
            for other in [text.replace(['{', 'n'], "x"), format!("{text}\n")] {
                fs::write(&file, &other).unwrap();
                let error = read(&mut source).await.unwrap_err();
                assert!(error.contains(name) && error.ends_with("changed while it was read"), "{error}");
            }
            fs::write(&file, text).unwrap();
            assert_eq!(read(&mut source).await.unwrap(), first);
        }
    }

    #[tokio::test]
    async fn a_mark_at_the_beginning_is_no_part_of_the_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for (text, number) in [("\u{feff}{}\r\n\r\n7\u{feff}", 1), ("\u{feff}\n\n{}\n7\u{feff}", 3)] {
            fs::write(&file, text).unwrap();
            let lines = read(&mut Source::open(&file).unwrap()).await.unwrap();
            let trimmed: Vec<_> = lines.iter().map(|(_, text)| text.as_ref().unwrap().trim_end()).collect();
            assert_eq!((lines[0].0, trimmed), (number, vec!["{}", "7\u{feff}"]), "{text:?}");
        }
    }
}
