//! `resources/*` and completions.

use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};

use crate::api::{
    ApiError, Caller, Operation as _, StateDocument, TaskDocument, TaskJournal, TaskStatus, TaskSteps,
    as_text,
};
use crate::authority::Principal;
use crate::catalog::show_hidden;
use crate::engine::{EngineError, Slice, StateQuery, TaskEnd, TaskEngine, TaskQuery, TaskView};
use crate::limits;
use crate::mcp::connection::Handler;
use crate::mcp::own::fixtures::Fixtures;
use crate::mcp::wire::convert::{self, JSON, PLAIN, document};
use crate::mcp::wire::error;
use crate::mcp::wire::hints::Kept as _;
use crate::mcp::wire::next;
use crate::mcp::wire::own_names::OwnNames;
use crate::mcp::wire::uri::ResourceUri;
use crate::shares::Pool;

impl Handler {
    pub(in crate::mcp) async fn newest_tasks(&self) -> Result<ListResourcesResult, ErrorData> {
        let tasks = self.server.engine().tasks_in_view(&self.connection.principal);
        let tasks = tasks.await.map_err(|error| error::rpc(&error))?.into_iter().map(TaskDocument::from);
        let mut resources: Vec<Resource> = tasks.map(|task| convert::task_resource(&task)).collect();
        resources.extend(self.server.fixtures().into_iter().flat_map(Fixtures::resources));
        let mut list = ListResourcesResult::with_all_items(resources);
        list.set_hints(0, CacheScope::Private);
        Ok(list)
    }

    pub(in crate::mcp) fn resource_templates(&self) -> ListResourceTemplatesResult {
        let template = |uri: &str, name: &str, title: &str, description: &str| {
            ResourceTemplate::new(uri, name).with_title(title).with_description(description)
        };
        let mut templates = vec![
            template(
                ResourceUri::TASK,
                "task",
                "A task",
                "Where a task stands: state, message, progress, outputs, error.",
            )
            .with_mime_type(JSON),
            template(
                ResourceUri::RESULT,
                "task-result",
                "A task's result",
                "What a completed task handed back.",
            ),
            template(
                ResourceUri::OUTPUT,
                "task-output",
                "A task's output",
                "A named partial result, as it grows. The name is percent-encoded.",
            ),
            template(
                ResourceUri::LOG,
                "task-log",
                "A task's log",
                "What the tool wrote: stdout, stderr, log lines.",
            )
            .with_mime_type(PLAIN),
            template(
                ResourceUri::JOURNAL,
                "task-journal",
                "A task's journal",
                "Every recorded step that a restart would replay.",
            )
            .with_mime_type(JSON),
            template(
                ResourceUri::STEPS,
                "task-steps",
                "A task's steps",
                "What a task did and when: its steps, attempts, replays and waits. Kept after its end.",
            )
            .with_mime_type(JSON),
            template(
                ResourceUri::STATE,
                "state",
                "An entry of shared state",
                "Its value and its version. The key is percent-encoded.",
            )
            .with_mime_type(JSON),
        ];
        templates.extend(self.server.fixtures().map(Fixtures::template));
        let mut list = ListResourceTemplatesResult::with_all_items(templates);
        list.set_hints(limits::DISCOVER_TTL_MS, CacheScope::Public);
        list
    }

    pub(in crate::mcp) async fn read(
        &self,
        uri: &str,
        context: &RequestContext<RoleServer>,
    ) -> Result<ReadResourceResult, ErrorData> {
        let (contents, final_for_ever) = match self.server.fixtures().and_then(|own| own.read(uri)) {
            Some(contents) => (contents, false),
            None => {
                let parsed = ResourceUri::parse(uri).ok_or_else(|| error::no_such_resource(uri))?;
                self.contents(&parsed, uri, &self.reader(context)).await?
            }
        };
        let mut result = ReadResourceResult::new(vec![contents]);
        // A completed task's result never changes; all else may.
        result.set_hints(if final_for_ever { limits::RESULT_TTL_MS } else { 0 }, CacheScope::Private);
        Ok(result)
    }

    /// Who reads: the owner, where a person asks by the command line, sees the tasks of all principals.
    fn reader(&self, context: &RequestContext<RoleServer>) -> Principal {
        let principal = self.connection.principal.clone();
        if self.is_by_person(context) { principal.overseeing() } else { principal }
    }

    async fn contents(
        &self,
        parsed: &ResourceUri,
        uri: &str,
        principal: &Principal,
    ) -> Result<(ResourceContents, bool), ErrorData> {
        let engine = self.server.engine();
        let caller = Caller::reading(principal);
        let missing = |error: EngineError| missing(&error, uri);
        let room = |bytes| has_room(engine, principal, bytes);
        let unread = |error: ApiError| match error {
            ApiError::Engine(error) => missing(error),
            error => error::bad_params(error.to_string()),
        };
        match parsed {
            ResourceUri::Task(task_id) => {
                let task = TaskStatus { task_id: *task_id }.run(engine, &caller).await.map_err(unread)?;
                let text = serde_json::to_string_pretty(&document(&task)).unwrap_or_default();
                Ok((convert::json_contents(uri, &text), false))
            }
            ResourceUri::Result(id) => match engine.result(principal, *id).await.map_err(missing)? {
                TaskEnd::Completed(result) => Ok((convert::result_contents(parsed, result), true)),
                TaskEnd::NotYet(task) => {
                    Err(error::not_there_yet(uri, format_args!("the task is {}", task.state.name())))
                }
                TaskEnd::Failed(task, _) | TaskEnd::Cancelled(task) => {
                    Err(error::not_there_yet(uri, ended_without(self.server.names(), &task.into())))
                }
            },
            ResourceUri::Output(id, name) => {
                let read = |offset, limit| engine.output(principal, *id, name, offset, limit);
                let slice = read_whole(uri, self.server.names(), &room, read).await?;
                let mime_type = Some(slice.mime_type.clone());
                let contents = match as_text(&slice.mime_type, &slice.bytes, !slice.done) {
                    Some(text) => convert::text_contents(uri, mime_type, text.to_owned()),
                    None => convert::blob_contents(uri, mime_type, &slice.bytes),
                };
                Ok((contents, false))
            }
            ResourceUri::Log(id) => {
                let read = |offset, limit| engine.log(principal, *id, offset, limit);
                let slice = read_whole(uri, self.server.names(), &room, read).await?;
                let text = show_hidden(&String::from_utf8_lossy(&slice.bytes)).into_owned();
                Ok((convert::text_contents(uri, Some(PLAIN.to_owned()), text), false))
            }
            ResourceUri::Journal(id) => {
                let journal = TaskJournal { task_id: *id }.run(engine, &caller).await.map_err(unread)?;
                let text = document(&journal).to_string();
                if text.len() > limits::MAX_RESOURCE_READ_BYTES {
                    return Err(error::bad_params(format!(
                        "the journal has {} records, more than one read gives: stop the server, then \
                         `longhaul task journal {id}`",
                        journal.records.len()
                    )));
                }
                Ok((convert::json_contents(uri, &text), false))
            }
            ResourceUri::Steps(id) => {
                let steps = TaskSteps { task_id: *id }.run(engine, &caller).await.map_err(unread)?;
                Ok((convert::json_contents(uri, &document(&steps).to_string()), false))
            }
            ResourceUri::State(namespace, key) => {
                let entry = engine.state_get(principal, namespace, key).await.map_err(missing)?;
                if entry.is_none() {
                    return Err(error::not_there_yet(uri, "there is no such entry"));
                }
                let text = document(&StateDocument::of(entry.as_ref())).to_string();
                Ok((convert::json_contents(uri, &text), false))
            }
        }
    }

    /// Whether this principal may watch what the URI names. What a task has not published yet may be watched.
    pub(in crate::mcp) async fn may_watch(&self, uri: &str) -> Result<ResourceUri, ErrorData> {
        let parsed = ResourceUri::parse(uri).ok_or_else(|| error::no_such_resource(uri))?;
        let (engine, principal) = (self.server.engine(), &self.connection.principal);
        let may = match (&parsed, parsed.task()) {
            (_, Some(id)) => engine.task(principal, id).await.map(drop),
            (ResourceUri::State(namespace, key), None) => {
                engine.state_get(principal, namespace, key).await.map(drop)
            }
            (_, None) => Ok(()),
        };
        may.map_err(|error| missing(&error, uri))?;
        Ok(parsed)
    }

    /// What the argument may be, as far as its beginning does not say otherwise.
    async fn candidates(&self, request: &CompleteRequestParams) -> Result<Vec<String>, ErrorData> {
        if let Some(candidates) = self.server.fixtures().and_then(|own| own.completion(request)) {
            return Ok(candidates);
        }
        let Reference::Resource(template) = &request.r#ref else {
            return Err(error::bad_params("there are no prompts here; complete a resource template"));
        };
        let templates = [
            ResourceUri::TASK,
            ResourceUri::RESULT,
            ResourceUri::OUTPUT,
            ResourceUri::LOG,
            ResourceUri::JOURNAL,
            ResourceUri::STATE,
        ];
        if !templates.contains(&template.uri.as_str()) {
            return Err(error::no_such_resource(&template.uri));
        }
        match request.argument.name.as_str() {
            "namespace" if template.uri == ResourceUri::STATE => {
                let names = self.server.engine().state_namespaces(&self.connection.principal);
                names.await.map_err(|error| error::rpc(&error))
            }
            "key" if template.uri == ResourceUri::STATE => {
                let namespace =
                    request.context.as_ref().and_then(|context| context.get_argument("namespace"));
                let query = StateQuery { prefix: request.argument.value.clone(), ..StateQuery::default() };
                // Without a namespace, or with one that is not the caller's, there is nothing to propose.
                let Some(namespace) = namespace else { return Ok(Vec::new()) };
                let principal = &self.connection.principal;
                let page = self.server.engine().state_list(principal, namespace, &query).await.ok();
                Ok(page.into_iter().flat_map(|page| page.entries).map(|entry| entry.key).collect())
            }
            "id" if template.uri != ResourceUri::STATE => {
                Ok(self.newest().await?.into_iter().map(|task| task.id.to_string()).collect())
            }
            "name" if template.uri == ResourceUri::OUTPUT => {
                let id = request.context.as_ref().and_then(|context| context.get_argument("id"));
                let id = id.and_then(|id| id.parse().ok());
                // Without a task, or with another caller's, there is nothing to propose.
                let Some(id) = id else { return Ok(Vec::new()) };
                let task = self.document_of(id).await.ok();
                Ok(task.into_iter().flat_map(|task| task.outputs).map(|output| output.name).collect())
            }
            other => {
                let template = &template.uri;
                Err(error::bad_params(format!("the template {template} has no argument '{other}'")))
            }
        }
    }

    pub(in crate::mcp) async fn completion(
        &self,
        request: &CompleteRequestParams,
    ) -> Result<CompleteResult, ErrorData> {
        let begun = request.argument.value.as_str();
        let candidates = self.candidates(request).await?;
        let mut values: Vec<String> =
            candidates.into_iter().filter(|value| value.starts_with(begun)).collect();
        let total = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let more = values.len() > CompletionInfo::MAX_VALUES;
        values.truncate(CompletionInfo::MAX_VALUES);
        let completion =
            CompletionInfo::with_pagination(values, Some(total), more).map_err(error::bad_params)?;
        Ok(CompleteResult::new(completion))
    }

    async fn newest(&self) -> Result<Vec<TaskView>, ErrorData> {
        let query = TaskQuery { limit: limits::MAX_PAGE_ROWS, ..TaskQuery::default() };
        let page = self.server.engine().tasks(&self.connection.principal, &query);
        Ok(page.await.map_err(|error| error::rpc(&error))?.tasks)
    }
}

fn missing(error: &EngineError, uri: &str) -> ErrorData {
    match error {
        EngineError::NoSuchTask(_) | EngineError::State(_) => error::no_such_resource(uri),
        EngineError::NoSuchOutput { .. } => error::not_there_yet(uri, error),
        error => error::rpc(error),
    }
}

fn ended_without(names: &OwnNames, task: &TaskDocument) -> String {
    let message = task.error.as_ref().map(|error| next::why(names, task, error)).unwrap_or_default();
    let next = task.error.as_ref().and_then(|error| error.next.as_deref()).unwrap_or_default();
    format!("the task has {}: {message}; next: {next}", task.state)
}

/// Whether a principal's answers may have so many bytes more: a refusal costs less than an answer that is made in vain.
fn has_room(engine: &TaskEngine, principal: &Principal, bytes: u64) -> Result<(), EngineError> {
    let (shares, who) = (engine.shares(), principal.name());
    Ok(shares.admit(Pool::AnswerBytes, who, bytes).and_then(|()| shares.admit(Pool::Memory, who, bytes))?)
}

/// All of it as of one moment, as far as one answer may hold it. Where it is long, there is to be room for it before it is
/// read.
async fn read_whole<R: Future<Output = Result<Slice, EngineError>>>(
    uri: &str,
    names: &OwnNames,
    room: &impl Fn(u64) -> Result<(), EngineError>,
    read: impl Fn(u64, usize) -> R,
) -> Result<Slice, ErrorData> {
    let missing = |error: EngineError| missing(&error, uri);
    let mut whole = read(0, limits::MAX_CONNECTION_BUFFER_BYTES).await.map_err(missing)?;
    let bound = limits::MAX_RESOURCE_READ_BYTES as u64;
    if whole.total > bound {
        return Err(error::bad_params(format!(
            "'{uri}' has {} bytes, and one read gives at most {bound}: read it in parts with {}",
            whole.total,
            names.of("task_output")
        )));
    }
    if (whole.bytes.len() as u64) < whole.total {
        room(whole.total).map_err(missing)?;
    }
    while (whole.bytes.len() as u64) < whole.total {
        let more = read(whole.bytes.len() as u64, limits::MAX_RESOURCE_READ_BYTES).await.map_err(missing)?;
        if more.bytes.is_empty() {
            break;
        }
        // What was appended meanwhile is for the next read.
        let missing = usize::try_from(whole.total).unwrap_or(usize::MAX) - whole.bytes.len();
        whole.bytes.extend(more.bytes.into_iter().take(missing));
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::shares::{Account, Bounds};

    #[tokio::test]
    async fn what_is_long_is_read_only_where_there_is_room_for_it() {
        let account = Account::new(Bounds::default());
        let full = |_| Ok(account.admit(Pool::AnswerBytes, "ann", u64::MAX)?);
        let names = OwnNames::default();
        for (total, is_refused) in [(limits::MAX_CONNECTION_BUFFER_BYTES, false), (8 << 20, true)] {
            let were_read = Cell::new(0);
            let read = async |offset: u64, limit: usize| {
                let bytes = vec![b'a'; limit.min(total - usize::try_from(offset).expect("small"))];
                were_read.set(were_read.get() + bytes.len());
                Ok(Slice { bytes, mime_type: PLAIN.to_owned(), total: total as u64, done: true })
            };
            let whole = read_whole("task://x/log", &names, &full, read).await;
            assert!(were_read.get() <= limits::MAX_CONNECTION_BUFFER_BYTES);
            match whole {
                Ok(slice) => assert!(!is_refused && slice.bytes.len() == total),
                Err(refused) => {
                    let data = refused.data.expect("what a program reads");
                    assert!(is_refused && data["pool"] == "answer_bytes", "{data}");
                    assert!(data["retry_after_seconds"].as_u64() > Some(0), "{data}");
                }
            }
        }
    }
}
