//! Why a call is not done: an error that the guest hears of, or the guest's end.

use wasmtime::component::ResourceTableError;
use wasmtime_wasi_io::streams::StreamError;

use crate::files::FileError;
use crate::sandbox::stop::Stop;

#[derive(Debug)]
pub enum Fault {
    Code(FileError),
    Ends(wasmtime::Error),
}

pub type Done<T> = Result<T, Fault>;

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        Self::Code(error)
    }
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        Self::Ends(stop.into())
    }
}

impl From<ResourceTableError> for Fault {
    fn from(error: ResourceTableError) -> Self {
        Self::Ends(error.into())
    }
}

impl From<Fault> for StreamError {
    fn from(fault: Fault) -> Self {
        match fault {
            // Its root is what `filesystem-error-code` looks for.
            Fault::Code(error) => Self::LastOperationFailed(error.into()),
            Fault::Ends(error) => Self::Trap(error),
        }
    }
}
