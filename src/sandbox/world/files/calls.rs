//! The calls of one instance: each is replayed, or done and recorded.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::descriptor::{Lists, Place, Places};
use super::pending::Pending;
use super::port::FolderPort;
use super::recorded::{self, Recorded};
use crate::authority::{Access, FileGrant};
use crate::engine::{Divergence, Next, call_hash};
use crate::files::{Answer, Call, FileError, Identity};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::world::journal::{self, Journal, Kind};
use crate::task::UnknownOutcome;

/// What an attempt's folders need of the world outside.
#[derive(Clone)]
pub struct FolderAccess {
    pub port: FolderPort,
    pub unknown_outcome: UnknownOutcome,
}

/// The folders of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Files(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) journal: Journal,
    pub(super) granted: Vec<FileGrant>,
    /// `None` while a component is only inspected.
    pub(super) access: Option<FolderAccess>,
    pub(super) places: Mutex<Places>,
    /// Bytes that were read, replayed or not.
    pub(super) read: AtomicU64,
    /// Streams that took bytes which are not written yet, in the guest's order.
    pub(super) unwritten: Mutex<Vec<Weak<Pending>>>,
    /// Why the guest is to end, found where nothing could end it.
    stop: Mutex<Option<Stop>>,
    pub(super) lists: Arc<Lists>,
}

pub(super) type Done<T> = std::result::Result<std::result::Result<T, FileError>, Stop>;

impl Files {
    pub fn new(journal: Journal, granted: Vec<FileGrant>, access: Option<FolderAccess>) -> Self {
        let shared = Shared {
            journal,
            granted,
            access,
            places: Mutex::default(),
            read: AtomicU64::new(0),
            unwritten: Mutex::default(),
            stop: Mutex::default(),
            lists: Arc::default(),
        };
        Self(Arc::new(shared))
    }

    /// Does it, or takes what it came to from the journal: of what may be done twice.
    pub(super) async fn seen(&self, folder: u32, call: Call) -> Done<Answer> {
        let hash = hash(folder, &call)?;
        let of_journal = journal::Call { kind: Kind::Files, hash };
        if let Some(payload) = self.0.journal.replayed(of_journal).await? {
            return self.known(folder, &call, &payload).await;
        }
        if call.changes() {
            // What the guest has seen led to it, and must lead to the same after a crash: a number that it read and now
            // writes one higher in its place would else be read again.
            self.0.journal.task(Kind::Files.name())?.barrier().await?;
        }
        let answered = self.live(folder, &self.kept_whole(folder, &call)).await?;
        let recorded = Recorded::of(&answered);
        self.0.journal.record(of_journal, &recorded.encode()?)?;
        self.0.journal.flush_if_full().await?;
        self.count(&answered)?;
        Ok(answered)
    }

    /// Whether anything in it may be changed: it follows from the grant, and is no call.
    pub(super) fn may_write(&self, folder: u32) -> bool {
        self.0.granted.get(folder as usize).is_some_and(|grant| grant.access == Access::Write)
    }

    /// So many bytes one read in this folder brings at most. What the task may change itself is kept whole, since replay would
    /// find it changed.
    pub(super) fn most_read(&self, folder: u32) -> usize {
        if self.may_write(folder) { limits::MAX_RECORDED_READ_BYTES } else { limits::MAX_FILE_CALL_BYTES }
    }

    /// The call as the folder is asked, of one that is recorded as the guest made it.
    fn kept_whole<'a>(&self, folder: u32, call: &'a Call) -> Cow<'a, Call> {
        let most = u32::try_from(self.most_read(folder)).unwrap_or(u32::MAX);
        match call {
            Call::Read { file, offset, length } if *length > most => {
                Cow::Owned(Call::Read { file: file.clone(), offset: *offset, length: most })
            }
            call => Cow::Borrowed(call),
        }
    }

    /// The same where nothing may wait: `answer` is what there is so far, live.
    pub(super) fn seen_at_once(
        &self,
        folder: u32,
        call: &Call,
        answer: impl FnOnce() -> Result<Answer, FileError>,
    ) -> Done<Answer> {
        let of_journal = (Kind::Files as u8, hash(folder, call)?);
        let what = Kind::Files.name();
        let task = self.0.journal.task(what)?;
        let answered = match task.next_step(None, of_journal, what)? {
            Next::Replayed(payload) => match Recorded::decode(&payload)? {
                Recorded::Answered(answer) => Ok(answer),
                Recorded::Failed(error) => Err(error),
                Recorded::Hashed { .. } => return Err(recorded::unreadable()),
            },
            Next::Live => {
                let answered = answer();
                task.record(of_journal.0, of_journal.1, &Recorded::of(&answered).encode()?)?;
                answered
            }
        };
        self.count(&answered)?;
        Ok(answered)
    }

    async fn known(&self, folder: u32, call: &Call, payload: &[u8]) -> Done<Answer> {
        let answered = match Recorded::decode(payload)? {
            Recorded::Answered(answer) => Ok(answer),
            Recorded::Failed(error) => Err(error),
            recorded @ Recorded::Hashed { .. } => {
                let again = self.live(folder, call).await?;
                match &again {
                    Ok(_) => {}
                    // It had been read, so that something else is in the way now.
                    Err(FileError::NotPermitted) => {
                        let file = self.shown(folder, call);
                        return Err(Stop::Refused(format!(
                            "{file} is to be read again, and the folder is not granted any more: grant it, then retry the task"
                        )));
                    }
                    Err(error @ (FileError::Io | FileError::Access)) => {
                        let file = self.shown(folder, call);
                        return Err(Stop::HostFault(format!("{file} cannot be read again: {error:?}")));
                    }
                    Err(_) => {}
                }
                if Recorded::of(&again) != recorded {
                    return Err(self.differs(folder, call, "reads otherwise than when it was read first"));
                }
                again
            }
        };
        self.count(&answered)?;
        Ok(answered)
    }

    /// Asks the folder itself, of what may be done twice: again where the process that holds it ended meanwhile.
    pub(super) async fn live(&self, folder: u32, call: &Call) -> Done<Answer> {
        for _ in 0..limits::MAX_FOLDER_TRIES {
            match self.ask(folder, call).await? {
                Err(FileError::Unanswered) => {}
                answered => return Ok(answered),
            }
        }
        let file = self.shown(folder, call);
        let message =
            format!("the process that holds the folder ended each time that it was asked for {file}");
        Err(Stop::HostFault(message))
    }

    /// Asks the folder itself, once.
    pub(super) async fn ask(&self, folder: u32, call: &Call) -> Done<Answer> {
        let inspecting = || Stop::Inspecting { what: Kind::Files.name().to_owned() };
        let access = self.0.access.as_ref().ok_or_else(inspecting)?;
        match access.port.call(folder, call).await? {
            Err(FileError::Replaced) => {
                Err(self.differs(folder, call, "is another file than the one that was opened, or gone"))
            }
            answered => Ok(answered),
        }
    }

    fn count(&self, answered: &std::result::Result<Answer, FileError>) -> std::result::Result<(), Stop> {
        let Ok(Answer::Bytes(bytes)) = answered else { return Ok(()) };
        let more = bytes.len() as u64;
        if self.0.read.fetch_add(more, Ordering::Relaxed) + more <= limits::MAX_FILE_READ_BYTES {
            return Ok(());
        }
        let most = limits::MAX_FILE_READ_BYTES;
        Err(Stop::Limit {
            bound: "MAX_FILE_READ_BYTES",
            message: format!(
                "the task reads more than {most} bytes from folders since its beginning or last checkpoint"
            ),
        })
    }

    fn differs(&self, folder: u32, call: &Call, how: &str) -> Stop {
        let record = match self.0.journal.task(Kind::Files.name()).and_then(|task| Ok(task.begin_op()?)) {
            Ok(op) => op.at(),
            Err(stop) => return stop,
        };
        let file = self.shown(folder, call);
        Stop::Diverged(Divergence {
            record,
            expected: format!("the file {file} as it was"),
            actual: format!("{file} {how}"),
        })
    }

    /// The file as the guest sees it.
    pub(super) fn shown(&self, folder: u32, call: &Call) -> String {
        let at = self.0.granted.get(folder as usize).map_or("", |grant| &grant.at);
        format!("{}/{}", at.trim_end_matches('/'), recorded::path(call))
    }

    pub(super) fn place(&self, folder: u32, path: String, identity: Option<Identity>) -> Arc<Place> {
        self.0.places.lock().add(folder, path, identity)
    }

    /// Writes what streams have taken: before anything else is done, in the guest's own order.
    pub async fn write_pending(&self) -> std::result::Result<(), Stop> {
        if let Some(stop) = self.0.stop.lock().take() {
            return Err(stop);
        }
        let unwritten = std::mem::take(&mut *self.0.unwritten.lock());
        for stream in unwritten.iter().filter_map(Weak::upgrade) {
            let Some((offset, bytes)) = stream.take() else { continue };
            let (folder, file, bytes) = (stream.place.folder, stream.place.named(), bytes.to_vec());
            let length = bytes.len();
            let written = match offset {
                Some(offset) => self.seen(folder, Call::Write { file, offset, bytes }).await?,
                None => self.once(folder, Call::Append { file, bytes }).await?,
            };
            stream.wrote(written.map(|_| length));
        }
        Ok(())
    }

    /// The same for a stream that ends, and cannot end its guest: what comes next does.
    pub(super) async fn write_last(&self) {
        if let Err(stop) = self.write_pending().await {
            *self.0.stop.lock() = Some(stop);
        }
    }
}

fn hash(folder: u32, call: &Call) -> std::result::Result<u64, Stop> {
    let call = postcard::to_stdvec(call).map_err(|error| Stop::HostFault(error.to_string()))?;
    Ok(call_hash("files", &[&folder.to_le_bytes(), &call]))
}
