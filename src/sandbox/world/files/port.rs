//! Where the calls of an attempt go: judged by what the task may do at the moment, and then to the process of the folder.

use std::path::PathBuf;

use tokio::runtime::Handle;

use super::recorded;
use crate::authority::{Access, FileGrant, Lost, Powers};
use crate::engine::{Recorder, RecorderError};
use crate::files::{Answer, Call, FileError, FolderError, FolderServers, Root};
use crate::limits;
use crate::sandbox::wire::{Remote, Request};

#[derive(Clone)]
pub enum FolderPort {
    /// From this process.
    Here { recorder: Recorder, granted: Vec<FileGrant>, servers: FolderServers, runtime: Handle },
    /// From the server's.
    There(Remote),
}

impl FolderPort {
    /// In the folder of this number in the task's grant.
    pub async fn call(&self, folder: u32, call: &Call) -> Result<Result<Answer, FileError>, RecorderError> {
        match self {
            Self::Here { recorder, granted, servers, runtime } => {
                let (recorder, granted, servers) = (recorder.clone(), granted.clone(), servers.clone());
                let call = call.clone();
                let done =
                    runtime.spawn(async move { perform(&recorder, &granted, &servers, folder, call).await });
                done.await.unwrap_or_else(|error| Err(RecorderError::Fault(error.to_string())))
            }
            Self::There(remote) => remote.call(Request::Folder { folder, call: call.clone() }).await,
        }
    }
}

/// Within a runtime.
pub async fn perform(
    recorder: &Recorder,
    granted: &[FileGrant],
    servers: &FolderServers,
    folder: u32,
    call: Call,
) -> Result<Result<Answer, FileError>, RecorderError> {
    let Some(grant) = granted.get(folder as usize) else {
        return Err(RecorderError::Fault("a folder that the task was not granted".to_owned()));
    };
    let replays_alone = recorder.replays_alone();
    if replays_alone && !matches!(call, Call::Read { .. }) {
        return Err(RecorderError::Fault("a replay asks a folder for more than to be read again".to_owned()));
    }
    let Some(path) = &grant.path else { return Err(RecorderError::Refused(unbound(grant, &call))) };
    if !call.is_bounded() {
        return Err(RecorderError::Fault("a call in a folder that is larger than any guest's".to_owned()));
    }
    let may_write = grant.access == Access::Write && !replays_alone;
    if call.changes() && !may_write {
        return Ok(Err(FileError::ReadOnly));
    }
    if recorder.checked(|powers| may_use(powers, grant, call.changes())).is_err() {
        return Ok(Err(FileError::NotPermitted));
    }
    let root = Root { path: PathBuf::from(path), may_write };
    match servers.call(&root, call).await {
        Ok(done) => Ok(done),
        Err(error @ FolderError::Gone { .. }) => {
            tracing::warn!("{error}");
            Ok(Err(FileError::Unanswered))
        }
        Err(FolderError::Unopened { path, why }) => {
            // Where folders are is the operator's to know, and not who calls.
            tracing::warn!("the folder {path} cannot be held: {why}");
            let (slot, why) = (&grant.slot, why.replace(path.as_str(), "PATH"));
            let message = format!("the folder of the slot {slot} cannot be held: {why}; then retry the task");
            Err(RecorderError::Refused(message))
        }
        Err(error @ FolderError::Busy { .. }) => Err(RecorderError::Fault(error.to_string())),
    }
}

/// Only an exported task has such a folder: what the server grants is bound.
fn unbound(grant: &FileGrant, call: &Call) -> String {
    let (slot, at, path) = (&grant.slot, grant.at.trim_end_matches('/'), recorded::path(call));
    format!(
        "of {at}/{path} more than {} bytes were read at once, so that the journal has their hash alone, and they are to be read \
         again; where the file is as it was, replay it with --bind {slot}=FOLDER",
        limits::MAX_RECORDED_READ_BYTES
    )
}

/// The folder that the task began with, as long as its component is granted it.
fn may_use(powers: &Powers, grant: &FileGrant, to_write: bool) -> Result<(), Lost> {
    powers.standing.check_any()?;
    let Some(regranted) = &powers.component else { return Ok(()) };
    let is_same = |now: &&FileGrant| (&now.slot, &now.at, &now.path) == (&grant.slot, &grant.at, &grant.path);
    match regranted.now.files.iter().find(is_same) {
        Some(now) if !to_write || now.access == Access::Write => Ok(()),
        _ => Err(Lost::OfComponent),
    }
}
