//! Its operations.

use super::port::{Recorded, TaskHost};
use crate::authority::HttpPattern;
use crate::engine::{InLog, Op, OpHandle, PlaceOfPiece, StepKind};
use crate::sandbox::wire::{OpWire, Request};

impl TaskHost {
    pub fn begin_op(&self) -> Recorded<OpHandle> {
        match self {
            Self::Here(recorder) => recorder.begin_op(),
            Self::There(remote) => remote.ask(Request::BeginOp),
        }
    }

    pub fn op(&self, op: OpHandle) -> Recorded<Option<Op>> {
        match self {
            Self::Here(recorder) => recorder.op(op),
            Self::There(remote) => {
                remote.ask::<Option<OpWire>>(Request::Op { op }).map(|known| known.map(Op::from))
            }
        }
    }

    pub fn op_met(&self, op: OpHandle) {
        match self {
            Self::Here(recorder) => recorder.op_met(op),
            Self::There(remote) => remote.look(Request::OpMet { op }),
        }
    }

    pub fn op_key(&self, op: OpHandle, hash: u64) -> String {
        match self {
            Self::Here(recorder) => recorder.op_key(op, hash),
            Self::There(remote) => remote.look(Request::OpKey { op, hash }),
        }
    }

    pub fn op_intent(&self, op: OpHandle, hash: u64, sends: u32) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.op_intent(op, hash, sends),
            Self::There(remote) => remote.ask(Request::OpIntent { op, hash, sends }),
        }
    }

    pub fn op_done(&self, op: OpHandle, hash: u64, outcome: Vec<u8>) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.op_done(op, hash, outcome),
            Self::There(remote) => remote.ask(Request::OpDone { op, hash, outcome: &outcome }),
        }
    }

    pub fn put_piece(&self, op: OpHandle, hash: u64, at: PlaceOfPiece, piece: &[u8]) -> Recorded<bool> {
        match self {
            Self::Here(recorder) => recorder.put_piece(op, hash, at, piece),
            Self::There(remote) => remote.ask(Request::PutPiece { op, hash, at, piece }),
        }
    }

    pub async fn pieces(&self, op: OpHandle, from: PlaceOfPiece) -> Recorded<Vec<Vec<u8>>> {
        match self {
            Self::Here(recorder) => recorder.pieces(op, from).await,
            Self::There(remote) => remote.call(Request::Pieces { op, from }).await,
        }
    }

    pub fn op_abandoned(&self, op: OpHandle, hash: u64) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.op_abandoned(op, hash),
            Self::There(remote) => remote.ask(Request::OpAbandoned { op, hash }),
        }
    }

    pub fn trace_begun(&self, op: OpHandle, step: StepKind, label: &str) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.trace_begun(op, step, label),
            Self::There(remote) => remote.ask(Request::TraceBegun { op, step, label }),
        }
    }

    pub fn trace_left(&self, op: OpHandle) {
        match self {
            Self::Here(recorder) => recorder.trace_left(op),
            Self::There(remote) => remote.look(Request::TraceLeft { op }),
        }
    }

    pub fn refused_by_grant(
        &self,
        wanted: &HttpPattern,
        granted: Option<&HttpPattern>,
        in_log: InLog,
    ) -> Recorded<()> {
        match self {
            Self::Here(recorder) => recorder.refused_by_grant(wanted, granted, in_log),
            Self::There(remote) => remote.ask(Request::RefusedByGrant {
                wanted: wanted.clone(),
                granted: granted.cloned(),
                in_log,
            }),
        }
    }
}
