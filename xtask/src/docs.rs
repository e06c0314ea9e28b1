//! The documents are true: every path that they name exists.

use std::fs;

use crate::root;

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "examples/README.md",
];

/// What stands in backticks or behind a link, and looks like a path of this repository.
fn paths(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let looks_like_a_path = |word: &&str| {
        let known_end = [".rs", ".md", ".toml", ".html", ".mjs", "/"];
        let outside = word.starts_with("http") || word.starts_with('/') || word.starts_with('#');
        !outside
            && known_end.iter().any(|end| word.ends_with(end))
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    quoted.chain(linked).filter(looks_like_a_path).map(str::to_owned).collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let mut named = 0;
    for document in DOCUMENTS {
        let file = root().join(document);
        let text = fs::read_to_string(&file).unwrap();
        for path in paths(&text) {
            // These a user makes.
            if ["grantor.toml", "grantor-data/"].contains(&path.as_str()) {
                continue;
            }
            named += 1;
            let folder = file.parent().unwrap();
            assert!(folder.join(&path).exists(), "{document} names {path}, which does not exist");
        }
    }
    assert!(named > 30, "paths were found: {named}");
}

#[test]
fn the_readmes_example_is_the_one_that_compiles() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (readme, example) = (read("README.md"), read("adapters/axum/examples/embed.rs"));
    let block = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains(block), "adapters/axum/examples/embed.rs has other text");
}
