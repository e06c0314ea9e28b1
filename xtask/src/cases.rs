//! What must not work: the cases of `book/negative-cases.toml`, and the page of the book that is made from them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;

use serde::Deserialize;

use crate::{Done, root};

const FILE: &str = "book/negative-cases.toml";
const PAGE: &str = "book/src/negative-cases.md";

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    /// The heading that it stands under.
    area: String,
    /// What is asked, and what is answered.
    words: String,
    /// The specification that has it.
    #[serde(default)]
    source: String,
    /// Whether it is about a feature that is not there: the tests show that it is refused.
    #[serde(default)]
    absent: bool,
    /// Why it is done otherwise than others do it.
    #[serde(default)]
    why: String,
    /// `path::test`, or a path alone.
    tests: Vec<String>,
    /// What no test shows yet.
    #[serde(default)]
    missing: String,
}

/// Writes the page anew.
pub(crate) fn run() -> Done {
    let cases = read()?;
    for case in &cases {
        check(case)?;
    }
    fs::write(root().join(PAGE), page(&cases))?;
    println!("{} cases, {} of them open", cases.len(), open(&cases));
    Ok(())
}

fn read() -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let Cases { case } = toml::from_str(&fs::read_to_string(root().join(FILE))?)?;
    let ids: HashSet<&str> = case.iter().map(|case| case.id.as_str()).collect();
    match ids.len() == case.len() {
        true => Ok(case),
        false => Err(format!("{FILE}: an id stands twice").into()),
    }
}

fn open(cases: &[Case]) -> usize {
    cases.iter().filter(|case| !case.missing.is_empty()).count()
}

/// Every test that is named must be there; and a case without any must say so.
fn check(case: &Case) -> Done {
    if case.tests.is_empty() && case.missing.is_empty() {
        return Err(format!("{}: no test shows it", case.id).into());
    }
    for test in &case.tests {
        let (path, name) = test.split_once("::").unwrap_or((test, ""));
        let text = fs::read_to_string(root().join(path))
            .map_err(|_| format!("{}: there is no file {path}", case.id))?;
        let is_there = match path.ends_with(".rs") && !name.is_empty() {
            true => text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<")),
            false => text.contains(name),
        };
        if !is_there {
            return Err(format!("{}: {path} has no test {name:?}", case.id).into());
        }
    }
    Ok(())
}

fn page(cases: &[Case]) -> String {
    let mut page = format!(
        "<!-- Made from {FILE} by `cargo xtask cases`. -->\n\n\
         # What must not work\n\n\
         Each line is a way in which servers of this kind were broken, or could be, and the tests that show what happens here.\n"
    );
    let mut area = "";
    for case in cases.iter().filter(|case| case.missing.is_empty()) {
        if case.area != area {
            area = &case.area;
            let _ = write!(
                page,
                "\n## {area}\n\n| What | Where it is from | Shown by |\n| --- | --- | --- |\n"
            );
        }
        let _ = writeln!(page, "| {} | {} | {} |", in_full(case), case.source, shown_by(case));
    }
    let open: Vec<&Case> = cases.iter().filter(|case| !case.missing.is_empty()).collect();
    if !open.is_empty() {
        let _ = write!(
            page,
            "\n## Not shown whole yet\n\nOf these, no test shows every part. That is not to say that they fail.\n\n"
        );
        for case in open {
            let _ = writeln!(page, "- {} *{}*", in_full(case), cell(&case.missing));
        }
    }
    page
}

fn in_full(case: &Case) -> String {
    let mut words = cell(&case.words);
    if case.absent {
        words.push_str(" (The feature is not there.)");
    }
    if !case.why.is_empty() {
        let _ = write!(words, " {}", cell(&case.why));
    }
    words
}

fn shown_by(case: &Case) -> String {
    let name = |test: &String| {
        let name = test.split_once("::").map_or(test.as_str(), |(_, name)| name);
        format!("`{}`", cell(name))
    };
    case.tests.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Text in a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_names_tests_that_are_there() {
        let cases = read().unwrap();
        let wrong: Vec<String> =
            cases.iter().filter_map(|case| check(case).err()).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(open(&cases), 0, "cases are open");
    }

    #[test]
    fn the_page_is_made_from_the_file() {
        let written = fs::read_to_string(root().join(PAGE)).unwrap();
        assert!(written == page(&read().unwrap()), "run `cargo xtask cases`");
    }
}
