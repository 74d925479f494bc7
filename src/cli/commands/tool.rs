//! `longhaul tool …`

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{add, approve, lock, project, registry, update, wit};
use crate::api::{
    ApprovalsListed, ApprovedDocument, BlockDocument, ComponentDocument, ComponentState, Operation,
    ToolApprovals, ToolBlock, ToolBlocks, ToolComponents, ToolPin, ToolUnblock,
};
use crate::catalog::{RefusedBound, Reply, bound_lines, is_tool_name};
use crate::cli::args::{ServerArgs, ToolArgs, ToolCommand};
use crate::cli::check;
use crate::cli::client::access::Access;
use crate::cli::client::remote::{Remote, is_own};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::server::guests;
use crate::cli::server::load::{self, Loaded};
use crate::cli::server::open;
use crate::cli::show::render::{Output, Table, bytes, escape};
use crate::mcp::ToolInfo;

pub async fn run(args: ToolArgs, context: &Context) -> Result<Exit> {
    match args.command {
        ToolCommand::List { server } => list(&server, context).await?,
        ToolCommand::Inspect { what, trust, server } => {
            let path = Path::new(&what);
            if server.url().is_none() && is_tool_name(&what) && guests::is_workspace(path) {
                return Err(CliError::usage(format_args!(
                    "{what} is a workspace in the working folder: looking into it builds it, which runs what is in it"
                ))
                .next(format!("longhaul tool inspect ./{what}; or --url URL, for a tool of that name")));
            }
            if path.exists() {
                inspect_path(path.to_owned(), trust || context.settings.trust, context).await?;
            } else {
                inspect_served(&what, &server, context).await?;
            }
        }
        ToolCommand::Add(args) => {
            return match registry::named(&args.path)? {
                Some(reference) => registry::add(reference, args, context).await,
                None => add::add(args, context).await,
            };
        }
        ToolCommand::Push(args) => return registry::push(args, context).await,
        ToolCommand::Update(args) => return update::run(args, context).await,
        ToolCommand::Remove { name, server } => return add::remove(name, &server, context).await,
        ToolCommand::Pin { name, server } => pin(&name, &server, context).await?,
        ToolCommand::Approve { name, only, without, expires, bind, secret, digest, tools, server } => {
            let asked =
                name.map(|name| approve::Asked { name, only, without, expires, bind, secret, digest });
            approve::run(asked, tools, &server, context).await?;
        }
        ToolCommand::Lock { tools, server } => lock::run(tools, &server, context).await?,
        ToolCommand::Revoke { name, server } => approve::revoke(name, &server, context).await?,
        ToolCommand::Block { name: Some(name), server } => {
            let block = changed(ToolBlock { name }, &server, context).await?;
            let words = "its tasks stand still, and it takes no calls, until `longhaul tool unblock` of it";
            say_block(&block, words, context)?;
        }
        ToolCommand::Block { name: None, server } => list_blocks(&server, context).await?,
        ToolCommand::Unblock { name, server } => {
            let block = changed(ToolUnblock { name }, &server, context).await?;
            say_block(&block, "it is not blocked any more, and its tasks go on", context)?;
        }
        ToolCommand::Check(args) => return check::run(args, context).await,
        ToolCommand::Wit(args) => wit::run(&args, context.output)?,
        ToolCommand::New(args) => project::new(&args, context.output)?,
        ToolCommand::Build(args) => project::build(args, context.output).await?,
    }
    Ok(Exit::Done)
}

/// What a change of a block came to, by the server or in the store itself.
async fn changed<O: Operation<Response = BlockDocument>>(
    operation: O,
    server: &ServerArgs,
    context: &Context,
) -> Result<BlockDocument> {
    let mut access = Access::open(server.url(), context).await?;
    let done = access.run(operation).await;
    access.close().await;
    done
}

fn say_block(block: &BlockDocument, words: &str, context: &Context) -> Result<()> {
    if context.output.json {
        return context.output.json(block);
    }
    eprintln!("{}: {words}", escape(&block.name));
    Ok(())
}

async fn list_blocks(server: &ServerArgs, context: &Context) -> Result<()> {
    let mut access = Access::open_to_read(server.url(), context).await?;
    let listed = access.run(ToolBlocks {}).await;
    access.close().await;
    let listed = listed?;
    if context.output.json {
        return context.output.json(&listed);
    }
    let mut table = Table::new(&["NAME", "BLOCKED", "COMPONENTS"]);
    for block in &listed.blocked {
        table.row([&block.name, &block.blocked_at, &block.components.join(" ")]);
    }
    context.output.table(&table)
}

async fn list(server: &ServerArgs, context: &Context) -> Result<()> {
    let remote = Remote::of_server(server.url(), context).await?;
    // To all but the owner there is no such list. It comes first: the other waits for what is compiled shortly after a
    // start.
    let components = remote.run(&ToolComponents::default(), true).await;
    let components = components.map(|listed| listed.components).unwrap_or_default();
    let listed = remote.tools().await?;
    let approvals = approvals_of(&remote).await;
    remote.close().await;
    let of_components = listed.iter().filter(|tool| !is_own(tool));
    if context.output.json {
        let tools: Vec<_> = of_components.map(wire).collect();
        let approved = approvals.approved;
        return context
            .output
            .json(&json!({ "tools": tools, "components": components, "approved": approved }));
    }
    say_what_is_missing(&components);
    let mut table = Table::new(&["NAME", "STATE", "FROM", "DESCRIPTION"]);
    for tool in of_components {
        let from = served_with(&components, &tool.name).and_then(|component| component.from.as_deref());
        let until = approval_of(&approvals, &tool.name).and_then(|approved| approved.expires_at.as_deref());
        let until = until.map_or_else(String::new, |at| format!(", until {at}"));
        let is_isolated = served_with(&components, &tool.name).is_some_and(|component| component.isolated);
        let state = format!("ready{}{until}", if is_isolated { WORKER } else { "" });
        let from = from.map(registry::in_short).unwrap_or_default();
        table.row([&tool.name, &state, &from, tool.description.lines().next().unwrap_or_default()]);
    }
    for component in components.iter().filter(|component| component.state != ComponentState::Ready) {
        let state = component.state.words();
        let why = component.why.as_deref().map(|why| format!("{state}: {why}"));
        let tools = component.tools.join(" ");
        let from = component.from.as_deref().map(registry::in_short).unwrap_or_default();
        table.row([&format!("({})", component.name), why.as_deref().unwrap_or(state), &from, &tools]);
    }
    context.output.table(&table)
}

/// Of a tool whose guests run there.
const WORKER: &str = ", in a worker";

fn served_with<'a>(components: &'a [ComponentDocument], tool: &str) -> Option<&'a ComponentDocument> {
    let mut served = components.iter().filter(|component| component.state == ComponentState::Ready);
    served.find(|component| component.tools.iter().any(|name| name == tool))
}

fn say_what_is_missing(components: &[ComponentDocument]) {
    let named = |state: ComponentState| {
        let names: Vec<_> =
            components.iter().filter(|it| it.state == state).map(|it| escape(&it.name)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    if let Some(names) = named(ComponentState::WaitsForApproval) {
        eprintln!("waiting for approval, see `longhaul tool approve`: {names}");
    }
    if let Some(names) = named(ComponentState::Compiling) {
        eprintln!("being compiled, their tools come after that: {names}");
    }
}

/// To all but the owner there is no such list.
async fn approvals_of(remote: &Remote) -> ApprovalsListed {
    let none = ApprovalsListed { waiting: Vec::new(), approved: Vec::new() };
    remote.run(&ToolApprovals {}, true).await.unwrap_or(none)
}

fn approval_of<'a>(approvals: &'a ApprovalsListed, tool: &str) -> Option<&'a ApprovedDocument> {
    approvals.approved.iter().find(|approved| approved.tools.iter().any(|name| name == tool))
}

async fn pin(name: &str, server: &ServerArgs, context: &Context) -> Result<()> {
    let mut access = Access::open(server.url(), context).await?;
    let pinned = access.run(ToolPin { server: name.to_owned() }).await;
    access.close().await;
    let words = pinned?.words;
    if context.output.json {
        return context.output.json(&json!({ "pinned": name, "words": words }));
    }
    words.iter().try_for_each(|word| context.output.line(escape(word)))?;
    context.output.line(format!("pinned what {name} offers"))
}

async fn inspect_served(name: &str, server: &ServerArgs, context: &Context) -> Result<()> {
    let nowhere = |error: CliError| CliError {
        message: format!("{name} is no file or folder, and the server cannot be asked: {error}"),
        ..error
    };
    let remote = Remote::of_server(server.url(), context).await.map_err(nowhere)?;
    let listed = remote.tools().await?;
    let approvals = approvals_of(&remote).await;
    let components = remote.run(&ToolComponents::default(), true).await;
    let components = components.map(|listed| listed.components).unwrap_or_default();
    let component = served_with(&components, name);
    let isolated = component.is_some_and(|component| component.isolated);
    remote.close().await;
    let tool = listed.iter().find(|tool| tool.name == name).ok_or_else(|| not_served(name, &approvals))?;
    let output = context.output;
    let approved = approval_of(&approvals, name);
    if output.json {
        let mut document = wire(tool);
        document["approval"] = json!(approved);
        document["isolated"] = json!(isolated);
        document["component"] = json!(component.and_then(|component| component.component.as_ref()));
        document["from"] = json!(component.and_then(|component| component.from.as_ref()));
        return output.json(&document);
    }
    output.line(escape(&tool.name))?;
    if let Some(approved) = approved {
        let until = approved.expires_at.as_deref().map(|at| format!(" until {at}")).unwrap_or_default();
        let named: Vec<_> = approved.capabilities.iter().map(|one| escape(&one.to_string())).collect();
        let named = if named.is_empty() { "nothing".to_owned() } else { named.join(", ") };
        output
            .line(format!("approved{until}, with all of {}; it may use: {named}", escape(&approved.name)))?;
    }
    if let Some(ComponentDocument { name, component: Some(id), from: Some(from), .. }) = component {
        output.line(format!("of {}, {id}, from {}", escape(name), escape(from)))?;
    }
    if isolated {
        output.line("its guests run in a worker process")?;
    }
    output.foreign_text(&tool.description)?;
    schema(output, "arguments", &tool.input_schema)?;
    tool.output_schema.as_ref().map_or(Ok(()), |result| schema(output, "result", result))
}

fn not_served(name: &str, approvals: &ApprovalsListed) -> CliError {
    let waits =
        approvals.waiting.iter().find(|it| it.name == name || it.tools.iter().any(|tool| tool == name));
    match waits {
        Some(waiting) => CliError::not_found(format_args!(
            "{name} is not served: the component {} waits for a person, since {}",
            escape(&waiting.name),
            waiting.since.words()
        ))
        .next(format!(
            "longhaul tool approve {}, which shows what it asks for before it is approved",
            escape(&waiting.name)
        )),
        None => CliError::not_found(format_args!("{name} is neither a file nor a tool of the server"))
            .next("longhaul tool list"),
    }
}

fn wire(tool: &ToolInfo) -> Value {
    json!({
        "name": tool.name, "title": tool.title, "description": tool.description, "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
    })
}

async fn inspect_path(path: PathBuf, trust: bool, context: &Context) -> Result<()> {
    let sandbox = open::sandbox(context)?;
    for file in load::find(vec![path]).await? {
        let loaded = load::load(file, sandbox.as_ref(), &context.settings.operator, trust).await?;
        match context.output.json {
            true => context.output.json(&document(&loaded))?,
            false => print(&loaded, context.output)?,
        }
    }
    Ok(())
}

fn print(loaded: &Loaded, output: Output) -> Result<()> {
    let (component, held) = (&loaded.component, &loaded.component.holdings);
    let size = bytes(loaded.bytes.len() as u64);
    let version =
        component.version.as_deref().map(|version| format!(" {}", escape(version))).unwrap_or_default();
    output.line(format!("{}{version}  {size}  {}", escape(&component.name), component.id))?;
    let section = |title: &str, lines: Vec<String>, none: &str| {
        output.line(format!("{title}:"))?;
        if lines.is_empty() {
            return output.line(format!("  {none}"));
        }
        lines.iter().try_for_each(|line| output.line(format!("  {line}")))
    };
    section("imports", held.imports.iter().map(|import| escape(import)).collect(), "nothing")?;
    if !held.denied_imports.is_empty() {
        let denied = held.denied_imports.iter().map(|import| escape(import)).collect();
        section("imports that no grant satisfies in this version (they link, and are denied)", denied, "")?;
    }
    if !held.toolchain.is_empty() {
        section("made by", held.toolchain.iter().map(|tool| escape(tool)).collect(), "")?;
    }
    held.notes.iter().try_for_each(|note| output.line(format!("note: {}", escape(note))))?;
    section("requested", load::powers(&held.requested), "nothing")?;
    let why = if held.trusted { "granted (trusted: what it requests)" } else { "granted" };
    section(why, load::powers(&held.grant), "nothing")?;
    if !held.denied.is_empty() {
        section("denied", load::powers(&held.denied), "")?;
    }
    section("limits", held.limits.named().map(|(name, value)| format!("{name} = {value}")).to_vec(), "")?;
    if !held.refused.is_empty() {
        let refused = held.refused.iter().map(RefusedBound::to_string).collect();
        section(
            "requested, not given: a manifest that nobody trusts may only lower its bounds",
            refused,
            "",
        )?;
        let lines = bound_lines(&component.name, &held.refused);
        section("what gives it, in longhaul.toml", lines.lines().map(str::to_owned).collect(), "")?;
    }
    for skipped in &component.skipped {
        output.line(format!(
            "export {} is no tool: it {}",
            escape(&skipped.export),
            escape(&skipped.reason)
        ))?;
    }
    for entry in &component.tools {
        let definition = &entry.tool.definition;
        let reply = match definition.reply {
            Reply::Link => "link",
            Reply::Inline => "inline",
            Reply::Task => "task",
        };
        output.line(format!("\ntool {}  (reply: {reply})", escape(&definition.name)))?;
        output.foreign_text(&definition.description)?;
        schema(output, "arguments", &definition.input_schema)?;
        if let Some(result) = &definition.output_schema {
            schema(output, "result", result)?;
        }
    }
    Ok(())
}

fn schema(output: Output, what: &str, schema: &Value) -> Result<()> {
    output.line(format!("{what}:"))?;
    output.foreign_text(&serde_json::to_string_pretty(schema).map_err(CliError::failed)?)
}

fn document(loaded: &Loaded) -> Value {
    let (component, held) = (&loaded.component, &loaded.component.holdings);
    let tools: Vec<_> = component.tools.iter().map(|entry| &entry.tool.definition).collect();
    let skipped = component.skipped.iter();
    let skipped: Vec<_> =
        skipped.map(|skipped| json!({ "export": skipped.export, "reason": skipped.reason })).collect();
    json!({
        "name": component.name,
        "version": component.version,
        "component": component.id,
        "path": loaded.file.path,
        "bytes": loaded.bytes.len(),
        "trusted": held.trusted,
        "imports": held.imports,
        "denied_imports": held.denied_imports,
        "toolchain": held.toolchain,
        "notes": held.notes,
        "requested": held.requested,
        "granted": held.grant,
        "denied": held.denied,
        "limits": held.limits,
        "limits_not_given": held.refused,
        "retry": { "attempts": held.retry.attempts, "backoff_ms": held.retry.backoff.as_millis() },
        "skipped": skipped,
        "tools": tools,
    })
}
