//! Five times as many requests as can be answered. Requests come when they come, whatever became of those before (an
//! open loop): that is what people and their retries do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Result;
use crate::client::Connection;
use crate::credentials::SERVICE_RS256;
use crate::flow::{Paths, client_credentials};
use crate::process::{memory, own, step_aside};

/// Who is that much later has not been answered: people have gone away by then.
const DEADLINE: Duration = Duration::from_secs(2);
/// How many connections there are at most: fewer than the server takes.
const CONNECTIONS: usize = 3500;
/// How many clients find out what can be answered.
const CLOSED_LOOP: usize = 64;

#[derive(Args)]
pub(crate) struct Overload {
    /// For how many seconds too much comes
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many times what can be answered
    #[arg(long, default_value_t = 5.0)]
    factor: f64,
    /// Ends with a failure when a promise is not kept
    #[arg(long)]
    strict: bool,
}

/// What became of requests.
#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    right: AtomicU64,
    refused: AtomicU64,
    /// Refused, and not told when to come again.
    refused_bare: AtomicU64,
    other: AtomicU64,
    late: AtomicU64,
    broken: AtomicU64,
    /// Nothing was free to send it with.
    unsent: AtomicU64,
}

impl Tally {
    fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}

impl Overload {
    pub(crate) async fn run(self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        step_aside().await?;
        let server = own(&["serve".as_ref(), folder.path().as_os_str()]).await?;
        let (address, pid) = (server.address, server.pid());
        // The dearest signature that there is, so that a request is worth refusing.
        let request = client_credentials(&Paths::of_grantor(), SERVICE_RS256);
        // Warm, then what it can do.
        closed_loop(address, &request, Duration::from_secs(2)).await;
        let peak = closed_loop(address, &request, Duration::from_secs(10)).await;
        let before = memory(pid)?;
        println!("peak: {peak:.0} answers a second with {CLOSED_LOOP} clients, {before} MB");

        let rate = peak * self.factor;
        let load = Arc::new(Tally::default());
        let needed = Arc::new(Tally::default());
        let most = Arc::new(AtomicUsize::new(before));
        let span = Duration::from_secs(self.seconds);
        let watching = watch_memory(pid, most.clone(), span);
        let keys = b"GET /oauth2/jwks.json HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
        let (took, (), ()) = tokio::join!(
            open_loop(address, Arc::new(request.clone()), rate, span, load.clone()),
            async {
                // What others need to check tokens by themselves.
                open_loop(address, Arc::new(keys), 20.0, span, needed.clone()).await;
            },
            watching,
        );
        let goodput = Tally::of(&load.right) as f64 / took.as_secs_f64();
        let recovery = recover(address, &request, peak / 2.0).await;
        let probe = closed_loop(address, &request, Duration::from_secs(10)).await;
        let after = memory(pid)?;
        server.stop().await?;

        let [sent, right, refused, bare, other, late, broken, unsent] = [
            &load.sent,
            &load.right,
            &load.refused,
            &load.refused_bare,
            &load.other,
            &load.late,
            &load.broken,
            &load.unsent,
        ]
        .map(Tally::of);
        let (keys_right, keys_sent) = (Tally::of(&needed.right), Tally::of(&needed.sent));
        let most = most.load(Ordering::Relaxed);
        // Machines have faster and slower minutes.
        let share = goodput / peak.midpoint(probe);
        println!(
            "overload: {:.0} a second for {:.0} s ({} times the peak)",
            rate,
            took.as_secs_f64(),
            self.factor
        );
        println!("| | |\n|---|---|");
        println!(
            "| sent | {sent} ({:.0} a second), {unsent} more with no connection free |",
            sent as f64 / took.as_secs_f64()
        );
        println!(
            "| answered within {} s | {right} ({goodput:.0} a second, {:.0} % of what it can before and afterwards) |",
            DEADLINE.as_secs(),
            share * 100.0
        );
        println!("| refused (503 or 429) | {refused}, {bare} of them without Retry-After |");
        println!("| any other answer | {other} |");
        println!("| late or none | {late} |");
        println!("| broken off | {broken} |");
        println!("| keys, meanwhile | {keys_right} of {keys_sent} |");
        println!(
            "| back to half the peak with nobody refused after | {:.1} s |",
            recovery.as_secs_f64()
        );
        println!("| answers a second afterwards | {probe:.0} |");
        println!("| memory before, at most, afterwards | {before}, {most}, {after} MB |");
        let report = json!({
            "peak": peak, "rate": rate, "seconds": took.as_secs_f64(), "sent": sent, "right": right, "goodput": goodput,
            "share": share, "refused": refused, "refused_without_retry_after": bare, "other": other, "late": late,
            "broken": broken, "unsent": unsent, "keys_right": keys_right, "keys_sent": keys_sent,
            "recovery_seconds": recovery.as_secs_f64(), "afterwards": probe,
            "memory_mb": {"before": before, "most": most, "after": after},
        });
        println!("{report}");
        let kept = [
            ("at least 80 % of what can be answered is", share >= 0.8),
            ("afterwards it answers what it did before", probe >= 0.7 * peak),
            ("everything else is 503 or 429 with Retry-After", other == 0 && bare == 0),
            ("at most one in a hundred is late or broken off", (late + broken) * 100 <= sent),
            ("the keys are answered", keys_right * 100 >= keys_sent * 99),
            ("it is back within five seconds", recovery <= Duration::from_secs(5)),
            ("memory is bounded", most <= before + 200),
        ];
        let broken: Vec<&str> =
            kept.iter().filter(|(_, kept)| !kept).map(|(what, _)| *what).collect();
        for what in &broken {
            println!("NOT KEPT: {what}");
        }
        match self.strict && !broken.is_empty() {
            true => Err(broken.join("; ").into()),
            false => Ok(()),
        }
    }
}

/// How many answers a second there are when each client waits for its own.
async fn closed_loop(address: SocketAddr, request: &[u8], span: Duration) -> f64 {
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLOSED_LOOP {
        let request = request.to_vec();
        clients.spawn(async move {
            let (mut connection, mut right) = (Connection::new(address), 0_u64);
            while begun.elapsed() < span {
                let answer = connection.send(&request).await;
                right += u64::from(answer.is_ok_and(|answer| answer.code == 200));
            }
            right
        });
    }
    let right: u64 = clients.join_all().await.into_iter().sum();
    right as f64 / begun.elapsed().as_secs_f64()
}

/// Sends so many a second, whatever becomes of them.
async fn open_loop(
    address: SocketAddr,
    request: Arc<Vec<u8>>,
    rate: f64,
    span: Duration,
    tally: Arc<Tally>,
) -> Duration {
    let (give_back, mut free) = mpsc::unbounded_channel::<Connection>();
    let mut made = 0;
    let begun = Instant::now();
    let mut wanted = 0.0;
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while begun.elapsed() < span {
        tick.tick().await;
        let due = begun.elapsed().as_secs_f64() * rate;
        while wanted < due {
            wanted += 1.0;
            let mut connection = match free.try_recv() {
                Ok(connection) => connection,
                Err(_) if made < CONNECTIONS => {
                    made += 1;
                    Connection::new(address)
                }
                Err(_) => {
                    tally.unsent.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            let (request, tally, give_back) = (request.clone(), tally.clone(), give_back.clone());
            tally.sent.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let count = match timeout(DEADLINE, connection.send(&request)).await {
                    Ok(Ok(answer)) => match answer.code {
                        200 => &tally.right,
                        503 | 429 => {
                            if !answer.says_when {
                                tally.refused_bare.fetch_add(1, Ordering::Relaxed);
                            }
                            &tally.refused
                        }
                        _ => &tally.other,
                    },
                    Ok(Err(_)) => {
                        connection = Connection::new(address);
                        &tally.broken
                    }
                    Err(_) => {
                        connection = Connection::new(address);
                        &tally.late
                    }
                };
                count.fetch_add(1, Ordering::Relaxed);
                let _ = give_back.send(connection);
            });
        }
    }
    let took = begun.elapsed();
    // The last ones are still on their way.
    tokio::time::sleep(DEADLINE).await;
    took
}

/// How long until half a second passes in which nobody is refused or waits too long, at half of what can be answered.
async fn recover(address: SocketAddr, request: &[u8], rate: f64) -> Duration {
    let begun = Instant::now();
    for _ in 0..60 {
        let tally = Arc::new(Tally::default());
        let from = begun.elapsed();
        open_loop(
            address,
            Arc::new(request.to_vec()),
            rate,
            Duration::from_millis(500),
            tally.clone(),
        )
        .await;
        if Tally::of(&tally.right) == Tally::of(&tally.sent) && Tally::of(&tally.unsent) == 0 {
            // The last of the flood were waited for before.
            return from + DEADLINE;
        }
    }
    begun.elapsed()
}

async fn watch_memory(pid: u32, most: Arc<AtomicUsize>, span: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        if let Ok(now) = memory(pid) {
            most.fetch_max(now, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
