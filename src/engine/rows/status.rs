//! The row of where a task stands. Money stands in a part of its own, which a task that spent none does not have.

use serde::{Deserialize, Serialize};

use crate::store::{Space, StoreError, codec};
use crate::task::{Status, TaskId};

/// Version of the row of any other task.
const PLAIN_ROW_VERSION: u8 = 1;
/// Version of the row of a task that has spent money, or holds some back.
const SPENDING_ROW_VERSION: u8 = 2;

#[derive(Serialize)]
struct SpendingRow<'a> {
    status: &'a Status,
    model_cost: u64,
    /// Of the open questions, in their order.
    reserved: Vec<u64>,
}

#[derive(Deserialize)]
struct ReadSpendingRow {
    status: Status,
    model_cost: u64,
    reserved: Vec<u64>,
}

pub fn encode_status(status: &Status) -> Result<Vec<u8>, StoreError> {
    let model_cost = status.questions.model_cost;
    let reserved: Vec<u64> = status.questions.open.iter().map(|open| open.reserved_cost).collect();
    if model_cost == 0 && reserved.iter().all(|cost| *cost == 0) {
        return codec::encode(PLAIN_ROW_VERSION, status);
    }
    codec::encode(SPENDING_ROW_VERSION, &SpendingRow { status, model_cost, reserved })
}

pub fn decode_status(task: TaskId, row: &[u8]) -> Result<Status, StoreError> {
    let (space, key) = (Space::Status, task.as_bytes());
    if codec::version(space, key, row)? == PLAIN_ROW_VERSION {
        return codec::decode(PLAIN_ROW_VERSION, space, key, row);
    }
    let ReadSpendingRow { mut status, model_cost, reserved } =
        codec::decode(SPENDING_ROW_VERSION, space, key, row)?;
    status.questions.model_cost = model_cost;
    for (open, cost) in status.questions.open.iter_mut().zip(reserved) {
        open.reserved_cost = cost;
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{OpenQuestion, QuestionKind};

    #[test]
    fn money_is_kept_and_a_status_without_any_is_as_it_was() {
        let id = TaskId::from_bytes([7; 16]);
        let mut status = Status::new(5, [1; 32]);
        let plain = encode_status(&status).expect("a row");
        assert_eq!(plain, codec::encode(PLAIN_ROW_VERSION, &status).expect("a row"));
        assert_eq!(decode_status(id, &plain).expect("a status"), status);
        let key = "model:1".to_owned();
        let open = |number, reserved_cost| OpenQuestion {
            number,
            key: key.clone(),
            kind: QuestionKind::Model,
            reserved_tokens: 3,
            reserved_cost,
        };
        status.questions.open = vec![open(1, 0), open(2, 9)];
        for model_cost in [0, 4] {
            status.questions.model_cost = model_cost;
            let row = encode_status(&status).expect("a row");
            assert_eq!(decode_status(id, &row).expect("a status"), status);
        }
    }
}
