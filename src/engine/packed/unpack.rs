//! From an export to the rows of a scratch store. What it says was checked for its length alone: here it is looked at
//! again, so that no number in it leads astray.

use super::error::PackError;
use super::task::{Exported, PackedCheckpoint, PackedOp, PackedState, PackedTask};
use crate::authority::{Principal, StatePattern};
use crate::engine::commit::Commit;
use crate::engine::error::EngineError;
use crate::engine::handle::TaskEngine;
use crate::engine::journal::checkpoint::CheckpointRow;
use crate::engine::journal::ops::{OpRow, OpState};
use crate::engine::journal::pieces::piece_of;
use crate::engine::journal::records::{Segment, take_record};
use crate::engine::questions::op_key;
use crate::engine::rows;
use crate::limits;
use crate::store::Space;
use crate::task::{ComponentId, QueuedReason, RetryPolicy, State, Status, Task, TaskLimits};

/// The epoch in which it is replayed.
const EPOCH: u32 = 0;

/// Numbers of records, positions and nanoseconds past this are a lie: so many nanoseconds are 18 years, and no task has
/// as many of anything else.
const MAX_NUMBER: u64 = 1 << 59;

/// A journal that was looked at, in pieces that a batch takes.
pub(super) struct Checked {
    pub segments: Vec<Piece>,
    pub records: u64,
}

pub(super) struct Piece {
    first: u64,
    count: u64,
    from: usize,
    to: usize,
}

/// What a task is replayed with that no export holds.
pub(super) struct AsTask {
    pub component: ComponentId,
    /// Shared state that its owner may touch.
    pub owner_state: Vec<StatePattern>,
    pub created_at: u64,
}

/// Looks at all numbers, and cuts the journal.
pub(super) fn check(exported: &Exported) -> Result<Checked, PackError> {
    let task = &exported.task;
    let base = exported.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.records);
    let of_checkpoint = exported.checkpoint.iter().flat_map(|saved| {
        [saved.log_position, saved.reports, saved.logical, saved.records, saved.awake_nanos]
    });
    let of_ops = exported.ops.iter().flat_map(|op| {
        let (number, place) = piece_of(op.number).unwrap_or((op.number, 0));
        [number, place, op.at]
    });
    let of_questions = task.asked_by.iter().flat_map(|(op, number)| [*op, *number]);
    let log_end = task.log_end.map_or(0, |(end, _)| end);
    let numbers = of_checkpoint.chain(of_ops).chain(of_questions).chain([task.asked, task.reports, log_end]);
    let times = [task.awake_nanos, task.logical_nanos];
    if numbers.chain(times).any(|number| number > MAX_NUMBER) {
        return Err(PackError::damaged("the task", "a number in it is larger than any is"));
    }
    let mut checked = Checked { segments: Vec::new(), records: 0 };
    let (mut rest, mut piece) = (&exported.records[..], Piece { first: base, count: 0, from: 0, to: 0 });
    while !rest.is_empty() {
        take_record(&mut rest)
            .ok_or_else(|| PackError::damaged("the journal", "it holds what is no record"))?;
        piece.count += 1;
        piece.to = exported.records.len() - rest.len();
        if piece.to - piece.from >= limits::MAX_PENDING_JOURNAL_BYTES || rest.is_empty() {
            let next = Piece { first: piece.first + piece.count, count: 0, from: piece.to, to: piece.to };
            checked.records += piece.count;
            checked.segments.push(std::mem::replace(&mut piece, next));
        }
    }
    Ok(checked)
}

/// Whether the component is the one that the task had.
pub(super) fn check_component(exported: &Exported) -> Result<(), PackError> {
    let component = ComponentId::of_bytes(&exported.component);
    match component.as_str() == exported.head.component {
        true => Ok(()),
        false => Err(PackError::damaged("the component", format!("its digest is {component}"))),
    }
}

/// The bounds of the task, and none that this machine does not have.
fn bounded(limits_of_task: &TaskLimits) -> TaskLimits {
    let given = limits_of_task.clone();
    TaskLimits {
        memory_mib: given.memory_mib.min(limits::MAX_MEMORY_MIB),
        run_seconds: given.run_seconds.min(limits::MAX_REPLAY_SECONDS),
        // Its time is what its journal says.
        total_seconds: 2 * limits::MAX_TOTAL_SECONDS,
        journal_mib: limits::MAX_PACKED_RECORDS_BYTES >> 19,
        result_kib: given.result_kib.min(limits::MAX_RESULT_KIB),
        ..given
    }
}

/// The task as it is replayed: on its own, of the local owner, with no retry.
fn task(exported: &Exported, as_task: AsTask) -> Task {
    let (packed, tool) = (&exported.task, &exported.head.tool);
    let AsTask { component, owner_state, created_at } = as_task;
    Task {
        id: packed.id,
        tool: tool.to_owned(),
        component,
        binding: packed.binding.clone(),
        principal: Principal::local().name().to_owned(),
        owner_state,
        arguments: packed.arguments.clone(),
        idempotency_key: None,
        created_at,
        limits: bounded(&packed.limits),
        grant: packed.grant.clone(),
        retry: RetryPolicy::default(),
        effects: packed.effects.clone(),
        parent: None,
        root: packed.id,
        trace: None,
        scope: Vec::new(),
        called: None,
        environment: exported.environment.clone(),
    }
}

fn status(packed: &PackedTask, created_at: u64) -> Status {
    let mut status = Status::new(created_at, packed.seed);
    status.state = State::Queued(QueuedReason::Interrupted);
    status.epoch = EPOCH;
    status.reports = packed.reports;
    (status.questions.asked, status.questions.keys) = (packed.asked, packed.keys.clone());
    status
}

impl TaskEngine {
    /// Puts the task into this store, which has none, as it would be after an interruption.
    pub(super) async fn unpack(
        &self,
        exported: &Exported,
        checked: &Checked,
        as_task: AsTask,
    ) -> Result<(), EngineError> {
        let created_at = as_task.created_at;
        let packed = &exported.task;
        let id = packed.id;
        // A few at once share a sync.
        for ops in exported.ops.chunks(limits::MAX_UNPACKED_AT_ONCE) {
            let mut acks = Vec::with_capacity(ops.len());
            for op in ops {
                let mut commit = Commit::new();
                let row = op_row(&mut commit, packed, op);
                commit.add_put(Space::Op, rows::journal_key(id, EPOCH, op.number), rows::encode(&row)?);
                acks.push(self.shared.commit(commit)?);
            }
            for ack in acks {
                ack.await?;
            }
        }
        for piece in &checked.segments {
            let head = Segment::head(piece.count, packed.awake_nanos, packed.logical_nanos);
            let mut commit = Commit::new();
            let records = &exported.records[piece.from..piece.to];
            let key = rows::journal_key(id, EPOCH, piece.first);
            commit.add_put_in_parts(Space::Journal, key, &[&head, records]);
            self.shared.commit(commit)?.await?;
        }
        let mut commit = Commit::new();
        if let Some(saved) = &exported.checkpoint {
            let row = checkpoint_row(&mut commit, packed, saved);
            commit.add_put(Space::Checkpoint, id.as_bytes().as_slice(), rows::encode(&row)?);
        }
        for (op, number) in &packed.asked_by {
            commit.add_put(Space::Question, op_key(id, EPOCH, *op), number.to_be_bytes());
        }
        if let Some((end, hash)) = packed.log_end {
            commit.add_put(Space::Log, rows::log_key(id, end), hash);
        }
        rows::put_task(&mut commit, &task(exported, as_task))?;
        commit.add_put(
            Space::Status,
            id.as_bytes().as_slice(),
            rows::encode_status(&status(packed, created_at))?,
        );
        commit.add_put(Space::Open, id.as_bytes().as_slice(), []);
        self.shared.commit(commit)?.await?;
        Ok(())
    }
}

fn op_row(commit: &mut Commit, packed: &PackedTask, op: &PackedOp) -> OpRow {
    let state = match &op.state {
        PackedState::Intent => OpState::Intent,
        PackedState::Done(outcome) => OpState::Done(rows::put_payload(commit, packed.id, outcome)),
        PackedState::Abandoned => OpState::Abandoned,
        PackedState::Resend => OpState::Resend,
    };
    OpRow { at: op.at, hash: op.hash, sends: op.sends, state }
}

fn checkpoint_row(commit: &mut Commit, packed: &PackedTask, saved: &PackedCheckpoint) -> CheckpointRow {
    CheckpointRow {
        state: rows::put_payload(commit, packed.id, &saved.state),
        log_position: saved.log_position,
        reports: saved.reports,
        logical: saved.logical,
        records: saved.records,
        awake_nanos: saved.awake_nanos,
        outputs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::exported;
    use super::*;

    #[test]
    fn what_is_no_journal_is_refused() {
        let whole = exported();
        assert_eq!(check(&whole).expect("two records").records, 2);
        for records in [vec![7], vec![0, 1], vec![9, 0, 0, 0, 0, 0, 0, 0, 0, 200, 1, 1]] {
            assert!(check(&Exported { records, ..whole.clone() }).is_err());
        }
    }

    #[test]
    fn numbers_that_nothing_counts_to_are_refused() {
        let damaged = |change: &dyn Fn(&mut Exported)| {
            let mut whole = exported();
            change(&mut whole);
            assert!(check(&whole).is_err());
        };
        damaged(&|whole| whole.ops[0].number = MAX_NUMBER + 1);
        damaged(&|whole| whole.task.asked = u64::MAX);
        damaged(&|whole| whole.task.log_end = Some((u64::MAX, [0; 8])));
        damaged(&|whole| whole.task.awake_nanos = u64::MAX);
        damaged(&|whole| {
            let records = u64::MAX - 1;
            whole.checkpoint = Some(PackedCheckpoint {
                state: Vec::new(),
                log_position: 0,
                reports: 0,
                logical: 0,
                records,
                awake_nanos: 0,
            });
        });
    }
}
