//! What a server and its worker say to each other: frames of a length and a message, in each direction one after another.
//! The first to the worker is [`Hello`], with the component's machine code behind it.

use std::borrow::Cow;
use std::io::{self, Read};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::values::{AskWire, EndWire, OpWire};
use crate::authority::{Grant, HttpPattern};
use crate::engine::{
    Addressee, ChildCall, InLog, InspectError, OpHandle, OutputOp, PlaceOfPiece, StateQuery, StateWrite,
    StepKind, Suspension,
};
use crate::files::Call;
use crate::limits;
use crate::task::{Effects, LogLevel, TaskLimits, Variable, WakeOn};

/// What a worker is for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Of the engine that the code is for: a worker of another build refuses.
    pub fingerprint: String,
    pub code_bytes: u64,
    pub memory_mib: u64,
    pub threads: usize,
}

/// To the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker<'a> {
    #[serde(borrow)]
    Begin(Box<Begin<'a>>),
    /// The component is to say which tools it has.
    Describe { guest: u64 },
    /// To a call; `None` where its guest has ended.
    Answer {
        call: u64,
        #[serde(borrow)]
        answer: Option<&'a [u8]>,
    },
    /// Something was committed that the guest may wait for.
    News { guest: u64 },
    /// The guest is to end, without a word.
    Stop { guest: u64 },
}

/// One attempt at a task. `guest` names it, and is never used again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin<'a> {
    pub guest: u64,
    pub binding: Cow<'a, str>,
    pub arguments: Cow<'a, str>,
    pub limits: Cow<'a, TaskLimits>,
    pub grant: Cow<'a, Grant>,
    pub environment: Cow<'a, [Variable]>,
    pub effects: Cow<'a, Effects>,
    pub suspend_grace: Duration,
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToServer<'a> {
    /// The component is there.
    Ready,
    /// Why it is not.
    Unfit(String),
    Call {
        guest: u64,
        call: u64,
        #[serde(borrow)]
        request: Request<'a>,
    },
    /// The answer to this call is not waited for any more. Of a wait in which the guest was asked to make room: it leaves.
    Withdraw { guest: u64, call: u64, leaves: bool },
    /// The instance is gone; without an outcome where it was stopped.
    Ended { guest: u64, end: Option<EndWire> },
    /// The tools, as JSON.
    Described { guest: u64, tools: Result<String, InspectError> },
}

/// What a guest's host does with its task, by the names that the recorder has for it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    Seed,
    CreatedAt,
    Now,
    RawNow,
    IsReplaying,
    NextStep { step: Option<(StepKind, &'a str)>, call: (u8, u64), what: &'a str },
    Record { kind: u8, hash: u64, payload: &'a [u8] },
    ExpectLive { what: &'a str },
    Finish,
    ReplaysAlone,
    EndOfReplay,
    Epoch,
    Barrier,
    FlushIfFull,
    Restored,
    Checkpoint { state: &'a [u8] },

    Log { bytes: &'a [u8] },
    Line { level: LogLevel, text: &'a str },
    Progress { done: u64, total: Option<u64>, message: Option<String> },
    Status { message: String },
    Output { op: OutputWire<'a> },
    Spent { awake: Duration },
    WasRefused { line: &'a str },
    LooksForFolders,
    TookMemory { bytes: u64 },
    GrowMemory { bytes: u64 },

    HandlesCancellation,
    CancelRequested,
    Cancelled,
    SleepUntil { deadline: u64 },
    BeginWait,
    Idles { suspension: Option<Suspension> },
    WaitToLeave,
    WaitsFor { on: Vec<WakeOn> },
    IsMet { on: WakeOn },
    ExtendedDeadline { on: WakeOn },

    BeginOp,
    Op { op: OpHandle },
    OpMet { op: OpHandle },
    OpKey { op: OpHandle, hash: u64 },
    OpIntent { op: OpHandle, hash: u64, sends: u32 },
    OpDone { op: OpHandle, hash: u64, outcome: &'a [u8] },
    OpAbandoned { op: OpHandle, hash: u64 },
    TraceBegun { op: OpHandle, step: StepKind, label: &'a str },
    TraceLeft { op: OpHandle },
    RefusedByGrant { wanted: HttpPattern, granted: Option<HttpPattern>, in_log: InLog },
    MayReach { url: &'a str },
    Exchange(#[serde(borrow)] Box<ExchangeWire<'a>>),
    Folder { folder: u32, call: Call },
    OpenUpload,
    PutUpload { upload: u64, piece: &'a [u8] },
    EndUpload { upload: u64, is_complete: bool },
    LeaveUpload { upload: u64 },
    NextOfStream { stream: u64 },
    DropStream { stream: u64 },
    PutPiece { op: OpHandle, hash: u64, at: PlaceOfPiece, piece: &'a [u8] },
    Pieces { op: OpHandle, from: PlaceOfPiece },

    Ask { op: OpHandle, hash: u64, question: Box<AskWire> },
    Asked { op: OpHandle, known: OpWire },
    TakeAnswer { op: OpHandle, hash: u64, number: u64 },
    Withdraw { op: OpHandle, hash: u64, number: u64 },
    GrantedTools,
    GrantedModels,
    StartChildren { ops: Vec<OpHandle>, calls: Vec<ChildCall> },
    TakeChild { op: OpHandle, call: u64 },
    GiveUpChild { op: OpHandle, call: u64 },
    TakeMessage { op: OpHandle, hash: u64, names: Vec<String> },
    SendMessage { to: Addressee, name: &'a str, payload: &'a str },
    StateGet { namespace: &'a str, key: &'a str },
    StateList { namespace: &'a str, query: StateQuery },
    StateWrite { namespace: &'a str, writes: Vec<StateWrite> },
    MayWatchState { namespace: &'a str, key: &'a str },
}

/// [`OutputOp`] in pieces; what a step does not need is empty.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OutputWire<'a> {
    pub step: OutputStep,
    pub name: &'a str,
    pub mime_type: &'a str,
    pub data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputStep {
    Write,
    Open,
    Append,
    Close,
}

impl<'a> From<&OutputOp<'a>> for OutputWire<'a> {
    fn from(op: &OutputOp<'a>) -> Self {
        let (step, name, mime_type, data) = match *op {
            OutputOp::Write { name, mime_type, data } => (OutputStep::Write, name, mime_type, data),
            OutputOp::Open { name, mime_type } => (OutputStep::Open, name, mime_type, &[][..]),
            OutputOp::Append { name, data } => (OutputStep::Append, name, "", data),
            OutputOp::Close { name } => (OutputStep::Close, name, "", &[][..]),
        };
        Self { step, name, mime_type, data }
    }
}

impl<'a> From<OutputWire<'a>> for OutputOp<'a> {
    fn from(wire: OutputWire<'a>) -> Self {
        let OutputWire { step, name, mime_type, data } = wire;
        match step {
            OutputStep::Write => Self::Write { name, mime_type, data },
            OutputStep::Open => Self::Open { name, mime_type },
            OutputStep::Append => Self::Append { name, data },
            OutputStep::Close => Self::Close { name },
        }
    }
}

/// A request over HTTP that is ready to go.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExchangeWire<'a> {
    pub method: &'a str,
    pub url: &'a str,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<&'a [u8]>,
    /// Its body comes piece by piece, under this number.
    pub upload: Option<u64>,
    pub connect: Duration,
    pub first_byte: Duration,
    pub between_bytes: Duration,
}

/// What came back to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExchangedWire {
    pub outcome: Vec<u8>,
    /// Its body is on its way, under this number.
    pub stream: Option<u64>,
}

const LENGTH_BYTES: usize = 4;

/// One message as it goes over the pipe.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = postcard::to_extend(message, vec![0; LENGTH_BYTES]).map_err(io::Error::other)?;
    let length = frame.len() - LENGTH_BYTES;
    if length > limits::MAX_WORKER_FRAME_BYTES {
        return Err(io::Error::other(format!(
            "a message between a server and its worker has {length} bytes, more than MAX_WORKER_FRAME_BYTES"
        )));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The next message's bytes; `None` at the end of the pipe.
pub fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    if let Err(error) = from.read_exact(&mut length) {
        return at_end(error);
    }
    let mut message = vec![0; checked(length)?];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

/// The same in the server.
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    if let Err(error) = from.read_exact(&mut length).await {
        return at_end(error);
    }
    let mut message = vec![0; checked(length)?];
    from.read_exact(&mut message).await?;
    Ok(Some(message))
}

pub fn parse<'a, T: Deserialize<'a>>(message: &'a [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(io::Error::other("there is more behind the message")),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn at_end<T>(error: io::Error) -> io::Result<Option<T>> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) }
}

fn checked(length: [u8; LENGTH_BYTES]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    if length <= limits::MAX_WORKER_FRAME_BYTES {
        return Ok(length);
    }
    Err(io::Error::other(format!(
        "it announces {length} bytes, more than a message may have (MAX_WORKER_FRAME_BYTES)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_writes_the_other_reads() {
        let mut sent = Vec::new();
        let request = Request::Record { kind: 1, hash: 7, payload: b"payload" };
        sent.extend(frame(&ToServer::Call { guest: 1, call: 2, request }).unwrap());
        sent.extend(frame(&ToServer::Ready).unwrap());
        let mut from = &sent[..];
        let message = read(&mut from).unwrap().unwrap();
        let ToServer::Call { guest: 1, call: 2, request: Request::Record { kind: 1, hash: 7, payload } } =
            parse(&message).unwrap()
        else {
            panic!("another message")
        };
        assert_eq!(payload, b"payload");
        let message = read(&mut from).unwrap().unwrap();
        assert!(matches!(parse(&message).unwrap(), ToServer::Ready));
        assert!(read(&mut from).unwrap().is_none(), "the end of the pipe");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let too_long = u32::try_from(limits::MAX_WORKER_FRAME_BYTES).unwrap() + 1;
        assert!(read(&mut &too_long.to_le_bytes()[..]).is_err());
        assert!(frame(&"a".repeat(limits::MAX_WORKER_FRAME_BYTES)).is_err(), "the length counts");
        let whole = frame(&ToServer::Withdraw { guest: 1, call: 2, leaves: true }).unwrap();
        for length in LENGTH_BYTES..whole.len() {
            assert!(read(&mut &whole[..length]).is_err(), "{length} bytes");
        }
        let mut more = whole[LENGTH_BYTES..].to_vec();
        assert!(parse::<ToServer<'_>>(&more).is_ok());
        more.push(0);
        assert!(parse::<ToServer<'_>>(&more).is_err());
        assert!(parse::<ToServer<'_>>(&[99]).is_err());
    }
}
