//! The row of where a task stands. Money and models that are asked stand in parts of their own, which a task that has
//! none does not have.

use serde::{Deserialize, Serialize};

use crate::store::{Space, StoreError, codec};
use crate::task::{AskedModel, Status, TaskId};

/// Version of the row of any other task.
const PLAIN_ROW_VERSION: u8 = 1;
/// Version of the row of a task that has spent money, or holds some back.
const SPENDING_ROW_VERSION: u8 = 2;
/// Version of the row of a task that asks a model.
const ASKING_ROW_VERSION: u8 = 3;

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

#[derive(Serialize)]
struct AskingRow<'a> {
    spending: SpendingRow<'a>,
    /// Of the open questions, in their order.
    models: Vec<&'a Option<AskedModel>>,
}

#[derive(Deserialize)]
struct ReadAskingRow {
    spending: ReadSpendingRow,
    models: Vec<Option<AskedModel>>,
}

pub fn encode_status(status: &Status) -> Result<Vec<u8>, StoreError> {
    let model_cost = status.questions.model_cost;
    let reserved: Vec<u64> = status.questions.open.iter().map(|open| open.reserved_cost).collect();
    let models: Vec<&Option<AskedModel>> = status.questions.open.iter().map(|open| &open.model).collect();
    let costs_nothing = model_cost == 0 && reserved.iter().all(|cost| *cost == 0);
    let spending = SpendingRow { status, model_cost, reserved };
    if models.iter().any(|model| model.is_some()) {
        return codec::encode(ASKING_ROW_VERSION, &AskingRow { spending, models });
    }
    if costs_nothing {
        return codec::encode(PLAIN_ROW_VERSION, status);
    }
    codec::encode(SPENDING_ROW_VERSION, &spending)
}

pub fn decode_status(task: TaskId, row: &[u8]) -> Result<Status, StoreError> {
    let (space, key) = (Space::Status, task.as_bytes());
    let (spending, models) = match codec::version(space, key, row)? {
        PLAIN_ROW_VERSION => return codec::decode(PLAIN_ROW_VERSION, space, key, row),
        ASKING_ROW_VERSION => {
            let ReadAskingRow { spending, models } = codec::decode(ASKING_ROW_VERSION, space, key, row)?;
            (spending, models)
        }
        _ => (codec::decode(SPENDING_ROW_VERSION, space, key, row)?, Vec::new()),
    };
    let ReadSpendingRow { mut status, model_cost, reserved } = spending;
    status.questions.model_cost = model_cost;
    for (open, cost) in status.questions.open.iter_mut().zip(reserved) {
        open.reserved_cost = cost;
    }
    for (open, model) in status.questions.open.iter_mut().zip(models) {
        open.model = model;
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
            model: None,
        };
        status.questions.open = vec![open(1, 0), open(2, 9)];
        for model_cost in [0, 4] {
            status.questions.model_cost = model_cost;
            let row = encode_status(&status).expect("a row");
            assert_eq!(decode_status(id, &row).expect("a status"), status);
        }
        assert!(!status.questions.open[0].is_unsent(), "as it was written before, it may have left");
        for is_unsent in [true, false] {
            status.questions.open[1].model = Some(AskedModel { name: "fast".to_owned(), is_unsent });
            let row = encode_status(&status).expect("a row");
            assert_eq!(decode_status(id, &row).expect("a status"), status);
        }
    }
}
