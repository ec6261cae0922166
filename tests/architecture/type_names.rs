//! No type name twice: a reader who meets a name knows which type it is.
//!
//! Structs, enums, unions, traits and aliases count, public or not, in a function's body too. Associated types do not:
//! the trait gives them their names. Nor do re-exports, which name no new type.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{Source, Token, is_name, text};

/// Finds each type whose name another one has, among all sources of the workspace.
pub(crate) fn findings<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Vec<Finding> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for source in sources {
        for Token { text, line } in types(&source.code) {
            let here = format!("{}:{line}", source.file.display());
            if let Some(there) = first.get(&text) {
                found.push(Finding::new(&source.file, line, format!("a second type named {text}, after {there}")));
            } else {
                first.insert(text, here);
            }
        }
    }
    found
}

/// The types that these tokens define.
fn types(tokens: &[Token]) -> Vec<Token> {
    let (mut found, mut associated, mut start) = (Vec::new(), Vec::new(), 0);
    for (at, token) in tokens.iter().enumerate() {
        let defines = match token.text.as_str() {
            "struct" | "enum" | "trait" => true,
            "union" => matches!(text(tokens, at + 2), "{" | "<"),
            "type" => !associated.last().is_some_and(|is| *is),
            _ => false,
        };
        if defines && is_name(text(tokens, at + 1)) {
            found.push(tokens[at + 1].clone());
        }
        match token.text.as_str() {
            "{" => associated.push(has_associated_types(&tokens[start..at])),
            "}" => drop(associated.pop()),
            _ => {}
        }
        if matches!(token.text.as_str(), "{" | "}" | ";") {
            start = at + 1;
        }
    }
    found
}

/// Whether the block behind this head is a trait's or an implementation's.
fn has_associated_types(head: &[Token]) -> bool {
    let mut at = 0;
    while text(head, at) == "#" {
        let end = (at..head.len()).find(|at| text(head, *at) == "]" && text(head, at + 1) != "]");
        at = end.map_or(head.len(), |end| end + 1);
    }
    while matches!(text(head, at), "pub" | "unsafe" | "(" | ")" | "crate" | "super" | "self" | "in") {
        at += 1;
    }
    matches!(text(head, at), "impl" | "trait")
}

mod rules {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        types(&Source::new("x.rs", text).code).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn all_types_are_seen_and_nothing_else() {
        let text = "
            pub struct A; enum B {} pub(crate) trait C: X { type Item; } union D { a: u8 } type E<'a> = u8;
            fn f(union: u8) -> impl Into<X> { struct F(u8); type G = u8; let r#type = union; }
            #[derive(Debug)] impl Iterator for A { type Item = u8; fn next() { enum H {} } }
            macro_rules! m { ($name:ident) => { struct $name; } }
            pub use x::I; mod y { struct J; } #[cfg(test)] mod tests { struct K; } // struct L;
        ";
        assert_eq!(names(text), ["A", "B", "C", "D", "E", "F", "G", "H", "J"]);
    }

    #[test]
    fn the_second_type_of_a_name_is_found() {
        let sources = [
            Source::new("a.rs", "pub struct Batch;"),
            Source::new("b.rs", "pub use super::a::Batch;\nenum Batch {}"),
            Source::new("c.rs", "fn f() { type Batch = u8; } struct Other;"),
        ];
        let found: Vec<_> = findings(&sources).iter().map(ToString::to_string).collect();
        let second = |place| format!("{place}: a second type named Batch, after a.rs:1");
        assert_eq!(found, [second("b.rs:2"), second("c.rs:1")]);
    }
}
