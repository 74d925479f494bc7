use wasmtime::Result;

use super::bindings::longhaul::tool::elicitation::{self, Answer, Error, Question};
use super::refusal::refuse;
use crate::authority::Capability;
use crate::sandbox::world::World;

const LINE: &str = "elicit = true";

impl elicitation::Host for World {
    fn ask(&mut self, _question: Question) -> Result<Result<u64, Error>> {
        Ok(Err(refuse(self, Capability::Elicit, LINE)))
    }

    fn take(&mut self, _ticket: u64) -> Result<Result<Answer, Error>> {
        Ok(Err(refuse(self, Capability::Elicit, LINE)))
    }
}
