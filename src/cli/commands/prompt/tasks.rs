//! The tasks that a client follows, and what it shows of them.

use std::collections::BTreeSet;

use serde_json::json;

use super::console::{Client, Next};
use super::followed::Followed;
use super::follower::{Event, What, follow};
use super::memory::Entry;
use crate::api::TaskDocument;
use crate::cli::client::follow::watch_command;
use crate::cli::client::form::Form;
use crate::cli::client::hand;
use crate::cli::client::progress::describe;
use crate::cli::client::remote::token_is_not_for;
use crate::cli::exit::{CliError, Result};
use crate::cli::show::{self, short};
use crate::mcp::ClientOptions;
use crate::task::ToolResult;

impl Client<'_> {
    /// What the last client left open, whatever ended it.
    pub fn take_up(&mut self, remembered: Vec<Entry>) {
        match remembered.len() {
            0 => {}
            1 => self.screen.say("taking up one task; Ctrl-C leaves it to itself"),
            count => self.screen.say(&format!("taking up {count} tasks; Ctrl-C leaves them to themselves")),
        }
        for url in self.without_token(&remembered) {
            let words = token_is_not_for(&url, "tasks of another server are remembered");
            self.screen.say(&words);
        }
        for entry in remembered {
            self.follow(entry);
        }
    }

    /// Remembers a task first, then calls and follows it.
    pub fn begin(&mut self, entry: Entry) -> Result<Next> {
        self.memory.put(entry.clone())?;
        self.follow(entry);
        Ok(Next::Go)
    }

    fn follow(&mut self, entry: Entry) {
        let options = self.options(&entry.server);
        let follower = tokio::spawn(follow(entry.clone(), options, self.events.clone()));
        self.followed.push(Followed {
            entry,
            last: None,
            attached: true,
            said: String::new(),
            announced: BTreeSet::new(),
            dealt_with: BTreeSet::new(),
            follower,
        });
    }

    /// How the server at `url` is reached. The token of the command line is for the servers that came with it, and not
    /// for one that a file remembers.
    pub fn options(&self, url: &str) -> ClientOptions {
        let server = self.servers.iter().find(|server| server.url == url);
        server.map_or_else(|| self.context.server(url, None), |server| server.options.clone())
    }

    /// Servers of remembered tasks that wanted a token before, perhaps, and get none now.
    fn without_token(&self, remembered: &[Entry]) -> BTreeSet<String> {
        let is_here = |url: &str| self.servers.iter().any(|server| server.url == url);
        let urls = remembered.iter().map(|entry| entry.server.as_str());
        let urls =
            urls.filter(|url| self.context.token.is_some() && url.starts_with("http") && !is_here(url));
        urls.map(str::to_owned).collect()
    }

    pub fn is_attached(&self) -> bool {
        self.followed.iter().any(|task| task.attached)
    }

    /// Shows it as it goes on, from where it stands.
    pub fn attach(&mut self, at: usize) {
        let task = &mut self.followed[at];
        task.attached = true;
        task.said.clear();
        if let Some(last) = task.last.take() {
            self.stands(at, last);
        }
    }

    /// Leaves everything to itself; false where nothing was attached.
    pub fn detach(&mut self) -> bool {
        let had_form = self.form.take().is_some();
        let mut left = Vec::new();
        for task in self.followed.iter_mut().filter(|task| task.attached) {
            task.attached = false;
            left.push(match task.entry.id {
                Some(id) => format!(
                    "detached: {} goes on by itself; `attach {}` comes back, as does {}",
                    task.name(),
                    short(id),
                    watch_command(id)
                ),
                None => format!("detached: {} is called as soon as its server answers", task.name()),
            });
        }
        left.iter().for_each(|line| self.screen.say(line));
        had_form || !left.is_empty()
    }

    /// The one task that is meant by the end of its id.
    pub fn find(&self, text: &str) -> Result<Option<usize>> {
        let is_meant = |task: &Followed| {
            task.entry.id.is_some_and(|id| text.len() >= 4 && id.to_string().ends_with(text))
        };
        let mut found = (0..self.followed.len()).filter(|at| is_meant(&self.followed[*at]));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(CliError::usage(format_args!("several ids end with '{text}'"))),
            (found, _) => Ok(found),
        }
    }

    pub fn forget(&mut self, at: usize) -> Result<()> {
        let task = self.followed.remove(at);
        self.form.take_if(|form| form.of == task.entry.key);
        self.memory.remove(&task.entry.key)
    }

    pub fn event(&mut self, Event { key, what }: Event) -> Result<()> {
        let Some(at) = self.followed.iter().position(|task| task.entry.key == key) else { return Ok(()) };
        let task = &mut self.followed[at];
        match what {
            What::Note(text) if task.attached => {
                let line = format!("{}: {text}", task.name());
                self.screen.say(&line);
            }
            What::Note(_) => {}
            What::Acknowledged(id) => {
                task.entry.id = Some(id);
                let (entry, attached) = (task.entry.clone(), task.attached);
                if attached {
                    self.screen.say(&format!("task {id}"));
                }
                self.memory.put(entry)?;
            }
            What::Stands(document) => self.stands(at, *document),
            What::Ended(document, result) => {
                self.form.take_if(|form| form.of == key);
                self.screen.say(&format!("{}: {}", self.followed[at].name(), describe(&document)));
                self.show_end(&document, result.as_ref())?;
                // Only what was shown is forgotten.
                self.forget(at)?;
            }
            What::Failed { error, for_good } => {
                self.screen.say(&format!("{}: {error}", self.followed[at].name()));
                if for_good {
                    self.forget(at)?;
                } else {
                    self.screen.say("the next `longhaul client` tries again");
                    self.followed.remove(at);
                }
            }
        }
        Ok(())
    }

    fn show_end(&mut self, task: &TaskDocument, result: Option<&ToolResult>) -> Result<()> {
        let output = self.context.output;
        if output.json {
            let mut document = json!({ "task": task });
            if let Some(result) = result {
                document["result"] = show::result_json(result);
            }
            return output.json(&document);
        }
        match result {
            Some(result) => {
                if result.is_error {
                    self.screen.say("the tool reports an error:");
                }
                show::result(output, result)
            }
            None => {
                self.screen.say(&show::why_it_ended(task));
                Ok(())
            }
        }
    }

    fn stands(&mut self, at: usize, document: TaskDocument) {
        let task = &mut self.followed[at];
        let open = &document.input_requests;
        let line = format!("{}: {}", task.name(), describe(&document));
        // The end is shown with the result.
        if task.attached && line != task.said && !document.is_terminal() {
            self.screen.say(&line);
            task.said = line;
        }
        if self.form.take_if(|form| form.of == task.entry.key && !open.contains_key(&form.key)).is_some() {
            self.screen.say("that question is not open any more");
        }
        if let Some(id) = task.entry.id {
            for (key, question) in open.iter().filter(|(key, _)| !task.dealt_with.contains(*key)) {
                let form = Form::new(task.entry.key.clone(), id, key.clone(), question.clone());
                let is_new = task.announced.insert(key.clone());
                let may = hand::may_answer(Some(question), self.is_person).is_ok();
                match form {
                    Some(form) if may && task.attached && self.form.is_none() => {
                        self.screen.say(&form.opening());
                        self.form = Some(form);
                    }
                    Some(_) if is_new && !may => {
                        let words = "asks a person something, and none is here: its answer is waited for";
                        self.screen.say(&format!("{} {words}", task.name()));
                    }
                    Some(_) if is_new => {
                        self.screen.say(&format!("{} asks something: answer {}", task.name(), short(id)));
                    }
                    _ => {}
                }
            }
        }
        task.last = Some(document);
    }
}
