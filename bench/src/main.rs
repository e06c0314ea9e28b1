//! What Grantor does under load, measured. `cargo run --release -p grantor-bench -- --help`

mod client;
mod host;
mod overload;

use clap::{Parser, Subcommand};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(
    about = "Measures Grantor. Each measurement starts the server in a process of its own, on a core of its own"
)]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// Five times as many requests as can be answered: how many are, and what becomes of the others
    Overload(overload::Overload),
    /// The server that is measured
    #[command(hide = true)]
    Serve {
        /// Where its records are
        folder: std::path::PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().measurement {
        Measurement::Overload(overload) => runtime()?.block_on(overload.run()),
        Measurement::Serve { folder } => runtime()?.block_on(host::serve(&folder)),
    }
}

/// As many threads as the process has cores: a server that is pinned to one has one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
