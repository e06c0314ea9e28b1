//! Faults of the disk: it is full for a while, or it fails to sync, to write, to read.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::World;
use crate::journal::{Answer, Call, Journal, Tick, Wish};
use crate::kill::{Run, look_after_all, together};
use crate::server::{Server, Trouble, wait};

/// Files cannot grow for a while. The server must say 503 meanwhile, lose nothing, and go on by itself
/// when there is space again.
pub(crate) fn full(run: &Run<'_>, fill: bool) -> Result<(), Trouble> {
    let make_full = |server: &Server| match fill {
        true => server.fill_disk(),
        false => server.limit_files(Some(32 * 1024)),
    };
    let make_space = |server: &Server| match fill {
        true => server.free_disk(),
        false => server.limit_files(None),
    };
    let (mut server, line, mut clients) = run.begin()?;
    let (journal, stop) = (Journal::new(), AtomicBool::new(false));
    let world = World { line: &line, journal: &journal, stop: &stop };
    for _ in 0..3 {
        together(&mut clients, world, || {
            wait(400);
            let filled = make_full(&server).and_then(|()| until_refused(&journal, &server));
            stop.store(true, Ordering::SeqCst);
            filled
        })?;
        stop.store(false, Ordering::SeqCst);
        make_space(&server)?;
        recovers(world, &server)?;
        look_after_all(&mut clients, world)?;
    }
    server.kill()?;
    journal.died();
    server.start()?;
    look_after_all(&mut clients, world)?;
    run.judge(&journal, "3 full disks")
}

/// What the disk fails to do.
struct Failing {
    what: &'static str,
    calls: &'static str,
    /// Nobody knows afterwards what the disk holds, so that the server must do nothing more until it is started again.
    /// Of another failure it may know what it did: it goes on, or not, but right.
    ends_trust: bool,
}

const FAILURES: [Failing; 3] = [
    Failing { what: "syncs", calls: "fsync,fdatasync", ends_trust: true },
    Failing { what: "writes", calls: "pwrite64,ftruncate", ends_trust: false },
    Failing { what: "all", calls: "pread64,pwrite64,ftruncate,fsync,fdatasync", ends_trust: false },
];

/// The disk fails, in one way after the other. While it does nothing new may be promised, and nothing may be lost that
/// was.
pub(crate) fn broken(run: &Run<'_>) -> Result<(), Trouble> {
    let (mut server, line, mut clients) = run.begin()?;
    let (journal, stop) = (Journal::new(), AtomicBool::new(false));
    let world = World { line: &line, journal: &journal, stop: &stop };
    for Failing { what, calls, ends_trust } in FAILURES {
        let (tracer, failing_since) = together(&mut clients, world, || {
            wait(400);
            let tracer = server.fail(calls).map(|tracer| (tracer, journal.now()));
            let tracer = tracer.and_then(|it| until_refused(&journal, &server).map(|()| it));
            stop.store(true, Ordering::SeqCst);
            tracer
        })
        .map_err(|why| format!("{what} fail: {why}"))?;
        stop.store(false, Ordering::SeqCst);
        nothing_was_acknowledged(&journal, failing_since)?;
        drop(tracer);
        for _ in 0..3 {
            if ends_trust && register(world) != Some(Answer::Unavailable) {
                return Err(format!("the server goes on after the disk failed: {what}").into());
            }
        }
        server.kill()?;
        journal.died();
        server.start()?;
        recovers(world, &server)?;
        look_after_all(&mut clients, world)?;
    }
    run.judge(&journal, "3 failing disks")
}

/// Waits until the fault was met often, and answered with the RFC's error.
fn until_refused(journal: &Journal, server: &Server) -> Result<(), Trouble> {
    let before = journal.unavailable();
    for _ in 0..600 {
        if journal.unavailable() >= before + 200 {
            return Ok(());
        }
        wait(100);
    }
    Err(format!("the disk fails and nobody is told: {}", server.log()).into())
}

/// While the disk fails, nothing new can be promised: what began after that must not be done.
fn nothing_was_acknowledged(journal: &Journal, failing_since: Tick) -> Result<(), Trouble> {
    let is_new = |call: &Call| {
        let answer = matches!(call.answer, Some(Answer::Code(_) | Answer::Client(_)));
        answer || matches!(call.wish, Wish::Redeem { .. }) && call.gave_tokens()
    };
    match journal.first_since(failing_since, is_new) {
        Some(call) => Err(format!("acknowledged while the disk failed: {call:?}").into()),
        None => Ok(()),
    }
}

fn register(world: World<'_>) -> Option<Answer> {
    world.call(Wish::Register, || {
        Some(match world.line.register()? {
            Ok(_) => Answer::ClientWorks,
            Err(answer) => answer,
        })
    })
}

fn recovers(world: World<'_>, server: &Server) -> Result<(), Trouble> {
    for _ in 0..100 {
        if register(world) == Some(Answer::ClientWorks) {
            return Ok(());
        }
        wait(100);
    }
    Err(format!("there is space again, and the server does not go on: {}", server.log()).into())
}
