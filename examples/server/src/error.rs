//! Why the program stops: one sentence for the operator, which says the mend.

/// A reason to stop with exit code 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fatal {
    #[error("{0}")]
    Config(String),
    #[error("cannot listen on {address}: {source}. {}", listen_mend(setting, source))]
    Listen { address: String, setting: &'static str, source: std::io::Error },
    #[error("{0}")]
    Say(String),
    #[error(transparent)]
    Open(#[from] grantor_sqlite::OpenError),
    #[error(transparent)]
    OpenSled(#[from] grantor_sled::OpenError),
    #[error("{0}")]
    Build(#[from] grantor::BuildError),
    #[error(transparent)]
    Store(#[from] StoreFailed),
    #[error(transparent)]
    Registry(#[from] grantor::RegistryError),
    #[error("the keys could not be changed: {0}")]
    Keys(#[from] grantor::KeyError),
    #[error(transparent)]
    Password(#[from] crate::passwords::Unusable),
    #[error(transparent)]
    Randomness(#[from] grantor::RandomnessUnavailable),
    #[error("the server stopped: {0}")]
    Io(#[from] std::io::Error),
}

fn listen_mend(setting: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let issuer = " (and GRANTOR_ISSUER, if you have set it)";
            let issuer = if setting == "GRANTOR_LISTEN" { issuer } else { "" };
            format!("Stop the other program, or choose another port with {setting}{issuer}")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("Ports below 1024 need privileges: choose another with {setting}")
        }
        _ => format!("Choose an address of this machine with {setting}, such as 127.0.0.1:4000"),
    }
}

/// A database could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database failed: {0}")]
pub(crate) struct StoreFailed(String);

impl StoreFailed {
    /// Another reason why nothing could be stored.
    pub(crate) fn because(reason: &impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// A failure of the engine's store, with its reason.
    pub(crate) fn of_engine(error: &grantor::store::StoreError) -> Self {
        Self(grantor::with_sources(error))
    }
}

impl From<grantor_sqlite::WriteError> for StoreFailed {
    fn from(error: grantor_sqlite::WriteError) -> Self {
        Self(error.to_string())
    }
}

impl From<rusqlite::Error> for StoreFailed {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}
