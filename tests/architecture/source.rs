//! Reads Rust source as words and signs, without comments, without what stands in strings, and without tests.
//!
//! No parser: the rules look at a few keywords, paths and braces, which this finds in any source that compiles.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// One word or sign of the code, and the line it is on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// The code of one file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace, or to a crate's `src`.
    pub(crate) file: PathBuf,
    /// All of it.
    pub(crate) tokens: Vec<Token>,
    /// What is left without `#[cfg(test)]` items; nothing of a file of tests.
    pub(crate) code: Vec<Token>,
    /// The lines that are not of such items.
    pub(crate) lines: usize,
}

impl Source {
    /// Reads the text of `file`.
    pub(crate) fn new(file: impl Into<PathBuf>, text: &str) -> Self {
        let (file, tokens) = (file.into(), tokens(text));
        if is_tests(&file) {
            return Self { file, tokens, code: Vec::new(), lines: 0 };
        }
        let (mut code, mut lines, mut at) = (Vec::new(), text.lines().count(), 0);
        for tests in test_items(&tokens) {
            code.extend_from_slice(&tokens[at..tests.start]);
            lines -= tokens[tests.end - 1].line - tokens[tests.start].line + 1;
            at = tests.end;
        }
        code.extend_from_slice(&tokens[at..]);
        Self { file, tokens, code, lines }
    }
}

/// Whether a file holds nothing but tests, by its name or its folder's.
fn is_tests(file: &Path) -> bool {
    file.with_extension("").iter().any(|part| part == "tests")
}

/// The items behind `#[cfg(test)]`, attribute included.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut items, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if (0..CFG_TEST.len()).all(|n| text(tokens, at + n) == CFG_TEST[n]) {
            let end = item_end(tokens, at + CFG_TEST.len());
            items.push(at..end);
            at = end;
        } else {
            at += 1;
        }
    }
    items
}

/// The end of the item that starts here: after its block, or after its semicolon if that comes first.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
            return at + 1;
        }
    }
    tokens.len()
}

/// The text of the token at this place; empty beyond the end.
pub(crate) fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

/// Whether `::` stands at this place.
pub(crate) fn is_path_sign(tokens: &[Token], at: usize) -> bool {
    text(tokens, at) == ":" && text(tokens, at + 1) == ":"
}

/// Whether this can be a name: a word that does not start with a digit.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and signs of a source.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let (chars, mut tokens): (Vec<char>, _) = (source.chars().collect(), Vec::new());
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let skipped = skipped(&chars, at);
        let end = skipped.unwrap_or_else(|| word_end(&chars, at));
        if skipped.is_none() && !chars[at].is_whitespace() {
            tokens.push(Token { text: chars[at..end].iter().collect(), line });
        }
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    tokens
}

/// The end of the word, or single sign, that starts here.
fn word_end(chars: &[char], at: usize) -> usize {
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
        'b' if is(at, "br\"") || is(at, "br#") => skipped(chars, at + 1),
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

mod rules {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_strings_are_not_read() {
        for skipped in
            ["// x", "/* x\n x */", "\"x\"", "\"\\\"x\"", "r\"x\"", "r#\"x \"x\" \"#", "br#\"x\"#", "'x'", "'\\''"]
        {
            assert_eq!(words(&format!("a {skipped}\nb")), ["a", "b"], "{skipped}");
        }
        assert_eq!(words("f<'a>(x)"), ["f", "<", "'", "a", ">", "(", "x", ")"]);
        assert_eq!(tokens("\"\n\"\n/*\n*/ a")[0].line, 4);
    }

    #[test]
    fn test_items_are_no_code() {
        let text =
            "fn a() {}\n#[cfg(test)]\nfn b() {\n}\n#[cfg(test)]\nmod tests;\nfn c() {}\n#[cfg(test)]\nmod t {\n}";
        let source = Source::new("x.rs", text);
        let code: String = source.code.iter().map(|token| token.text.as_str()).collect();
        assert_eq!((code.as_str(), source.lines), ("fna(){}fnc(){}", 2));
        for tests in ["hub/tests.rs", "hub/tests/readers.rs"] {
            let source = Source::new(tests, text);
            assert_eq!((source.code.len(), source.lines), (0, 0), "{tests}");
        }
    }
}
