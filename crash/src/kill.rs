//! Kills: the process dies at a random moment, with many calls under way.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::check::check;
use crate::client::{Client, Line, World};
use crate::journal::{Answer, Call, Journal};
use crate::server::{Server, Trouble, wait};

/// How to run.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    pub(crate) storage: &'a str,
    pub(crate) clients: u64,
    pub(crate) seed: u64,
    /// In seconds.
    pub(crate) retry_window: u64,
}

impl Run<'_> {
    /// Starts a server with clients that have not done anything yet.
    pub(crate) fn begin(&self) -> Result<(Server, Line, Vec<Client>), Trouble> {
        self.begin_with(Server::new(self.program, self.storage, self.retry_window)?)
    }

    /// The same, with a server that has been started.
    pub(crate) fn begin_with(
        &self,
        server: Server,
    ) -> Result<(Server, Line, Vec<Client>), Trouble> {
        let line = Line::new(&server)?;
        let clients = (0..self.clients).map(|n| Client::new(self.seed * 1_000 + n)).collect();
        Ok((server, line, clients))
    }

    /// Checks what the clients wrote down, and fails with what it finds.
    pub(crate) fn judge(&self, journal: &Journal, what: &str) -> Result<(), Trouble> {
        let calls = journal.calls();
        let count = |is: fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
        let violations = check(&calls, self.retry_window * 1000);
        println!(
            "{}, {what}: {} calls ({} granted, {} revoked, {} refused, {} answered 503, {} without an \
             answer), {} violations; retry window {} s, seed {}",
            self.storage,
            calls.len(),
            count(Call::gave_tokens),
            count(|call| call.answer == Some(Answer::Revoked)),
            count(Call::is_refused),
            count(Call::is_unavailable),
            count(|call| call.answer.is_none()),
            violations.len(),
            self.retry_window,
            self.seed
        );
        for violation in violations.iter().take(5) {
            println!("{violation}");
        }
        if !violations.is_empty() {
            return Err("promises were broken".into());
        }
        // A server that answers nothing breaks no promise, and shows none.
        let kinds: [fn(&Call) -> bool; 3] =
            [Call::gave_tokens, |call| call.answer == Some(Answer::Active), Call::is_refused];
        if kinds.into_iter().any(|is| count(is) == 0) {
            return Err("nothing was shown: too little was answered".into());
        }
        Ok(())
    }
}

/// Lets all clients live at once while `meanwhile` runs, which must tell them to stop.
pub(crate) fn together<R>(
    clients: &mut [Client],
    world: World<'_>,
    meanwhile: impl FnOnce() -> R,
) -> R {
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || client.live(world));
        }
        meanwhile()
    })
}

/// Every client asks for the state of everything that it holds, and must be answered.
pub(crate) fn look_after_all(clients: &mut [Client], world: World<'_>) -> Result<(), Trouble> {
    let begin = world.journal.now();
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || client.look_after_all(world));
        }
    });
    let is_silent = |call: &Call| call.answer.is_none() || call.is_unavailable();
    match world.journal.first_since(begin, is_silent) {
        Some(call) => Err(format!("a server that is well does not answer: {call:?}").into()),
        None => Ok(()),
    }
}

pub(crate) fn run(run: &Run<'_>, kills: u64) -> Result<(), Trouble> {
    let mut random = StdRng::seed_from_u64(run.seed);
    let (mut server, line, mut clients) = run.begin()?;
    let (journal, stop) = (Journal::new(), AtomicBool::new(false));
    let world = World { line: &line, journal: &journal, stop: &stop };
    for n in 0..kills {
        if n > 0 {
            server.start()?;
        }
        let moment = random.random_range(20..600);
        together(&mut clients, world, || {
            wait(moment);
            journal.await_change();
            stop.store(true, Ordering::SeqCst);
            server.kill()
        })?;
        journal.died();
        stop.store(false, Ordering::SeqCst);
        if (n + 1) % 100 == 0 {
            run.judge(&journal, &format!("{} kills", n + 1))?;
        }
    }
    server.start()?;
    look_after_all(&mut clients, world)?;
    run.judge(&journal, &format!("{kills} kills"))
}
