//! A disk that is full: a small file system of its own where one may be mounted, else a limit on the size of files.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

use crate::client::Phase;
use crate::crowd::Crowd;
use crate::random::Random;
use crate::scale::Scale;
use crate::support::{World, finished};
use crate::table::Row;

/// How large the small file system is.
const BYTES: u64 = 24 << 20;
/// How many clients it has to do with.
const CLIENTS: usize = 20;
/// What a file may hold where the disk is played by a limit: less than the log of writes after a moment.
const FILE_BYTES: u64 = 16 << 10;

/// Where a store is whose disk can be full.
enum Disk {
    /// A file system in a file, mounted there; the filler takes what is left.
    Small { filler: PathBuf, _mounted: Mounted },
    /// The process may not write beyond so much of a file.
    Limited,
}

/// Unmounted when dropped, before the directory goes.
struct Mounted(TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        finished(Process::new("umount").arg("--lazy").arg(self.0.path().join("disk")));
    }
}

impl Disk {
    /// The real thing where that is possible and asked for, and a world on it.
    fn new(scale: &Scale) -> (Self, World) {
        match scale.full.then(mount).flatten() {
            Some(mounted) => {
                let disk = mounted.0.path().join("disk");
                let world = World { directory: TempDir::new_in(&disk).unwrap(), ..World::new() };
                (Self::Small { filler: disk.join("filler"), _mounted: mounted }, world)
            }
            // The signal for a file that is too large would end the process.
            None => (Self::Limited, World { through: Some("trap '' XFSZ; exec \"$@\"".to_owned()), ..World::new() }),
        }
    }

    fn fill(&self, pid: u32) {
        match self {
            Self::Small { filler, .. } => fill(&mut File::create(filler).unwrap()),
            Self::Limited => limit(pid, Some(FILE_BYTES)),
        }
    }

    fn free(&self, pid: u32) {
        match self {
            Self::Small { filler, .. } => std::fs::remove_file(filler).unwrap(),
            Self::Limited => limit(pid, None),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Small { .. } => "file system of 24 MiB",
            Self::Limited => "limit on the size of files",
        }
    }
}

/// A small file system, if this machine lets one be mounted.
fn mount() -> Option<Mounted> {
    let directory = tempfile::tempdir().unwrap();
    let (image, disk) = (directory.path().join("image"), directory.path().join("disk"));
    File::create(&image).unwrap().set_len(BYTES).unwrap();
    std::fs::create_dir(&disk).unwrap();
    // Without blocks that only root may use: the gateway may be root's.
    let made = Process::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image).status();
    let mounted = made.is_ok_and(|made| made.success())
        && Process::new("mount").args(["-o", "loop"]).args([&image, &disk]).status().is_ok_and(|done| done.success());
    mounted.then(|| Mounted(directory))
}

/// Writes until nothing fits any more.
fn fill(filler: &mut File) {
    for bytes in [1 << 20, 4096, 1] {
        let zeros = vec![0; bytes];
        loop {
            match filler.write_all(&zeros).and_then(|()| filler.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn limit(pid: u32, current: Option<u64>) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).expect("it runs, and is ours");
}

/// The disk is full, writers are put off, and everything else goes on; then there is room again, or a `kill -9` first.
pub async fn full_disk(scale: &Scale, random: &mut Random) -> Row {
    let (disk, world) = Disk::new(scale);
    let mut crowd = Crowd::gather(world, CLIENTS, CLIENTS, random).await;
    let mut kills = 0;
    for round in 0..scale.full_disks {
        // A gateway that has stopped in order leaves no log of writes that the next one could fill again.
        let gateway = crowd.close();
        assert_eq!(gateway.terminate().await, Some(0), "{}", crowd.world.log());
        crowd.guests.everyone_waits().await;
        let gateway = crowd.start();
        crowd.check(&gateway).await;
        let pid = gateway.pid();
        disk.fill(pid);
        crowd.open(gateway);
        // Everyone can log in all the same, and is asked to write later.
        crowd.guests.everyone_is_here().await;
        let put_off = || crowd.guests.stats().put_off.load(Ordering::Relaxed);
        let until = put_off() + 2 * CLIENTS as u64;
        crowd.guests.go(Phase::Load { pause: Duration::from_millis(20), stalled: false });
        crowd.guests.until("writes are put off", |stats| stats.put_off.load(Ordering::Relaxed) >= until).await;
        // The log may be on that disk, too.
        assert!(crowd.gateway().metric("rosterd_store_failed_writes_total").await > 0.0, "the store could write");
        if round % 2 == 1 {
            crowd.kill().await;
            disk.free(pid);
            crowd.come_back().await;
            kills += 1;
        } else {
            disk.free(pid);
        }
        crowd.guests.answers(5 * CLIENTS as u64).await;
        crowd.rest().await;
    }
    let faults = format!("{} × {}, full, {kills} of them with `kill -9`", scale.full_disks, disk.word());
    let row = crowd.row("full disk", faults);
    assert!(row.put_off > 0, "nothing was put off");
    crowd.end().await;
    row
}
