use wasmtime::Result;

use super::bindings::longhaul::tool::calls::{self, CallError, Child, Definition, Error, Output, Request};
use super::bindings::longhaul::tool::tools;
use super::refusal::refuse;
use crate::authority::Capability;
use crate::sandbox::world::World;

const NOT_OFFERED: &str = "longhaul:tool/tools is to be exported, not imported: use longhaul:tool/calls";

/// `calls` shares types with the interface that components export; the functions beside them are the
/// exporter's own, and nobody's to import.
impl tools::Host for World {
    fn definitions(&mut self) -> Result<Vec<Definition>> {
        Err(wasmtime::Error::msg(NOT_OFFERED))
    }

    fn call(&mut self, _name: String, _arguments: String) -> Result<Result<Output, tools::Failure>> {
        Err(wasmtime::Error::msg(NOT_OFFERED))
    }
}

impl calls::Host for World {
    fn granted(&mut self) -> Result<Result<Vec<Definition>, Error>> {
        Ok(Err(self.refuse_call("TOOL")))
    }

    fn start(&mut self, requests: Vec<Request>) -> Result<Result<Vec<Child>, Error>> {
        Ok(Err(self.refuse_call(requests.first().map_or("TOOL", |request| &request.tool))))
    }

    fn take(&mut self, _ticket: u64) -> Result<Result<Output, CallError>> {
        Ok(Err(CallError::Refused(self.refuse_call("TOOL"))))
    }
}

impl World {
    fn refuse_call(&self, name: &str) -> Error {
        refuse(self, Capability::CallTool { name }, &format!("tools = [{name:?}]"))
    }
}
