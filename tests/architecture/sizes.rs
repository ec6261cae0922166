//! How long a file and a function may be.

use std::path::Path;

use super::Finding;
use super::source::{Source, is_name, text};

/// The most lines of a file, without its tests; a longer one is asking to be split.
pub(crate) const FILE_LINES: usize = 500;
/// The most lines of a function, from `fn` to its closing brace.
pub(crate) const FUNCTION_LINES: usize = 70;

/// Finds a file that is too long.
pub(crate) fn file(file: &Path, lines: usize) -> Option<Finding> {
    let rule = || format!("{lines} lines without the tests, at most {FILE_LINES}: split it");
    (lines > FILE_LINES).then(|| Finding::new(file, FILE_LINES + 1, rule()))
}

/// Finds functions that are too long.
pub(crate) fn functions(source: &Source) -> Vec<Finding> {
    let code = &source.code;
    let starts = (0..code.len()).filter(|at| text(code, *at) == "fn" && is_name(text(code, at + 1)));
    let long = starts.filter_map(|at| {
        let lines = code[body_end(source, at)?].line - code[at].line + 1;
        let rule = format!("fn {} has {lines} lines, at most {FUNCTION_LINES}: split it", text(code, at + 1));
        (lines > FUNCTION_LINES).then(|| Finding::new(&source.file, code[at].line, rule))
    });
    long.collect()
}

/// The closing brace of the function that starts here, if it has a body.
fn body_end(source: &Source, start: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in source.code.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        match (depth, token.text.as_str()) {
            (0, ";") => return None,
            (0, "}") => return Some(at),
            _ => {}
        }
    }
    None
}

mod rules {
    use super::*;

    #[test]
    fn a_long_file_is_found_but_not_for_its_tests() {
        let code = "fn f() {}\n".repeat(FILE_LINES);
        let lines = |text: &str| {
            let source = Source::new("hub/feed.rs", text);
            file(&source.file, source.lines).map(|finding| finding.line)
        };
        assert_eq!(lines(&format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}")), None);
        assert_eq!(lines(&format!("{code}\nfn g() {{}}")), Some(FILE_LINES + 1));
    }

    #[test]
    fn a_long_function_is_found_wherever_it_stands() {
        let body = "    f();\n".repeat(FUNCTION_LINES - 2);
        let found = |text: &str| {
            let found = functions(&Source::new("hub/feed.rs", text)).into_iter();
            found.map(|finding| (finding.line, finding.rule)).collect::<Vec<_>>()
        };
        let long = format!("\nfn g<const N: usize>(x: [u8; 3])\nwhere X: Y {{\n{body}}}");
        assert_eq!(
            found(&long),
            [(2, format!("fn g has {} lines, at most {FUNCTION_LINES}: split it", FUNCTION_LINES + 1))]
        );
        assert_eq!(found(&format!("impl X {{\n    /// d\n    fn g() {{\n\n{body}}}\n}}")).len(), 1);
        assert_eq!(found(&format!("fn g() {{\n{body}}}\nfn h() {{}}")), []);
        assert_eq!(found(&format!("trait T {{ fn g();\n{body}\n }} type F = fn(u8) -> u8;\n{body}")), []);
        assert_eq!(found(&format!("#[cfg(test)]\nmod tests {{\nfn g() {{\n{body}\n}}}}")), []);
    }
}
