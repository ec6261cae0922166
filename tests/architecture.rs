//! Holds the sources to the house's rules: who may import whom, what the pure modules must not know, sizes and names.
//!
//! The import table is read out of the crate's documentation in `src/lib.rs`, so the two cannot drift. Every finding
//! names the file, the line and the rule. The rules themselves are tested below on small made-up sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The pure modules, and the words that would make them impure.
const PURE: [&str; 2] = ["model", "sync"];
const IMPURE: [&str; 9] = ["tokio", "await", "async", "Instant", "SystemTime", "rand", "getrandom", "Mutex", "RwLock"];
/// Where printing is the job.
const PRINTING: [&str; 2] = ["cli", "main"];
/// A file that is longer, without its tests, is asking to be split.
const LINES: usize = 500;
/// Names that say nothing.
const NAMELESS: [&str; 4] = ["utils", "common", "helpers", "manager"];

/// Something that breaks a rule.
#[derive(Debug, PartialEq)]
struct Finding {
    file: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// What one module may import; `None` is everything.
type Table = BTreeMap<String, Option<BTreeSet<String>>>;

/// The rows ``//! | [`name`] | what it owns | imports |``.
fn table(lib: &str) -> Table {
    let mut table = Table::new();
    for line in lib.lines() {
        let Some(row) = line.strip_prefix("//! | [`") else { continue };
        let cells: Vec<_> = row.trim_end().trim_end_matches('|').split(" | ").map(str::trim).collect();
        let [name, _, imports] = cells[..] else { panic!("not a row of three cells: {line}") };
        let name = name.trim_end_matches("`]").to_owned();
        let imports = match imports {
            "everything" => None,
            "–" => Some(BTreeSet::new()),
            list => Some(list.split(',').map(|name| name.trim().to_owned()).collect()),
        };
        assert!(table.insert(name, imports).is_none(), "two rows for one module: {line}");
    }
    table
}

/// One word or sign of the code, and the line it is on.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// The words and signs of a source, without comments and without what is in strings and characters.
fn tokens(source: &str) -> Vec<Token> {
    let (chars, mut tokens): (Vec<char>, _) = (source.chars().collect(), Vec::new());
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let end = skipped(&chars, at).unwrap_or_else(|| word(&chars, at));
        if skipped(&chars, at).is_none() && !chars[at].is_whitespace() {
            tokens.push(Token { text: chars[at..end].iter().collect(), line });
        }
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    tokens
}

/// The end of the word, or single sign, that starts here.
fn word(chars: &[char], at: usize) -> usize {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let length = chars[at..].iter().take_while(|c| is_word(c)).count();
    at + length.max(1)
}

/// The end of the comment, string or character that starts here, if one does. `at` is never inside a word.
fn skipped(chars: &[char], at: usize) -> Option<usize> {
    let is = |from: usize, text: &str| text.chars().enumerate().all(|(n, c)| chars.get(from + n) == Some(&c));
    let after = |from: usize, text: &str| {
        (from..chars.len()).find(|at| is(*at, text)).map_or(chars.len(), |at| at + text.chars().count())
    };
    match chars[at] {
        '/' if is(at, "//") => Some((at..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len())),
        '/' if is(at, "/*") => Some(after(at + 2, "*/")),
        '"' => Some(quoted(chars, at, '"')),
        'r' if is(at, "r\"") || is(at, "r#") => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let opened = chars.get(at + 1 + hashes) == Some(&'"');
            opened.then(|| after(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes))))
        }
        '\'' if is(at, "'\\") || chars.get(at + 2) == Some(&'\'') => Some(quoted(chars, at, '\'')),
        _ => None,
    }
}

fn quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The module a file is of, by its path under `src`: `["hub", "session"]`, `["main"]`, or nothing for `lib.rs`.
fn module(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> = file.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// The modules of the crate that these tokens name, as `crate::name`, `crate::{name, …}` or through `super`.
fn imports(tokens: &[Token], depth: usize) -> Vec<Token> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let path = |at: usize| text(at) == ":" && text(at + 1) == ":";
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let mut next = at;
        match text(at) {
            "crate" if path(at + 1) => next = at + 3,
            "super" if text(at.wrapping_sub(1)) != ":" => {
                let mut ups = 0;
                while text(next) == "super" && path(next + 1) {
                    (ups, next) = (ups + 1, next + 3);
                }
                if ups < depth || ups == 0 {
                    continue;
                }
            }
            _ => continue,
        }
        if text(next) == "{" {
            found.extend(group(tokens, next));
        } else {
            found.extend(tokens.get(next).cloned());
        }
    }
    found
}

/// The first word of each entry of the group that opens here.
fn group(tokens: &[Token], open: usize) -> Vec<Token> {
    let (mut depth, mut found) = (0, Vec::new());
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        let starts = token.text == "{" || token.text == ",";
        if depth == 1 && starts && tokens.get(at + 1).is_some_and(|next| next.text != "}") {
            found.extend(tokens.get(at + 1).cloned());
        }
    }
    found
}

/// Everything that one file does wrong.
fn findings(table: &Table, file: &Path, source: &str) -> Vec<Finding> {
    let (parts, tokens) = (module(file), tokens(source));
    let mut found = Vec::new();
    let mut find = |line, rule: String| found.push(Finding { file: file.to_owned(), line, rule });

    let lines = source.lines().collect::<Vec<_>>();
    let is_tests = |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim().starts_with("mod tests");
    let all_tests = file.ends_with("tests.rs");
    let code = if all_tests { 0 } else { lines.windows(2).position(is_tests).unwrap_or(lines.len()) };
    if code > LINES {
        find(LINES + 1, format!("{code} lines without the tests, at most {LINES}: split it"));
    }

    let named = tokens.windows(2).filter(|pair| pair[0].text == "mod").map(|pair| (pair[1].line, &pair[1].text));
    for (line, name) in named.chain(parts.iter().map(|name| (1, name))) {
        if NAMELESS.contains(&name.as_str()) {
            find(line, format!("a module named {name} owns nothing: name it after what it owns"));
        }
    }

    let Some(this) = parts.first() else { return found };
    for (at, Token { text, line }) in tokens.iter().enumerate() {
        if PURE.contains(&this.as_str()) && IMPURE.contains(&text.as_str()) {
            find(*line, format!("{this} is pure and must not know {text}"));
        }
        let prints = matches!(text.as_str(), "println" | "print") && tokens.get(at + 1).is_some_and(|t| t.text == "!");
        if prints && !PRINTING.contains(&this.as_str()) {
            find(*line, format!("{text}! belongs to cli and main"));
        }
    }
    if this == "main" {
        return found;
    }
    match table.get(this) {
        None => find(1, format!("{this} is missing in the table of src/lib.rs")),
        Some(None) => {}
        Some(Some(allowed)) => {
            for Token { text, line } in imports(&tokens, parts.len()) {
                if table.contains_key(&text) && text != *this && !allowed.contains(&text) {
                    find(line, format!("{this} must not import {text} (the table in src/lib.rs)"));
                }
            }
        }
    }
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

#[test]
fn the_sources_follow_the_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table = table(&fs::read_to_string(src.join("lib.rs")).unwrap());
    let mut files = Vec::new();
    sources(&src, &mut files).unwrap();
    let mut found = Vec::new();
    for path in &files {
        let file = path.strip_prefix(&src).unwrap();
        found.extend(findings(&table, file, &fs::read_to_string(path).unwrap()));
    }
    let list: Vec<_> = found.iter().map(|finding| format!("src/{finding}")).collect();
    assert!(list.is_empty(), "{} broken rule(s):\n{}", list.len(), list.join("\n"));
    // What is looked at is what there is.
    let modules: BTreeSet<_> =
        files.iter().filter_map(|f| module(f.strip_prefix(&src).unwrap()).first().cloned()).collect();
    let rows = table.keys().cloned().chain(["main".to_owned()]).collect();
    assert_eq!(modules, rows, "the modules in src and the rows of the table in src/lib.rs");
}

mod rules {
    use super::*;

    const LIB: &str = "
//! | module | owns | imports of the crate |
//! |---|---|---|
//! | [`model`] | words | – |
//! | [`sync`] | the engine, pure: a, b | model |
//! | [`hub`] | what is live | model, sync |
//! | [`cli`] | subcommands | everything |
";

    fn broken(file: &str, source: &str) -> Vec<(usize, String)> {
        findings(&table(LIB), Path::new(file), source).into_iter().map(|f| (f.line, f.rule)).collect()
    }

    fn lines(file: &str, source: &str) -> Vec<usize> {
        broken(file, source).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn the_table_is_read() {
        let table = table(LIB);
        assert_eq!(table.len(), 4);
        assert_eq!(table["cli"], None);
        assert_eq!(table["model"], Some(BTreeSet::new()));
        assert_eq!(table["hub"], Some(BTreeSet::from(["model".to_owned(), "sync".to_owned()])));
    }

    #[test]
    fn imports_off_the_table_are_found_however_they_are_written() {
        for source in [
            "use crate::hub::SessionHandle;",
            "use crate::{model::Account, hub::{SessionHandle, Hub}};",
            "use crate::{\n    hub,\n};",
            "fn f() { crate::hub::g() }",
            "fn f(x: &dyn crate :: hub::T) {}",
            "use super::hub;",
            "#[cfg(test)]\nmod tests { use crate::hub; }",
        ] {
            let found = broken("sync/mod.rs", source);
            assert_eq!(found.len(), 1, "{source}: {found:?}");
            assert_eq!(found[0].1, "sync must not import hub (the table in src/lib.rs)");
        }
        assert_eq!(lines("sync/delta.rs", "\n\nuse super::super::hub;"), [3]);
        assert_eq!(lines("model.rs", "use crate::sync;\nuse crate::cli;"), [1, 2]);
    }

    #[test]
    fn what_the_table_allows_is_no_finding() {
        for (file, source) in [
            ("sync/mod.rs", "use crate::model::Account; use crate::sync::delta; pub(crate) fn f() {}"),
            ("sync/delta.rs", "use super::hub; // its own submodule of that name"),
            ("hub/mod.rs", "/// [`crate::cli`]\nuse crate::{model, sync::outbox};\nconst A: &str = \"crate::cli\";"),
            (
                "hub/feed.rs",
                "const A: &str = r#\"crate::cli \"quoted\" \"#; const B: char = '\"'; /* crate::cli */ fn f<'a>() {}",
            ),
            ("cli/serve.rs", "use crate::hub::Hub;"),
            ("main.rs", "use rosterd::cli;"),
        ] {
            assert_eq!(broken(file, source), [], "{file}: {source}");
        }
        // After all of these the reader is still awake.
        assert_eq!(lines("hub/feed.rs", "const A: &str = r#\"\n\"#; const B: char = '\\'';\nuse crate::cli;"), [3]);
    }

    #[test]
    fn a_module_without_a_row_is_found() {
        assert_eq!(broken("extra/mod.rs", "")[0].1, "extra is missing in the table of src/lib.rs");
    }

    #[test]
    fn pure_modules_know_no_time_chance_or_lock() {
        for word in [
            "tokio::spawn(x)",
            "x.await",
            "async {}",
            "Instant::now()",
            "SystemTime::now()",
            "rand::x()",
            "getrandom::u64()",
            "Mutex::new()",
        ] {
            let source = format!("fn f() {{\n    {word}\n}}");
            assert_eq!(lines("sync/outbox.rs", &source), [2], "{word}");
            assert_eq!(lines("model/account.rs", &source), [2], "{word}");
            assert_eq!(broken("hub/feed.rs", &source), [], "{word}");
        }
        assert_eq!(broken("sync/outbox.rs", "// no tokio\nfn random_instant() { \"async\"; }"), []);
    }

    #[test]
    fn only_the_command_line_prints() {
        for source in ["fn f() {\n println!(\"x\");\n}", "fn f() {\n print!(\"x\");\n}"] {
            assert_eq!(lines("hub/feed.rs", source), [2]);
            assert_eq!(broken("cli/serve.rs", source), []);
            assert_eq!(broken("main.rs", source), []);
        }
        assert_eq!(broken("hub/feed.rs", "// println!\nfn f(print: u8) {}"), []);
    }

    #[test]
    fn a_long_file_is_found_but_not_for_its_tests() {
        let code = "fn f() {}\n".repeat(LINES);
        assert_eq!(broken("hub/feed.rs", &format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}")), []);
        assert_eq!(lines("hub/feed.rs", &format!("{code}\nfn g() {{}}")), [LINES + 1]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        assert_eq!(lines("hub/mod.rs", "mod feed;\nmod utils;"), [2]);
        assert_eq!(lines("lib.rs", "pub mod common;"), [1]);
        assert_eq!(lines("hub/helpers.rs", ""), [1]);
        assert_eq!(lines("hub/mod.rs", "mod manager {}"), [1]);
        assert_eq!(broken("hub/mod.rs", "fn utils() { common(); }"), []);
    }
}
