//! The servers that a command talks to, and which of them has a tool.

use serde_json::Value;

use super::remote::{Remote, RemoteError, is_own};
use crate::api::{ComponentDocument, ComponentState, ToolComponents};
use crate::authority::Secret;
use crate::catalog::Schema;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::escape;
use crate::limits;
use crate::mcp::{ClientOptions, ToolInfo};

/// A server that is asked for tools and tasks; people call it by its number, from 1 on.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    /// How it is reached.
    pub options: ClientOptions,
    /// By the person, so that a further command has to name it too.
    pub named: bool,
}

/// Those that are named, else the one that is meant where none is.
pub async fn servers(named: &[String], context: &Context) -> Result<Vec<Server>> {
    let named: Vec<String> = named.iter().filter(|url| !url.is_empty()).cloned().collect();
    if !named.is_empty() {
        // They need not be there yet.
        let server = |url: &String| Server::new(url, context.token.clone(), true, context);
        return Ok(named.iter().map(server).collect());
    }
    if let Some(url) = std::env::var("LONGHAUL_URL").ok().filter(|url| !url.is_empty()) {
        return Ok(vec![Server::new(&url, context.token.clone(), false, context)]);
    }
    let remote = Remote::find(context).await?;
    let server = Server { url: remote.url().to_owned(), options: remote.options().clone(), named: false };
    remote.close().await;
    Ok(vec![server])
}

impl Server {
    pub fn new(url: &str, token: Option<Secret>, named: bool, context: &Context) -> Self {
        Self { url: url.to_owned(), options: context.server(url, token), named }
    }

    pub async fn connect(&self) -> Result<Remote, RemoteError> {
        let remote = Remote::connect_with(self.options.clone()).await?;
        Ok(if self.named { remote.named() } else { remote })
    }

    /// What a further command needs so that it reaches this one: nothing, or ` --url URL`.
    pub fn at(&self) -> String {
        if self.named { format!(" --url {}", self.url) } else { String::new() }
    }

    /// How its components stand once it compiles none any more, as far as it says so to this caller.
    async fn components(&self) -> Vec<ComponentDocument> {
        let Ok(remote) = self.connect().await else { return Vec::new() };
        // The list that follows says what is wrong, if anything is.
        let components = loaded(&remote).await;
        remote.close().await;
        components.unwrap_or_default()
    }

    /// Without Longhaul's own: there are words for what they do.
    pub async fn tools(&self) -> Result<Vec<ToolInfo>, RemoteError> {
        let remote = self.connect().await?;
        let mut tools = remote.tools().await?;
        remote.close().await;
        tools.retain(|tool| !is_own(tool));
        Ok(tools)
    }
}

/// Waits until a server compiles no component any more; the components, as it says then.
pub async fn loaded(remote: &Remote) -> Result<Vec<ComponentDocument>, RemoteError> {
    let wait = ToolComponents { wait_seconds: Some(limits::DEFAULT_TASK_WAIT_SECONDS) };
    loop {
        let listed = remote.run(&wait, true).await?;
        if !listed.loading {
            return Ok(listed.components);
        }
    }
}

/// `TOOL`, or `TOOL@2` where several servers have it.
pub async fn find_tool<'a>(servers: &'a [Server], called: &str) -> Result<(&'a Server, ToolInfo)> {
    let (name, number) = match called.rsplit_once('@') {
        Some((name, number)) => {
            let number = number.parse().ok().filter(|number| (1..=servers.len()).contains(number));
            let wrong = || CliError::usage(format_args!("there is no server of that number: '{called}'"));
            (name, Some(number.ok_or_else(wrong)?))
        }
        None => (called, None),
    };
    let (mut found, mut have, mut lost) = (Vec::new(), Vec::new(), None);
    let asked = || (1..).zip(servers).filter(|(at, _)| number.is_none_or(|number| number == *at));
    let mut listed = list(asked()).await;
    let has_it = |tools: &[ToolInfo]| tools.iter().any(|tool| tool.name == name);
    let mut unapproved = None;
    if !listed.iter().any(|(_, tools)| tools.as_ref().is_ok_and(|tools| has_it(tools))) {
        // It may be one that is still compiled, or one that waits for a person, which no list of tools has.
        for (_, server) in asked() {
            let components = server.components().await.into_iter();
            let mut waiting = components.filter(|it| it.state == ComponentState::WaitsForApproval);
            let of_tool = waiting.find(|it| it.tools.iter().any(|tool| tool == name));
            unapproved = unapproved.or(of_tool.map(|component| (server, component)));
        }
        listed = list(asked()).await;
    }
    for (at, tools) in listed {
        match tools {
            Ok(tools) => {
                found.extend(tools.iter().find(|tool| tool.name == name).map(|tool| (at, tool.clone())));
                have.extend(tools);
            }
            Err(error) => lost = Some(error),
        }
    }
    match (found.len(), lost) {
        (0, Some(error)) => Err(error.into()),
        (0, None) => Err(match unapproved {
            Some((server, component)) => waits(name, &component, server),
            None => no_such_tool(name, &have),
        }),
        (1, _) => {
            let (at, tool) = found.swap_remove(0);
            Ok((&servers[at - 1], tool))
        }
        (_, _) => {
            let ways: Vec<String> = found.iter().map(|(at, _)| format!("{name}@{at}")).collect();
            Err(CliError::usage(format_args!("several servers have the tool '{name}'"))
                .next(ways.join(" or ")))
        }
    }
}

type Tools = Result<Vec<ToolInfo>, RemoteError>;

async fn list<'a>(servers: impl Iterator<Item = (usize, &'a Server)>) -> Vec<(usize, Tools)> {
    let mut listed = Vec::new();
    for (at, server) in servers {
        listed.push((at, server.tools().await));
    }
    listed
}

fn waits(tool: &str, component: &ComponentDocument, server: &Server) -> CliError {
    let (tool, name) = (escape(tool), escape(&component.name));
    let since = component.why.as_deref().map(|why| format!(", since {}", escape(why))).unwrap_or_default();
    CliError::refused(format_args!(
        "the tool '{tool}' is not served: its component '{name}' waits for a person's approval{since}"
    ))
    .next(format!("longhaul tool approve {name}{}", server.at()))
}

fn no_such_tool(name: &str, tools: &[ToolInfo]) -> CliError {
    let have: Vec<String> =
        tools.iter().filter(|tool| !is_own(tool)).map(|tool| escape(&tool.name)).collect();
    let error = CliError::not_found(format_args!("the server has no tool '{name}'"));
    if have.is_empty() {
        error.next("it has none at all: start it with longhaul serve --tools PATH")
    } else {
        error.next(format!("it has: {}", have.join(", ")))
    }
}

/// The server checks them too; here, wrong ones are distinguished from a call that is refused.
pub fn check(tool: &ToolInfo, arguments: &Value) -> Result<()> {
    // A schema that does not compile is the server's to mend.
    let Ok(schema) = Schema::of_arguments(&tool.input_schema) else { return Ok(()) };
    schema.check(arguments).map_err(|violations| {
        let text: Vec<String> = violations.iter().map(|violation| escape(&violation.to_string())).collect();
        CliError::usage(format_args!("the arguments are wrong: {}", text.join("; ")))
            .next(format!("longhaul tool inspect {}", tool.name))
    })
}
