//! What an auditor asks for: who did what, when, from where, and whether it worked. Each event is one line of the log,
//! and of the file of its own where one is configured (`log.audit`), there as JSON. The lines carry identifiers and
//! never what was typed or handed out; `span` has the id of the request, its peer, and who was signed in.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Mutex;

use tracing::{Span, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

use crate::error::Fatal;

/// The target of the events of an audit.
pub(crate) const TARGET: &str = "audit";

/// An event of the audit: its name, then fields and a text as `tracing` takes them.
macro_rules! audit {
    ($event:expr, $($fields:tt)+) => {
        tracing::info!(target: $crate::audit::TARGET, event = $event, $($fields)+)
    };
}
pub(crate) use audit;

/// From here on the lines of this request, or of this command, say who is behind it.
pub(crate) fn acts(subject: &str) {
    Span::current().record("actor", subject);
}

/// Appends the events of the audit to a file, one line of JSON each, in the order in which they happen.
pub(crate) fn layer<S>(path: &Path) -> Result<impl Layer<S> + use<S>, Fatal>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_level(false)
        .with_writer(Mutex::new(open(path)?));
    Ok(lines.with_filter(filter_fn(|about| about.is_span() || about.target() == TARGET)))
}

/// For its owner alone: it tells who was where.
fn open(path: &Path) -> Result<File, Fatal> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        let path = path.display();
        Fatal::Config(format!("the configuration: log.audit: {path} cannot be written: {error}"))
    })
}
