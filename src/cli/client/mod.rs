//! `longhaul client`: a prompt that calls tools, follows tasks and answers their questions.

mod commands;
mod follower;
pub mod form;
mod memory;
pub mod servers;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, IsTerminal, Write};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::args::ClientArgs;
use super::context::Context;
use super::exit::{CliError, Exit, Result};
use super::render::escape_text;
use crate::limits;
use follower::Event;
use form::Form;
use memory::Memory;
use servers::{Server, servers};
use tasks::Followed;
pub use tasks::short;

const PROMPT: &str = "longhaul> ";

struct Client<'a> {
    context: &'a Context,
    /// None where nobody named one and none was there yet.
    servers: Vec<Server>,
    memory: Memory,
    followed: Vec<Followed>,
    events: mpsc::Sender<Event>,
    /// The question that is being answered.
    form: Option<Form>,
    /// What is typed here counts as a person's answer.
    is_person: bool,
    screen: Screen,
}

/// What a person reads, on stderr; what a tool handed back goes to stdout.
struct Screen {
    terminal: bool,
    /// The last line is a prompt.
    prompted: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    Quit,
}

pub async fn run(args: ClientArgs, context: &Context) -> Result<Exit> {
    let memory = Memory::of_this_user()?;
    let remembered = memory.entries()?;
    let servers = match servers(&args.url, context).await {
        Ok(servers) => servers,
        // It may come back.
        Err(error) if !remembered.is_empty() => {
            eprintln!("{}", escape_text(&error.to_string()));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|e| CliError::failed(format_args!("cannot listen for signals: {e}")))?;
    let (events, mut told) = mpsc::channel(limits::MAX_CLIENT_EVENTS);
    let screen = Screen { terminal: io::stdin().is_terminal(), prompted: false };
    let is_person = screen.terminal || context.settings.answer_without_terminal;
    let mut client =
        Client { context, servers, memory, followed: Vec::new(), events, form: None, is_person, screen };
    client.greet();
    client.take_up(remembered);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut at_end = false;
    loop {
        client.prompt();
        // A script's next line waits until what it called has ended.
        let reads = !at_end && (client.screen.terminal || client.form.is_some() || !client.is_attached());
        let next = tokio::select! {
            line = lines.next_line(), if reads => match line {
                Ok(Some(line)) => {
                    client.screen.prompted = false;
                    tokio::select! {
                        done = client.line(&line) => done,
                        _ = interrupts.recv() => Err(CliError::failed("given up")),
                    }
                }
                Ok(None) | Err(_) if client.screen.terminal => Ok(Next::Quit),
                Ok(None) | Err(_) => {
                    at_end = true;
                    Ok(Next::Go)
                }
            },
            Some(event) = told.recv() => client.event(event).map(|()| Next::Go),
            _ = interrupts.recv() => Ok(if client.detach() { Next::Go } else { Next::Quit }),
        };
        match next {
            Ok(Next::Go) if at_end && !client.is_attached() => break,
            Ok(Next::Go) => {}
            Ok(Next::Quit) => break,
            // Whoever read our output has gone.
            Err(error) if error.says_nothing() => return Err(error),
            Err(error) => client.screen.say(&error.to_string()),
        }
    }
    client.take_leave();
    Ok(Exit::Done)
}

impl Client<'_> {
    fn greet(&mut self) {
        if self.screen.terminal {
            for (number, server) in (1..).zip(&self.servers) {
                self.screen.say(&format!("server {number}: {}", server.url));
            }
            self.screen.say("list shows the tools, help the other words, Ctrl-D quits");
        }
    }

    fn prompt(&mut self) {
        match &self.form {
            Some(form) => self.screen.prompt(&form.prompt()),
            None if self.is_attached() => {}
            None => self.screen.prompt(PROMPT),
        }
    }

    fn take_leave(&mut self) {
        match self.followed.len() {
            0 => {}
            1 => self.screen.say("one task goes on by itself; the next `longhaul client` takes it up"),
            count => {
                self.screen.say(&format!(
                    "{count} tasks go on by themselves; the next `longhaul client` takes them up"
                ));
            }
        }
        if self.screen.prompted {
            eprintln!();
        }
    }
}

impl Screen {
    /// Lines for a person.
    fn say(&mut self, text: &str) {
        self.clear();
        eprintln!("{}", escape_text(text));
    }

    /// The cursor stands on an empty line.
    fn clear(&mut self) {
        if std::mem::take(&mut self.prompted) {
            eprintln!();
        }
    }

    fn prompt(&mut self, text: &str) {
        if self.terminal && !self.prompted {
            self.prompted = true;
            eprint!("{text}");
            // Nothing is left to do about a stderr that fails.
            let _ = io::stderr().flush();
        }
    }
}
