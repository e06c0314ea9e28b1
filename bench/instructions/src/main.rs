//! Counts the instructions of each kind of request, with valgrind. Unlike times they are the same on every machine of a
//! kind, so that a change which makes a request dearer is seen in the change itself: `just instructions` fails when one
//! has risen by more than a tenth of what `bench/instructions/baseline.json` says. The baseline is of the unoptimized
//! build, which everybody who changes Grantor has already.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "figures are for people")]

mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BASELINE: &str = "bench/instructions/baseline.json";
/// How often each is done in the longer of two runs, and how much less in the other.
const TIMES: u64 = 60;
const FEWER: u64 = 20;
/// What a rise is.
const RISE: f64 = 1.1;

const HELP: &str = "usage: grantor-instructions check | write | run WORK TIMES";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["check"] => check(),
        ["write"] => write(),
        ["run", work, times] => work::run(work, times.parse()?),
        _ => Err(HELP.into()),
    }
}

fn check() -> Result<()> {
    let text = std::fs::read_to_string(BASELINE).map_err(|why| {
        format!("{BASELINE} cannot be read (start in the project's folder): {why}")
    })?;
    let baseline: BTreeMap<String, u64> = serde_json::from_str(&text)?;
    let ring = ring()?;
    let mut risen = Vec::new();
    println!("| | instructions | before | |\n| --- | ---: | ---: | ---: |");
    for name in work::ALL {
        let before = baseline.get(name).copied();
        let before = before.ok_or_else(|| format!("{BASELINE} has no {name}"))?;
        let now = count(name, ring.path())?;
        let ratio = now as f64 / before as f64;
        println!("| {name} | {now} | {before} | {:+.1} % |", (ratio - 1.0) * 100.0);
        if ratio > RISE {
            risen.push(name);
        }
    }
    match risen.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{} takes more than a tenth more instructions than before. If that is worth it, write the new \
             baseline (`just instructions write`) in the same change, and say why",
            risen.join(", ")
        )
        .into()),
    }
}

fn write() -> Result<()> {
    let ring = ring()?;
    let mut counted = BTreeMap::new();
    for name in work::ALL {
        let now = count(name, ring.path())?;
        println!("{name}: {now}");
        counted.insert(name, now);
    }
    Ok(std::fs::write(BASELINE, serde_json::to_string_pretty(&counted)? + "\n")?)
}

/// A file with keys.
fn ring() -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), work::ring()?)?;
    Ok(file)
}

/// What one costs: the difference of two runs, so that what comes before and after does not count.
fn count(name: &str, ring: &Path) -> Result<u64> {
    let more = instructions(name, TIMES, ring)?;
    let fewer = instructions(name, TIMES - FEWER, ring)?;
    Ok(more.saturating_sub(fewer) / FEWER)
}

/// The instructions of a whole run of this program.
fn instructions(name: &str, times: u64, ring: &Path) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", name, &times.to_string()])
        .env(work::RING, ring)
        .output()
        .map_err(|why| format!("valgrind cannot be run: {why}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let counted =
        said.lines().find_map(|line| line.split_once("I   refs:").or(line.split_once("I refs:")));
    match (output.status.success(), counted) {
        (true, Some((_, counted))) => Ok(counted.trim().replace(',', "").parse()?),
        _ => Err(format!("{name} failed under valgrind:\n{said}").into()),
    }
}
