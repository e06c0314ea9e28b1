//! What Grantor costs, and what it does under load, measured. `cargo run --release -p grantor-bench -- --help`

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "figures are for people, and a measurement that goes wrong may end"
)]

mod client;
mod commits;
mod compare;
mod credentials;
mod flow;
mod host;
mod overload;
mod process;
mod report;
mod scale;

use clap::{Parser, Subcommand};

/// That of `grantor-server`. What the system has costs a tenth more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(
    about = "Measures Grantor. Each measurement starts servers in processes of their own, on a core of their own"
)]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// What each kind of request costs, beside the framework alone and beside peers
    Compare(compare::Compare),
    /// Five times as many requests as can be answered: how many are, and what becomes of the others
    Overload(overload::Overload),
    /// What becomes of costs with a million grants, with many clients, and while ended grants are purged
    Scale(scale::Scale),
    /// The server that is measured
    #[command(hide = true)]
    Serve(host::Serve),
    /// Durable commits by themselves
    #[command(hide = true)]
    Commits {
        /// The database
        file: std::path::PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().measurement {
        Measurement::Compare(compare) => wakeful()?.block_on(compare.run()),
        Measurement::Overload(overload) => runtime()?.block_on(overload.run()),
        Measurement::Scale(scale) => wakeful()?.block_on(scale.run()),
        Measurement::Serve(serve) => serve.run(),
        Measurement::Commits { file } => runtime()?.block_on(commits::run(&file)),
    }
}

/// One thread, for those who ask: it looks for answers again and again while it waits (`stay_awake` in `flow`), so that
/// no server pays for waking it up.
fn wakeful() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()
}

/// As many threads as the process has cores: a server that is pinned to one has one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
