//! `longhaul task …`

use serde_json::{Value, json};

use super::{call, export};
use crate::api::{
    AnswerAction, InputRequest, OwnedTask, Sent, TaskAnswer, TaskCancel, TaskDelete, TaskDocument, TaskList,
    TaskListAll, TaskOutput, TaskResolve, TaskRetry, TaskSend,
};
use crate::catalog::show_hidden;
use crate::cli::args::{OneTask, TaskArgs, TaskCommand};
use crate::cli::client::access::{Access, Purpose};
use crate::cli::client::arguments;
use crate::cli::client::follow::{self, watch_command};
use crate::cli::client::hand;
use crate::cli::client::progress::Screen;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show;
use crate::cli::show::steps;
use crate::limits;
use crate::task::TaskId;

pub async fn run(args: TaskArgs, context: &Context) -> Result<Exit> {
    let purpose = match &args.command {
        TaskCommand::List { .. }
        | TaskCommand::Show { .. }
        | TaskCommand::Watch(_)
        | TaskCommand::Result(_)
        | TaskCommand::Output { .. }
        | TaskCommand::Export { .. }
        | TaskCommand::Journal(_) => Purpose::Read,
        _ => Purpose::Write,
    };
    let mut access = Access::open_for(purpose, args.server.url(), context).await?;
    let done = perform(&mut access, args.command, context).await;
    access.close().await;
    done
}

async fn perform(access: &mut Access, command: TaskCommand, context: &Context) -> Result<Exit> {
    let output = context.output;
    match command {
        TaskCommand::List { state, tool, parent, principal, all, limit } if all || principal.is_some() => {
            let list = TaskList { state, tool, parent, ..TaskList::default() };
            let query = TaskListAll { principal, list };
            let tasks = list_all(access, query, limit as usize).await?;
            match output.json {
                true => output.json(&json!({ "tasks": tasks }))?,
                false => show::owned_tasks(output, &tasks)?,
            }
        }
        TaskCommand::List { state, tool, parent, limit, .. } => {
            let query = TaskList { state, tool, parent, ..TaskList::default() };
            let tasks = list(access, query, limit as usize).await?;
            match output.json {
                true => output.json(&json!({ "tasks": tasks }))?,
                false => show::tasks(output, &tasks)?,
            }
        }
        TaskCommand::Show { id, steps: false } => print_task(&access.task(id).await?, context)?,
        TaskCommand::Show { id, steps: true } => {
            let steps = access.steps(id).await?;
            match output.json {
                true => output.json(&steps)?,
                false => steps::print(output, &steps)?,
            }
        }
        TaskCommand::Watch(OneTask { id }) => return watch(access, id, context).await,
        TaskCommand::Result(OneTask { id }) => {
            let task = access.task(id).await?;
            if !task.is_terminal() {
                let text = format!("task {id} has no result yet: it is {}", show::state(&task));
                return Err(CliError::failed(text).next(watch_command(id)));
            }
            if task.state != "completed" {
                return Err(
                    CliError::failed(show::why_it_ended(&task)).next(format!("longhaul task retry {id}"))
                );
            }
            let result = access.result(&task).await?;
            match output.json {
                true => output.json(&show::result_json(&result))?,
                false => show::result(output, &result)?,
            }
            return Ok(if result.is_error { Exit::Failed } else { Exit::Done });
        }
        TaskCommand::Output { id, name } => print_output(access, id, &name, context).await?,
        TaskCommand::Journal(OneTask { id }) => {
            let journal = access.journal(id).await?;
            match output.json {
                true => output.json(&journal)?,
                false => show::journal(output, &journal)?,
            }
        }
        TaskCommand::Export { id, redact, output: to } => {
            export::run(access, (id, redact), to, context).await?
        }
        TaskCommand::Cancel { id: task_id, reason } => {
            print_task(&access.run(TaskCancel { task_id, reason }).await?, context)?;
        }
        TaskCommand::Delete(OneTask { id }) => {
            output.value(&access.run(TaskDelete { task_id: id }).await?)?
        }
        TaskCommand::Send { id, name, pairs, args, key } => {
            let payload = arguments::free_value(&pairs, args.as_deref())?;
            let Sent { seq } = access.run(TaskSend { task_id: id, name, payload, key }).await?;
            match output.json {
                true => output.json(&json!({ "seq": seq }))?,
                false => output.line(format!("message {seq} to task {id}"))?,
            }
            tell_if_it_stands_still(access);
        }
        TaskCommand::Answer { id, key, pairs, args, decline, cancel } => {
            let task = access.task(id).await?;
            let question = meant(&task, key.as_deref());
            let is_person = hand::is_person(&context.settings);
            hand::may_answer(question, is_person)?;
            // One that any may answer keeps the command line's name; one that is not known gets no person's word.
            let as_person = is_person || question.is_some();
            let (action, content) = match (decline, cancel) {
                (true, _) => (AnswerAction::Decline, None),
                (_, true) => (AnswerAction::Cancel, None),
                _ => (AnswerAction::Accept, Some(content(question, &pairs, args.as_deref())?)),
            };
            let answer = TaskAnswer { task_id: id, key, action, content };
            print_task(&access.answer(answer, as_person).await?, context)?;
            tell_if_it_stands_still(access);
        }
        TaskCommand::Retry { id, from } => {
            print_task(&access.run(TaskRetry { task_id: id, from_step: from }).await?, context)?;
            tell_if_it_stands_still(access);
        }
        TaskCommand::Resolve { id, step, resolution } => {
            hand::may_resolve(hand::is_person(&context.settings))?;
            let resolve = TaskResolve::new(id, step, resolution.resolution());
            print_task(&access.run(resolve).await?, context)?;
            tell_if_it_stands_still(access);
        }
    }
    Ok(Exit::Done)
}

/// The open question of this key, or the one that is open.
fn meant<'a>(task: &'a TaskDocument, key: Option<&str>) -> Option<&'a InputRequest> {
    match (key, task.input_requests.len()) {
        (Some(key), _) => task.input_requests.get(key),
        (None, 1) => task.input_requests.values().next(),
        (None, _) => None,
    }
}

/// Typed by the form of the question, where it has one.
fn content(question: Option<&InputRequest>, pairs: &[String], args: Option<&str>) -> Result<Value> {
    match question.and_then(|request| request.schema.as_ref()) {
        Some(schema) => arguments::arguments(schema, pairs, args).map(Value::Object),
        None => arguments::free_value(pairs, args),
    }
}

fn tell_if_it_stands_still(access: &Access) {
    if access.runs_nothing() {
        eprintln!("no server runs here: the task goes on with the next `longhaul serve`");
    }
}

/// As many pages as it takes.
async fn list(access: &mut Access, mut query: TaskList, limit: usize) -> Result<Vec<TaskDocument>> {
    let mut tasks = Vec::new();
    loop {
        query.limit = Some((limit - tasks.len()).min(limits::MAX_PAGE_ROWS));
        let page = access.run(query.clone()).await?;
        tasks.extend(page.tasks);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || tasks.len() >= limit {
            return Ok(tasks);
        }
    }
}

/// The same of what the owner sees.
async fn list_all(access: &mut Access, mut query: TaskListAll, limit: usize) -> Result<Vec<OwnedTask>> {
    let mut tasks = Vec::new();
    loop {
        query.list.limit = Some((limit - tasks.len()).min(limits::MAX_PAGE_ROWS));
        let page = access.run(query.clone()).await?;
        tasks.extend(page.tasks);
        query.list.cursor = page.next_cursor;
        if query.list.cursor.is_none() || tasks.len() >= limit {
            return Ok(tasks);
        }
    }
}

async fn watch(access: &mut Access, id: TaskId, context: &Context) -> Result<Exit> {
    // A task that is not there is reported before anything is followed.
    let task = access.task(id).await?;
    let remote = match access {
        Access::Server(remote) => remote,
        Access::Store(_) if task.is_terminal() => {
            print_task(&task, context)?;
            return Ok(if task.state == "completed" { Exit::Done } else { Exit::Failed });
        }
        Access::Store(_) => {
            let text = format!(
                "no server answers here, so task {id} cannot be followed: it is {}",
                show::state(&task)
            );
            return Err(CliError::failed(text).next("longhaul serve"));
        }
    };
    let at = remote.at();
    let mut reporter = Screen::asking(context).reporter(None, at.clone());
    let followed = tokio::select! {
        ended = follow::to_the_end(remote, id, &mut reporter) => ended,
        _ = tokio::signal::ctrl_c() => {
            Err(CliError::failed(format_args!("detached: task {id} goes on by itself")).next(watch_command(id) + &at))
        }
    };
    reporter.finish();
    let task = followed?;
    let result = call::result(remote, &task).await?;
    call::print_end(&task, result.as_ref(), context.output)
}

async fn print_output(access: &mut Access, id: TaskId, name: &str, context: &Context) -> Result<()> {
    let task = access.task(id).await?;
    let names: Vec<&str> = task.outputs.iter().map(|output| output.name.as_str()).collect();
    // Documents spell out what a name hides.
    let is_there = names.contains(&name) || names.contains(&&*show_hidden(name));
    if name != "log" && !is_there {
        let have = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
        return Err(CliError::not_found(format_args!("task {id} has no output '{name}'"))
            .next(format!("it has: {have} (and `log`)")));
    }
    let mut request = TaskOutput { task_id: id, name: name.to_owned(), offset: 0, limit: None };
    let mut bytes = Vec::new();
    let last = loop {
        let piece = access.run(request.clone()).await?;
        bytes.extend(
            piece.contents().map_err(|error| CliError::failed(format_args!("task_output: {error}")))?,
        );
        if piece.next_offset <= request.offset || piece.next_offset >= piece.bytes {
            break piece;
        }
        request.offset = piece.next_offset;
    };
    match context.output.json {
        true => context.output.json(&show::output_json(name, &bytes, &last)),
        false => context.output.foreign_bytes(&bytes),
    }
}

fn print_task(task: &TaskDocument, context: &Context) -> Result<()> {
    if context.output.json { context.output.json(task) } else { show::task(context.output, task) }
}
