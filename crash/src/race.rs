//! Races: many callers present one code at once. One of them wins, always.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError, RwLock};

use grantor::store::Memory;
use grantor::testing::Anybody;
use grantor::{AuthorizationServer, Client, MasterKey, Scope, SystemEnvironment};
use grantor_sled::Sled;
use grantor_sqlite::Sqlite;
use pollster::block_on;

use crate::client::{Application, Line};
use crate::journal::Answer;
use crate::kill::Run;
use crate::server::{Server, Trouble};

/// Races inside one process, on the engine itself.
pub(crate) fn in_one_process(storage: &str, codes: u64, racers: usize) -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let builder = AuthorizationServer::builder("https://id.example.com")
        .subjects(Anybody)
        .master_key(MasterKey::generate(&SystemEnvironment)?)
        .interaction("/login");
    let builder = match storage {
        "memory" => builder.store(Memory::new()),
        "sqlite" => builder.store(Sqlite::open(folder.path().join("race.db"))?),
        "sled" => builder.store(Sled::open(folder.path().join("race"))?),
        other => return Err(format!("no storage is called {other}").into()),
    };
    let server = block_on(builder.build())?;
    let mut client = Client::public("client_race", "Race");
    client.redirect_uris = vec!["https://app.example.com/callback".into()];
    client.scope = Scope::parse("openid")?;
    client.first_party = true;
    client.require_consent = false;
    block_on(server.clients().create(client))?;
    let client = server.test_client("client_race");
    let wins = race(
        codes,
        racers,
        || Ok(block_on(client.code("ann"))?),
        |_, code: &String| match block_on(client.redeem(code)) {
            Ok(_) => Ok(true),
            Err(refused) if refused.status == Some(400) => Ok(false),
            Err(other) => Err(format!("a redemption was answered so: {other}")),
        },
    )?;
    report(&format!("{storage}, one process"), codes, racers, wins)
}

/// Races between two processes on one SQLite file, by HTTP.
pub(crate) fn over_two_processes(run: &Run<'_>, codes: u64, racers: usize) -> Result<(), Trouble> {
    let server = Server::new(run.program, run.storage, run.retry_window)?;
    let second = server.second()?;
    let line = Line::new(&server)?;
    let lines = [line.clone(), line.at(&second)];
    let mut app = None;
    let wins = race(
        codes,
        racers,
        || authorize(&line, &mut app),
        |racer, sent: &(Application, String)| {
            let (app, code) = sent;
            match lines.get(racer % 2).and_then(|line| line.redeem(app, code)) {
                Some(Answer::Tokens { .. }) => Ok(true),
                Some(Answer::Refused) => Ok(false),
                other => Err(format!("a redemption was answered {other:?}")),
            }
        },
    )?;
    report(&format!("{}, two processes", run.storage), codes, racers, wins)
}

/// An application and a code of its own. The application is registered anew now and then: the server
/// counts an application's calls.
fn authorize(
    line: &Line,
    app: &mut Option<(u64, Application)>,
) -> Result<(Application, String), Trouble> {
    let (uses, registered) = match app.take() {
        Some((uses, app)) if uses < 20 => (uses, app),
        _ => (0, line.register().ok_or("no answer")?.map_err(|why| format!("{why:?}"))?),
    };
    let answer = line.authorize(&registered);
    let Some(Answer::Code(code)) = answer else { return Err(format!("{answer:?}").into()) };
    *app = Some((uses + 1, registered.clone()));
    Ok((registered, code))
}

/// How many codes had no winner, one, and more.
type Wins = [u64; 3];

/// Makes a code, lets all racers present it at once, and counts who won; again and again.
fn race<C: Send + Sync>(
    codes: u64,
    racers: usize,
    mut make: impl FnMut() -> Result<C, Trouble>,
    present: impl Fn(usize, &C) -> Result<bool, String> + Sync,
) -> Result<Wins, Trouble> {
    let (begin, end) = (Barrier::new(racers + 1), Barrier::new(racers + 1));
    // Without a code the race is over.
    let code: RwLock<Option<C>> = RwLock::new(None);
    let (winners, trouble) = (AtomicUsize::new(0), Mutex::new(None));
    let run = |racer: usize| {
        loop {
            begin.wait();
            let code = code.read().unwrap_or_else(PoisonError::into_inner);
            let Some(code) = &*code else { return };
            match present(racer, code) {
                Ok(true) => drop(winners.fetch_add(1, Ordering::SeqCst)),
                Ok(false) => {}
                Err(why) => *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why),
            }
            end.wait();
        }
    };
    let set = |next| *code.write().unwrap_or_else(PoisonError::into_inner) = next;
    std::thread::scope(|scope| {
        for racer in 0..racers {
            let run = &run;
            scope.spawn(move || run(racer));
        }
        let mut wins = Wins::default();
        let mut rounds = || {
            for _ in 0..codes {
                set(Some(make()?));
                winners.store(0, Ordering::SeqCst);
                begin.wait();
                end.wait();
                let won = winners.load(Ordering::SeqCst).min(2);
                wins.iter_mut().skip(won).take(1).for_each(|count| *count += 1);
                if let Some(why) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    return Err(why.into());
                }
            }
            Ok(())
        };
        let raced = rounds();
        set(None);
        begin.wait();
        raced.map(|()| wins)
    })
}

fn report(what: &str, codes: u64, racers: usize, wins: Wins) -> Result<(), Trouble> {
    let [nobody, one, several] = wins;
    println!(
        "{what}: {codes} codes, {racers} racers; {one} had one winner, {several} several, \
         {nobody} none"
    );
    if one == codes { Ok(()) } else { Err("a race had not exactly one winner".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_counts_its_winners() {
        let all = race(5, 4, || Ok(()), |_, ()| Ok(true)).unwrap();
        let first = race(5, 4, || Ok(()), |racer, ()| Ok(racer == 0)).unwrap();
        let none = race(5, 4, || Ok(()), |_, ()| Ok(false)).unwrap();
        assert_eq!([none, first, all], [[5, 0, 0], [0, 5, 0], [0, 0, 5]]);
        assert!(report("planted", 5, 4, all).is_err() && report("planted", 5, 4, none).is_err());
        assert!(race(5, 4, || Ok(()), |_, ()| Err("planted".into())).is_err());
    }

    #[test]
    fn every_store_has_one_winner_a_race() {
        for storage in ["memory", "sqlite", "sled"] {
            in_one_process(storage, 20, 8).unwrap();
        }
    }
}
