//! The power is cut: what was synced is on the disk, and a part of the rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::client::{Client, World};
use crate::journal::{Call, Journal};
use crate::kill::{Run, look_after_all, together};
use crate::server::{Server, Trouble, wait};

/// How long the server is used before it would be worth a cut, and until the last one, in milliseconds.
const EARLIEST: u64 = 1500;
const LATEST: u64 = 5000;

/// Lets a server live once and writes down what it does to its files. For each cut the files are made as they would be
/// then, a server is started on them, and everything must be true that had been said until then.
pub(crate) fn cut(run: &Run<'_>, cuts: u64) -> Result<(), Trouble> {
    let mut random = StdRng::seed_from_u64(run.seed);
    let recorded = Server::recorded(run.program, run.storage, run.retry_window)?;
    let (mut server, line, mut clients) = run.begin_with(recorded)?;
    clients.iter_mut().for_each(Client::keep_past);
    let (journal, stop) = (Journal::new(), AtomicBool::new(false));
    let world = World { line: &line, journal: &journal, stop: &stop };
    let begun = Instant::now();
    together(&mut clients, world, || {
        wait(LATEST);
        stop.store(true, Ordering::SeqCst);
    });
    server.kill()?;
    stop.store(false, Ordering::SeqCst);
    let recording = server.recording()?;
    for n in 1..=cuts {
        let moment = begun + Duration::from_millis(random.random_range(EARLIEST..LATEST));
        let mut restored = server.like_this()?;
        recording.restore(journal.since_1970(moment), &restored.data(), &mut random)?;
        let mut after = restored
            .start()
            .map(|_| moment_of(&mut clients, moment))
            .map_err(|why| format!("after power cut {n} of {cuts} (seed {}): {why}", run.seed))?;
        let journal = journal.until(moment);
        let restarted = journal.now();
        look_after_all(&mut after, World { journal: &journal, ..world })?;
        if journal.first_since(restarted, Call::gave_tokens).is_none() {
            return Err("nothing was shown: no grant was left to look after".into());
        }
        run.judge(&journal, &format!("power cut {n} of {cuts}"))?;
    }
    Ok(())
}

/// The clients as they were. What they had heard in the last moments is not in the journal, which counts in milliseconds.
fn moment_of(clients: &mut [Client], moment: Instant) -> Vec<Client> {
    clients.iter_mut().map(|client| client.as_at(moment - Duration::from_millis(2))).collect()
}
