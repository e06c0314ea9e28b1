//! Faults of the disk: it is full for a while, or it fails to sync.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::World;
use crate::journal::{Answer, Journal, Wish};
use crate::kill::{Run, look_after_all, together};
use crate::server::{Server, Trouble, wait};

/// Files cannot grow for a while. The server must say 503 meanwhile, lose nothing, and go on by itself
/// when there is space again.
pub(crate) fn full(run: &Run<'_>) -> Result<(), Trouble> {
    let (mut server, line, mut clients) = run.begin()?;
    let (journal, stop) = (Journal::new(), AtomicBool::new(false));
    let world = World { line: &line, journal: &journal, stop: &stop };
    for _ in 0..3 {
        together(&mut clients, world, || {
            wait(400);
            let filled = server.limit_files(Some(32 * 1024));
            wait(1000);
            stop.store(true, Ordering::SeqCst);
            filled
        })?;
        stop.store(false, Ordering::SeqCst);
        refuses(&journal, &server)?;
        server.limit_files(None)?;
        recovers(world, &server)?;
        look_after_all(&mut clients, world);
    }
    server.kill()?;
    journal.died();
    server.start()?;
    look_after_all(&mut clients, world);
    run.judge(&journal, "3 full disks")
}

/// Syncs fail. What the disk holds is uncertain then, so the server must refuse to go on until it is
/// started again, and have lost nothing that it acknowledged.
pub(crate) fn broken(run: &Run<'_>) -> Result<(), Trouble> {
    let (mut server, line, mut clients) = run.begin()?;
    let (journal, stop) = (Journal::new(), AtomicBool::new(false));
    let world = World { line: &line, journal: &journal, stop: &stop };
    for _ in 0..3 {
        stop.store(false, Ordering::SeqCst);
        let tracer = together(&mut clients, world, || {
            wait(400);
            let tracer = server.fail_syncs();
            wait(1000);
            stop.store(true, Ordering::SeqCst);
            tracer
        })?;
        stop.store(false, Ordering::SeqCst);
        refuses(&journal, &server)?;
        drop(tracer);
        server.kill()?;
        journal.died();
        server.start()?;
        recovers(world, &server)?;
        look_after_all(&mut clients, world);
    }
    run.judge(&journal, "3 failing disks")
}

/// The last calls were answered 503: the fault was met, and was answered with the RFC's error.
fn refuses(journal: &Journal, server: &Server) -> Result<(), Trouble> {
    let calls = journal.calls();
    let unavailable = calls.iter().rev().take(100).filter(|call| call.is_unavailable()).count();
    if unavailable == 0 {
        return Err(format!("the disk fails and nobody is told: {}", server.log()).into());
    }
    Ok(())
}

fn recovers(world: World<'_>, server: &Server) -> Result<(), Trouble> {
    for _ in 0..100 {
        let registered = world.call(Wish::Register, || {
            Some(match world.line.register()? {
                Ok(_) => Answer::ClientWorks,
                Err(answer) => answer,
            })
        });
        if registered == Some(Answer::ClientWorks) {
            return Ok(());
        }
        wait(100);
    }
    Err(format!("there is space again, and the server does not go on: {}", server.log()).into())
}
