//! Holds the sources to the house's rules: who may import whom, what the engine must not know, sizes and names.
//!
//! What a crate's boundary enforces is not looked at again: these rules are for what stands inside one. The table of
//! imports is read out of the documentation in `src/lib.rs`, so the two cannot drift. Every finding names the file, the
//! line and the rule, and each rule is tested beside its code on small made-up sources.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod graph;
mod imports;
mod rooms;
mod sizes;
mod source;
mod type_names;
mod typescript;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// Something that breaks a rule.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    file: PathBuf,
    line: usize,
    rule: String,
}

impl Finding {
    fn new(file: impl Into<PathBuf>, line: usize, rule: String) -> Self {
        Self { file: file.into(), line, rule }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// The module a file is of, by its path under `src`: `["hub", "session"]`, `["main"]`, or nothing for `lib.rs`.
pub(crate) fn module(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> = file.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// What no hand has written.
const GENERATED: [&str; 2] = ["crates/protocol/src/v1.rs", "crates/protocol/src/feed_v1.rs"];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a folder of the workspace with this extension, named from there, in order.
fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, into);
            } else if path.extension().is_some_and(|is| is == extension) {
                into.push(path);
            }
        }
    }
    let root = workspace().join(folder);
    let mut paths = Vec::new();
    walk(&root, extension, &mut paths);
    paths.sort();
    let named = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
    paths.into_iter().map(named).collect()
}

/// The folders with the sources of a package each: the gateway's first.
fn packages() -> Vec<String> {
    let crates = fs::read_dir(workspace().join("crates")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut crates: Vec<_> = crates.map(|name| format!("crates/{}/src", name.to_string_lossy())).collect();
    crates.sort();
    ["src".to_owned()].into_iter().chain(crates).collect()
}

/// The sources of a package, named from its `src`.
fn sources(package: &str) -> Vec<Source> {
    let written = files(package, "rs").into_iter();
    let written = written.filter(|(file, _)| !GENERATED.contains(&&*format!("{package}/{}", file.display())));
    written.map(|(file, text)| Source::new(file, &text)).collect()
}

/// The findings of one package, with its name before each file.
fn in_package<'a>(
    package: &'a str,
    found: impl IntoIterator<Item = Finding> + 'a,
) -> impl Iterator<Item = Finding> + 'a {
    found.into_iter().map(|finding| Finding { file: Path::new(package).join(&finding.file), ..finding })
}

/// Fails with a line for each finding.
fn assert_none(found: &[Finding]) {
    let list: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} broken rule(s):\n{}", list.len(), list.join("\n"));
}

/// Applies a rule to each file of the workspace's packages.
fn assert_everywhere(rule: impl Fn(&Source) -> Vec<Finding>) {
    let packages = packages();
    let found = packages.iter().flat_map(|package| {
        let found: Vec<_> = sources(package).iter().flat_map(&rule).collect();
        in_package(package, found)
    });
    assert_none(&found.collect::<Vec<_>>());
}

/// The packages that the gateway is made of, whose modules are in one table.
const GATEWAY: [&str; 3] = ["src", "crates/gateway/src", "crates/service/src"];

#[test]
fn modules_import_what_the_table_allows() {
    let table = rooms::table(&fs::read_to_string(workspace().join("src/lib.rs")).unwrap());
    let mut modules = BTreeSet::new();
    let mut broken = Vec::new();
    for package in GATEWAY {
        let sources = sources(package);
        modules.extend(sources.iter().filter_map(|source| module(&source.file).first().cloned()));
        broken.extend(in_package(package, sources.iter().flat_map(|source| rooms::findings(&table, source))));
    }
    assert_none(&broken);
    // What is looked at is what there is.
    let rows = table.keys().cloned().chain(["main".to_owned()]).collect();
    assert_eq!(modules, rows, "the modules of {GATEWAY:?} and the rows of the table in src/lib.rs");
}

#[test]
fn the_engine_is_pure() {
    let found = sources("crates/engine/src").iter().flat_map(words::impure).collect::<Vec<_>>();
    assert_none(&in_package("crates/engine/src", found).collect::<Vec<_>>());
}

#[test]
fn only_the_command_line_prints() {
    for package in GATEWAY {
        let found = sources(package).iter().flat_map(words::printing).collect::<Vec<_>>();
        assert_none(&in_package(package, found).collect::<Vec<_>>());
    }
}

#[test]
fn modules_are_named_after_what_they_own() {
    assert_everywhere(words::nameless);
}

#[test]
fn old_words_are_gone() {
    assert_everywhere(words::old);
}

#[test]
fn files_are_short() {
    assert_everywhere(|source| sizes::file(&source.file, source.lines).into_iter().collect());
}

#[test]
fn functions_are_short() {
    assert_everywhere(sizes::functions);
}

#[test]
fn no_type_name_stands_twice() {
    let in_workspace = |package: &String| {
        let mut sources = sources(package);
        for source in &mut sources {
            source.file = Path::new(package).join(&source.file);
        }
        sources
    };
    let sources: Vec<_> = packages().iter().flat_map(in_workspace).collect();
    assert_none(&type_names::findings(&sources));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles =
        |package: &String| imports::Crate::new(&sources(package)).graph(|file| Path::new(package).join(file)).circles();
    assert_none(&packages().iter().flat_map(circles).collect::<Vec<_>>());
}

#[test]
fn the_sdk_has_short_files_and_no_circles() {
    let found = typescript::findings(&files("sdk/js/src", "ts"));
    assert_none(&in_package("sdk/js/src", found).collect::<Vec<_>>());
}
