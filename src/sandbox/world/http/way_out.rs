//! The way out of an attempt's exchanges: judged by what the task may do at the moment, and then through the connector.

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::watch;

use super::outcome::{self, Head, Outcome};
use crate::authority::{Lost, Powers};
use crate::engine::{BoxFuture, Recorder, RecorderError};
use crate::sandbox::egress::{
    Answer, Connector, Failure, Opened, Outgoing, Sending, Stream, Target, Timeouts, Timer, Upload, put_in,
};
use crate::sandbox::wire::{ExchangeWire, ExchangedWire, Remote, Request};

/// Where exchanges leave.
#[derive(Clone)]
pub enum WayOut {
    /// From this process.
    Here { recorder: Recorder, connector: Connector },
    /// From the server's.
    There(Remote),
}

impl WayOut {
    /// Whether the task may still go there. What it was given was asked when the guest began the exchange. The inner
    /// error is the exchange's outcome, and reaches the task.
    pub async fn check(&self, target: &Target) -> Result<Result<(), Failure>, RecorderError> {
        match self {
            Self::Here { recorder, .. } => check(recorder, target),
            Self::There(remote) => remote.call(Request::MayReach { url: target.url().as_str() }).await,
        }
    }

    /// Sends what [`Self::check`] let pass, and waits for what comes back.
    pub async fn exchange(&self, mut outgoing: Outgoing, timeouts: Timeouts) -> Result<Came, RecorderError> {
        match self {
            Self::Here { recorder, connector } => {
                Ok(match exchange(recorder, connector, outgoing, timeouts).await? {
                    Exchanged::Over(outcome) => Came::Over(outcome),
                    Exchanged::Streams(head, flow) => Came::Streams(head, Flow::Here(flow)),
                })
            }
            Self::There(remote) => {
                let upload = match outgoing.body.take_if(|body| matches!(body, Sending::Streams(_))) {
                    Some(Sending::Streams(upload)) => Some(RemoteUpload::open(remote, upload).await?),
                    _ => None,
                };
                let exchange = ExchangeWire {
                    upload: upload.as_ref().map(|upload| upload.number),
                    ..wire(&outgoing, timeouts)
                };
                let ExchangedWire { outcome, stream } =
                    remote.call(Request::Exchange(Box::new(exchange))).await?;
                match (outcome::decode(&outcome), stream) {
                    (Some(Outcome::Begun(head)), Some(stream)) => {
                        Ok(Came::Streams(head, Flow::There(RemoteFlow { remote: remote.clone(), stream })))
                    }
                    (Some(Outcome::Whole(answer)), None) => Ok(Came::Over(Ok(answer))),
                    (Some(Outcome::Failed(failure)), None) => Ok(Came::Over(Err(failure))),
                    _ => Err(RecorderError::Fault("the server's answer is unreadable".to_owned())),
                }
            }
        }
    }
}

/// What came back.
pub enum Came {
    Over(Result<Answer, Failure>),
    /// The body is still on its way.
    Streams(Head, Flow),
}

/// The body of an answer, on its way.
pub enum Flow {
    /// It is there.
    Whole(Option<Bytes>),
    Here(Box<FlowHere>),
    There(RemoteFlow),
}

impl Flow {
    /// The next bytes, never none; `None` at the end. The inner error is the stream's end, too.
    pub async fn next(&mut self) -> Result<Result<Option<Bytes>, Failure>, RecorderError> {
        match self {
            Self::Whole(body) => Ok(Ok(body.take().filter(|body| !body.is_empty()))),
            Self::Here(flow) => flow.next().await,
            Self::There(RemoteFlow { remote, stream }) => {
                let next: Result<Option<Vec<u8>>, Failure> =
                    remote.call(Request::NextOfStream { stream: *stream }).await?;
                Ok(next.map(|next| next.map(Bytes::from)))
            }
        }
    }
}

/// One that the server has.
pub struct RemoteFlow {
    remote: Remote,
    stream: u64,
}

impl Drop for RemoteFlow {
    fn drop(&mut self) {
        // Not waited for: this may be within what must not stand still.
        let _ = self.remote.ring(Request::DropStream { stream: self.stream });
    }
}

/// A body that goes to the server piece by piece, on and on after an answer has begun.
struct RemoteUpload {
    remote: Remote,
    number: u64,
}

impl RemoteUpload {
    async fn open(remote: &Remote, upload: Upload) -> Result<Self, RecorderError> {
        let number: u64 = remote.call(Request::OpenUpload).await?;
        let opened = Self { remote: remote.clone(), number };
        let (remote, mut pieces) = (remote.clone(), upload.pieces());
        tokio::spawn(async move {
            // Where the attempt has ended, so has this.
            while let Some(next) = pieces.next().await {
                let Ok(piece) = next else {
                    let _ = remote.ring(Request::EndUpload { upload: number, is_complete: false });
                    return;
                };
                match remote.call::<bool>(Request::PutUpload { upload: number, piece: &piece }).await {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return,
                }
            }
            let _ = remote.ring(Request::EndUpload { upload: number, is_complete: true });
        });
        Ok(opened)
    }
}

impl Drop for RemoteUpload {
    fn drop(&mut self) {
        // Where its exchange did not come to take it, nothing would. Not waited for, as above.
        let _ = self.remote.ring(Request::LeaveUpload { upload: self.number });
    }
}

fn wire(outgoing: &Outgoing, timeouts: Timeouts) -> ExchangeWire<'_> {
    let headers = outgoing.headers.iter();
    ExchangeWire {
        method: outgoing.method.as_str(),
        url: outgoing.target.url().as_str(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: match &outgoing.body {
            Some(Sending::Whole(body)) => Some(body),
            Some(Sending::Streams(_)) | None => None,
        },
        upload: None,
        connect: timeouts.connect,
        first_byte: timeouts.first_byte,
        between_bytes: timeouts.between_bytes,
    }
}

pub fn check(recorder: &Recorder, target: &Target) -> Result<Result<(), Failure>, RecorderError> {
    match recorder.checked(|powers| may_reach(powers, target)) {
        Ok(()) => Ok(Ok(())),
        Err(lost) => Ok(Err(refused(recorder, target, lost)?)),
    }
}

/// What came back to this process.
pub enum Exchanged {
    Over(Result<Answer, Failure>),
    Streams(Head, Box<FlowHere>),
}

pub async fn exchange(
    recorder: &Recorder,
    connector: &Connector,
    mut outgoing: Outgoing,
    timeouts: Timeouts,
) -> Result<Exchanged, RecorderError> {
    let (target, is_safe) = (outgoing.target.clone(), outgoing.method.is_safe());
    let moves = outgoing.body.as_ref().and_then(Sending::moves);
    let what = format!("{} {}", outgoing.method, target.describe());
    let timer = TaskTime(recorder.clone());
    // Behind all that is hashed and recorded of the request.
    let secrets = match put_in(connector.secrets(), &recorder.secrets(), &mut outgoing).await {
        Ok(secrets) => secrets,
        Err(failure) => return Ok(Exchanged::Over(Err(failure))),
    };
    let opening = connector.open(outgoing, timeouts, &timer);
    let lost = async {
        let lost = recorder.lost(|powers| may_reach(powers, &target)).await;
        // What changes something may have arrived, once its body has left: only its answer says so, and it is left to come.
        if is_safe || moves.as_ref().is_some_and(is_going) { lost } else { std::future::pending().await }
    };
    let opened = tokio::select! {
        biased;
        opened = opening => opened,
        lost = lost, if is_safe || moves.is_some() => Err(refused(recorder, &target, lost)?),
    };
    if matches!(opened, Err(Failure::AddressProhibited)) {
        recorder.refused_by_address(&target.pattern());
    }
    if let Err(failure @ (Failure::Certificate(_) | Failure::Tls)) = &opened {
        // The guest gets no reason, and it is the operator who can do something about it.
        tracing::info!(what, "{failure}");
    }
    Ok(match opened {
        Err(failure) => Exchanged::Over(Err(failure)),
        Ok(Opened::Whole(answer)) => Exchanged::Over(Ok(secrets.masked(answer))),
        Ok(Opened::Streams { status, mut headers, first, rest }) => {
            secrets.mask_headers(&mut headers);
            let stream = Stream::new(first, rest, secrets.masker());
            Exchanged::Streams(
                Head { status, headers },
                Box::new(FlowHere { recorder: recorder.clone(), target, timer, stream }),
            )
        }
    })
}

/// Whether there is more of a body that streams out.
fn is_going(moves: &watch::Receiver<u64>) -> bool {
    moves.has_changed().is_ok()
}

/// A body on its way to this process, as long as its task may reach where it comes from.
pub struct FlowHere {
    recorder: Recorder,
    target: Target,
    timer: TaskTime,
    stream: Stream,
}

impl FlowHere {
    pub async fn next(&mut self) -> Result<Result<Option<Bytes>, Failure>, RecorderError> {
        let Self { recorder, target, timer, stream } = self;
        // Also one that never has to be waited for ends.
        if let Err(failure) = check(recorder, target)? {
            return Ok(Err(failure));
        }
        tokio::select! {
            biased;
            next = stream.next(timer) => Ok(next),
            lost = recorder.lost(|powers| may_reach(powers, target)) => Ok(Err(refused(recorder, target, lost)?)),
        }
    }
}

fn refused(recorder: &Recorder, target: &Target, lost: Lost) -> Result<Failure, RecorderError> {
    recorder.refused_by_power(&target.pattern(), lost)?;
    Ok(Failure::NotAllowed(lost.to_string()))
}

fn may_reach(powers: &Powers, target: &Target) -> Result<(), Lost> {
    powers.standing.check_any()?;
    match &powers.component {
        Some(granted) if !target.is_granted(&granted.now) => Err(Lost::OfComponent),
        _ => Ok(()),
    }
}

struct TaskTime(Recorder);

impl Timer for TaskTime {
    fn sleep(&self, time: std::time::Duration) -> BoxFuture<()> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Box::pin(self.0.sleep_until(self.0.raw_now().saturating_add(nanos)))
    }
}
