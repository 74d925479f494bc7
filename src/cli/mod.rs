//! Lives here: the command line: settings, wiring and shutdown in reverse order, the client commands.
//! May import: everything below. Never here: rmcp, axum, wasmtime, redb: their rooms have doors.
//! Read first: `args.rs` (what can be said), then `serve.rs` (the wiring).

mod access;
mod args;
mod arguments;
mod audit;
mod background;
mod backup;
mod call;
mod client;
pub mod config;
mod context;
mod demo;
mod doctor;
mod exit;
mod follow;
mod guests;
mod hand;
mod install;
mod key;
mod load;
mod logging;
mod open;
mod own_server;
mod progress;
mod prompt;
mod remote;
mod render;
mod sampler;
mod scratch;
mod serve;
mod server_file;
mod servers;
mod show;
mod signals;
mod state;
mod steps;
mod task;
mod token;
mod tool;
mod tools;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use config::Overrides;
use context::Context;
use exit::{CliError, Exit, Result};
use render::Output;

/// What may still run when a command is done gets this long.
const LINGER: Duration = Duration::from_millis(500);

/// The `longhaul` command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    match run(cli, output) {
        Ok(exit) => exit.into(),
        Err(error) => render::failure(&error, output).into(),
    }
}

fn run(cli: Cli, output: Output) -> Result<Exit> {
    let of_command = match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "longhaul", &mut script);
            return output.raw(&script).map(|()| Exit::Done);
        }
        Command::Serve(args) => Overrides {
            http: args.http.clone(),
            tool_paths: args.tools.clone(),
            trust: args.trust,
            durability: args.durability.clone(),
            open_loopback: args.open_loopback,
            ..Overrides::default()
        },
        Command::Install(args) => Overrides { tool_paths: args.tools.clone(), ..Overrides::default() },
        _ => Overrides::default(),
    };
    let context = Context::new(&cli.global, of_command, output)?;
    let default_filter = match cli.command {
        Command::Serve(_) => logging::SERVER_DEFAULT,
        _ => logging::COMMAND_DEFAULT,
    };
    logging::start(context.settings.log.as_deref(), default_filter)?;
    if let Some(here) = context.settings.unread.as_deref().filter(|_| !is_own_child(&cli.command)) {
        eprintln!("{}", unread(here));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::failed(format_args!("cannot start threads: {e}")))?;
    let done = runtime.block_on(perform(cli.command, &context));
    // A thread that still reads stdin, or a guest that does not stop, must not keep the process.
    runtime.shutdown_timeout(LINGER);
    done
}

/// Started by another `serve --stdio`, which has said what there is to say.
fn is_own_child(command: &Command) -> bool {
    matches!(command, Command::Serve(args) if args.background || args.start_background)
}

/// For the person who expects a file to hold that does not.
fn unread(here: &Path) -> String {
    format!(
        "longhaul: {} lies in the working folder and is not read; what uses it: longhaul --config {} …",
        render::escape(&here.display().to_string()),
        render::shell_word(here.as_os_str())
    )
}

async fn perform(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Serve(args) => serve::run(args, context).await,
        Command::Demo => demo::run(context).await,
        Command::Call(args) => call::run(args, context).await,
        Command::Client(args) => client::run(args, context).await,
        Command::Task(args) => task::run(args, context).await,
        Command::State(args) => state::run(args, context).await,
        Command::Tool(args) => tool::run(args, context).await,
        Command::Token(args) => token::run(args, context).await,
        Command::Audit(args) => audit::run(args, context).await,
        Command::Key(args) => key::run(&args, context).await,
        Command::Install(args) => install::run(&args, context),
        Command::Doctor { check } => doctor::run(context, check).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Restore(args) => backup::run_restore(args, context).await,
        Command::Completions { .. } => Ok(Exit::Done),
    }
}
