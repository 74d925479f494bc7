//! The prompt: what a client holds while it is open, and what a person sees of it.

use std::io::{self, Write as _};

use tokio::sync::mpsc;

use super::followed::Followed;
use super::follower::Event;
use super::memory::Memory;
use crate::cli::client::form::Form;
use crate::cli::client::servers::Server;
use crate::cli::context::Context;
use crate::cli::show::render::escape_text;

const PROMPT: &str = "longhaul> ";

pub struct Client<'a> {
    pub context: &'a Context,
    /// `None` where none was named and none was there yet.
    pub servers: Vec<Server>,
    pub memory: Memory,
    pub followed: Vec<Followed>,
    pub events: mpsc::Sender<Event>,
    /// The question that is being answered.
    pub form: Option<Form>,
    /// What is typed here counts as a person's answer.
    pub is_person: bool,
    pub screen: Screen,
}

/// What a person reads, on stderr; what a tool handed back goes to stdout.
pub struct Screen {
    pub terminal: bool,
    /// The last line is a prompt.
    pub prompted: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Go,
    Quit,
}

impl Client<'_> {
    pub fn greet(&mut self) {
        if self.screen.terminal {
            for (number, server) in (1..).zip(&self.servers) {
                self.screen.say(&format!("server {number}: {}", server.url));
            }
            self.screen.say("list shows the tools, help the other words, Ctrl-D quits");
        }
    }

    pub fn prompt(&mut self) {
        match &self.form {
            Some(form) => self.screen.prompt(&form.prompt()),
            None if self.is_attached() => {}
            None => self.screen.prompt(PROMPT),
        }
    }

    pub fn take_leave(&mut self) {
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
    pub fn say(&mut self, text: &str) {
        self.clear();
        eprintln!("{}", escape_text(text));
    }

    /// The cursor stands on an empty line.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.prompted) {
            eprintln!();
        }
    }

    pub fn prompt(&mut self, text: &str) {
        if self.terminal && !self.prompted {
            self.prompted = true;
            eprint!("{text}");
            // Nothing is left to do about a stderr that fails.
            let _ = io::stderr().flush();
        }
    }
}
