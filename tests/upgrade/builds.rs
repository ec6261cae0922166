//! The versions that run beside each other: real builds, made by cargo out of this repository.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::support::World;

/// The commit whose build today's has to work beside: the first line of the file that says why.
const COMMIT: &str = include_str!("old-commit");

/// Where builds are kept from one run to the next.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/upgrade");

/// A version of the gateway.
#[derive(Debug, Clone, Copy)]
pub enum Version {
    /// That of the commit in the file.
    Old,
    /// What is tested.
    Today,
    /// Today's, but that it reads the next form of the change log, too.
    ReadsNext,
    /// That, but that it writes the next form.
    WritesNext,
}

impl Version {
    /// A place for a gateway of this version.
    pub fn world(self) -> World {
        World { binary: self.binary(), ..World::new() }
    }

    /// Its binary, built by whoever asks first; `None` for the one that was built for this test.
    pub fn binary(self) -> Option<PathBuf> {
        static OLD: LazyLock<PathBuf> = LazyLock::new(old);
        static READS: LazyLock<PathBuf> = LazyLock::new(|| next("reads-next", &["rosterd_reads_next_form"]));
        static WRITES: LazyLock<PathBuf> =
            LazyLock::new(|| next("writes-next", &["rosterd_reads_next_form", "rosterd_writes_next_form"]));
        match self {
            Self::Today => None,
            Self::Old => Some(OLD.clone()),
            Self::ReadsNext => Some(READS.clone()),
            Self::WritesNext => Some(WRITES.clone()),
        }
    }
}

/// The hash of the old version's commit.
pub fn old_commit() -> &'static str {
    COMMIT.lines().next().expect("a first line").trim()
}

/// Builds the old version, in a folder of its own.
fn old() -> PathBuf {
    let (repository, commit) = (Path::new(env!("CARGO_MANIFEST_DIR")), old_commit());
    let source = Path::new(FOLDER).join(format!("source-{commit}"));
    if !source.exists() {
        let is_there = Command::new("git")
            .args(["cat-file", "-e", &format!("{commit}^{{commit}}")])
            .current_dir(repository)
            .stderr(Stdio::null())
            .status();
        assert!(
            is_there.expect("git runs").success(),
            "this folder has no history that goes back to {commit}, which is built for this test; if it is a shallow clone: \
             git fetch --unshallow"
        );
        println!("taking the source of {commit} out of the history");
        fs::create_dir_all(FOLDER).unwrap();
        // Moved once it is whole.
        let unpacked = TempDir::new_in(FOLDER).unwrap();
        let mut archive = Command::new("git")
            .args(["archive", "--format=tar", commit])
            .current_dir(repository)
            .stdout(Stdio::piped())
            .spawn()
            .expect("git runs");
        let mut unpack = Command::new("tar");
        unpack.args(["-x", "-C"]).arg(unpacked.path()).stdin(archive.stdout.take().expect("it is piped"));
        assert!(unpack.status().expect("tar runs").success() && archive.wait().unwrap().success());
        fs::rename(unpacked.keep(), &source).unwrap();
    }
    build("old", &source, None)
}

/// Builds today's version with more flags for the compiler, for the packages of this repository and no others.
fn next(name: &str, flags: &[&str]) -> PathBuf {
    fs::create_dir_all(FOLDER).unwrap();
    let wrapper = Path::new(FOLDER).join(format!("rustc-{name}"));
    let flags = flags.iter().flat_map(|flag| ["--cfg", flag]).collect::<Vec<_>>().join(" ");
    fs::write(&wrapper, format!("#!/bin/sh\nexec \"$@\" {flags}\n")).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    build(name, Path::new(env!("CARGO_MANIFEST_DIR")), Some(&wrapper))
}

/// Builds a debug binary in a target folder that all versions share, and copies it out of there.
fn build(name: &str, source: &Path, wrapper: Option<&Path>) -> PathBuf {
    println!("building the version \"{name}\", which takes minutes the first time");
    let target = Path::new(FOLDER).join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--package", "rosterd", "--bin", "rosterd", "--target-dir"]).arg(&target);
    // What cargo told the test of its own package is not that of this build.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("CARGO_PKG_") || variable == "CARGO_MANIFEST_DIR" {
            cargo.env_remove(variable);
        }
    }
    cargo.current_dir(source);
    match wrapper {
        Some(wrapper) => cargo.env("RUSTC_WORKSPACE_WRAPPER", wrapper),
        None => cargo.env_remove("RUSTC_WORKSPACE_WRAPPER"),
    };
    assert!(cargo.status().expect("cargo runs").success(), "the version \"{name}\" cannot be built; why stands above");
    let binary = Path::new(FOLDER).join(format!("rosterd-{name}"));
    // Over one that may still run somewhere.
    let copy = binary.with_extension("new");
    fs::copy(target.join("debug/rosterd"), &copy).unwrap();
    fs::rename(&copy, &binary).unwrap();
    binary
}
