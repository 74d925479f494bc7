//! Pieces of an operation whose outcome comes bit by bit: each a row of its own behind the outcome's, written when it comes and
//! read when it is wanted. None is held in memory, and all count as the journal does.

use std::ops::{Bound, ControlFlow};

use serde::{Deserialize, Serialize};

use super::error::RecorderError;
use super::ops::OpHandle;
use super::recorder::Recorder;
use crate::engine::journal::ops::{OpRow, OpState};
use crate::engine::journal::pieces::{LAST_PLACE, number_of, piece_of};
use crate::engine::rows;
use crate::engine::rows::Payload;
use crate::limits;
use crate::store::{Snapshot, Space, StoreError};
use crate::task::TaskId;

/// Where a piece stands: in which epoch, behind which others of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOfPiece {
    pub epoch: u32,
    pub place: u64,
}

impl Recorder {
    /// Writes the next piece of an operation that is done. With the next [`Recorder::barrier`] it is on disk: then the guest
    /// may see it. False where the epoch is over, and with it the operation.
    pub fn put_piece(
        &self,
        op: OpHandle,
        hash: u64,
        PlaceOfPiece { epoch, place }: PlaceOfPiece,
        piece: &[u8],
    ) -> Result<bool, RecorderError> {
        if piece.len() > limits::MAX_INLINE_PAYLOAD_BYTES {
            return Err(RecorderError::Fault(format!("a piece of {} bytes is too long", piece.len())));
        }
        let number = number_of(op.number, place).ok_or_else(|| RecorderError::Limit {
            bound: "MAX_PIECES",
            message: format!("operation {} came in more pieces than there are numbers for", op.number),
        })?;
        let state = OpState::Done(Payload::Inline(piece.to_vec()));
        let row = rows::encode(&OpRow { at: op.at(), hash, sends: 0, state }).map_err(fault)?;
        let is_written = self.with(|status, live| {
            if status.epoch() != epoch {
                return Ok(false);
            }
            live.ops.add_piece(row.len() as u64);
            live.writes.push((Space::Op, rows::journal_key(self.task_id(), epoch, number).to_vec(), row));
            Ok(true)
        })?;
        if is_written {
            self.mark_dirty();
            self.with(|_, live| self.check_journal(live))?;
        }
        Ok(is_written)
    }

    /// The pieces that are on disk from this place on, a few at a time; none where there are no more.
    pub async fn pieces(&self, op: OpHandle, from: PlaceOfPiece) -> Result<Vec<Vec<u8>>, RecorderError> {
        let task = self.task_id();
        self.with(|_, _| Ok(()))?;
        let read = move |snapshot: &Snapshot<'_>| read_pieces(snapshot, task, op.number, from);
        self.shared().store.read(read).await.map_err(fault)
    }
}

fn read_pieces(
    snapshot: &Snapshot<'_>,
    task: TaskId,
    operation: u64,
    PlaceOfPiece { epoch, place }: PlaceOfPiece,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let (Some(first), Some(last)) = (number_of(operation, place), number_of(operation, LAST_PLACE)) else {
        return Ok(Vec::new());
    };
    let (first, last) = (rows::journal_key(task, epoch, first), rows::journal_key(task, epoch, last));
    let (mut pieces, mut bytes, mut fault) = (Vec::new(), 0, None);
    let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    snapshot.scan(Space::Op, range, false, |key, row| {
        let expected = place + pieces.len() as u64;
        match piece_in(key, row, expected) {
            Ok(piece) => {
                bytes += piece.len();
                pieces.push(piece);
            }
            Err(error) => fault = Some(error),
        }
        let is_enough = bytes >= limits::MAX_PIECES_READ_BYTES || pieces.len() >= limits::MAX_PIECES_READ;
        if fault.is_none() && !is_enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    fault.map_or(Ok(pieces), Err)
}

fn piece_in(key: &[u8], row: &[u8], expected: u64) -> Result<Vec<u8>, StoreError> {
    let damaged = |why| StoreError::damaged_row(Space::Op, key, why);
    let place = rows::trailing_number(key).and_then(piece_of).map(|(_, place)| place);
    if place != Some(expected) {
        return Err(damaged("the piece before it is not there"));
    }
    match rows::decode::<OpRow>(Space::Op, key, row)?.state {
        OpState::Done(Payload::Inline(piece)) => Ok(piece),
        _ => Err(damaged("it is no piece")),
    }
}

fn fault(error: StoreError) -> RecorderError {
    RecorderError::Fault(error.to_string())
}
