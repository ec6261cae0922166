//! The floor of durable writes: what one commit for each update gives on this disk, and what one fsync takes.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// What was found.
pub(crate) struct Floor {
    /// Updates a second, each in a transaction of its own.
    pub(crate) commits_per_second: f64,
    /// Half of the fsyncs took no longer; microseconds.
    pub fsync_p50_us: f64,
}

/// Measures in a directory on the disk that matters, for so long each.
pub(crate) fn measure(directory: &Path, length: Duration) -> Result<Floor, Box<dyn Error>> {
    Ok(Floor { commits_per_second: commits(directory, length)?, fsync_p50_us: fsyncs(directory, length)? })
}

/// As the gateway's store does it: a write-ahead log, flushed at each commit, and a profile of common size.
fn commits(directory: &Path, length: Duration) -> Result<f64, Box<dyn Error>> {
    let connection = Connection::open(directory.join("commits.db"))?;
    connection.execute("DROP TABLE IF EXISTS profile", [])?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute("CREATE TABLE profile (account TEXT PRIMARY KEY, profile TEXT) WITHOUT ROWID", [])?;
    let mut put = connection.prepare("REPLACE INTO profile VALUES (?1, ?2)")?;
    let (begun, mut count) = (Instant::now(), 0u32);
    while begun.elapsed() < length {
        put.execute((format!("user{:06}", count % 256), format!("{count:0>250}")))?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

fn fsyncs(directory: &Path, length: Duration) -> Result<f64, Box<dyn Error>> {
    let mut file = File::create(directory.join("fsyncs"))?;
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64() * 1e6)
}
