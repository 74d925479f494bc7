//! What is done once: an operation whose intent is on disk before it, and its outcome after it. Where a crash came between,
//! the folder itself is asked, by what was there before.

use serde::Serialize;

use super::calls::{Done, Files};
use super::recorded::{Recorded, unreadable};
use crate::engine::{Op, OpHandle, call_hash};
use crate::files::{Answer, Call, FileError, FileKind, How, Named, Stat, Time};
use crate::limits;
use crate::sandbox::stop::Stop;
use crate::sandbox::task_host::TaskHost;
use crate::sandbox::world::http;
use crate::sandbox::world::journal::Kind;
use crate::task::UnknownOutcome;

/// The first byte of an outcome on disk: that of an exchange has another.
const OUTCOME: u8 = 0xf1;

/// What was there before.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Before {
    from: Option<There>,
    to: Option<There>,
}

/// As it is hashed it is the same as before there was `since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct There {
    stat: Stat,
    /// When it was made, where that is known.
    #[serde(skip)]
    since: Option<Time>,
}

impl There {
    fn of(answer: &Answer) -> Option<Self> {
        let since = match answer {
            Answer::SeenSince(_, since) => Some(*since),
            _ => None,
        };
        Some(Self { stat: answer.stat()?, since })
    }

    /// The same file, whatever was done to it; as far as is known, for an inode that is free may be another file's next.
    fn is(&self, other: &Self) -> bool {
        let is_as_old = self.since.zip(other.since).is_none_or(|(one, other)| one == other);
        self.stat.identity == other.stat.identity && is_as_old
    }

    /// The same file for certain: where it is not known when it was made, nothing was done to it either.
    fn is_still(&self, other: &Self) -> bool {
        let is_old = self.since.is_some() && other.since.is_some();
        self.is(other) && (is_old || self.stat.changed == other.stat.changed)
    }
}

/// What became of an operation that a crash cut off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Done,
    NotDone,
    Unknown,
}

impl Files {
    pub(super) async fn once(&self, folder: u32, call: Call) -> Done<Answer> {
        let before = self.before(folder, &call).await?;
        let bytes =
            postcard::to_stdvec(&(&call, &before)).map_err(|error| Stop::HostFault(error.to_string()))?;
        let hash = call_hash("files once", &[&folder.to_le_bytes(), &bytes]);
        let what = format!("{} {}", verb(&call), self.shown(folder, &call));
        let host = self.0.journal.task(Kind::Files.name())?.clone();
        let op = host.begin_op()?;
        let known = host.op(op)?;
        if let Some(known) = &known {
            if known.hash() != hash || matches!(known, Op::Abandoned { .. }) {
                return Err(op.divergence(known, &what, hash).into());
            }
            host.op_met(op);
        }
        if let Some(Op::Done { outcome, .. }) = &known {
            return outcome_of(outcome);
        }
        // Each has its outcome before anything comes after it.
        host.expect_live(&what)?;
        host.end_of_replay()?;
        let (mut sends, mut is_open) = match known {
            Some(Op::Intent { sends, .. }) => (sends, true),
            Some(Op::Resend { sends, .. }) => (sends, false),
            _ => (0, false),
        };
        for _ in 0..limits::MAX_FOLDER_TRIES {
            if is_open {
                match self.found(folder, &call, &before).await? {
                    Found::Done => {
                        let answer = self.answer_of(folder, &call).await?;
                        return over(&host, (op, hash), answer).await;
                    }
                    Found::NotDone => {}
                    Found::Unknown if self.may_repeat() => {}
                    Found::Unknown => return Err(unknown(op, &what)),
                }
            }
            sends = sends.saturating_add(1);
            host.op_intent(op, hash, sends)?;
            host.barrier().await?;
            crate::crash_point!("op_intent");
            match self.ask(folder, &call).await? {
                Err(FileError::Unanswered) => is_open = true,
                answered => return over(&host, (op, hash), answered).await,
            }
        }
        let message =
            format!("the process that holds the folder ended each time that it was asked to {what}");
        Err(Stop::HostFault(message))
    }

    fn may_repeat(&self) -> bool {
        self.0.access.as_ref().is_some_and(|access| access.unknown_outcome == UnknownOutcome::Retry)
    }

    /// Recorded: replay must know what was there.
    async fn before(&self, folder: u32, call: &Call) -> Result<Before, Stop> {
        let (from, to) = paths(call);
        let mut before = Before { from: None, to: None };
        for (path, stat) in [(from, &mut before.from), (to, &mut before.to)] {
            if let Some(at) = path
                && let Ok(seen) = self.seen(folder, Call::Look { at, follow: false }).await?
            {
                *stat = There::of(&seen);
            }
        }
        Ok(before)
    }

    /// What is there; an error where that cannot be seen, so that it is not taken for gone.
    async fn now(&self, folder: u32, at: Option<Named>) -> Done<Option<There>> {
        let Some(at) = at else { return Ok(Ok(None)) };
        Ok(match self.live(folder, &Call::Look { at, follow: false }).await? {
            Ok(seen) => There::of(&seen).map(Some).ok_or(FileError::Invalid),
            Err(FileError::NoEntry | FileError::NotDirectory) => Ok(None),
            Err(error) => Err(error),
        })
    }

    async fn found(&self, folder: u32, call: &Call, before: &Before) -> Result<Found, Stop> {
        let (from, to) = paths(call);
        let (Ok(from), Ok(to)) = (self.now(folder, from).await?, self.now(folder, to).await?) else {
            return Ok(Found::Unknown);
        };
        let now = Before { from, to };
        let Call::Append { file, bytes } = call else { return Ok(found(call, before, &now)) };
        let (Some(was), Some(is)) = (before.from, now.from) else { return Ok(Found::Unknown) };
        if !was.is(&is) {
            return Ok(Found::Unknown);
        }
        if is.stat.size == was.stat.size {
            return Ok(Found::NotDone);
        }
        let Ok(length) = u32::try_from(bytes.len()) else { return Ok(Found::Unknown) };
        let read = Call::Read { file: file.clone(), offset: was.stat.size, length };
        match self.live(folder, &read).await? {
            Ok(Answer::Bytes(there)) if there == *bytes => Ok(Found::Done),
            _ => Ok(Found::Unknown),
        }
    }

    /// What it would have come to.
    async fn answer_of(&self, folder: u32, call: &Call) -> Done<Answer> {
        match call {
            Call::Open { path, .. } => {
                let at = Named { path: path.clone(), identity: None };
                self.live(folder, &Call::Look { at, follow: false }).await
            }
            _ => Ok(Ok(Answer::Done)),
        }
    }
}

/// By names and identities alone.
fn found(call: &Call, before: &Before, now: &Before) -> Found {
    let both = |one: &Option<There>, other: &Option<There>, are: fn(&There, &There) -> bool| {
        one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| are(one, other))
    };
    let same = |one, other| both(one, other, There::is);
    // What would be taken away again must be the very one that was to be.
    let is_still_there = both(&before.from, &now.from, There::is_still);
    match call {
        Call::MakeFolder { .. } => match (&before.to, &now.to) {
            (Some(_), _) | (None, None) => Found::NotDone,
            (None, Some(made)) if made.stat.kind == FileKind::Folder => Found::Done,
            (None, Some(_)) => Found::Unknown,
        },
        Call::Open { .. } => match (&before.to, &now.to) {
            (Some(_), _) | (None, None) => Found::NotDone,
            (None, Some(made)) if made.stat.kind == FileKind::File && made.stat.size == 0 => Found::Done,
            (None, Some(_)) => Found::Unknown,
        },
        Call::RemoveFolder { .. } | Call::RemoveFile { .. } => match (&before.from, &now.from) {
            (None, _) => Found::NotDone,
            (Some(_), None) => Found::Done,
            _ if is_still_there => Found::NotDone,
            _ => Found::Unknown,
        },
        Call::Rename { .. } if before.from.is_none() || is_still_there => Found::NotDone,
        Call::Rename { .. } if now.from.is_none() && same(&before.from, &now.to) => Found::Done,
        Call::Link { .. } if before.from.is_none() || before.to.is_some() || now.to.is_none() => {
            Found::NotDone
        }
        Call::Link { .. } if same(&before.from, &now.to) => Found::Done,
        _ => Found::Unknown,
    }
}

/// What goes away or is changed, and what comes to be.
fn paths(call: &Call) -> (Option<Named>, Option<Named>) {
    let at = |path: &str| Some(Named { path: path.trim_end_matches('/').to_owned(), identity: None });
    match call {
        // Where it is, is said by what it was opened as.
        Call::Append { file, .. } => (Some(file.clone()), None),
        Call::RemoveFolder { path } | Call::RemoveFile { path } => (at(path), None),
        Call::MakeFolder { path } | Call::Open { path, how: How { .. } } => (None, at(path)),
        Call::Rename { from, to } | Call::Link { from, to } => (at(from), at(to)),
        _ => (None, None),
    }
}

async fn over(
    host: &TaskHost,
    (op, hash): (OpHandle, u64),
    answered: Result<Answer, FileError>,
) -> Done<Answer> {
    let outcome = postcard::to_extend(&Recorded::of(&answered), vec![OUTCOME]);
    host.op_done(op, hash, outcome.map_err(|error| Stop::HostFault(error.to_string()))?)?;
    crate::crash_point!("op_done");
    host.barrier().await?;
    Ok(answered)
}

/// As it was recorded, or as a person has said of it what they say of an answer over HTTP.
fn outcome_of(outcome: &[u8]) -> Done<Answer> {
    match outcome.split_first() {
        Some((&OUTCOME, recorded)) => match Recorded::decode(recorded)? {
            Recorded::Answered(answer) => Ok(Ok(answer)),
            Recorded::Failed(error) => Ok(Err(error)),
            Recorded::Hashed { .. } => Err(unreadable()),
        },
        _ => match http::outcome(outcome) {
            Some(http::Outcome::Whole(_) | http::Outcome::Begun(_)) => Ok(Ok(Answer::Done)),
            Some(http::Outcome::Failed(_)) => Ok(Err(FileError::Io)),
            None => Err(unreadable()),
        },
    }
}

fn unknown(op: OpHandle, what: &str) -> Stop {
    Stop::UnknownOutcome {
        op: op.number,
        message: format!("{what} was begun, and what is in the folder now does not say whether it was done"),
    }
}

fn verb(call: &Call) -> &'static str {
    match call {
        Call::Append { .. } => "append to",
        Call::MakeFolder { .. } => "make the folder",
        Call::RemoveFolder { .. } => "remove the folder",
        Call::RemoveFile { .. } => "remove",
        Call::Rename { .. } => "rename to",
        Call::Link { .. } => "link to",
        _ => "create",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Identity;

    fn stat(inode: u64, kind: FileKind, size: u64) -> Option<There> {
        let time = (1, 0);
        let identity = Identity { device: 1, inode };
        let stat = Stat { identity, kind, size, links: 1, accessed: time, modified: time, changed: time };
        Some(There { stat, since: Some(time) })
    }

    fn made(there: Option<There>, since: Option<Time>) -> Option<There> {
        there.map(|there| There { since, ..there })
    }

    fn changed(there: Option<There>) -> Option<There> {
        there.map(|there| There { stat: Stat { changed: (2, 0), ..there.stat }, ..there })
    }

    fn of(from: Option<There>, to: Option<There>) -> Before {
        Before { from, to }
    }

    #[test]
    fn what_is_there_says_whether_it_was_done() {
        let (file, other) = (stat(1, FileKind::File, 3), stat(2, FileKind::File, 3));
        let folder = stat(3, FileKind::Folder, 0);
        let rename = Call::Rename { from: "a".into(), to: "b".into() };
        let link = Call::Link { from: "a".into(), to: "b".into() };
        let remove = Call::RemoveFile { path: "a".into() };
        let make = Call::MakeFolder { path: "b".into() };
        let how = How { write: true, create: true, exclusive: true, ..How::default() };
        let create = Call::Open { path: "b".into(), how };
        for (call, before, now, expected) in [
            (&rename, of(file, None), of(file, None), Found::NotDone),
            (&rename, of(file, other), of(None, file), Found::Done),
            (&rename, of(file, None), of(None, other), Found::Unknown),
            (&rename, of(file, None), of(other, file), Found::Unknown),
            (&rename, of(None, None), of(None, None), Found::NotDone),
            (&link, of(file, None), of(file, file), Found::Done),
            (&link, of(file, None), of(file, None), Found::NotDone),
            (&link, of(file, None), of(file, other), Found::Unknown),
            (&remove, of(file, None), of(None, None), Found::Done),
            (&remove, of(file, None), of(file, None), Found::NotDone),
            (&remove, of(file, None), of(other, None), Found::Unknown),
            (&make, of(None, None), of(None, folder), Found::Done),
            (&make, of(None, folder), of(None, folder), Found::NotDone),
            (&make, of(None, None), of(None, file), Found::Unknown),
            (&create, of(None, None), of(None, stat(1, FileKind::File, 0)), Found::Done),
            (&create, of(None, None), of(None, file), Found::Unknown),
            (&create, of(None, None), of(None, None), Found::NotDone),
        ] {
            assert_eq!(found(call, &before, &now), expected, "{call:?} {before:?} {now:?}");
        }
    }

    /// An inode that a file has left is free, and the next file that is made may have it.
    #[test]
    fn a_new_file_under_the_old_ones_inode_is_not_taken_away() {
        let file = stat(1, FileKind::File, 3);
        let (newer, unsaid) = (made(file, Some((2, 0))), made(file, None));
        let remove = Call::RemoveFile { path: "a".into() };
        let folder = Call::RemoveFolder { path: "a".into() };
        let rename = Call::Rename { from: "a".into(), to: "b".into() };
        for call in [remove, folder, rename] {
            for (before, now, expected) in [
                (file, file, Found::NotDone),
                // Another program has written to it: it is the same.
                (file, changed(file), Found::NotDone),
                (file, newer, Found::Unknown),
                // What is not known of one of them is found by when it was changed last.
                (unsaid, unsaid, Found::NotDone),
                (unsaid, file, Found::NotDone),
                (unsaid, changed(file), Found::Unknown),
                (unsaid, changed(unsaid), Found::Unknown),
            ] {
                let found = found(&call, &of(before, None), &of(now, None));
                assert_eq!(found, expected, "{call:?} {before:?} {now:?}");
            }
        }
        let rename = Call::Rename { from: "a".into(), to: "b".into() };
        for (now, expected) in [
            // A rename changes it.
            (changed(file), Found::Done),
            (changed(unsaid), Found::Done),
            (newer, Found::Unknown),
        ] {
            assert_eq!(found(&rename, &of(file, None), &of(None, now)), expected, "{now:?}");
        }
    }

    /// The hash of an operation on disk is made of it.
    #[test]
    fn what_was_there_before_is_hashed_as_it_ever_was() {
        let (file, newer) = (stat(1, FileKind::File, 3), made(stat(1, FileKind::File, 3), Some((2, 0))));
        let bytes = postcard::to_stdvec(&of(file, None)).expect("bytes");
        assert_eq!(postcard::to_stdvec(&(file.map(|there| there.stat), None::<Stat>)), Ok(bytes.clone()));
        assert_eq!(postcard::to_stdvec(&of(newer, None)), Ok(bytes));
    }
}
