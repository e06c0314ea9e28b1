//! A server in a process of its own, on a core of its own, and what it uses.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Result;

/// The core of the servers; whoever asks them has the other one.
const CORE: &str = "0";
const CORE_OF_CLIENTS: &str = "1";
/// Linux counts the time of a process in hundredths of a second (USER_HZ).
const TICKS: f64 = 100.0;

pub(crate) struct Process {
    child: Child,
    pid: u32,
    pub(crate) address: SocketAddr,
    pub(crate) started_in: Duration,
}

/// Leaves the first core to the servers.
pub(crate) async fn step_aside() -> Result<()> {
    let own = std::process::id().to_string();
    let mut command = Command::new("taskset");
    command.args(["-a", "-p", "-c", CORE_OF_CLIENTS, &own]).stdout(Stdio::null());
    let said = command.status().await.map_err(|why| format!("taskset cannot be run: {why}"))?;
    match said.success() {
        true => Ok(()),
        false => Err("this needs two cores: server and clients have one each".into()),
    }
}

/// Starts this program with these arguments.
pub(crate) async fn own(arguments: &[&std::ffi::OsStr]) -> Result<Process> {
    let mut command = vec![std::env::current_exe()?.into_os_string()];
    command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    Process::start(&command).await
}

impl Process {
    /// Starts a program, whose first line is the address where it serves.
    pub(crate) async fn start(command: &[OsString]) -> Result<Self> {
        let begun = Instant::now();
        let mut child = Command::new("taskset")
            .args(["-c", CORE])
            .args(command)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("its output is a pipe")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let line = line.ok_or_else(|| format!("{command:?} did not start"))?;
        let address = line.trim().parse()?;
        let pid = child.id().ok_or("it has ended")?;
        Ok(Self { child, pid, address, started_in: begun.elapsed() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The processor time that all its threads have used, in seconds, to a hundredth.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in parentheses may have spaces.
        let (_, rest) = stat.rsplit_once(')').ok_or("it has no times")?;
        let mut fields = rest.split_whitespace().skip(11);
        let mut next = || -> Result<f64> { Ok(fields.next().ok_or("it has no times")?.parse()?) };
        Ok((next()? + next()?) / TICKS)
    }

    /// Megabytes that it has in memory.
    pub(crate) fn memory(&self) -> Result<usize> {
        memory(self.pid)
    }
}

/// Megabytes that a process has in memory.
pub(crate) fn memory(pid: u32) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("it has no memory")?;
    let kilobytes: usize = line.split_whitespace().nth(1).ok_or("it has no memory")?.parse()?;
    Ok(kilobytes / 1024)
}
