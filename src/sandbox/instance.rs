//! One instance from its beginning to its end.

use wasmtime::component::{Component, Instance, InstancePre, Val};
use wasmtime::{AsContextMut, Engine, Result, Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::binding::Binding;
use super::host::bindings::exports::longhaul::tool::tools;
use super::host::bindings::{Tool, ToolIndices, longhaul};
use super::inspect::SelfDescribed;
use super::stop::Stop;
use super::values;
use super::world::World;
use super::world::stdio::Capture;
use crate::catalog::{Annotations, Reply};
use crate::limits;
use crate::task::{Content, EmbeddedBody, ProtocolError, ToolResult};

/// What a call handed back.
#[derive(Debug)]
pub(super) enum Returned {
    Result(ToolResult),
    Protocol(ProtocolError),
}

/// A store that gives way after each tick and ends what has used up its time.
pub(super) fn store(engine: &Engine, world: World) -> Store<World> {
    let mut store = Store::new(engine, world);
    store.limiter(|world| &mut world.limiter);
    store.set_hostcall_fuel(limits::MAX_HOSTCALL_BYTES);
    store.set_max_component_handles(limits::MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| {
        let world = context.data();
        world.journal.spent(world.meter.take(), world.meter.total())?;
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

/// Whose tool is called.
#[derive(Clone, Copy)]
pub(super) struct Callee<'a> {
    pub instance: &'a Instance,
    /// Where the exports of its component are, if it is of the world `longhaul:tool`.
    pub tool: Option<&'a ToolIndices>,
}

/// Calls the tool. `capture` is what the store's world prints to.
pub(super) async fn call(
    store: &mut Store<World>,
    callee: Callee<'_>,
    binding: &Binding,
    arguments: &str,
    capture: &Capture,
) -> Result<Returned> {
    let instance = callee.instance;
    match binding {
        Binding::Tool { name } => call_tool(store, callee, name, arguments).await,
        Binding::Export { interface, function } => {
            let export = (interface.as_deref(), function.as_str());
            call_export(store, instance, export, arguments, capture.bound_bytes()).await
        }
        Binding::Command { interface } => call_command(store, instance, interface, capture).await,
    }
}

/// The tools that a component of the world `longhaul:tool` says it has.
pub(super) async fn describe(
    store: &mut Store<World>,
    pre: &InstancePre<World>,
) -> Result<Vec<SelfDescribed>> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let tool = Tool::new(&mut *store, &instance)?;
    let definitions = tool.longhaul_tool_tools().call_definitions(store).await?;
    Ok(definitions.into_iter().map(describe_tool).collect())
}

/// Whether the component imports this interface of ours, in whatever version.
pub(super) fn imports(component: &Component, engine: &Engine, interface: &str) -> bool {
    component.component_type().imports(engine).any(|(name, _)| name.split('@').next() == Some(interface))
}

async fn call_tool(
    store: &mut Store<World>,
    Callee { instance, tool }: Callee<'_>,
    name: &str,
    arguments: &str,
) -> Result<Returned> {
    let tool = match tool {
        Some(indices) => indices.load(&mut *store, instance)?,
        // The error names what it does not export.
        None => Tool::new(&mut *store, instance)?,
    };
    Ok(match tool.longhaul_tool_tools().call_call(store, name, &arguments.to_owned()).await? {
        Ok(output) => Returned::Result(result(output, false)),
        Err(tools::Failure::Tool(output)) => Returned::Result(result(output, true)),
        Err(tools::Failure::Protocol(error)) => {
            let tools::ProtocolError { code, message, data } = error;
            Returned::Protocol(ProtocolError { code, message, data })
        }
    })
}

async fn call_export(
    store: &mut Store<World>,
    instance: &Instance,
    (interface, function): (Option<&str>, &str),
    arguments: &str,
    result_bytes: usize,
) -> Result<Returned> {
    let func = export(&mut *store, instance, interface, function)
        .and_then(|index| instance.get_func(&mut *store, index))
        .ok_or_else(|| missing(interface, function))?;
    let ty = func.ty(&*store);
    let params = match values::arguments(&ty, arguments) {
        Ok(params) => params,
        Err(error) => return Ok(Returned::Result(ToolResult::error(error.to_string()))),
    };
    if ty.results().any(|result| values::has_bytes(&result)) {
        // Whatever is longer is too long for the result, as base64.
        let listed = result_bytes / 4 * 3;
        let bytes = listed.saturating_mul(size_of::<Val>()).saturating_add(limits::MAX_HOSTCALL_BYTES);
        store.set_hostcall_fuel(bytes.min(limits::MAX_LISTED_RESULT_BYTES));
    }
    let mut results = vec![Val::Bool(false); ty.results().len()];
    func.call_async(&mut *store, &params, &mut results).await?;
    let result = values::tool_result(&ty, &results).map_err(|error| Stop::HostFault(error.to_string()))?;
    Ok(Returned::Result(result))
}

async fn call_command(
    store: &mut Store<World>,
    instance: &Instance,
    interface: &str,
    capture: &Capture,
) -> Result<Returned> {
    let index = export(&mut *store, instance, Some(interface), "run")
        .ok_or_else(|| missing(Some(interface), "run"))?;
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, index)?;
    let status = match run.call_async(&mut *store, ()).await {
        Ok((Ok(()),)) => 0,
        Ok((Err(()),)) => 1,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(status)) => *status,
            None => return Err(error),
        },
    };
    let bytes = capture.take();
    let bound = capture.bound_bytes();
    if status == 0 {
        let (text, whole) = printed(&bytes, bound);
        return Ok(Returned::Result(ToolResult::text(format!("{text}{}", if whole { "" } else { MORE }))));
    }
    let end = ending(status, capture.error_lines(), bound / 2);
    let (text, whole) = printed(&bytes, bound.saturating_sub(MORE.len() + end.len()));
    let more = if whole { "" } else { MORE };
    Ok(Returned::Result(ToolResult::error(format!("{text}{more}{end}"))))
}

const MORE: &str = "\n[the rest is in the task's log]";

/// What stands behind the output of a program that failed: its status, and the last lines of stderr that fit.
fn ending(status: i32, lines: Vec<String>, bound_bytes: usize) -> String {
    let status = format!("\n[the program ended with status {status}]");
    let mut lines = lines.as_slice();
    while let [_, rest @ ..] = lines {
        let quote = lines.join("\n  ");
        let end =
            format!("{status}\nthe last lines of its stderr, of which the task's log has all:\n  {quote}");
        if end.len() <= bound_bytes {
            return end;
        }
        lines = rest;
    }
    status
}

fn export(
    mut store: impl AsContextMut,
    instance: &Instance,
    interface: Option<&str>,
    function: &str,
) -> Option<wasmtime::component::ComponentExportIndex> {
    let parent = match interface {
        Some(interface) => Some(instance.get_export_index(&mut store, None, interface)?),
        None => None,
    };
    instance.get_export_index(&mut store, parent.as_ref(), function)
}

fn missing(interface: Option<&str>, function: &str) -> wasmtime::Error {
    let place = interface.map(|interface| format!(" in {interface}")).unwrap_or_default();
    Stop::MissingTool { message: format!("the component exports no function {function}{place}") }.into()
}

/// What was printed as text, and whether that is all of it.
fn printed(bytes: &[u8], bound_bytes: usize) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let end = text.floor_char_boundary(bound_bytes);
    let whole = end == text.len();
    (text[..end].to_owned(), whole)
}

fn describe_tool(definition: tools::Definition) -> SelfDescribed {
    let annotations = definition.annotations.map_or_else(Annotations::default, |hints| Annotations {
        read_only: hints.read_only,
        destructive: hints.destructive,
        idempotent: hints.idempotent,
        open_world: hints.open_world,
    });
    let reply = match definition.reply {
        None | Some(tools::Reply::Link) => Reply::Link,
        Some(tools::Reply::Inline) => Reply::Inline,
        Some(tools::Reply::Task) => Reply::Task,
    };
    SelfDescribed {
        name: definition.name,
        title: definition.title,
        description: definition.description,
        input_schema: definition.input_schema,
        output_schema: definition.output_schema,
        annotations,
        reply,
        inline_wait_seconds: definition.inline_wait_seconds,
    }
}

fn result(output: tools::Output, is_error: bool) -> ToolResult {
    let tools::Output { content, structured } = output;
    if let Some(json) = &structured
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(json)
    {
        return ToolResult::error(format!("the tool's structured result is not JSON: {error}"));
    }
    ToolResult { content: content.into_iter().map(block).collect(), structured, is_error }
}

fn block(content: longhaul::tool::types::Content) -> Content {
    use longhaul::tool::types as wit;
    match content {
        wit::Content::Text(text) => Content::Text(text),
        wit::Content::Image(wit::Blob { data, mime_type }) => Content::Image { data, mime_type },
        wit::Content::Audio(wit::Blob { data, mime_type }) => Content::Audio { data, mime_type },
        wit::Content::Link(wit::Link { uri, name, title, description, mime_type }) => {
            Content::Link { uri, name, title, description, mime_type }
        }
        wit::Content::Embedded(wit::Embedded { uri, mime_type, body }) => Content::Embedded {
            uri,
            mime_type,
            body: match body {
                wit::EmbeddedBody::Text(text) => EmbeddedBody::Text(text),
                wit::EmbeddedBody::Data(data) => EmbeddedBody::Data(data),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_is_cut_at_the_bound_between_characters() {
        assert_eq!(printed(b"abc", 3), ("abc".to_owned(), true));
        assert_eq!(printed("aé".as_bytes(), 2), ("a".to_owned(), false));
    }

    #[test]
    fn a_failed_programs_last_lines_stand_behind_its_status_as_far_as_they_fit() {
        let lines = || ["first", "second", "third"].map(str::to_owned).to_vec();
        let status = "\n[the program ended with status 7]";
        assert_eq!(ending(7, vec![], 1000), status);
        assert!(ending(7, lines(), 1000).ends_with("log has all:\n  first\n  second\n  third"));
        let short = ending(7, lines(), ending(7, lines(), 1000).len() - 1);
        assert!(short.starts_with(status) && short.ends_with("log has all:\n  second\n  third"), "{short}");
        assert_eq!(ending(7, lines(), 40), status);
    }

    #[test]
    fn structured_content_that_is_not_json_is_the_tools_error() {
        let output = |json: &str| tools::Output { content: vec![], structured: Some(json.to_owned()) };
        assert!(result(output("{"), false).is_error);
        assert!(!result(output("{\"a\": 1}"), false).is_error);
    }
}
