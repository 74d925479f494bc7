//! One call of a guest in a worker, against its task. What the host of a guest in this process checks before it comes to
//! the recorder is checked here once more: the worker's word counts for nothing.

pub mod answer;
mod asks;
mod out;

use std::sync::Arc;

use self::answer::{Served, known, later, not_allowed, now};
use super::guest::Guest;
use super::waits::may_wait_for;
use crate::engine::OutputOp;
use crate::limits;
use crate::sandbox::wire::protocol::{OutputWire, Request};
use crate::sandbox::world::journal::Kind;

pub fn serve(guest: &Arc<Guest>, request: Request<'_>) -> Served {
    let recorder = guest.recorder.clone();
    match request {
        Request::Seed => known(recorder.seed()),
        Request::CreatedAt => known(recorder.created_at()),
        Request::Now => now(recorder.now()),
        Request::RawNow => known(recorder.raw_now()),
        Request::IsReplaying => known(recorder.is_replaying()),
        Request::NextStep { call, .. } if !Kind::is_known(call.0) => not_allowed("a record of another kind"),
        Request::NextStep { step, call, what } => now(recorder.next_step(step, call, what)),
        Request::Record { kind, .. } if !Kind::is_known(kind) => not_allowed("a record of another kind"),
        Request::Record { kind, hash, payload } => now(recorder.record(kind, hash, payload)),
        Request::ExpectLive { what } => now(recorder.expect_live(what)),
        Request::Finish => now(recorder.finish()),
        Request::ReplaysAlone => known(recorder.replays_alone()),
        Request::EndOfReplay => now(recorder.end_of_replay()),
        Request::Epoch => now(recorder.epoch()),
        Request::Barrier => later(async move { recorder.barrier().await }),
        Request::FlushIfFull => later(async move { recorder.flush_if_full().await }),
        Request::Restored => known(recorder.restored().map(|state| state.to_vec())),
        Request::Checkpoint { state } if state.len() > limits::MAX_CHECKPOINT_BYTES => {
            not_allowed("a checkpoint past its bound")
        }
        Request::Checkpoint { state } => {
            let state = state.to_vec();
            later(async move { recorder.checkpoint(state).await })
        }
        request => reported(guest, request),
    }
}

fn reported(guest: &Arc<Guest>, request: Request<'_>) -> Served {
    let recorder = guest.recorder.clone();
    match request {
        Request::Log { bytes } => now(recorder.log(bytes)),
        Request::Line { level, text } => now(recorder.line(level, text)),
        Request::Progress { done, total, message } => now(recorder.progress(done, total, message)),
        Request::Status { message } => now(recorder.status(message)),
        Request::Output { op } => output(guest, op),
        Request::Spent { awake } => now(recorder.spent(awake)),
        Request::WasRefused { line } => {
            recorder.was_refused(&line.chars().take(limits::MAX_SHOWN_HOST_BYTES).collect::<String>());
            known(())
        }
        Request::LooksForFolders => {
            recorder.looks_for_folders();
            known(())
        }
        Request::TookMemory { bytes } => {
            recorder.took_memory(bytes);
            known(())
        }
        Request::GrowMemory { bytes } => known(guest.memory.grow_to(bytes)),
        request => waited(guest, request),
    }
}

fn output(guest: &Arc<Guest>, wire: OutputWire<'_>) -> Served {
    let recorder = guest.recorder.clone();
    let OutputWire { step, name, mime_type, data } = wire;
    let (name, mime_type, data) = (name.to_owned(), mime_type.to_owned(), data.to_vec());
    later(async move {
        let wire = OutputWire { step, name: &name, mime_type: &mime_type, data: &data };
        recorder.output(OutputOp::from(wire)).await
    })
}

fn waited(guest: &Arc<Guest>, request: Request<'_>) -> Served {
    let (recorder, grant) = (guest.recorder.clone(), &guest.task.grant);
    match request {
        Request::HandlesCancellation => {
            recorder.handles_cancellation();
            known(())
        }
        Request::CancelRequested => known(recorder.cancel_requested()),
        Request::Cancelled => later(async move {
            recorder.cancelled().await;
            Ok(())
        }),
        Request::SleepUntil { deadline } => later(async move {
            recorder.sleep_until(deadline).await;
            Ok(())
        }),
        Request::BeginWait => now(recorder.begin_wait()),
        Request::Idles { suspension } => {
            recorder.idles(suspension.as_ref());
            known(())
        }
        Request::WaitToLeave => Served::Waits(recorder.wait_to_leave()),
        Request::WaitsFor { on } if !on.iter().all(|on| may_wait_for(grant, on)) => {
            not_allowed("a wait for what it may not see")
        }
        Request::WaitsFor { on } => {
            recorder.waits_for(&on);
            known(())
        }
        Request::IsMet { on } | Request::ExtendedDeadline { on } if !may_wait_for(grant, &on) => {
            not_allowed("a look at what it may not see")
        }
        Request::IsMet { on } => later(async move { recorder.is_met(&on).await }),
        Request::ExtendedDeadline { on } => known(recorder.extended_deadline(&on)),
        request => out::serve(guest, request),
    }
}
