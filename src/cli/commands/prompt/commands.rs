//! What the words at the prompt do.

use serde_json::{Value, json};

use super::console::{Client, Next};
use super::memory::Entry;
use super::words::{self, Answer, Given, Said};
use crate::api::{AnswerAction, TaskAnswer, TaskList, TaskSend};
use crate::cli::client::arguments::{arguments, free_value};
use crate::cli::client::follow::watch_command;
use crate::cli::client::form::{Form, Reply, Step};
use crate::cli::client::hand;
use crate::cli::client::remote::{Remote, RemoteError};
use crate::cli::client::servers::{check, find_tool, servers};
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::Table;
use crate::cli::show::{self, short};
use crate::task::TaskId;

/// Tasks of each server that `tasks` shows.
const SHOWN_TASKS: usize = 20;

const HELP: &str = "\
list                             the tools of all servers
TOOL [KEY=VALUE…] [--args JSON]  call one and follow its task; TOOL@2 names the server
tasks                            the newest tasks of all servers
attach [ID]                      follow a task again, or all that have not ended
answer [ID] [--key KEY] [KEY=VALUE… | --args JSON | --decline | --cancel]
                                 answer what a task asks; without values it is asked field by field
send ID NAME [KEY=VALUE… | --args JSON]
                                 send a message to a task
forget ID                        do not take a task up any more; it goes on by itself
quit                             leave; the next start takes the tasks up that have not ended
The end of an id is enough. Ctrl-C leaves a task to itself, and where none is followed, ends this.";

impl Client<'_> {
    pub async fn line(&mut self, line: &str) -> Result<Next> {
        if self.form.is_some() {
            return self.fill_in(line).await;
        }
        let said = words::read(line)?;
        if self.servers.is_empty() && !matches!(said, Said::Nothing | Said::Quit | Said::Help) {
            self.servers = servers(&[], self.context).await?;
        }
        match said {
            Said::Nothing => {}
            Said::Quit => return Ok(Next::Quit),
            Said::Help => self.screen.say(HELP),
            Said::List => self.list().await?,
            Said::Tasks => self.tasks().await?,
            Said::Call { tool, arguments } => return self.call(&tool, &arguments).await,
            Said::Attach(None) if self.followed.is_empty() => {
                return Err(CliError::not_found("no task is open here").next("tasks"));
            }
            Said::Attach(None) => (0..self.followed.len()).for_each(|at| self.attach(at)),
            Said::Attach(Some(id)) => match self.find(&id)? {
                Some(at) => self.attach(at),
                None => return self.attach_to_another(&id).await,
            },
            Said::Answer(answer) => self.answer(answer).await?,
            Said::Send { id, name, payload } => {
                let payload = free_value(&payload.pairs, payload.args.as_deref())?;
                let (remote, id) = self.reach(&id).await?;
                let send = TaskSend { task_id: id, name, payload, key: None };
                let seq = remote.run(&send, true).await?.seq;
                self.screen.say(&format!("message {seq} to task {id}"));
            }
            Said::Forget(id) => {
                let at = self.find(&id)?.ok_or_else(|| unknown(&id))?;
                let id = self.followed[at].entry.id;
                self.forget(at)?;
                let way_back = id.map(|id| format!("; {} shows it", watch_command(id))).unwrap_or_default();
                self.screen.say(&format!("forgotten: it goes on by itself{way_back}"));
            }
        }
        Ok(Next::Go)
    }

    async fn list(&mut self) -> Result<()> {
        let mut table = Table::new(&["TOOL", "SERVER", "DESCRIPTION"]);
        let mut listed = Vec::new();
        for (number, server) in (1..).zip(&self.servers) {
            let tools = match server.tools().await {
                Ok(tools) => tools,
                Err(error) => {
                    self.screen.say(&format!("server {number}: {error}"));
                    continue;
                }
            };
            for tool in tools {
                let description = tool.description.lines().next().unwrap_or_default();
                table.row([tool.name.as_str(), &number.to_string(), description]);
                listed.push(
                    json!({ "name": tool.name, "server": server.url, "description": tool.description }),
                );
            }
        }
        let output = self.context.output;
        self.screen.clear();
        if output.json { output.json(&json!({ "tools": listed })) } else { output.table(&table) }
    }

    async fn tasks(&mut self) -> Result<()> {
        let output = self.context.output;
        let mut all = Vec::new();
        for (number, server) in (1..).zip(&self.servers) {
            let query = TaskList { limit: Some(SHOWN_TASKS), ..TaskList::default() };
            let page = match self.connect(&server.url).await {
                Ok(remote) => remote.run(&query, true).await,
                Err(error) => Err(error),
            };
            match page {
                Ok(page) if output.json => all.extend(page.tasks),
                Ok(page) => {
                    if self.servers.len() > 1 {
                        self.screen.say(&format!("server {number}: {}", server.url));
                    }
                    self.screen.clear();
                    show::tasks(output, &page.tasks)?;
                }
                Err(error) => self.screen.say(&format!("server {number}: {error}")),
            }
        }
        if output.json { output.json(&json!({ "tasks": all })) } else { Ok(()) }
    }

    async fn call(&mut self, called: &str, given: &Given) -> Result<Next> {
        let (server, tool) = find_tool(&self.servers, called).await?;
        let server = server.url.clone();
        let arguments = Value::Object(arguments(&tool.input_schema, &given.pairs, given.args.as_deref())?);
        check(&tool, &arguments)?;
        let key = format!("client-{}", uuid::Uuid::new_v4());
        self.begin(Entry { server, tool: tool.name, arguments, key, id: None })
    }

    /// A task that another client began.
    async fn attach_to_another(&mut self, id: &str) -> Result<Next> {
        let id: TaskId = id.parse().map_err(|_| unknown(id))?;
        let mut lost = None;
        for server in &self.servers {
            let task = match self.connect(&server.url).await {
                Ok(remote) => remote.task(id).await,
                Err(error) => Err(error),
            };
            match task {
                Ok(task) => {
                    let (server, key) = (server.url.clone(), format!("attached-{id}"));
                    let arguments = Value::Null;
                    return self.begin(Entry { server, tool: task.tool, arguments, key, id: Some(id) });
                }
                Err(RemoteError::NotFound(_)) => {}
                Err(error) => lost = Some(error),
            }
        }
        Err(lost.map_or_else(|| unknown(&id.to_string()), CliError::from))
    }

    async fn answer(&mut self, Answer { id, key, refusal, content }: Answer) -> Result<()> {
        let asks =
            |at: &usize| self.followed[*at].last.as_ref().is_some_and(|t| !t.input_requests.is_empty());
        let at = match &id {
            Some(id) => self.find(id)?.ok_or_else(|| unknown(id))?,
            None => {
                let mut asking = (0..self.followed.len()).filter(asks);
                match (asking.next(), asking.next()) {
                    (Some(at), None) => at,
                    (None, _) => {
                        return Err(CliError::not_found("no task that is followed here asks anything"));
                    }
                    (Some(_), Some(_)) => return Err(CliError::usage("several tasks ask").next("answer ID")),
                }
            }
        };
        let task = &self.followed[at];
        let open = task.last.as_ref().map(|last| last.input_requests.clone()).unwrap_or_default();
        let keys: Vec<&str> = open.keys().map(String::as_str).collect();
        let (Some(id), Some(key)) = (task.entry.id, key.as_deref().or(keys.first().copied())) else {
            return Err(CliError::not_found("this task asks nothing"));
        };
        let Some(question) = open.get(key) else {
            let message = CliError::not_found(format_args!("this task has no open question '{key}'"));
            return Err(message.next(format!("it asks: {}", keys.join(", "))));
        };
        hand::may_answer(Some(question), self.is_person)?;
        let schema = question.schema.clone().unwrap_or(Value::Null);
        let reply = match (refusal, content) {
            (Some(action), _) => Reply { action, content: None },
            (None, content) if content.is_empty() => {
                let form = Form::new(task.entry.key.clone(), id, key.to_owned(), question.clone());
                let form = form.ok_or_else(|| {
                    CliError::usage("this question is for a model")
                        .next(format!("answer {} --key {key} --args JSON, the model's message", short(id)))
                })?;
                self.screen.say(&form.opening());
                self.form = Some(form);
                return Ok(());
            }
            (None, Given { pairs, args }) => {
                let content = Value::Object(arguments(&schema, &pairs, args.as_deref())?);
                Reply { action: AnswerAction::Accept, content: Some(content) }
            }
        };
        let (server, key) = (task.entry.server.clone(), key.to_owned());
        self.reply(&server, id, &key, reply).await
    }

    async fn fill_in(&mut self, line: &str) -> Result<Next> {
        let Some(form) = &mut self.form else { return Ok(Next::Go) };
        let step = form.take(line)?;
        let (id, key, of) = (form.id, form.key.clone(), form.of.clone());
        let Some(task) = self.followed.iter_mut().find(|task| task.entry.key == of) else {
            self.form = None;
            return Ok(Next::Go);
        };
        let reply = match step {
            Step::More => return Ok(Next::Go),
            Step::Later => {
                self.form = None;
                task.dealt_with.insert(key);
                self.screen.say(&format!("it stays open: answer {}", short(id)));
                return Ok(Next::Go);
            }
            Step::Done(reply) => reply,
        };
        let server = task.entry.server.clone();
        let answered = self.reply(&server, id, &key, reply).await;
        match (&answered, &mut self.form) {
            (Ok(()), form) => *form = None,
            (Err(_), Some(form)) => form.begin_again(),
            (Err(_), None) => {}
        }
        answered.map(|()| Next::Go)
    }

    async fn reply(&mut self, server: &str, id: TaskId, key: &str, reply: Reply) -> Result<()> {
        let Reply { action, content } = reply;
        let remote = self.connect(server).await?;
        // Only what this hand may answer comes as far as here.
        remote.answer(TaskAnswer { task_id: id, key: Some(key.to_owned()), action, content }, true).await?;
        if let Some(task) = self.followed.iter_mut().find(|task| task.entry.id == Some(id)) {
            task.dealt_with.insert(key.to_owned());
        }
        let done = match action {
            AnswerAction::Accept => "answered",
            AnswerAction::Decline => "declined",
            AnswerAction::Cancel => "given up",
        };
        self.screen.say(done);
        Ok(())
    }

    /// The server of a task, by the end of its id where it is followed here.
    async fn reach(&self, text: &str) -> Result<(Remote, TaskId)> {
        if let Some(at) = self.find(text)?
            && let Some(id) = self.followed[at].entry.id
        {
            return Ok((self.connect(&self.followed[at].entry.server).await?, id));
        }
        let id: TaskId = text.parse().map_err(|_| unknown(text))?;
        for server in &self.servers {
            let remote = self.connect(&server.url).await?;
            match remote.task(id).await {
                Ok(_) => return Ok((remote, id)),
                Err(RemoteError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(unknown(text))
    }

    async fn connect(&self, url: &str) -> Result<Remote, RemoteError> {
        Remote::connect_with(self.options(url)).await
    }
}

fn unknown(id: &str) -> CliError {
    CliError::not_found(format_args!("no task is known here by '{id}'")).next("tasks, then attach ID")
}
