//! `longhaul call`: a tool call, followed to its end.

use std::io::Read as _;
use std::sync::OnceLock;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::api::TaskDocument;
use crate::cli::args::CallArgs;
use crate::cli::client::arguments::arguments;
use crate::cli::client::follow::{self, watch_command};
use crate::cli::client::progress::{Screen, describe};
use crate::cli::client::remote::{Remote, RemoteError};
use crate::cli::client::servers::{Server, check, find_tool, servers};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::{self, Output};
use crate::cli::show::{self, short};
use crate::limits;
use crate::task::{TaskId, ToolResult};

/// One of the calls that a command makes, each to a server of its own choice.
struct Call {
    server: Server,
    tool: String,
    arguments: Value,
    key: String,
    /// Once the call was answered.
    started: OnceLock<TaskId>,
}

pub async fn run(args: CallArgs, context: &Context) -> Result<Exit> {
    let calls = calls(&args, context).await?;
    let screen = Screen::asking(context);
    let several = calls.len() > 1;
    let all = join_all(calls.iter().map(|call| call.perform(args.detach, several, &screen, context.output)));
    let ended = tokio::select! {
        ended = all => ended,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(&calls)),
    };
    if !several {
        return ended.into_iter().next().unwrap_or(Ok(Exit::Done));
    }
    let mut exits = Vec::new();
    for (call, ended) in calls.iter().zip(ended) {
        exits.push(match ended {
            Err(error) if error.says_nothing() => return Err(error),
            Err(error) => call.tell(&error, context.output),
            Ok(exit) => exit,
        });
    }
    Ok(common(&exits))
}

/// Of several calls: as all that did not succeed ended, and failed where they ended in several ways.
fn common(exits: &[Exit]) -> Exit {
    let mut failures = exits.iter().filter(|exit| **exit != Exit::Done);
    match failures.next() {
        None => Exit::Done,
        Some(first) if failures.all(|exit| exit == first) => *first,
        Some(_) => Exit::Failed,
    }
}

/// All of them are looked up and checked before the first is made.
async fn calls(args: &CallArgs, context: &Context) -> Result<Vec<Call>> {
    let mut named = vec![(args.tool.as_str(), Vec::new())];
    for word in &args.words {
        match named.last_mut() {
            Some((_, pairs)) if word.contains('=') => pairs.push(word.clone()),
            _ => named.push((word, Vec::new())),
        }
    }
    if args.args.is_some() && named.len() > 1 {
        return Err(CliError::usage("--args is for a single call, and here are several")
            .next("write KEY=VALUE behind each tool; lists and objects as JSON"));
    }
    let servers = servers(&args.url, context).await?;
    let object = read_args(args.args.as_deref())?;
    let mut calls: Vec<Call> = Vec::new();
    for (called, pairs) in named {
        let found = find_tool(&servers, called).await;
        let (server, tool) = found.map_err(|error| match calls.last() {
            Some(before) if error.exit == Exit::NotFound => CliError {
                message: format!("{}, nor is it KEY=VALUE for {}", error.message, before.tool),
                ..error
            },
            _ => error,
        })?;
        let arguments = Value::Object(arguments(&tool.input_schema, &pairs, object.as_deref())?);
        check(&tool, &arguments)?;
        // With a key of our own a call that is repeated over a lost connection is still one task.
        let key = args.key.clone().unwrap_or_else(|| format!("call-{}", uuid::Uuid::new_v4()));
        let same =
            |other: &Call| other.key == key && other.tool == tool.name && other.server.url == server.url;
        if calls.iter().any(same) {
            return Err(CliError::usage(format_args!(
                "with one --key, two calls of {} on one server are one and the same",
                tool.name
            ))
            .next("call it twice, each time with a key of its own"));
        }
        calls.push(Call {
            server: server.clone(),
            tool: tool.name,
            arguments,
            key,
            started: OnceLock::new(),
        });
    }
    Ok(calls)
}

impl Call {
    async fn perform(&self, detach: bool, several: bool, screen: &Screen, output: Output) -> Result<Exit> {
        let mut remote = self.server.connect().await?;
        let done = self.follow(&mut remote, detach, several, screen, output).await;
        remote.close().await;
        done
    }

    async fn follow(
        &self,
        remote: &mut Remote,
        detach: bool,
        several: bool,
        screen: &Screen,
        output: Output,
    ) -> Result<Exit> {
        let id =
            again(remote, async |remote| remote.start(&self.tool, &self.arguments, &self.key).await).await?;
        let _ = self.started.set(id);
        if detach {
            let task = again(remote, async |remote| remote.task(id).await).await?;
            eprintln!(
                "the task goes on by itself; come back to it with {}{}",
                watch_command(id),
                remote.at()
            );
            return match output.json {
                true => output.json(&json!({ "task": task })).map(|()| Exit::Done),
                false => output.line(&task.id).map(|()| Exit::Done),
            };
        }
        let name = several.then(|| format!("{} {}", self.tool, short(id)));
        let heading = name.clone().map(|name| format!("{name}: ")).unwrap_or_default();
        screen.print(|| eprintln!("{heading}task {id}"));
        let mut reporter = screen.reporter(name, remote.at());
        let ended = follow::to_the_end(remote, id, &mut reporter).await;
        reporter.finish();
        let task = ended?;
        let result = result(remote, &task).await?;
        screen.print(|| {
            if several {
                eprintln!("{heading}{}", describe(&task));
            }
            print_end(&task, result.as_ref(), output)
        })
    }

    /// A call among others has failed.
    fn tell(&self, error: &CliError, output: Output) -> Exit {
        let of = self
            .started
            .get()
            .map_or_else(|| self.tool.clone(), |id| format!("{} {}", self.tool, short(*id)));
        render::failure(&CliError { message: format!("{of}: {}", error.message), ..error.clone() }, output)
    }
}

/// Asks a server until it is back, or away for too long.
async fn again<T>(
    remote: &mut Remote,
    mut ask: impl AsyncFnMut(&Remote) -> Result<T, RemoteError>,
) -> Result<T> {
    follow::again(async || {
        let answer = ask(remote).await;
        if answer.as_ref().is_err_and(|error| error.is_lost()) {
            remote.reconnect().await?;
        }
        answer
    })
    .await
}

/// What a completed task handed back.
pub async fn result(remote: &mut Remote, task: &TaskDocument) -> Result<Option<ToolResult>> {
    if task.state != "completed" {
        return Ok(None);
    }
    again(remote, async |remote| remote.result(task).await).await.map(Some)
}

/// What an ended task handed back, or why it did not; the exit status says which.
pub fn print_end(task: &TaskDocument, result: Option<&ToolResult>, output: Output) -> Result<Exit> {
    if output.json {
        let mut document = json!({ "task": task });
        if let Some(result) = result {
            document["result"] = show::result_json(result);
        }
        output.json(&document)?;
    } else if let Some(result) = result {
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

/// Says to a person who leaves how to come back to each task.
fn interrupted(calls: &[Call]) -> CliError {
    let ways_back: Vec<String> = calls.iter().map(Call::way_back).collect();
    let sentence = match calls {
        [call] => match call.started.get() {
            Some(id) => format!("detached: task {id} goes on by itself"),
            None => "interrupted before the task was acknowledged".to_owned(),
        },
        _ => "detached: the tasks go on by themselves".to_owned(),
    };
    CliError::failed(sentence).next(ways_back.join("\n        "))
}

impl Call {
    fn way_back(&self) -> String {
        let at = self.server.at();
        match self.started.get() {
            Some(id) => format!("{}{at}, or longhaul task cancel {id}{at}", watch_command(id)),
            None => format!(
                "the same call with --key {} finds it, should it be there: longhaul call {}{at} …",
                self.key, self.tool
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_calls_end_as_those_that_did_not_succeed() {
        use Exit::{Done, Failed, Refused};
        assert_eq!(common(&[Done, Done]), Done);
        assert_eq!(common(&[Done, Refused, Refused]), Refused);
        assert_eq!(common(&[Refused, Done, Failed]), Failed);
    }
}
