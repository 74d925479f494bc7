//! Operations, and exchanges over HTTP, which leave from here.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;

use super::answer::{Served, known, later, not_allowed, now};
use super::asks;
use crate::engine::RecorderError;
use crate::limits;
use crate::sandbox::egress::{Outgoing, Sending, Target, Timeouts};
use crate::sandbox::wire::OpWire;
use crate::sandbox::wire::protocol::{ExchangeWire, ExchangedWire, Request};
use crate::sandbox::worker::guest::Guest;
use crate::sandbox::world::files::perform;
use crate::sandbox::world::http::{Exchanged, Outcome, check_way, encode_outcome, exchange_from_here};

pub fn serve(guest: &Arc<Guest>, request: Request<'_>) -> Served {
    let recorder = &guest.recorder;
    match request {
        Request::BeginOp => now(recorder.begin_op()),
        Request::Op { op } => now(recorder.op(op).map(|known| known.as_ref().map(OpWire::from))),
        Request::OpMet { op } => {
            recorder.op_met(op);
            known(())
        }
        Request::OpKey { op, hash } => known(recorder.op_key(op, hash)),
        Request::OpIntent { op, hash, sends } => now(recorder.op_intent(op, hash, sends)),
        Request::OpDone { op, hash, outcome } => now(recorder.op_done(op, hash, outcome.to_vec())),
        Request::OpAbandoned { op, hash } => now(recorder.op_abandoned(op, hash)),
        Request::TraceBegun { op, step, label } => now(recorder.trace_begun(op, step, label)),
        Request::TraceLeft { op } => {
            recorder.trace_left(op);
            known(())
        }
        Request::RefusedByGrant { wanted, granted, in_log } => {
            now(recorder.refused_by_grant(&wanted, granted.as_ref(), in_log))
        }
        Request::MayReach { url } => match granted(guest, url) {
            Some(target) => now(check_way(recorder, &target)),
            None => not_allowed("a way that is not granted"),
        },
        Request::Exchange(exchange) => exchanged(guest, &exchange),
        Request::Folder { folder, call } => {
            let guest = guest.clone();
            later(async move {
                perform(&guest.recorder, &guest.task.grant.files, &guest.folders, folder, call).await
            })
        }
        Request::OpenUpload => open_upload(guest),
        Request::PutUpload { upload, piece } => put_upload(guest, upload, piece),
        Request::EndUpload { upload, is_complete } => end_upload(guest, upload, is_complete),
        Request::LeaveUpload { upload } => {
            guest.uploads.leave(upload);
            known(())
        }
        Request::NextOfStream { stream } => next_of(guest, stream),
        Request::DropStream { stream } => {
            guest.drop_stream(stream);
            known(())
        }
        Request::PutPiece { piece, .. } if piece.len() > limits::MAX_INLINE_PAYLOAD_BYTES => {
            not_allowed("a piece past its bound")
        }
        Request::PutPiece { op, hash, at, piece } => now(recorder.put_piece(op, hash, at, piece)),
        Request::Pieces { op, from } => {
            let recorder = recorder.clone();
            later(async move { recorder.pieces(op, from).await })
        }
        request => asks::serve(guest, request),
    }
}

/// Where that is, if the task's grant has it.
fn granted(guest: &Guest, url: &str) -> Option<Target> {
    let url = Url::parse(url).ok()?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{}{query}", url.path());
    let target = Target::of(url.scheme(), url.authority(), &path).ok()?;
    target.is_granted(&guest.task.grant).then_some(target)
}

fn exchanged(guest: &Arc<Guest>, wire: &ExchangeWire<'_>) -> Served {
    let Some(place) = guest.exchange() else { return not_allowed("more exchanges than it may have") };
    let (outgoing, timeouts) = match outgoing(guest, wire) {
        Ok(exchange) => exchange,
        Err(why) => return not_allowed(why),
    };
    let guest = guest.clone();
    later(async move {
        let _place = place;
        if let Err(failure) = check_way(&guest.recorder, &outgoing.target)? {
            return over(Outcome::Failed(failure));
        }
        match exchange_from_here(&guest.recorder, &guest.connector, outgoing, timeouts).await? {
            Exchanged::Over(Ok(answer)) => over(Outcome::Whole(answer)),
            Exchanged::Over(Err(failure)) => over(Outcome::Failed(failure)),
            Exchanged::Streams(head, flow) => {
                let outcome = encode_outcome(&Outcome::Begun(head)).map_err(RecorderError::Fault)?;
                let stream = guest.keep_stream(*flow).ok_or_else(|| RecorderError::Limit {
                    bound: "MAX_OPEN_STREAMS",
                    message: "more answers stream to the tool than it may have at once".to_owned(),
                })?;
                Ok(ExchangedWire { outcome, stream: Some(stream) })
            }
        }
    })
}

fn over(outcome: Outcome) -> Result<ExchangedWire, RecorderError> {
    let outcome = encode_outcome(&outcome).map_err(RecorderError::Fault)?;
    Ok(ExchangedWire { outcome, stream: None })
}

fn next_of(guest: &Arc<Guest>, stream: u64) -> Served {
    let Some(stream) = guest.stream(stream) else { return not_allowed("a stream that is not open") };
    later(async move {
        let next = stream.lock().await.next().await?;
        Ok(next.map(|next| next.map(|bytes| bytes.to_vec())))
    })
}

fn open_upload(guest: &Arc<Guest>) -> Served {
    let guest = guest.clone();
    later(async move {
        let place = guest.uploads.places().acquire_owned().await;
        let place = place.map_err(|_| RecorderError::Fault("there is no place for a body".to_owned()))?;
        Ok(guest.uploads.open(place))
    })
}

/// Whether more of it is wanted.
fn put_upload(guest: &Arc<Guest>, upload: u64, piece: &[u8]) -> Served {
    let Some(to) = guest.uploads.next(upload, piece.len()) else {
        return not_allowed("a body past its bound");
    };
    let (guest, piece) = (guest.clone(), bytes::Bytes::copy_from_slice(piece));
    later(async move {
        let is_wanted = to.send(Some(piece)).await.is_ok();
        if !is_wanted {
            guest.uploads.end(upload);
        }
        Ok(is_wanted)
    })
}

fn end_upload(guest: &Guest, upload: u64, is_complete: bool) -> Served {
    let Some(to) = guest.uploads.end(upload).filter(|_| is_complete) else { return known(()) };
    later(async move {
        // Nothing may want it any more.
        let _ = to.send(None).await;
        Ok(())
    })
}

/// The request as it may leave.
fn outgoing(guest: &Guest, wire: &ExchangeWire<'_>) -> Result<(Outgoing, Timeouts), &'static str> {
    let target = granted(guest, wire.url).ok_or("a way that is not granted")?;
    let method = Method::from_bytes(wire.method.as_bytes()).map_err(|_| "a method that is none")?;
    if matches!(method, Method::CONNECT | Method::TRACE) {
        return Err("a method that is not offered");
    }
    if wire.body.is_some_and(|body| body.len() > limits::MAX_SENT_BODY_BYTES) {
        return Err("a body past its bound");
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &wire.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header that is none")?;
        headers.append(name, HeaderValue::from_bytes(value).map_err(|_| "a header that is none")?);
    }
    let most = |time: Duration, most_ms| time.min(Duration::from_millis(most_ms));
    let timeouts = Timeouts {
        connect: most(wire.connect, limits::HTTP_CONNECT_MS),
        first_byte: most(wire.first_byte, limits::HTTP_ANSWER_MS),
        between_bytes: most(wire.between_bytes, limits::HTTP_ANSWER_MS),
    };
    let body = match (wire.body, wire.upload) {
        (Some(_), Some(_)) => return Err("two bodies of one request"),
        (Some(body), None) => Some(Sending::Whole(bytes::Bytes::copy_from_slice(body))),
        (None, Some(upload)) => {
            let upload = guest.uploads.take(upload).ok_or("a body that is not open")?;
            Some(Sending::Streams(upload))
        }
        (None, None) => None,
    };
    Ok((Outgoing { method, target, headers, body }, timeouts))
}
