//! Files that import each other, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Finding;

/// Which file imports what of which other one.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    edges: BTreeMap<PathBuf, BTreeMap<PathBuf, Import>>,
}

#[derive(Debug)]
struct Import {
    line: usize,
    names: BTreeSet<String>,
}

impl Graph {
    /// Adds that `from` imports `name`, which `to` defines. A file that uses itself imports nothing.
    pub(crate) fn add(&mut self, from: PathBuf, line: usize, to: PathBuf, name: String) {
        if from != to {
            let import = self.edges.entry(from).or_default().entry(to);
            import.or_insert(Import { line, names: BTreeSet::new() }).names.insert(name);
        }
    }

    /// Finds each circle once, with all imports that make it one.
    pub(crate) fn circles(&self) -> Vec<Finding> {
        let reached: BTreeMap<_, _> = self.edges.keys().map(|file| (file, self.reached(file))).collect();
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        for (file, from_here) in &reached {
            let circle: BTreeSet<_> = from_here
                .iter()
                .filter(|other| reached.get(**other).is_some_and(|back| back.contains(*file)))
                .collect();
            if circle.is_empty() || !seen.insert(*file) {
                continue;
            }
            seen.extend(circle.iter().map(|other| **other));
            let (mut imports, mut line) = (Vec::new(), 0);
            for from in &circle {
                for (to, import) in self.edges[**from].iter().filter(|(to, _)| circle.contains(to)) {
                    let names: Vec<_> = import.names.iter().map(String::as_str).collect();
                    imports.push(format!("{} -> {} ({})", from.display(), to.display(), names.join(", ")));
                    line = if *from == file { import.line } else { line };
                }
            }
            let rule = format!("a circle of {} files:\n    {}", circle.len(), imports.join("\n    "));
            found.push(Finding::new(file, line, rule));
        }
        found
    }

    /// All files that this one imports, directly or not; itself too if it is in a circle.
    fn reached<'a>(&'a self, file: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![file]);
        while let Some(file) = next.pop() {
            let imported = self.edges.get(file).into_iter().flat_map(BTreeMap::keys);
            next.extend(imported.filter(|imported| reached.insert(*imported)));
        }
        reached
    }
}

mod rules {
    use super::*;

    fn circles(edges: &[(&str, &str)]) -> Vec<String> {
        let mut graph = Graph::default();
        for (line, (from, to)) in edges.iter().enumerate() {
            graph.add(from.into(), line + 1, to.into(), "Name".to_owned());
        }
        graph.circles().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_circle_is_found_once_with_its_imports() {
        assert_eq!(circles(&[("a", "b"), ("b", "c"), ("a", "c"), ("d", "a"), ("a", "a")]), [""; 0]);
        let found = circles(&[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("p", "q"), ("q", "p")]);
        let first = "a:2: a circle of 3 files:\n    a -> b (Name)\n    b -> c (Name)\n    c -> a (Name)";
        let second = "p:6: a circle of 2 files:\n    p -> q (Name)\n    q -> p (Name)";
        assert_eq!(found, [first, second]);
    }
}
