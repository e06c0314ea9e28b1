//! Lists the RFC sections that the code cites beside those that the tests cite, so that
//! a gap shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{Done, root};

pub(crate) fn run() -> Done {
    let mut cited: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for (place, folder) in ["core/src", "core/tests/spec"].iter().enumerate() {
        for citation in citations(&root().join(folder))? {
            let seen = cited.entry(citation).or_default();
            if let Some(seen) = seen.get_mut(place) {
                *seen = true;
            }
        }
    }
    println!("{:44} {:6} tests", "specification", "code");
    for (citation, [code, tests]) in cited {
        let mark = |cited: bool| if cited { "x" } else { "-" };
        println!("{citation:44} {:6} {}", mark(code), mark(tests));
    }
    Ok(())
}

/// Every `RFC n`, with its section when one follows.
fn citations(folder: &Path) -> Result<BTreeSet<String>, std::io::Error> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(citations(&path)?);
            continue;
        }
        let text = fs::read_to_string(&path)?.replace("//!", "").replace("///", "");
        let words: Vec<&str> = text.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            let number = |at: usize| {
                let word = words.get(at)?;
                let word = word.trim_matches(|c: char| !c.is_ascii_digit());
                (!word.is_empty() && word.starts_with(|c: char| c.is_ascii_digit())).then_some(word)
            };
            if !word.ends_with("RFC") {
                continue;
            }
            let Some(rfc) = number(at + 1) else { continue };
            let section = match words.get(at + 2) {
                Some(word) if word.starts_with("section") => number(at + 3),
                _ => None,
            };
            found.insert(match section {
                Some(section) => format!("RFC {rfc} section {section}"),
                None => format!("RFC {rfc}"),
            });
        }
    }
    Ok(found)
}
