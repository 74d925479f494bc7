//! Why an exported task cannot be read.

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    #[error("it is no exported task: `longhaul task export` makes one")]
    NotOne,
    #[error("it is of version {found}, and this longhaul reads version {known}: take a newer one")]
    Version { found: u8, known: u8 },
    #[error("it ends too early, in {0}: copy it again")]
    CutOff(&'static str),
    #[error("{what} has {found} bytes, and at most {limit} are read")]
    TooLarge { what: &'static str, found: u64, limit: u64 },
    #[error("{what} is damaged: {why}; copy the file again")]
    Damaged { what: &'static str, why: String },
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

impl PackError {
    pub(super) fn damaged(what: &'static str, why: impl ToString) -> Self {
        Self::Damaged { what, why: why.to_string() }
    }
}
