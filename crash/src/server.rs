//! The real `grantor-server` as a process that can be killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::disk::{CALLS, Recording};

/// What went wrong with the harness or its machine, not with the server's promises.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// The program with a data folder of its own.
pub(crate) struct Server {
    program: PathBuf,
    folder: Arc<TempDir>,
    storage: String,
    retry_window: u64,
    /// The port that clients know as the issuer.
    issuer_port: u16,
    port: u16,
    process: Option<Child>,
    /// The administrator's address and password, from the first start.
    admin: (String, String),
    /// Where its system calls are written down.
    traces: Option<TempDir>,
}

impl Server {
    /// A first start. `retry_window` is in seconds.
    pub(crate) fn new(program: &Path, storage: &str, retry_window: u64) -> Result<Self, Trouble> {
        Self::first(program, storage, retry_window, None)
    }

    /// The same, of which every change of a file is written down.
    pub(crate) fn recorded(
        program: &Path,
        storage: &str,
        retry_window: u64,
    ) -> Result<Self, Trouble> {
        Self::first(program, storage, retry_window, Some(tempfile::tempdir()?))
    }

    fn first(
        program: &Path,
        storage: &str,
        retry_window: u64,
        traces: Option<TempDir>,
    ) -> Result<Self, Trouble> {
        let port = free_port(0)?;
        let mut server = Self {
            program: program.canonicalize()?,
            folder: Arc::new(tempfile::tempdir()?),
            storage: storage.to_owned(),
            retry_window,
            issuer_port: port,
            port,
            process: None,
            admin: Default::default(),
            traces,
        };
        let introduction = server.start()?;
        let line = introduction.lines().find(|line| line.contains("administrator"));
        let mut words = line.ok_or("the first start names no administrator")?.split_whitespace();
        let (email, password) = (words.nth(1), words.nth(1));
        let no_password = "the first start shows no password";
        server.admin =
            (email.ok_or(no_password)?.to_owned(), password.ok_or(no_password)?.to_owned());
        Ok(server)
    }

    /// A second process for the same issuer, on the same data folder.
    pub(crate) fn second(&self) -> Result<Self, Trouble> {
        let mut second = self.on(self.folder.clone(), free_port(self.port)?);
        second.start()?;
        Ok(second)
    }

    /// One that would be this one, with a folder that is empty, and that has not been started.
    pub(crate) fn like_this(&self) -> Result<Self, Trouble> {
        Ok(self.on(Arc::new(tempfile::tempdir()?), self.port))
    }

    fn on(&self, folder: Arc<TempDir>, port: u16) -> Self {
        Self {
            program: self.program.clone(),
            folder,
            storage: self.storage.clone(),
            retry_window: self.retry_window,
            issuer_port: self.issuer_port,
            port,
            process: None,
            admin: self.admin.clone(),
            traces: None,
        }
    }

    /// Where its records and secrets are.
    pub(crate) fn data(&self) -> PathBuf {
        // As system calls name it.
        let folder = self.folder.path();
        folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join("data")
    }

    /// What has been written down of it. It must have been killed.
    pub(crate) fn recording(&self) -> Result<Recording, Trouble> {
        let traces = self.traces.as_ref().ok_or("nothing was written down")?;
        let has_ended = || -> Result<bool, Trouble> {
            let mut texts = std::fs::read_dir(traces.path())?
                .map(|entry| Ok::<_, Trouble>(std::fs::read_to_string(entry?.path())?));
            texts.try_fold(true, |all, text| {
                let last = text?.lines().last().is_some_and(|line| line.contains("+++"));
                Ok(all && last)
            })
        };
        for _ in 0..100 {
            if has_ended()? {
                return Recording::read(traces.path(), &self.data());
            }
            wait(100);
        }
        Err("strace does not come to its end".into())
    }

    pub(crate) fn admin(&self) -> &(String, String) {
        &self.admin
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts the server and returns what it printed until it was ready.
    pub(crate) fn start(&mut self) -> Result<String, Trouble> {
        // A file that may not grow is an error to the server, not its death: that is what SIGXFSZ
        // would be.
        let mut command = match &self.traces {
            None => Command::new("sh"),
            Some(folder) => {
                let mut command = Command::new("strace");
                // It stands aside (-D), so that the process is the server's own.
                command.args(["-D", "-ff", "--seccomp-bpf", "-q", "-ttt", "-T", "-y", "-xx"]);
                command.args(["-s", "100000000", "-e", &format!("trace={CALLS}")]);
                command.arg("-o").arg(folder.path().join("calls")).arg("sh");
                command
            }
        };
        command.args(["-c", "trap '' XFSZ; exec \"$0\""]).arg(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GRANTOR_")) {
            command.env_remove(name);
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("log-{}", self.port)))?;
        command
            .current_dir(self.folder.path())
            .env("GRANTOR_DATA", self.data())
            .env("GRANTOR_STORAGE", &self.storage)
            .env("GRANTOR_ISSUER", format!("http://localhost:{}", self.issuer_port))
            .env("GRANTOR_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("GRANTOR_LIFETIMES__RETRY_WINDOW", self.retry_window.to_string())
            .env("GRANTOR_SCOPES", "[\"jobs:run\"]")
            .env("GRANTOR_LIFETIMES__SESSION", "864000")
            .env("GRANTOR_LIFETIMES__SESSION_IDLE", "864000")
            // All its clients have one address.
            .env("GRANTOR_LIMITS__ADDRESS", "1000")
            .env("GRANTOR_LIMITS__CLIENT", "1000")
            .env("GRANTOR_LIMITS__ADMINISTRATOR", "1000")
            .env("GRANTOR_LOG__LEVEL", "warn")
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = command.spawn()?;
        let mut printed = String::new();
        let output = process.stdout.take().ok_or("the server has no output")?;
        self.process = Some(process);
        let mut lines = BufReader::new(output);
        while !printed.contains("is ready") {
            if lines.read_line(&mut printed)? == 0 {
                return Err(format!("the server did not start: {printed}{}", self.log()).into());
            }
        }
        Ok(printed)
    }

    /// The end of the log.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        let path = self.folder.path().join(format!("log-{}", self.port));
        let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
        format!("\n{}{}", last.join("\n"), if read.is_err() { "(no log)" } else { "" })
    }

    /// Kills the server without a word of warning, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Trouble> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Lets the server's files grow to so many bytes; as far as they like with `None`.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> Result<(), Trouble> {
        let pid = self.pid().ok_or("the server does not run")?;
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let fsize = format!("--fsize={limit}:unlimited");
        let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &fsize]).status()?;
        if !status.success() {
            return Err("prlimit failed".into());
        }
        Ok(())
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Takes all space of the file system that the data folder is on.
    pub(crate) fn fill_disk(&self) -> Result<(), Trouble> {
        const MOST: usize = 256;
        let mut filler = std::fs::File::options().create(true).append(true).open(self.filler())?;
        let mebibyte = vec![1; 1024 * 1024];
        for _ in 0..MOST {
            if filler.write_all(&mebibyte).is_err() {
                return Ok(());
            }
        }
        Err(format!("the file system has more than {MOST} MiB: give TMPDIR a small one").into())
    }

    /// Gives the space back.
    pub(crate) fn free_disk(&self) -> Result<(), Trouble> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    /// Makes every one of these system calls fail with an I/O error while the returned tracer lives.
    pub(crate) fn fail(&self, calls: &str) -> Result<Tracer, Trouble> {
        let pid = self.pid().ok_or("the server does not run")?;
        let mut process = Command::new("strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-o", "/dev/null"])
            .args(["-e", &format!("inject={calls}:error=EIO"), "-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()?;
        // It says when it is attached, or why it is not.
        let mut said = String::new();
        let output = process.stderr.take().ok_or("strace has no output")?;
        let mut output = BufReader::new(output);
        output.read_line(&mut said)?;
        if !said.contains("attached") {
            return Err(format!("strace: {said}").into());
        }
        Ok(Tracer(process, output.into_inner()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Stands between the server and the kernel; dropping it lets the server go on alone.
pub(crate) struct Tracer(
    Child,
    #[expect(dead_code, reason = "kept open")] std::process::ChildStderr,
);

impl Drop for Tracer {
    fn drop(&mut self) {
        // Killed, it could not let go of the server.
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// A port below those that the system gives to outgoing connections: a server that is started again
/// must find its port free.
fn free_port(above: u16) -> Result<u16, Trouble> {
    let from = 12_000 + u16::try_from(std::process::id() % 8_000)?;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    Ok((from.max(above + 1)..from.max(above) + 500).find(free).ok_or("no port is free")?)
}

/// A short while, for the server to be in the middle of something.
pub(crate) fn wait(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
