//! The person at the terminal of a command that follows a task: they are asked what the task asks.

use std::collections::HashSet;
use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::form::{Form, Reply, Step};
use crate::api::TaskDocument;
use crate::cli::show::render::escape_text;
use crate::task::TaskId;

/// Clones are the same person, who is asked one thing at a time.
#[derive(Clone)]
pub struct Person {
    lines: Arc<Mutex<mpsc::Receiver<String>>>,
    /// Questions that they put off.
    later: HashSet<String>,
}

/// What became of asking.
pub enum Asked {
    Given(Reply),
    /// It stays open.
    Later,
}

impl Person {
    /// `None` where there is no person.
    pub fn at_terminal() -> Option<Self> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        let (sender, lines) = mpsc::channel(1);
        // A thread of its own: a read of stdin cannot be called off, and must not keep the process from ending.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { lines: Arc::new(Mutex::new(lines)), later: HashSet::new() })
    }

    /// A question that they were not asked yet.
    pub fn next(&self, task: &TaskDocument) -> Option<Form> {
        let id: TaskId = task.id.parse().ok()?;
        let mut open = task.input_requests.iter().filter(|(key, _)| !self.later.contains(*key));
        open.find_map(|(key, request)| Form::new(String::new(), id, key.clone(), request.clone()))
    }

    pub fn put_off(&mut self, key: &str) {
        self.later.insert(key.to_owned());
    }

    /// Asks field by field, once they have answered what was asked before; what `begins` gives is held meanwhile.
    /// The end of their input leaves the question open.
    pub async fn ask<G>(&self, form: &mut Form, of: &str, begins: impl FnOnce() -> G) -> Asked {
        let mut lines = self.lines.lock().await;
        let _held = begins();
        eprintln!("{of}{}", form.opening());
        loop {
            eprint!("{}", form.prompt());
            let Some(line) = lines.recv().await else { return Asked::Later };
            match form.take(&line) {
                Ok(Step::More) => {}
                Ok(Step::Done(reply)) => return Asked::Given(reply),
                Ok(Step::Later) => return Asked::Later,
                Err(error) => eprintln!("  {}", escape_text(&error.message)),
            }
        }
    }
}
