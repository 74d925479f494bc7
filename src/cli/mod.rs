//! Lives here: the command line: settings, wiring and shutdown in reverse order, the client commands.
//! May import: everything below. Never here: rmcp, axum, wasmtime, redb: their rooms have doors.
//! Read first: `args.rs` (what can be said), then `serve.rs` (the wiring).

mod args;
mod arguments;
pub mod config;
mod exit;
mod guests;
mod logging;
mod render;
mod server_file;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use exit::{CliError, Exit, Result};
use render::Output;

/// The `longhaul` command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => tell(&error, output).into(),
    }
}

fn run(cli: Cli, output: Output) -> Result<Exit> {
    let default_filter = match cli.command {
        Command::Serve(_) => logging::SERVER_DEFAULT,
        _ => logging::COMMAND_DEFAULT,
    };
    logging::start(cli.global.log.as_deref(), default_filter)?;
    match cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "longhaul", &mut std::io::stdout());
            Ok(Exit::Done)
        }
        _ => Err(CliError::failed("not wired yet")),
    }
}

/// Errors are for people, on stderr; with `--json` a program gets them on stdout too.
fn tell(error: &CliError, output: Output) -> Exit {
    if error.says_nothing() {
        return error.exit;
    }
    eprintln!("longhaul: {}", render::escape_text(&error.to_string()));
    if output.json {
        let document = serde_json::json!({
            "error": { "exit": error.exit as u8, "message": error.message, "next": error.next },
        });
        // Nothing is left to do about a stdout that fails.
        let _ = output.json(&document);
    }
    error.exit
}
