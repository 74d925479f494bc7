use wasmtime::Result;

use super::bindings::longhaul::tool::outputs::{self, Error};
use crate::engine::{OutputError, OutputOp};
use crate::sandbox::stop::Stop;
use crate::sandbox::world::World;
use crate::sandbox::world::journal::Journal;

impl outputs::Host for World {
    async fn write(&mut self, name: String, mime_type: String, data: Vec<u8>) -> Result<Result<(), Error>> {
        perform(&self.journal, OutputOp::Write { name: &name, mime_type: &mime_type, data: &data }).await
    }

    async fn open(&mut self, name: String, mime_type: String) -> Result<Result<(), Error>> {
        perform(&self.journal, OutputOp::Open { name: &name, mime_type: &mime_type }).await
    }

    async fn append(&mut self, name: String, data: Vec<u8>) -> Result<Result<(), Error>> {
        perform(&self.journal, OutputOp::Append { name: &name, data: &data }).await
    }

    async fn close(&mut self, name: String) -> Result<Result<(), Error>> {
        perform(&self.journal, OutputOp::Close { name: &name }).await
    }
}

pub(super) async fn perform(journal: &Journal, op: OutputOp<'_>) -> Result<Result<(), Error>> {
    let answer = journal.task("outputs")?.output(op).await.map_err(Stop::from)?;
    Ok(answer.map_err(|error| match error {
        OutputError::Invalid(text) => Error::Invalid(text),
        OutputError::Limit(text) => Error::Limit(text),
        OutputError::NotFound(text) => Error::NotFound(text),
    }))
}
