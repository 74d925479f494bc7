//! `longhaul client`: a prompt that calls tools, follows tasks and answers their questions.

mod commands;
mod console;
mod followed;
mod follower;
mod memory;
mod tasks;
#[cfg(test)]
mod tests;
mod words;

use std::io::{self, IsTerminal as _};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::args::ClientArgs;
use crate::cli::client::servers::servers;
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Exit, Result};
use crate::cli::show::render::escape_text;
use crate::limits;
use console::{Client, Next, Screen};
use memory::Memory;

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
    let (events, mut incoming) = mpsc::channel(limits::MAX_CLIENT_EVENTS);
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
            Some(event) = incoming.recv() => client.event(event).map(|()| Next::Go),
            _ = interrupts.recv() => Ok(if client.detach() { Next::Go } else { Next::Quit }),
        };
        match next {
            Ok(Next::Go) if at_end && !client.is_attached() => break,
            Ok(Next::Go) => {}
            Ok(Next::Quit) => break,
            // The reader of our output has gone.
            Err(error) if error.says_nothing() => return Err(error),
            Err(error) => client.screen.say(&error.to_string()),
        }
    }
    client.take_leave();
    Ok(Exit::Done)
}
