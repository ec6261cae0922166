//! Which module of the gateway's package may import which: the table in `src/lib.rs` is the rule.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{Source, Token, is_path_sign, text};

/// What one module may import; `None` is everything.
pub(crate) type Table = BTreeMap<String, Option<BTreeSet<String>>>;

/// Reads the rows ``//! | [`name`] | what it owns | imports |``.
pub(crate) fn table(lib: &str) -> Table {
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

/// Finds the imports of one file under `src` that the table does not allow.
pub(crate) fn findings(table: &Table, source: &Source) -> Vec<Finding> {
    let parts = super::module(&source.file);
    let Some(this) = parts.first().filter(|this| *this != "main") else { return Vec::new() };
    let Some(allowed) = table.get(this) else {
        return vec![Finding::new(&source.file, 1, format!("{this} is missing in the table of src/lib.rs"))];
    };
    let Some(allowed) = allowed else { return Vec::new() };
    let imports = imports(&source.tokens, parts.len()).into_iter();
    imports
        .filter(|import| table.contains_key(&import.text) && import.text != *this && !allowed.contains(&import.text))
        .map(|Token { text, line }| {
            Finding::new(&source.file, line, format!("{this} must not import {text} (the table in src/lib.rs)"))
        })
        .collect()
}

/// The modules of the crate that these tokens name, as `crate::name`, `crate::{name, …}` or through `super`.
fn imports(tokens: &[Token], depth: usize) -> Vec<Token> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let mut next = at;
        match text(tokens, at) {
            "crate" if is_path_sign(tokens, at + 1) => next = at + 3,
            "super" if text(tokens, at.wrapping_sub(1)) != ":" => {
                let mut ups = 0;
                while text(tokens, next) == "super" && is_path_sign(tokens, next + 1) {
                    (ups, next) = (ups + 1, next + 3);
                }
                if ups < depth || ups == 0 {
                    continue;
                }
            }
            _ => continue,
        }
        if text(tokens, next) == "{" {
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

mod rules {
    use super::*;

    const LIB: &str = "
//! | module | owns | imports of the crate |
//! |---|---|---|
//! | [`store`] | rows | – |
//! | [`hub`] | what is live: a, b | store |
//! | [`service`] | use cases | store, hub |
//! | [`cli`] | subcommands | everything |
";

    fn broken(file: &str, text: &str) -> Vec<(usize, String)> {
        let found = findings(&table(LIB), &Source::new(file, text));
        found.into_iter().map(|finding| (finding.line, finding.rule)).collect()
    }

    fn lines(file: &str, text: &str) -> Vec<usize> {
        broken(file, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn the_table_is_read() {
        let table = table(LIB);
        assert_eq!(table.len(), 4);
        assert_eq!(table["cli"], None);
        assert_eq!(table["store"], Some(BTreeSet::new()));
        assert_eq!(table["service"], Some(BTreeSet::from(["store".to_owned(), "hub".to_owned()])));
    }

    #[test]
    fn imports_off_the_table_are_found_however_they_are_written() {
        for source in [
            "use crate::service::Service;",
            "use crate::{store::Store, service::{Service, Login}};",
            "use crate::{\n    service,\n};",
            "fn f() { crate::service::g() }",
            "fn f(x: &dyn crate :: service::T) {}",
            "use super::service;",
            "#[cfg(test)]\nmod tests { use crate::service; }",
        ] {
            let found = broken("hub/mod.rs", source);
            assert_eq!(found.len(), 1, "{source}: {found:?}");
            assert_eq!(found[0].1, "hub must not import service (the table in src/lib.rs)");
        }
        assert_eq!(lines("hub/feed.rs", "\n\nuse super::super::service;"), [3]);
        assert_eq!(lines("store.rs", "use crate::hub;\nuse crate::cli;"), [1, 2]);
    }

    #[test]
    fn what_the_table_allows_is_no_finding() {
        for (file, source) in [
            ("hub/mod.rs", "use crate::store::Row; use crate::hub::feed; pub(crate) fn f() {}"),
            ("hub/feed.rs", "use super::service; // its own submodule of that name"),
            ("hub/mod.rs", "/// [`crate::cli`]\nuse crate::{store};\nconst A: &str = \"crate::cli\";"),
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
}
