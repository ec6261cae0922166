//! The SDK's sources: the same limit of lines, and no circles either.

use std::path::{Path, PathBuf};

use super::Finding;
use super::graph::Graph;
use super::sizes;

/// Finds what is wrong with these files of one folder: name and text of each.
pub(crate) fn findings(sources: &[(PathBuf, String)]) -> Vec<Finding> {
    let long = sources.iter().filter_map(|(file, text)| sizes::file(file, text.lines().count()));
    let mut graph = Graph::default();
    for (file, text) in sources {
        for (line, imported) in imports(text) {
            graph.add(file.clone(), line, sibling(file, &imported), imported);
        }
    }
    long.chain(graph.circles()).collect()
}

/// The relative imports of a module, `import` and `export … from` alike, of types alone too.
fn imports(text: &str) -> Vec<(usize, String)> {
    let imported = |line: &str| {
        let line = line.trim();
        let comment = ["//", "/*", "*"].iter().any(|sign| line.starts_with(sign));
        let from = line.rsplit_once(" from ").map(|(_, from)| from).or_else(|| line.strip_prefix("import "))?;
        let name = from.trim_end_matches(';').trim_matches(['\'', '"']);
        (!comment && name.starts_with("./")).then(|| name.to_owned())
    };
    text.lines().enumerate().filter_map(|(at, line)| Some((at + 1, imported(line)?))).collect()
}

/// The source behind an import, which names the JavaScript that becomes of it.
fn sibling(file: &Path, imported: &str) -> PathBuf {
    let name = imported.trim_start_matches("./");
    file.with_file_name(name).with_extension("ts")
}

mod rules {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        findings(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn circles_and_long_files_are_found() {
        let a = ("src/a.ts", "import {\n  type B,\n} from './b.js';\nimport fs from 'node:fs';");
        assert_eq!(found(&[a, ("src/b.ts", "// import './a.js';\nexport const b = 1;")]), [""; 0]);
        for back in ["import './a.js';", "import type { A } from \"./a.js\";", "export * from './a.js'"] {
            let found = found(&[a, ("src/b.ts", back)]);
            assert_eq!(found.len(), 1, "{back}");
            assert!(found[0].starts_with("src/a.ts:3: a circle of 2 files:\n    src/a.ts -> src/b.ts"), "{found:?}");
        }
        let long = "x;\n".repeat(sizes::FILE_LINES + 1);
        assert_eq!(found(&[("src/a.ts", &long)]), ["src/a.ts:501: 501 lines without the tests, at most 500: split it"]);
    }
}
