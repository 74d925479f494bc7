//! `longhaul call`: a tool call, followed to its end.

use std::cell::OnceCell;
use std::io::Read as _;

use serde_json::{Value, json};

use super::args::CallArgs;
use super::arguments::arguments;
use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::follow::{self, watch_command};
use super::progress::Reporter;
use super::remote::{Remote, is_own};
use super::render::escape;
use super::show;
use crate::catalog::Schema;
use crate::engine::TaskDocument;
use crate::limits;
use crate::mcp::ToolInfo;
use crate::task::TaskId;

pub async fn run(args: CallArgs, context: &Context) -> Result<Exit> {
    let mut remote = Remote::of_server(args.server.url(), context).await?;
    let tools = remote.tools().await?;
    let tool =
        tools.iter().find(|tool| tool.name == args.tool).ok_or_else(|| no_such_tool(&args.tool, &tools))?;
    let object = read_args(args.args.as_deref())?;
    let arguments = Value::Object(arguments(&tool.input_schema, &args.pairs, object.as_deref())?);
    check(tool, &arguments)?;
    // With a key of our own a call that is repeated over a lost connection is still one task.
    let key = args.key.clone().unwrap_or_else(|| format!("call-{}", uuid::Uuid::new_v4()));
    let started = OnceCell::new();
    let done = tokio::select! {
        exit = call_and_follow(&mut remote, &args, &arguments, &key, context, &started) => exit,
        _ = tokio::signal::ctrl_c() => Err(interrupted(started.get(), &args, &key)),
    };
    remote.close().await;
    done
}

async fn call_and_follow(
    remote: &mut Remote,
    args: &CallArgs,
    arguments: &Value,
    key: &str,
    context: &Context,
    started: &OnceCell<TaskId>,
) -> Result<Exit> {
    let output = context.output;
    let id = follow::again(async || {
        let answer = remote.start(&args.tool, arguments, key).await;
        if answer.as_ref().is_err_and(|error| error.is_lost()) {
            remote.reconnect().await?;
        }
        answer
    })
    .await?;
    let _ = started.set(id);
    if args.detach {
        let task = remote.task(id).await?;
        eprintln!("the task goes on by itself; come back to it with {}", watch_command(id));
        return match output.json {
            true => output.json(&json!({ "task": task })).map(|()| Exit::Done),
            false => output.line(&task.id).map(|()| Exit::Done),
        };
    }
    eprintln!("task {id}");
    let mut reporter = Reporter::asking(context);
    let ended = follow::to_the_end(remote, id, &mut reporter).await;
    reporter.finish();
    print_end(remote, &ended?, context).await
}

/// What an ended task handed back, or why it did not; the exit status says which.
pub async fn print_end(remote: &mut Remote, task: &TaskDocument, context: &Context) -> Result<Exit> {
    let output = context.output;
    let result = if task.state == "completed" { Some(remote.result(task).await?) } else { None };
    if output.json {
        let mut document = json!({ "task": task });
        if let Some(result) = &result {
            document["result"] = show::result_json(result);
        }
        output.json(&document)?;
    } else if let Some(result) = &result {
        show::result(output, result)?;
    }
    match result {
        Some(result) if !result.is_error => Ok(Exit::Done),
        Some(_) => {
            eprintln!("longhaul: the tool reports an error");
            Ok(Exit::Failed)
        }
        None => {
            eprintln!("longhaul: {}", show::why_it_ended(task));
            Ok(Exit::Failed)
        }
    }
}

/// The server checks them too; here, wrong ones are told apart from a call that is refused.
pub fn check(tool: &ToolInfo, arguments: &Value) -> Result<()> {
    // A schema that does not compile is the server's affair.
    let Ok(schema) = Schema::of_arguments(&tool.input_schema) else { return Ok(()) };
    schema.check(arguments).map_err(|violations| {
        let told: Vec<String> = violations.iter().map(|violation| escape(&violation.to_string())).collect();
        CliError::usage(format_args!("the arguments are wrong: {}", told.join("; ")))
            .next(format!("longhaul tool inspect {}", tool.name))
    })
}

/// `--args`: JSON as it stands, or `-` for stdin.
fn read_args(args: Option<&str>) -> Result<Option<String>> {
    let Some("-") = args else { return Ok(args.map(str::to_owned)) };
    let mut text = String::new();
    let limit = limits::MAX_ARGUMENTS_BYTES as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|e| CliError::usage(format_args!("cannot read the arguments from stdin: {e}")))?;
    Ok(Some(text))
}

pub fn no_such_tool(name: &str, tools: &[ToolInfo]) -> CliError {
    let have: Vec<String> =
        tools.iter().filter(|tool| !is_own(tool)).map(|tool| escape(&tool.name)).collect();
    let error = CliError::not_found(format_args!("the server has no tool '{name}'"));
    if have.is_empty() {
        error.next("it has none at all: start it with longhaul serve --tools PATH")
    } else {
        error.next(format!("it has: {}", have.join(", ")))
    }
}

fn interrupted(started: Option<&TaskId>, args: &CallArgs, key: &str) -> CliError {
    match started {
        Some(id) => CliError::failed(format_args!("detached: task {id} goes on by itself"))
            .next(format!("{}, or longhaul task cancel {id}", watch_command(id))),
        None => CliError::failed("interrupted before the task was acknowledged").next(format!(
            "the same call with --key {key} finds it, should it be there: longhaul call {} …",
            args.tool
        )),
    }
}
