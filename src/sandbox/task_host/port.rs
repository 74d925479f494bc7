//! The port itself.

use crate::engine::{Recorder, RecorderError};
use crate::sandbox::wire::Remote;

/// What stands behind an instance: the recorder of its attempt, with its methods. Cheap to clone.
#[derive(Clone)]
pub(in crate::sandbox) enum TaskHost {
    /// In the process of the engine.
    Here(Recorder),
    /// In a worker: the recorder is the server's.
    There(Remote),
}

pub(super) type Recorded<T> = Result<T, RecorderError>;
