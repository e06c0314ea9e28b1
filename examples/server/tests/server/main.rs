//! The server as its users meet it: a process, its command line, and HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "these are tests: a panic is how they fail"
)]

mod admin_api;
mod administration;
mod audit;
mod command_line;
mod console;
mod guide;
mod hostile_pages;
mod hostile_requests;
mod kill;
mod login_ui;
mod logout;
mod operation;
mod pages;
mod sessions;
mod sled;
mod support;
mod tls;
mod two_processes;
mod users_api;
