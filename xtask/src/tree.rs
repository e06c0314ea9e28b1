//! What the engine is built of stays small: a host takes all of it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::root;

/// The most crates that the engine may be linked with.
const MOST: usize = 40;

/// Runtimes, frameworks and databases are the host's to choose.
const FOREIGN: [&str; 12] = [
    "actix-web",
    "async-std",
    "axum",
    "http",
    "hyper",
    "libsqlite3-sys",
    "reqwest",
    "rusqlite",
    "rustls",
    "sled",
    "smol",
    "tokio",
];

/// The crates that are linked into a host because of the engine, on Linux. What runs at compile time alone
/// (derive macros, the build of aws-lc) is not among them.
fn crates_of_the_engine() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "grantor", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p}", "--target", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let name_and_version = |line: &str| line.split(" (").next().unwrap_or(line).trim().to_owned();
    let mut crates: BTreeSet<String> = text.lines().map(name_and_version).collect();
    crates.retain(|name| !name.is_empty() && !name.starts_with("grantor "));
    crates
}

#[test]
fn the_engine_is_linked_with_few_crates_and_the_readme_says_how_many() {
    let crates = crates_of_the_engine();
    assert!(crates.iter().any(|name| name.starts_with("aws-lc-rs ")), "{crates:?}");
    assert!(
        crates.len() <= MOST,
        "{} crates: {crates:#?}\nAfter a `cargo update`, `cargo update -p idna_adapter --precise 1.1.0` and \
         `cargo update -p utf8_iter --precise 1.0.4` bring the small Unicode tables back.",
        crates.len()
    );
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let said = format!("linked with {} crates", crates.len());
    assert!(readme.contains(&said), "README.md does not say {said:?}");
}

#[test]
fn the_engine_knows_no_runtime_framework_or_database() {
    let crates = crates_of_the_engine();
    let name = |text: &String| text.split(' ').next().unwrap().to_owned();
    let foreign: Vec<_> =
        crates.iter().map(name).filter(|name| FOREIGN.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
