//! What the adapters of [Grantor](grantor) share on tokio. A host uses `grantor-axum` or
//! `grantor-actix`; an adapter for another framework begins here.

mod load;
mod turn;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grantor::{AuthorizationServer, Failure, Request, Response};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use load::LOAD;

/// How long a client may take to send a request's headers, to stay idle between requests, and to agree on
/// TLS. The frameworks would wait for ever.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(30);

/// How long what is in flight may take after the signal to stop.
pub const GRACE: Duration = Duration::from_secs(10);

/// How long a client may take to send its body. The frameworks would wait for ever.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Answers one request, whatever becomes of it. `request` comes without its body; `body` reads no more
/// than [`grantor::MAX_BODY`] bytes, and fails when there are more.
///
/// The engine works in a task of its own: a client that hangs up cannot tear a redemption in two, and a
/// panic in a hook of the host becomes an answer instead of a closed socket.
///
/// While there is more to do than can be done, requests are answered 503, with `Retry-After`, and after a second
/// ([`hold_refusal`] says why): before their body is read when 1,024 are worked on in this process, not counting those
/// whose body is still on its way, or when the runtime that runs [`maintain`], which looks, stays more than 250
/// milliseconds late; and when their turn to be worked on does not come within half a second. Nothing of them was begun.
/// Revocations, signing out, keys and metadata are always answered.
pub async fn answer<E>(
    server: &AuthorizationServer,
    mut request: Request,
    body: impl Future<Output = Result<Vec<u8>, E>>,
) -> Response {
    if LOAD.refuses(&request.path) {
        return refused(server, &request).await;
    }
    match tokio::time::timeout(BODY_DEADLINE, body).await {
        Ok(Ok(body)) => request.body = body,
        Ok(Err(_)) => return server.failed(&request, Failure::TooLarge).await,
        Err(_) => return server.failed(&request, Failure::TooSlow).await,
    }
    // Not before: bodies that drip would hold all places.
    let Some((place, turn)) = LOAD.admit(&request.path).await else {
        return refused(server, &request).await;
    };
    let request = Arc::new(request);
    let handling = tokio::spawn({
        let (server, request) = (server.clone(), request.clone());
        // Its log lines belong to the request all the same.
        async move {
            let _place = place;
            turn.work(server.handle(&request)).await
        }
        .in_current_span()
    });
    match handling.await {
        Ok(response) => response,
        Err(_) => server.failed(&request, Failure::Crashed).await,
    }
}

async fn refused(server: &AuthorizationServer, request: &Request) -> Response {
    hold_refusal().await;
    server.failed(request, Failure::Overloaded).await
}

/// For how long a refusal is held.
const HELD: Duration = Duration::from_secs(1);

/// Waits before a refusal is sent: whoever comes again at once, without a look at `Retry-After`, comes less often, and
/// what their next refusals would cost is done for others.
pub async fn hold_refusal() {
    tokio::time::sleep(HELD).await;
}

/// Whether a request to an endpoint of the engine is refused now, before anything else is done for it. What refuses by
/// this has refused: it is counted.
#[must_use]
pub fn refuses(path: &str) -> bool {
    LOAD.refuses(path)
}

/// Whether a new request should be refused (503), for routes of the host's own: there is more to do than can be done.
#[must_use]
pub fn is_overloaded() -> bool {
    LOAD.is_full()
}

/// Rotates keys and purges ended grants whenever the server says that it is due. It never returns: run
/// it beside the host, and drop it with the host.
///
/// Beside that it tells applications of sessions that have ended, where the server has an outbox: many at a time, so
/// that one that hangs delays no other.
pub async fn maintain(server: AuthorizationServer) {
    // Dropped with this future.
    let mut beside = JoinSet::new();
    beside.spawn(deliver(server.clone()));
    beside.spawn(LOAD.watch());
    keep(server).await;
}

/// How many messages are on their way at the same time.
const PARALLEL: usize = 64;
/// How many of them to one client: one that hangs again and again keeps nobody waiting.
const SHARE: usize = 8;
/// How often the outbox is looked at. What this process writes into it waits no longer, either.
const LOOK_EVERY: Duration = Duration::from_secs(1);

async fn deliver(server: AuthorizationServer) {
    if !server.tells_of_logout() {
        return;
    }
    // Dropped with this future; what was on its way then is delivered by the next process.
    let mut running = JoinSet::new();
    let mut shares: HashMap<String, usize> = HashMap::new();
    loop {
        while let Some(done) = running.try_join_next() {
            give_back(&mut shares, done);
        }
        // A store that is away, or panics, is asked again.
        let (asked, room) = (server.clone(), PARALLEL - running.len());
        let due = tokio::spawn(async move { asked.due_deliveries(room).await }).await;
        for delivery in due.ok().and_then(Result::ok).unwrap_or_default() {
            let client_id = delivery.client_id().to_owned();
            let share = shares.entry(client_id.clone()).or_default();
            if *share >= SHARE {
                // It is due again when its lease has run out.
                drop(delivery);
                continue;
            }
            *share += 1;
            // A receiver that fails is told of by its event. Whatever else fails is tried again when its lease has run
            // out.
            running.spawn(async move {
                drop(delivery.deliver().await);
                client_id
            });
        }
        match running.len() {
            PARALLEL.. => {
                if let Some(done) = running.join_next().await {
                    give_back(&mut shares, done);
                }
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn give_back(shares: &mut HashMap<String, usize>, done: Result<String, tokio::task::JoinError>) {
    match done {
        Ok(client_id) => {
            if let Some(share) = shares.get_mut(&client_id) {
                *share = share.saturating_sub(1);
            }
            shares.retain(|_, share| *share > 0);
        }
        // Whose it was, nobody knows: all begin anew.
        Err(_) => shares.clear(),
    }
}

async fn keep(server: AuthorizationServer) {
    loop {
        // A store that is away now is asked again; requests fail closed meanwhile.
        // One that panics in a hook of the host is no reason never to rotate keys again.
        let maintained = tokio::spawn({
            let server = server.clone();
            async move { server.maintain().await }
        });
        let rest = match maintained.await {
            Ok(Ok(rest)) => rest,
            Ok(Err(_)) | Err(_) => Duration::from_secs(10),
        };
        tokio::time::sleep(rest.max(Duration::from_millis(50))).await;
    }
}
