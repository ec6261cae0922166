//! Which file of a crate imports what of which other one.
//!
//! A path is followed to the file that defines its item, through re-exports: `crate::hub::Hub` is an import of the file
//! with `struct Hub`, wherever `hub/mod.rs` has it from. So a `mod.rs` that only declares, documents and re-exports is a
//! face: nothing is defined in it, and it imports nothing, for a re-export is no import unless the file uses the name
//! too. Naming a module alone counts if the module is one file; of a folder, the names used from it count.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::graph::Graph;
use super::source::{Source, Token, is_name, is_path_sign, text};

/// A module's path in its crate.
type ModulePath = Vec<String>;

/// What a name in a module stands for.
#[derive(Debug)]
enum Name {
    /// An item that is defined there.
    Defined,
    /// What this path leads to from there.
    Imported(Vec<String>),
}

/// One module: a file, or a part of one.
#[derive(Debug)]
struct Module {
    file: PathBuf,
    names: BTreeMap<String, Name>,
    /// Modules of which all names are imported.
    globs: Vec<Vec<String>>,
}

/// A path that a module uses.
#[derive(Debug)]
struct Used {
    module: ModulePath,
    path: Vec<String>,
    line: usize,
    /// A name alone in the code. It can be a variable's, so that it may be a module's too says nothing.
    is_bare: bool,
}

/// Where a path leads: to an item, with its file and name, or to a module.
enum Target {
    Item(PathBuf, String),
    Module(ModulePath),
}

/// The modules of one crate, and the paths that they use.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<ModulePath, Module>,
    used: Vec<Used>,
}

impl Crate {
    /// Reads a crate whose files are named relative to its root file's folder.
    pub(crate) fn new<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let mut this = Self::default();
        for source in sources {
            Reader { of: &mut this, source, modules: vec![(super::module(&source.file), 0)], depth: 0 }.read();
        }
        this
    }

    /// The imports between the files; these are named as by `shown`.
    pub(crate) fn graph(&self, shown: impl Fn(&PathBuf) -> PathBuf) -> Graph {
        let mut graph = Graph::default();
        for Used { module, path, line, is_bare } in &self.used {
            let (to, name) = match self.follow(module, path, 0) {
                Some(Target::Item(file, name)) => (file, name),
                Some(Target::Module(module)) if !is_bare && self.is_one_file(&module) => {
                    (self.modules[&module].file.clone(), module.join("::"))
                }
                _ => continue,
            };
            graph.add(shown(&self.modules[module].file), *line, shown(&to), name);
        }
        graph
    }

    fn is_one_file(&self, module: &ModulePath) -> bool {
        let file = &self.modules[module].file;
        self.modules.iter().all(|(other, held)| !other.starts_with(module) || held.file == *file)
    }

    /// Where this path leads from there; `None`: out of the crate.
    fn follow(&self, from: &ModulePath, path: &[String], steps: usize) -> Option<Target> {
        // More re-exports than anyone writes are a circle of names.
        if steps > 32 {
            return None;
        }
        let (mut module, mut at) = (from.clone(), 0);
        while let Some(name) = path.get(at) {
            match (name.as_str(), at) {
                ("crate", 0) => module = ModulePath::new(),
                ("self", _) => {}
                ("super", _) => drop(module.pop()?),
                _ => match self.look_up(&module, name, steps + 1)? {
                    Target::Module(inner) => module = inner,
                    item @ Target::Item(..) => return Some(item),
                },
            }
            at += 1;
        }
        Some(Target::Module(module))
    }

    /// What a name stands for in a module.
    fn look_up(&self, module: &ModulePath, name: &str, steps: usize) -> Option<Target> {
        let inner: ModulePath = module.iter().cloned().chain([name.to_owned()]).collect();
        if self.modules.contains_key(&inner) {
            return Some(Target::Module(inner));
        }
        let held = self.modules.get(module)?;
        match held.names.get(name) {
            Some(Name::Defined) => Some(Target::Item(held.file.clone(), name.to_owned())),
            // `use name::…;` in a crate's root: the name is another crate's.
            Some(Name::Imported(path)) if path[0] == name => None,
            Some(Name::Imported(path)) => self.follow(module, path, steps),
            None => held.globs.iter().find_map(|glob| match self.follow(module, glob, steps)? {
                Target::Module(from) if from != *module => self.look_up(&from, name, steps + 1),
                _ => None,
            }),
        }
    }
}

/// Reads one file.
struct Reader<'a> {
    of: &'a mut Crate,
    source: &'a Source,
    /// The module that is read, and those around it, each with the depth of braces inside it.
    modules: Vec<(ModulePath, usize)>,
    depth: usize,
}

impl Reader<'_> {
    fn read(mut self) {
        let tokens = &self.source.code;
        self.module();
        let mut at = 0;
        while at < tokens.len() {
            let after = at + 1;
            at = match text(tokens, at) {
                "use" if text(tokens, after) != "<" => self.read_use(at),
                "mod" if is_name(text(tokens, after)) && text(tokens, after + 1) == "{" => {
                    let inner = self.path().iter().cloned().chain([text(tokens, after).to_owned()]).collect();
                    self.depth += 1;
                    self.modules.push((inner, self.depth));
                    self.module();
                    after + 2
                }
                "{" => {
                    self.depth += 1;
                    after
                }
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    while self.modules.len() > 1 && self.modules.last().is_some_and(|(_, inside)| *inside > self.depth)
                    {
                        self.modules.pop();
                    }
                    after
                }
                "struct" | "enum" | "trait" | "union" | "type" | "fn" | "const" | "static" => self.read_item(after),
                "macro_rules" if text(tokens, after) == "!" => self.read_item(after + 1),
                word if is_name(word) && is_path_sign(tokens, after) => self.read_path(at),
                word if is_name(word) => {
                    self.read_bare(at);
                    after
                }
                _ => after,
            };
        }
    }

    fn path(&self) -> &ModulePath {
        &self.modules.last().expect("the file's own stays").0
    }

    fn module(&mut self) -> &mut Module {
        let path = self.path().clone();
        let file = self.source.file.clone();
        self.of.modules.entry(path).or_insert(Module { file, names: BTreeMap::new(), globs: Vec::new() })
    }

    fn used(&mut self, path: Vec<String>, line: usize, is_bare: bool) {
        let module = self.path().clone();
        self.of.used.push(Used { module, path, line, is_bare });
    }

    /// An item with its name at `at`; what stands deeper than the module is not its item.
    fn read_item(&mut self, at: usize) -> usize {
        let name = text(&self.source.code, at);
        let is_own = self.modules.last().is_some_and(|(_, inside)| *inside == self.depth);
        if is_own && is_name(name) && !matches!(name, "fn" | "unsafe" | "async" | "mut" | "extern") {
            self.module().names.insert(name.to_owned(), Name::Defined);
        }
        at
    }

    /// A path in the code, to its end.
    fn read_path(&mut self, start: usize) -> usize {
        let tokens = &self.source.code;
        let mut path = vec![text(tokens, start).to_owned()];
        let mut at = start + 1;
        while is_path_sign(tokens, at) && is_name(text(tokens, at + 2)) {
            path.push(text(tokens, at + 2).to_owned());
            at += 3;
        }
        if text(tokens, start.wrapping_sub(1)) != ":" || !is_path_sign(tokens, start.wrapping_sub(2)) {
            self.used(path, tokens[start].line, false);
        }
        at
    }

    /// A name alone: it may be one that is re-exported here, or one of a glob.
    fn read_bare(&mut self, at: usize) {
        let tokens = &self.source.code;
        let before = text(tokens, at.wrapping_sub(1));
        let is_in_path = before == ":" && is_path_sign(tokens, at.wrapping_sub(2));
        if !is_in_path && !matches!(before, "." | "fn" | "mod") {
            self.used(vec![text(tokens, at).to_owned()], tokens[at].line, true);
        }
    }

    /// A `use`, to its semicolon.
    fn read_use(&mut self, start: usize) -> usize {
        let tokens = &self.source.code;
        let end = (start..tokens.len()).find(|at| text(tokens, *at) == ";").unwrap_or(tokens.len());
        let is_re_export = matches!(text(tokens, start.wrapping_sub(1)), "pub" | ")");
        let mut entries = Vec::new();
        entry(&tokens[start + 1..end], &mut 0, &[], &mut entries);
        for Entry { path, alias, line } in entries {
            match alias {
                Some(alias) => {
                    self.module().names.insert(alias, Name::Imported(path.clone()));
                }
                None => self.module().globs.push(path.clone()),
            }
            if !is_re_export {
                self.used(path, line, false);
            }
        }
        end
    }
}

/// One path of a `use`; without an alias it is a glob.
struct Entry {
    path: Vec<String>,
    alias: Option<String>,
    line: usize,
}

/// Reads one entry of a `use`, groups in it too, and stops behind it.
fn entry(tokens: &[Token], at: &mut usize, before: &[String], into: &mut Vec<Entry>) {
    let (mut path, line) = (before.to_vec(), tokens.get(*at).map_or(0, |token| token.line));
    loop {
        match text(tokens, *at) {
            "{" => {
                *at += 1;
                while !matches!(text(tokens, *at), "}" | "") {
                    entry(tokens, at, &path, into);
                    *at += usize::from(text(tokens, *at) == ",");
                }
                *at += 1;
                return;
            }
            "*" => {
                *at += 1;
                into.push(Entry { path, alias: None, line });
                return;
            }
            ":" => *at += 1,
            "as" => {
                let alias = Some(text(tokens, *at + 1).to_owned());
                *at += 2;
                into.push(Entry { path, alias, line });
                return;
            }
            word if is_name(word) => {
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                *at += 1;
            }
            _ => {
                let alias = path.last().cloned();
                into.extend((!path.is_empty()).then_some(Entry { path, alias, line }));
                return;
            }
        }
    }
}

mod rules {
    use super::*;

    fn circles(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(file, text)| Source::new(*file, text)).collect();
        let found = Crate::new(&sources).graph(Clone::clone).circles();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle_however_it_is_written() {
        let b = ("hub/b.rs", "pub struct B;");
        for (a, b_text) in [
            ("use super::b::B;\npub struct A;", "use super::a::A;\npub struct B;"),
            ("use crate::hub::b::B;\npub struct A;", "use crate::hub::{a::{A}};\npub struct B;"),
            ("pub struct A; impl super::b::B {}", "pub struct B; fn f(_: &crate::hub::a::A) {}"),
            ("use super::b;\npub struct A; fn f() { b::g() }", "use super::a::A as Other;\npub fn g() {}"),
            ("use super::*;\npub struct A(B);", "use super::A;\npub struct B;"),
            ("pub struct A; fn f() { use super::B; }", "pub struct B; mod inner { use super::super::a::A; }"),
            ("pub struct A(super::B);", "use crate::A;\npub struct B;"),
        ] {
            let mods = ("hub/mod.rs", "mod a;\nmod b;\npub use a::A;\npub(crate) use self::b::*;");
            let lib = ("lib.rs", "mod hub; pub use hub::A;");
            let found = circles(&[lib, mods, ("hub/a.rs", a), (b.0, b_text)]);
            assert_eq!(found.len(), 1, "{a} / {b_text}: {found:?}");
            assert!(found[0].contains("a circle of 2 files:\n    hub/a.rs -> hub/b.rs ("), "{}", found[0]);
            let once = circles(&[lib, mods, ("hub/a.rs", a), b]);
            assert_eq!(once, [""; 0], "{a}");
        }
    }

    #[test]
    fn a_face_is_in_no_circle_but_a_module_that_defines_what_its_children_use_is() {
        let a = ("hub/a.rs", "use super::{B, Hub};\npub struct A;");
        let (b, hub) = (("hub/b.rs", "pub struct B;"), ("hub/hub.rs", "use super::b::B;\npub struct Hub;"));
        let face =
            ("hub/mod.rs", "//! Doc.\nmod a;\nmod b;\nmod hub;\npub use a::A;\npub use b::B;\npub use hub::Hub;");
        assert_eq!(circles(&[("lib.rs", "pub mod hub;"), face, a, b, hub]), [""; 0]);
        let defines = ("hub/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;\npub struct Hub { a: A }");
        let found = circles(&[("lib.rs", "pub mod hub;"), defines, a, b]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("hub/a.rs -> hub/mod.rs (Hub)\n    hub/mod.rs -> hub/a.rs (A)"), "{found:?}");
        let unused = ("hub/mod.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;\npub struct Hub;");
        assert_eq!(circles(&[("lib.rs", "pub mod hub;"), unused, a, b]), [""; 0]);
    }

    #[test]
    fn other_crates_tests_and_names_alike_are_no_imports() {
        for (a, b) in [
            ("use b::B;\npub struct A;", "use crate::a::A;\npub struct B;"),
            ("pub struct A; #[cfg(test)] mod tests { use crate::b::B; }", "use crate::a::A;\npub struct B;"),
            ("pub fn f(x: u8) { x.g() }", "use crate::a::f;\npub fn g() {}"),
            ("// crate::b::B\npub struct A; const X: &str = \"crate::b::B\";", "use crate::a::A;\npub struct B;"),
        ] {
            assert_eq!(circles(&[("lib.rs", "mod a;"), ("a.rs", a), ("b.rs", b)]), [""; 0], "{a} / {b}");
        }
    }
}
