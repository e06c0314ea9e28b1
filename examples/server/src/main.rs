//! `grantor-server`: a small identity provider on the Grantor engine.
//!
//! It owns what an engine must not: people and their passwords, sessions, pages, and an API for
//! administrators.

mod account;
mod accounts;
mod administration;
mod api;
mod app;
mod audit;
mod authenticate;
mod bootstrap;
mod busy;
mod command;
mod config;
mod console;
mod demo;
mod devices;
mod error;
mod events;
mod limits;
mod metrics;
mod observe;
mod origin;
mod pages;
mod passwords;
mod places;
mod problem;
mod proxy;
mod registration;
mod replies;
mod session;
mod session_end;
mod sign_in;
mod sign_out;
mod storage;
mod telemetry;
mod tls;
mod trusted;

use std::process::ExitCode;

use clap::Parser as _;

/// What the system has takes a tenth more of the processor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    match command::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grantor-server: {error}");
            ExitCode::FAILURE
        }
    }
}
