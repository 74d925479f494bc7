//! The server's end of the processes that hold folders: one for each folder that is in use.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};

use super::call::{Answer, Call, FileError, Root};
#[cfg(target_os = "linux")]
use super::may_hold::MayHold;
use super::pipe;
use crate::launch::{Launch, Role, Running, Started, Stop};
use crate::limits;

#[cfg(not(target_os = "linux"))]
pub(super) const NOT_HERE: &str = "folders are offered on Linux alone";

const CALL_TIME: Duration = Duration::from_secs(limits::FOLDER_CALL_SECONDS);
const STOP_TIME: Duration = Duration::from_secs(limits::FOLDER_STOP_SECONDS);
const IDLE_TIME: Duration = Duration::from_secs(limits::FOLDER_IDLE_SECONDS);

/// The folder itself cannot be used. What a call in it comes to is no such error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    #[error("the folder {path} cannot be held for its tasks: {why}")]
    Unopened { path: String, why: String },
    /// It is not known whether the call was done.
    #[error("the process that holds the folder {path} is gone: {why}")]
    Gone { path: String, why: String },
    #[error("the folder {path} is not served now: {why}; retry the task")]
    Busy { path: String, why: &'static str },
}

type Done = Result<Result<Answer, FileError>, FolderError>;

/// Does what is asked of folders. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FolderServers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Without one, all is done in this process, within the first wall alone.
    launch: Option<Launch>,
    /// How long one call may take.
    call_time: Duration,
    folders: Mutex<HashMap<Root, mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Job {
    call: Call,
    done: oneshot::Sender<Done>,
}

impl Default for FolderServers {
    /// In this process.
    fn default() -> Self {
        Self::of(None, CALL_TIME)
    }
}

impl FolderServers {
    /// In processes that are started in the role of a folder's holder.
    pub fn launched(launch: Launch) -> Self {
        Self::of(Some(launch), CALL_TIME)
    }

    /// The same with less patience, for tests.
    #[cfg(test)]
    pub(super) fn launched_with(launch: Launch, call_time: Duration) -> Self {
        Self::of(Some(launch), call_time)
    }

    fn of(launch: Option<Launch>, call_time: Duration) -> Self {
        Self { shared: Arc::new(Shared { launch, call_time, folders: Mutex::default() }) }
    }

    /// To be called within a runtime.
    pub async fn call(&self, root: &Root, call: Call) -> Done {
        match &self.shared.launch {
            None => here(root.clone(), call).await,
            Some(launch) => {
                let (done, answer) = oneshot::channel();
                self.enqueue(launch, root, Job { call, done })?;
                answer.await.unwrap_or_else(|_| Err(gone(root, "it was stopped")))
            }
        }
    }

    fn enqueue(&self, launch: &Launch, root: &Root, job: Job) -> Result<(), FolderError> {
        let busy = |why| FolderError::Busy { path: shown(root), why };
        // Held while it is sent: a server that has nothing to do leaves under the same lock.
        let mut folders = self.shared.folders.lock();
        if let Some(server) = folders.get(root) {
            return server.try_send(job).map_err(|_| busy("too many calls wait (MAX_FOLDER_CALLS)"));
        }
        if folders.len() >= limits::MAX_FOLDER_PROCESSES {
            return Err(busy("too many folders are in use (MAX_FOLDER_PROCESSES)"));
        }
        let (jobs, to_do) = mpsc::channel(limits::MAX_FOLDER_CALLS);
        jobs.try_send(job).map_err(|_| busy("its queue is closed"))?;
        folders.insert(root.clone(), jobs);
        tokio::spawn(serve(self.shared.clone(), launch.clone(), root.clone(), to_do));
        Ok(())
    }
}

/// One folder, as long as anything is asked of it.
async fn serve(shared: Arc<Shared>, launch: Launch, root: Root, mut jobs: mpsc::Receiver<Job>) {
    let mut holder = Holder { launch, root: root.clone(), call_time: shared.call_time, state: State::None };
    loop {
        let job = match tokio::time::timeout(IDLE_TIME, jobs.recv()).await {
            Ok(Some(job)) => job,
            Ok(None) => return,
            // What is to end stays known until it has.
            Err(_) if !holder.is_rid().await => continue,
            Err(_) => {
                let mut folders = shared.folders.lock();
                match jobs.try_recv() {
                    Ok(job) => job,
                    Err(_) => {
                        folders.remove(&root);
                        return;
                    }
                }
            }
        };
        let done = holder.answer(&job.call).await;
        // Who asked may be gone.
        let _ = job.done.send(done);
    }
}

/// The process of one folder: there is one at a time, so that nothing is still under way when the next one is asked what became
/// of it.
struct Holder {
    launch: Launch,
    root: Root,
    call_time: Duration,
    state: State,
}

enum State {
    None,
    Holds(Process),
    /// Killed, and not known to have ended.
    Ends(Running),
}

impl Holder {
    async fn answer(&mut self, call: &Call) -> Done {
        if !self.is_rid().await {
            return Err(FolderError::Busy {
                path: shown(&self.root),
                why: "its last process was killed and has not ended (FOLDER_STOP_SECONDS), as where a network's file system \
                      does not answer",
            });
        }
        let done = match tokio::time::timeout(self.call_time, self.answered(call)).await {
            Ok(done) => done,
            Err(_) => Err(gone(&self.root, "a call took longer than FOLDER_CALL_SECONDS")),
        };
        if done.is_err() {
            self.end();
            self.is_rid().await;
        }
        done
    }

    async fn answered(&mut self, call: &Call) -> Done {
        if !matches!(self.state, State::Holds(_)) {
            let started = Process::start(&self.launch, &self.root).await?;
            self.state = State::Holds(started);
        }
        let State::Holds(process) = &mut self.state else { return Err(gone(&self.root, "it is not there")) };
        process.ask(call).await.map_err(|error| gone(&self.root, &error.to_string()))
    }

    fn end(&mut self) {
        if let State::Holds(Process { mut running, .. }) = std::mem::replace(&mut self.state, State::None) {
            running.stop(Stop::Kill);
            self.state = State::Ends(running);
        }
    }

    /// Whether no process is left that was to end; waits for it some time.
    async fn is_rid(&mut self) -> bool {
        let State::Ends(running) = &mut self.state else { return true };
        // An error is the launcher's end, with which all ends that it has started.
        let has_ended = tokio::time::timeout(STOP_TIME, running.ended()).await.is_ok();
        if has_ended {
            self.state = State::None;
        }
        has_ended
    }
}

#[derive(Debug)]
struct Process {
    stdin: tokio::net::unix::pipe::Sender,
    stdout: tokio::net::unix::pipe::Receiver,
    running: Running,
}

impl Process {
    async fn start(launch: &Launch, root: &Root) -> Result<Self, FolderError> {
        let unopened = |why: String| FolderError::Unopened { path: shown(root), why };
        let started = launch.start(&Role::Folder).await.map_err(|error| gone(root, &error.to_string()))?;
        let Started { stdin, stdout, running, .. } = started;
        let mut process = Self { stdin, stdout, running };
        let opened: Result<(), String> =
            process.exchange(root).await.map_err(|error| gone(root, &error.to_string()))?;
        opened.map(|()| process).map_err(unopened)
    }

    async fn ask(&mut self, call: &Call) -> io::Result<Result<Answer, FileError>> {
        self.exchange(call).await
    }

    async fn exchange<T: serde::de::DeserializeOwned>(
        &mut self,
        message: &impl serde::Serialize,
    ) -> io::Result<T> {
        self.stdin.write_all(&pipe::frame(message)?).await?;
        pipe::receive(&mut self.stdout).await
    }
}

#[cfg(target_os = "linux")]
async fn here(root: Root, call: Call) -> Done {
    let of = root.clone();
    let acting = tokio::task::spawn_blocking(move || {
        let folder = super::act::Folder::open(&root, &MayHold::anything())
            .map_err(|why| FolderError::Unopened { path: shown(&root), why })?;
        Ok(folder.act(call))
    });
    match tokio::time::timeout(CALL_TIME, acting).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(gone(&of, &error.to_string())),
        Err(_) => Err(gone(&of, "a call took longer than FOLDER_CALL_SECONDS")),
    }
}

#[cfg(not(target_os = "linux"))]
async fn here(root: Root, _: Call) -> Done {
    Err(FolderError::Unopened { path: shown(&root), why: NOT_HERE.to_owned() })
}

fn gone(root: &Root, why: &str) -> FolderError {
    FolderError::Gone { path: shown(root), why: why.to_owned() }
}

fn shown(root: &Root) -> String {
    root.path.display().to_string()
}
