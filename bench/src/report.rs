//! What was measured, as a table, as JSON and as a picture.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::Result;
use crate::flow::Work;

/// One measurement, or the median of some.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Cell {
    /// Microseconds of the server's processor time for a piece of work.
    pub(crate) cpu: f64,
    /// Pieces a second.
    pub(crate) rate: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

#[derive(Serialize)]
struct Row {
    server: &'static str,
    work: Work,
    clients: usize,
    #[serde(flatten)]
    cell: Cell,
}

#[derive(Serialize)]
pub(crate) struct Syncs {
    pub(crate) name: &'static str,
    pub(crate) refreshes: u64,
    pub(crate) syncs: u64,
}

#[derive(Serialize)]
pub(crate) struct Report {
    host: String,
    rounds: usize,
    seconds: f64,
    /// Syncs a second of the disk alone, before each round.
    sync_probes: Vec<f64>,
    verified_tokens: usize,
    /// Microseconds of one signature alone, by EdDSA and by RS256.
    signatures: [f64; 2],
    rows: Vec<Row>,
    pub(crate) syncs: Vec<Syncs>,
    /// Commits a second of SQLite alone.
    pub(crate) raw_commits: f64,
    /// Megabytes at the end.
    pub(crate) memory: Vec<(&'static str, usize)>,
}

/// Something that is promised, and what became of it.
struct Promise {
    text: String,
    wanted: String,
    measured: String,
    is_kept: bool,
}

const MAIN: &str = "Grantor, axum, SQLite";
const MAP: &str = "oidc-provider, Map";
const DURABLE: &str = "oidc-provider, SQLite";

impl Report {
    pub(crate) fn new(
        rounds: usize,
        seconds: f64,
        sync_probes: Vec<f64>,
        verified: usize,
        signatures: [f64; 2],
    ) -> Self {
        Self {
            host: host(),
            rounds,
            seconds,
            sync_probes,
            verified_tokens: verified,
            signatures,
            rows: Vec::new(),
            syncs: Vec::new(),
            raw_commits: 0.0,
            memory: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, server: &'static str, work: Work, clients: usize, cells: &[Cell]) {
        let of = |part: fn(&Cell) -> f64| median(cells.iter().map(part).collect());
        let cell = Cell {
            cpu: of(|cell| cell.cpu),
            rate: of(|cell| cell.rate),
            p50: of(|cell| cell.p50),
            p99: of(|cell| cell.p99),
        };
        self.rows.push(Row { server, work, clients, cell });
    }

    fn cell(&self, server: &str, work: Work, clients: usize) -> Option<Cell> {
        let row = self
            .rows
            .iter()
            .find(|row| row.server == server && row.work == work && row.clients == clients);
        row.map(|row| row.cell)
    }

    fn clients(&self) -> Vec<usize> {
        let mut clients: Vec<usize> = self.rows.iter().map(|row| row.clients).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("report.md"), self.markdown())?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(&json!(self))?)?;
        std::fs::write(folder.join("report.svg"), self.picture())?;
        Ok(())
    }

    /// What is promised and was not kept.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.promises().into_iter().filter(|promise| !promise.is_kept);
        missed.map(|it| format!("{}: {} (wanted {})", it.text, it.measured, it.wanted)).collect()
    }

    fn promises(&self) -> Vec<Promise> {
        let mut promises = Vec::new();
        for clients in [16, 64] {
            let cpu = |server: &str, work| self.cell(server, work, clients).map(|cell| cell.cpu);
            for (work, peer, times) in [
                (Work::ClientCredentials, MAP, 10.0),
                (Work::Code, MAP, 5.0),
                (Work::Code, DURABLE, 15.0),
                (Work::Refresh, MAP, 5.0),
                (Work::Refresh, DURABLE, 15.0),
                (Work::Introspect, MAP, 10.0),
                (Work::Userinfo, MAP, 10.0),
            ] {
                if let (Some(ours), Some(theirs)) = (cpu(MAIN, work), cpu(peer, work)) {
                    promises.push(Promise {
                        text: format!("{}, {clients} clients: cheaper than {peer}", work.name()),
                        wanted: format!("at least {times:.0} times"),
                        measured: format!("{:.1} times", theirs / ours),
                        is_kept: theirs / ours >= times,
                    });
                }
            }
            let [by_ed, by_rsa] = self.signatures;
            if let (Some(floor), Some(ours)) =
                (cpu(MAIN, Work::Floor), cpu(MAIN, Work::ClientCredentials))
            {
                let least = floor + by_ed;
                promises.push(Promise {
                    text: format!(
                        "client_credentials, {clients} clients: the framework and one signature"
                    ),
                    wanted: format!("at most 1.8 times ({floor:.1} + {by_ed:.1} µs)"),
                    measured: format!("{:.2} times", ours / least),
                    is_kept: ours <= 1.8 * least,
                });
            }
            if let Some(ours) = cpu(MAIN, Work::CodeRs256) {
                promises.push(Promise {
                    text: format!("code flow with RS256, {clients} clients: its one RSA signature"),
                    wanted: format!("at most 1.5 times {by_rsa:.0} µs"),
                    measured: format!("{:.2} times", ours / by_rsa),
                    is_kept: ours <= 1.5 * by_rsa,
                });
            }
        }
        if let Some(refresh) = self.cell(MAIN, Work::Refresh, 64).filter(|_| self.raw_commits > 0.0)
        {
            let share = refresh.rate / self.raw_commits;
            promises.push(Promise {
                text: format!(
                    "refreshes a second, of the {:.0} commits of SQLite alone",
                    self.raw_commits
                ),
                wanted: "at least 30 %".into(),
                measured: format!("{:.0} %", share * 100.0),
                is_kept: share >= 0.3,
            });
        }
        for syncs in self.syncs.iter().filter(|syncs| syncs.name == MAIN) {
            let each = syncs.syncs as f64 / syncs.refreshes.max(1) as f64;
            promises.push(Promise {
                text: "syncs of the disk for a refresh, 64 clients".into(),
                wanted: "some, and at most 0.1".into(),
                measured: format!("{each:.3}"),
                is_kept: syncs.syncs > 0 && each <= 0.1,
            });
        }
        for work in Work::ALL {
            if let Some(cell) = self.cell(MAIN, work, 64) {
                promises.push(Promise {
                    text: format!("{}, 64 clients: p99 of p50", work.name()),
                    wanted: "at most 5 times".into(),
                    measured: format!("{:.1} times", cell.p99 / cell.p50),
                    is_kept: cell.p99 <= 5.0 * cell.p50,
                });
            }
        }
        promises
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let _ = self.tables(&mut text);
        text
    }

    fn tables(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "Measured on {}; medians of {} rounds of {} s.\n",
            self.host, self.rounds, self.seconds
        )?;
        let probes: Vec<String> = self.sync_probes.iter().map(|it| format!("{it:.0}")).collect();
        writeln!(
            text,
            "Syncs a second of the disk alone, before each round: {}.",
            probes.join(", ")
        )?;
        writeln!(
            text,
            "Access tokens that were verified by the published keys alone: {}. No two had the same `jti`.\n",
            self.verified_tokens
        )?;
        let [by_ed, by_rsa] = self.signatures;
        writeln!(text, "One signature alone: {by_ed:.1} µs by EdDSA, {by_rsa:.0} µs by RS256.\n")?;
        let clients = self.clients();
        let most = clients.last().copied().unwrap_or_default();
        for work in Work::ALL {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.work == work).collect();
            if rows.is_empty() {
                continue;
            }
            writeln!(text, "### {}\n", capital(work.name()))?;
            let heads: Vec<String> = clients.iter().map(|n| format!("CPU µs, {n}")).collect();
            writeln!(
                text,
                "| server | {} | a second, {most} | p50 ms | p99 ms |",
                heads.join(" | ")
            )?;
            writeln!(text, "| --- |{}", " ---: |".repeat(clients.len() + 3))?;
            let mut servers: Vec<&str> = Vec::new();
            for row in rows {
                if !servers.contains(&row.server) {
                    servers.push(row.server);
                }
            }
            for server in servers {
                let cells = clients.iter().map(|clients| self.cell(server, work, *clients));
                let cpu: Vec<String> =
                    cells.map(|cell| cell.map_or("".into(), |cell| figure(cell.cpu))).collect();
                let last = self.cell(server, work, most).unwrap_or_default();
                let server = match work {
                    Work::Floor => server.split(", ").nth(1).unwrap_or(server),
                    _ => server,
                };
                writeln!(
                    text,
                    "| {server} | {} | {:.0} | {:.2} | {:.2} |",
                    cpu.join(" | "),
                    last.rate,
                    last.p50,
                    last.p99
                )?;
            }
            writeln!(text)?;
        }
        if !self.syncs.is_empty() {
            writeln!(text, "### Syncs of the disk, 64 clients that refresh\n")?;
            writeln!(
                text,
                "| server | refreshes | syncs | for each |\n| --- | ---: | ---: | ---: |"
            )?;
            for Syncs { name, refreshes, syncs } in &self.syncs {
                let each = *syncs as f64 / (*refreshes).max(1) as f64;
                writeln!(text, "| {name} | {refreshes} | {syncs} | {each:.3} |")?;
            }
            writeln!(text)?;
        }
        writeln!(text, "### Memory at the end\n\n| server | MB |\n| --- | ---: |")?;
        for (server, megabytes) in &self.memory {
            writeln!(text, "| {server} | {megabytes} |")?;
        }
        writeln!(
            text,
            "\n### What we aim at\n\n| | wanted | measured | |\n| --- | --- | --- | --- |"
        )?;
        for Promise { text: what, wanted, measured, is_kept } in self.promises() {
            let kept = if is_kept { "reached" } else { "**missed**" };
            writeln!(text, "| {what} | {wanted} | {measured} | {kept} |")?;
        }
        Ok(())
    }

    /// Bars of what each piece of work costs, on a scale by powers of ten.
    fn picture(&self) -> String {
        const LEFT: f64 = 250.0;
        const WIDE: f64 = 470.0;
        const BAR: f64 = 16.0;
        let most = self.clients().last().copied().unwrap_or_default();
        let mut body = String::new();
        let mut y = 46.0;
        let across = |micros: f64| (micros.max(1.0).log10() / 4.0).min(1.0) * WIDE;
        for work in Work::ALL.into_iter().filter(|work| *work != Work::Floor) {
            let rows: Vec<&Row> =
                self.rows.iter().filter(|row| row.work == work && row.clients == most).collect();
            if rows.is_empty() {
                continue;
            }
            let _ = write!(
                body,
                "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{}</text>",
                y + 12.0,
                capital(work.name())
            );
            y += 20.0;
            for row in rows {
                let fill = if row.server.starts_with("Grantor") { "#1f6feb" } else { "#9aa4b2" };
                let long = across(row.cell.cpu);
                let _ = write!(
                    body,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{long:.1}\" \
                     height=\"{BAR}\" fill=\"{fill}\"/><text x=\"{:.1}\" y=\"{}\">{} µs</text>",
                    LEFT - 8.0,
                    y + 12.0,
                    row.server,
                    LEFT + long + 6.0,
                    y + 12.0,
                    figure(row.cell.cpu)
                );
                y += BAR + 4.0;
            }
            y += 12.0;
        }
        let lines: String = (0..=4)
            .map(|power| {
                let x = LEFT + WIDE * f64::from(power) / 4.0;
                format!("<line x1=\"{x}\" x2=\"{x}\" y1=\"40\" y2=\"{y}\" stroke=\"#d0d7de\"/>")
            })
            .collect();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 {y}\" font-family=\"sans-serif\" \
             font-size=\"12\"><rect width=\"800\" height=\"{y}\" fill=\"#fff\"/><text x=\"8\" y=\"20\" font-size=\"15\" \
             font-weight=\"bold\">Processor time of the server for each, {most} clients (each line is ten times the \
             one before)</text>{lines}{body}</svg>\n"
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The processor, its cores, and the kernel.
fn host() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}
