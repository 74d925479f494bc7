use wasmtime::Result;

use super::bindings::longhaul::tool::roots::{self, Error, Root};
use super::refusal::unavailable;
use crate::sandbox::world::World;

impl roots::Host for World {
    fn ask(&mut self) -> Result<Result<u64, Error>> {
        Ok(Err(unavailable("roots")))
    }

    fn take(&mut self, _ticket: u64) -> Result<Result<Vec<Root>, Error>> {
        Ok(Err(unavailable("roots")))
    }
}
