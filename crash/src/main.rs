//! `grantor-crash`: is what the server said still true after it was killed?
//!
//! Clients use a real `grantor-server`, write down what they ask before they ask it, and what they are
//! told. The server is killed, its disk is full, or it fails. Afterwards all that was said must be
//! true of one server that forgets nothing; a call without an answer is either-or.

mod check;
mod client;
mod disk;
mod fault;
mod journal;
mod kill;
mod mix;
mod power;
mod race;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use kill::Run;

#[derive(Parser)]
struct Arguments {
    /// The server's program.
    #[arg(long, default_value = "target/debug/grantor-server", global = true)]
    program: PathBuf,
    /// `sqlite` or `sled`; for races in one process also `memory`.
    #[arg(long, default_value = "sqlite", global = true)]
    storage: String,
    /// How many clients use the server at once.
    #[arg(long, default_value_t = 64, global = true)]
    clients: u64,
    /// Where the clients' dice begin.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    /// The server's retry window in seconds. Without one every refresh is a write, and every
    /// repetition of one is a theft.
    #[arg(long, default_value_t = 60, global = true)]
    retry_window: u64,
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Kills the server at random moments.
    Kill {
        #[arg(long, default_value_t = 25)]
        kills: u64,
    },
    /// Lets the server's files grow no more for a while, three times. Needs prlimit.
    Full {
        /// Fill the file system of the temporary folder instead: it must be a small one.
        #[arg(long)]
        fill: bool,
    },
    /// Lets the disk's syncs fail, then its writes, then all that it does. Needs strace.
    Broken,
    /// Cuts the power at random moments: what was not synced is on the disk by chance, the last write of it torn. Needs
    /// strace.
    Power {
        #[arg(long, default_value_t = 10)]
        cuts: u64,
    },
    /// Goes through many flows at once, each of which must get what is its own.
    Mix {
        #[arg(long, default_value_t = 3_000)]
        flows: u64,
    },
    /// Presents each code many times at once.
    Race {
        #[arg(long, default_value_t = 2_000)]
        codes: u64,
        #[arg(long, default_value_t = 16)]
        racers: usize,
        /// Over two processes on one SQLite file, instead of the engine in this one.
        #[arg(long)]
        two_processes: bool,
    },
}

fn main() -> ExitCode {
    let Arguments { program, storage, clients, seed, retry_window, act } = Arguments::parse();
    let run = Run { program: &program, storage: &storage, clients, seed, retry_window };
    let done = match act {
        Act::Kill { kills } => kill::run(&run, kills),
        Act::Full { fill } => fault::full(&run, fill),
        Act::Broken => fault::broken(&run),
        Act::Mix { flows } => mix::run(&run, flows),
        Act::Power { cuts } => power::cut(&run, cuts),
        Act::Race { codes, racers, two_processes: true } => {
            race::over_two_processes(&run, codes, racers)
        }
        Act::Race { codes, racers, .. } => race::in_one_process(&storage, codes, racers),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
