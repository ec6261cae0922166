//! Words that do not belong where they stand: impure ones in the engine, printing, names that say nothing, old names.

use super::Finding;
use super::source::{Source, Token, is_name, text};

/// What would make the engine impure: a runtime, a clock, chance, a lock, a terminal.
const IMPURE: [&str; 11] =
    ["tokio", "await", "async", "Instant", "SystemTime", "rand", "getrandom", "Mutex", "RwLock", "println", "eprintln"];
/// The modules whose job is printing.
const PRINTING: [&str; 2] = ["cli", "main"];
/// Names of modules that say nothing.
const NAMELESS: [&str; 4] = ["utils", "common", "helpers", "manager"];
/// Words that the code once had for things the field has names for, and the field's name.
///
/// Only words that mean nothing else in this code are here; `line`, `turn`, `link` and `clock` are good English for
/// other things. An identifier is found if one of its parts is such a word, so `seat_of` and `SeatView` are, and
/// `timestamp` is not.
const OLD: [(&str, &str); 12] = [
    ("seat", "session handle"),
    ("seats", "session handles"),
    ("stamp", "revision"),
    ("stamps", "revisions"),
    ("horizon", "watermark"),
    ("teller", "flusher"),
    ("sight", "session view"),
    ("passage", "presence transition"),
    ("owed", "pending"),
    ("card", "encoded profile"),
    ("cards", "encoded profiles"),
    ("departed", "offline grace"),
];

/// Finds what makes a file of the engine impure.
pub(crate) fn impure(source: &Source) -> Vec<Finding> {
    let impure = source.tokens.iter().filter(|token| IMPURE.contains(&token.text.as_str()));
    let finding = |token: &Token| {
        let rule = format!("the engine is pure and must not know {}", token.text);
        Finding::new(&source.file, token.line, rule)
    };
    impure.map(finding).collect()
}

/// Finds printing in a file under `src` whose job it is not.
pub(crate) fn printing(source: &Source) -> Vec<Finding> {
    if super::module(&source.file).first().is_some_and(|this| PRINTING.contains(&this.as_str())) {
        return Vec::new();
    }
    let prints =
        |at: &usize| matches!(text(&source.tokens, *at), "println" | "print") && text(&source.tokens, at + 1) == "!";
    let found = (0..source.tokens.len()).filter(prints).map(|at| {
        let Token { text, line } = &source.tokens[at];
        Finding::new(&source.file, *line, format!("{text}! belongs to cli and main"))
    });
    found.collect()
}

/// Finds modules named after nothing.
pub(crate) fn nameless(source: &Source) -> Vec<Finding> {
    let parts = super::module(&source.file);
    let declared =
        source.tokens.windows(2).filter(|pair| pair[0].text == "mod").map(|pair| (pair[1].line, &pair[1].text));
    let named = declared.chain(parts.iter().map(|name| (1, name)));
    let nameless = named.filter(|(_, name)| NAMELESS.contains(&name.as_str()));
    nameless
        .map(|(line, name)| {
            let rule = format!("a module named {name} owns nothing: name it after what it owns");
            Finding::new(&source.file, line, rule)
        })
        .collect()
}

/// Finds identifiers that use an old word.
pub(crate) fn old(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for Token { text, line } in source.code.iter().filter(|token| is_name(&token.text)) {
        let parts = parts(text);
        for (old, new) in OLD.iter().filter(|(old, _)| parts.iter().any(|part| part == old)) {
            let rule = format!("{text}: say {new} instead of {old}");
            found.push(Finding::new(&source.file, *line, rule));
        }
    }
    found
}

/// The words of a name, in lower case: `seat_of` and `SeatOf` are two.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut before = '_';
    for c in name.chars() {
        if c == '_' || before == '_' || (c.is_uppercase() && before.is_lowercase()) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("the first starts one").extend(c.to_lowercase());
        }
        before = c;
    }
    parts
}

mod rules {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Finding>, file: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(file, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_engine_knows_no_time_chance_lock_or_terminal() {
        for word in [
            "tokio::spawn(x)",
            "x.await",
            "async {}",
            "Instant::now()",
            "SystemTime::now()",
            "rand::x()",
            "getrandom::u64()",
            "Mutex::new()",
            "RwLock::new()",
            "println!()",
        ] {
            let source = format!("fn f() {{\n    {word}\n}}");
            assert_eq!(lines(impure, "sync/outbox.rs", &source), [2], "{word}");
        }
        assert!(lines(impure, "sync/outbox.rs", "// no tokio\nfn random_instant() { \"async\"; }").is_empty());
    }

    #[test]
    fn only_the_command_line_prints() {
        for source in ["fn f() {\n println!(\"x\");\n}", "fn f() {\n print!(\"x\");\n}"] {
            assert_eq!(lines(printing, "hub/feed.rs", source), [2]);
            assert!(lines(printing, "cli/serve.rs", source).is_empty());
            assert!(lines(printing, "main.rs", source).is_empty());
        }
        assert!(lines(printing, "hub/feed.rs", "// println!\nfn f(print: u8) {}").is_empty());
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        assert_eq!(lines(nameless, "hub/mod.rs", "mod feed;\nmod utils;"), [2]);
        assert_eq!(lines(nameless, "lib.rs", "pub mod common;"), [1]);
        assert_eq!(lines(nameless, "hub/helpers.rs", ""), [1]);
        assert_eq!(lines(nameless, "hub/mod.rs", "mod manager {}"), [1]);
        assert!(lines(nameless, "hub/mod.rs", "fn utils() { common(); }").is_empty());
    }

    #[test]
    fn old_words_are_found_in_any_identifier_and_nowhere_else() {
        for source in ["let seat = 1;", "fn take_seat() {}", "struct SeatView;", "const SEAT: u8 = 1;", "x.seats()"] {
            assert_eq!(lines(old, "hub/feed.rs", &format!("\n{source}")), [2], "{source}");
        }
        let others = "/// A seat.\nfn timestamp() { \"horizon\"; insight(); } #[cfg(test)] mod tests { fn seat() {} }";
        assert!(lines(old, "hub/feed.rs", others).is_empty());
        let found = &old(&Source::new("x.rs", "let stamp = 1;"))[0];
        assert_eq!(found.to_string(), "x.rs:1: stamp: say revision instead of stamp");
    }
}
