use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::exports::longhaul::tool::tools as wit;
pub use crate::bindings::exports::longhaul::tool::tools::{Annotations, Reply};
use crate::result::{Failure, ToolResult};

/// One tool: what a client sees of it, and the function that does the work.
pub struct Tool {
    definition: wit::Definition,
    run: Box<dyn Fn(&str) -> ToolResult>,
}

impl Tool {
    /// `input` is the JSON Schema of the arguments, an object. The host has checked them against it before the
    /// function is called; what does not fit `A` all the same is answered with a protocol error.
    pub fn new<A: DeserializeOwned>(
        name: &str,
        description: &str,
        input: Value,
        run: impl Fn(A) -> ToolResult + 'static,
    ) -> Self {
        Self {
            definition: wit::Definition {
                name: name.to_owned(),
                title: None,
                description: description.to_owned(),
                input_schema: input.to_string(),
                output_schema: None,
                annotations: None,
                reply: None,
                inline_wait_seconds: None,
            },
            run: Box::new(move |arguments| {
                let arguments = serde_json::from_str(arguments).map_err(|e| {
                    Failure::protocol(INVALID_PARAMS, format!("the arguments do not fit: {e}"))
                })?;
                run(arguments)
            }),
        }
    }

    pub fn title(mut self, title: &str) -> Self {
        self.definition.title = Some(title.to_owned());
        self
    }

    /// The JSON Schema of the structured result; every result must then have one that fits.
    pub fn output(mut self, schema: Value) -> Self {
        self.definition.output_schema = Some(schema.to_string());
        self
    }

    /// Sets hints for clients: `.annotate(|hints| hints.read_only = Some(true))`. What is not set says nothing.
    pub fn annotate(mut self, set: impl FnOnce(&mut Annotations)) -> Self {
        let nothing = Annotations { read_only: None, destructive: None, idempotent: None, open_world: None };
        set(self.definition.annotations.get_or_insert(nothing));
        self
    }

    /// A call is answered at once with a link to its task. This is the default.
    pub fn link(mut self) -> Self {
        self.definition.reply = Some(Reply::Link);
        self
    }

    /// A call is answered with the result, if that comes within `wait_seconds`; 0 is without end.
    pub fn inline(mut self, wait_seconds: u32) -> Self {
        self.definition.reply = Some(Reply::Inline);
        self.definition.inline_wait_seconds = Some(wait_seconds);
        self
    }

    /// As [`Tool::link`], for clients that speak the tasks extension only: any other is refused.
    pub fn task(mut self) -> Self {
        self.definition.reply = Some(Reply::Task);
        self
    }
}

/// JSON-RPC's "invalid params".
const INVALID_PARAMS: i32 = -32602;

pub fn definitions(tools: &[Tool]) -> Vec<wit::Definition> {
    tools.iter().map(|tool| tool.definition.clone()).collect()
}

pub fn call(tools: &[Tool], name: &str, arguments: &str) -> Result<wit::Output, wit::Failure> {
    let Some(tool) = tools.iter().find(|tool| tool.definition.name == name) else {
        return Err(Failure::protocol(INVALID_PARAMS, format!("this component has no tool `{name}`")).into());
    };
    (tool.run)(arguments).map(Into::into).map_err(Into::into)
}
