//! What a disk holds after the power was cut, by what the server's system calls were.
//!
//! What was written and synced is there. Of what was written since, nobody knows: all of it, a part, a sector of it.
//! That files are made, renamed and deleted counts at once: file systems keep a journal of that.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::server::Trouble;

/// What is kept of a write that was under way: disks write sectors.
const SECTOR: usize = 512;

/// The system calls that change files. Memory that is mapped changes none that must last: SQLite maps an index that it
/// makes anew.
pub(crate) const CALLS: &str = "openat,write,pwrite64,writev,pwritev,ftruncate,fallocate,lseek,\
    rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,fsync,fdatasync,close";

/// What a call did to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed {
    Make,
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate(usize),
    Sync,
    Rename(PathBuf),
    /// A second name.
    Link(PathBuf),
    Delete,
    /// Something else.
    Strange,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    /// Since 1970.
    begun: Duration,
    ended: Duration,
    file: PathBuf,
    deed: Deed,
}

/// All calls of a server's life, in the order in which they began.
pub(crate) struct Recording(Vec<Call>);

impl Recording {
    /// Reads what `strace -ff -ttt -T -y -xx` wrote, of files in `folder`.
    pub(crate) fn read(traces: &Path, folder: &Path) -> Result<Self, Trouble> {
        let texts = fs::read_dir(traces)?.map(|entry| fs::read_to_string(entry?.path()));
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        let mut lines: Vec<_> =
            texts.iter().flat_map(|text| text.lines().filter_map(Line::parse)).collect();
        lines.sort_by_key(|line| line.begun);
        // Where writes go that do not say where.
        let mut positions: BTreeMap<u32, usize> = BTreeMap::new();
        let mut calls = Vec::new();
        for line in lines {
            let deed = line.deed(&mut positions).map_err(|why| format!("{line:?}: {why}"))?;
            let Some((file, deed)) = deed else { continue };
            if let Ok(file) = file.strip_prefix(folder) {
                if deed == Deed::Strange {
                    return Err(format!("what became of {}: {line:?}", file.display()).into());
                }
                let within = |to: PathBuf| to.strip_prefix(folder).map(Path::to_owned);
                let deed = match deed {
                    Deed::Rename(to) => Deed::Rename(within(to)?),
                    Deed::Link(to) => Deed::Link(within(to)?),
                    deed => deed,
                };
                let file = file.to_owned();
                calls.push(Call { begun: line.begun, ended: line.ended, file, deed });
            }
        }
        match calls.iter().any(|call| call.deed == Deed::Sync) {
            true => Ok(Self(calls)),
            false => Err("no file was ever synced".into()),
        }
    }

    /// Makes the files that there are when the power is cut at `moment`, since 1970.
    pub(crate) fn restore(
        &self,
        moment: Duration,
        folder: &Path,
        random: &mut StdRng,
    ) -> Result<(), Trouble> {
        let mut files: BTreeMap<&Path, File<'_>> = BTreeMap::new();
        for call in self.0.iter().take_while(|call| call.begun <= moment) {
            match &call.deed {
                Deed::Make => drop(files.entry(&call.file).or_default()),
                Deed::Delete => drop(files.remove(call.file.as_path())),
                Deed::Rename(to) => {
                    if let Some(file) = files.remove(call.file.as_path()) {
                        files.insert(to, file);
                    }
                }
                Deed::Link(to) => {
                    // What is written through one of the names later is not looked for by the other.
                    if let Some(file) = files.get(call.file.as_path()).cloned() {
                        files.insert(to, file);
                    }
                }
                Deed::Sync if call.ended > moment => {}
                // Folders are synced too.
                Deed::Sync => {
                    if let Some(file) = files.get_mut(call.file.as_path()) {
                        file.sync(call.begun);
                    }
                }
                _ => files.entry(&call.file).or_default().pending.push(call),
            }
        }
        for (path, file) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
            fs::write(&path, file.after_the_cut(random))?;
            // Not even secrets have other permissions.
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
        }
        Ok(())
    }
}

#[derive(Clone, Default)]
struct File<'a> {
    synced: Vec<u8>,
    pending: Vec<&'a Call>,
}

impl File<'_> {
    /// What was written before a sync began has come through it.
    fn sync(&mut self, begun: Duration) {
        let Self { synced, pending } = self;
        pending.retain(|call| {
            let comes_through = call.ended <= begun;
            if comes_through {
                apply(synced, &call.deed, usize::MAX);
            }
            !comes_through
        });
    }

    fn after_the_cut(mut self, random: &mut StdRng) -> Vec<u8> {
        // Nothing, some, or all of what was not synced; the last one torn.
        let share = random.random_range(0..=4_u32);
        let kept: Vec<&Call> =
            self.pending.into_iter().filter(|_| random.random_ratio(share, 4)).collect();
        let last = kept.len().saturating_sub(1);
        for (n, call) in kept.into_iter().enumerate() {
            let most = match n == last {
                true => SECTOR * random.random_range(0..=8),
                false => usize::MAX,
            };
            apply(&mut self.synced, &call.deed, most);
        }
        self.synced
    }
}

/// Does to a file's content what a call did, of a write at most so many bytes.
fn apply(content: &mut Vec<u8>, deed: &Deed, most: usize) {
    match deed {
        Deed::Write { at, bytes } => {
            let bytes = bytes.get(..most).unwrap_or(bytes);
            let end = at + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(place) = content.get_mut(*at..end) {
                place.copy_from_slice(bytes);
            }
        }
        Deed::Truncate(length) => content.resize(*length, 0),
        _ => {}
    }
}

/// One system call as strace shows it.
#[derive(Debug)]
struct Line<'a> {
    begun: Duration,
    ended: Duration,
    name: &'a str,
    arguments: Vec<&'a str>,
    result: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for what is no call, and for calls that failed or came to no end.
    fn parse(line: &'a str) -> Option<Self> {
        let (begun, rest) = line.split_once(' ')?;
        let (name, rest) = rest.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(") = ")?;
        let (result, took) = result.rsplit_once(" <")?;
        if result.starts_with(['-', '?']) {
            return None;
        }
        let begun = seconds(begun)?;
        let ended = begun + seconds(took.strip_suffix('>')?)?;
        let arguments = arguments.split(", ").collect();
        Some(Self { begun, ended, name: name.trim(), arguments, result })
    }

    fn argument(&self, n: usize) -> Result<&'a str, Trouble> {
        let argument = self.arguments.get(n).copied();
        argument.ok_or_else(|| format!("{} has no argument {n}", self.name).into())
    }

    fn number(&self, n: usize) -> Result<usize, Trouble> {
        Ok(self.argument(n)?.parse()?)
    }

    /// The file that is affected, and how. `positions` is where each descriptor writes next.
    fn deed(
        &self,
        positions: &mut BTreeMap<u32, usize>,
    ) -> Result<Option<(PathBuf, Deed)>, Trouble> {
        let named = |n: usize| Ok::<_, Trouble>(path(&quoted(self.argument(n)?)?));
        let open = |n: usize| descriptor(self.argument(n)?);
        let deed = match self.name {
            "openat" => {
                let (number, file) = descriptor(self.result)?;
                positions.insert(number, 0);
                let flags = self.argument(2)?;
                if !flags.contains("O_CREAT") {
                    return Ok(None);
                }
                match flags.contains("O_TRUNC") {
                    true => (file, Deed::Truncate(0)),
                    false => (file, Deed::Make),
                }
            }
            "pwrite64" => {
                let at = self.number(3)?;
                (open(0)?.1, Deed::Write { at, bytes: self.written()? })
            }
            "write" => {
                let (number, file) = open(0)?;
                let (at, bytes) = (positions.entry(number).or_default(), self.written()?);
                let deed = Deed::Write { at: *at, bytes };
                *at += self.result.parse::<usize>()?;
                (file, deed)
            }
            "lseek" => {
                positions.insert(open(0)?.0, self.result.parse()?);
                return Ok(None);
            }
            "ftruncate" => (open(0)?.1, Deed::Truncate(self.number(1)?)),
            "fsync" | "fdatasync" => (open(0)?.1, Deed::Sync),
            "rename" => (named(0)?, Deed::Rename(named(1)?)),
            "renameat" | "renameat2" => (named(1)?, Deed::Rename(named(3)?)),
            "link" => (named(0)?, Deed::Link(named(1)?)),
            "linkat" => (named(1)?, Deed::Link(named(3)?)),
            "unlink" => (named(0)?, Deed::Delete),
            "unlinkat" => (named(1)?, Deed::Delete),
            "mkdir" | "close" => return Ok(None),
            // Of the server's files this would not be understood.
            "writev" | "pwritev" | "fallocate" => (open(0)?.1, Deed::Strange),
            other => return Err(format!("what does {other} do?").into()),
        };
        Ok(Some(deed))
    }

    /// The bytes that were taken.
    fn written(&self) -> Result<Vec<u8>, Trouble> {
        let mut bytes = quoted(self.argument(1)?)?;
        bytes.truncate(self.result.parse()?);
        Ok(bytes)
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, micros) = text.split_once('.')?;
    Some(Duration::new(whole.parse().ok()?, micros.parse::<u32>().ok()? * 1000))
}

/// `7<\x2f…>`: a descriptor and its file. Sockets, pipes and what was deleted have names that are no paths.
fn descriptor(text: &str) -> Result<(u32, PathBuf), Trouble> {
    let (number, rest) = text.split_once('<').ok_or("a descriptor without a file")?;
    let file = match rest.strip_suffix('>') {
        Some(name) if name.starts_with("\\x") => path(&unescape(name)?),
        _ => PathBuf::new(),
    };
    Ok((number.parse()?, file))
}

fn quoted(text: &str) -> Result<Vec<u8>, Trouble> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    unescape(inner.ok_or_else(|| format!("no whole string: {}", text.get(..40).unwrap_or(text)))?)
}

/// `\x2f\x74`
fn unescape(text: &str) -> Result<Vec<u8>, Trouble> {
    let bytes = text.split("\\x").skip(1).map(|two| u8::from_str_radix(two, 16));
    Ok(bytes.collect::<Result<_, _>>()?)
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    /// Writes `ab`, syncs, writes `cd` behind it, syncs longer than the power lasts.
    fn recording() -> (tempfile::TempDir, Recording) {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("7<{}>", hex("/data/x.db"));
        let lines = [
            format!(
                "100.000001 openat(AT_FDCWD<{0}>, \"{0}\", O_RDWR|O_CREAT, 0644) = {file} <0.000001>",
                hex("/data/x.db")
            ),
            format!("100.000010 pwrite64({file}, \"{}\", 2, 0) = 2 <0.000005>", hex("ab")),
            format!("100.000020 fdatasync({file}) = 0 <0.000005>"),
            format!("100.000030 write({file}, \"{}\", 2) = 2 <0.000001>", hex("--")),
            format!("100.000032 fdatasync({file}) = -1 EIO (Input/output error) <0.000001>"),
            format!("100.000040 pwrite64({file}, \"{}\", 2, 2) = 2 <0.000005>", hex("cd")),
            format!("100.000050 fdatasync({file}) = 0 <0.000020>"),
            "100.000090 +++ killed by SIGKILL +++".to_owned(),
        ];
        fs::write(folder.path().join("t.1"), lines.join("\n")).unwrap();
        let recording = Recording::read(folder.path(), Path::new("/data")).unwrap();
        (folder, recording)
    }

    fn all_outcomes(micros: u64) -> std::collections::BTreeSet<String> {
        let (_folder, recording) = recording();
        let outcome = |seed| {
            let folder = tempfile::tempdir().unwrap();
            let moment = Duration::from_micros(100_000_000 + micros);
            let mut random = StdRng::seed_from_u64(seed);
            recording.restore(moment, folder.path(), &mut random).unwrap();
            fs::read_to_string(folder.path().join("x.db")).unwrap_or("none".into())
        };
        (0..100).map(outcome).collect()
    }

    #[test]
    fn what_was_synced_is_there_and_of_the_rest_nobody_knows() {
        let all = |outcomes: &[&str]| outcomes.iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(all_outcomes(0), all(&["none"]));
        assert_eq!(all_outcomes(5), all(&[""]));
        assert_eq!(all_outcomes(12), all(&["", "ab"]));
        assert_eq!(all_outcomes(24), all(&["", "ab"]), "the sync has not ended");
        assert_eq!(all_outcomes(26), all(&["ab"]));
        assert_eq!(all_outcomes(45), all(&["ab", "--", "abcd", "--cd"]));
        assert_eq!(all_outcomes(71), all(&["--cd"]));
    }
}
