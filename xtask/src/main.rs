//! The project's own chores: `cargo xtask <verb>`.

mod cases;
#[cfg(test)]
mod docs;
mod sabotage;
mod spec;
#[cfg(test)]
mod tree;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["sabotage", only @ ..] => sabotage::run(only),
        ["spec"] => spec::run(),
        ["cases"] => cases::run(),
        _ => Err("usage: cargo xtask sabotage [name… | --turn <number>] | spec | cases".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// The root of the repository.
fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
