//! Why the program stops: one sentence for the operator, which says the mend.

/// A reason to stop with exit code 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("{0}")]
    Config(String),
    #[error(
        "cannot listen on {address}: {source}. Stop the other program, or choose another address with GRANTOR_LISTEN or `listen` in the configuration"
    )]
    Listen { address: String, source: std::io::Error },
    #[error("{0}")]
    Say(String),
    #[error(transparent)]
    Open(#[from] grantor_sqlite::OpenError),
    #[error("{0}")]
    Build(#[from] grantor::BuildError),
    #[error(transparent)]
    Store(#[from] StoreFailed),
    #[error(transparent)]
    Registry(#[from] grantor::RegistryError),
    #[error("the keys could not be changed: {0}")]
    Keys(#[from] grantor::KeyError),
    #[error(transparent)]
    Randomness(#[from] grantor::RandomnessUnavailable),
    #[error("the server stopped: {0}")]
    Io(#[from] std::io::Error),
}

/// The server's own tables could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database failed: {0}")]
pub(crate) struct StoreFailed(#[from] grantor_sqlite::WriteError);

impl From<rusqlite::Error> for StoreFailed {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.into())
    }
}
