//! A component that can be instantiated, with what is looked up in it once and not by each attempt.

use wasmtime::component::InstancePre;

use super::host::bindings::ToolIndices;
use super::instance;

const CANCELLATION_INTERFACE: &str = "longhaul:tool/cancellation";

pub(super) struct Prepared<T: 'static> {
    pub pre: InstancePre<T>,
    /// Its guests hear of a cancellation.
    pub handles_cancellation: bool,
    /// Where its exports are, if it is of the world `longhaul:tool`.
    pub tool: Option<ToolIndices>,
}

impl<T: 'static> Prepared<T> {
    pub fn new(pre: InstancePre<T>) -> Self {
        let handles_cancellation = instance::imports(pre.component(), pre.engine(), CANCELLATION_INTERFACE);
        // What is not of that world says so where one of its tools is called.
        let tool = ToolIndices::new(&pre).ok();
        Self { pre, handles_cancellation, tool }
    }
}
